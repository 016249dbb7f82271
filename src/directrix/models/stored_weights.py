"""What a weight's values are, however it is stored: as floating point numbers, or quantised."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from directrix.errors import ModelError

if TYPE_CHECKING:
    from torch import Tensor, nn


def is_quantised(weight: Tensor) -> bool:
    """Whether the weight's values are other ones than those that were trained, however near to them."""
    return _kind(weight) is not None or not weight.dtype.is_floating_point


def shape(weight: Tensor) -> tuple[int, ...]:
    """The shape of the values, which blocks of bytes hide."""
    kind: Any = weight
    hidden = {"gguf": lambda: kind.quant_shape, "bitsandbytes": lambda: kind.quant_state.shape}.get(_kind(weight) or "")
    return tuple(weight.shape if hidden is None else hidden())


def values(weight: Tensor) -> Tensor:
    """The weight's values, dequantised by the library that quantised it; integers of any other library as they are.

    Raises:
        ModelError: they cannot be read.
    """
    plain: Any = weight.detach()
    try:
        match _kind(weight):
            case "gguf":
                from diffusers.quantizers.gguf.utils import dequantize_gguf_tensor

                return dequantize_gguf_tensor(weight)
            case "bitsandbytes":
                from bitsandbytes.functional import dequantize_4bit  # pyright: ignore[reportMissingImports]

                return dequantize_4bit(weight.data, getattr(weight, "quant_state", None))
            case "subclass":
                return plain.dequantize()
    except (ImportError, NotImplementedError, RuntimeError, TypeError) as error:
        raise ModelError(
            f"The values of weights that are stored as {type(weight).__name__} cannot be read ({error}).",
            "floating point weights, or ones that torchao, quanto, bitsandbytes or GGUF quantised.",
            "load the model in float16 or bfloat16.",
        ) from error
    return plain


def changed(network: nn.Module) -> str | None:
    """In words, how the network's weights are no longer those that were trained; None where nothing shows it."""
    if any(is_quantised(each) for each in network.parameters()):
        return "whose weights are quantised"
    if any(getattr(module, "merged_adapters", None) for module in network.modules()):
        return "into whose weights a LoRA is fused"
    return None


def _kind(weight: Any) -> str | None:
    from torch.utils._python_dispatch import is_traceable_wrapper_subclass

    if hasattr(weight, "quant_shape"):
        return "gguf"
    if getattr(weight, "quant_state", None) is not None:
        return "bitsandbytes"
    return "subclass" if is_traceable_wrapper_subclass(weight) else None
