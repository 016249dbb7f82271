"""A direction's file whose header lacks any field, or has a wrong value there, is shown or refused in a sentence."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save

from directrix.cli import main
from directrix.directions import serialization
from fuzz import hostile
from fuzz.full_header import full_header, show
from fuzz.limits import command_ends_well, ends_well, longer

GONE = object()
WRONG = [None, True, "`` <script>alert(1)</script> ``", -1, 1e308, [None], {"a": None}]
if longer():
    WRONG += ["", "text", 0.5, 10**30, [], {}, hostile.DEEP]


def places(content: Any, above: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The way to every value inside a document."""
    for key in content if isinstance(content, dict) else range(len(content) if isinstance(content, list) else 0):
        yield (*above, key)
        yield from places(content[key], (*above, key))


def changed(header: dict[str, Any], place: tuple[Any, ...], value: Any) -> bytes:
    """The file of a header in which one value is gone, or another one."""
    header = copy.deepcopy(header)
    within: Any = header
    for key in place[:-1]:
        within = within[key]
    if value is GONE:
        del within[place[-1]]
    else:
        within[place[-1]] = value
    return save({"direction": torch.ones(2)}, metadata={serialization.METADATA_KEY: json.dumps(header)})


HEADER = full_header()
# What a whole file has more of than its first kind says nothing new.
PLACES = [place for place in places(HEADER) if 1 not in place[1:]]


def test_the_whole_header_is_shown(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    path = tmp_path / "woman.safetensors"
    path.write_bytes(changed(HEADER, ("name",), "woman"))
    show(path)
    assert not caplog.records


@pytest.mark.parametrize("top", list(HEADER))
def test_each_field_may_be_gone_or_wrong(tmp_path: Path, top: str):
    path = tmp_path / "woman.safetensors"
    for place in (each for each in PLACES if each[0] == top):
        for value in (GONE, *WRONG):
            path.write_bytes(changed(HEADER, place, value))
            try:
                ends_well(lambda: show(path))
            except Exception as error:
                error.add_note(f"{' > '.join(map(str, place))} is {'gone' if value is GONE else repr(value)[:80]}")
                raise


@pytest.mark.parametrize("field", list(HEADER["provenance"]["card"]))
def test_the_commands_end_well_without_a_field_of_the_card(tmp_path: Path, field: str):
    path = tmp_path / "woman.safetensors"
    path.write_bytes(changed(HEADER, ("provenance", "card", field), GONE))
    command_ends_well("inspect", str(path))
    assert main(["card", str(path)]) == 2
