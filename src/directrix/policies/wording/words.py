"""The tables of small English words in english.yaml."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

_TABLES: dict[str, Any] = yaml.load(
    Path(__file__).with_name("english.yaml").read_text(encoding="utf-8"), getattr(yaml, "CSafeLoader", yaml.SafeLoader)
)
FILLERS: list[str] = _TABLES["fillers"]
TRAILING: list[str] = _TABLES["trailing"]
IRREGULAR: Mapping[str, str] = _TABLES["irregular plurals"]


def _sets(lists: Mapping[str, str]) -> dict[str, frozenset[str]]:
    sets: dict[str, frozenset[str]] = {}
    for name, text in lists.items():
        found: set[str] = set()
        for word in text.split():
            if word[0] == "&":
                found |= sets[word[1:]]
            elif word[0] == "!":
                found.discard(word[1:])
            else:
                found.add(word)
        sets[name] = frozenset(found)
    return sets


# The lists by name, each with what it takes from earlier ones.
WORDS = _sets(_TABLES["words"])
