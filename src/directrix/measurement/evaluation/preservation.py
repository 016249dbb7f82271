"""What is left of the unsteered picture of the same seed: pixels, features, and whether any bit changed at all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from directrix.measurement.evaluation.estimates import Measured, averaged
from directrix.measurement.evaluation.images import Picture
from directrix.measurement.metrics import feature_distance, psnr
from directrix.progress import Progress, silent

# Decibels of two files that differ and hold the same pixels.
MOST = 100.0


def preservation(
    pictures: Sequence[Picture],
    unsteered: Sequence[Picture],
    features: Mapping[str, Any] | None = None,
    progress: Progress = silent,
) -> Measured:
    """The metrics "identical" (share), "psnr" (dB, of the pictures that changed) and "feature_distance" (1 - cosine).

    Args:
        unsteered: those that the same places are held against.
        features: (D,) by hash; None where no judge has any.
    """
    before = {picture.place: picture for picture in unsteered}
    pairs = {picture.place: (before[picture.place], picture) for picture in pictures}
    ratios: dict[tuple[int, int], float] = {}
    with progress(len(pairs), "Comparing pixels") as bar:
        for place, (old, new) in pairs.items():
            # Pictures of equal files are as near as can be, which no mean of decibels can hold.
            if old.sha256 != new.sha256:
                ratios[place] = psnr(_pixels(old), _pixels(new), limit=MOST)
            bar.advance(1)
    measured = averaged("identical", pictures, lambda each: float(_same(pairs[each.place])))
    changed = [picture for picture in pictures if picture.place in ratios]
    if changed:
        measured.add(averaged("psnr", changed, lambda each: ratios[each.place]))
    if features is not None:
        measured.add(averaged("feature_distance", pictures, lambda each: _apart(pairs[each.place], features), max))
    return measured


def _same(pair: tuple[Picture, Picture]) -> bool:
    return pair[0].sha256 == pair[1].sha256


def _apart(pair: tuple[Picture, Picture], features: Mapping[str, Any]) -> float:
    if _same(pair):
        return 0.0
    old, new = (features[each.sha256] for each in pair)
    return float(feature_distance(old[None], new[None])[0])


def _pixels(picture: Picture) -> Any:
    import numpy as np

    return np.asarray(picture.image, dtype=np.uint8)
