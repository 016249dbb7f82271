"""Weights that are stored as something else than floating point numbers."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from directrix import models
from directrix.errors import ModelError
from directrix.models import stored_weights
from directrix.models.fingerprint import structure, weights_fingerprint


class Scaled(torch.Tensor):
    """Rows of int8 and their scales, as quantising libraries make them: nearly no operation knows them."""

    @staticmethod
    def __new__(cls, rows: torch.Tensor, scale: torch.Tensor) -> Any:
        return torch.Tensor._make_wrapper_subclass(cls, rows.shape, dtype=torch.float32)  # pyright: ignore

    def __init__(self, rows: torch.Tensor, scale: torch.Tensor) -> None:
        self.rows, self.scale = rows, scale

    def __tensor_flatten__(self) -> Any:
        return ["rows", "scale"], None

    @classmethod
    def __tensor_unflatten__(cls, inner: Any, *_: Any) -> Any:
        return cls(inner["rows"], inner["scale"])

    def dequantize(self) -> torch.Tensor:  # pyright: ignore
        return self.rows.float() * self.scale

    @classmethod
    def __torch_dispatch__(cls, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if function is torch.ops.aten.detach.default:
            return cls(args[0].rows, args[0].scale)
        raise NotImplementedError(f"{function} on {cls.__name__}")


class Unknown(Scaled):
    """The same of a library that gives nothing back."""

    def dequantize(self) -> torch.Tensor:  # pyright: ignore
        raise NotImplementedError("dequantize")


def network(kind: type | None = None, seed: int = 0, smallest: float = 0.0) -> torch.nn.Module:
    """One layer, in float32 or quantised; its first weight is the smallest."""
    layer = torch.nn.Linear(8, 4)
    with torch.no_grad():
        layer.weight.normal_(generator=torch.Generator().manual_seed(seed))
        layer.bias.fill_(1)
        layer.weight.add_(layer.weight.sign())
        if smallest:
            layer.weight[0, 0] = smallest
    if kind is not None:
        scale = layer.weight.detach().abs().amax(dim=1, keepdim=True) / 127
        layer.weight = torch.nn.Parameter(kind((layer.weight / scale).round().to(torch.int8), scale), False)
    return torch.nn.Sequential(layer)


def test_a_quantised_model_whose_signs_are_all_there_is_known():
    known = models.fingerprint(network())
    assert models.fingerprint(network(Scaled)) == known != models.fingerprint(network(Scaled, seed=1))


def test_a_lost_sign_makes_another_model_of_the_same_structure():
    plain, quantised = network(smallest=-1e-9), network(Scaled, smallest=-1e-9)
    assert models.fingerprint(quantised) == models.fingerprint(quantised) != models.fingerprint(plain)
    assert structure(quantised) == structure(plain)
    assert stored_weights.changed(plain) is None
    assert stored_weights.changed(quantised) == "whose weights are quantised"


def test_values_that_nobody_can_read_are_an_error_that_says_so():
    with pytest.raises(ModelError, match="stored as Unknown") as caught:
        models.fingerprint(network(Unknown))
    assert "float16" in str(caught.value.remedy)


def test_packed_bytes_tell_models_apart():
    """Their signs say nothing: bytes have none."""

    def packed(value: int) -> torch.nn.Module:
        layer = torch.nn.Linear(2, 2, bias=False)
        layer.weight = torch.nn.Parameter(torch.full((2, 2), value, dtype=torch.uint8), False)
        return layer

    assert weights_fingerprint(packed(3)) == weights_fingerprint(packed(3)) != weights_fingerprint(packed(4))


def test_fingerprint_ignores_how_a_model_was_quantised(pipeline: Any, make_pipeline: Any):
    unet = make_pipeline().unet
    unet.register_to_config(quantization_config={"quant_method": "some"})
    assert models.fingerprint(unet) == models.fingerprint(pipeline.unet)
