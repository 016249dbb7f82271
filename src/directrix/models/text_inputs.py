"""What a denoiser is given about the prompt, as sites: arguments of its call, edited before it runs.

    "text"    text states (B, tokens, C), such as `encoder_hidden_states`
    "pooled"  one vector an image (B, C), such as `pooled_projections` or `added_cond_kwargs.text_embeds`

All levels of a denoiser read the first, and in a transformer the second modulates every block. An argument inside a
dictionary is named by the keys that lead to it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from directrix.errors import SiteError, suggestion
from directrix.models import hooks
from directrix.models.denoiser_calls import Scope, parameters
from directrix.models.identity import Site

if TYPE_CHECKING:
    from torch import Tensor, nn

LAYOUTS = {3: "text", 2: "pooled"}  # by the argument's number of dimensions


def site(name: str, value: Tensor) -> Site:
    """The site that an argument is, from one value of it: (B, tokens, C) or (B, C)."""
    return Site(name, value.shape[-1], LAYOUTS[value.ndim])


def is_text_input(site: Site) -> bool:
    """Whether the site is an argument of the denoiser, not a module's output."""
    return site.layout in LAYOUTS.values()


@contextmanager
def edit(
    network: nn.Module, site: Site, change: Callable[[Tensor], Tensor | None], scope: Scope | None, compiled: bool
) -> Iterator[None]:
    """As `activations.edit`, for a site that is an argument.

    Raises:
        SiteError: the model is compiled, or (during a call) the argument is not given.
    """
    if compiled:
        raise SiteError(
            f"'{site.name}' is an input of the denoiser, and this denoiser is compiled.",
            "a denoiser that runs as it is written.",
            "a direction at a module's output, such as 'mid_block', or the model without torch.compile.",
        )
    names = parameters(type(network))
    first, *rest = site.name.split(".")

    def changed(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]] | None:
        if scope is not None and scope.now() is None:
            return None
        given = {**dict(zip(names, args, strict=False)), **kwargs}
        new = _replaced(given, (first, *rest), change, site)
        if new is None:
            return None
        place = names.index(first) if first in names else len(args)
        if place < len(args):
            return (*args[:place], new, *args[place + 1 :]), kwargs
        return args, {**kwargs, first: new}

    with hooks.edit_arguments(network, changed):
        yield


def _replaced(
    given: Mapping[str, Any], path: tuple[str, ...], change: Callable[[Tensor], Tensor | None], site: Site
) -> Any:
    """The argument with the tensor at the path changed; None where it stays as it is."""
    name, *rest = path
    value: Any = given.get(name) if isinstance(given, Mapping) else None
    if rest and isinstance(value, Mapping):
        new = _replaced(value, tuple(rest), change, site)
        return None if new is None else {**value, rest[0]: new}
    if rest or LAYOUTS.get(getattr(value, "ndim", 0)) != site.layout:
        known = [each for each, some in given.items() if hasattr(some, "ndim")]
        raise SiteError(
            f"The denoiser was called without a tensor '{site.name}' for {site.layout}.",
            f"one of its arguments: {', '.join(known)}.",
            suggestion(site.name, known),
        )
    return change(value)
