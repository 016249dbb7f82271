"""Backgrounds with a look of their own, one function a setting, drawn at twice the size and reduced."""

import colorsys
from collections.abc import Callable

import numpy as np
from PIL import Image, ImageDraw

Colour = tuple[int, int, int]
SCALE = 2


def _shift(colour: Colour, rng: np.random.Generator, by: int = 10) -> Colour:
    """The colour with a little chance in it, so that no two images are alike."""
    offset = rng.integers(-by, by + 1, size=3)
    return tuple(int(np.clip(channel + step, 0, 255)) for channel, step in zip(colour, offset, strict=True))  # type: ignore[return-value]


def _gradient(size: int, top: Colour, bottom: Colour) -> Image.Image:
    rows = np.linspace(0, 1, size)[:, None] * (np.array(bottom) - np.array(top)) + np.array(top)
    return Image.fromarray(np.repeat(rows[:, None], size, axis=1).round().astype(np.uint8))


def _plain(size: int, rng: np.random.Generator) -> Image.Image:
    red, green, blue = colorsys.hsv_to_rgb(rng.random(), rng.uniform(0.08, 0.35), rng.uniform(0.85, 1.0))
    colour: Colour = (int(red * 255), int(green * 255), int(blue * 255))
    return _gradient(size, colour, _shift(colour, rng, 6))


def _night(size: int, rng: np.random.Generator) -> Image.Image:
    image = _gradient(size, _shift((12, 16, 52), rng), _shift((34, 40, 96), rng))
    pen = ImageDraw.Draw(image)
    for _ in range(12):
        x, y = rng.uniform(0, size, 2)
        pen.ellipse((x - 1.5, y - 1.5, x + 1.5, y + 1.5), fill=(255, 250, 200))
    x, y, r = (size * 0.16 if rng.random() < 0.5 else size * 0.84), size * rng.uniform(0.12, 0.2), size * 0.1
    pen.ellipse((x - r, y - r, x + r, y + r), fill=(250, 240, 180))
    return image


def _beach(size: int, rng: np.random.Generator) -> Image.Image:
    image = _gradient(size, _shift((120, 200, 250), rng), _shift((190, 230, 255), rng))
    pen = ImageDraw.Draw(image)
    sea, sand = size * rng.uniform(0.4, 0.5), size * rng.uniform(0.64, 0.74)
    pen.rectangle((0, sea, size, size), fill=_shift((20, 130, 200), rng))
    pen.rectangle((0, sand - 3, size, sand), fill=(240, 250, 255))
    pen.rectangle((0, sand, size, size), fill=_shift((240, 214, 140), rng))
    x, r = size * (0.14 if rng.random() < 0.5 else 0.86), size * 0.09
    pen.ellipse((x - r, r * 0.6, x + r, r * 2.6), fill=(255, 220, 60))
    return image


def _snow(size: int, rng: np.random.Generator) -> Image.Image:
    image = _gradient(size, _shift((150, 175, 205), rng), _shift((200, 215, 232), rng))
    pen = ImageDraw.Draw(image)
    hill = size * rng.uniform(0.62, 0.74)
    pen.ellipse((-size * 0.5, hill, size * 0.8, size * 1.8), fill=(248, 250, 255))
    pen.ellipse((size * 0.3, hill + 4, size * 1.6, size * 1.8), fill=(238, 243, 252))
    for _ in range(18):
        x, y = rng.uniform(0, size, 2)
        pen.ellipse((x - 2.2, y - 2.2, x + 2.2, y + 2.2), fill=(255, 255, 255))
    return image


def _party(size: int, rng: np.random.Generator) -> Image.Image:
    image = _gradient(size, _shift((150, 40, 150), rng), _shift((225, 90, 170), rng))
    pen = ImageDraw.Draw(image)
    colours = ((255, 220, 60), (80, 220, 255), (120, 240, 120), (255, 255, 255), (255, 140, 60))
    for index in range(7):
        x = size * index / 7
        flag = [(x, 2), (x + size / 7, 2), (x + size / 14, size * 0.14)]
        pen.polygon(flag, fill=colours[index % len(colours)])
    for _ in range(20):
        x, y = rng.uniform(0, size, 2)
        pen.rectangle((x - 2, y - 2, x + 2, y + 2), fill=colours[int(rng.integers(len(colours)))])
    return image


def _alley(size: int, rng: np.random.Generator) -> Image.Image:
    image = Image.new("RGB", (size, size), _shift((58, 38, 34), rng, 8))
    pen = ImageDraw.Draw(image)
    mortar = _shift((30, 20, 20), rng, 5)
    height = size // 8
    for row in range(9):
        y = row * height
        pen.line((0, y, size, y), fill=mortar, width=3)
        for column in range(-1, 5):
            x = column * size / 4 + (size / 8 if row % 2 else 0)
            pen.line((x, y, x, y + height), fill=mortar, width=3)
    x = size * (0.12 if rng.random() < 0.5 else 0.88)
    pen.ellipse((x - 9, size * 0.08 - 4, x + 9, size * 0.08 + 14), fill=(230, 180, 70))
    return image


def _break(size: int, rng: np.random.Generator) -> Image.Image:
    image = _gradient(size, _shift((214, 184, 146), rng), _shift((200, 166, 126), rng))
    pen = ImageDraw.Draw(image)
    left = rng.random() < 0.5
    x = size * (0.04 if left else 0.66)
    pen.rectangle((x, size * 0.06, x + size * 0.3, size * 0.44), fill=(250, 250, 245))
    pen.rectangle((x + 4, size * 0.06 + 4, x + size * 0.3 - 4, size * 0.44 - 4), fill=_shift((150, 205, 240), rng))
    pen.line((x + size * 0.15, size * 0.06, x + size * 0.15, size * 0.44), fill=(250, 250, 245), width=4)
    pen.line((x, size * 0.25, x + size * 0.3, size * 0.25), fill=(250, 250, 245), width=4)
    pen.rectangle((0, size * 0.78, size, size), fill=_shift((122, 78, 44), rng))
    pen.rectangle((0, size * 0.78, size, size * 0.8), fill=_shift((90, 54, 30), rng))
    return image


def _forest(size: int, rng: np.random.Generator) -> Image.Image:
    image = _gradient(size, _shift((176, 220, 190), rng), _shift((120, 180, 120), rng))
    pen = ImageDraw.Draw(image)
    pen.rectangle((0, size * 0.8, size, size), fill=_shift((70, 130, 60), rng))
    for _ in range(6):
        x, w, h = rng.uniform(0, size), size * rng.uniform(0.1, 0.16), size * rng.uniform(0.45, 0.75)
        foot = size * rng.uniform(0.78, 0.86)
        pen.rectangle((x - 4, foot - 6, x + 4, foot + 10), fill=(96, 62, 36))
        pen.polygon([(x - w, foot), (x + w, foot), (x, foot - h)], fill=_shift((30, 104, 56), rng, 14))
    return image


BACKDROPS: dict[str, Callable[[int, np.random.Generator], Image.Image]] = {
    "plain": _plain,
    "night": _night,
    "beach": _beach,
    "snow": _snow,
    "party": _party,
    "alley": _alley,
    "break": _break,
    "forest": _forest,
}


def backdrop(setting: str, size: int, rng: np.random.Generator) -> Image.Image:
    """An RGB image of the setting, ``size`` pixels square."""
    return BACKDROPS[setting](size * SCALE, rng).resize((size, size), Image.Resampling.BOX)
