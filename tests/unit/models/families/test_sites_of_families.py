"""Sites of transformers: image tokens and not text, heads, windows of steps, and the search among them."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
import torch

from directrix import models
from directrix.concept import Concept
from directrix.directions.direction import Direction
from directrix.discovery import discover
from directrix.discovery.environment import frozen
from directrix.discovery.frozen_denoiser import FrozenDenoiser
from directrix.discovery.pipeline_calls import PipelineCall
from directrix.discovery.settings import Sampling
from directrix.discovery.site_search import search_sites, spread
from directrix.discovery.trajectories import record_trajectories
from directrix.errors import ConceptError, DirectrixError, SiteError, StrengthError
from directrix.interventions.steering import steer
from directrix.models import activations, hooks, sites
from directrix.models.steerable import SteerableModel

WOMAN = Concept.of("woman", "a woman", "a person")


def direction(pipeline: Any, name: str) -> Direction:
    site = sites.find(pipeline, name)
    return Direction("random", torch.ones(site.channels), site, models.identity(pipeline))


@pytest.mark.parametrize(
    ("name", "site", "text"),
    [
        ("flux-dev", "single_transformer_blocks.0.attn.heads.1", 16),
        ("sd3", "transformer_blocks.1.attn.heads.0", 0),
        ("pixart-alpha", "transformer_blocks.1.attn2.heads.1", 0),
        ("sana", "transformer_blocks.1.attn1.heads", 0),
        ("lumina-next", "layers.1.attn2.heads.0", 0),
    ],
)
def test_a_head_is_a_slice_of_what_goes_into_the_projection(of: Any, name: str, site: str, text: int):
    family = of(name)
    steered = direction(family.pipeline, site)
    found = sites.heads(sites.denoiser(family.pipeline), site)
    assert found is not None and found.stop - found.start == steered.site.channels
    before: list[torch.Tensor] = []
    after: list[torch.Tensor] = []
    with (
        hooks.edit_input(found.projection, lambda x: before.append(x.clone())),
        steer(family.pipeline, {steered: 1.0}, branch="both"),
        hooks.edit_input(found.projection, lambda x: after.append(x.clone())),
    ):
        family.draw(["a judge"], [1])
    change = after[0] - before[0]
    assert torch.equal(change[:, :text], torch.zeros_like(change[:, :text]))
    inside = change[:, text:, found.start : found.stop]
    torch.testing.assert_close(inside, torch.ones_like(inside), rtol=0, atol=1e-4)
    assert float(change.abs().sum()) == pytest.approx(float(inside.abs().sum()))


def test_where_each_row_has_its_own_text_only_the_image_is_steered(of: Any):
    family = of("lumina-2")
    before: list[torch.Tensor] = []
    after: list[torch.Tensor] = []
    masks: list[torch.Tensor] = []
    network = sites.denoiser(family.pipeline)
    site = "layers.1"
    with (
        hooks.before_call(network, lambda a, k: masks.append(k["encoder_attention_mask"].sum(dim=1))),
        hooks.edit_output(network.get_submodule(site), lambda h: before.append(h.clone())),
        steer(family.pipeline, {direction(family.pipeline, site): 1.0}),
        hooks.edit_output(network.get_submodule(site), lambda h: after.append(h.clone())),
    ):
        family.draw(["a judge", "a long-haired cook"], [1, 2])
    assert masks[0][0] != masks[0][1]
    for row, text in enumerate(masks[0].tolist()):
        changed = (after[0][row] != before[0][row]).any(dim=-1).nonzero().flatten().tolist()
        assert changed == list(range(text, text + 16))


def test_the_text_s_stream_is_left_alone(of: Any):
    family = of("sd3")
    outputs: list[tuple[torch.Tensor, torch.Tensor]] = []
    block = sites.denoiser(family.pipeline).get_submodule("transformer_blocks.1")

    def keep(_module: Any, _args: Any, output: Any) -> None:
        outputs.append(output)

    handle = block.register_forward_hook(keep)
    try:
        family.draw(["a judge"], [1])
    finally:
        handle.remove()
    plain = outputs.pop(0)
    outputs.clear()
    with steer(family.pipeline, {direction(family.pipeline, "transformer_blocks.1"): 1.0}):
        handle = block.register_forward_hook(keep)
        try:
            family.draw(["a judge"], [1])
        finally:
            handle.remove()
    steered = outputs[0]
    assert torch.equal(steered[0], plain[0])
    torch.testing.assert_close(steered[1][1], plain[1][1] + 1, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", ["sdxl", "lcm", "sd3", "flux-dev", "sana", "lumina-next", "lumina-2"])
def test_a_window_of_steps_knows_every_clock(of: Any, name: str):
    family = of(name)
    site = sites.find(family.pipeline)
    before: list[torch.Tensor] = []
    changed: list[bool] = []
    with (
        activations.read(family.pipeline, site, lambda h: before.append(h.clone())),
        steer(family.pipeline, {direction(family.pipeline, site.name): 1.0}, start=0.5, branch="both"),
        activations.read(family.pipeline, site, lambda h: changed.append(not torch.equal(h, before[-1]))),
    ):
        family.draw(["a judge"], [1], num_inference_steps=4)
    calls = len(changed) // 4
    assert changed == [False] * 2 * calls + [True] * 2 * calls


def test_a_branch_that_is_not_there_is_refused(of: Any):
    family = of("flux-dev")
    with (
        pytest.raises(StrengthError, match="without guidance"),
        steer(family.pipeline, {direction(family.pipeline, "transformer_blocks.0"): 1.0}, "unconditional"),
    ):
        family.draw(["a judge"], [1])
    assert not hasattr(type(family.pipeline), "do_classifier_free_guidance")


@pytest.mark.parametrize(
    ("name", "site", "message"),
    [
        ("sd3", "transformer_blocks.1.attn.heads.2", "0 to 1"),
        ("sd3", "transformer_blocks.1.ff.heads", "no heads"),
        ("sd3", "transformer_block.1", "did you mean"),
        ("lumina-next", "layers.1.attn1.heads.0", "no heads"),
    ],
)
def test_sites_that_are_not_there(of: Any, name: str, site: str, message: str):
    with pytest.raises(SiteError, match=message):
        sites.find(of(name).pipeline, site)


def test_every_listed_site_can_be_found_at(of: Any):
    for name in ("sdxl", "pixart-alpha", "flux-dev"):
        family = of(name)
        every = sites.listed(family.pipeline)
        assert sites.find(family.pipeline) in every
        for site in (every[0], every[-1]):
            found = discover(
                family.pipeline, WOMAN, site=site.name, sampling=Sampling(1, 8, family.scale, 2, dict(family.call))
            )
            assert found.site == site and found.tensor.shape[0] == site.channels


def test_search_ranks_by_effect(of: Any):
    family = of("flux-dev")
    names = ["transformer_blocks.0", "single_transformer_blocks.1", "single_transformer_blocks.1.attn.heads.0"]
    sampling = Sampling(1, num_inference_steps=2, call=dict(family.call))
    ranked = search_sites(family.pipeline, WOMAN, names, sampling=sampling)
    assert {each.site.name for each in ranked} == set(names)
    far = [each.reach >= max(each.reach for each in ranked) / 2 for each in ranked]
    assert far == sorted(far, reverse=True)
    for group in (True, False):
        effects = [each.effect for each, reaches in zip(ranked, far, strict=True) if reaches is group]
        assert effects == sorted(effects, reverse=True)
    assert all(each.reach <= 1 and each.effect == pytest.approx(each.reach / each.relative) for each in ranked)
    json.dumps([each.as_dict() for each in ranked])
    with pytest.raises(SiteError, match="no sites"):
        search_sites(family.pipeline, WOMAN, [], sampling=sampling)


@pytest.mark.parametrize("name", ["sd1", "sd3"])
def test_sets_of_sites_and_inputs_are_ranked_beside_single_ones(of: Any, name: str):
    family = of(name)
    sampling = Sampling(1, num_inference_steps=2, call=dict(family.call))
    ranked = {each.name: each for each in search_sites(family.pipeline, WOMAN, sampling=sampling)}
    inputs = ranked["encoder_hidden_states" + (" + pooled_projections" if name == "sd3" else "")]
    assert inputs.strength == 1 and inputs.reach <= 1 and inputs.relative > 0
    singles = {each.site.name: each for each in ranked.values() if len(each.sites) == 1 and each is not inputs}
    sets = [each for each in ranked.values() if len(each.sites) > 1 and each is not inputs]
    assert sorted(len(each.sites) for each in sets) == [each for each in (2, 3, 4) if each <= len(singles)]
    best = sorted(singles.values(), key=lambda each: each.reach, reverse=True)
    for each in sets:
        assert {site.name for site in each.sites} == {one.site.name for one in best[: len(each.sites)]}
        assert each.strength in (1.0, 0.5, 1 / len(each.sites))
        sizes = sum(singles[site.name].relative ** 2 for site in each.sites) ** 0.5
        assert each.relative == pytest.approx(each.strength * sizes)


def test_a_set_is_measured_with_all_its_directions(of: Any):
    """As by steering with the directions of both sites at once."""
    family = of("sd1")
    pipeline, call = family.pipeline, dict(family.call)
    sampling = Sampling(1, 8, family.scale, 2, call)
    pair = next(each for each in search_sites(pipeline, WOMAN, sampling=sampling) if len(each.sites) == 2)
    model, drawing = SteerableModel.of(pipeline), PipelineCall(SteerableModel.of(pipeline), family.scale, 2, call)
    vectors = [discover(pipeline, WOMAN, site=each.name, sampling=sampling) for each in pair.sites]
    both = {each: pair.strength for each in vectors}
    with frozen(model), torch.no_grad():
        denoiser = FrozenDenoiser(model, pair.sites[0], drawing)
        (seen,) = record_trajectories(drawing, [denoiser.site], [WOMAN], 1, seed=1)
        states, times = seen.states[0, 0], seen.timesteps
        neutral, target = (denoiser.encode([each]).expand(2) for each in ("a person", "a woman"))
        plain, wanted = (denoiser.predict(states, times, each) for each in (neutral, target))
        with steer(pipeline, both, branch="both", guided=False):
            moved = denoiser.predict(states, times, neutral)
    reach = 1 - float((wanted - moved).square().sum() / (wanted - plain).square().sum())
    assert pair.reach == pytest.approx(reach, rel=1e-3, abs=1e-4)


@pytest.mark.parametrize("name", ["sd1", "pixart-alpha", "flux-dev"])
def test_search_measures_what_it_says(of: Any, name: str):
    """Site by site, as its module's formulas say, from the direction that discovery finds there."""
    family = of(name)
    pipeline, call = family.pipeline, dict(family.call)
    sampling = Sampling(1, 8, family.scale, 2, call)
    model = SteerableModel.of(pipeline)
    names = [sites.find(pipeline).name, sites.listed(pipeline)[-1].name]
    ranked = {each.site.name: each for each in search_sites(pipeline, WOMAN, names, sampling=sampling)}
    drawing = PipelineCall(model, family.scale, 2, call)
    for each in names:
        vector = discover(pipeline, WOMAN, site=each, sampling=sampling).tensor
        with frozen(model), torch.no_grad():
            denoiser = FrozenDenoiser(model, model.find_site(each), drawing)
            (seen,) = record_trajectories(drawing, [denoiser.site], [WOMAN], 1, seed=1)
            states, times = seen.states[0, 0], seen.timesteps
            neutral, target = (denoiser.encode([each]).expand(2) for each in ("a person", "a woman"))
            plain, wanted = (denoiser.predict(states, times, each) for each in (neutral, target))
            added = (vector if vector.ndim == 3 else vector[:, None, None])[None]
            moved = denoiser.steered(states, times, neutral, added)
        relative = float(vector.square().mean().sqrt()) / seen.size
        reach = 1 - float((wanted - moved).square().sum() / (wanted - plain).square().sum())
        assert ranked[each].reach == pytest.approx(reach, rel=1e-3, abs=1e-4)
        assert ranked[each].relative == pytest.approx(relative, rel=1e-3)


def test_search_draws_twice_however_many_sites_there_are(of: Any, monkeypatch: pytest.MonkeyPatch):
    family = of("sd1")
    drawn: list[Any] = []
    draw = PipelineCall.latents
    monkeypatch.setattr(PipelineCall, "latents", lambda self, *rest: drawn.append(rest) or draw(self, *rest))
    names = [each.name for each in sites.listed(family.pipeline)][:4]
    ranked = search_sites(family.pipeline, WOMAN, [*names, names[0]], sampling=Sampling(1, num_inference_steps=2))
    assert len(ranked) == 4 and len(drawn) == 2


def test_search_hears_negative_prompts(of: Any):
    family = of("sd1")
    anti = Concept.of("unarmed", neutral="a person", negative="a weapon")
    sampling = Sampling(1, num_inference_steps=2)
    (found,) = search_sites(family.pipeline, anti, ["mid_block"], sampling=sampling)
    assert found.relative > 0 and found.reach != 0
    with pytest.raises(ConceptError, match="does nothing at guidance scale 1"):
        search_sites(family.pipeline, anti, ["mid_block"], sampling=replace(sampling, guidance_scale=1.0))
    for wrong in ({"images": 0}, {"num_inference_steps": 0}, {"images": True}):
        with pytest.raises(DirectrixError, match=f"{next(iter(wrong))} is"):
            search_sites(family.pipeline, WOMAN, ["mid_block"], sampling=replace(sampling, **wrong))


def test_sites_are_spread_over_the_model_with_the_default_among_them(of: Any):
    for name in ("sd1", "sd3", "flux-dev"):
        pipeline = of(name).pipeline
        every = [each.name for each in sites.listed(pipeline) if not each.name.endswith(".heads")]
        for count in range(1, len(every) + 2):
            some = spread(SteerableModel.of(pipeline), count)
            assert len(some) == min(count, len(every)) == len(set(some))
            assert sites.find(pipeline).name in some and some == [each for each in every if each in some]


def test_a_concept_without_an_effect_ranks_nothing(of: Any):
    family = of("pixart-alpha")
    # This pipeline tells its text encoder all prompts in lower case.
    same = Concept.of("same", "A Person", "a person")
    sampling = Sampling(num_inference_steps=2, call=dict(family.call))
    with pytest.raises(ConceptError, match="changes nothing"):
        search_sites(family.pipeline, same, ["transformer_blocks.1"], sampling=sampling)


@pytest.mark.parametrize(
    ("name", "guided"), [("sd1", True), ("lcm", False), ("lumina-next", True), ("lumina-2", True), ("flux-dev", False)]
)
def test_whether_a_call_has_two_branches_is_seen(of: Any, name: str, guided: bool):
    family = of(name)
    model = SteerableModel.of(family.pipeline)
    assert PipelineCall(model, family.scale, 2, dict(family.call)).guided == guided
    assert not PipelineCall(model, 1.0, 2, dict(family.call)).guided
    assert model.embeds_guidance == (name in ("lcm", "flux-dev"))
