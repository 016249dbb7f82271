"""Verbs and options by the names that they had before: they work for one release, and say how they are called now."""

from __future__ import annotations

from collections.abc import Sequence

from directrix.cli.app import LOG

VERBS = {"gauge": "fit-probe"}

_STEPS = {"--steps": "--num-inference-steps"}
_IMAGES = {"--images": "--images-per-prompt"}
_TRAINING = {"--images": "--training-images", "--steps": "--optimizer-steps"}
_DISCOVERY = {"--images-of-discovery": "--training-images", "--steps-of-discovery": "--optimizer-steps"}
# By verb; options of a verb's own verbs stand under both names.
OPTIONS: dict[str, dict[str, str]] = {
    "discover": {"--thing": "--object", "--level": "--compensate", **_TRAINING},
    "fit-probe": _STEPS,
    "generate": {"--concept": "--direction", **_STEPS},
    "sites": _STEPS,
    "demo": _IMAGES,
    "evaluate": {**_IMAGES, **_STEPS},
    "reproduce": {**_DISCOVERY, **_IMAGES, **_STEPS},
    "bench occupations": {"--images-per-occupation": "--images-per-prompt", **_TRAINING},
    "world renders": {"-n": "--images", "--number": "--images"},
}


def path(words: Sequence[str], groups: Sequence[str]) -> list[str]:
    """The verb among the words of a command, and its own verb where it is one of the groups."""
    named = [word for word in words if not word.startswith("-")]
    return named[: 2 if named and named[0] in groups else 1]


def modern(words: Sequence[str], groups: Sequence[str]) -> list[str]:
    """The words of a command in today's spelling; logs what is called otherwise now."""
    words = list(words)
    verb = path(words, groups)
    if verb and verb[0] in VERBS:
        place = words.index(verb[0])
        words[place] = verb[0] = _say(verb[0], VERBS[verb[0]])
    renamed = OPTIONS.get(" ".join(verb), {})
    end = words.index("--") if "--" in words else len(words)
    for place, word in enumerate(words[:end]):
        option, equals, value = word.partition("=")
        if word[:2] in renamed and not word.startswith("--") and word[2:]:
            # The value of a short option may follow at once: -n5.
            option, equals, value = word[:2], "=", word[2:].removeprefix("=")
        if option in renamed:
            words[place] = _say(option, renamed[option]) + equals + value
    return words


def _say(old: str, new: str) -> str:
    LOG.warning("Note: '%s' is now called '%s'; the old name goes with version 0.3.", old, new)
    return new
