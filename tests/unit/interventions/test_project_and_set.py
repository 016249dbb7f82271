from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType, SimpleNamespace
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from directrix.directions.direction import Direction
from directrix.errors import PolicyError, StrengthError
from directrix.generation.fair import fair
from directrix.generation.generate import generate
from directrix.interventions.project_and_set import ProjectAndSet
from directrix.interventions.prompt_conditioned import StepState, _Added
from directrix.interventions.protocol import Plan, compose
from directrix.interventions.steering import Steering
from directrix.models import activations
from directrix.policies.fair import Fair
from directrix.policies.policy import Policy

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
    replaced = ProjectAndSet(
        {"gender": {"woman": {woman: 1.0}, "man": {man: 0.5}}}, [{"gender": "man"}] * (images - 1) + [{}]
    )
    candidates = torch.stack([woman.tensor.flatten(), 0.5 * man.tensor.flatten()])
    about = torch.randn(images, candidates.shape[1], generator=random)
    on = torch.tensor([[False, True]] * (images - 1) + [[False, False]])
    weights = replaced.weights(about, candidates, on, StepState())
    after = about + weights @ candidates
    for image in range(images - 1):
        gap = after[image] - candidates[1]
        assert torch.allclose(candidates @ gap, torch.zeros(2), atol=1e-2)
    # An image that is given nothing keeps its very bits.
    assert not weights[-1].any()


@pytest.mark.parametrize("factor", [1.0, 1e3])
def test_directions_of_very_different_sizes(make_direction: Callable[..., Direction], factor: float):
    """A short direction counts as much as a long one."""
    long = make_direction("light", 1)
    short = long.with_(tensor=(long.tensor + make_direction("dark", 2).tensor) / factor, name="dark")
    attributes = {"tone": {"light": {long: 1.0}, "dark": {short: 1.0}}}
    candidates = torch.stack([long.tensor.flatten(), short.tensor.flatten()])
    about = torch.randn(1, candidates.shape[1], generator=torch.Generator().manual_seed(0))
    replaced = ProjectAndSet(attributes, [{"tone": "dark"}])
    weights = replaced.weights(about, candidates, torch.tensor([[False, True]]), StepState())
    gap = about[0] + weights[0] @ candidates - candidates[1]
    units = candidates / candidates.norm(dim=1, keepdim=True)
    assert (units @ gap).abs().max() < 1e-2 * about.norm()


def test_an_image_alone_is_decided_as_in_a_batch(make_direction: Callable[..., Direction]):
    directions = [make_direction(name, seed) for seed, name in enumerate(TONES)]
    attributes = {"skin tone": {each.name: {each: 1.0} for each in directions}}
    assigned = [{"skin tone": TONES[image % 3]} for image in range(5)]
    candidates = torch.stack([each.tensor.flatten() for each in directions])
    about = torch.randn(5, candidates.shape[1], generator=torch.Generator().manual_seed(0))
    on = torch.tensor([[each["skin tone"] == tone for tone in TONES] for each in assigned])
    whole = ProjectAndSet(attributes, assigned).weights(about, candidates, on, StepState())
    for image in range(5):
        one = slice(image, image + 1)
        alone = ProjectAndSet(attributes, assigned[one]).weights(about[one], candidates, on[one], StepState())
        assert torch.equal(alone[0], whole[image])


def test_what_others_of_a_batch_are_given_does_not_show(make_direction: Callable[..., Direction]):
    names = ("woman", "man", *TONES)
    directions = dict(zip(names, (make_direction(name, seed) for seed, name in enumerate(names)), strict=True))
    attributes = {
        "gender": {name: {directions[name]: 1.0} for name in names[:2]},
        "skin tone": {name: {directions[name]: 1.0} for name in TONES},
    }
    assigned = [{"skin tone": TONES[2]}, {"gender": "woman"}, {"gender": "man", "skin tone": TONES[0]}]
    vectors = {name: each.tensor.flatten() for name, each in directions.items()}
    for seed in range(5):
        about = torch.randn(3, 512, generator=torch.Generator().manual_seed(seed))

        def added(images: list[int], about: torch.Tensor = about) -> torch.Tensor:
            replaced = ProjectAndSet(attributes, [assigned[image] for image in images])
            known = [next(iter(effect)).name for _, effect in replaced.candidates()]
            on = torch.tensor([[name in assigned[image].values() for name in known] for image in images])
            candidates = torch.stack([vectors[name] for name in known])
            return replaced.weights(about[images], candidates, on, StepState()) @ candidates

        whole = added([0, 1, 2])
        for image in range(3):
            assert torch.equal(added([image])[0], whole[image])


def test_without_guidance_the_category_is_added(pipeline: Any, people: list[Direction]):
    plan, records, _ = drawn(pipeline, Fair(BOTH, people), 2, guidance_scale=1.0)
    added = Fair(BOTH, people, project_and_set=False).plan(["a judge"], 2, 0)
    assert isinstance(added.intervention, Steering) and not isinstance(plan.intervention, Steering)
    others = generate(pipeline, ["a judge"], 2, interventions=added.intervention, **{**QUICK, "guidance_scale": 1.0})
    for one, other in zip(records, others, strict=True):
        assert np.array_equal(np.asarray(one.image), np.asarray(other.image))


def test_who_insists_is_told(pipeline: Any, people: list[Direction]):
    with pytest.raises(StrengthError, match="project_and_set=False"):
        drawn(pipeline, Fair(BOTH, people, project_and_set=True), 2, guidance_scale=1.0)


def test_directions_of_several_sites(make_direction: Callable[..., Direction]):
    woman = make_direction("woman", 1)
    man = make_direction("man", 2)
    man = man.with_(site=dataclasses.replace(man.site, name="down_blocks.0"))
    plan = Fair({"gender": "uniform"}, [woman, man]).plan(["a judge"], 2, 0)
    assert isinstance(plan.intervention, Steering)
    both = Fair({"gender": "uniform"}, [woman, man], project_and_set=True).plan(["a judge"], 2, 0)
    assert isinstance(both.intervention, ProjectAndSet)
    # One that no image is given does not count.
    alone = Fair({"gender": {"woman": 1.0}}, [woman, man]).plan(["a judge"], 2, 0)
    assert isinstance(alone.intervention, ProjectAndSet) and len(alone.intervention.candidates()) == 1


def test_what_opposites_were_levelled_by_is_left_to_the_prompt(make_direction: Callable[..., Direction]):
    """A little of a skin tone in woman and man alike must not take the prompt's skin tone out."""
    axis, tone = make_direction("axis", 1), make_direction("tone", 2)
    across = tone.tensor.flatten() - axis.tensor.flatten() * (
        (tone.tensor.flatten() @ axis.tensor.flatten()) / axis.tensor.square().sum()
    )
    shared = 0.04 * across.reshape(axis.tensor.shape)
    woman = axis.with_(tensor=axis.tensor + shared, name="woman")
    man = axis.with_(tensor=shared - axis.tensor, name="man")
    candidates = torch.stack([woman.tensor.flatten(), man.tensor.flatten()])
    about = (0.5 * axis.tensor.flatten() + across)[None]
    replaced = ProjectAndSet({"gender": {"woman": {woman: 1.0}, "man": {man: 1.0}}}, [{"gender": "man"}])
    weights = replaced.weights(about, candidates, torch.tensor([[False, True]]), StepState())
    after = about[0] + weights[0] @ candidates
    assert float(after @ across / across.square().sum()) == pytest.approx(1.04, abs=0.01)
    assert float(after @ candidates[1] / candidates[1].square().sum()) == pytest.approx(1.0, abs=0.06)


@pytest.mark.parametrize("branch", ["unconditional", "both"])
def test_only_the_conditional_half_can_be_rid_of_what_the_prompt_says(people: list[Direction], branch: str):
    plan = Fair({"gender": "uniform"}, people, branch=branch).plan(["a judge"], 2, 0)
    assert isinstance(plan.intervention, Steering) and plan.intervention.branch == branch
    with pytest.raises(StrengthError, match="branch='conditional'"):
        Fair({"gender": "uniform"}, people, branch=branch, project_and_set=True)


def test_a_category_that_adds_nothing_leaves_the_attribute_alone(pipeline: Any, people: list[Direction]):
    moods = {"mood": {"cheerful": "woman", "as it is": {"woman": 0.0}}}
    shares: dict[str | None, float] = {"cheerful": 0.5, "as it is": 0.5}
    plan, records, _ = drawn(pipeline, Fair({"mood": shares}, people, sets=moods), 4)
    plain = generate(pipeline, ["a judge"], 4, **QUICK)
    for assigned, one, other in zip(plan.assigned, records, plain, strict=True):
        same = np.array_equal(np.asarray(one.image), np.asarray(other.image))
        assert same or assigned["mood"] == "cheerful"


def test_names_that_look_alike_when_joined(make_direction: Callable[..., Direction]):
    one, other = make_direction("one", 1), make_direction("other", 2)
    attributes = {"a": {"b: c": {one: 1.0}}, "a: b": {"c": {other: 1.0}}}
    config = ProjectAndSet(attributes, [{"a": "b: c"}]).config
    assert [each["name"] for each in config["directions"]] == ["one"]


def test_a_further_call_about_the_conditional_half_is_as_the_last(people: list[Direction]):
    """Stable Diffusion 3.5 asks a third time, without some layers, and compares with the conditional half."""

    class Calls:
        call = SimpleNamespace(layout=(True, "unconditional-conditional"), rows=2)
        known: ClassVar[dict[str, Any]] = {}

        def now(self) -> Any:
            return self.call

        def recall(self, name: str, otherwise: Callable[[], Any]) -> Any:
            return self.known.setdefault(name, otherwise())

        def remember(self, name: str, value: Any) -> None:
            self.known[name] = value

    woman = people[0]
    replaced = ProjectAndSet({"gender": {each.name: {each: 1.0} for each in people[:2]}}, [{"gender": "woman"}])
    scope: Any = Calls()
    window: Any = SimpleNamespace(open=lambda call: True)
    edit = _Added(replaced, woman.site, replaced.candidates(), scope, replaced._on, "conditional", window)
    h = torch.randn(2, *woman.tensor.shape, generator=torch.Generator().manual_seed(0))
    both = edit(h)
    scope.call = SimpleNamespace(layout=(True, "conditional"), rows=1)
    third = edit(h[1:])
    assert both is not None and third is not None
    assert torch.equal(third[0], both[1]) and not torch.equal(third[0], h[1] + woman.tensor)


def test_the_one_line_call_can_add_as_the_paper_does(pipeline: Any, people: list[Direction]):
    """The manifest says which way it was."""
    for replace, method in ((False, "steer"), (None, "project-and-set")):
        records = fair(
            pipeline, ["a judge"], {"gender": "uniform"}, 2, directions=people, project_and_set=replace, **QUICK
        )
        assert {each.row["interventions"][0]["method"] for each in records} == {method}


def test_a_category_that_nobody_is_given_is_taken_out_too(people: list[Direction]):
    shares: dict[str | None, float] = {"light": 0.5, "dark": 0.5}
    whole = Fair({"skin tone": shares}, people).plan(["a judge"], 2, 0).intervention
    assert isinstance(whole, ProjectAndSet)
    assert [next(iter(effect)).name for _, effect in whole.candidates()] == list(TONES)
    # One that has no direction is not asked for.
    fewer = Fair({"skin tone": shares}, [each for each in people if "brown" not in each.name])
    part = fewer.plan(["a judge"], 2, 0).intervention
    assert isinstance(part, ProjectAndSet) and len(part.candidates()) == 2


def test_the_manifest_s_settings(people: list[Direction]):
    plan = Fair(BOTH, people).plan(["a judge"], 6, 0)
    intervention = compose(plan.intervention)
    assert isinstance(intervention, ProjectAndSet)
    for image, assigned in enumerate(plan.assigned):
        config = intervention.select([image], 6).config
        assert [each["name"] for each in config["directions"]] == list(assigned.values())
        assert list(config["attributes"]["skin tone"]) == list(TONES)
    with pytest.raises(StrengthError, match="not for 7"):
        intervention.select([0], 7)


def test_a_policy_says_whether(people: list[Direction]):
    def of(**settings: Any) -> Any:
        policy = Policy.of({"directions": people, "fair": {"gender": "uniform"}, "enhance": True, **settings})
        return policy.plan(["a judge"], 2, 0).intervention

    assert isinstance(of(), ProjectAndSet) and not of().config["insist"]
    assert isinstance(of(project_and_set=True), ProjectAndSet) and of(project_and_set=True).config["insist"]
    assert isinstance(of(project_and_set=False), Steering)

    def said(project_and_set: bool) -> str:
        policy = Policy.of({"directions": people, "fair": {"gender": "uniform"}, "project_and_set": project_and_set})
        return " ".join(policy.lines())

    assert said(True).endswith("is taken out first.") and "taken out" not in said(False)
    with pytest.raises(PolicyError, match="project_and_set is true, but nothing is balanced"):
        Policy.of({"directions": people, "safe": {"categories": {"w": {"woman": -1.0}}}, "project_and_set": True})
    with pytest.raises(PolicyError, match="project_and_set is text"):
        of(project_and_set="yes")
