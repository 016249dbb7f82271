"""What is left of the unsteered image of the same seed: pixels, features, and whether any bit changed at all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from directrix.measurement.evaluation.estimates import Measured, averaged
from directrix.measurement.evaluation.images import EvaluatedImage
from directrix.measurement.metrics import feature_distance, psnr
from directrix.progress import Progress, silent

# Decibels of two files that differ and hold the same pixels.
MOST = 100.0


def preservation(
    pictures: Sequence[EvaluatedImage],
    unsteered: Sequence[EvaluatedImage],
    features: Mapping[str, Any] | None = None,
    progress: Progress = silent,
) -> Measured:
    """The metrics "identical" (share), "psnr" (dB, of the images that changed) and "feature_distance" (1 - cosine).

    Args:
        unsteered: those of the same places.
        features: (D,) by hash; None where no judge has any.
    """
    import numpy as np

    before = {picture.place: picture for picture in unsteered}
    pairs = {picture.place: (before[picture.place], picture) for picture in pictures}
    # Images of equal files are as near as can be, which no mean of decibels can hold.
    changed = [picture for picture in pictures if before[picture.place].sha256 != picture.sha256]
    ratios: dict[tuple[int, int], float] = {}
    with progress(len(changed), "Comparing pixels") as bar:
        for picture in changed:
            old, new = (np.asarray(each.image, dtype=np.uint8) for each in pairs[picture.place])
            ratios[picture.place] = psnr(old, new, limit=MOST)
            bar.advance(1)
    measured = averaged("identical", pictures, lambda each: float(each.place not in ratios))
    if changed:
        measured.add(averaged("psnr", changed, lambda each: ratios[each.place]))

    def apart(picture: EvaluatedImage) -> float:
        if features is None or picture.place not in ratios:
            return 0.0
        old, new = (features[each.sha256][None] for each in pairs[picture.place])
        return float(feature_distance(old, new)[0])

    if features is not None:
        measured.add(averaged("feature_distance", pictures, apart, max))
    return measured
