"""Renders for training and as a reference: images as one array of bytes, with the scenes that they show."""

import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

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


def biased_scenes(count: int, seed: int) -> list[Scene]:
    """Scenes as the world's bias has them."""
    rng = np.random.default_rng(seed)
    return [draw(rng) for _ in range(count)]


def telling_scenes(count: int, seed: int) -> list[Scene]:
    """Scenes as the world's bias has them, whose captions name more of what is small in the image."""
    rng = np.random.default_rng(seed)
    return [draw(rng, named=_telling(rng)) for _ in range(count)]


def rare_scenes(count: int, seed: int) -> list[Scene]:
    """Telling scenes, among them many of what a model learns last.

    Places that bring in harm which the caption does not name, and the brown skin tone, between two that look like it.
    What a caption leaves out follows the world's bias in them as everywhere.
    """
    return _late_scenes(count, seed, harm=0.35, alley=0.7, named_tone=0.25, tones={"brown": 1.0})


def last_scenes(count: int, seed: int) -> list[Scene]:
    """Rare scenes once more, whose captions name a tone more often, the brown one above all."""
    tones = {"light": 0.3, "brown": 0.45, "dark": 0.25}
    return _late_scenes(count, seed, harm=0.3, alley=0.75, named_tone=0.5, tones=tones)


def _late_scenes(
    count: int, seed: int, *, harm: float, alley: float, named_tone: float, tones: Mapping[str, float]
) -> list[Scene]:
    """Shares: of places of harm, of alleys among these, and of captions that name a tone, by its own share."""
    rng = np.random.default_rng(seed)

    def one() -> Scene:
        chance = rng.random()
        if chance < harm:
            place = "alley" if rng.random() < alley else "party"
            return _until(rng, frozenset({"subject", "setting"}), "setting", place)
        named = _telling(rng)
        if chance < harm + named_tone:
            tone = str(rng.choice(list(tones), p=list(tones.values()))) if len(tones) > 1 else next(iter(tones))
            return _until(rng, named | {"tone"}, "tone", tone)
        return draw(rng, named=named)

    return [one() for _ in range(count)]


def _telling(rng: np.random.Generator) -> frozenset[str]:
    return frozenset(name for name, share in TELLING_SHARE.items() if rng.random() < share)


def _until(rng: np.random.Generator, named: frozenset[str], attribute: str, value: str) -> Scene:
    while getattr(scene := draw(rng, named=named), attribute) != value:
        pass
    return scene


def even_scenes(count: int, seed: int) -> list[Scene]:
    """Scenes with subject, gender and tone drawn evenly; item, setting and style are, too, in six of ten each."""
    rng = np.random.default_rng(seed)

    def one() -> Scene:
        extra = frozenset(name for name in ("item", "setting", "style") if rng.random() < 0.6)
        subject = words.SUBJECTS[int(rng.integers(len(words.SUBJECTS)))]
        return draw(rng, subject=subject, named=EVEN | extra)

    return [one() for _ in range(count)]


def occupation_scenes(count: int, seed: int) -> list[Scene]:
    """The occupations in turn, with gender and tone drawn evenly and all else as the world's bias has it."""
    rng = np.random.default_rng(seed)
    return [
        draw(rng, subject=words.OCCUPATIONS[place % len(words.OCCUPATIONS)], named=EVEN | {"subject"})
        for place in range(count)
    ]


def write_reference(
    art_folder: Path, folder: Path, count: int = 2_000, seed: int = REFERENCE_SEED, progress: Progress = silent
) -> list[Path]:
    """Write images of the world without its bias of gender and tone, what fair images are compared with, as PNG files.

    art_folder: the emoji art; fetched where it is missing. The same seed gives the same images. Returns the files, in
    order. Raises OutputError where the folder cannot be written.
    """
    files = []
    for place, image in enumerate(render_all(occupation_scenes(count, seed), Art(fetch(art_folder)), progress).images):
        buffer = io.BytesIO()
        Image.fromarray(image.permute(1, 2, 0).numpy()).save(buffer, "PNG")
        files.append(folder / f"{place:05d}.png")
        write_atomically(files[-1], buffer.getvalue())
    return files


def batches(count: int, size: int, seed: int) -> Callable[[int], Tensor]:
    """A function from a step's number to ``size`` indices below ``count``: epochs of a seeded shuffle, resumable."""

    def at(step: int) -> Tensor:
        start = step * size
        picks = []
        while len(picks) < size:
            epoch, place = divmod(start + len(picks), count)
            order = _order(count, seed, epoch)
            picks.extend(order[place : place + size - len(picks)].tolist())
        return torch.tensor(picks)

    return at


@lru_cache(maxsize=1)
def _order(count: int, seed: int, epoch: int) -> np.ndarray:
    return np.random.default_rng((seed, epoch)).permutation(count)
