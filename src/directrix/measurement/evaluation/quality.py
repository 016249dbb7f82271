"""How good pictures are as a set: FID and KID against a reference, and CLIP score against their prompts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from directrix.measurement.evaluation.estimates import Measured, averaged
from directrix.measurement.evaluation.images import Picture
from directrix.measurement.metrics import clip_score, fid, jackknife, kid


def distances(pictures: Sequence[Picture], features: Mapping[str, Any], reference: Any, seed: int = 0) -> Measured:
    """The figures "fid" and "kid" against reference features (N, D), in the features of a judge: lower is better.

    FID's interval comes from leaving prompts out: drawing pictures twice would itself raise it. KID's is that of its
    subsets. Both need two pictures or more on each side; else nothing is measured.
    """
    import numpy as np

    if len(pictures) < 2 or len(reference) < 2:
        return Measured()
    by_prompt: dict[str, list[Any]] = {}
    for picture in pictures:
        by_prompt.setdefault(picture.row.id, []).append(features[picture.sha256])
    all_features = np.stack([features[picture.sha256] for picture in pictures])
    figures = {"kid": kid(all_features, reference, seed=seed).as_dict()}
    if len(by_prompt) > 2:
        whole = jackknife(by_prompt, lambda rows: fid(np.stack([each for row in rows for each in row]), reference))
        figures["fid"] = whole.as_dict()
    return Measured(figures)


def clip_scores(pictures: Sequence[Picture], features: Mapping[str, Any], texts: Mapping[str, Any]) -> Measured:
    """The metric "clip_score", 0 to 100. features: of pictures by hash; texts: features by prompt, of the same CLIP."""
    import numpy as np

    images = np.stack([features[picture.sha256] for picture in pictures])
    words = np.stack([texts[picture.row.prompt] for picture in pictures])
    scores = dict(zip((picture.place for picture in pictures), clip_score(images, words).tolist(), strict=True))
    return averaged("clip_score", pictures, lambda picture: scores[picture.place])
