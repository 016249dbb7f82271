"""A direction in words and as JSON, for the verbs that print one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from directrix.cli.app import Result

if TYPE_CHECKING:
    from directrix.directions.direction import Direction


def result(rows: Sequence[tuple[Direction, Path]]) -> Result:
    """Directions with their files, for people and as JSON."""
    text = "\n\n".join(as_text(*row) for row in rows)
    return Result(text, {"directions": [as_json(*row) for row in rows]})


def as_json(direction: Direction, path: Path) -> dict[str, Any]:
    """Return everything the file at `path` says, but for the tensor's values, with the tensor's norm."""
    return {
        "file": str(path),
        "name": direction.name,
        "shape": list(direction.tensor.shape),
        "norm": round(direction.norm(), 4),
        "site": asdict(direction.site),
        "model": asdict(direction.model),
        "strengths": asdict(direction.strengths),
        "recipe": dict(direction.recipe),
        "provenance": dict(direction.provenance),
    }


def as_text(direction: Direction, path: Path) -> str:
    """Return the same for people, one fact a line."""
    from directrix.models.fingerprint import shortened

    strengths = direction.strengths
    shape = " x ".join(map(str, direction.tensor.shape))
    revision = f", revision {direction.model.revision}" if direction.model.revision else ""
    lines = [
        f"{direction.name}  ({path})",
        f"  model      {direction.model.name}{revision}, fingerprint {shortened(direction.model.fingerprint)}",
        f"  site       {direction.site.name}, {direction.site.channels} channels, {direction.site.layout}",
        f"  tensor     {shape}, norm {direction.norm():.3f}",
        f"  strengths  default {strengths.default:g}, sensible from {strengths.minimum:g} to {strengths.maximum:g}",
    ]
    for title, facts in (("recipe", direction.recipe), ("provenance", direction.provenance)):
        lines += [f"  {title}"] + [f"    {key}: {_short(value)}" for key, value in facts.items()] if facts else []
    return "\n".join(lines)


def _short(value: Any) -> str:
    text = f"{value:.4g}" if isinstance(value, float) else str(value)
    return text if len(text) <= 160 else text[:157] + "..."
