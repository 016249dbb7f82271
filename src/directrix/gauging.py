"""Gauging: fit what tells, of a picture that is being drawn, which category it is going to show.

Pictures are drawn as each category, as they will be; the activations of the half of guidance without a prompt are kept
for each step, and a judge says what came out. Ridge regression from the one to the other is the gauge's reading. In
further rounds pictures are held by the gauge of the rounds before: what it has to tell apart is then what it will meet.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from directrix import _hooks, activations, models, sites
from directrix.aims import calibration_prompts, concept_of
from directrix.apply.held import Held
from directrix.apply.replaced import Replaced
from directrix.errors import DirectrixError
from directrix.gauge import Gauge
from directrix.generate import generate
from directrix.guidance import Guidance
from directrix.intervention import Intervention, select
from directrix.progress import Progress, silent
from directrix.steer import Window
from directrix.trial import Aim

if TYPE_CHECKING:
    from torch import Tensor

    from directrix.direction import Direction, Site
    from directrix.judges import Judge

# Of the steps, those before this tell nothing yet: the picture is noise.
BEGIN = 0.15
# Of the activations' mean square: a reading of few pictures must not hang on single activations.
RIDGE = 1.0


def fit_gauge(
    pipeline: Any,
    attribute: str,
    directions: Mapping[Direction, Aim],
    judge: Judge,
    prompts: Sequence[str] | None = None,
    *,
    images_per_prompt: int = 12,
    rounds: int = 2,
    num_inference_steps: int | None = None,
    seed: int = 5000,
    batch_size: int = 16,
    progress: Progress = silent,
) -> Gauge:
    """Fit a gauge of an attribute to its directions.

    attribute: its name, as policies have it. directions: one a category, calibrated, all at one site, each with what
        the judge sees where it acts.
    prompts: that pictures are drawn of; None for ``calibration_prompts``. A gauge reads subjects well that it has
        seen: give those that will be drawn. images_per_prompt: of each prompt, category and round.
    num_inference_steps: None for the model's own.

    Raises:
        DirectrixError: fewer than two directions, numbers below 1, aims of several attributes, a category that never
            came out, or a model without both halves of guidance in one batch.
    """
    if len(directions) < 2 or images_per_prompt < 1 or rounds < 1:
        raise DirectrixError(
            f"{len(directions)} directions, {images_per_prompt} images and {rounds} rounds were given.",
            "two directions or more, an image and a round.",
            "the directions of all the attribute's categories.",
        )
    if len({aim.attribute for aim in directions.values()}) > 1:
        raise DirectrixError(
            "The directions were calibrated on several attributes.", "directions of one attribute."
        )
    names = [each.name for each in directions]
    listed = list(prompts or calibration_prompts(pipeline, concept_of(next(iter(directions)))))
    effects = {each.name: {each: each.strengths.default} for each in directions}
    states: list[Tensor] = []
    shown: list[int] = []
    timesteps: list[float] = []
    found: Gauge | None = None
    with progress(rounds * len(names), "Gauging") as bar:
        for turn in range(rounds):
            for name in names:
                assigned = [{attribute: name}] * (len(listed) * images_per_prompt)
                drawn: Intervention = (
                    Replaced({attribute: effects}, assigned)
                    if found is None
                    else Held({attribute: effects}, assigned, gauges={attribute: found})
                )
                kept = _Kept(drawn, next(iter(directions)).site, {})
                records = generate(
                    pipeline,
                    listed,
                    images_per_prompt,
                    seed=seed + turn,
                    interventions=kept,
                    num_inference_steps=num_inference_steps,
                    batch_size=batch_size,
                )
                verdicts = judge.label([record.image for record in records])
                for place, verdict in enumerate(verdicts):
                    seen = [at for at, aim in enumerate(directions.values()) if aim.shown(verdict)]
                    # What shows none of them, or several, tells nothing.
                    if len(seen) == 1:
                        states.append(kept.states[place])
                        shown.append(seen[0])
                timesteps = kept.timesteps
                bar.advance(1)
            found = _fitted(pipeline, attribute, list(directions), timesteps, states, shown)
    assert found is not None
    provenance = {
        "judge": judge.name,
        "aims": [asdict(aim) for aim in directions.values()],
        "directions": {each.name: each.digest() for each in directions},
        "prompts": listed,
        "images_per_prompt": images_per_prompt,
        "rounds": rounds,
        "seed": seed,
        "pictures": len(states),
    }
    return Gauge(
        found.attribute,
        found.categories,
        found.site,
        found.model,
        found.timesteps,
        found.centres,
        found.weights,
        found.readings,
        provenance,
    )


def _fitted(
    pipeline: Any,
    attribute: str,
    directions: Sequence[Direction],
    timesteps: Sequence[float],
    states: Sequence[Tensor],
    shown: Sequence[int],
) -> Gauge:
    import torch

    names = tuple(each.name for each in directions)
    lacking = [name for at, name in enumerate(names) if at not in shown]
    if lacking:
        raise DirectrixError(
            f"No picture showed {', '.join(lacking)}.",
            "pictures of every category, to tell them apart.",
            "calibrate these directions, or more images of each prompt.",
        )
    labels = torch.tensor(shown)
    everything = torch.stack(list(states))
    centres, weights, readings = [], [], []
    for step in range(everything.shape[1]):
        centre, weight, reading = _step(everything[:, step].float(), labels, len(names))
        centres.append(centre)
        weights.append(weight)
        readings.append(reading)
    return Gauge(
        attribute,
        names,
        directions[0].site,
        models.identity(pipeline),
        torch.tensor(timesteps),
        torch.stack(centres),
        torch.stack(weights),
        torch.stack(readings),
    )


def _step(states: Tensor, labels: Tensor, kinds: int) -> tuple[Tensor, Tensor, Tensor]:
    """The centre (D,), weights (K, D) and mean readings by category (K, K) of one step.

    The readings' unit is the distance between a category's own pictures and the others': regression alone shortens it,
    the more the less can be told.
    """
    import torch

    centre = states.mean(0)
    centred = states - centre
    # More activations than pictures: solved among the pictures.
    products = centred @ centred.T
    kept = products + RIDGE * products.diagonal().mean() * torch.eye(len(products))
    wanted = torch.nn.functional.one_hot(labels, kinds).float()
    weights = (centred.T @ torch.linalg.solve(kept, wanted - wanted.mean(0))).T
    read = centred @ weights.T
    readings = torch.stack([read[labels == kind].mean(0) for kind in range(kinds)])
    others = (readings.sum(0) - readings.diagonal()) / (kinds - 1)
    unit = float((readings.diagonal() - others).mean())
    return centre, weights / unit, readings / unit


class _Kept:
    """An intervention whose pictures leave what the half without a prompt was at each step.

    states: by image of the run, half precision (T, D).
    """

    name = "kept"
    config: Mapping[str, Any] = MappingProxyType({})

    def __init__(
        self,
        inner: Intervention,
        site: Site,
        states: dict[int, Tensor],
        images: Sequence[int] = (),
        timesteps: list[float] | None = None,
    ) -> None:
        self._inner = inner
        self._site = site
        self.states = states
        self._images = images
        self.timesteps: list[float] = [] if timesteps is None else timesteps

    def select(self, images: Sequence[int], total: int) -> _Kept:
        chosen = select(self._inner, images, total)
        return _Kept(chosen, self._site, self.states, images, self.timesteps)

    @contextmanager
    def applied(self, pipeline: Any) -> Iterator[Any]:
        import torch

        window, guidance = Window(pipeline, BEGIN, 1.0), Guidance(pipeline)
        steps: dict[float, Tensor] = {}

        def see(h: Tensor) -> None:
            if not window.open or window.timestep is None:
                return
            guided, layout = guidance.now()
            if not (guided and "-" in layout):
                raise DirectrixError(
                    "There is no half of guidance without a prompt in the batch, so nothing can be read.",
                    "a pipeline with both halves in one batch, and a guidance scale above 1.",
                )
            half = h.chunk(2)[0 if layout == "unconditional-conditional" else 1]
            # A solver that asks twice within a step is read the first time.
            steps.setdefault(window.timestep, half.detach().flatten(1).half().cpu())

        with ExitStack() as stack:
            stack.enter_context(_hooks.before_call(sites.denoiser(pipeline), window.see))
            stack.enter_context(guidance.watching())
            stack.enter_context(activations.read(pipeline, self._site, see))
            stack.enter_context(self._inner.applied(pipeline))
            yield pipeline
        self.timesteps[:] = list(steps)
        rows = torch.stack(list(steps.values()), 1)
        self.states.update(zip(self._images, rows, strict=True))
