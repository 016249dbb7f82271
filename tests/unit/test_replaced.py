from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from directrix import activations
from directrix.apply.fair import Fair
from directrix.apply.policy import Policy
from directrix.apply.replaced import Replaced
from directrix.apply.watching import Moment
from directrix.direction import Direction
from directrix.errors import MismatchError, PolicyError, StrengthError
from directrix.generate import generate
from directrix.intervention import Plan, compose
from directrix.steer import Steering

TONES = ("light-skinned", "brown-skinned", "dark-skinned")
QUICK = {"num_inference_steps": 2, "guidance_scale": 5.0}
BOTH = {"gender": "uniform", "skin tone": "uniform"}


class Recorded:
    """What the site gives, once whatever was entered before has acted."""

    name = "recorded"
    config: Mapping[str, Any] = MappingProxyType({})

    def __init__(self, direction: Direction) -> None:
        self._site = direction.site
        self.steps: list[torch.Tensor] = []

    @contextmanager
    def applied(self, pipeline: Any) -> Iterator[Any]:
        with activations.edit(pipeline, self._site, self._see):
            yield pipeline

    def _see(self, h: torch.Tensor) -> None:
        self.steps.append(h.detach().clone())

    def about(self) -> torch.Tensor:
        """At the first step, conditional less unconditional half, (images, D)."""
        unconditional, conditional = self.steps[0].chunk(2)
        return (conditional - unconditional).flatten(1)


@pytest.fixture(scope="module")
def people(make_direction: Callable[..., Direction]) -> list[Direction]:
    """A direction for each gender and skin tone, no larger than what a prompt says."""
    return [make_direction(name, seed, scale=0.05) for seed, name in enumerate(("woman", "man", *TONES))]


def drawn(pipeline: Any, planner: Fair, images: int, **settings: Any) -> tuple[Plan, list[Any], Recorded]:
    plan = planner.plan(["a judge"], images, 0)
    direction = next(iter(next(iter(planner.balances[0].effects.values()))))
    recorded = Recorded(direction)
    records = generate(
        pipeline, ["a judge"], images, interventions=[plan.intervention, recorded], **{**QUICK, **settings}
    )
    return plan, records, recorded


def test_the_category_stands_in_the_place_of_what_the_prompt_says(pipeline: Any, people: list[Direction]):
    """Within the attributes' span a picture is about its categories alone, and about all else as before."""
    plan, _, recorded = drawn(pipeline, Fair(BOTH, people), 6, batch_size=6)
    plain = Recorded(people[0])
    generate(pipeline, ["a judge"], 6, interventions=[plain], batch_size=6, **QUICK)
    vectors = {each.name: each.tensor.flatten() for each in people}
    basis = torch.linalg.qr(torch.stack(list(vectors.values())).T).Q
    before, after = plain.about(), recorded.about()
    for image, assigned in enumerate(plan.assigned):
        given = sum(vectors[name] for name in assigned.values())
        assert torch.allclose(after[image] @ basis, given @ basis, atol=1e-4)
        said = before[image] @ basis
        assert said.norm() > 1e-3
        rest = before[image] - basis @ said
        assert torch.allclose(after[image] - basis @ (after[image] @ basis), rest, atol=1e-4)


@given(seed=st.integers(0, 2**31 - 1), images=st.integers(2, 5), opposite=st.booleans())
def test_weights_put_any_image_where_its_category_is(
    seed: int, images: int, opposite: bool, make_direction: Callable[..., Direction]
):
    """Whatever the directions: exact opposites span one dimension, not two."""
    random = torch.Generator().manual_seed(seed)
    woman, man = make_direction("woman", 1), make_direction("man", 2)
    if opposite:
        man = woman.with_(tensor=-woman.tensor, name="man")
    replaced = Replaced(
        {"gender": {"woman": {woman: 1.0}, "man": {man: 0.5}}}, [{"gender": "man"}] * (images - 1) + [{}]
    )
    candidates = torch.stack([woman.tensor.flatten(), 0.5 * man.tensor.flatten()])
    about = torch.randn(images, candidates.shape[1], generator=random)
    on = torch.tensor([[False, True]] * (images - 1) + [[False, False]])
    weights = replaced.weights(about, candidates, on, Moment())
    after = about + weights @ candidates
    for image in range(images - 1):
        gap = after[image] - candidates[1]
        assert torch.allclose(candidates @ gap, torch.zeros(2), atol=1e-2)
    # An image that is given nothing keeps its very bits.
    assert not weights[-1].any()


def test_an_image_alone_is_decided_as_in_a_batch(make_direction: Callable[..., Direction]):
    directions = [make_direction(name, seed) for seed, name in enumerate(TONES)]
    attributes = {"skin tone": {each.name: {each: 1.0} for each in directions}}
    assigned = [{"skin tone": TONES[image % 3]} for image in range(5)]
    candidates = torch.stack([each.tensor.flatten() for each in directions])
    about = torch.randn(5, candidates.shape[1], generator=torch.Generator().manual_seed(0))
    on = torch.tensor([[each["skin tone"] == tone for tone in TONES] for each in assigned])
    whole = Replaced(attributes, assigned).weights(about, candidates, on, Moment())
    for image in range(5):
        one = slice(image, image + 1)
        alone = Replaced(attributes, assigned[one]).weights(about[one], candidates, on[one], Moment())
        assert torch.equal(alone[0], whole[image])


def test_without_guidance_the_category_is_added(pipeline: Any, people: list[Direction]):
    plan, records, _ = drawn(pipeline, Fair(BOTH, people), 2, guidance_scale=1.0)
    added = Fair(BOTH, people, replace=False).plan(["a judge"], 2, 0)
    assert isinstance(added.intervention, Steering) and not isinstance(plan.intervention, Steering)
    others = generate(
        pipeline, ["a judge"], 2, interventions=added.intervention, **{**QUICK, "guidance_scale": 1.0}
    )
    for one, other in zip(records, others, strict=True):
        assert np.array_equal(np.asarray(one.image), np.asarray(other.image))


def test_who_insists_is_told(pipeline: Any, people: list[Direction]):
    with pytest.raises(StrengthError, match="replace=False"):
        drawn(pipeline, Fair(BOTH, people, replace=True), 2, guidance_scale=1.0)


def test_directions_of_several_sites(make_direction: Callable[..., Direction]):
    woman = make_direction("woman", 1)
    man = make_direction("man", 2)
    man = man.with_(site=dataclasses.replace(man.site, name="down_blocks.0"))
    plan = Fair({"gender": "uniform"}, [woman, man]).plan(["a judge"], 2, 0)
    assert isinstance(plan.intervention, Steering)
    with pytest.raises(MismatchError, match="replace=False"):
        Fair({"gender": "uniform"}, [woman, man], replace=True).plan(["a judge"], 2, 0)


def test_a_category_that_nobody_is_given_is_taken_out_too(people: list[Direction]):
    shares: dict[str | None, float] = {"light": 0.5, "dark": 0.5}
    whole = Fair({"skin tone": shares}, people).plan(["a judge"], 2, 0).intervention
    assert isinstance(whole, Replaced)
    assert [name for name, _ in whole.candidates()] == [f"skin tone: {tone}" for tone in TONES]
    # One that has no direction is not asked for.
    fewer = Fair({"skin tone": shares}, [each for each in people if "brown" not in each.name])
    part = fewer.plan(["a judge"], 2, 0).intervention
    assert isinstance(part, Replaced) and len(part.candidates()) == 2


def test_the_manifest_s_settings(people: list[Direction]):
    plan = Fair(BOTH, people).plan(["a judge"], 6, 0)
    intervention = compose(plan.intervention)
    assert isinstance(intervention, Replaced)
    for image, assigned in enumerate(plan.assigned):
        config = intervention.select([image], 6).config
        assert [each["name"] for each in config["directions"]] == list(assigned.values())
        assert list(config["in the place of"]["skin tone"]) == list(TONES)
    with pytest.raises(StrengthError, match="not for 7"):
        intervention.select([0], 7)


def test_a_policy_says_whether(people: list[Direction]):
    def of(**settings: Any) -> Any:
        policy = Policy.of({"directions": people, "fair": {"gender": "uniform"}, "enhance": True, **settings})
        return policy.plan(["a judge"], 2, 0).intervention

    assert isinstance(of(), Replaced) and not of().insists
    assert isinstance(of(replace=True), Replaced) and of(replace=True).insists
    assert isinstance(of(replace=False), Steering)

    def told(replace: bool) -> str:
        policy = Policy.of({"directions": people, "fair": {"gender": "uniform"}, "replace": replace})
        return " ".join(policy.lines())

    assert told(True).endswith("is taken out first.") and "taken out" not in told(False)
    with pytest.raises(PolicyError, match="replace is text"):
        of(replace="yes")
