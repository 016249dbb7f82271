"""The activations at a site, the same for every layout: read or edited as the image's part of what is there.

A U-Net's site gives (B, C, H, W). A transformer's gives (B, tokens, C): of the tokens those of the image, and of the
channels those of the named heads. Where text and image tokens are in one sequence, the text comes first, and its length
is what the image, whose number of tokens follows from the denoiser's input, leaves over.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

from directrix.models import hooks, sites
from directrix.models.steerable import SteerableModel

if TYPE_CHECKING:
    from torch import Tensor, nn

    from directrix.models.identity import Site


@contextmanager
def edit(model: SteerableModel, site: Site, change: Callable[[Tensor], Tensor | None]) -> Iterator[None]:
    """Passes the activations through `change`, from h to the new h, or to None to leave all as it is.

    Raises:
        SiteError: the denoiser has no such site.
    """
    model = SteerableModel.of(model)
    with _part(model, site) as part:

        def changed(h: Tensor) -> Tensor | None:
            place = part.place(h)
            if place is None:
                return change(h)
            new = change(h[place])
            if new is None:
                return None
            whole = h.clone()
            whole[place] = new
            return whole

        hook = hooks.edit_output if part.channels is None else hooks.edit_input
        with hook(model.module_of(site), change if part.is_all else changed, compiled=model.compiled):
            yield


@contextmanager
def read(model: SteerableModel, site: Site, see: Callable[[Tensor], None]) -> Iterator[None]:
    """Shows the activations to `see`, which must not change them.

    Raises:
        SiteError: the denoiser has no such site.
    """

    def shown(h: Tensor) -> None:
        see(h)

    with edit(model, site, shown):
        yield


def before_call(
    model: SteerableModel, see: Callable[[tuple[Any, ...], Mapping[str, Any]], None]
) -> AbstractContextManager[None]:
    """Shows the arguments of each call of the denoiser to `see(args, kwargs)`; see `hooks.before_call`."""
    model = SteerableModel.of(model)
    return hooks.before_call(model.denoiser, see, compiled=model.compiled)


def by_image(compute: Callable[[Tensor], Tensor], rows: Tensor) -> Tensor:
    """``compute(rows)``, on a CPU for one row at a time.

    There the last bits of a product depend on how many rows it has, and an image's bits must not depend on its batch.
    On an accelerator the layers' own do anyway, and many small products would keep it waiting.
    """
    import torch

    if rows.device.type != "cpu":
        return compute(rows)
    return torch.cat([compute(row) for row in rows.split(1)])


@contextmanager
def _part(model: SteerableModel, site: Site) -> Iterator[_Part]:
    network = model.denoiser
    found = sites.heads(network, site.name)
    streams = site.layout == "channels-last" and bool(sites.blocks(network))
    part = _Part(network, None if found is None else slice(found.start, found.stop), not streams and found is None)
    with before_call(model, part.see) if streams else nullcontext():
        yield part


class _Part:
    """Which tokens and channels of a tensor are meant.

    channels: those of the heads; None for all. is_all: whether the whole tensor is, whatever its shape.
    """

    def __init__(self, network: nn.Module, channels: slice | None, is_all: bool) -> None:
        self.channels, self.is_all = channels, is_all
        self._config: Any = getattr(network, "config", {})
        self._mixed = hasattr(network, "context_refiner")
        self._tokens = 0
        self._text: Tensor | None = None

    def see(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        """Learns from the denoiser's arguments how many tokens the image has."""
        state = kwargs.get("hidden_states", args[0] if args else None)
        shape = getattr(state, "shape", ())
        patch = self._config.get("patch_size") or 1
        if len(shape) == 3:
            self._tokens = int(shape[1])
        elif len(shape) == 4 and isinstance(patch, int):
            self._tokens = int(shape[2] // patch) * int(shape[3] // patch)
        # Lumina 2 packs each row's text, as long as it is, right before the row's image.
        mask = kwargs.get("encoder_attention_mask") if self._mixed else None
        self._text = None if mask is None else mask.sum(dim=1)

    def place(self, h: Tensor) -> Any:
        """An index of h, or None for all of it."""
        import torch

        channels = slice(None) if self.channels is None else self.channels
        if h.ndim != 3 or not 0 < self._tokens < h.shape[1]:
            return None if self.channels is None else (..., channels)
        if self._text is None:
            return slice(None), slice(h.shape[1] - self._tokens, None), channels
        rows = torch.arange(h.shape[0], device=h.device)[:, None, None]
        tokens = self._text.to(h.device)[:, None] + torch.arange(self._tokens, device=h.device)
        every = torch.arange(h.shape[2], device=h.device)[channels]
        return rows, tokens[:, :, None], every[None, None]
