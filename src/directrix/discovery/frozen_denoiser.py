"""A pipeline's denoiser, frozen, to which vectors can be added at a site.

What it must be told is recorded from its pipeline (``drawing``) and told again with other states and prompts. Vectors
are maps (C, H, W) everywhere; those of a site with tokens are (C, 1, 1) and are added to every token of the image.

Of the whole model only the added vectors ever need a gradient. Its parameters don't require one, so
autograd's graph starts at the site, and the layers before it cost no memory.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import copy
from functools import cached_property
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from directrix.discovery.conditioning import Conditioning, Path, flat, stitched
from directrix.discovery.cpu_attention import plain_where_short
from directrix.discovery.gradient_checkpointing import with_hooks
from directrix.discovery.ip_adapter import without_image_prompts
from directrix.discovery.pipeline_calls import Drawing
from directrix.errors import ModelError, SiteError
from directrix.models import activations, families, sites

if TYPE_CHECKING:
    from torch import Tensor

    from directrix.models.sites import Site


@contextmanager
def frozen(pipeline: Any) -> Iterator[None]:
    """Within: every network of the pipeline is in eval mode and no parameter requires a gradient.

    Afterwards every flag is what it was, also after an exception; values are never touched.
    """
    networks = [part for part in pipeline.components.values() if isinstance(part, nn.Module)]
    training = [(module, module.training) for network in networks for module in network.modules()]
    weights = [weight for network in networks for weight in network.parameters()]
    requires_grad = [(weight, weight.requires_grad) for weight in weights]
    try:
        for network in networks:
            network.eval()
            network.requires_grad_(False)
        network = sites.denoiser(pipeline)
        with (
            without_image_prompts(network),
            plain_where_short(network),
            with_hooks(network),
            _uncompiled(),
            _repeatable(),
        ):
            yield
    finally:
        # module.train(flag) would also set the children, whose own flags may differ.
        for module, flag in training:
            module.training = flag
        for weight, flag in requires_grad:
            weight.requires_grad_(flag)


@contextmanager
def _uncompiled() -> Iterator[None]:
    """Compiled networks run as they are written: gradients and recordings go through hooks that a graph hides."""
    with torch.compiler.set_stance("force_eager"):
        yield


@contextmanager
def _repeatable() -> Iterator[None]:
    """cuDNN may take a faster algorithm whose sums come in any order; then the same seed gives another direction."""
    before = torch.backends.cudnn.deterministic
    torch.backends.cudnn.deterministic = True
    try:
        yield
    finally:
        torch.backends.cudnn.deterministic = before


class FrozenDenoiser:
    """The denoiser of a pipeline, with counted evaluations. Use it within ``frozen(pipeline)``.

    drawing: how its pictures are drawn; None for the pipeline's defaults without guidance.
    forward, forward_backward: samples that went through the denoiser without, and with, a gradient.
    """

    def __init__(self, pipeline: Any, site: Site, drawing: Drawing | None = None) -> None:
        self.network: nn.Module = sites.denoiser(pipeline)
        self.site = site
        # Raises now rather than in the middle of a run.
        sites.module_of(pipeline, site)
        # With CPU offload the weights wait on the CPU, and pipeline.device says so; they run elsewhere.
        self.device: torch.device = getattr(pipeline, "_execution_device", pipeline.device)
        self.dtype: torch.dtype = next(self.network.parameters()).dtype
        self.forward = 0
        self.forward_backward = 0
        self._pipeline = pipeline
        self._drawing = Drawing(pipeline, 1.0, 2) if drawing is None else drawing

    def at(self, site: Site) -> FrozenDenoiser:
        """The same at another site, with counts of its own; what was learned of the pipeline's questions is shared.

        Raises SiteError where the model has no such site.
        """
        sites.module_of(self._pipeline, site)
        other = copy(self)
        other.site, other.forward, other.forward_backward = site, 0, 0
        return other

    @torch.no_grad()
    def encode(self, prompts: Sequence[str]) -> Conditioning:
        """What the pipeline tells the denoiser about these prompts when it draws them: a row each."""
        return self._told(self._drawing.question(prompts))

    @torch.no_grad()
    def unconditional(self, negatives: Sequence[str | None]) -> Conditioning:
        """What it is told in the unconditional half of guidance, under these negative prompts (None: without one).

        A model without such a half is told the negative prompt as a prompt.
        """
        if not self._drawing.halved:
            return self.encode([each or "" for each in negatives])
        if len({each is None for each in negatives}) == 2 and not self._pipeline.config.get(
            "force_zeros_for_empty_prompt"
        ):
            # Without a negative prompt the empty one is told, and one call pads all alike.
            negatives = [each or "" for each in negatives]
        two_calls = families.guidance_layout(self._pipeline) == "two-calls"
        parts: dict[int, Conditioning] = {}
        for plain in (True, False):
            places = [place for place, each in enumerate(negatives) if (each is None) == plain]
            if not places:
                continue
            told = None if plain and not two_calls else [negatives[place] or "" for place in places]
            prompts = [""] * len(places)
            asked = self._told(self._drawing.question(prompts, told, halved=True, call=int(two_calls)))
            if not two_calls:
                first = families.guidance_layout(self._pipeline) == "unconditional-conditional"
                asked = asked[: len(places)] if first else asked[len(places) :]
            parts |= {place: asked[row : row + 1] for row, place in enumerate(places)}
        return stitched(parts)

    @torch.no_grad()
    def predict(self, x_t: Tensor, timesteps: Tensor, conditioning: Conditioning | Tensor) -> Tensor:
        """The plain prediction, float32 of the shape of the latents, without a gradient."""
        self.forward += len(x_t)
        return self._call(x_t, timesteps, conditioning)

    def steered(self, x_t: Tensor, timesteps: Tensor, conditioning: Conditioning | Tensor, addition: Tensor) -> Tensor:
        """The prediction with ``addition`` (N, C, H, W) added to the site's output, with its gradient.

        x_t: (N, c, h, w), or (N, tokens, c) where the model packs its latents; timesteps: (N,), as it is told them.
        Returns float32 of the shape of the latents.
        """
        if torch.is_grad_enabled() and addition.requires_grad:
            self.forward_backward += len(x_t)
        else:
            self.forward += len(x_t)

        def added(h: Tensor) -> Tensor:
            moved = addition.to(h.device, h.dtype)
            return h + (moved if h.ndim == 4 else moved.flatten(1)[:, None])

        with activations.edit(self._pipeline, self.site, added):
            return self._call(x_t, timesteps, conditioning)

    def site_output(self, x_t: Tensor, timesteps: Tensor, conditioning: Conditioning | Tensor) -> Tensor:
        """The site's output as maps, float32 of shape (N, C, H, W): of tokens the mean over those of the image."""
        return as_maps(self.raw_output(x_t, timesteps, conditioning))

    @torch.no_grad()
    def raw_output(self, x_t: Tensor, timesteps: Tensor, conditioning: Conditioning | Tensor) -> Tensor:
        """What the site puts out, float32 of shape (N, C, H, W) or (N, tokens, C); SiteError for any other layout."""
        seen: list[Tensor] = []
        self.forward += len(x_t)
        with activations.read(self._pipeline, self.site, lambda h: seen.append(h.float())):
            self._call(x_t, timesteps, conditioning)
        check_output(self.site, seen, 1)
        return seen[0]

    def _call(self, x_t: Tensor, timesteps: Tensor, conditioning: Conditioning | Tensor) -> Tensor:
        if isinstance(conditioning, torch.Tensor):
            conditioning = Conditioning({("encoder_hidden_states",): conditioning})
        x_t = self._completed(x_t.to(self.device, self.dtype))
        arguments = conditioning.arguments() | {"return_dict": False, "timestep": timesteps.to(self.device)}
        answer = self.network(x_t, **arguments)[0].float()
        # Models that also predict a variance do so in a second half of the channels, which no sampler here uses.
        if answer.ndim == 4 and answer.shape[1] == 2 * x_t.shape[1]:
            answer = answer.chunk(2, dim=1)[0]
        # Whose clock runs from noise to image predicts image less noise.
        return -answer if families.reversed_clock(self._pipeline) else answer

    def _completed(self, x_t: Tensor) -> Tensor:
        """x_t with the mask's channels behind it, where the network wants them and they are not there."""
        if not families.masked(self._pipeline) or x_t.shape[1] == self.network.config.in_channels:  # pyright: ignore
            return x_t
        rest = next(iter(self.first_question.values()))[:1, x_t.shape[1] :]
        return torch.cat([x_t, rest.to(x_t).expand(len(x_t), *rest.shape[1:])], dim=1)

    @cached_property
    @torch.no_grad()
    def first_question(self) -> dict[str, Any]:
        """What the denoiser is asked first when the empty prompt is drawn; the scheduler is left at that step."""
        return self._drawing.question([""])

    @cached_property
    def _by_row(self) -> frozenset[Path]:
        """Which arguments have a row for each prompt: those that grow with their number."""
        two, three = (flat(self._drawing.question([""] * count)) for count in (2, 3))
        return frozenset(
            path
            for path, value in two.items()
            if isinstance(value, torch.Tensor)
            and value.ndim
            and isinstance(three.get(path), torch.Tensor)
            and len(three[path]) == len(value) + 1
        )

    def _told(self, question: Mapping[str, Any]) -> Conditioning:
        state = next(iter(question))
        told = {
            path: value
            for path, value in flat(question).items()
            if path not in ((state,), ("timestep",), ("return_dict",))
        }
        by_row = self._by_row
        if ("encoder_hidden_states",) not in by_row:
            raise ModelError(
                f"{type(self.network).__name__} is not told about each prompt by `encoder_hidden_states`.",
                "a text-to-image denoiser of diffusers with one tensor of text states.",
                "another model.",
            )
        rows = {path: value for path, value in told.items() if path in by_row}
        return Conditioning(rows, {path: value for path, value in told.items() if path not in by_row})


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
        "a module that runs once in each pass and puts out (batch, channels, height, width) or (batch, tokens, "
        "channels).",
        "the default site.",
    )
