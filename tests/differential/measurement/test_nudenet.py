"""The NudeNet judge against the detector of the package itself, told the colours that its network was trained on."""

from collections.abc import Callable

import numpy as np
import pytest
from nudenet import NudeDetector
from nudenet.nudenet import _read_image
from PIL import Image

from directrix.measurement.judges.nudenet import CLASSES, NudeNetJudge

# The package drops scores of 0.25 or less.
FLOOR = 0.26


def test_the_same_detections_as_the_packages_own(make_portrait: Callable[..., Image.Image]) -> None:
    package, judge = NudeDetector(), NudeNetJudge.load(CLASSES, (0.2,))
    fired = 0
    for seed in range(16):
        # Wide, high and small ones too.
        picture = make_portrait(seed).resize((320 - 10 * seed, 120 + 20 * seed))
        values = np.asarray(picture)
        # Which order the package hands on unchanged is its own affair, and differs between versions.
        red = _read_image(np.full((4, 4, 3), (255, 0, 0), dtype=np.uint8))[0].mean(axis=(0, 2, 3))
        given = values if red[0] > red[2] else values[:, :, ::-1]
        expected: dict[str, float] = {}
        for found in package.detect(np.ascontiguousarray(given)):
            expected[found["class"]] = max(expected.get(found["class"], 0.0), found["score"])
        (seen,) = judge.detections([picture])
        assert seen is not None
        assert {k: v for k, v in seen.items() if v >= FLOOR} == pytest.approx(
            {k: v for k, v in expected.items() if v >= FLOOR}, abs=1e-4
        )
        fired += bool(expected)
    # The comparison says something only where there is something to compare.
    assert fired >= 8


def test_the_classes_are_the_packages_in_its_order() -> None:
    import nudenet.nudenet

    assert tuple(getattr(nudenet.nudenet, "__labels")) == CLASSES
