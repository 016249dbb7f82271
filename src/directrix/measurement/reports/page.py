"""The page of an evaluation: one HTML file with its style, charts and images inside, nothing loaded from elsewhere."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, TemplateError
from markupsafe import Markup

from directrix.errors import OutputError, first_line
from directrix.generation import manifest
from directrix.measurement.evaluation import SUMMARY
from directrix.measurement.evaluation.judgements import read_verdicts
from directrix.measurement.reports import findings, gallery, gates, sections, summary_file
from directrix.models.files import write_atomically
from directrix.reading.images import read as read_image

PAGE = "index.html"
# What a summary of the demo has beside an evaluation's.
DEMO = "demo"
# Of the samples: prompts, images of each by every method, and pixels of a side at most.
PROMPTS, IMAGES, SIDE = 8, 4, 160


def report(results: Path | str, output: Path | str | None = None) -> Path:
    """Write the page of an evaluation, or of the demo, and return where it is.

    Args:
        results: the folder of the run; see `directrix.evaluate`.
        output: the page's file; None for index.html in the folder.

    Raises:
        OutputError: the folder holds no summary, a file is no image, or the page cannot be written.
    """
    folder = Path(results)
    summary = read(folder)
    verdicts = read_verdicts(folder, summary["provenance"]["judges"])
    names = summary["provenance"]["attributes"]
    seen = {
        name: ", ".join(f"{each[attribute].label or 'not scored'}" for attribute in names if attribute in each)
        for name, each in verdicts.items()
    }
    size = (summary["prompts"], summary["images_per_prompt"]) if DEMO in summary else (PROMPTS, IMAGES)
    rows = manifest.shown(folder)
    path = folder / PAGE if output is None else Path(output)
    beside = path.resolve().parent == folder.resolve()
    samples = _samples(folder, rows, list(summary["methods"]), seen, *size, linked=beside)
    summary = findings.in_words(summary, {row["prompt_id"]: row["prompt"] for row in rows.values() if row["prompt_id"]})
    try:
        # Addresses lead from the run's folder alone.
        images = gallery.write(folder, rows.values(), list(summary["methods"]), seen, render) if beside else None
        page = _rendered(summary, samples, images, gates.decisions(rows.values()))
    except (TemplateError, ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        # The parts are of the right kinds, but do not go together, such as methods without a figure of the demo's.
        raise OutputError(
            f"'{folder / SUMMARY}' lacks what its page shows ({first_line(error)}).",
            "what an evaluation or the demo writes.",
            "run it again.",
        ) from error
    write_atomically(path, page.encode())
    return path


def _rendered(
    summary: Mapping[str, Any],
    samples: Sequence[Mapping[str, Any]],
    images: str | None,
    decided: Mapping[str, Mapping[str, Any]],
) -> str:
    """The page of a summary with its sample images; images: the page with all of them; decided: see `gates`."""
    figures = base64.b64encode(findings.table(summary).encode("utf-8-sig")).decode("ascii")
    values = {
        "result": findings.sentence(summary),
        "figures": f"data:text/csv;charset=utf-8;base64,{figures}",
        "images": images,
        "run": summary,
        "sections": sections.tables(summary),
        "charts": sections.charts(summary),
        "swatches": [(name, f"s{place}") for place, name in enumerate(summary["methods"])][: sections.SERIES],
        "distributions": sections.distributions(summary),
        "samples": samples,
        "decided": decided,
        "unscored": list(dict.fromkeys(name for each in summary["unscored"].values() for name in each)),
        "settings": json.dumps(
            {key: summary["provenance"][key] for key in ("methods", "judges")}, indent=2, ensure_ascii=False
        ),
    }
    return render("demo" if DEMO in summary else "evaluation", values)


def render(template: str, values: Mapping[str, Any]) -> str:
    """Return a page from ``template``.html.jinja beside this file; all values are escaped."""
    here = Path(__file__).parent
    pages = Environment(loader=FileSystemLoader(here), autoescape=True, trim_blocks=True, lstrip_blocks=True)
    pages.filters |= {"number": number, "percent": "{:.0%}".format}
    style = Markup((here / "page.css").read_text(encoding="utf-8"))
    return pages.get_template(f"{template}.html.jinja").render(**values, style=style)


def number(value: float, sign: bool = False) -> str:
    """Two digits behind the point, three for what is near zero, with a true minus."""
    value = round(value, 3) or 0.0
    digits = 2 if abs(value) >= 0.1 or value == 0 else 3
    text = f"{value:+.{digits}f}" if sign and value else f"{value:.{digits}f}"
    return text.replace("-", "\N{MINUS SIGN}")


def read(folder: Path) -> Mapping[str, Any]:
    """The summary of a run. Raises OutputError where there is none."""
    return summary_file.read(folder / SUMMARY)


def _samples(
    folder: Path,
    rows: Mapping[str, Mapping[str, Any]],
    methods: Sequence[str],
    seen: Mapping[str, str],
    prompts: int,
    images: int,
    *,
    linked: bool,
) -> list[dict[str, Any]]:
    """So many prompts of a run, at even distances, each with its first images by each method.

    rows: of the manifest; seen: a line by hash; linked: whether each image leads to its file.
    """
    by_prompt: dict[str, dict[str, list[Mapping[str, Any]]]] = {}
    for row in rows.values():
        if row["method"] in methods:
            by_prompt.setdefault(row["prompt_id"], {}).setdefault(row["method"], []).append(row)
    drawn = sorted(by_prompt.values(), key=lambda each: next(iter(each.values()))[0]["prompt_index"])
    count = min(prompts, len(drawn))
    samples = []
    for by_method in (drawn[place * len(drawn) // count] for place in range(count)):
        shown = {}
        for method in methods:
            first = sorted(by_method.get(method, ()), key=lambda row: row["image_index"])[:images]
            shown[method] = [
                {
                    **_image(folder / row["file"]),
                    "seen": seen.get(row["sha256"], ""),
                    "link": gallery.link(row["file"]) if linked else None,
                }
                for row in first
            ]
        samples.append({"prompt": next(iter(by_method.values()))[0]["prompt"], "images": shown})
    return samples


def _image(path: Path) -> dict[str, Any]:
    """An image as the page holds it: "address", "width", "height"; nothing where its file is not there any more."""
    if not path.exists():
        return {}
    image = read_image(path)
    image.thumbnail((SIDE, SIDE))
    file = io.BytesIO()
    image.save(file, format="PNG", optimize=True)
    address = f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode('ascii')}"
    return {"address": address, "width": image.width, "height": image.height}
