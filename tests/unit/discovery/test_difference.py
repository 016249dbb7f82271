"""Methods on the model's own trajectories, and the algebra between the vectors that a run finds."""

from contextlib import contextmanager

import diffusers
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import directrix
from directrix.concept import SKIN_TONE, Concept
from directrix.discovery.environment import frozen
from directrix.discovery.frozen_denoiser import FrozenDenoiser
from directrix.discovery.orthogonalize import orthogonalized, truncated, without
from directrix.discovery.pipeline_calls import PipelineCall
from directrix.discovery.settings import grouped
from directrix.discovery.trajectories import Recording, record_trajectories
from directrix.errors import ConceptError, DirectrixError, InterruptedRun, ModelError
from directrix.models.steerable import SteerableModel

WOMAN = Concept.of("woman", "a woman", "a person")
MAN = Concept.of("man", "a man", "a person")
DARK = Concept.of("dark", "a dark-skinned person", "a person")
SETTINGS = {"guidance_scale": 3.0, "num_inference_steps": 3, "images": 4}


def discover(pipeline, concepts, method, **settings):
    return directrix.discover(pipeline, concepts, method, **grouped(settings))


def trajectories(pipeline, concepts, guidance_scale=3.0, **changes):
    model = SteerableModel.of(pipeline)
    call = PipelineCall(model, guidance_scale, 3)
    with frozen(model):
        denoiser = FrozenDenoiser(model, model.find_site())
        return record_trajectories(call, [denoiser.site], concepts, 4, **changes)[0], denoiser


def outputs(pipeline, denoiser, found, prompt):
    """The site's output under a prompt, one state at a time: (N, S, C, H, W)."""
    embedding = denoiser.encode([prompt])
    rows = [
        [
            denoiser.site_output(state[None], time[None], embedding)[0]
            for state, time in zip(row, found.timesteps, strict=True)
        ]
        for row in found.states[0]
    ]
    return torch.stack([torch.stack(row) for row in rows])


def test_trajectories_are_what_the_denoiser_sees_and_answers(pipeline):
    found, denoiser = trajectories(pipeline, [WOMAN])
    assert found.states.shape == (1, 4, 3, 4, 8, 8)
    assert found.evaluations == 4 * 3 * 2
    neutral = outputs(pipeline, denoiser, found, "a person")
    torch.testing.assert_close(found.neutral[0], neutral.mean(dim=0), rtol=1e-4, atol=1e-5)
    empty = outputs(pipeline, denoiser, found, "")
    torch.testing.assert_close(found.empty[0], empty.mean(dim=0), rtol=1e-4, atol=1e-5)
    assert found.size == pytest.approx(float(neutral.square().mean().sqrt()), rel=1e-4)


def test_a_trajectory_does_not_depend_on_the_batch_or_on_other_concepts(pipeline):
    alone, _ = trajectories(pipeline, [WOMAN])
    other = Concept.of("dog", "a black dog", "a dog")
    among, _ = trajectories(pipeline, [other, WOMAN, MAN], batch_size=3)
    assert among.prompt == (0, 1, 1) and among.concept == (0, 1, 2)
    torch.testing.assert_close(among.states[1], alone.states[0], rtol=1e-4, atol=1e-5)


def test_difference_is_the_mean_change_of_the_site(pipeline):
    found, denoiser = trajectories(pipeline, [WOMAN])
    change = outputs(pipeline, denoiser, found, "a woman") - outputs(pipeline, denoiser, found, "a person")
    direction = discover(pipeline, WOMAN, "difference", search=False, **SETTINGS)
    torch.testing.assert_close(direction.tensor, change.mean(dim=(0, 1)), rtol=1e-3, atol=1e-5)


def test_a_negative_prompt_is_folded_into_the_conditional_branch(pipeline):
    anti = Concept.of("unarmed", neutral="a person", negative="a weapon")
    found, denoiser = trajectories(pipeline, [anti])
    change = outputs(pipeline, denoiser, found, "") - outputs(pipeline, denoiser, found, "a weapon")
    direction = discover(pipeline, anti, "difference", search=False, **SETTINGS)
    torch.testing.assert_close(direction.tensor, (1 - 1 / 3) * change.mean(dim=(0, 1)), rtol=1e-3, atol=1e-5)


def test_the_line_search_lands_where_predictions_are_nearest(pipeline):
    plain = discover(pipeline, WOMAN, "difference", search=False, **SETTINGS)
    sized = discover(pipeline, WOMAN, "difference", **SETTINGS)
    assert sized.cosine(plain) == pytest.approx(1.0, abs=1e-5)
    found, denoiser = trajectories(pipeline, [WOMAN])
    states = found.states[0].flatten(0, 1)
    times = found.timesteps.repeat(4)

    def error(scale):
        neutral, wanted = (denoiser.encode([p]).expand(12, -1, -1) for p in ("a person", "a woman"))
        with torch.no_grad():
            steered = denoiser.steered(states, times, neutral, scale * plain.tensor[None])
        return float((steered - denoiser.predict(states, times, wanted)).square().sum())

    best = sized.norm() / plain.norm()
    assert error(best) <= error(best * 1.3) and error(best) <= error(best * 0.7)


def test_concepts_of_one_neutral_prompt_share_the_trajectories(pipeline):
    one = discover(pipeline, WOMAN, "difference", **SETTINGS)
    three = discover(pipeline, [WOMAN, MAN, DARK], "difference", **SETTINGS)
    torch.testing.assert_close(three[0].tensor, one.tensor, rtol=1e-3, atol=1e-5)
    assert three[0].recipe["denoiser_evaluations"]["collecting"] == 24
    assert one.recipe["denoiser_evaluations"]["collecting"] == 24


def test_trajectory_lowers_the_loss_of_the_closed_form(pipeline):
    settings = {**SETTINGS, "images": 6, "steps": 60, "learning_rate": 0.02}
    direction = discover(pipeline, WOMAN, "trajectory", closed_form=False, **settings)
    assert direction.recipe["loss"]["last"] < 0.9 * direction.recipe["loss"]["first"]


def test_a_model_that_cannot_be_noised_has_trajectories(make_pipeline):
    pipeline = make_pipeline("sample")
    for method in ("difference", "trajectory"):
        steps = {"steps": 2} if method == "trajectory" else {}
        assert discover(pipeline, WOMAN, method, **SETTINGS, **steps).norm() > 0
    with pytest.raises(ModelError, match="method='difference', which noises nothing"):
        discover(pipeline, WOMAN, "reconstruction", **SETTINGS)


def test_an_interrupted_discovery_goes_on_from_its_trajectories(pipeline, tmp_path, monkeypatch):
    concept = Concept.of("woman", ["a woman", "a female dog"], ["a person", "a dog"])
    whole = discover(pipeline, concept, "difference", **SETTINGS)
    original, drawn = Recording.draw, []

    def stopping(self, call, prompt, *rest):
        drawn.append(prompt)
        if prompt == "a dog" and drawn.count("a dog") == 1:
            raise KeyboardInterrupt
        original(self, call, prompt, *rest)

    monkeypatch.setattr(Recording, "draw", stopping)
    with pytest.raises(InterruptedRun, match="a dog"):
        discover(pipeline, concept, "difference", checkpoint=tmp_path, **SETTINGS)
    resumed = discover(pipeline, concept, "difference", checkpoint=tmp_path, **SETTINGS)
    assert drawn.count("a person") == 1
    assert torch.equal(resumed.tensor, whole.tensor)


def test_a_trajectory_fit_that_was_stopped_ends_with_the_same_bits(pipeline, tmp_path):
    settings = {**SETTINGS, "steps": 6, "checkpoint_every": 2}
    whole = discover(pipeline, WOMAN, "trajectory", **settings)

    @contextmanager
    def stop(total, label):
        class Bar:
            done = 0

            def advance(self, n):
                self.done += n
                if label == "Fitting" and self.done == 3:
                    raise KeyboardInterrupt

        yield Bar()

    with pytest.raises(InterruptedRun):
        discover(pipeline, WOMAN, "trajectory", checkpoint=tmp_path, progress=stop, **settings)
    resumed = discover(pipeline, WOMAN, "trajectory", checkpoint=tmp_path, **settings)
    assert torch.equal(resumed.tensor, whole.tensor)


@pytest.mark.parametrize("scheduler", ["EulerDiscreteScheduler", "PNDMScheduler", "HeunDiscreteScheduler"])
def test_states_are_what_the_denoiser_is_given_under_any_scheduler(make_pipeline, scheduler):
    other = make_pipeline()
    options = {"skip_prk_steps": True} if scheduler == "PNDMScheduler" else {}
    other.scheduler = getattr(diffusers, scheduler).from_config(other.scheduler.config, **options)
    found, denoiser = trajectories(other, [WOMAN])
    neutral = outputs(other, denoiser, found, "a person")
    torch.testing.assert_close(found.neutral[0], neutral.mean(dim=0), rtol=1e-3, atol=1e-4)


def test_without_guidance_the_conditional_branch_is_all_there_is(pipeline):
    found, _ = trajectories(pipeline, [WOMAN], guidance_scale=1.0)
    assert torch.equal(found.empty, found.neutral) and found.evaluations == 4 * 3
    settings = {**SETTINGS, "guidance_scale": 1.0}
    assert discover(pipeline, WOMAN, "difference", **settings).norm() > 0


def test_contrast_makes_opposites_opposite(pipeline):
    woman, man = discover(pipeline, [WOMAN, MAN], "difference", contrast=True, **SETTINGS)
    assert woman.cosine(man) == pytest.approx(-1.0, abs=1e-5)
    # Each keeps the size of its own search.
    assert woman.norm() != pytest.approx(man.norm(), rel=1e-3)
    three = discover(pipeline, [WOMAN, MAN, DARK], "difference", contrast=True, search=False, **SETTINGS)
    assert (three[0] + three[1] + three[2]).norm() < 1e-4 * three[0].norm()
    with pytest.raises(ConceptError, match="Nothing of the concept"):
        same = Concept.of("lady", "a woman", "a person")
        discover(pipeline, [WOMAN, same], "difference", contrast=True, **SETTINGS)
    with pytest.raises(ConceptError, match="contrast"):
        discover(pipeline, WOMAN, "difference", contrast=True, **SETTINGS)


def test_preserved_concepts_are_taken_out_and_not_returned(pipeline):
    retained = discover(pipeline, WOMAN, "difference", preserve=DARK, **SETTINGS)
    dark = discover(pipeline, DARK, "difference", **SETTINGS)
    assert abs(retained.cosine(dark)) < 1e-4
    of_a_set = discover(pipeline, WOMAN, "difference", preserve=[SKIN_TONE], **SETTINGS)
    assert of_a_set.recipe["preserved"] == 3
    for wrong in ([None], [""]):
        with pytest.raises(ConceptError, match="cannot be preserved"):
            discover(pipeline, WOMAN, "difference", preserve=wrong, **SETTINGS)


@pytest.mark.slow
def test_a_retained_prompt_changes_less(pipeline):
    settings = {**SETTINGS, "steps": 80, "learning_rate": 0.02, "closed_form": False}
    free = discover(pipeline, WOMAN, "trajectory", **settings)
    retained = discover(pipeline, WOMAN, "trajectory", preserve=["a dog"], keep_weight=20.0, **settings)
    assert retained.recipe["retained_prompts"] == ["a dog"]
    found, denoiser = trajectories(pipeline, [Concept.of("dog", "a black dog", "a dog")])
    states, times = found.states[0].flatten(0, 1), found.timesteps.repeat(4)
    dog = denoiser.encode(["a dog"]).expand(len(states), -1, -1)

    def change(direction):
        with torch.no_grad():
            steered = denoiser.steered(states, times, dog, direction.tensor[None])
        return float((steered - denoiser.predict(states, times, dog)).square().mean())

    assert change(retained) < 0.5 * change(free)
    with pytest.raises(DirectrixError, match="a dog"):
        discover(pipeline, WOMAN, "difference", preserve=["a dog"], **SETTINGS)


def test_a_channel_direction_is_free_of_place(pipeline):
    channel = discover(pipeline, WOMAN, "difference", shape="channel", search=False, **SETTINGS)
    whole = discover(pipeline, WOMAN, "difference", search=False, **SETTINGS)
    torch.testing.assert_close(channel.tensor, whole.pooled().tensor, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    "settings",
    [
        {"shape": "square"},
        {"rank": 0},
        {"rank": True},
        {"rank": 2, "preserve": [MAN]},
        {"rank": 2, "shape": "channel"},
        {"steps": 5},
    ],
)
def test_settings_that_make_no_sense_are_refused(pipeline, settings):
    with pytest.raises(DirectrixError):
        discover(pipeline, WOMAN, "difference", **{**SETTINGS, **settings})


@given(st.integers(0, 2**31), st.integers(1, 4), st.integers(1, 3))
def test_taking_out_is_orthogonal_and_done_once(seed, wanted, others):
    source = torch.Generator().manual_seed(seed)
    vectors = torch.randn(wanted, 3, 2, 2, generator=source)
    span = torch.randn(others, 3, 2, 2, generator=source)
    left = without(vectors, span)
    assert torch.allclose(left.flatten(1) @ span.flatten(1).T, torch.zeros(wanted, others), atol=1e-4)
    torch.testing.assert_close(without(left, span), left)


@given(st.integers(0, 2**31), st.integers(1, 3))
def test_a_truncated_map_has_its_rank_and_is_nearest(seed, rank):
    vectors = torch.randn(2, 5, 3, 3, generator=torch.Generator().manual_seed(seed))
    short = truncated(vectors, rank)
    for matrix, full in zip(short.flatten(2), vectors.flatten(2), strict=True):
        assert torch.linalg.matrix_rank(matrix, rtol=1e-4) <= rank
        sizes = torch.linalg.svdvals(full)
        torch.testing.assert_close((full - matrix).norm(), sizes[rank:].norm())
    torch.testing.assert_close(orthogonalized(vectors, rank=rank), short)
