"""What the page shows of images and jobs, as HTML without scripts of others: every text is escaped."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping
from typing import TYPE_CHECKING

from directrix.directions.card import render
from directrix.studio.artist import Pairs, Strip
from directrix.studio.jobs import Job
from directrix.studio.recipe import KEY, Recipe, dumps

if TYPE_CHECKING:
    import numpy as np
    from PIL.Image import Image

    from directrix.studio.policy_run import PolicyResult
    from directrix.studio.trace import Trace

SIDE = 192  # pixels a side at which an image is shown, where it has fewer
VIEWS = ("Side by side", "Wipe", "Difference")


def data_uri(image: Image) -> str:
    """An image as PNG inside the page."""
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


def heat(plain: Image, steered: Image) -> Image:
    """Where two images differ: the mean absolute difference of their colours, from black to yellow."""
    import numpy as np

    return coloured(np.abs(np.asarray(plain, dtype=float) - np.asarray(steered, dtype=float)).mean(axis=2) / 255)


def coloured(apart: np.ndarray) -> Image:
    """Differences in [0, 1], from black to yellow."""
    import numpy as np
    from PIL import Image as images_of

    red, green = np.clip(apart * 3, 0, 1), np.clip(apart * 3 - 0.6, 0, 1)
    blue = np.clip(0.25 - apart, 0, 0.25) * (apart > 0)
    return images_of.fromarray((np.stack([red, green, blue], axis=2) * 255).astype("uint8"))


def pairs(found: Pairs, view: str) -> str:
    """The images of a recipe in one of `VIEWS`."""
    rows = []
    for place, (plain, steered) in enumerate(zip(found.plain, found.steered, strict=True), 1):
        row = {"place": place, "plain": data_uri(plain), "steered": data_uri(steered)}
        if view == "Difference":
            row["difference"] = data_uri(heat(plain, steered))
        rows.append(row)
    names = ", ".join(f"{name} {strength:+g}" for name, strength in found.recipe.strengths.items())
    return _page("pairs", rows=rows, view=view, prompt=found.recipe.prompt, steering=names)


def strip(found: Strip) -> str:
    """One image at rising strengths."""
    rows = [
        {"image": data_uri(image), "strength": f"{strength:g}"}
        for image, strength in zip(found.images, found.strengths, strict=True)
    ]
    return _page("strip", rows=rows, direction=found.direction, prompt=found.recipe.prompt)


def trace(found: Trace) -> str:
    """Where one image differs from the unsteered one after each of some steps."""
    from PIL.Image import Resampling

    rows = []
    for step, apart in zip(found.steps, found.apart, strict=True):
        image = coloured(apart).resize((SIDE, SIDE * apart.shape[0] // apart.shape[1]), Resampling.BICUBIC)
        rows.append({"step": step, "image": data_uri(image), "mean": f"{apart.mean():.2f}"})
    return _page("trace", rows=rows, steps=found.of, prompt=found.recipe.prompt)


def marks(places: Mapping[str, float]) -> str:
    """Style that marks a place on sliders: by their identifiers, in [0, 1]. The style sheet has its looks."""
    return "<style>" + "".join(f"#{name}{{--saturates:{at:.4f}}}" for name, at in places.items()) + "</style>"


def policy(result: PolicyResult) -> str:
    """The images with and without a policy, and what a judge counts."""
    rows = [
        {
            "prompt": each.prompt,
            "plain": data_uri(each.plain),
            "policed": each.policed and data_uri(each.policed),
            "why": " · ".join([*(f"assigned {given}" for given in each.assigned.values()), *each.reasons]),
            "unchanged": each.unchanged,
        }
        for each in result.outcomes
    ]
    names = {"gender": "gender", "tone": "skin tone", "item category": "object"}
    return _page("policy", result=result, rows=rows, names=names)


def status(job: Job | None, place: int) -> str:
    """What a job does now, in a sentence."""
    return _page("status", job=job, place=place)


def sentence(text: str, error: bool = False) -> str:
    """One sentence about what was done, or why it was not."""
    return _page("sentence", text=text, error=error)


def _page(name: str, **data: object) -> str:
    from pathlib import Path

    return render(f"{name}.html.jinja", Path(__file__).parent, **data)


def png(found: Pairs) -> bytes:
    """The steered images on one sheet, as PNG with the recipe in its metadata."""
    from PIL.PngImagePlugin import PngInfo

    from directrix.generation.contact_sheet import contact_sheet

    info = PngInfo()
    info.add_itxt(KEY, dumps(found.recipe))
    sheet = contact_sheet(list(found.steered), columns(found.recipe))
    buffer = io.BytesIO()
    sheet.save(buffer, "PNG", pnginfo=info)
    return buffer.getvalue()


def columns(recipe: Recipe) -> int:
    """Columns of the sheet: a row of up to four."""
    return min(4, recipe.images)
