"""The activations at a site, the same for every layout: read or edited as the image's part of what is there.

A U-Net's site gives (B, C, H, W). A transformer's gives (B, tokens, C): of the tokens those of the image, and of the
channels those of the named heads. Where text and image tokens are in one sequence, the text comes first, and its length
is what the image, whose number of tokens follows from the denoiser's input, leaves over.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

from directrix.models import hooks, sites

if TYPE_CHECKING:
    from torch import Tensor, nn

    from directrix.models.sites import Site


@contextmanager
def edit(pipeline: Any, site: Site, change: Callable[[Tensor], Tensor | None]) -> Iterator[None]:
    """Passes the activations through `change`, from h to the new h, or to None to leave all as it is.

    Raises:
        SiteError: the denoiser has no such site.
    """
    with _part(pipeline, site) as (module, inside, part):

        def whole(h: Tensor) -> Tensor | None:
            return part.changed(h, change)

        with (hooks.edit_input if inside else hooks.edit_output)(module, whole):
            yield


@contextmanager
def read(pipeline: Any, site: Site, see: Callable[[Tensor], None]) -> Iterator[None]:
    """Shows the activations to `see`, which must not change them.

    Raises:
        SiteError: the denoiser has no such site.
    """
    with _part(pipeline, site) as (module, inside, part):

        def whole(h: Tensor) -> None:
            see(part.of(h))

        with (hooks.read_input if inside else hooks.read_output)(module, whole):
            yield


def by_image(compute: Callable[[Tensor], Tensor], rows: Tensor) -> Tensor:
    """``compute(rows)``, on a CPU for one row at a time.

    There the last bits of a product depend on how many rows it has, and a picture's bits must not depend on its batch.
    On an accelerator the layers' own do anyway, and many small products would keep it waiting.
    """
    import torch

    if rows.device.type != "cpu":
        return compute(rows)
    return torch.cat([compute(row) for row in rows.split(1)])


@contextmanager
def _part(pipeline: Any, site: Site) -> Iterator[tuple[nn.Module, bool, _Part]]:
    network = sites.denoiser(pipeline)
    found = sites.heads(network, site.name)
    part = _Part(network, None if found is None else slice(found.start, found.stop))
    with ExitStack() as stack:
        if site.layout == "channels-last" and sites.blocks(network):
            stack.enter_context(hooks.before_call(network, part.see))
        yield sites.module_of(pipeline, site), found is not None, part


class _Part:
    """Which tokens and channels of a tensor are meant."""

    def __init__(self, network: nn.Module, channels: slice | None) -> None:
        self._config: Any = getattr(network, "config", {})
        self._mixed = hasattr(network, "context_refiner")
        self._channels = channels
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

    def of(self, h: Tensor) -> Tensor:
        """The part of h that is meant."""
        place = self._place(h)
        return h if place is None else h[place]

    def changed(self, h: Tensor, change: Callable[[Tensor], Tensor | None]) -> Tensor | None:
        """h with the part changed; None where nothing is."""
        place = self._place(h)
        if place is None:
            return change(h)
        new = change(h[place])
        if new is None:
            return None
        whole = h.clone()
        whole[place] = new
        return whole

    def _place(self, h: Tensor) -> Any:
        """An index of h, or None for all of it."""
        import torch

        channels = slice(None) if self._channels is None else self._channels
        if h.ndim != 3 or not 0 < self._tokens < h.shape[1]:
            return None if self._channels is None else (..., channels)
        if self._text is None:
            return slice(None), slice(h.shape[1] - self._tokens, None), channels
        rows = torch.arange(h.shape[0], device=h.device)[:, None, None]
        tokens = self._text.to(h.device)[:, None] + torch.arange(self._tokens, device=h.device)
        every = torch.arange(h.shape[2], device=h.device)[channels]
        return rows, tokens[:, :, None], every[None, None]
