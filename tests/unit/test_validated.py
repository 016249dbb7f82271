from __future__ import annotations

import re
from typing import Any, Literal

import pytest
from pydantic import BaseModel, Field, field_validator

from directrix.checks import validated
from directrix.errors import PolicyError, StrengthError
from directrix.models.identity import Site


class Term(BaseModel, extra="forbid", strict=True):
    phrase: str
    not_near: list[str] = Field([], alias="not near")
    of: Literal["", "subjects"] = ""


class Entry(BaseModel, extra="forbid", strict=True):
    objects: list[str | Term] = []
    kinds: dict[str, float] | list[str] | None = None

    @field_validator("kinds")
    @classmethod
    def _some(cls, kinds: Any) -> Any:
        if kinds == []:
            raise ValueError("no kind at all")
        if kinds == ["none"]:
            raise StrengthError("The kind is none.", "one.")
        return kinds


class File(BaseModel, extra="forbid", strict=True):
    absent: dict[str, Entry] = {}
    enhance: bool | Entry = True
    name: str = ""


def test_the_content_becomes_the_model():
    content = {"absent": {"clown": {"objects": ["a", {"phrase": "b", "not near": ["c"]}]}}, "enhance": {}}
    file = validated(File, content, "a.yaml")
    assert isinstance(file.enhance, Entry)
    assert file.absent["clown"].objects == ["a", Term.model_validate({"phrase": "b", "not near": ["c"]})]
    assert validated(Site, '{"name": "mid_block", "channels": 4}', "a.json") == Site("mid_block", 4)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"absnt": {}}, "a.yaml has no key 'absnt'. Expected: a key of this part. Try: did you mean 'absent'"),
        (
            {"absent": {"a": {"objcts": []}}},
            "a.yaml > absent > a has no key 'objcts'. .*mean 'objects'.*kinds, objects",
        ),
        ({"enhance": {"objcts": []}}, "a.yaml > enhance has no key 'objcts'. .*did you mean 'objects'"),
        ({"absent": {"a": {"objects": [{"phrase": "b", "nt near": []}]}}}, "objects[0] has no key .*mean 'not near'"),
        ({"absent": {"a": {"objects": [{"of": ""}]}}}, "objects[0] lacks the key 'phrase'. Expected: the keys phrase"),
        (
            {"absent": {"a": {"objects": [{"phrase": "b", "of": "c"}]}}},
            "objects[0] > of is text ('c'). Expected: '' or",
        ),
        ({"absent": {"a": {"objects": [False]}}}, "objects[0] is yes or no (False). .*mapping.* or text. Try: quotes"),
        ({"absent": {1: {}}}, "a.yaml > absent has the key 1. Expected: text."),
        ({"absent": ["a"]}, "a.yaml > absent is a list. Expected: a mapping"),
        ({"absent": {"a": {"kinds": []}}}, "a.yaml > absent > a > kinds: no kind at all."),
        ({"absent": {"a": {"kinds": ["none"]}}}, "a.yaml: The kind is none. Expected: one."),
        ({"name": None}, "a.yaml > name is empty. Expected: text."),
        ([], "a.yaml is a list. Expected: a mapping"),
        ('{"name": 1}', "a.yaml > name is 1. Expected: text."),
        ("{", "a.yaml is not JSON: "),
    ],
)
def test_a_wrong_content_names_the_key_and_the_nearest(content: Any, said: str):
    with pytest.raises(PolicyError) as error:
        validated(File, content, "a.yaml", PolicyError)
    assert re.match(
        ".*".join(map(re.escape, ("" if said.startswith("a.yaml") else "a.yaml", *said.split(".*")))), str(error.value)
    )
