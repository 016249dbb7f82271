"""Groups of images of which only those that must are changed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from directrix import fair
from directrix.directions.direction import Direction
from directrix.directions.target_label import TargetLabel
from directrix.errors import MismatchError, PolicyError, StrengthError
from directrix.experiments.cost.measure import counted
from directrix.generation.generate import generate
from directrix.interventions.preview import Preview
from directrix.interventions.probe import Probe, pooled
from directrix.interventions.reading import Reading
from directrix.interventions.tally import Tally
from directrix.interventions.where_forming import WhereForming
from directrix.measurement.calibration.fit_early_probe import fit_early_probe
from directrix.measurement.judges import Verdict
from directrix.policies.fair import Fair
from directrix.policies.running_quota import RunningQuota

QUICK = {"num_inference_steps": 4, "guidance_scale": 5.0}
PROMPTS = ["a judge", "a cook"]


@pytest.fixture(scope="module")
def people(make_direction: Callable[..., Direction]) -> list[Direction]:
    return [make_direction(name, seed, scale=8.0) for seed, name in enumerate(("woman", "man"))]


@pytest.fixture(scope="module")
def probe(pipeline: Any, people: list[Direction]) -> Probe:
    """Of a tiny pipeline with random weights: what it reads is arbitrary, and certain."""
    return fit_early_probe(pipeline, "gender", people, PROMPTS, images_per_prompt=6, num_inference_steps=4)


def test_a_probe_s_site_is_chosen_where_nothing_was_added(pipeline: Any, people: list[Direction], probe: Probe):
    """By the unconditional branch: directions that act there too would show there, and any site would seem good."""
    both = [
        each.with_(parts=[*each.parts, *(replace(part, branch="unconditional") for part in each.parts)])
        for each in people
    ]
    other = fit_early_probe(pipeline, "gender", both, PROMPTS, images_per_prompt=6, num_inference_steps=4)
    assert other.site == probe.site and other.provenance["agreement"] == probe.provenance["agreement"]
    assert torch.equal(other.weights, probe.weights)


def pixels(record: Any) -> np.ndarray:
    return np.asarray(record.image).astype(int)


def reading(**likelihoods: float) -> dict[str, dict[str, float]]:
    return {"gender": {"woman": likelihoods.get("woman", 0.0), "man": 1 - likelihoods.get("woman", 0.0)}}


def dealt(rows: Sequence[Mapping[str, str]], readings: Sequence[Reading], batch: int) -> list[str]:
    tally = Tally([0] * len(rows), rows)
    for first in range(0, len(rows), batch):
        images = range(first, min(first + batch, len(rows)))
        tally.deal(images, [readings[image] for image in images])
    return [tally.dealt[image]["gender"] for image in range(len(rows))]


@pytest.mark.parametrize("batch", [1, 3, 6])
def test_the_quota_is_met_with_the_fewest_changes(batch: int):
    rows = [{"gender": name} for name in ("man", "woman") * 3]
    readings = [reading(woman=each) for each in (0.9, 0.1, 0.2, 0.1, 0.3, 0.8)]
    given = dealt(rows, readings, batch)
    assert Counter(given) == {"woman": 3, "man": 3}
    # Two read as women, four as men: one man is one too many.
    fits = sum((each["gender"]["woman"] > 0.5) == (name == "woman") for each, name in zip(readings, given, strict=True))
    assert fits == 5
    if batch == 6:
        # All at once, it is the one that looks least like it.
        assert given[4] == "woman"


def test_an_image_that_is_dealt_again_does_not_count_twice():
    rows = [{"gender": name} for name in ("woman", "man")]
    tally = Tally([0, 0], rows)
    for woman in (0.9, 0.2):
        tally.deal([0], [reading(woman=woman)])
    assert tally.dealt[0] == {"gender": "man"}
    tally.deal([1], [reading(woman=0.0)])
    assert tally.dealt[1] == {"gender": "woman"}


def test_images_that_serve_the_quota_keep_their_bits(pipeline: Any, people: list[Direction], probe: Probe):
    plain = generate(pipeline, PROMPTS, 4, batch_size=4, **QUICK)
    records = fair(
        pipeline, PROMPTS, {"gender": "uniform"}, 4, directions=people, closed_loop=probe, batch_size=4, **QUICK
    )
    for prompt in PROMPTS:
        of_prompt = [each.row["closed_loop"]["gender"] for each in records if each.prompt == prompt]
        assert Counter(each["given"] for each in of_prompt) == {"woman": 2, "man": 2}
        read = Counter(max(each["likelihood"], key=each["likelihood"].get) for each in of_prompt)
        # As few as any assignment changes.
        assert sum(each["steered"] for each in of_prompt) == max(read.values()) - 2
    for record, unsteered in zip(records, plain, strict=True):
        same = np.array_equal(pixels(record), pixels(unsteered))
        assert same is not record.row["closed_loop"]["gender"]["steered"]
        assert "assigned" not in record.row


class Calm:
    """Sees no harm anywhere."""

    name, config = "calm", {}

    def label(self, images: Sequence[Any]) -> list[dict[str, Verdict]]:
        return [{"item": Verdict("cup", 0.9)} for _ in images]


def test_beside_a_loop_of_more_turns_no_image_is_drawn_for_nothing(
    pipeline: Any, people: list[Direction], probe: Probe, make_direction: Callable[..., Direction]
):
    weapon = Preview("weapon", {"present": TargetLabel("item", "knife"), "absent": TargetLabel("item", "knife", False)})
    safe = WhereForming({"weapon": {make_direction("unarmed", 5): 1.0}}, {"weapon": replace(weapon, judge=Calm())})
    alone = Fair({"gender": "uniform"}, people, closed_loop=probe)
    evaluations, pictures = [], []
    for given in ((alone,), (alone, safe), (safe, alone)):
        with counted(pipeline) as those:
            records = generate(pipeline, PROMPTS, 4, interventions=given, batch_size=4, **QUICK)
        evaluations.append(those.count)
        pictures.append([pixels(each) for each in records])
    assert evaluations[0] == evaluations[1] == evaluations[2]
    assert all(np.array_equal(a, b) for each in pictures[1:] for a, b in zip(pictures[0], each, strict=True))


def test_one_at_a_time_the_count_decides(pipeline: Any, people: list[Direction], probe: Probe):
    records = fair(
        pipeline, PROMPTS[:1], {"gender": "uniform"}, 6, directions=people, closed_loop=probe, batch_size=1, **QUICK
    )
    given = [each.row["closed_loop"]["gender"] for each in records]
    assert Counter(each["given"] for each in given) == {"woman": 3, "man": 3}
    read = Counter(max(each["likelihood"], key=each["likelihood"].get) for each in given)
    assert sum(each["steered"] for each in given) == max(read.values()) - 3


def test_a_running_quota_counts_from_call_to_call(pipeline: Any, people: list[Direction], probe: Probe):
    quota = RunningQuota(Fair({"gender": "uniform"}, people, closed_loop=probe), images=4)
    found = []
    for images in (1, 2, 3, 2):
        steering: Any = quota.steering("a judge", images)
        generators = [torch.Generator().manual_seed(10 * len(found) + each) for each in range(images)]
        with steering.applied(pipeline):
            pipeline(["a judge"] * images, generator=generators, output_type="latent", **QUICK)
        found += [each["gender"] for each in steering.found()]
    assert Counter(each["given"] for each in found) == {"woman": 4, "man": 4}
    # An image is left while there is room for what it shows.
    assert not found[0]["steered"] and not all(each["steered"] for each in found[1:])
    assert quota.steering("a waitress").name == "none"
    # What a prompt names is met in every image, and counts for no quota.
    named: Any = quota.steering("a male judge", 3)
    with named.applied(pipeline):
        pipeline(["a male judge"] * 3, output_type="latent", **QUICK)
    assert [each["gender"]["given"] for each in named.found()] == ["man"] * 3
    with pytest.raises(PolicyError, match="cannot count"):
        RunningQuota(Fair({"gender": "uniform"}, people))


def test_a_stopped_run_goes_on_with_its_count(pipeline: Any, people: list[Direction], probe: Probe, tmp_path: Path):
    settings = {"directions": people, "closed_loop": probe, "batch_size": 2, **QUICK}
    whole = fair(pipeline, PROMPTS[:1], {"gender": "uniform"}, 6, output=tmp_path / "whole", **settings)
    again = fair(pipeline, PROMPTS[:1], {"gender": "uniform"}, 6, output=tmp_path / "whole", **settings)
    assert not any(each.drawn for each in again)
    whole[-1].path.unlink()
    mended = fair(pipeline, PROMPTS[:1], {"gender": "uniform"}, 6, output=tmp_path / "whole", **settings)
    assert [each.drawn for each in mended] == [False] * 5 + [True]
    assert [each.row for each in mended] == [each.row for each in whole]


def test_what_a_gate_or_a_share_leaves_is_left(pipeline: Any, people: list[Direction], probe: Probe):
    prompts = ["a male judge", "a judge"]
    targets = {"gender": {"woman": 0.5, "leave": 0.5}}
    records = fair(pipeline, prompts, targets, 2, directions=people, closed_loop=probe, batch_size=4, **QUICK)
    plain = generate(pipeline, prompts, 2, batch_size=4, **QUICK)
    assert all("closed_loop" not in each.row for each in records[:2])
    assert sorted(each.row["closed_loop"]["gender"]["given"] for each in records[2:]) == ["leave", "woman"]
    for record, unsteered in zip(records, plain, strict=True):
        steered = record.row.get("closed_loop", {}).get("gender", {}).get("steered", False)
        assert np.array_equal(pixels(record), pixels(unsteered)) is not steered


def test_a_probe_of_all_that_is_balanced_is_needed(pipeline: Any, people: list[Direction], probe: Probe):
    targets = {"gender": "uniform", "age": "uniform"}
    sets = {"age": ["woman", "man"]}
    with pytest.raises(MismatchError, match="No probe reads 'age'"):
        fair(pipeline, PROMPTS, targets, 2, directions=people, sets=sets, closed_loop=probe, **QUICK)
    with pytest.raises(MismatchError, match="was fitted for a closed loop"):
        Fair({"gender": "uniform"}, people, feedback=probe)
    with pytest.raises(PolicyError, match="leave one out"):
        fair(pipeline, PROMPTS, {"gender": "uniform"}, 2, directions=people, closed_loop=probe, feedback=probe, **QUICK)


@pytest.mark.parametrize(("steps", "said"), [(1, "nothing was read"), (2, "reads no step near")])
def test_where_nothing_can_be_read_an_error_says_so(
    pipeline: Any, people: list[Direction], probe: Probe, steps: int, said: str
):
    settings = {"directions": people, "closed_loop": probe, "num_inference_steps": steps, "guidance_scale": 5.0}
    with pytest.raises(StrengthError, match=said):
        fair(pipeline, PROMPTS[:1], {"gender": "uniform"}, 2, **settings)


def test_a_probe_is_saved_with_its_branch_and_grid(probe: Probe, tmp_path: Path):
    probe.save(tmp_path / "gender.probe")
    loaded = Probe.load(tmp_path / "gender.probe")
    assert (loaded.branch, loaded.grid, loaded.digest()) == ("conditional", 4, probe.digest())
    assert loaded.spread == pytest.approx(probe.spread)
    states = torch.randn(3, *probe.shape, generator=torch.Generator().manual_seed(0))
    shares = loaded.shares(states, float(probe.timesteps[0]))
    assert shares is not None and shares.sum(1).tolist() == pytest.approx([1.0] * 3)


def test_tokens_and_maps_are_read_alike():
    maps = torch.arange(2 * 3 * 64.0).reshape(2, 3, 8, 8)
    assert torch.equal(pooled(maps, 4), pooled(maps.flatten(2).transpose(1, 2), 4))
    assert pooled(maps, None) is maps
