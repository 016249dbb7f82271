"""Pictures of a run side by side: the same prompts and seeds by every method, with what the judges saw."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

from directrix.errors import OutputError
from directrix.measurement.reports.html import data_uri

PROMPTS = 8
PICTURES = 4
SIDE = 160  # pixels at most


@dataclass(frozen=True)
class Sample:
    """A prompt, and for each method the files of its first pictures with a line about each."""

    prompt: str
    group: str
    pictures: Mapping[str, Sequence[tuple[Path, str]]]


def choose(
    folder: Path, rows: Mapping[str, Mapping[str, Any]], methods: Sequence[str], seen: Mapping[str, str]
) -> list[Sample]:
    """Return up to eight prompts of a run's manifest, at even distances, with up to four pictures by each method.

    seen: a line about each picture, by hash.
    """
    by_prompt: dict[str, dict[str, list[Mapping[str, Any]]]] = {}
    for row in rows.values():
        if row.get("method") in methods:
            by_prompt.setdefault(row["prompt_id"], {}).setdefault(row["method"], []).append(row)
    names = sorted(by_prompt, key=lambda name: next(iter(by_prompt[name].values()))[0]["prompt_index"])
    retained = min(PROMPTS, len(names))
    samples = []
    for name in (names[place * len(names) // retained] for place in range(retained)):
        drawn = by_prompt[name]
        first = next(iter(drawn.values()))[0]
        pictures = {
            method: [
                (folder / row["file"], seen.get(row["sha256"], ""))
                for row in sorted(drawn.get(method, ()), key=lambda row: row["image_index"])[:PICTURES]
            ]
            for method in methods
        }
        samples.append(Sample(first["prompt"], first.get("group", ""), pictures))
    return samples


def html(samples: Sequence[Sample]) -> str:
    """Return the section; pictures that are missing are said to be, and nothing else is lost."""
    return "".join(
        f'<article class="sample"><h3>{escape(sample.prompt)}</h3><div class="by-method">'
        + "".join(
            f'<figure class="strip"><figcaption>{escape(method)}</figcaption><div class="grid-of-pictures">'
            + "".join(_picture(sample.prompt, method, *each) for each in pictures)
            + "</div></figure>"
            for method, pictures in sample.pictures.items()
        )
        + "</div></article>"
        for sample in samples
    )


def _picture(prompt: str, method: str, path: Path, seen: str) -> str:
    from PIL import Image as images_of

    try:
        with images_of.open(path) as stored:
            image = stored.convert("RGB")
    except FileNotFoundError:
        return '<div class="seen">not there any more</div>'
    except OSError as error:
        raise OutputError(
            f"'{path}' is no picture: {error}.", "the PNG file that was drawn.", "evaluate again: it is drawn anew."
        ) from error
    image.thumbnail((SIDE, SIDE))
    words = escape(f"{prompt}, {method}; judged: {seen}")
    return (
        f'<div><img width="{image.width}" height="{image.height}" alt="{words}" title="{words}" '
        f'src="{data_uri(image)}"><div class="seen">{escape(seen)}</div></div>'
    )
