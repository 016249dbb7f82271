"""Discovery: from a concept in words to a direction in a frozen model, with no labels.

What is learned from (``samples``: images; ``trajectories``: the model's own trajectories) is separate from fitting
vectors (``optimize``) and from what is done to them afterwards (``orthogonalize``). A method is one file:
``embedding`` (closed form, a second, at the denoiser's inputs about the prompt), ``affine`` (the same, and what a
prompt says already is taken out), ``difference_of_means`` (closed form, seconds, inside the denoiser),
``reconstruction`` (the paper's), ``distillation``, ``trajectory_distillation``; see ``problem.Method`` for one of your
own.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

from directrix.checks import whole_number
from directrix.concept import Concept
from directrix.discovery.settings import Optimizer, Orthogonalization, Sampling, regrouped
from directrix.errors import ConceptError, DirectrixError
from directrix.progress import Progress, silent

if TYPE_CHECKING:
    from directrix.directions.direction import Direction

__all__ = [
    "AT_INPUTS",
    "DEFAULT_METHOD",
    "INSIDE",
    "Optimizer",
    "Orthogonalization",
    "Sampling",
    "default_method",
    "discover",
]

# At what the denoiser is given about the prompt, which every level reads.
DEFAULT_METHOD = "embedding"
AT_INPUTS = (DEFAULT_METHOD, "affine")
# That of a direction inside the denoiser, at a site.
INSIDE = "difference"


def default_method(
    *,
    site: str | None = None,
    sampling: Sampling | None = None,
    orthogonalization: Orthogonalization | None = None,
    **options: Any,
) -> str:
    """The method where none is named: another where these settings of `discover` ask for what only a site has."""
    form = orthogonalization or Orthogonalization()
    common = ("optimizer", "seed", "checkpoint", "progress")
    own = [value for name, value in options.items() if name not in common]
    asked = (site, form.rank, (sampling or Sampling()).images, *own)
    return INSIDE if form.shape == "channel" or any(each is not None for each in asked) else DEFAULT_METHOD


@overload
def discover(pipeline: Any, concepts: Concept, method: str | None = ..., **settings: Any) -> Direction: ...
@overload
def discover(
    pipeline: Any, concepts: Sequence[Concept], method: str | None = ..., **settings: Any
) -> list[Direction]: ...
@regrouped
def discover(
    pipeline: Any,
    concepts: Concept | Sequence[Concept],
    method: str | None = None,
    *,
    sampling: Sampling | None = None,
    optimizer: Optimizer | None = None,
    orthogonalization: Orthogonalization | None = None,
    site: str | None = None,
    seed: int = 0,
    checkpoint: Path | str | None = None,
    progress: Progress | None = None,
    **options: Any,
) -> Direction | list[Direction]:
    """Finds the directions of concepts in a frozen text-to-image model.

    pipeline: a diffusers pipeline with a U-Net or a transformer, of any family (docs/families.md), or a SteerableModel.
        Nothing of it is changed. One that starts from an image lends its parts to its text-to-image sibling.
    concepts: one concept gives one Direction, several give a list, learned in one run.
    method: "embedding", "affine", "difference", "trajectory", "distillation" or "reconstruction" (the paper; see their
        modules), or one that another package adds. None for "embedding", or for "difference" where a site, a channel, a
        rank, images or an option of a method asks for a direction inside the denoiser.
    sampling: how the images are drawn; None for the method's and the model's own settings.
    optimizer: how vectors are fitted; None for the method's own settings.
    orthogonalization: what is taken out of the vectors, and which form they get; None for whole maps as they are found.
    site: dotted name of a module in the denoiser, or of an attention's heads; by default the mid block (h-space), or a
        transformer's middle block (see ``sites``).
    seed: everything random follows from it.
    checkpoint: a folder for unfinished work, written as the settings say, and on Ctrl-C. The same call on the same
        folder goes on, and ends with the same bits as a run that was never stopped. The folder is left; delete it when
        done with.
    options: the method's own (``average``, ``padding``, ``keep_norm``; see its module).

    Each direction's recipe has every setting, the prompts, seconds, denoiser evaluations and the loss curve.

    Raises ConceptError, ModelError, SiteError, MismatchError (a checkpoint of other settings),
    OutputError, InterruptedRun (Ctrl-C; says how to go on), DirectrixError for any other unusable setting.
    """
    from directrix.discovery.registry import method as named_method

    sampling, optimizer = sampling or Sampling(), optimizer or Optimizer()
    form = orthogonalization or Orthogonalization()
    preserved, retain = form.preserved()
    wanted = _checked(concepts)
    group = _checked([*wanted, *preserved])
    if form.contrast and len(wanted) < 2:
        raise ConceptError(
            f"Nothing to contrast '{', '.join(concept.name for concept in wanted)}' with.",
            "two or more concepts, of which one image shows one.",
            "discover them together, or contrast=False.",
        )
    if method is None:
        method = default_method(site=site, sampling=sampling, orthogonalization=form, **options)
    how = named_method(method, **options)
    if retain and not how.retains_prompts:
        raise DirectrixError(
            f"The method {method} cannot keep the prompt {retain[0]!r} from changing.",
            "concepts to preserve, or a method that looks at other prompts.",
            "method='trajectory'.",
        )
    own = how.defaults
    steps = own.steps if optimizer.steps is None else optimizer.steps
    if own.steps:
        whole_number("steps", steps)
    elif steps:
        raise DirectrixError(
            f"The method {method} was given {steps} steps.",
            "no steps: it is a closed form.",
            "leave them out, or method='trajectory', which goes on from it.",
        )

    from directrix.discovery.pipeline_calls import PipelineCall
    from directrix.discovery.run import Run
    from directrix.models.steerable import SteerableModel

    model = SteerableModel.of(pipeline).text_to_image()
    how.check(model)
    call = PipelineCall.of(model, sampling)
    call.check_negatives(group, drawn=how.learns_from == "samples" and how.neutral_fraction < 1)
    settings = {
        "images": own.images if sampling.images is None else sampling.images,
        "steps": steps,
        "batch_size": own.batch_size if optimizer.batch_size is None else optimizer.batch_size,
        "collection_batch_size": sampling.batch_size,
        "guidance_scale": call.guidance_scale,
        "num_inference_steps": call.num_inference_steps,
        "learning_rate": optimizer.learning_rate,
    }
    vectors = {"shape": form.shape, "rank": form.rank, "contrast": bool(form.contrast), "preserved": len(preserved)}
    run = Run(call, group, form.attributes(), how, settings, vectors, retain, site, seed)
    directions = run.directions(checkpoint, optimizer.checkpoint_every, progress or silent)
    return directions[0] if isinstance(concepts, Concept) else directions


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
