"""All images of a run, by prompt, on pages beside the run's own: each opens in full."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from directrix.models.files import write_atomically

# Images on a page at most, unless one prompt alone has more.
MOST = 400


def link(file: str) -> str:
    """The address of a run's image, from a page in the run's folder."""
    return quote(file)


def write(
    folder: Path,
    rows: Iterable[Mapping[str, Any]],
    methods: Sequence[str],
    seen: Mapping[str, str],
    render: Callable[[str, Mapping[str, Any]], str],
) -> str | None:
    """Writes images-1.html and so on into the run's folder; returns the name of the first, None without images.

    rows: of the manifest, as pages show them. seen: what the judges saw, by hash. render: a template's name and
    values to a page.
    """
    found: dict[int, tuple[str, dict[str, list[dict[str, str]]]]] = {}
    ordered = sorted(rows, key=lambda row: (row["prompt_index"], row["image_index"]))
    for row in (each for each in ordered if each["method"] in methods):
        _, by_method = found.setdefault(row["prompt_index"], (row["prompt"], {}))
        image = {"link": link(row["file"]), "seen": seen.get(row["sha256"], "")}
        by_method.setdefault(row["method"], []).append(image)
    pages: list[list[Any]] = [[]]
    size = 0
    for prompt in found.values():
        count = sum(map(len, prompt[1].values()))
        if size and size + count > MOST:
            pages.append([])
            size = 0
        pages[-1].append(prompt)
        size += count
    for place, prompts in enumerate(pages, start=1):
        values = {"place": place, "pages": len(pages), "prompts": prompts}
        if prompts:
            write_atomically(folder / f"images-{place}.html", render("images", values).encode())
    return "images-1.html" if found else None
