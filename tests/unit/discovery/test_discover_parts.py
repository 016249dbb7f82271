"""The parts of discovery that need no pipeline."""

import pytest
import torch
from safetensors import safe_open

from directrix.concept import Concept, PromptPair
from directrix.discovery.checkpoint import Checkpoint
from directrix.discovery.distillation import Distillation
from directrix.discovery.environment import generator
from directrix.discovery.noise_schedule import Schedule
from directrix.discovery.pipeline_calls import PipelineCall
from directrix.discovery.problem import Problem
from directrix.discovery.reconstruction import Reconstruction
from directrix.discovery.samples import Samples, plan
from directrix.errors import ModelError
from directrix.models.steerable import SteerableModel

ALPHAS = torch.linspace(0.999, 0.01, 50)
SCHEDULE = Schedule.of_alphas(ALPHAS, "epsilon")
PAIRS = (PromptPair("a woman", "a person"), PromptPair("a person", "a person", "a knife"))


class LinearDenoiser:
    """Answers x_t + embedding + addition, so that the best addition is known in closed form."""

    device, dtype = torch.device("cpu"), torch.float32
    forward = forward_backward = 0
    words = {"a person": 0.0, "a woman": 1.0, "a knife": 4.0, "": -1.0}  # noqa: RUF012

    def encode(self, prompts):
        return torch.tensor([self.words[prompt] for prompt in prompts])

    def unconditional(self, negatives):
        return self.encode([negative or "" for negative in negatives])

    def predict(self, x_t, timesteps, embeddings):
        self.forward += len(x_t)
        return x_t + embeddings.view(-1, 1, 1, 1)

    def steered(self, x_t, timesteps, embeddings, addition):
        self.forward_backward += len(x_t)
        return x_t + embeddings.view(-1, 1, 1, 1) + addition


def samples(n=12):
    latents = torch.randn(n, 2, 3, 3, generator=generator(0, "latents"))
    concept = torch.arange(n) % 2
    return Samples(latents, concept, concept, PAIRS, SCHEDULE)


def problem(**changes):
    settings = {
        "denoiser": LinearDenoiser(),
        "data": samples(),
        "shape": (2, 2, 3, 3),
        "guidance_scale": 4.0,
        "learning_rate": 0.05,
        "steps": 400,
        "batch_size": 8,
    }
    return Problem(**{**settings, **changes})


def test_distillation_finds_the_difference_of_the_prompts_and_folds_negatives_in():
    fit = Distillation(amplification=1.0).fit(problem())
    torch.testing.assert_close(fit.vectors[0], torch.ones(2, 3, 3), rtol=0, atol=1e-2)
    # (1 - 1/4) * (4 - -1) away from the negative prompt.
    torch.testing.assert_close(fit.vectors[1], torch.full((2, 3, 3), -3.75), rtol=0, atol=5e-2)
    assert fit.losses[-1] < 1e-3 < fit.losses[0]
    assert (fit.forward, fit.forward_backward) == (400 * 8 * 3, 400 * 8)


def test_amplification_moves_the_target_further():
    fit = Distillation(amplification=2.0).fit(problem())
    torch.testing.assert_close(fit.vectors[0], torch.full((2, 3, 3), 2.0), rtol=0, atol=2e-2)


def test_averaging_takes_the_optimisers_noise_out():
    # One vector for all; its best value is the mean of eps - x_t over the data.
    runs = [
        [Reconstruction(average=average).fit(problem(seed=seed, steps=200)).vectors for seed in range(4)]
        for average in (False, True)
    ]
    last, mean = (torch.stack(vectors).std(0).mean() for vectors in runs)
    assert mean < 0.6 * last


def test_plan_deals_images_round_the_pairs():
    dog = Concept.of("dog", ["a dog", "dogs"], "an animal")
    draws = plan([Concept("mixed", PAIRS), dog], 3)
    assert [(d.concept, d.pair, d.prompt, d.negative, d.number) for d in draws] == [
        (0, 0, "a woman", None, 0),
        (0, 1, "a person", "a knife", 0),
        (0, 0, "a woman", None, 1),
        (1, 2, "a dog", None, 0),
        (1, 3, "dogs", None, 0),
        (1, 2, "a dog", None, 1),
    ]


@pytest.mark.parametrize(("fraction", "neutral"), [(0.0, 0), (0.5, 5), (0.3, 3), (1.0, 10)])
def test_plan_draws_the_neutral_share(fraction, neutral):
    draws = plan([Concept.of("woman", "a woman", "a person")], 10, fraction)
    assert sum(draw.prompt == "a person" for draw in draws) == neutral
    assert len({(draw.prompt, draw.number) for draw in draws}) == 10


def test_the_neutral_share_is_spread_over_all_pairs():
    concept = Concept.of("dog", ["a dog", "dogs"], ["an animal", "animals"])
    draws = plan([concept], 8, 0.5)
    assert {draw.prompt for draw in draws} == {"a dog", "dogs", "an animal", "animals"}


def test_every_epoch_takes_every_image_once():
    data = samples(12)
    rows = torch.cat([data.batch(step, 8, 0).x_0 for step in range(3)])
    for epoch in (rows[:12], rows[12:]):
        assert {x.numpy().tobytes() for x in epoch} == {x.numpy().tobytes() for x in data.latents}
    assert not torch.equal(rows[:12], rows[12:])


def test_a_batch_follows_from_seed_and_step_alone():
    a, b = samples().batch(7, 8, 3), samples().batch(7, 8, 3)
    assert all(torch.equal(getattr(a, key), getattr(b, key)) for key in vars(a))
    other = samples().batch(8, 8, 3)
    assert not torch.equal(a.noise, other.noise)
    assert len(set(a.timesteps.tolist())) > 1


def test_timesteps_are_uniform_over_all_of_training():
    steps = torch.cat([samples().batch(step, 12, 0).timesteps for step in range(200)])
    counts = torch.bincount(steps, minlength=50).float()
    assert len(counts) == 50
    # 2,400 draws, 48 expected in each of 50; chi-squared of 49 degrees of freedom: < 94 (p = 1e-4).
    assert ((counts - 48) ** 2 / 48).sum() < 94


def test_schedule_inverts():
    v = Schedule.of_alphas(ALPHAS, "v_prediction")
    x_0, noise = torch.randn(4, 2, 3, 3), torch.randn(4, 2, 3, 3)
    t = torch.tensor([0, 10, 30, 49])
    x_t, target = v.noised(x_0, t, noise), v.target(x_0, t, noise)
    a = ALPHAS[t].view(-1, 1, 1, 1)
    torch.testing.assert_close(a.sqrt() * x_t - (1 - a).sqrt() * target, x_0)
    torch.testing.assert_close((1 - a).sqrt() * x_t + a.sqrt() * target, noise)
    assert torch.equal(SCHEDULE.target(x_0, t, noise), noise)
    with pytest.raises(ModelError, match="sample"):
        Schedule.of_alphas(ALPHAS, "sample")


def test_facts_are_saved_without_tensors(tmp_path):
    """A file has a tensor in any case: old versions of safetensors write what nobody can read without one."""
    Checkpoint(tmp_path).save("judged-1", {}, verdicts=["a"])
    assert Checkpoint(tmp_path).load("judged-1") == ({}, {"verdicts": ["a"]})
    with safe_open(tmp_path / "judged-1.safetensors", "pt") as file:
        assert len(list(file.keys())) == 1


def test_a_checkpoint_has_the_same_bits(tmp_path):
    folder = tmp_path / "run"
    checkpoint = Checkpoint(folder, {"steps": 3})
    assert checkpoint.load("fit") is None
    tensors = {"a": torch.randn(3, 4).T, "b": torch.tensor([1.0], dtype=torch.float64)}
    checkpoint.save("fit", tensors, step=3)
    loaded, facts = Checkpoint(folder, {"steps": 3}).load("fit")
    assert facts == {"step": 3} and all(torch.equal(loaded[key], tensors[key]) for key in tensors)


def test_one_side_of_an_image_is_enough(pipeline):
    """diffusers ignores a height without a width."""
    call = PipelineCall(SteerableModel.of(pipeline), 2.0, 1, {"height": 32})
    latents = call.latents(["a judge"], [0], seed=0)
    assert latents.shape[-2:] == (16, 8)
