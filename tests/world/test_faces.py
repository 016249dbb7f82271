"""The shipped reference of faces: renders are like themselves, and what the model draws well is not like noise."""

from typing import Any

import numpy as np
import pytest

from directrix.measurement.evaluation.faces import distances
from directrix.measurement.judges import emoji_vocabulary as words
from directrix.measurement.judges.emoji_reference import Reference
from directrix.measurement.metrics import matched_kid
from directrix.models import embedded

pytestmark = pytest.mark.world


@pytest.fixture(scope="module")
def reference() -> Reference:
    return Reference.load()


def test_it_holds_every_person_and_fits_the_shipped_judges(reference: Reference) -> None:
    kinds = set(zip(*(reference.labels[name].tolist() for name in ("subject", "gender", "tone")), strict=True))
    assert len(kinds) == len(words.OCCUPATIONS) * len(words.GENDERS) * len(words.TONES)
    assert {"emoji"} <= set(reference.judges()) == set(reference.features)
    assert embedded.reference_path().stat().st_size <= 3_000_000


def test_renders_are_near_to_renders_and_those_of_others_are_not(reference: Reference) -> None:
    chosen = np.random.default_rng(0).random(len(reference.labels["tone"])) < 0.25
    dark = chosen & (reference.labels["tone"] == "dark")
    subjects = reference.labels["subject"]
    for features in reference.features.values():
        same, other = (
            matched_kid(
                features[dark],
                subjects[dark].tolist(),
                features[~chosen],
                (subjects[dark][:, None] == subjects[~chosen]) & (reference.labels["tone"][~chosen] == tone),
            )
            for tone in ("dark", "light")
        )
        assert same.low < 0 < same.high or abs(same.value) < other.value / 10
        assert other.low > same.high


def test_pictures_without_a_face_are_far_from_renders(reference: Reference, emoji_judge: Any) -> None:
    from PIL import Image

    # Flat colours, as of a face that is gone, in place of pilots.
    flat = [Image.new("RGB", (64, 64), (90 + place, 60, 40)) for place in range(10)]
    labels = [{"subject": "pilot", "gender": "male", "tone": "dark"}] * 10
    features = {"emoji": np.asarray(emoji_judge.features(flat))}
    found, left_out = distances(labels, list("aabbccddee"), features, reference)
    assert found["kid.emoji.dark"].low > 10
    assert left_out["faces, female"] == "0 images; 10 are needed"
