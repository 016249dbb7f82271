"""The reconstruction objective against a second implementation, written from the paper's description alone.

The second one shares no code with the library but the drawing of batches: it has its own tokenising,
diffusers' DDPM scheduler for the noise, one matrix times one-hot codes for vectors, a patched mid block.
"""

import pytest
import torch
from diffusers import DDIMScheduler, DDPMScheduler

from directrix.concept import Concept
from directrix.discovery.distillation import Distillation
from directrix.discovery.environment import frozen
from directrix.discovery.frozen_denoiser import FrozenDenoiser
from directrix.discovery.noise_schedule import Schedule
from directrix.discovery.pipeline_calls import PipelineCall
from directrix.discovery.problem import Problem
from directrix.discovery.reconstruction import Reconstruction
from directrix.discovery.samples import draw_samples
from directrix.models.steerable import SteerableModel

STEPS, BATCH, RATE = 6, 4, 0.05


@pytest.fixture
def pipeline(make_pipeline):
    """One for each test: they change its scheduler, flags and weights."""
    return make_pipeline()


def problem_of(pipeline, concepts, prediction_type):
    pipeline.scheduler = DDIMScheduler.from_config(pipeline.scheduler.config, prediction_type=prediction_type)
    model = SteerableModel.of(pipeline)
    schedule = Schedule.of(pipeline.scheduler, prediction_type)
    samples = draw_samples(PipelineCall(model, 3.0, 2), concepts, 5, schedule)
    denoiser = FrozenDenoiser(model, model.find_site())
    channels = denoiser.network.config.block_out_channels[-1]
    size = model.spatial_size(model.find_site(), *samples.latents.shape[2:])
    shape = (len(concepts), channels, *size)
    return Problem(denoiser, samples, shape, 3.0, RATE, STEPS, BATCH)


class Patched:
    """The U-Net with a matrix of vectors behind its mid block, as a plain module replacement."""

    def __init__(self, unet, initial):
        self.unet, self.original = unet, unet.mid_block.forward
        self.shape = initial.shape[1:]
        self.weight = torch.nn.Parameter(initial.flatten(1).T.clone())  # (C*H*W, n_concepts)
        self.code = None

        def forward(*args, **kwargs):
            h = self.original(*args, **kwargs)
            if self.code is None:
                return h
            return h + torch.nn.functional.linear(self.code, self.weight).view(-1, *self.shape)

        unet.mid_block.forward = forward

    def remove(self):
        del self.unet.mid_block.forward


def embed(pipeline, prompts, padding="max_length"):
    ids = pipeline.tokenizer(
        prompts, padding=padding, max_length=pipeline.tokenizer.model_max_length, return_tensors="pt"
    ).input_ids
    with torch.no_grad():
        return pipeline.text_encoder(ids)[0]


@pytest.mark.parametrize("method", ["reconstruction", "distillation", "reconstruction, longest"])
@pytest.mark.parametrize("prediction_type", ["epsilon", "v_prediction"])
def test_same_losses_and_vectors(pipeline, prediction_type, method):
    concepts = [Concept.of("woman", "a woman", "a person"), Concept.of("dog", ["a dog", "dogs"], "an animal")]
    method, _, padding = method.partition(", ")
    with frozen(SteerableModel.of(pipeline)):
        problem = problem_of(pipeline, concepts, prediction_type)
        how = (
            Reconstruction(padding=padding or "model")
            if method == "reconstruction"
            else Distillation(average=False, initial_scale=1.0, amplification=1.0)
        )
        fit = how.fit(problem)
        start = how.fit(Problem(**{**vars(problem), "steps": 0})).vectors
    assert start.abs().max() <= RATE
    assert start.std() == pytest.approx(RATE / 3**0.5, rel=0.1)

    pairs = [("a woman", "a person"), ("a dog", "an animal"), ("dogs", "an animal")]
    noise_scheduler = DDPMScheduler.from_config(pipeline.scheduler.config)
    patched = Patched(pipeline.unet, start)
    optimizer = torch.optim.Adam([patched.weight], lr=RATE)
    pipeline.unet.requires_grad_(False)
    losses = []
    try:
        for step in range(STEPS):
            rows = problem.data.batch(step, BATCH, 0)
            noisy = noise_scheduler.add_noise(rows.x_0, rows.noise, rows.timesteps)
            neutral = embed(pipeline, [pairs[i][1] for i in rows.pair], padding or "max_length")
            if method == "distillation":
                patched.code = None
                with torch.no_grad():
                    positive = embed(pipeline, [pairs[i][0] for i in rows.pair])
                    target = pipeline.unet(noisy, rows.timesteps, positive).sample
            elif prediction_type == "epsilon":
                target = rows.noise
            else:
                target = noise_scheduler.get_velocity(rows.x_0, rows.noise, rows.timesteps)
            patched.code = torch.nn.functional.one_hot(rows.concept, 2).float()
            loss = (pipeline.unet(noisy, rows.timesteps, neutral).sample - target).pow(2).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
    finally:
        patched.remove()
    expected = patched.weight.detach().T.reshape(start.shape)
    torch.testing.assert_close(fit.losses, torch.tensor(losses).double(), rtol=1e-4, atol=1e-7)
    # Adam divides by the gradient's size, so rounding shows where a gradient is next to nothing.
    torch.testing.assert_close(fit.vectors, expected, rtol=1e-3, atol=RATE / 50)
    assert not torch.allclose(fit.vectors, start, atol=RATE)
