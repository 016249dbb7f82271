"""Adding, projecting and setting: who is counted where, over kinds of prompts, and going on where it stopped."""

from collections.abc import Mapping

import numpy as np
import pytest

from directrix.errors import MismatchError, NoEffectError
from directrix.experiments.methods.tasks import TEST
from directrix.experiments.reach import affine as bench
from directrix.experiments.tables import table
from directrix.interventions.project_and_set import ProjectAndSet
from directrix.measurement.judges import Verdict

SAID = {"female": "woman", "male": "man"}


class Drawn:
    """An image that remembers what is to be seen."""

    def __init__(self, labels, shade):
        self.labels, self.image = labels, self
        self.pixels = np.full((2, 2, 3), shade, np.uint8)

    def __array__(self, dtype=None, copy=None):
        return self.pixels.astype(dtype or np.uint8)


def drawn(pipeline, prompts, images, *, interventions, **sampling):
    """Adding leaves a man who was asked for, setting and projecting do not; unsteered images are men unless asked."""
    found = []
    for prompt in prompts:
        words = prompt.removeprefix("a photo of ").split(" ", 1)[1]
        value = next((SAID[word] for word in SAID if words.startswith(f"{word} ")), None)
        subject = next(each for each in TEST if words.endswith(each))
        gender, shade = value or "man", 0
        if isinstance(interventions, ProjectAndSet):
            gender, shade = interventions.config["directions"][0]["name"], 10
        elif interventions:
            ((direction, strength),) = interventions.strengths.items()
            name = direction.name.removeprefix("random for ").removeprefix("reversed ")
            acts = direction.name == name and (direction.parts[0].projection is not None or value is None)
            gender, shade = (name if acts and name in SAID.values() else gender), 20
            assert strength == 1.0
        label = "female" if gender == "woman" else "male"
        found += [Drawn({"gender": label, "tone": "light", "subject": subject}, shade)] * images
    return found


class Reader:
    name = "reader"

    def label(self, images) -> list[Mapping[str, Verdict]]:
        return [{key: Verdict(value, 1.0) for key, value in image.labels.items()} for image in images]


@pytest.fixture(scope="module")
def measured(pipeline, tmp_path_factory):
    folder, calls = tmp_path_factory.mktemp("affine"), []

    def calibrate(pipeline, direction, judge, *, target_label, progress):
        if direction.name == "brown-skinned":
            raise NoEffectError("No effect can be seen.", "one.", "another.")
        return direction

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bench, "calibrate", calibrate)
        patch.setattr(bench, "generate", lambda *given, **more: calls.append(1) or drawn(*given, **more))
        settings = {"images_per_prompt": 1, "num_inference_steps": 2}
        judges = {"emoji": Reader(), "other": Reader()}
        found = bench.affine(pipeline, judges, folder, **settings)
        before = len(calls)
        again = bench.affine(pipeline, judges, folder, **settings)
        with pytest.raises(MismatchError):
            bench.affine(pipeline, judges, folder, images_per_prompt=2, num_inference_steps=2)
    return found, again, before, len(calls)


def test_a_run_that_was_stopped_goes_on_with_the_same_figures(measured):
    found, again, before, after = measured
    assert found == again and before == after == 5 * 3 * 7


def test_each_way_is_counted_on_each_kind_of_prompt(measured):
    kinds = measured[0]["kinds"]
    gender = {kind: {way: one["emoji"]["effect"]["value"] for way, one in ways.items()} for kind, ways in kinds.items()}
    # Of five concepts two are genders; of the tones the reader sees light alone, in every image.
    assert gender["another"]["additive"] == pytest.approx(1 / 5)
    assert gender["another"]["affine"] == gender["another"]["project and set"] == pytest.approx(3 / 5)
    assert gender["named"]["unsteered"] == pytest.approx(3 / 5)
    assert gender["open"]["unsteered"] == pytest.approx(2 / 5)
    assert gender["open"]["additive"] == pytest.approx(3 / 5)
    assert kinds["open"]["unsteered"]["psnr"] is None
    assert kinds["open"]["affine"]["psnr"] == pytest.approx(20 * np.log10(255 / 20), abs=0.01)


def test_what_finding_took_is_beside(measured):
    found = measured[0]["found"]
    assert found["affine"]["brown-skinned"]["effect_seen"] is False
    assert found["affine"]["woman"]["shrinkage"].keys() == {"encoder_hidden_states"}
    assert found["additive"]["woman"]["shrinkage"] is None


def test_the_table_has_a_row_for_each(measured):
    figures = measured[0]
    rows = table("affine", {"models": {figures["model"]: figures}})
    assert len([row for row in rows if f"| {figures['model']} |" in row]) == 3 * 7
    assert any("project and set" in row and "another" in row for row in rows)
