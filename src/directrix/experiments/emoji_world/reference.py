"""Writing the reference of faces: renders of the 20 occupations as the emoji judges' networks see them."""

from pathlib import Path

import numpy as np
from PIL import Image

from directrix.experiments.emoji_world.art import Art, fetch
from directrix.experiments.emoji_world.training.data import REFERENCE_SEED, render_all, scenes_of
from directrix.measurement.judges import load
from directrix.measurement.judges.base import batches
from directrix.measurement.judges.emoji_reference import LABELS, NETWORKS, Reference, checksum_of
from directrix.progress import Progress, silent

# About 20 for each occupation, gender and skin tone.
RENDERS = 2_400


def write_features(art_folder: Path, path: Path, progress: Progress = silent, count: int = RENDERS) -> Path:
    """Write what images of people are compared with: features of fresh renders, with subject, gender and tone evenly.

    art_folder: the emoji art; fetched where it is missing. Everything else follows the world's bias. Raises ModelError
    where a judge is missing, and OutputError where `path` cannot be written.
    """
    renders = render_all(scenes_of("occupations", count, REFERENCE_SEED), Art(fetch(art_folder)), progress)
    images = [Image.fromarray(array) for array in renders.images.permute(0, 2, 3, 1).numpy()]
    features = {}
    for name in NETWORKS:
        judge = load(name)
        with progress(count, f"Features by {judge.name}") as bar:
            rows = []
            for part in batches(images, 64):
                rows.append(np.asarray(judge.features(part)))  # type: ignore[attr-defined]
                bar.advance(len(part))
        features[name] = np.concatenate(rows)
    labels = {name: np.array([scene.labels()[name] for scene in renders.scenes]) for name in LABELS}
    return Reference(features, labels, {name: checksum_of(name) for name in NETWORKS}).save(path)
