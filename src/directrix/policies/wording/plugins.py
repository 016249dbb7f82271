"""Readers of prompts other than the grammar, such as a local language model.

A package offers one as an entry point of the group "directrix.readers": a callable that takes a prompt and returns an
`Understanding` of it.
"""

from __future__ import annotations

from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING

from directrix.errors import ReaderError, suggestion

if TYPE_CHECKING:
    from directrix.policies.wording.understand import Understanding

GROUP = "directrix.readers"


def installed() -> dict[str, EntryPoint]:
    """The installed readers by name."""
    return {each.name: each for each in entry_points(group=GROUP)}


def read(name: str, prompt: str) -> Understanding:
    """What the reader of that name understands of a prompt.

    Raises:
        ReaderError: it is not installed, cannot be loaded, or its answer does not fit the prompt.
    """
    found = installed()
    if name not in found:
        raise ReaderError(
            f"There is no reader '{name}'.",
            f"the name of an entry point of the group '{GROUP}'.",
            f"{suggestion(name, found)} Without a reader the grammar reads.",
        )
    try:
        reader = found[name].load()
    except (ImportError, AttributeError) as error:
        raise ReaderError(
            f"The reader '{name}' cannot be loaded: {error}.",
            f"what its entry point names, {found[name].value}.",
            "install its package again, with the extras it asks for.",
        ) from error
    return _checked(name, prompt, reader(prompt))


def _checked(name: str, prompt: str, answer: object) -> Understanding:
    from directrix.policies.wording.understand import Understanding

    if not isinstance(answer, Understanding):
        raise ReaderError(
            f"The reader '{name}' answers with a {type(answer).__name__}.",
            "an Understanding of the prompt.",
            "mend the reader, or read without it.",
        )
    wrong = [each for each in answer.switches if prompt[each.start : each.end] != each.phrase or not each.phrase]
    kinds = [each for each in answer.switches if each.kind not in ("balance", "absent")]
    if answer.prompt != prompt or wrong or kinds:
        fault = f"the phrase {(wrong or kinds)[0].phrase!r}" if wrong or kinds else f"the prompt {answer.prompt!r}"
        raise ReaderError(
            f"The reader '{name}' answers about {fault}, which is not what was asked.",
            'switches of kind "balance" or "absent" whose phrase is prompt[start:end].',
            "mend the reader, or read without it.",
        )
    return answer
