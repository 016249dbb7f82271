"""How well responsible wording is read: precision and recall over prompts whose meaning is written down."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from directrix.errors import DirectrixError
from directrix.measurement.metrics import proportion
from directrix.policies.wording.phrases import Phrases
from directrix.policies.wording.understand import understand

COLUMNS = ("prompt", "expected")


def wording(path: Path, phrases: Phrases | None = None, reader: str | None = None) -> dict[str, Any]:
    """Reads the prompts of a CSV file and holds what is understood against what is expected.

    path: columns "prompt" and "expected", the switches joined by ";" ("balance:gender;absent:weapon"), empty where a
        prompt asks for nothing.
    phrases, reader: see ``understand``.

    Returns "precision" (of the switches found, those that are expected), "recall" (of those expected, those found),
    "silent" (of the prompts that ask for nothing, those in which nothing is found), each with Wilson's 95 % interval
    over switches or prompts, or None where there are none; "prompts"; and "wrong", a row for each misread prompt.

    Raises:
        DirectrixError: the file cannot be read, lacks a column, or names a switch that the phrases do not have.
    """
    phrases = phrases or Phrases.load()
    right = extra = missed = silent = asking_nothing = 0
    wrong = []
    table = _rows(path)
    for row in table:
        expected = {each.strip() for each in row["expected"].split(";") if each.strip()}
        _check(path, expected, phrases)
        found = {f"{each.kind}:{each.name}" for each in understand(row["prompt"], phrases, reader).switches}
        right += len(found & expected)
        extra += len(found - expected)
        missed += len(expected - found)
        asking_nothing += not expected
        silent += not expected and not found
        if found != expected:
            lists = {"missed": sorted(expected - found), "extra": sorted(found - expected)}
            wrong.append({"prompt": row["prompt"], **lists})
    return {
        "prompts": len(table),
        "precision": _share(right, right + extra),
        "recall": _share(right, right + missed),
        "silent": _share(silent, asking_nothing),
        "wrong": wrong,
    }


def _share(part: int, whole: int) -> dict[str, float | int] | None:
    return proportion(part, whole).as_dict() if whole else None


def _rows(path: Path) -> Sequence[Mapping[str, str]]:
    try:
        with path.open(encoding="utf-8", newline="") as file:
            reader = csv.DictReader(file)
            table = [{key: row.get(key) or "" for key in COLUMNS} for row in reader]
            columns = reader.fieldnames or ()
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DirectrixError(f"'{path}' cannot be read: {error}.", "a CSV file in UTF-8.") from error
    lacking = [name for name in COLUMNS if name not in columns]
    if lacking or not table:
        what = f"lacks the column {lacking[0]!r}" if lacking else "holds no prompts"
        raise DirectrixError(f"'{path}' {what}.", "the columns prompt and expected, and a prompt a line.")
    return table


def _check(path: Path, expected: set[str], phrases: Phrases) -> None:
    for each in expected:
        kind, _, name = each.partition(":")
        if name not in phrases.names.get(kind, ()):
            known = [f"{kind}:{name}" for kind, names in phrases.names.items() for name in names]
            raise DirectrixError(f"'{path}' expects '{each}'.", f"one of {', '.join(known)}.")
