"""Whatever stands behind a verb, the command ends in a result or in one line."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from directrix.cli import VERBS, options, parser
from directrix.directions.direction import Direction
from directrix.errors import ModelError
from directrix.models.identity import ModelIdentity, Site
from fuzz import hostile
from fuzz.limits import cases, command_ends_well

# Of verbs that draw or train before they look at anything, the demo; of those that ask the network, push; and the page,
# which is there until somebody stops it.
LEFT_OUT = ("demo", "push", "world", "studio")
WORDS = st.one_of(
    st.sampled_from(hostile.TEXTS),
    st.sampled_from([*map(str, hostile.NUMBERS), "1" * 5000]),
    st.integers(-3, 10**12).map(str),
    st.sampled_from(
        ["a woman", "a person", "woman.safetensors", "woman.safetensors:0.5", "policy.yaml", "prompts.csv"]
    ),
    st.sampled_from(["gender", "none", "emoji", "clip", "q16:x", "emoji-occupations", "float16", "both", "run", "."]),
    st.text(max_size=6),
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The present folder, with a few files; no model is loaded in it."""

    def missing(self: options.Model, otherwise: str = "") -> Any:
        raise ModelError(f"The model '{self.model or otherwise}' is not loaded here.", "another.", "none.")

    place = tmp_path_factory.mktemp("flags")
    Direction("woman", torch.ones(2), Site("mid_block", 2), ModelIdentity("a/b", "", "0" * 64)).save(
        place / "woman.safetensors"
    )
    (place / "policy.yaml").write_text("directions: [woman.safetensors]\nsafe: [woman]\n")
    (place / "prompts.csv").write_text("prompt,expected\na judge of any gender,balance:gender\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(options.Model, "load", missing)
        patch.chdir(place)
        yield place


def flags(verb: str) -> list[tuple[str, bool]]:
    """The options of a verb, and whether each stands alone."""
    command = parser()
    for word in verb.split():
        command = command.commands[word]
    found = [each for each in command.params if each.opts[0].startswith("-")]
    return [(each.opts[0], bool(getattr(each, "is_flag", False))) for each in found if each.name != "help"]


@pytest.mark.parametrize("verb", [each for each in VERBS if each not in (*LEFT_OUT, "bench")])
def test_a_command_ends_in_a_result_or_one_line(folder: Path, verb: str):
    known = flags(verb)

    @cases(45)
    @given(
        words=st.lists(WORDS, max_size=2),
        chosen=st.lists(st.tuples(st.sampled_from(known), WORDS), max_size=5),
        required=st.booleans(),
    )
    def run(words: list[str], chosen: list[Any], required: bool) -> None:
        given = [part for (flag, alone), word in chosen for part in ([flag] if alone else [flag, word])]
        # What most verbs want, so that more of a command is looked at.
        wanted = {"--output": "out", "--prompt": "a judge", "--target": "a woman", "--neutral": "a person"}
        extra = [part for flag, _ in known if required and flag in wanted for part in (flag, wanted[flag])]
        command_ends_well(verb, *words, *extra, *given)

    run()
    assert sorted(os.listdir(folder.parent)) == [folder.name] or folder.parent.exists()


@cases(60)
@given(words=st.lists(st.one_of(WORDS, st.sampled_from(VERBS)), max_size=4))
def test_any_words_end_in_a_result_or_one_line(folder: Path, words: list[str]):
    if words and words[0] not in LEFT_OUT:
        command_ends_well(*words)
