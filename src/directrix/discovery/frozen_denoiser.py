"""A pipeline's denoiser, frozen, to which vectors can be added at a site.

Its inputs are captured from its pipeline (`PipelineCall`) and given again with other states and prompts. Vectors are
maps (C, H, W) everywhere; those of a site with tokens are (C, 1, 1) and are added to every token of the image.

Of the whole model only the added vectors ever need a gradient. Its parameters don't require one, so
autograd's graph starts at the site, and the layers before it cost no memory.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from copy import copy
from dataclasses import dataclass
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

import torch

from directrix.discovery.conditioning import Conditioning, Path, flat, stitched
from directrix.discovery.pipeline_calls import PipelineCall
from directrix.errors import ModelError, SiteError
from directrix.models import activations, text_inputs
from directrix.models.identity import Site
from directrix.models.steerable import SteerableModel

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass(frozen=True)
class Batch:
    """B states. x_t: float32 (B, c, h, w); timesteps, concept, pair: (B,).

    x_0, noise: the image and the noise that x_t was made of, like x_t; nothing for states of a trajectory.
    """

    x_0: Tensor
    noise: Tensor
    timesteps: Tensor
    x_t: Tensor
    concept: Tensor
    pair: Tensor

    def to(self, device: torch.device) -> Batch:
        """The same on a device."""
        return Batch(**{key: value.to(device) for key, value in vars(self).items()})


class FrozenDenoiser:
    """The denoiser of a model, with counted evaluations. Use it within ``frozen(model)``.

    call: how its images are drawn; None for the pipeline's defaults without guidance.
    forward, forward_backward: samples that went through the denoiser without, and with, a gradient.
    """

    def __init__(self, model: SteerableModel, site: Site, call: PipelineCall | None = None) -> None:
        self.network: nn.Module = model.denoiser
        self.site = site
        # Raises now rather than in the middle of a run.
        model.module_of(site)
        pipeline = model.pipeline
        # With CPU offload the weights wait on the CPU, and pipeline.device says so; they run elsewhere.
        self.device: torch.device = getattr(pipeline, "_execution_device", pipeline.device)
        self.forward = 0
        self.forward_backward = 0
        self._model = model
        self._call = PipelineCall(model, 1.0, 2) if call is None else call
        self._texts: dict[str, Mapping[Path, Tensor]] = {}

    def at(self, site: Site) -> FrozenDenoiser:
        """The same at another site, with counts of its own; SiteError where the model has no such site."""
        self._model.module_of(site)
        other = copy(self)
        other.site, other.forward, other.forward_backward = site, 0, 0
        return other

    @torch.no_grad()
    def encode(self, prompts: Sequence[str]) -> Conditioning:
        """The conditioning that the pipeline gives the denoiser for these prompts: a row each."""
        return self._conditioning(self._call.captured(prompts))

    def text(self, prompt: str) -> Mapping[Path, Tensor]:
        """What the denoiser is given of a prompt, float32 (tokens, C) or (C,) on the CPU; each is encoded once."""
        if prompt not in self._texts:
            rows = self.encode([prompt]).rows
            self._texts[prompt] = {path: each[0].float().cpu() for path, each in rows.items() if _is_text(each)}
        return self._texts[prompt]

    def tokens(self, prompt: str) -> list[int]:
        """What the pipeline's tokenizer makes of a prompt, with tokens of beginning and end and no padding."""
        pipeline = self._model.pipeline
        if hasattr(pipeline, "maybe_convert_prompt"):
            # Textual inversion can have several tokens for a word.
            prompt = pipeline.maybe_convert_prompt(prompt, pipeline.tokenizer)
        return pipeline.tokenizer(prompt, truncation=True).input_ids

    @torch.no_grad()
    def unconditional(self, negatives: Sequence[str | None]) -> Conditioning:
        """That of the unconditional branch, under these negative prompts (None: without one).

        A model without such a branch gets the negative prompt as a prompt.
        """
        if not self._call.guided:
            return self.encode([each or "" for each in negatives])
        zeros = self._model.pipeline.config.get("force_zeros_for_empty_prompt")
        if len({each is None for each in negatives}) == 2 and not zeros:
            # No negative prompt is the same as an empty one, and one call pads all alike.
            negatives = [each or "" for each in negatives]
        parts: dict[int, Conditioning] = {}
        for plain in (True, False):
            places = [place for place, each in enumerate(negatives) if (each is None) == plain]
            if not places:
                continue
            given = None if plain else [negatives[place] or "" for place in places]
            rows = self._conditioning(self._call.captured([""] * len(places), given, "unconditional"))
            parts |= {place: rows[row : row + 1] for row, place in enumerate(places)}
        return stitched(parts)

    @torch.no_grad()
    def first_states(self, count: int) -> tuple[Tensor, Tensor]:
        """The noise that so many images begin with, (N, ...), and the time of their first step, (N,)."""
        inputs = self._call.captured([""] * count)
        time = torch.as_tensor(inputs["timestep"]).flatten()
        return next(iter(inputs.values())), time.expand(count) if len(time) == 1 else time

    @torch.no_grad()
    def predict(self, x_t: Tensor, timesteps: Tensor, conditioning: Conditioning | Tensor) -> Tensor:
        """The plain prediction, float32 of the shape of the latents, without a gradient."""
        self.forward += len(x_t)
        return self._answer(x_t, timesteps, conditioning)

    def steered(self, x_t: Tensor, timesteps: Tensor, conditioning: Conditioning | Tensor, addition: Tensor) -> Tensor:
        """The prediction with ``addition`` (N, C, H, W) added to the site's output, with its gradient.

        x_t: (N, c, h, w), or (N, tokens, c) where the model packs its latents; timesteps: (N,), as it is given them.
        Returns float32 of the shape of the latents.
        """
        if torch.is_grad_enabled() and addition.requires_grad:
            self.forward_backward += len(x_t)
        else:
            self.forward += len(x_t)
        with activations.edit(self._model, self.site, partial(_added, addition)):
            return self._answer(x_t, timesteps, conditioning)

    @torch.no_grad()
    def steered_at(
        self, x_t: Tensor, timesteps: Tensor, conditioning: Conditioning | Tensor, additions: Mapping[Site, Tensor]
    ) -> Tensor:
        """As ``steered``, with the same for all states added at each of several sites, inputs among them.

        additions: (C, H, W) or (C, 1, 1) for a module's output, and as a direction's part for an input.
        """
        self.forward += len(x_t)
        with ExitStack() as stack:
            for site, addition in additions.items():
                stack.enter_context(activations.edit(self._model, site, partial(_added, addition[None])))
            return self._answer(x_t, timesteps, conditioning)

    def site_output(self, x_t: Tensor, timesteps: Tensor, conditioning: Conditioning | Tensor) -> Tensor:
        """The site's output as maps, float32 of shape (N, C, H, W): of tokens the mean over those of the image."""
        return as_maps(self.raw_output(x_t, timesteps, conditioning))

    @torch.no_grad()
    def raw_output(self, x_t: Tensor, timesteps: Tensor, conditioning: Conditioning | Tensor) -> Tensor:
        """What the site puts out, float32 of shape (N, C, H, W) or (N, tokens, C); SiteError for any other layout."""
        seen: list[Tensor] = []
        self.forward += len(x_t)
        with activations.read(self._model, self.site, lambda h: seen.append(h.float())):
            self._answer(x_t, timesteps, conditioning)
        check_output(self.site, seen, 1)
        return seen[0]

    def _answer(self, x_t: Tensor, timesteps: Tensor, conditioning: Conditioning | Tensor) -> Tensor:
        if isinstance(conditioning, torch.Tensor):
            conditioning = Conditioning({("encoder_hidden_states",): conditioning})
        x_t = self._completed(x_t.to(self.device, self.dtype))
        # Some take their precision from the time's.
        times = timesteps.to(self.device, torch.as_tensor(self.first_inputs["timestep"]).dtype)
        arguments = conditioning.arguments() | {"return_dict": False, "timestep": times}
        answer = self.network(x_t, **arguments)[0].float()
        # Models that also predict a variance do so in a second half of the channels, which no sampler here uses.
        if answer.ndim == 4 and answer.shape[1] == 2 * x_t.shape[1]:
            answer = answer.chunk(2, dim=1)[0]
        # Whose clock runs from noise to image predicts image less noise.
        return -answer if self._model.reversed_clock else answer

    def _completed(self, x_t: Tensor) -> Tensor:
        """x_t with the mask's channels behind it, where the network wants them and they are not there."""
        if not self._model.masked or x_t.shape[1] == self.network.config.in_channels:  # pyright: ignore
            return x_t
        rest = next(iter(self.first_inputs.values()))[:1, x_t.shape[1] :]
        return torch.cat([x_t, rest.to(x_t).expand(len(x_t), *rest.shape[1:])], dim=1)

    @property
    def subjects(self) -> Sequence[str]:
        """What the model's card has beside "a person"."""
        return self._model.facts.subjects

    @property
    def text_joint(self) -> int | None:
        """At which token of the text states another encoder's begin (Stable Diffusion 3); None where all are one's."""
        pipeline = self._model.pipeline
        return pipeline.tokenizer_max_length if getattr(pipeline, "text_encoder_3", None) is not None else None

    @property
    def padded_tokens(self) -> int | None:
        """How many of the first text states are CLIP's, of a prompt and its padding; None where they are others'."""
        pipeline = self._model.pipeline
        encoders = [getattr(pipeline, f"text_encoder{each}", None) for each in ("", "_2", "_4")]
        kinds = {getattr(each.config, "model_type", None) for each in encoders if each is not None}
        tokenizer = getattr(pipeline, "tokenizer", None)
        if kinds != {"clip_text_model"} or tokenizer is None or tokenizer.padding_side != "right":
            return None
        return tokenizer.model_max_length

    @property
    def dtype(self) -> torch.dtype:
        """That of the states that the pipeline gives it; weights may be stored in another one."""
        return next(iter(self.first_inputs.values())).dtype

    @cached_property
    @torch.no_grad()
    def first_inputs(self) -> dict[str, Any]:
        """The denoiser's first inputs when the empty prompt is drawn; the scheduler is left at that step."""
        return self._call.captured([""])

    @cached_property
    def _by_row(self) -> frozenset[Path]:
        """Which arguments have a row for each prompt: those that grow with their number."""
        two, three = (flat(self._call.captured([""] * count)) for count in (2, 3))
        return frozenset(
            path
            for path, value in two.items()
            if isinstance(value, torch.Tensor)
            and value.ndim
            and isinstance(three.get(path), torch.Tensor)
            and len(three[path]) == len(value) + 1
        )

    def _conditioning(self, inputs: Mapping[str, Any]) -> Conditioning:
        """The captured inputs without state, time and how to answer."""
        own = ((next(iter(inputs)),), ("timestep",), ("return_dict",))
        rest = {path: value for path, value in flat(inputs).items() if path not in own}
        by_row = self._by_row
        if ("encoder_hidden_states",) not in by_row:
            raise ModelError(
                f"{type(self.network).__name__} gets no row of `encoder_hidden_states` for each prompt.",
                "a text-to-image denoiser of diffusers with one tensor of text states.",
                "another model.",
            )
        rows = {path: value for path, value in rest.items() if path in by_row}
        return Conditioning(rows, {path: value for path, value in rest.items() if path not in by_row})


def _is_text(value: Tensor) -> bool:
    return value.is_floating_point() and value.ndim in text_inputs.LAYOUTS


def _added(addition: Tensor, h: Tensor) -> Tensor:
    """h and what is added: a map to maps; to tokens of an image one vector, and to an input its own shape."""
    moved = addition.to(h.device, h.dtype)
    return h + (moved.flatten(1)[:, None] if h.ndim == 3 and moved.ndim == 4 else moved)


def as_maps(h: Tensor) -> Tensor:
    """Activations (N, C, H, W) as they are, (N, tokens, C) as their mean (N, C, 1, 1)."""
    return h if h.ndim == 4 else h.mean(dim=1)[:, :, None, None]


def check_output(site: Site, outputs: Sequence[Tensor], passes: int) -> None:
    """Raises SiteError unless the site put out one tensor a pass, of its layout."""
    if len(outputs) == passes and outputs[0].ndim == (4 if site.layout == "channels-first" else 3):
        return
    shape = tuple(outputs[0].shape) if outputs else ()
    raise SiteError(
        f"The site '{site.name}' put out {len(outputs)} tensors of shape {shape} in {passes} passes.",
        "a module that puts out (batch, channels, height, width) or (batch, tokens, channels) once in each pass.",
        "the default site.",
    )


def check_size(size: float) -> None:
    """Raises SiteError unless the root mean square of a site's output is finite and above 0."""
    if not 0 < size < float("inf"):
        raise SiteError(
            f"The site's output has a root mean square of {size}.",
            "a finite one above 0.",
            "load the model in float32 or bfloat16, or name another site.",
        )
