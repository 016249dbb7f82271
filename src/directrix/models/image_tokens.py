"""Which part of a block's output is the image's, as the block's own source names it.

A block of two streams puts out its image and its text, each under a name. A block that reads one sequence of both puts
out both: their order is that in which the source joins them, and the image's number of tokens follows from the
denoiser's input. Shapes say nothing of that: a text may be as long as its image.
"""

from __future__ import annotations

import ast
import inspect
import re
import textwrap
from collections.abc import Mapping
from functools import cache
from math import prod
from typing import TYPE_CHECKING, Any

from directrix.errors import SiteError

if TYPE_CHECKING:
    from torch import Tensor, nn

_TEXT = re.compile(r"(^|_)(encoder|text|txt|cap|caption|context|prompt|audio)")
_IMAGE = re.compile(r"^(\w+_)?(hidden_states|image|img|latents|sample|x)(_\w+)?$")
_BY_ROW = "tokens before rows"
_NEITHER = re.compile(r"query|key|value|attn|mask|ids|rotary|freqs|emb|norm|history|clean|noise|time")


def image_place(module: nn.Module, output: tuple[Any, ...]) -> int:
    """Where in a block's output its image's hidden states are.

    Raises:
        SiteError: the block's source does not say, and there are several tensors.
    """
    import torch

    tensors = [place for place, each in enumerate(output) if isinstance(each, torch.Tensor)]
    if len(tensors) == 1:
        return tensors[0]
    names = _returned(type(module), len(output)) or ()
    for fitting in (lambda name: name == "hidden_states", lambda name: _IMAGE.match(name) and not _TEXT.search(name)):
        found = [place for place in tensors if place < len(names) and fitting(names[place])]
        if found:
            return found[0]
    raise SiteError(
        f"{type(module).__name__} puts out {len(tensors)} tensors, and which of them is the image's is not known.",
        "a module that puts out one tensor, or a block of a denoiser that names its `hidden_states`.",
        "another site, such as the mid block of a U-Net.",
    )


class ImageTokens:
    """The image's tokens in what a transformer's blocks put out during one call.

    Args:
        network: the transformer.
        arguments: of its call, by name, the state first.
    """

    def __init__(self, network: nn.Module, arguments: Mapping[str, Any]) -> None:
        self._network = network
        self.count = _count(network, next(iter(arguments.values())))
        # Lumina 2 packs each row's text, as long as it is, right before the row's image.
        mask = arguments.get("encoder_attention_mask") if hasattr(network, "context_refiner") else None
        self._text: Tensor | None = None if mask is None else mask.sum(dim=1)

    def place(self, block: nn.Module, h: Tensor, channels: slice | None) -> Any:
        """An index of h, the image's part of it; None for all of it.

        Args:
            block: the block whose output, or part of whose attention, h is: (rows, tokens, C).
            channels: those of an attention's heads; None for a block's own output.

        Raises:
            SiteError: text and image are in one sequence, in an order that is not known.
        """
        some = slice(None) if channels is None else channels
        whole = None if channels is None else (..., channels)
        if h.ndim != 3 or (channels is None and _reads_text(type(block))):
            return whole
        order = "text first" if self._text is not None else _joined(type(block)) or _joined(type(self._network))
        if order != _BY_ROW and (h.shape[1] <= self.count or (order is None and not self.count)):
            return whole
        if order in (None, _BY_ROW) or not self.count:
            raise SiteError(
                f"{type(self._network).__name__} reads text and image in one sequence, and which of the tokens of "
                f"{tuple(h.shape)} activations are the image's is not known.",
                "activations of shape (rows, tokens, channels) whose number of image tokens follows from the state.",
                "a block that reads text and image in separate streams.",
            )
        if order == "image first":
            return slice(None), slice(0, self.count), some
        if self._text is None:
            return slice(None), slice(h.shape[1] - self.count, None), some
        import torch

        rows = torch.arange(h.shape[0], device=h.device)[:, None, None]
        tokens = self._text.to(h.device)[:, None] + torch.arange(self.count, device=h.device)
        every = torch.arange(h.shape[2], device=h.device)[some]
        return rows, tokens[:, :, None], every[None, None]


def _count(network: Any, state: Any) -> int:
    """The image's tokens in the state; 0 where that is not known."""
    if isinstance(state, list | tuple):
        state = state[0][None] if state else None
    shape = tuple(getattr(state, "shape", ()))
    config: Any = getattr(network, "config", {})
    if len(shape) == 3:
        return int(shape[1])
    patch = config.get("patch_size") or (config.get("all_patch_size") or (1,))[0]
    frames = config.get("patch_size_t") or (config.get("all_f_patch_size") or (1,))[0]
    sizes = tuple(patch) if isinstance(patch, list | tuple) else (patch, patch)
    if len(shape) == 5:
        sizes = sizes if len(sizes) == 3 else (frames, *sizes)
    if len(shape) not in (4, 5) or len(sizes) != len(shape) - 2 or not all(isinstance(each, int) for each in sizes):
        return 0
    return prod(side // size for side, size in zip(shape[2:], sizes, strict=True))


@cache
def _reads_text(block: type) -> bool:
    """Whether a block is given the text by itself, so that its hidden states are the image's alone."""
    names = inspect.signature(block.forward).parameters  # pyright: ignore[reportAttributeAccessIssue]
    return any(_TEXT.search(name) and not _NEITHER.search(name) for name in names)


@cache
def _returned(block: type, count: int) -> tuple[str, ...] | None:
    """Names of what a block's forward returns, where it returns so many."""
    found = None
    for node in ast.walk(_source(block.forward)):  # pyright: ignore[reportAttributeAccessIssue]
        if isinstance(node, ast.Return) and isinstance(node.value, ast.Tuple) and len(node.value.elts) == count:
            found = tuple(ast.unparse(each) for each in node.value.elts)
    return found


@cache
def _joined(network: type) -> str | None:
    """The order in which the source of a class joins text and image to one sequence; None where it does not."""
    for node in ast.walk(_source(network)):
        if not (isinstance(node, ast.Call) and getattr(node.func, "attr", "") in ("cat", "concat") and node.args):
            continue
        parts = node.args[0]
        if not isinstance(parts, ast.List) or len(parts.elts) != 2:
            continue
        names = [ast.unparse(each) for each in parts.elts]
        dim = [*node.args[1:], *(each.value for each in node.keywords if each.arg in ("dim", "axis"))]
        if any(_NEITHER.search(name) for name in names):
            continue
        text = [bool(_TEXT.search(name)) for name in names]
        for order, place in (("text first", 1), ("image first", 0)):
            if text == [place == 1, place == 0] and _IMAGE.match(names[place].partition("[")[0]):
                # Tokens are counted by the second dimension everywhere but where they come before the rows.
                return _BY_ROW if not dim or ast.unparse(dim[0]) == "0" else order
    return None


def _source(what: Any) -> ast.AST:
    try:
        return ast.parse(textwrap.dedent(inspect.getsource(what)))
    except (OSError, TypeError, SyntaxError):
        return ast.Module([], [])
