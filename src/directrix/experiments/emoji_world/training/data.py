"""Renders for training and as a reference: images as one array of bytes, with the scenes that they show."""

import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import Self

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from directrix.experiments.emoji_world.art import Art, fetch
from directrix.experiments.emoji_world.render import render
from directrix.experiments.emoji_world.scene import Scene, draw
from directrix.measurement.judges import emoji_vocabulary as words
from directrix.models.files import write_atomically
from directrix.progress import Progress, silent

# Gender and tone evenly, the rest as it comes: for networks that should know every kind of image equally well.
EVEN = frozenset({"gender", "tone"})

# A seed that no training used.
REFERENCE_SEED = 31_337

# Gender and tone are few pixels, and a network learns the words for them late: here captions name them more often.
TELLING_SHARE = {"subject": 0.88, "gender": 0.75, "tone": 0.65, "item": 0.55, "setting": 0.5, "style": 0.25}


@dataclass(frozen=True)
class Renders:
    """``images`` is uint8 (N, 3, size, size); ``scenes`` holds N scenes in the same order."""

    images: Tensor
    scenes: list[Scene]

    def __len__(self) -> int:
        return len(self.scenes)

    def to(self, device: torch.device) -> Self:
        """The same with the images on a device."""
        return replace(self, images=self.images.to(device))


def as_pixels(images: Tensor) -> Tensor:
    """Bytes 0 to 255 as float32 -1 to 1."""
    return images.float().div_(127.5).sub_(1.0)


def render_all(scenes: Sequence[Scene], art: Art, progress: Progress = silent, label: str = "renders") -> Renders:
    """Draw every scene."""
    pictures = []
    with progress(len(scenes), label) as bar:
        for scene in scenes:
            pictures.append(np.asarray(render(scene, art), dtype=np.uint8))
            bar.advance(1)
    stacked = torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).contiguous()
    return Renders(stacked, list(scenes))


def _telling(rng: np.random.Generator) -> frozenset[str]:
    return frozenset(name for name, share in TELLING_SHARE.items() if rng.random() < share)


def _late(
    rng: np.random.Generator, _place: int, *, harm: float, alley: float, named_tone: float, tones: Mapping[str, float]
) -> Scene:
    """Shares: of places of harm, of alleys among these, and of captions that name a tone, by its own share."""

    def until(named: frozenset[str], attribute: str, value: str) -> Scene:
        while getattr(scene := draw(rng, named=named), attribute) != value:
            pass
        return scene

    chance = rng.random()
    if chance < harm:
        return until(frozenset({"subject", "setting"}), "setting", "alley" if rng.random() < alley else "party")
    named = _telling(rng)
    if chance < harm + named_tone:
        tone = str(rng.choice(list(tones), p=list(tones.values()))) if len(tones) > 1 else next(iter(tones))
        return until(named | {"tone"}, "tone", tone)
    return draw(rng, named=named)


def _even(rng: np.random.Generator, _place: int) -> Scene:
    extra = frozenset(name for name in ("item", "setting", "style") if rng.random() < 0.6)
    return draw(rng, subject=words.SUBJECTS[int(rng.integers(len(words.SUBJECTS)))], named=EVEN | extra)


# How a scene is drawn by chance, the one of a place in a row of them.
KINDS: Mapping[str, Callable[[np.random.Generator, int], Scene]] = {
    # As the world's bias has them.
    "biased": lambda rng, place: draw(rng),
    # The same, with captions that name more of what is small in the image.
    "telling": lambda rng, place: draw(rng, named=_telling(rng)),
    # Telling ones, among them many of what a model learns last: places that bring in harm which the caption does not
    # name, and the brown skin tone, between two that look like it. What a caption leaves out follows the bias here too.
    "rare": partial(_late, harm=0.35, alley=0.7, named_tone=0.25, tones={"brown": 1.0}),
    # Rare ones, whose captions name a tone more often, the brown one above all.
    "last": partial(_late, harm=0.3, alley=0.75, named_tone=0.5, tones={"light": 0.3, "brown": 0.45, "dark": 0.25}),
    # Subject, gender and tone drawn evenly; item, setting and style are, too, in six of ten each.
    "even": _even,
    # Three even ones, then a telling one.
    "mixed": lambda rng, place: _even(rng, place) if place % 4 else draw(rng, named=_telling(rng)),
    # The occupations in turn, with gender and tone drawn evenly and all else as the bias has it.
    "occupations": lambda rng, place: draw(
        rng, subject=words.OCCUPATIONS[place % len(words.OCCUPATIONS)], named=EVEN | {"subject"}
    ),
}


def scenes_of(kind: str, count: int, seed: int) -> list[Scene]:
    """Scenes of one of ``KINDS``."""
    rng = np.random.default_rng(seed)
    return [KINDS[kind](rng, place) for place in range(count)]


def write_reference(
    art_folder: Path, folder: Path, count: int = 2_000, seed: int = REFERENCE_SEED, progress: Progress = silent
) -> list[Path]:
    """Write images of the world without its bias of gender and tone, what fair images are compared with, as PNG files.

    art_folder: the emoji art; fetched where it is missing. The same seed gives the same images. Returns the files, in
    order. Raises OutputError where the folder cannot be written.
    """
    files = []
    scenes = scenes_of("occupations", count, seed)
    for place, image in enumerate(render_all(scenes, Art(fetch(art_folder)), progress).images):
        buffer = io.BytesIO()
        Image.fromarray(image.permute(1, 2, 0).numpy()).save(buffer, "PNG")
        files.append(folder / f"{place:05d}.png")
        write_atomically(files[-1], buffer.getvalue())
    return files


def batches(count: int, size: int, seed: int) -> Callable[[int], Tensor]:
    """A function from a step's number to ``size`` indices below ``count``: epochs of a seeded shuffle, resumable."""

    @lru_cache(maxsize=1)
    def order(epoch: int) -> np.ndarray:
        return np.random.default_rng((seed, epoch)).permutation(count)

    def at(step: int) -> Tensor:
        places = range(step * size, (step + 1) * size)
        return torch.tensor([int(order(place // count)[place % count]) for place in places])

    return at
