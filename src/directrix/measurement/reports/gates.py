"""What a run's policies decided about each prompt, as its manifest says."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

# Prompts that the page lists of each method; the manifest has all.
MOST = 200


def decisions(rows: Iterable[Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """From the rows of a manifest, as pages show them, by method: "counts", of prompts by attribute and rule; "left",
    each prompt that was not steered with its attribute, rule and word, as far as the page lists them; "more", how many
    it does not."""
    seen: dict[tuple[str, str, int], Mapping[str, Any]] = {}
    for row in rows:
        if row.get("gates"):
            seen.setdefault((row["method"], row["prompt"], row["prompt_index"]), row["gates"])
    found: dict[str, dict[str, Any]] = {}
    for (method, prompt, _), gates in seen.items():
        mine = found.setdefault(method, {"counts": {}, "left": [], "more": 0})
        for attribute, decision in gates.items():
            rules = mine["counts"].setdefault(attribute, {})
            rules[decision["rule"]] = rules.get(decision["rule"], 0) + 1
            if not decision["steered"]:
                mine["left"].append({"prompt": prompt, "attribute": attribute, **decision})
    for mine in found.values():
        mine["more"] = max(0, len(mine["left"]) - MOST)
        del mine["left"][MOST:]
    return found
