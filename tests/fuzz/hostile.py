"""Hostile values, and documents, texts and bytes that were right until something in them was changed."""

from __future__ import annotations

import copy
import json
from typing import Any

import yaml
from hypothesis import strategies as st

DEEP: Any = []
for _ in range(150):
    DEEP = [DEEP]
TEXTS = (
    *("", " ", "\n", "\x1b[31m", "\u2028", "\ud800", "\x00", "../../x", "/etc/passwd", "~", "C:\\x", "a" * 10_000),
    *("<script>alert(1)</script>", '"><b>', "{{ 7 * 7 }}", "{% raw %}", "%s%n", "null", "NaN", "-1", "1e999"),
    *("(" * 50, "[a|b]" * 30, "(a|b)" * 30, "female", "woman", "emoji", "hf:attacker/evil", "attacker/evil", "$x$"),
)
NUMBERS = (0, -1, 1, 2, 10**6, 2**63, 10**30, 10**400, -0.0, 0.5, 1e-320, 1e308, float("nan"), float("inf"))
values = st.one_of(
    st.sampled_from(TEXTS),
    st.sampled_from(NUMBERS),
    st.sampled_from([None, True, False, [], {}, [[]], [None], {"": {}}, {"a": None}, {"value": "<script>"}, DEEP]),
    st.text(max_size=8),
    st.lists(st.integers(-2, 9), max_size=3),
)


@st.composite
def mutated(draw: st.DrawFn, document: Any) -> Any:
    """A document of lists and mappings in which one to three places were changed."""
    document = copy.deepcopy(document)
    for _ in range(draw(st.integers(1, 3))):
        parent, key = None, None
        place = document
        while isinstance(place, list | dict) and place and (parent is None or draw(st.integers(0, 4))):
            keys = list(place) if isinstance(place, dict) else range(len(place))
            parent, key = place, draw(st.sampled_from(keys))
            place = parent[key]
        if parent is None:
            document = copy.deepcopy(draw(values))
            continue
        change = draw(st.sampled_from(["replace", "replace", "replace", "delete", "rename", "copy"]))
        if change == "delete":
            del parent[key]
        elif change == "rename" and isinstance(parent, dict):
            parent[draw(st.sampled_from(TEXTS))] = parent.pop(key)
        elif change == "copy" and isinstance(parent, list):
            parent.append(copy.deepcopy(parent[key]))
        else:
            parent[key] = copy.deepcopy(draw(values))
    return document


SNIPPETS = (
    *("\x00", "\t", "{", "}", "[", "]", '"', "'", ",", ":", "- ", "? ", "| ", "# ", "<<: *a\n", "&a ", "*a", "!!bool "),
    *("!!python/object/apply:os.system [id]", "2024-13-45", "0x" + "f" * 99, "1" * 5000, "[" * 3000, "{" * 3000),
    *("\ufeff", "\u2028", "\\ud800", "\n---\n", "\n...\n", "%YAML 9.9\n", "=", "<<", ".nan", "-.inf", "1:60:60", "yes"),
)
snippets = st.one_of(st.sampled_from(SNIPPETS), st.sampled_from(SNIPPETS), st.text(max_size=5))


@st.composite
def mangled(draw: st.DrawFn, text: str) -> bytes:
    """A text that was cut, or into which one to three snippets were put, as UTF-8 or almost."""
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(text)))
        text = text[:at] + draw(snippets) + text[at + draw(st.sampled_from([0, 0, 0, 1, 5, len(text)])) :]
    data = text.encode("utf-8", "replace")
    return data + b"\xe9" if draw(st.integers(0, 9)) == 0 else data


@st.composite
def flipped(draw: st.DrawFn, data: bytes) -> bytes:
    """Bytes of which a few were changed, or the end was cut off."""
    changed = bytearray(data)
    for _ in range(draw(st.integers(0, 3))):
        # The header of a file is where most is decided.
        most = draw(st.sampled_from([16, 200, len(changed)]))
        at = draw(st.integers(0, min(most, len(changed)) - 1))
        changed[at] = draw(st.sampled_from([changed[at] ^ 1, changed[at] ^ 128, 0, 255, *b'0[{]}"']))
    return bytes(changed[: draw(st.sampled_from([len(changed)] * 3 + [0, 7, 8, 9, len(changed) // 2]))])


def as_json(document: Any) -> st.SearchStrategy[bytes]:
    """JSON of a changed document, or changed text of JSON."""
    text = json.dumps(document, indent=1)
    return st.one_of(mutated(document).map(lambda each: json.dumps(each).encode()), mangled(text))


def as_json_lines(document: list[Any]) -> st.SearchStrategy[bytes]:
    """A line for each part of a changed list, or changed text of such lines."""

    def lines(parts: Any) -> bytes:
        return b"".join(json.dumps(each).encode() + b"\n" for each in (parts if isinstance(parts, list) else [parts]))

    return st.one_of(mutated(document).map(lines), mangled(lines(document).decode()))


def as_yaml(document: Any) -> st.SearchStrategy[bytes]:
    """YAML of a changed document, or changed text of YAML."""

    def dumped(each: Any) -> bytes:
        # JSON is YAML, and its writer takes every value.
        return json.dumps(each).encode()

    return st.one_of(mutated(document).map(dumped), mangled(yaml.safe_dump(document)))


def as_safetensors(tensors: Any, key: str, metadata: Any) -> st.SearchStrategy[bytes]:
    """A safetensors file with changed metadata, or changed bytes of one."""
    from safetensors.torch import save

    def file(text: bytes) -> bytes:
        return save(tensors, metadata={key: text.decode("utf-8", "replace")})

    return st.one_of(as_json(metadata).map(file), flipped(file(json.dumps(metadata).encode())))
