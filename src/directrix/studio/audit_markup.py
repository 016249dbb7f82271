"""What the page shows of audits, as HTML: every text is escaped."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from directrix.measurement.reports.page import number
from directrix.measurement.reports.page import report as write_report
from directrix.reading.images import read as read_image
from directrix.studio import audit_figures, markup
from directrix.studio.audit_figures import Seen

SHOWN = 48  # images at a time


def audit(name: str, folder: Path) -> str:
    """A finished audit: sentence, Pareto front, tables. Raises OutputError where it is not finished."""
    report = audit_figures.report(folder)
    return _page("audit", name=name, report=report, front=report.front, placed=_placed(report.front))


def groups(folder: Path) -> list[str]:
    """The groups of a finished audit's images."""
    return list(dict.fromkeys(each.group for each in audit_figures.images(folder)[1]))


def images(folder: Path, filtered: str, group: str) -> str:
    """An audit's images by group, with what each judge saw. group: "" for all. Raises OutputError: not finished."""
    judges, found = audit_figures.images(folder)
    chosen = [each for each in found if each.fits(filtered) and group in ("", each.group) and each.path.is_file()]
    by_group: dict[str, list[tuple[Seen, str]]] = {}
    for each in chosen[:SHOWN]:
        by_group.setdefault(each.group, []).append((each, markup.data_uri(read_image(each.path))))
    return _page("audit_images", groups=by_group, judges=judges, total=len(chosen), seen=chosen[:SHOWN])


def compared(first: tuple[str, Path], second: tuple[str, Path]) -> str:
    """All figures of two audits, each with its name, beside each other. Raises OutputError: one is not finished."""
    (name, folder), (other, beside) = first, second
    sides: Sequence[Mapping[str, Any]] = [audit_figures.report(each).summary for each in (folder, beside)]
    heads = [(run, method) for run, side in zip((name, other), sides, strict=True) for method in side["methods"]]
    rows = audit_figures.compared(sides[0], sides[1], (name, other))
    return _page("compared", names=(name, other), heads=heads, rows=rows)


def page(folder: Path) -> bytes:
    """The page of an audit in one file, with everything inside. Raises OutputError where it is not finished."""
    with tempfile.TemporaryDirectory(prefix="directrix-studio-") as apart:
        return write_report(folder, Path(apart) / "audit.html").read_bytes()


def _placed(front: audit_figures.Front | None) -> list[tuple[audit_figures.Point, int]]:
    """Points with how many lines down their name is written, so that names of near points do not cover each other."""
    placed: list[tuple[audit_figures.Point, int]] = []
    for each in sorted(front.points if front else (), key=lambda point: -point.up):
        near = [
            shift for point, shift in placed if abs(point.up - each.up) < 0.06 and abs(point.across - each.across) < 0.3
        ]
        placed.append((each, max(near, default=-1) + 1))
    return placed


def _page(template: str, **data: Any) -> str:
    pages = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    pages.filters["number"] = number
    return pages.get_template(f"{template}.html.jinja").render(**data)
