"""Images of a run side by side: the same prompts and seeds by every method, with what the judges saw."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from directrix.errors import OutputError

PROMPTS = 8
IMAGES = 4
SIDE = 160  # pixels at most


class Shown(NamedTuple):
    """An image inside a page, with what the judges saw; without an address where its file is not there any more."""

    address: str
    width: int
    height: int
    seen: str


@dataclass(frozen=True)
class Sample:
    """A prompt, and its first images by method."""

    prompt: str
    images: Mapping[str, Sequence[Shown]]


def choose(
    folder: Path,
    rows: Mapping[str, Mapping[str, Any]],
    methods: Sequence[str],
    seen: Mapping[str, str],
    *,
    prompts: int = PROMPTS,
    images: int = IMAGES,
) -> list[Sample]:
    """Return so many prompts of a run's manifest, at even distances, each with its first images by each method.

    seen: a line about each image, by hash.

    Raises:
        OutputError: a file is no image.
    """
    by_prompt: dict[str, dict[str, list[Mapping[str, Any]]]] = {}
    for row in rows.values():
        if row.get("method") in methods:
            by_prompt.setdefault(row["prompt_id"], {}).setdefault(row["method"], []).append(row)
    drawn = sorted(by_prompt.values(), key=lambda each: next(iter(each.values()))[0]["prompt_index"])
    count = min(prompts, len(drawn))
    samples = []
    for by_method in (drawn[place * len(drawn) // count] for place in range(count)):
        shown = {
            method: [
                _shown(folder / row["file"], seen.get(row["sha256"], ""))
                for row in sorted(by_method.get(method, ()), key=lambda row: row["image_index"])[:images]
            ]
            for method in methods
        }
        samples.append(Sample(next(iter(by_method.values()))[0]["prompt"], shown))
    return samples


def _shown(path: Path, seen: str) -> Shown:
    from PIL import Image as images_of

    try:
        with images_of.open(path) as stored:
            image = stored.convert("RGB")
    except FileNotFoundError:
        return Shown("", 0, 0, seen)
    except OSError as error:
        raise OutputError(
            f"'{path}' is no image: {error}.", "the PNG file that was drawn.", "evaluate again: it is drawn anew."
        ) from error
    image.thumbnail((SIDE, SIDE))
    file = io.BytesIO()
    image.save(file, format="PNG", optimize=True)
    address = f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode('ascii')}"
    return Shown(address, image.width, image.height, seen)
