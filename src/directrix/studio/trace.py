"""Where in an image directions act, step by step: how far its latents are from those of the same seed unsteered."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from directrix.errors import DirectrixError, ModelError
from directrix.studio.artist import Artist
from directrix.studio.jobs import Job
from directrix.studio.recipe import Recipe

if TYPE_CHECKING:
    import numpy as np

SHOWN = 8  # steps, at even distances, the last one among them


@dataclass(frozen=True)
class Trace:
    """Differences of a recipe's first image.

    steps: which are shown, from 1; of: how many there are.
    apart: float (steps, h, w), mean absolute differences of latents over channels, 1 where they are greatest.
    """

    recipe: Recipe
    steps: tuple[int, ...]
    of: int
    apart: np.ndarray


def trace(job: Job, artist: Artist, recipe: Recipe) -> Trace:
    """Draws the recipe's first image twice. Raises DirectrixError where no direction is on, ModelError where the
    pipeline shows no steps, and Cancelled."""
    import numpy as np

    if not recipe.strengths:
        raise DirectrixError("No direction is on.", "a strength other than 0.", "move a slider.")
    one = replace(recipe, images=1)
    plain = _latents(job, artist, one.plain(), "Following the unsteered image")
    steered = _latents(job, artist, one, "Following the steered image")
    apart = np.abs(np.stack(steered) - np.stack(plain)).mean(axis=1)
    count = len(apart)
    steps = sorted({round((place + 1) * count / min(SHOWN, count)) for place in range(min(SHOWN, count))})
    shown = apart[[each - 1 for each in steps]]
    return Trace(recipe, tuple(steps), count, shown / (apart.max() or 1.0))


def _latents(job: Job, artist: Artist, recipe: Recipe, label: str) -> list[np.ndarray]:
    """The latents of a recipe's image after each step, (C, H, W)."""
    from directrix.generation.generate import image_generator
    from directrix.interventions.steering import Steering

    with job.bar(1, "Loading the model"):
        model = artist.load(recipe.model)
    if "callback_on_step_end" not in model.parameters:
        raise ModelError(f"{model.name} does not show its steps.", "a pipeline that does.", "the view Difference.")
    facts, found = model.facts, []
    strengths = {artist.direction(recipe.model, name): each for name, each in recipe.strengths.items()}
    with job.bar(facts.num_inference_steps, label) as bar:

        def see(_pipeline: Any, _step: int, _timestep: Any, tensors: dict[str, Any]) -> dict[str, Any]:
            found.append(tensors["latents"][0].float().cpu().numpy())
            bar.advance(1)
            return tensors

        settings = {"num_inference_steps": facts.num_inference_steps, "guidance_scale": facts.guidance_scale}
        with Steering(strengths).applied(model.pipeline) if strengths else nullcontext():
            model.pipeline(
                prompt=[recipe.prompt],
                generator=[image_generator(recipe.seed, 0, 0)],
                output_type="latent",
                callback_on_step_end=see,
                **settings,
                **facts.arguments,
            )
    if found and found[0].ndim != 3:
        raise ModelError(f"{model.name} packs its latents.", "latents with height and width.", "the view Difference.")
    return found
