"""The activations at a site, the same for every layout: read or edited as the image's part of what is there.

A U-Net's site gives (B, C, H, W). A transformer's gives (B, tokens, C): of the tokens those of the image (see
`image_tokens`), and of the channels those of the named heads. An input about the prompt is edited as a whole (see
`text_inputs`). Where two denoisers share a pipeline's steps, both are meant.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

from directrix.models import hooks, sites, text_inputs
from directrix.models.denoiser_calls import Scope, by_name
from directrix.models.image_tokens import ImageTokens
from directrix.models.steerable import SteerableModel
from directrix.models.step_caches import skipped

if TYPE_CHECKING:
    from torch import Tensor, nn

    from directrix.models.identity import Site


@contextmanager
def edit(
    model: SteerableModel, site: Site, change: Callable[[Tensor], Tensor | None], scope: Scope | None = None
) -> Iterator[None]:
    """Passes the activations through `change`, from h to the new h, or to None to leave all as it is.

    Args:
        scope: the calls of the denoiser that are meant, which `change` looks at too; None for whatever runs it.

    Raises:
        SiteError: the denoiser has no such site.
    """
    model = SteerableModel.of(model)
    with ExitStack() as stack:
        for network in model.denoisers:
            opened = text_inputs.edit if text_inputs.is_text_input(site) else _edit_in
            stack.enter_context(opened(network, site, change, scope, model.compiled))
        yield


def read(
    model: SteerableModel, site: Site, see: Callable[[Tensor], None], scope: Scope | None = None
) -> AbstractContextManager[None]:
    """Shows the activations to `see`, which must not change them; the other arguments are those of `edit`.

    Raises:
        SiteError: the denoiser has no such site.
    """

    def shown(h: Tensor) -> None:
        see(h)

    return edit(model, site, shown, scope)


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
def _edit_in(
    network: nn.Module, site: Site, change: Callable[[Tensor], Tensor | None], scope: Scope | None, compiled: bool
) -> Iterator[None]:
    found = sites.heads(network, site.name)
    channels = None if found is None else slice(found.start, found.stop)
    block = sites.module_of(network, site) if found is None else network.get_submodule(sites.parent_of_heads(site))
    streams = site.layout == "channels-last" and bool(sites.blocks(network))
    seen: list[ImageTokens] = []

    def see(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        seen[:] = [ImageTokens(network, by_name(network, args, kwargs))]

    def tokens() -> ImageTokens | None:
        if scope is not None:
            call = scope.now()
            return None if call is None else call.tokens
        return seen[0] if seen else None

    def changed(h: Tensor) -> Tensor | None:
        # Heads of a skipped block are not computed, and so never get here.
        if scope is not None and (scope.now() is None or (found is None and skipped(block))):
            return None
        image = tokens() if streams else None
        place = image.place(block, h, channels) if image else None if channels is None else (..., channels)
        if place is None:
            return change(h)
        new = change(h[place])
        if new is None:
            return None
        whole = h.clone()
        whole[place] = new
        return whole

    hook = hooks.edit_output if found is None else hooks.edit_input
    watched = hooks.before_call(network, see, compiled=compiled) if streams and scope is None else nullcontext()
    # A whole map: the shortest way.
    function = changed if streams or found is not None else change
    with watched, hook(block if found is None else found.projection, function, compiled=compiled):
        yield
