"""Which branch of guidance each row of a denoiser's call is about, as the call itself shows.

With classifier-free guidance the denoiser answers the prompt (conditional) and the negative or empty prompt
(unconditional): in one batch, or in calls of their own. Which rows are which is read from the text states that the call
is given: diffusers' pipelines have those of the negative prompt in a variable of their own, whose name says so. What
cannot be read is refused, never guessed.
"""

from __future__ import annotations

import ast
import inspect
import re
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

from directrix.errors import StrengthError

if TYPE_CHECKING:
    from torch import Tensor

_NEGATIVE = re.compile(r"(^|_)(neg|negative|uncond|unconditional|null)(_|\d|$)")
_SOURCE = re.compile(r"(^|_)source(_|$)")
_TEXT = re.compile(r"prompt|text|embed|hidden_states|cap_|caption|context|cond|ca_")
_NO_TEXT = re.compile(r"mask|ids|image_embeds|rotary|latents|noise|input|residual|time|scale|block|length|model")
# Names of the image's rows, in pipelines' variables.
_LATENTS = ("latents", "latent", "intermediate_images")


def layout_of(pipeline: Any, arguments: Mapping[str, Any], values: Mapping[str, Any]) -> tuple[str, bool]:
    """How a call of the denoiser is laid out (see `directions.strength`), and whether there is another branch.

    Args:
        pipeline: whose call it is.
        arguments: the call's, by name; the first is the state.
        values: the local variables of the pipeline's running call.

    Raises:
        StrengthError: the rows cannot be told apart.
    """
    name, rows = type(pipeline).__name__, row_count(next(iter(arguments.values())))
    negatives, positives, sources = (_named(values, which) for which in (_NEGATIVE, None, _SOURCE))
    texts = list(_texts(arguments, rows))
    images = _image_count(values, rows, negatives)
    guides = _guides(pipeline, values)
    if rows == images:
        return _alone(name, texts, positives, negatives, guides)
    if images and rows % images == 0:
        for text in texts:
            parts = [text[first : first + images] for first in range(0, rows, images)]
            about = [_is_any(part, negatives) for part in parts]
            alike = not any(about) and not guides and all(_is_equal(part, parts[0]) for part in parts)
            if alike or (any(about) and not all(about)):
                named = (_branch(part, negative, sources) for part, negative in zip(parts, about, strict=True))
                return "-".join(named), any(about)
        order = stated_order(type(pipeline)) if rows == 2 * images and guides else None
        if order is not None:
            # Both prompts are the same, or the text states are made anew for the denoiser.
            return order, True
    raise StrengthError(
        f"A call of {name}'s denoiser has {rows} rows for {images} images, and their branches of guidance cannot be "
        "told apart.",
        "rows about the prompts and about the negative prompts, in parts of one size.",
        "prompts that differ from their negative prompts, or guidance_scale=1.",
    )


def row_count(state: Any) -> int:
    """Rows of a batch: a tensor's first dimension, or the length of a list of tensors."""
    return len(state) if isinstance(state, list | tuple) else int(state.shape[0])


def _alone(
    name: str, texts: Sequence[Any], positives: Sequence[Any], negatives: Sequence[Any], guides: bool
) -> tuple[str, bool]:
    """Of a call with a row an image."""
    for same in (_is_same, _is_equal):
        for text in texts:
            positive, negative = (any(same(text, each) for each in among) for among in (positives, negatives))
            if positive != negative:
                return ("conditional" if positive else "unconditional"), guides or negative
    if guides and negatives:
        raise StrengthError(
            f"{name} calls its denoiser about the branches of guidance one after the other, and this call's cannot be "
            "known.",
            "prompt embeddings that are the conditional or the unconditional ones.",
            "guidance_scale=1, or another pipeline of the same model.",
        )
    return "conditional", guides


def _guides(pipeline: Any, values: Mapping[str, Any]) -> bool:
    """Whether the pipeline says that there are two branches."""
    for key in ("do_classifier_free_guidance", "do_true_cfg", "do_cfg"):
        if values.get(key) is not None:
            return bool(values[key])
    try:
        # In diffusers 0.31 Lumina declares its guidance and fails when it is asked.
        return bool(getattr(pipeline, "do_classifier_free_guidance", False))
    except AttributeError:
        return False


def _image_count(values: Mapping[str, Any], rows: int, negatives: Sequence[Any]) -> int:
    for name in _LATENTS:
        found: Any = values.get(name)
        if (hasattr(found, "shape") and found.ndim > 1) or (isinstance(found, list) and found):
            return row_count(found)
    counts = {row_count(each) for each in negatives}
    return rows // 2 if rows % 2 == 0 and rows // 2 in counts else rows


def _named(values: Mapping[str, Any], which: re.Pattern[str] | None) -> list[Any]:
    """Text states among local variables, of those whose name fits, or of the prompt's."""
    return [
        each
        for name, each in values.items()
        if _TEXT.search(name) and not _NO_TEXT.search(name) and _is_states(each)
        if (which.search(name) if which else not _NEGATIVE.search(name) and not _SOURCE.search(name))
    ]


def _branch(part: Any, negative: bool, sources: Sequence[Any]) -> str:
    """What a part of a batch is about; "source" for an image that is only there to be compared with."""
    if negative:
        return "unconditional"
    return "source" if _is_any(part, sources) else "conditional"


def _texts(arguments: Mapping[str, Any], rows: int) -> Iterator[Any]:
    """The arguments of a call that have text states for each row, the longest-known name first."""
    flat = dict(list(arguments.items())[1:])
    for each in list(flat.values()):
        if isinstance(each, Mapping):
            flat |= each
    for name in sorted(flat, key=lambda name: name != "encoder_hidden_states"):
        each = flat[name]
        if _TEXT.search(name) and not _NO_TEXT.search(name) and _is_states(each) and row_count(each) == rows:
            yield each


def _is_states(value: Any) -> bool:
    import torch

    if isinstance(value, list | tuple):
        return bool(value) and all(isinstance(each, torch.Tensor) for each in value)
    return isinstance(value, torch.Tensor) and value.ndim > 1 and value.is_floating_point()


def _is_any(part: Any, among: Sequence[Any]) -> bool:
    return any(_is_equal(part, each) for each in among)


def _is_same(one: Any, other: Any) -> bool:
    """Whether both are the very same memory."""
    if isinstance(one, list | tuple) or isinstance(other, list | tuple):
        return (
            isinstance(one, list | tuple)
            and isinstance(other, list | tuple)
            and len(one) == len(other)
            and all(map(_is_same, one, other))
        )
    return one is other or (one.shape == other.shape and one.data_ptr() == other.data_ptr() and one.data_ptr() != 0)


def _is_equal(one: Any, other: Any) -> bool:
    """Whether both hold the same numbers, whatever their precision; one row of `other` stands for all."""
    import torch

    if isinstance(one, list | tuple) or isinstance(other, list | tuple):
        if not (isinstance(one, list | tuple) and isinstance(other, list | tuple)) or len(one) != len(other):
            return False
        return all(map(_is_equal, one, other))
    if one.ndim != other.ndim or one.shape[1:] != other.shape[1:] or len(other) not in (1, len(one)):
        return False
    found: Tensor = other.to(one.device, one.dtype)
    return torch.equal(one, found.expand_as(one))


@cache
def stated_order(pipeline_class: type) -> str | None:
    """The order of both branches in a batch as the pipeline's source states it; None where it does not.

    It says which part of the denoiser's answer is which: ``uncond, text = noise_pred.chunk(2)``.
    """
    found = set()
    for node in (each for own in pipeline_class.__mro__ if "__call__" in vars(own) for each in _nodes(own)):
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Tuple) and isinstance(node.value, ast.Call):
            names = [each.id for each in node.targets[0].elts if isinstance(each, ast.Name)]
            method = getattr(node.value.func, "attr", "")
            negative = [bool(_NEGATIVE.search(each)) for each in names]
            if method in ("chunk", "split") and len(names) == 2 and negative[0] != negative[1]:
                found.add("unconditional-conditional" if negative[0] else "conditional-unconditional")
    return found.pop() if len(found) == 1 else None


def _nodes(pipeline_class: type) -> Iterator[ast.AST]:
    try:
        source = inspect.getsource(inspect.unwrap(vars(pipeline_class)["__call__"]))
        yield from ast.walk(ast.parse(textwrap.dedent(source)))
    except (OSError, TypeError, SyntaxError):
        # Written by no file, or not in Python.
        return
