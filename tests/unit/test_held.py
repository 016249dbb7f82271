"""Gauges, and categories that are held by them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest
import torch

from directrix import models
from directrix.apply.fair import Fair
from directrix.apply.held import MOST, Held
from directrix.apply.policy import Policy
from directrix.apply.replaced import Replaced
from directrix.apply.watching import Moment
from directrix.cli import main
from directrix.direction import Direction
from directrix.errors import DirectionFileError, DirectrixError, MismatchError, PolicyError, StrengthError
from directrix.gauge import Gauge
from directrix.gauging import _step, fit_gauge
from directrix.generate import generate
from directrix.judges import Verdict
from directrix.trial import Aim

TONES = ("light-skinned", "brown-skinned", "dark-skinned")
TIMES = (801.0, 601.0, 401.0, 201.0, 1.0)
QUICK = {"num_inference_steps": 4, "guidance_scale": 5.0}


@pytest.fixture(scope="module")
def people(make_direction: Callable[..., Direction]) -> list[Direction]:
    return [make_direction(name, seed, scale=0.05) for seed, name in enumerate(("woman", "man", *TONES))]


@pytest.fixture(scope="module")
def gauge(pipeline: Any, people: list[Direction]) -> Gauge:
    """Reads any numbers, of three tones at five timesteps."""
    random = torch.Generator().manual_seed(0)
    size = people[0].tensor.numel()
    return Gauge(
        "skin tone",
        TONES,
        people[0].site,
        models.identity(pipeline),
        torch.tensor(TIMES),
        torch.randn(5, size, generator=random),
        torch.randn(5, 3, size, generator=random) / size**0.5,
        torch.randn(5, 3, 3, generator=random),
    )


def test_drift_is_what_is_read_less_what_the_category_reads(gauge: Gauge):
    state = torch.randn(gauge.size, generator=torch.Generator().manual_seed(1))
    drift = gauge.drift(state, "brown-skinned", 401.0)
    expected = [
        float((gauge.weights[2, kind] * (state - gauge.centres[2])).sum() - gauge.readings[2, 1, kind])
        for kind in range(3)
    ]
    assert drift is not None and drift.tolist() == pytest.approx(expected, abs=1e-4)
    # Other schedules have other timesteps: the nearest is meant, and before the first nothing is known.
    near = gauge.drift(state, "brown-skinned", 455.0)
    assert near is not None and torch.equal(near, drift)
    assert gauge.drift(state, "brown-skinned", 950.0) is None
    with pytest.raises(MismatchError, match="reads 512 activations; these images have 100"):
        gauge.drift(state[:100], "brown-skinned", 401.0)


def test_a_file_holds_it(gauge: Gauge, tmp_path: Path):
    file = tmp_path / "tone.gauge"
    gauge.save(file)
    read = Gauge.load(file)
    state = torch.randn(gauge.size, generator=torch.Generator().manual_seed(1))
    one, other = (each.drift(state, "light-skinned", 1.0) for each in (gauge, read))
    assert one is not None and other is not None and torch.allclose(one, other, atol=0.02)
    assert (read.attribute, read.categories, read.site) == (gauge.attribute, TONES, gauge.site)
    again = tmp_path / "again.gauge"
    read.save(again)
    assert Gauge.load(again).digest() == read.digest() != gauge.digest()


@pytest.mark.parametrize("content", [b"", b"no tensors", None])
def test_files_that_are_none(people: list[Direction], tmp_path: Path, content: bytes | None):
    file = tmp_path / "other.gauge"
    if content is None:
        people[0].save(file)
    else:
        file.write_bytes(content)
    with pytest.raises(DirectionFileError, match="no gauge that can be read"):
        Gauge.load(file)
    with pytest.raises(DirectionFileError, match="no gauge that can be read"):
        Gauge.load(tmp_path / "missing.gauge")


def test_shapes_that_do_not_go_together(gauge: Gauge):
    with pytest.raises(DirectrixError, match="have the shapes"):
        dataclasses.replace(gauge, categories=TONES[:2])


def test_a_picture_that_drifts_is_pushed_back_by_as_much(gauge: Gauge, people: list[Direction]):
    attributes = {
        "gender": {each.name: {each: 1.0} for each in people[:2]},
        "skin tone": {each.name: {each: 1.0} for each in people[2:]},
    }
    assigned = [{"skin tone": "dark-skinned", "gender": "man"}, {"gender": "woman"}, {}]
    held = Held(attributes, assigned, gauges={"skin tone": gauge})
    random = torch.Generator().manual_seed(2)
    candidates = torch.stack([each.tensor.flatten() for each in people])
    about, without = torch.randn(2, 3, gauge.size, generator=random)
    on = torch.tensor([[False, True, False, False, True], [True] + [False] * 4, [False] * 5])
    moment = Moment(timestep=201.0, without=without)
    plain = Replaced(attributes, assigned).weights(about, candidates, on, moment)
    weights = held.weights(about, candidates, on, moment)
    drift = gauge.drift(without[0], "dark-skinned", 201.0)
    assert drift is not None and drift.abs().max() > 0.1
    assert torch.allclose(weights[0, 2:], plain[0, 2:] - drift.clamp(-MOST, MOST))
    # The attribute without a gauge, the image without a tone, and the one that is given nothing are as they were.
    assert torch.equal(weights[0, :2], plain[0, :2]) and torch.equal(weights[1:], plain[1:])
    # Before anything can be read.
    early = held.weights(about, candidates, on, Moment(timestep=990.0, without=without))
    assert torch.equal(early, plain)
    # However far it seems to be.
    far = held.weights(about, candidates, on, Moment(timestep=201.0, without=1e3 * without))
    assert (far[0, 2:] - plain[0, 2:]).abs().max() == pytest.approx(MOST)


def test_pictures_are_drawn_by_it_alone_as_in_a_batch(pipeline: Any, people: list[Direction], gauge: Gauge):
    fair = Fair({"gender": "uniform", "skin tone": "uniform"}, people, hold=gauge)
    batch, alone = (
        generate(pipeline, ["a judge"], 3, interventions=fair, batch_size=size, **QUICK) for size in (3, 1)
    )
    replaced = generate(
        pipeline,
        ["a judge"],
        3,
        interventions=Fair({"gender": "uniform", "skin tone": "uniform"}, people),
        **QUICK,
    )
    assert {each.row["interventions"][0]["method"] for each in batch} == {"held"}
    assert batch[0].row["interventions"][0]["held"] == {"skin tone": gauge.digest()}
    for one, other, third in zip(batch, alone, replaced, strict=True):
        difference = np.asarray(one.image).astype(int) - np.asarray(other.image)
        assert abs(difference).max() <= 1
        assert abs(np.asarray(one.image).astype(int) - np.asarray(third.image)).max() > 1


def test_where_nothing_can_be_read_it_says_so(pipeline: Any, people: list[Direction], gauge: Gauge):
    fair = Fair({"skin tone": "uniform"}, people, hold=gauge)
    with pytest.raises(StrengthError, match="no `hold`"):
        generate(pipeline, ["a judge"], 3, interventions=fair, **{**QUICK, "guidance_scale": 1.0})


def test_what_does_not_go_together_is_refused(
    pipeline: Any, other_pipeline: Any, people: list[Direction], gauge: Gauge
):
    elsewhere = dataclasses.replace(gauge, site=dataclasses.replace(gauge.site, name="down_blocks.0"))
    with pytest.raises(MismatchError, match=r"reads at 'down_blocks\.0'"):
        Fair({"skin tone": "uniform"}, people, hold=elsewhere)
    with pytest.raises(MismatchError, match="brown-skinned, which no direction draws"):
        shares: dict[str | None, float] = {"light": 0.5, "dark": 0.5}
        Fair({"skin tone": shares}, [each for each in people if "brown" not in each.name], hold=gauge)
    with pytest.raises(PolicyError, match="reads 'age'"):
        Fair({"skin tone": "uniform"}, people, hold=dataclasses.replace(gauge, attribute="age"))
    with pytest.raises(PolicyError, match="each attribute once"):
        Fair({"skin tone": "uniform"}, people, hold=[gauge, gauge])
    with pytest.raises(PolicyError, match="only added cannot be held"):
        Fair({"skin tone": "uniform"}, people, replace=False, hold=gauge)
    stranger = dataclasses.replace(gauge, model=models.identity(other_pipeline))
    with pytest.raises(MismatchError, match="a gauge that was fitted with this very model"):
        fair = Fair({"skin tone": "uniform"}, people, hold=stranger)
        generate(pipeline, ["a judge"], 3, interventions=fair, **QUICK)


def test_a_policy_names_its_file(people: list[Direction], gauge: Gauge, tmp_path: Path):
    gauge.save(tmp_path / "tone.gauge")
    for each in people:
        each.save(tmp_path / "directions" / f"{each.name}.safetensors")
    file = tmp_path / "policy.yaml"
    file.write_text("directions: [directions]\nfair: {skin tone: uniform}\nhold: tone.gauge\nenhance: true\n")
    policy = Policy.load(file)
    assert isinstance(policy.plan(["a judge"], 3, 0).intervention, Held)
    assert "Pictures that drift are brought back, by a gauge of skin tone." in policy.lines()
    file.write_text("directions: [directions]\nenhance: true\nhold: [tone.gauge]\n")
    assert isinstance(Policy.load(file).plan(["a judge of any skin tone"], 3, 0).intervention, Held)
    file.write_text("directions: [directions]\nsafe: [no weapon]\nhold: [tone.gauge]\n")
    with pytest.raises(PolicyError):
        Policy.load(file)
    file.write_text("directions: [directions]\nfair: {skin tone: uniform}\nhold: [none.gauge]\n")
    with pytest.raises(DirectrixError, match=r"none\.gauge"):
        Policy.load(file)


def test_readings_are_told_apart_by_what_the_categories_differ_in():
    """Of pictures that it has not seen, whatever else they show; its own pictures read one more than others'."""
    random = torch.Generator().manual_seed(0)
    axis = torch.nn.functional.one_hot(torch.tensor([0, 1, 2]), 40).float() * 3
    subjects = 5 * torch.randn(4, 40, generator=random)

    def states(count: int) -> tuple[torch.Tensor, torch.Tensor]:
        labels = torch.arange(count) % 3
        noise = 0.3 * torch.randn(count, 40, generator=random)
        return axis[labels] + subjects[torch.randint(4, (count,), generator=random)] + noise, labels

    seen, labels = states(120)
    centre, weights, readings = _step(seen, labels, 3)
    own = readings.diagonal()
    assert float((own - (readings.sum(0) - own) / 2).mean()) == pytest.approx(1.0, abs=1e-5)
    fresh, kinds = states(60)
    read = (fresh - centre) @ weights.T
    distances = torch.cdist(read, readings)
    assert (distances.argmin(1) == kinds).float().mean() > 0.95


class Brightness:
    """Sees light pictures and dark ones, about as many of each."""

    name = "brightness"
    config: Mapping[str, Any] = MappingProxyType({})

    def label(self, images: Any) -> list[Mapping[str, Verdict]]:
        values = [float(np.asarray(image).mean()) for image in images]
        middle = float(np.median(values))
        return [{"tone": Verdict("light" if value > middle else "dark", 1.0)} for value in values]


def test_a_gauge_is_fitted_to_what_the_judge_sees(pipeline: Any, people: list[Direction]):
    directions = {
        each: Aim("tone", each.name.split("-")[0]) for each in people[2:] if "brown" not in each.name
    }

    def fitted(**settings: Any) -> Gauge:
        return fit_gauge(
            pipeline,
            "skin tone",
            directions,
            Brightness(),
            ["a judge", "a cook"],
            images_per_prompt=6,
            num_inference_steps=4,
            **settings,
        )

    gauge = fitted(rounds=2)
    assert gauge.categories == ("light-skinned", "dark-skinned") and gauge.provenance["pictures"] == 48
    # Of four steps the first tells nothing.
    assert gauge.timesteps.tolist() == sorted(gauge.timesteps.tolist(), reverse=True)
    assert len(gauge.timesteps) == 3
    assert fitted(rounds=2, batch_size=5).categories == gauge.categories
    assert fitted(rounds=2).digest() == gauge.digest() != fitted(rounds=1).digest()
    # What is read at the last step is what came out.
    assert (gauge.readings[-1].diagonal() > 0).all()
    with pytest.raises(DirectrixError, match="two directions or more"):
        fit_gauge(pipeline, "skin tone", dict(list(directions.items())[:1]), Brightness(), ["a judge"])


def test_a_category_that_never_comes_out(pipeline: Any, people: list[Direction]):
    directions = {each: Aim("tone", each.name.split("-")[0]) for each in people[2:]}
    with pytest.raises(DirectrixError, match="No picture showed brown-skinned"):
        fit_gauge(
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
    command = ["gauge", "--attribute", "skin tone", "--directions", str(tmp_path)]
    assert main([*command, "-o", str(tmp_path / "x.gauge")]) == 2
    assert "was not calibrated" in capsys.readouterr().err
    assert main([*command, "--prompts", str(tmp_path / "none.txt"), "-o", str(tmp_path / "x.gauge")]) == 2
    assert "cannot be read" in capsys.readouterr().err
    assert not (tmp_path / "x.gauge").exists()
