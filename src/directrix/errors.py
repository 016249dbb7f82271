"""Errors that a user can cause. The command line prints them and leaves with their `exit_code`."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class DirectrixError(Exception):
    """An error with a way out: what happened, one sentence; what was expected; and the remedy, what to do next."""

    exit_code: int = 2

    def __init__(self, happened: str, expected: str = "", remedy: str = "") -> None:
        super().__init__(happened, expected, remedy)
        self.happened, self.expected, self.remedy = happened, expected, remedy

    def __str__(self) -> str:
        parts = (self.happened, self.expected and f"Expected: {self.expected}", self.remedy and f"Try: {self.remedy}")
        return " ".join(filter(None, parts))


class ModelError(DirectrixError):
    """A model cannot be found, loaded or understood."""


class SiteError(DirectrixError):
    """A place inside a model cannot be found or cannot be steered."""


class DirectionFileError(DirectrixError):
    """A direction file is missing, damaged or something else altogether."""


class HubError(DirectrixError):
    """Something is not on the Hugging Face hub, may not be read or written there, or the hub cannot be reached."""


class MismatchError(DirectrixError):
    """Directions, models or sites that do not belong together."""


class ConceptError(DirectrixError):
    """A concept's prompts are empty or do not fit together."""


class PhraseError(DirectrixError):
    """A file of phrases is missing, damaged or does not follow the schema."""


class ReaderError(DirectrixError):
    """A reader of prompts is not installed, or what it says does not fit the prompt."""


class StrengthError(DirectrixError):
    """A strength or a window of steps is not usable."""


class BenchmarkError(DirectrixError):
    """A benchmark is missing, or its table is not what its description says."""


class OutputError(DirectrixError):
    """A file or folder cannot be written."""


class PolicyError(DirectrixError):
    """A policy says something that cannot be done."""


class NoEffectError(DirectrixError):
    """A direction was found, but it changes nothing that can be seen."""

    exit_code = 3


class InterruptedRun(DirectrixError):
    """A long run was stopped before its end; what it had done is stored."""

    exit_code = 130


def first_line(error: BaseException) -> str:
    """What another library's error says, in one line."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")


def suggestion(name: str, names: Iterable[str]) -> str:
    """The sentence that ends an error about an unknown name: the nearest known one, and all of them."""
    known = sorted(names)
    near = difflib.get_close_matches(name.lower(), known, n=1, cutoff=0.5)
    listed = ", ".join(known) if known else "none"
    return (f"did you mean '{near[0]}'? " if near else "") + f"Known: {listed}."
