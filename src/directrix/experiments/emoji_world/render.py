"""A scene as an image: a backdrop, painted as backdrop.yaml says, the subject, and the item that it holds."""

import colorsys
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from jinja2 import Environment
from PIL import Image, ImageDraw

from directrix.experiments.emoji_world.art import Art, scaled
from directrix.experiments.emoji_world.scene import Scene
from directrix.measurement.judges import emoji_vocabulary as words

RESOLUTION = 64
# Backdrops are painted so many times as large, and reduced.
SCALE = 2
SUBJECT_HEIGHT = (0.74, 0.94)
ITEM_HEIGHT = (0.34, 0.44)
# Some drawings carry a tool at their side that makes them wide: never wider than the image.
LARGEST_WIDTH = 0.98


def render(scene: Scene, art: Art, resolution: int = RESOLUTION) -> Image.Image:
    """The scene as an RGB image, ``resolution`` pixels square; the same scene always gives the same image."""
    rng = np.random.default_rng(scene.seed)
    # Every chance is drawn whether used or not, so that variants of a scene share all they can.
    height, item_height, across, lift, item_across, item_lift = rng.random(6)
    right_handed = rng.random() < 0.5
    canvas = backdrop(scene.setting, resolution, rng).convert("RGBA")
    code = words.subject_codes(scene.subject, scene.gender, scene.tone_code)
    sprite = art.sprite(scene.style, code)
    low, high = SUBJECT_HEIGHT
    target = resolution * (low + (high - low) * height)
    wide = sprite.width / sprite.height
    body = scaled(sprite, min(target * max(1.0, wide), resolution * LARGEST_WIDTH))
    side = 1 if right_handed else -1
    holds = scene.item != words.NO_ITEM
    centre = resolution * (0.5 + 0.1 * (across - 0.5) - (0.06 * side if holds else 0.0))
    top = resolution - body.height + resolution * 0.02 - lift * max(0.0, resolution * 0.96 - body.height)
    canvas.alpha_composite(_on(body, round(centre - body.width / 2), round(top), resolution))
    if holds:
        low, high = ITEM_HEIGHT
        noun = art.sprite(scene.style, words.ITEM_OBJECTS[scene.item].code)
        item = scaled(noun, resolution * (low + (high - low) * item_height))
        x = resolution * (0.5 + side * (0.28 + 0.05 * item_across)) - item.width / 2
        y = resolution * (0.97 - 0.1 * item_lift) - item.height
        canvas.alpha_composite(_on(item, round(x), round(y), resolution))
    return canvas.convert("RGB")


def _on(sprite: Image.Image, x: int, y: int, resolution: int) -> Image.Image:
    """The sprite on an empty canvas, cut where it reaches over the edge."""
    layer = Image.new("RGBA", (resolution, resolution), (0, 0, 0, 0))
    layer.paste(sprite, (x, y))
    return layer


def backdrop(setting: str, size: int, rng: np.random.Generator) -> Image.Image:
    """An RGB image of the setting, ``size`` pixels square; each has a look of its own."""
    plan, large = _plans()["settings"][setting], size * SCALE
    names: dict[str, Any] = {**_plans()["colours"], "size": large}
    _draw(plan["chance"], names, rng)
    top, bottom = (np.array(names[name]) for name in plan["sky"])
    rows = np.linspace(0, 1, large)[:, None] * (bottom - top) + top
    image = Image.fromarray(np.repeat(rows[:, None], large, axis=1).round().astype(np.uint8))
    pen = ImageDraw.Draw(image)
    for step in plan["paint"]:
        for names["i"] in range(step.get("repeat", 1)):
            _draw(step.get("chance", {}), names, rng)
            for shape in step["shapes"]:
                (kind, where), (_, fill), *more = shape.items()
                colour = _expression(fill)(**names) if isinstance(fill, str) else fill
                getattr(pen, kind)(_expression(f"({where})")(**names), fill=tuple(colour), **dict(more))
    return image.resize((size, size), Image.Resampling.BOX)


def _draw(chances: Mapping[str, Any], names: dict[str, Any], rng: np.random.Generator) -> None:
    """Put values drawn by chance to the others."""
    for name, given in chances.items():
        if given == "pale":
            colour = colorsys.hsv_to_rgb(rng.random(), rng.uniform(0.08, 0.35), rng.uniform(0.85, 1.0))
            names[name] = tuple(int(channel * 255) for channel in colour)
        elif isinstance(given, list):
            names[name] = names["size"] * rng.uniform(*given)
        elif "either" in given:
            names[name] = names["size"] * given["either"][0 if rng.random() < 0.5 else 1]
        elif "below" in given:
            names[name] = int(rng.integers(given["below"]))
        else:
            colour, by = names.get(str(given["shift"]), given["shift"]), given.get("by", 10)
            names[name] = tuple(np.clip(np.array(colour) + rng.integers(-by, by + 1, size=3), 0, 255).tolist())


@cache
def _plans() -> Mapping[str, Any]:
    return yaml.safe_load(Path(__file__).with_name("backdrop.yaml").read_text(encoding="utf-8"))


@cache
def _expression(text: str) -> Callable[..., Any]:
    return Environment().compile_expression(text)
