"""Probes, and feedback steering by them."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from directrix import models
from directrix.cli import main
from directrix.directions.direction import Direction
from directrix.directions.target_label import TargetLabel
from directrix.errors import DirectionFileError, DirectrixError, MismatchError, PolicyError, StrengthError
from directrix.generation.generate import generate
from directrix.interventions.feedback_control import MOST, FeedbackSteering
from directrix.interventions.probe import Probe
from directrix.interventions.project_and_set import ProjectAndSet
from directrix.interventions.prompt_conditioned import StepState
from directrix.interventions.steering import Steering
from directrix.measurement.calibration.fit_probe import _step, fit_probe
from directrix.measurement.calibration.recorded import Recorded
from directrix.measurement.judges import Verdict
from directrix.models import activations
from directrix.models.identity import Site
from directrix.policies.fair import Fair
from directrix.policies.policy import Policy

TONES = ("light-skinned", "brown-skinned", "dark-skinned")
TIMES = (801.0, 601.0, 401.0, 201.0, 1.0)
QUICK = {"num_inference_steps": 4, "guidance_scale": 5.0}


@pytest.fixture(scope="module")
def people(make_direction: Callable[..., Direction]) -> list[Direction]:
    return [make_direction(name, seed, scale=0.05) for seed, name in enumerate(("woman", "man", *TONES))]


@pytest.fixture(scope="module")
def probe(pipeline: Any, people: list[Direction]) -> Probe:
    """Reads any numbers, of three tones at five timesteps."""
    random = torch.Generator().manual_seed(0)
    shape = tuple(people[0].tensor.shape)
    size = people[0].tensor.numel()
    return Probe(
        "skin tone",
        TONES,
        people[0].site,
        models.identity(pipeline),
        shape,
        torch.tensor(TIMES),
        torch.randn(5, size, generator=random),
        torch.randn(5, 3, size, generator=random) / size**0.5,
        torch.randn(5, 3, 3, generator=random),
    )


def test_the_error_is_what_is_read_less_the_class_means(probe: Probe):
    state = torch.randn(probe.shape, generator=torch.Generator().manual_seed(1))
    error = probe.error(state[None], "brown-skinned", 401.0)
    expected = [
        float((probe.weights[2, kind] * (state.flatten() - probe.centres[2])).sum() - probe.class_means[2, 1, kind])
        for kind in range(3)
    ]
    assert error is not None and error[0].tolist() == pytest.approx(expected, abs=1e-4)
    # Each of several pictures as alone, to the bit.
    several = probe.error(torch.stack([state, 2 * state, -state]), "brown-skinned", 401.0)
    assert several is not None and several.shape == (3, 3) and torch.equal(several[:1], error)
    # Other schedules have other timesteps: the nearest is meant, and before the first nothing is known.
    near = probe.error(state[None], "brown-skinned", 455.0)
    assert near is not None and torch.equal(near, error)
    for time, known in ((950.0, False), (899.0, True), (-90.0, True), (-120.0, False)):
        assert (probe.error(state[None], "brown-skinned", time) is not None) == known
    # As many, but of a picture that lies on its side.
    with pytest.raises(MismatchError, match=r"of shape \(32, 4, 4\); those of these images have \(32, 2, 8\)"):
        probe.error(state.reshape(1, 32, 2, 8), "brown-skinned", 401.0)


def test_a_file_holds_it(probe: Probe, tmp_path: Path):
    file = tmp_path / "tone.probe"
    probe.save(file)
    read = Probe.load(file)
    state = torch.randn(probe.shape, generator=torch.Generator().manual_seed(1))
    one, other = (each.error(state[None], "light-skinned", 1.0) for each in (probe, read))
    assert one is not None and other is not None and torch.equal(one, other)
    assert (read.attribute, read.categories, read.site) == (probe.attribute, TONES, probe.site)
    again = tmp_path / "again.probe"
    read.save(again)
    assert Probe.load(again).digest() == read.digest() == probe.digest()
    assert probe.digest() != dataclasses.replace(probe, class_means=probe.class_means + 1).digest()
    with pytest.raises(DirectrixError, match="not finite"):
        dataclasses.replace(probe, class_means=probe.class_means / 0)


def test_a_file_of_version_0_1_is_read(probe: Probe, tmp_path: Path):
    from safetensors import safe_open
    from safetensors.torch import save_file

    probe.save(tmp_path / "new.probe")
    with safe_open(str(tmp_path / "new.probe"), framework="pt") as file:
        tensors = {{"class_means": "readings"}.get(name, name): file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        described = json.loads(file.metadata()["directrix-probe"]) | {"format": 1}
    del described["sha256"]
    save_file(tensors, tmp_path / "old.gauge", metadata={"directrix-gauge": json.dumps(described)})
    read = Probe.load(tmp_path / "old.gauge")
    assert read.digest() == probe.digest() and torch.equal(read.class_means, probe.class_means)
    with pytest.warns(FutureWarning, match=r"Probe\.readings is now Probe\.class_means"):
        assert read.readings is read.class_means
    with pytest.raises(AttributeError, match="no attribute 'gauge'"):
        read.gauge  # noqa: B018


@pytest.mark.parametrize("content", [b"", b"no tensors", None])
def test_files_that_are_none(people: list[Direction], tmp_path: Path, content: bytes | None):
    file = tmp_path / "other.probe"
    if content is None:
        people[0].save(file)
    else:
        file.write_bytes(content)
    with pytest.raises(DirectionFileError, match="no probe that can be read"):
        Probe.load(file)
    with pytest.raises(DirectionFileError, match="no probe that can be read"):
        Probe.load(tmp_path / "missing.probe")


@pytest.fixture(scope="module")
def flipped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("flipped") / "tone.probe"


@settings(max_examples=50)
@given(place=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_one_flipped_bit_is_refused(probe: Probe, flipped: Path, place: float, bit: int):
    probe.save(flipped)
    data = bytearray(flipped.read_bytes())
    data[int(place * len(data))] ^= 1 << bit
    flipped.write_bytes(data)
    with pytest.raises(DirectionFileError):
        Probe.load(flipped)


def test_shapes_that_do_not_go_together(probe: Probe):
    with pytest.raises(DirectrixError, match="have the shapes"):
        dataclasses.replace(probe, categories=TONES[:2])


def three_images(
    people: list[Direction], probe: Probe
) -> tuple[Any, Any, tuple[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]:
    """One of both attributes, one of one and one of none: what all get, what is weighed, and the half without."""
    attributes = {
        "gender": {each.name: {each: 1.0} for each in people[:2]},
        "skin tone": {each.name: {each: 1.0} for each in people[2:]},
    }
    assigned = [{"skin tone": "dark-skinned", "gender": "man"}, {"gender": "woman"}, {}]
    about, without = torch.randn(2, 3, 512, generator=torch.Generator().manual_seed(2))
    candidates = torch.stack([each.tensor.flatten() for each in people])
    on = torch.tensor([[False, True, False, False, True], [True] + [False] * 4, [False] * 5])
    return attributes, assigned, (about, candidates, on), without.reshape(3, *probe.shape)


def test_an_image_that_leaves_its_category_is_pushed_back_by_as_much(probe: Probe, people: list[Direction]):
    attributes, assigned, (about, candidates, on), without = three_images(people, probe)
    feedback = FeedbackSteering(attributes, assigned, probes={"skin tone": probe})
    state = StepState(timestep=201.0, without=without)
    plain = ProjectAndSet(attributes, assigned).weights(about, candidates, on, state)
    weights = feedback.weights(about, candidates, on, state)
    error = probe.error(without[:1], "dark-skinned", 201.0)
    assert error is not None and error.abs().max() > 0.1
    assert torch.allclose(weights[0, 2:], plain[0, 2:] - error[0].clamp(-MOST, MOST))
    # The attribute without a probe, the image without a tone, and the one that is given nothing are as they were.
    assert torch.equal(weights[0, :2], plain[0, :2]) and torch.equal(weights[1:], plain[1:])
    # Before anything can be read.
    early = feedback.weights(about, candidates, on, StepState(timestep=990.0, without=without))
    assert torch.equal(early, plain)
    # However far it seems to be.
    far = feedback.weights(about, candidates, on, StepState(timestep=201.0, without=1e3 * without))
    assert (far[0, 2:] - plain[0, 2:]).abs().max() == pytest.approx(MOST)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an accelerator: products of a whole batch there")
def test_an_accelerator_weighs_all_images_at_once_as_the_cpu_each(probe: Probe, people: list[Direction]):
    attributes, assigned, given, without = three_images(people, probe)
    feedback = FeedbackSteering(attributes, assigned, probes={"skin tone": probe})
    here = feedback.weights(*given, StepState(timestep=201.0, without=without))
    there = feedback.weights(*(each.cuda() for each in given), StepState(timestep=201.0, without=without.cuda()))
    assert there.is_cuda and torch.allclose(there.cpu(), here, atol=1e-4)


def test_pictures_are_drawn_by_it_alone_as_in_a_batch(pipeline: Any, people: list[Direction], probe: Probe):
    fair = Fair({"gender": "uniform", "skin tone": "uniform"}, people, feedback=probe)
    batch, alone = (generate(pipeline, ["a judge"], 3, interventions=fair, batch_size=size, **QUICK) for size in (3, 1))
    replaced = generate(
        pipeline, ["a judge"], 3, interventions=Fair({"gender": "uniform", "skin tone": "uniform"}, people), **QUICK
    )
    assert {each.row["interventions"][0]["method"] for each in batch} == {"feedback"}
    assert batch[0].row["interventions"][0]["feedback"] == {"skin tone": probe.digest()}
    for one, other, third in zip(batch, alone, replaced, strict=True):
        difference = np.asarray(one.image).astype(int) - np.asarray(other.image)
        assert abs(difference).max() <= 1
        assert abs(np.asarray(one.image).astype(int) - np.asarray(third.image)).max() > 1


def test_where_nothing_can_be_read_it_says_so(pipeline: Any, people: list[Direction], probe: Probe):
    fair = Fair({"skin tone": "uniform"}, people, feedback=probe)
    with pytest.raises(StrengthError, match="no `feedback`"):
        generate(pipeline, ["a judge"], 3, interventions=fair, **{**QUICK, "guidance_scale": 1.0})


def test_what_does_not_go_together_is_refused(
    pipeline: Any, other_pipeline: Any, people: list[Direction], probe: Probe
):
    elsewhere = dataclasses.replace(probe, site=dataclasses.replace(probe.site, name="down_blocks.0"))
    with pytest.raises(MismatchError, match=r"reads at 'down_blocks\.0'"):
        Fair({"skin tone": "uniform"}, people, feedback=elsewhere)
    with pytest.raises(MismatchError, match="brown-skinned, which no direction draws"):
        shares: dict[str | None, float] = {"light": 0.5, "dark": 0.5}
        Fair({"skin tone": shares}, [each for each in people if "brown" not in each.name], feedback=probe)
    with pytest.raises(PolicyError, match="no attribute 'age'"):
        Fair({"skin tone": "uniform"}, people, feedback=dataclasses.replace(probe, attribute="age"))
    with pytest.raises(PolicyError, match="has nothing to act on"):
        Fair({"gender": "uniform"}, people, feedback=probe)
    with pytest.raises(PolicyError, match="Two probes read 'skin tone'"):
        Fair({"skin tone": "uniform"}, people, feedback=[probe, dataclasses.replace(probe, attribute="tone")])
    with pytest.raises(PolicyError, match="only added get no feedback"):
        Fair({"skin tone": "uniform"}, people, project_and_set=False, feedback=probe)
    stranger = dataclasses.replace(probe, model=models.identity(other_pipeline))
    with pytest.raises(MismatchError, match="a probe that was fitted with this very model"):
        fair = Fair({"skin tone": "uniform"}, people, feedback=stranger)
        generate(pipeline, ["a judge"], 3, interventions=fair, **QUICK)


def test_a_policy_names_its_file(people: list[Direction], probe: Probe, tmp_path: Path):
    probe.save(tmp_path / "tone.probe")
    for each in people:
        each.save(tmp_path / "directions" / f"{each.name}.safetensors")
    file = tmp_path / "policy.yaml"
    file.write_text("directions: [directions]\nfair: {skin tone: uniform}\nhold: tone.probe\nenhance: true\n")
    policy = Policy.load(file)
    assert isinstance(policy.plan(["a judge"], 3, 0).intervention, FeedbackSteering)
    assert "What a prompt itself says of what is balanced is taken out first." in policy.lines()
    assert "Images that leave their category are brought back, by a probe of skin tone." in policy.lines()
    file.write_text("directions: [directions]\nenhance: true\nhold: [tone.probe]\n")
    assert isinstance(Policy.load(file).plan(["a judge of any skin tone"], 3, 0).intervention, FeedbackSteering)
    only_safe = "safe: {categories: {women: {woman: -1.0}}, always: [women]}"
    file.write_text(f"directions: [directions]\nhold: [tone.probe]\n{only_safe}\n")
    with pytest.raises(PolicyError, match="feedback is given, but nothing is balanced"):
        Policy.load(file)
    for wrong in ("{skin tone: tone.probe}", "5", "false"):
        file.write_text(f"directions: [directions]\nfair: {{skin tone: uniform}}\nhold: {wrong}\n")
        with pytest.raises(PolicyError, match="a probe, or the name of its file"):
            Policy.load(file)
    own = "attributes: {complexion: {pale: light-skinned, brown: brown-skinned, dark: dark-skinned}}"
    file.write_text(f"directions: [directions]\n{own}\nfair: {{complexion: uniform}}\nhold: complexion.probe\n")
    dataclasses.replace(probe, attribute="complexion", categories=("pale", "brown-skinned", "dark")).save(
        tmp_path / "complexion.probe"
    )
    assert isinstance(Policy.load(file).plan(["a judge"], 3, 0).intervention, FeedbackSteering)
    file.write_text("directions: [directions]\nfair: {skin tone: uniform}\nhold: [none.probe]\n")
    with pytest.raises(DirectrixError, match=r"none\.probe"):
        Policy.load(file)


def test_readings_are_those_of_pictures_that_it_has_not_seen():
    """Whatever else they show: a category's own pictures read one more than others', and as far as it is said."""
    random = torch.Generator().manual_seed(0)
    # Many more activations than pictures, so that those of the fit are known by heart.
    axis = torch.nn.functional.one_hot(torch.tensor([0, 1, 2]), 1000).float() * 12
    subjects = 5 * torch.randn(4, 1000, generator=random)

    def states(count: int) -> tuple[torch.Tensor, torch.Tensor]:
        labels = torch.arange(count) % 3
        noise = torch.randn(count, 1000, generator=random)
        return axis[labels] + subjects[torch.randint(4, (count,), generator=random)] + noise, labels

    some, labels = states(150)
    step = _step(some, labels, torch.arange(150), 3)
    assert 0.1 < step.gap < 0.9
    fresh, kinds = states(1500)
    read = (fresh - step.centre) @ step.weights.T
    means = torch.stack([read[kinds == kind].mean(0) for kind in range(3)])
    assert (means - step.class_means).abs().max() < 0.1
    assert (torch.cdist(read, step.class_means).argmin(1) == kinds).float().mean() > 0.95
    # Of noise nothing is read.
    noise = torch.randn(150, 1000, generator=random)
    assert abs(_step(noise, torch.arange(150) % 3, torch.arange(150), 3).gap) < 0.1


def test_pictures_of_one_noise_do_not_speak_against_each_other():
    """Each noise has a picture of every category, which are alike but for a little: so probes are fitted."""
    random = torch.Generator().manual_seed(0)
    axis = torch.randn(3, 600, generator=random) * 0.1

    def states(noises: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        labels, groups = torch.arange(3 * noises) % 3, torch.arange(3 * noises) // 3
        noise = 2 * torch.randn(noises, 600, generator=random)
        own = 0.7 * torch.randn(3 * noises, 600, generator=random)
        return axis[labels] + noise[groups] + own, labels, groups

    some, labels, groups = states(100)
    fresh, kinds, _ = states(1500)
    errors = {}
    for name, apart in {"together": groups, "alone": torch.arange(300)}.items():
        step = _step(some, labels, apart, 3)
        read = (fresh - step.centre) @ step.weights.T
        means = torch.stack([read[kinds == kind].mean(0) for kind in range(3)])
        errors[name] = float((means - step.class_means).abs().max())
    assert errors["together"] < 0.15 < 0.3 < errors["alone"]


class Brightness:
    """Sees light pictures and dark ones, about as many of each."""

    name = "brightness"
    config: Mapping[str, Any] = MappingProxyType({})

    def label(self, images: Any) -> list[Mapping[str, Verdict]]:
        values = [float(np.asarray(image).mean()) for image in images]
        middle = float(np.median(values))
        return [{"tone": Verdict("light" if value > middle else "dark", 1.0)} for value in values]


class Likeness:
    """Sees which of two sets of pictures one is more like."""

    name = "likeness"
    config: Mapping[str, Any] = MappingProxyType({})

    def __init__(self, light: Any, dark: Any) -> None:
        means = [np.mean([np.asarray(each.image, dtype=float) for each in drawn], 0) for drawn in (light, dark)]
        self._axis = means[1] - means[0]
        self._middle = float((self._axis * (means[0] + means[1]) / 2).sum())

    def label(self, images: Any) -> list[Mapping[str, Verdict]]:
        found = [float((self._axis * np.asarray(image)).sum()) > self._middle for image in images]
        return [{"tone": Verdict("dark" if dark else "light", 1.0)} for dark in found]


def test_a_probe_is_fitted_to_what_the_judge_sees(
    pipeline: Any, people: list[Direction], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    directions = {
        each.with_(tensor=60 * each.tensor): TargetLabel("tone", each.name.split("-")[0])
        for each in people[2:]
        if "brown" not in each.name
    }
    judge = Likeness(
        *(generate(pipeline, "a cook", 8, interventions=Steering({each: 1.0}), **QUICK) for each in directions)
    )

    def fitted(**settings: Any) -> Probe:
        return fit_probe(
            pipeline,
            "skin tone",
            directions,
            judge,
            ["a judge", "a cook"],
            images_per_prompt=6,
            num_inference_steps=4,
            **settings,
        )

    probe = fitted(rounds=2)
    assert probe.categories == ("light-skinned", "dark-skinned") and probe.provenance["pictures"] == 48
    # Of four steps the first is not looked at.
    assert probe.timesteps.tolist() == sorted(probe.timesteps.tolist(), reverse=True)
    assert len(probe.provenance["gaps"]) == 3
    other = fitted(rounds=2, batch_size=5)
    assert torch.allclose(other.class_means, probe.class_means, atol=0.05) and other.shape == probe.shape
    other_round = fitted(rounds=1).digest()
    assert fitted(rounds=2).digest() == probe.digest() != other_round
    with pytest.raises(DirectrixError, match="of one nothing can be read"):
        fit_probe(pipeline, "skin tone", directions, judge, ["a judge"], num_inference_steps=1)
    # What was recorded and judged is not drawn again.
    judge.config = {"likeness": 1}  # pyright: ignore[reportAttributeAccessIssue]
    assert fitted(rounds=1, checkpoint=tmp_path).digest() == other_round
    monkeypatch.setattr("directrix.measurement.calibration.fit_probe.generate", None)
    assert fitted(rounds=1, checkpoint=tmp_path).digest() == other_round
    monkeypatch.undo()
    strange = {each: TargetLabel("mood", "light") for each in directions}
    with pytest.raises(DirectrixError, match="no attribute 'mood'"):
        fit_probe(pipeline, "skin tone", strange, judge, ["a judge"], num_inference_steps=2)
    with pytest.raises(DirectrixError, match="two directions or more"):
        fit_probe(pipeline, "skin tone", dict(list(directions.items())[:1]), judge, ["a judge"])


def test_a_category_that_never_comes_out(pipeline: Any, people: list[Direction]):
    directions = {each: TargetLabel("tone", each.name.split("-")[0]) for each in people[2:]}
    with pytest.raises(DirectrixError, match="No image showed brown-skinned"):
        fit_probe(
            pipeline,
            "skin tone",
            directions,
            Brightness(),
            ["a judge"],
            images_per_prompt=4,
            rounds=1,
            num_inference_steps=4,
        )


def test_the_command_wants_calibrated_directions(
    people: list[Direction], tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    for each in people:
        each.save(tmp_path / f"{each.name}.safetensors")
    command = ["fit-probe", "--attribute", "skin tone", "--directions", str(tmp_path)]
    assert main([*command, "-o", str(tmp_path / "x.probe")]) == 2
    assert "was not calibrated" in capsys.readouterr().err
    assert main([*command, "--prompts", str(tmp_path / "none.txt"), "-o", str(tmp_path / "x.probe")]) == 2
    assert "cannot be read" in capsys.readouterr().err
    assert not (tmp_path / "x.probe").exists()


def test_each_image_s_own_half_is_read(pipeline: Any, people: list[Direction], monkeypatch: pytest.MonkeyPatch):
    """The unconditional one, which is the first in the batch; by the fit as by what holds."""
    seen: list[torch.Tensor] = []
    site = people[0].site

    class Looking:
        name = "looking"
        config: Mapping[str, Any] = MappingProxyType({})

        @contextmanager
        def applied(self, pipeline: Any) -> Iterator[Any]:
            with activations.read(pipeline, site, lambda h: seen.append(h.clone())):
                yield pipeline

    record = Recorded(Looking(), site, 3)
    generate(pipeline, ["a judge", "a cook", "a pilot"], interventions=record, **QUICK)
    assert sorted(record.states) == [0, 1, 2] and len(record.times) == 3 and len(seen) == 4
    for image in range(3):
        for step in range(3):
            assert torch.allclose(record.states[image][step].float(), seen[step + 1][image], atol=1e-2)
            assert not torch.allclose(seen[step + 1][image], seen[step + 1][image + 3], atol=1e-2)
    moments: list[torch.Tensor | None] = []
    original = FeedbackSteering.weights

    def weights(self: FeedbackSteering, about: Any, candidates: Any, on: Any, state: StepState) -> Any:
        moments.append(state.without)
        return original(self, about, candidates, on, state)

    monkeypatch.setattr(FeedbackSteering, "weights", weights)
    seen.clear()
    attributes = {"skin tone": {each.name: {each: 1.0} for each in people[2:]}}
    feedback = FeedbackSteering(attributes, [{"skin tone": "dark-skinned"}] * 3, probes={})
    generate(pipeline, ["a judge", "a cook", "a pilot"], interventions=[Looking(), feedback], **QUICK)
    assert len(moments) == len(seen) == 4
    for without, h in zip(moments, seen, strict=True):
        assert without is not None and torch.equal(without, h[:3])


def test_too_many_activations_are_told_before_they_are_kept(monkeypatch: pytest.MonkeyPatch):
    site, inner = Site("mid_block", 4), Steering({})
    record = Recorded(inner, site, 10**12, [0])
    with pytest.raises(DirectrixError, match="1,000,000,000,000 images take"):
        record.add({1.0: torch.zeros(1, 4)})
    with pytest.raises(DirectrixError, match="No step could be read"):
        Recorded(inner, site, 1).add({})
