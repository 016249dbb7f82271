"""Pictures of the world as it would be without its bias of gender and tone: what fair pictures are held against."""

from __future__ import annotations

import io
from pathlib import Path

from PIL import Image

from directrix.experiments.emoji_world.art import Art, fetch
from directrix.experiments.emoji_world.training.data import occupation_scenes, render_all
from directrix.models.files import write_atomically
from directrix.progress import Progress, silent

# A seed that no training used.
RENDER_SEED = 31_337


def renders(
    art_folder: Path, folder: Path, count: int = 2_000, seed: int = RENDER_SEED, progress: Progress = silent
) -> list[Path]:
    """Render occupations with both genders and all tones in equal shares, as PNG files in a folder.

    art_folder: the emoji art; fetched where it is missing. Returns the files, in order. The same seed gives the same
    pictures. Raises OutputError where the folder cannot be written.
    """
    art = Art(fetch(art_folder))
    scenes = occupation_scenes(count, seed)
    files = []
    for place, picture in enumerate(render_all(scenes, art, progress).images):
        file = folder / f"{place:05d}.png"
        buffer = io.BytesIO()
        Image.fromarray(picture.permute(1, 2, 0).numpy()).save(buffer, "PNG")
        write_atomically(file, buffer.getvalue())
        files.append(file)
    return files
