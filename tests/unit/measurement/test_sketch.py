"""Images that are judged before their last steps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import pytest

from directrix.directions.direction import Direction
from directrix.directions.target_label import TargetLabel
from directrix.errors import MismatchError
from directrix.experiments.cost.measure import counted
from directrix.generation.generate import generate
from directrix.interventions.steering import Steering
from directrix.measurement.calibration.dose_response import DoseResponse, compared
from directrix.measurement.calibration.sketch import sketched
from directrix.measurement.judges import Verdict
from directrix.models.steerable import SteerableModel
from unit.models.families import survey
from unit.models.families.checks import arguments

PROMPTS = ["a judge", "a cook"]
QUICK = {"num_inference_steps": 4, "guidance_scale": 5.0}


def drawing(pipeline: Any) -> Callable[..., Any]:
    def draw(interventions: Sequence[Any]) -> Any:
        return generate(pipeline, PROMPTS, 2, interventions=interventions, **QUICK)

    return draw


def far(one: Any, other: Any) -> float:
    return float(np.abs(np.asarray(one).astype(int) - np.asarray(other)).mean())


def test_a_sketch_is_of_three_steps_and_nearer_to_its_image_than_to_others(pipeline: Any):
    with counted(pipeline) as whole:
        finished = [each.image for each in drawing(pipeline)(())]
    with counted(pipeline) as fewer:
        sketches = sketched(drawing(pipeline), ())
    assert fewer.count == whole.count * 3 / 4
    assert [each.size for each in sketches] == [each.size for each in finished]
    for place, each in enumerate(sketches):
        assert min(range(4), key=lambda other: far(each, finished[other])) == place
    # Nothing of it stays.
    assert all(far(*pair) == 0 for pair in zip(finished, (e.image for e in drawing(pipeline)(())), strict=True))


def test_it_is_steered_as_the_image_is(pipeline: Any, make_direction: Callable[..., Direction]):
    steering = Steering({make_direction("woman", 1, scale=8.0): 1.0})
    plain, steered = (sketched(drawing(pipeline), given) for given in ((), (steering,)))
    assert all(far(*pair) > 0 for pair in zip(plain, steered, strict=True))


def test_a_direction_of_another_model_is_refused(pipeline: Any, make_direction: Callable[..., Direction]):
    own = make_direction("woman", 1)
    other = own.with_(model=own.model.__class__(own.model.name, own.model.revision, "0" * len(own.model.fingerprint)))
    with pytest.raises(MismatchError):
        sketched(drawing(pipeline), (Steering({other: 1.0}),))


@pytest.mark.parametrize("name", ["StableDiffusionXLPAGPipeline", "StableDiffusion3PAGPipeline"])
def test_attention_that_a_call_exchanges_is_put_back(name: str):
    pipeline: Any = survey.build(name)
    network: Any = SteerableModel.of(pipeline).denoiser
    before = dict(network.attn_processors)
    given = {
        key: value for key, value in arguments(pipeline, survey.ROWS[name], 1).items() if key in ("height", "width")
    }
    assert len(sketched(partial(one, pipeline, given), ())) == 1
    assert dict(network.attn_processors) == before


@pytest.mark.parametrize("name", ["FluxPipeline", "StableDiffusionPipeline"])
def test_where_nobody_can_look_half_way_the_image_is_drawn_whole(name: str):
    pipeline: Any = survey.build(name)
    if name == "StableDiffusionPipeline":
        pipeline.unet.compile(backend="eager")
    given = {
        key: value for key, value in arguments(pipeline, survey.ROWS[name], 1).items() if key in ("height", "width")
    }
    draw = partial(one, pipeline, given)
    with counted(pipeline) as whole:
        finished = draw(())[0].image
    with counted(pipeline) as tried:
        assert far(sketched(draw, ())[0], finished) == 0
    # It is known at the first step, or before it.
    assert tried.count <= whole.count * 5 / 4


def one(pipeline: Any, given: Any, interventions: Sequence[Any]) -> Any:
    return generate(pipeline, "a judge", interventions=interventions, num_inference_steps=4, **given)


class Counts:
    """Sees the same in all images."""

    name, held_out, config = "counts", False, {}

    def __init__(self) -> None:
        self.seen: list[Any] = []

    def label(self, images: Sequence[Any]) -> list[dict[str, Any]]:
        self.seen += images
        return [{} for _ in images]


def test_what_a_pipeline_does_at_its_end_is_done(pipeline: Any, monkeypatch: pytest.MonkeyPatch):
    ended: list[None] = []
    monkeypatch.setattr(pipeline, "maybe_free_model_hooks", lambda: ended.append(None))
    sketched(drawing(pipeline), ())
    assert len(ended) == 1


def test_more_than_a_batch_is_drawn_whole(pipeline: Any):
    judge: Any = Counts()
    settings: Any = {"num_inference_steps": 4, "sketch": True}
    DoseResponse(SteerableModel.of(pipeline), judge, PROMPTS, 2, batch_size=3, **settings)
    drawn = generate(pipeline, PROMPTS, 2, num_inference_steps=4, batch_size=3)
    assert all(far(*pair) == 0 for pair in zip(judge.seen, (each.image for each in drawn), strict=True))


def test_a_subject_that_no_judge_sees_cannot_be_lost():
    female, male = (TargetLabel("gender", each) for each in ("female", "male"))

    def verdicts(*subjects: str | None) -> list[dict[str, Verdict]]:
        return [{"gender": Verdict("female", 1.0), "subject": Verdict(each, 1.0)} for each in subjects]

    before = verdicts("judge", "cook", None)
    assert compared(female, 1.0, before, verdicts("judge", "cook", "cook")).retained.value == 1.0
    assert compared(female, 1.0, before, verdicts("judge", None, None)).retained.value == 0.5
    # Of nobody it is not known that it is retained.
    assert compared(male, 1.0, verdicts(None), verdicts("judge")).retained.value == 0.0


def test_one_strength_can_be_looked_at_with_care(pipeline: Any, make_direction: Callable[..., Direction]):
    judge: Any = Counts()
    tried = DoseResponse(SteerableModel.of(pipeline), judge, PROMPTS, 2, num_inference_steps=4, sketch=True)
    woman = make_direction("woman", 1, scale=8.0)
    for whole in (False, True):
        tried.verdicts(woman, 1.0, whole=whole)
    plain, sketch, finished = judge.seen[:4], judge.seen[4:8], judge.seen[8:]
    assert len(plain) == len(sketch) == len(finished) == 4
    drawn = generate(pipeline, PROMPTS, 2, interventions=Steering({woman: 1.0}), num_inference_steps=4, batch_size=16)
    assert all(far(*pair) == 0 for pair in zip(finished, (each.image for each in drawn), strict=True))
    assert all(far(*pair) > 0 for pair in zip(sketch, finished, strict=True))
