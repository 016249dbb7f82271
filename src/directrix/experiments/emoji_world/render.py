"""A scene as an image: backdrop, subject, and the item it holds."""

import numpy as np
from PIL import Image

from directrix.experiments.emoji_world.art import Art
from directrix.experiments.emoji_world.backdrop import backdrop
from directrix.experiments.emoji_world.scene import Scene
from directrix.measurement.judges import emoji_vocabulary as words

RESOLUTION = 64
SUBJECT_HEIGHT = (0.74, 0.94)
ITEM_HEIGHT = (0.34, 0.44)
# Some drawings carry a tool at their side that makes them wide: never wider than the image.
LARGEST_WIDTH = 0.98


def _scaled(sprite: Image.Image, longest: float) -> Image.Image:
    scale = longest / max(sprite.size)
    size = (max(1, round(sprite.width * scale)), max(1, round(sprite.height * scale)))
    return sprite.resize(size, Image.Resampling.LANCZOS)


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
    body = _scaled(sprite, min(target * max(1.0, wide), resolution * LARGEST_WIDTH))
    side = 1 if right_handed else -1
    holds = scene.item != words.NO_ITEM
    centre = resolution * (0.5 + 0.1 * (across - 0.5) - (0.06 * side if holds else 0.0))
    top = resolution - body.height + resolution * 0.02 - lift * max(0.0, resolution * 0.96 - body.height)
    canvas.alpha_composite(_on(body, round(centre - body.width / 2), round(top), resolution))
    if holds:
        low, high = ITEM_HEIGHT
        noun = art.sprite(scene.style, words.ITEM_OBJECTS[scene.item].code)
        item = _scaled(noun, resolution * (low + (high - low) * item_height))
        x = resolution * (0.5 + side * (0.28 + 0.05 * item_across)) - item.width / 2
        y = resolution * (0.97 - 0.1 * item_lift) - item.height
        canvas.alpha_composite(_on(item, round(x), round(y), resolution))
    return canvas.convert("RGB")


def _on(sprite: Image.Image, x: int, y: int, resolution: int) -> Image.Image:
    """The sprite on an empty canvas, cut where it reaches over the edge."""
    layer = Image.new("RGBA", (resolution, resolution), (0, 0, 0, 0))
    layer.paste(sprite, (x, y))
    return layer
