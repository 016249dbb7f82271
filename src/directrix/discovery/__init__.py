"""Discovery: from a concept in words to a direction in a frozen model, with no labels.

What is learned from (``collect``: images; ``follow``: the model's own trajectories) is separate from fitting vectors
(``fitting``) and from what is done to them afterwards (``separation``). A method is one file: ``reconstruction`` (the
paper's), ``distillation``, ``trajectory``, ``difference`` (closed form, seconds).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

from directrix.concept import AttributeSet, Concept
from directrix.errors import ConceptError, DirectrixError

if TYPE_CHECKING:
    from directrix.directions.direction import Direction
    from directrix.progress import Progress

__all__ = ["DEFAULT_METHOD", "discover"]

DEFAULT_METHOD = "difference"


@overload
def discover(pipeline: Any, concepts: Concept, method: str = ..., **settings: Any) -> Direction: ...
@overload
def discover(pipeline: Any, concepts: Sequence[Concept], method: str = ..., **settings: Any) -> list[Direction]: ...
def discover(
    pipeline: Any,
    concepts: Concept | Sequence[Concept],
    method: str = DEFAULT_METHOD,
    *,
    images: int | None = None,
    steps: int | None = None,
    batch_size: int | None = None,
    learning_rate: float | None = None,
    seed: int = 0,
    guidance_scale: float | None = None,
    num_inference_steps: int | None = None,
    site: str | None = None,
    checkpoint: Path | str | None = None,
    checkpoint_every: int = 100,
    collection_batch_size: int = 8,
    shape: str = "map",
    rank: int | None = None,
    contrast: bool = False,
    preserve: Sequence[Concept | AttributeSet | str] | Concept | AttributeSet | str = (),
    progress: Progress | None = None,
    call: Mapping[str, Any] | None = None,
    **options: Any,
) -> Direction | list[Direction]:
    """Finds the directions of concepts in a frozen text-to-image model.

    pipeline: a diffusers pipeline with a U-Net or a transformer, of any family (docs/families.md). Nothing of it is
        changed. One that starts from an image lends its parts to its text-to-image sibling.
    concepts: one concept gives one Direction, several give a list, learned in one run.
    method: "reconstruction" (the paper), "distillation", "trajectory" or "difference" (see their modules).
    images, steps: per concept, > 0 (a method in closed form takes no steps); with several concepts the run
        has as many times the steps, so that each concept's images are gone through as often as alone.
    batch_size: images a step. images, steps and batch_size default to the method's (see its module).
    learning_rate: Adam's, > 0; by default the one on the model's card (0.1 on SD 1.4) times the method's factor,
        else the method's multiple of the root mean square of the site's output (see ``problem.Defaults``).
    seed: everything random follows from it.
    guidance_scale, num_inference_steps: for drawing the images; by default the model card's.
    site: dotted name of a module in the denoiser, or of an attention's heads; by default the mid block, or a
        transformer's middle block (see ``sites``).
    checkpoint: a folder to keep unfinished work in, written every ``checkpoint_every`` steps, after every
        ``collection_batch_size`` images (every neutral prompt, where trajectories are followed) and on Ctrl-C. The
        same call on the same folder goes on, and ends with the same bits as a run that was never stopped. The folder
        is left; delete it when done with.
    shape: "map" for a direction (C, H, W), tied to the pipeline's own image size, or "channel" for (C,), free of it.
        Where the site has tokens in place of height and width, it is always (C,).
    rank: of a map, as a matrix (C, H * W); None for a full one.
    contrast: take the part out that all the concepts share, so that opposites are opposite; two or more concepts.
    preserve: concepts that must not change, such as those of skin tone where the concepts are genders. They are
        learned in the same run, and the space they span is taken out. Or prompts, such as "a dog", under
        which nothing must change (method "trajectory" only).
    call: further arguments of the pipeline's call, as JSON values: height, width, max_sequence_length, ...
    options: the method's own (``average``, ``initial_scale``; see its module).

    Each direction's recipe holds every setting,
    the prompts, seconds, denoiser evaluations and the loss curve.

    Raises ConceptError, ModelError, SiteError, MismatchError (a checkpoint of other settings),
    OutputError, InterruptedRun (Ctrl-C; says how to go on), DirectrixError for any other unusable setting.
    """
    from directrix.discovery.orthogonalize import Separation
    from directrix.discovery.registry import method as named_method

    several = not isinstance(concepts, Concept)
    asked_for = _checked(concepts)
    left_alone, keep = _preserved(preserve)
    group = _checked([*asked_for, *left_alone])
    if contrast and len(asked_for) < 2:
        raise ConceptError(
            f"Nothing to contrast '{', '.join(concept.name for concept in asked_for)}' with.",
            "two or more concepts, of which one image shows one.",
            "discover them together, or contrast=False.",
        )
    names = tuple(concept.name for concept in group)
    separation = Separation(shape, rank, contrast, len(left_alone), names)
    how = named_method(method, **options)
    if keep and not hasattr(how, "keep_weight"):
        raise DirectrixError(
            f"The method {method} cannot keep the prompt {keep[0]!r} from changing.",
            "concepts to preserve, or a method that looks at other prompts.",
            "method='trajectory'.",
        )
    settings = {
        "images": how.defaults.images if images is None else images,
        "steps": how.defaults.steps if steps is None else steps,
        "batch_size": how.defaults.batch_size if batch_size is None else batch_size,
        "collection_batch_size": collection_batch_size,
        "checkpoint_every": checkpoint_every,
    }
    whole = {**settings, "num_inference_steps": 1 if num_inference_steps is None else num_inference_steps}
    if how.defaults.steps == 0:
        if steps:
            raise DirectrixError(
                f"The method {method} was given {steps} steps.",
                "no steps: it is a closed form.",
                "leave them out, or method='trajectory', which goes on from it.",
            )
        del whole["steps"]
    for name, value in whole.items():
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise DirectrixError(f"{name} is {value!r}.", "a whole number of at least 1.")
    if learning_rate is not None and not 0 < learning_rate < float("inf"):
        raise DirectrixError(f"learning_rate is {learning_rate!r}.", "a number above 0.")
    every = settings.pop("checkpoint_every")
    settings |= {"guidance_scale": guidance_scale, "num_inference_steps": num_inference_steps}

    from directrix.discovery.checkpoint import Checkpoint, interrupted
    from directrix.discovery.frozen_denoiser import frozen
    from directrix.discovery.pipeline_calls import Drawing
    from directrix.discovery.run import run
    from directrix.models import denoiser, facts
    from directrix.models.families import text_to_image

    pipeline = text_to_image(pipeline)
    model = facts(pipeline)
    settings["guidance_scale"] = model.guidance_scale if guidance_scale is None else float(guidance_scale)
    settings["num_inference_steps"] = num_inference_steps or model.num_inference_steps
    settings["learning_rate"] = learning_rate
    check_negatives(group, settings["guidance_scale"])
    drawing = Drawing(pipeline, settings["guidance_scale"], settings["num_inference_steps"], call or {})
    pictures = how.source == "images" and how.neutral_fraction < 1
    if pictures and any(concept.anti for concept in group) and not drawing.halved:
        raise ConceptError(
            f"{type(pipeline).__name__} draws without an unconditional half here: nothing hears a negative prompt.",
            "a model with guidance in two halves for pictures of a negative prompt.",
            "method='difference', which looks at what the negative prompt itself changes.",
        )
    asked = {
        "method": method,
        **how.describe(),
        **settings,
        **separation.describe(),
        "kept_prompts": keep,
        "seed": seed,
        "site": site,
        "model": model.identity.fingerprint,
        "scheduler": f"{type(pipeline.scheduler).__name__} {sorted(dict(pipeline.scheduler.config).items())}",
        "dtype": str(next(denoiser(pipeline).parameters()).dtype),
        "concepts": [asdict(concept) for concept in group],
        **({"call": dict(call)} if call else {}),
    }
    saved = None if checkpoint is None else Checkpoint(checkpoint, asked)
    try:
        with frozen(pipeline):
            directions = run(
                pipeline, group, how, settings, seed, site, separation, keep, saved, every, progress, dict(call or {})
            )
    except KeyboardInterrupt:
        raise interrupted("preparing", saved) from None
    return directions if several else directions[0]


def check_negatives(concepts: Sequence[Concept], guidance_scale: float) -> None:
    """Raises ConceptError where a concept has a negative prompt, and there is no guidance to hear it."""
    if any(concept.anti for concept in concepts) and not guidance_scale > 1:
        raise ConceptError(
            f"A negative prompt does nothing at guidance scale {guidance_scale:g}.",
            "a guidance scale above 1 for a concept with a negative prompt.",
            "guidance_scale=7.5, or whatever the model is used with.",
        )


def _preserved(preserve: Any) -> tuple[list[Concept], list[str]]:
    """What must not change: concepts, and prompts."""
    listed = [preserve] if isinstance(preserve, Concept | AttributeSet | str) else list(preserve)
    concepts: list[Concept] = []
    prompts: list[str] = []
    for each in listed:
        if isinstance(each, AttributeSet):
            concepts += each.concepts
        elif isinstance(each, Concept):
            concepts.append(each)
        elif isinstance(each, str) and each.strip():
            prompts.append(each)
        else:
            raise ConceptError(
                f"{each!r} cannot be preserved.",
                "a concept, an attribute set or a prompt.",
                'preserve=[SKIN_TONE, "a dog"].',
            )
    return concepts, prompts


def _checked(concepts: Concept | Sequence[Concept]) -> tuple[Concept, ...]:
    group = (concepts,) if isinstance(concepts, Concept | str) else tuple(concepts)
    for concept in group:
        if not isinstance(concept, Concept):
            raise ConceptError(
                f"{concept!r} is not a concept.",
                "a Concept, or a list of them.",
                'Concept.of("woman", target="a woman", neutral="a person").',
            )
    if not group:
        raise ConceptError("There are no concepts to discover.", "at least one.")
    names = [concept.name for concept in group]
    if len(set(names)) < len(names):
        raise ConceptError(f"Two of the concepts have the same name ({', '.join(names)}).", "a name each.")
    return group
