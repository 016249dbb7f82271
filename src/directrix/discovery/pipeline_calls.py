"""How a discovery calls the pipeline: whole drawings, and only as far as the first question to the denoiser.

Every pipeline prepares its denoiser's inputs by itself: embeddings of one or three text encoders, masks, sizes,
positions, a guidance scale to embed. So nothing of that is known here. The pipeline is called, what it asks its
denoiser is kept, and the call ends there.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from directrix.discovery.rng import generator
from directrix.errors import ModelError
from directrix.models import facts, families, hooks, image_size
from directrix.models.sites import denoiser

if TYPE_CHECKING:
    import torch
    from torch import Tensor

# What a discovery decides by itself: what is told, in words or embedded, to whichever text encoder; how many pictures
# there are; and what comes back.
_OWN = re.compile(
    r"(negative_)?(pooled_)?prompt.*|generator|guidance_scale|num_inference_steps|num_images_per_prompt|latents"
    r"|output_type|return_dict|self"
)


@dataclass(frozen=True)
class Drawing:
    """A text-to-image pipeline and what it is always called with.

    guidance_scale: 0 or more. num_inference_steps: 1 or more.
    call: further arguments of the pipeline's call, such as height, width or max_sequence_length.

    Raises ModelError for one that the call has not, or that a discovery decides.
    """

    pipeline: Any
    guidance_scale: float
    num_inference_steps: int
    call: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        known = families.parameters(self.pipeline)
        for name in self.call:
            if _OWN.fullmatch(name) or name not in known:
                raise ModelError(
                    f"The call of {type(self.pipeline).__name__} cannot be given '{name}' here.",
                    "an argument of its own that a discovery does not decide.",
                    f"one of {', '.join(sorted(each for each in known if not _OWN.fullmatch(each)))}.",
                )

    @property
    def halved(self) -> bool:
        """Whether each step asks about a conditional and an unconditional half."""
        scale = self.call.get("true_cfg_scale")
        return families.halved(self.pipeline, self.guidance_scale) or (scale is not None and scale > 1)

    def draw(
        self, prompts: Sequence[str], generators: Sequence[torch.Generator], negatives: Sequence[str] | None = None
    ) -> Tensor:
        """The latents of a picture a prompt, as the denoiser works on them: (N, c, h, w), or packed (N, tokens, c).

        generators: one a prompt. negatives: one a prompt, or None for no negative prompts.
        """
        return self._called(prompts, negatives, self.guidance_scale, generator=list(generators)).images

    def question(
        self, prompts: Sequence[str], negatives: Sequence[str] | None = None, halved: bool = False, call: int = 0
    ) -> dict[str, Any]:
        """The arguments that the denoiser's call number ``call`` of a drawing is given, by name.

        halved: with both halves of guidance, if the pipeline has any; without, a row a prompt.

        Raises ModelError where a drawing has fewer calls.
        """
        network = denoiser(self.pipeline)
        scale = self.guidance_scale if halved or families.embeds_guidance(self.pipeline) else 1.0
        asked: list[dict[str, Any]] = []

        def see(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
            asked.append(named(network, args, kwargs))
            if len(asked) > call:
                raise _Enough

        try:
            with quiet(self.pipeline), hooks.before_call(network, see):
                # Whoever draws by torch's own generator must not notice.
                noise = generator(0, "question")
                self._called(prompts, negatives, scale, plain=not halved, generator=noise)
        except _Enough:
            return asked[-1]
        raise ModelError(
            f"{type(self.pipeline).__name__} called its denoiser {len(asked)} times in a whole drawing.",
            f"at least {call + 1} calls.",
            "more inference steps.",
        )

    @property
    def _negative_by_default(self) -> bool:
        known = inspect.signature(type(self.pipeline).__call__).parameters.get("negative_prompt")
        return known is not None and known.default is not None

    def _called(
        self,
        prompts: Sequence[str],
        negatives: Sequence[str] | None,
        guidance_scale: float,
        plain: bool = False,
        **more: Any,
    ) -> Any:
        call = dict(self.call)
        if "height" in call or "width" in call:
            call |= image_size(self.pipeline, call.get("height"), call.get("width"))
        if plain and "true_cfg_scale" in call:
            call["true_cfg_scale"] = 1.0
        negative = None if negatives is None else list(negatives)
        if negative is None and (call.get("true_cfg_scale") or 0) > 1:
            # Such a scale does nothing without a negative prompt.
            negative = [""] * len(prompts)
        arguments = families.accepted(
            self.pipeline,
            {
                # Some pipelines have an empty text as their default, and cannot take None.
                **({} if negative is None and self._negative_by_default else {"negative_prompt": negative}),
                "guidance_scale": guidance_scale,
                "num_inference_steps": self.num_inference_steps,
                "output_type": "latent",
                **_canvas(self.pipeline, len(prompts)),
                **call,
                **more,
            },
        )
        return self.pipeline(list(prompts), **arguments)


class _Enough(Exception):
    """Ends a drawing that has told what was asked of it."""


def named(network: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of a call of the network by name, in the order of its signature: the state is the first."""
    bound = inspect.signature(type(network).forward).bind(network, *args, **kwargs)
    return {name: value for name, value in list(bound.arguments.items())[1:]}


@contextmanager
def quiet(pipeline: Any) -> Iterator[None]:
    """Within, the pipeline draws no progress bar of its own; afterwards its setting is what it was."""
    before = dict(getattr(pipeline, "_progress_bar_config", {}))
    pipeline.set_progress_bar_config(**{**before, "disable": True})
    try:
        yield
    finally:
        pipeline.set_progress_bar_config(**before)


def _canvas(pipeline: Any, count: int) -> dict[str, Any]:
    """For an inpainting network: a picture of which everything is to be painted, as in text-to-image."""
    if not families.masked(pipeline):
        return {}
    from PIL import Image

    _, height, width = facts(pipeline).latent_shape
    size = (width * pipeline.vae_scale_factor, height * pipeline.vae_scale_factor)
    return {
        "image": [Image.new("RGB", size, (128, 128, 128))] * count,
        "mask_image": [Image.new("L", size, 255)] * count,
        "height": size[1],
        "width": size[0],
    }
