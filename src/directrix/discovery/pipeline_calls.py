"""How a discovery calls the pipeline: for whole images, and only as far as the first call of the denoiser.

Every pipeline prepares its denoiser's inputs by itself: embeddings of one or three text encoders, masks, sizes,
positions, a guidance scale to embed. So nothing of that is known here. The pipeline is called, the inputs of its
denoiser are captured, and the call ends there.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from directrix.discovery.environment import generator
from directrix.discovery.settings import Sampling
from directrix.errors import ConceptError, ModelError
from directrix.models.denoiser_calls import DenoiserCall, Scope
from directrix.models.steerable import SteerableModel

if TYPE_CHECKING:
    from torch import Tensor

    from directrix.concept import Concept

# What a discovery decides by itself: the prompts, in words or embedded, for whichever text encoder; how many images
# there are; and what comes back.
_OWN = re.compile(
    r"(negative_)?(pooled_)?prompt.*|generator|guidance_scale|num_inference_steps|num_images_per_prompt|latents"
    r"|output_type|return_dict|self"
)


_CALLS = 3


@dataclass(frozen=True)
class PipelineCall:
    """A text-to-image pipeline and the arguments that all its calls have in common.

    guidance_scale: 0 or more. num_inference_steps: 1 or more.
    arguments: further ones of the pipeline's call, such as height, width or max_sequence_length.

    Raises ModelError for one that the call has not, or that a discovery decides.
    """

    model: SteerableModel
    guidance_scale: float
    num_inference_steps: int
    arguments: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        known = self.model.parameters
        for name in self.arguments:
            if _OWN.fullmatch(name) or name not in known:
                raise ModelError(
                    f"The call of {self.model.name} cannot be given '{name}' here.",
                    "an argument of its own that a discovery does not decide.",
                    f"one of {', '.join(sorted(each for each in known if not _OWN.fullmatch(each)))}.",
                )

    @classmethod
    def of(cls, model: SteerableModel, sampling: Sampling) -> PipelineCall:
        """The call that the settings name, with the model's own where they name none."""
        facts, scale = model.facts, sampling.guidance_scale
        scale = facts.guidance_scale if scale is None else float(scale)
        steps = sampling.num_inference_steps or facts.num_inference_steps
        return cls(model, scale, steps, {**facts.arguments, **(sampling.call or {})})

    @cached_property
    def guided(self) -> bool:
        """Whether each step has a conditional and an unconditional branch, as its first calls show."""
        if not max(self.guidance_scale, self.arguments.get("true_cfg_scale") or 0) > 1:
            return False
        try:
            self.captured(["a"], branch="unconditional")
        except ModelError:
            return False
        return True

    def check_negatives(self, concepts: Sequence[Concept], drawn: bool) -> None:
        """Raises ConceptError where a concept has a negative prompt that does nothing.

        drawn: whether images are drawn under it.
        """
        if not any(concept.anti for concept in concepts):
            return
        if not self.guidance_scale > 1:
            raise ConceptError(
                f"A negative prompt does nothing at guidance scale {self.guidance_scale:g}.",
                "a guidance scale above 1 for a concept with a negative prompt.",
                "guidance_scale=7.5, or whatever the model is used with.",
            )
        if drawn and not self.guided:
            raise ConceptError(
                f"{self.model.name} draws without an unconditional branch: a negative prompt does nothing.",
                "a model with both branches of guidance for images of a negative prompt.",
                "method='difference', which looks at what the negative prompt itself changes.",
            )

    def latents(
        self, prompts: Sequence[str], numbers: Sequence[int], seed: int, negatives: Sequence[str] | None = None
    ) -> Tensor:
        """The latents of an image a prompt, as the denoiser works on them: (N, c, h, w), or packed (N, tokens, c).

        The noise of an image depends on the seed, its prompts and its number only. numbers: one a prompt. negatives:
        one a prompt, "" for none; None where no prompt has one.

        Raises ModelError if an image isn't finite.
        """
        rows = zip(prompts, negatives or [""] * len(prompts), numbers, strict=True)
        generators = [generator(seed, "image", *row) for row in rows]
        last: list[Tensor] = []

        def see(_pipeline: Any, _step: int, _timestep: Any, tensors: dict[str, Any]) -> dict[str, Any]:
            last[:] = [tensors["latents"]]
            return tensors

        # Some pipelines rearrange and rescale what they give out at the end.
        watched: dict[str, Any] = {"callback_on_step_end": see} if "callback_on_step_end" not in self.arguments else {}
        images = self._called(prompts, negatives, self.guidance_scale, generator=generators, **watched).images
        latents = last[0] if last else images
        check_finite([latents], prompts[0])
        return latents

    def captured(
        self, prompts: Sequence[str], negatives: Sequence[str] | None = None, branch: str = "conditional"
    ) -> dict[str, Any]:
        """The inputs of a branch of guidance that the denoiser is first given, by name, the state first.

        branch: "conditional", drawn without guidance; "unconditional"; or "whole", the first call as it is.

        Raises ModelError where the pipeline does not call its denoiser about that branch.
        """
        guided = branch == "unconditional"
        scale = self.guidance_scale if guided or self.model.embeds_guidance else 1.0
        captured: list[dict[str, Any]] = []
        layouts: list[str] = []

        def see(call: DenoiserCall) -> None:
            layouts.append(call.layout[1])
            if branch == "whole" or branch in layouts[-1].split("-"):
                captured.append(_rows_of(branch, layouts[-1], call))
            # No step has more calls than these.
            if captured or len(layouts) == _CALLS:
                raise _Enough

        scope = Scope(self.model)
        scope.watch(see)
        try:
            with quiet(self.model.pipeline), own_attention(self.model.denoiser), scope.opened():
                # Whoever draws by torch's own generator must not notice.
                noise = generator(0, "question")
                self._called(prompts, negatives, scale, plain=not guided, generator=noise)
        except _Enough:
            pass
        if captured:
            return captured[0]
        raise ModelError(
            f"{self.model.name} does not call its denoiser about the {branch} branch.",
            "a call about each branch of guidance.",
            "a guidance scale above 1, or a model that guides.",
        )

    def _called(
        self,
        prompts: Sequence[str],
        negatives: Sequence[str] | None,
        guidance_scale: float,
        plain: bool = False,
        **more: Any,
    ) -> Any:
        given = dict(self.arguments)
        if "height" in given or "width" in given:
            given |= self.model.image_size(given.get("height"), given.get("width"))
        if plain and "true_cfg_scale" in given:
            given["true_cfg_scale"] = 1.0
        negative = None if negatives is None else list(negatives)
        if negative is None and (given.get("true_cfg_scale") or 0) > 1:
            # Such a scale does nothing without a negative prompt.
            negative = [""] * len(prompts)
        default = self.model.parameters.get("negative_prompt")
        # Some pipelines have an empty text as their default, and cannot take None.
        omitted = negative is None and default is not None and default.default is not None
        arguments = self.model.accepted(
            {
                **({} if omitted else {"negative_prompt": negative}),
                "guidance_scale": guidance_scale,
                "num_inference_steps": self.num_inference_steps,
                "output_type": "latent",
                **_canvas(self.model, len(prompts)),
                **given,
                **more,
            }
        )
        try:
            return self.model.pipeline(prompt=list(prompts), **arguments)
        except (AttributeError, TypeError, ValueError) as error:
            images = [name for name in ("image", "control_image") if name in self.model.parameters]
            if not images or any(name in arguments for name in images):
                raise
            raise ModelError(
                f"{self.model.name} did not draw from a prompt alone ({error}).",
                "a pipeline that does, or one whose parts make one up.",
                f"give the image with each call: sampling=Sampling(call={{'{images[0]}': image}}).",
            ) from error


class _Enough(Exception):
    """Ends a pipeline call whose inputs are captured."""


def _rows_of(branch: str, layout: str, call: DenoiserCall) -> dict[str, Any]:
    """The arguments of a call, of those that have a row for each of its rows the part that a branch has."""
    if "-" not in layout:
        return dict(call.arguments)
    half = call.rows // 2
    part = slice(0, half) if layout.startswith(f"{branch}-") else slice(half, None)

    def cut(value: Any) -> Any:
        if isinstance(value, Mapping):
            return {name: cut(each) for name, each in value.items()}
        return value[part] if getattr(value, "ndim", 0) and len(value) == call.rows else value

    return {name: cut(value) for name, value in call.arguments.items()}


def check_finite(latents: Sequence[Tensor], prompt: str) -> None:
    """Raises ModelError unless all that was drawn from the prompt is finite."""
    if not all(bool(each.isfinite().all()) for each in latents):
        raise ModelError(
            f"The model drew latents that are not finite numbers, for {prompt!r}.",
            "finite latents.",
            "load the model in float32 or bfloat16 (half precision overflows on some models).",
        )


@contextmanager
def quiet(pipeline: Any) -> Iterator[None]:
    """Within, the pipeline draws no progress bar of its own; afterwards its setting is what it was."""
    before = dict(getattr(pipeline, "_progress_bar_config", {}))
    pipeline.set_progress_bar_config(**{**before, "disable": True})
    try:
        yield
    finally:
        pipeline.set_progress_bar_config(**before)


@contextmanager
def own_attention(network: Any) -> Iterator[None]:
    """Puts back the attention that a call exchanged until its end, such as a perturbed one, where it ends early."""
    before = dict(getattr(network, "attn_processors", {}))
    try:
        yield
    finally:
        if before and before != dict(network.attn_processors):
            network.set_attn_processor(before)


def _canvas(model: SteerableModel, count: int) -> dict[str, Any]:
    """For an inpainting network: an image of which everything is to be painted, as in text-to-image."""
    if not model.masked:
        return {}
    from PIL import Image

    _, height, width = model.facts.latent_shape
    scale = model.pipeline.vae_scale_factor
    size = (width * scale, height * scale)
    return {
        "image": [Image.new("RGB", size, (128, 128, 128))] * count,
        "mask_image": [Image.new("L", size, 255)] * count,
        "height": size[1],
        "width": size[0],
    }
