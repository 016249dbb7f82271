"""How well responsible wording is read: precision and recall over prompts whose meaning is written down."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from directrix.errors import DirectrixError
from directrix.measurement.benchmarks import prompts
from directrix.measurement.metrics import proportion
from directrix.policies.wording.phrases import Phrases
from directrix.policies.wording.understand import understand

EXPECTED = "expected"


def wording(path: Path, phrases: Phrases | None = None, reader: str | None = None) -> dict[str, Any]:
    """Reads the prompts of a CSV file and compares what is understood with what is expected.

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
    known = [f"{kind}:{name}" for kind, names in phrases.names.items() for name in names]
    right = extra = missed = silent = asking = 0
    wrong = []
    table = prompts.rows(path, {}, {EXPECTED: EXPECTED})
    for row in table:
        expected = {each.strip() for each in row.expected.get(EXPECTED, "").split(";") if each.strip()}
        for each in sorted(expected - set(known)):
            raise DirectrixError(f"'{path}' expects '{each}'.", f"one of {', '.join(known)}.")
        found = {f"{each.kind}:{each.name}" for each in understand(row.prompt, phrases, reader).switches}
        right += len(found & expected)
        extra += len(found - expected)
        missed += len(expected - found)
        asking += not expected
        silent += not expected and not found
        if found != expected:
            lists = {"missed": sorted(expected - found), "extra": sorted(found - expected)}
            wrong.append({"prompt": row.prompt, **lists})
    shares = {"precision": (right, right + extra), "recall": (right, right + missed), "silent": (silent, asking)}
    figures = {name: proportion(*share).as_dict() if share[1] else None for name, share in shares.items()}
    return {"prompts": len(table), **figures, "wrong": wrong}
