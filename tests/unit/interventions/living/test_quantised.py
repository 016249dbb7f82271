"""Models whose weights are quantised, or cast as they are needed: steered, discovered in, and told apart."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from directrix import models
from directrix.errors import MismatchError
from directrix.interventions.steering import steer
from directrix.models.fingerprint import structure


def in_place_of_layers(network: Any, make: Callable[[torch.nn.Linear], torch.nn.Module]) -> None:
    for name, module in list(network.named_modules()):
        if type(module) is torch.nn.Linear:
            place, _, leaf = name.rpartition(".")
            setattr(network.get_submodule(place), leaf, make(module))


def by_torchao(kind: str) -> Callable[[Any], Any]:
    def quantise(network: Any) -> None:
        torchao = pytest.importorskip("torchao.quantization")
        torchao.quantize_(network, getattr(torchao, kind)())

    return quantise


def by_quanto(kind: str) -> Callable[[Any], Any]:
    def quantise(network: Any) -> None:
        quanto = pytest.importorskip("optimum.quanto")
        quanto.quantize(network, weights=getattr(quanto, kind))
        quanto.freeze(network)

    return quantise


def by_gguf(kind: str) -> Callable[[Any], Any]:
    def quantise(network: Any) -> None:
        pytest.importorskip("gguf")
        utils = pytest.importorskip("diffusers.quantizers.gguf.utils")
        from gguf import GGMLQuantizationType, quants

        def make(old: torch.nn.Linear) -> torch.nn.Module:
            new = utils.GGUFLinear(old.in_features, old.out_features, old.bias is not None, torch.float32)
            data = torch.from_numpy(quants.quantize(old.weight.detach().numpy(), GGMLQuantizationType[kind]))
            new.weight, new.bias = utils.GGUFParameter(data, quant_type=GGMLQuantizationType[kind]), old.bias
            return new

        in_place_of_layers(network, make)

    return quantise


def by_bitsandbytes(network: Any) -> None:
    layers = pytest.importorskip("bitsandbytes.nn")

    def make(old: torch.nn.Linear) -> torch.nn.Module:
        new = layers.Linear4bit(old.in_features, old.out_features, old.bias is not None, torch.float32)
        new.load_state_dict(old.state_dict())
        return new.to("cpu")

    in_place_of_layers(network, make)


def cast_layer_by_layer(network: Any) -> None:
    if not hasattr(network, "enable_layerwise_casting"):
        pytest.skip("this version of diffusers casts no layers")
    network.enable_layerwise_casting(storage_dtype=torch.float8_e4m3fn, compute_dtype=torch.float32)


# Each way, and whether all signs of the weights are there afterwards.
WAYS: dict[str, tuple[Callable[[Any], Any], bool]] = {
    "casting": (cast_layer_by_layer, True),
    "gguf-8": (by_gguf("Q8_0"), False),
    "gguf-4": (by_gguf("Q4_0"), False),
    "torchao-int8": (by_torchao("Int8WeightOnlyConfig"), False),
    "torchao-float8": (by_torchao("Float8WeightOnlyConfig"), True),
    "quanto-int8": (by_quanto("qint8"), False),
    "quanto-float8": (by_quanto("qfloat8"), True),
    "bitsandbytes-4": (by_bitsandbytes, False),
}


@pytest.fixture(params=WAYS)
def stored(request: pytest.FixtureRequest, make_pipeline: Callable[..., Any]) -> tuple[Any, bool]:
    """A pipeline whose denoiser is stored in another way, and whether its signs are."""
    quantise, signs = WAYS[request.param]
    pipeline = make_pipeline()
    # A fingerprint that was known before must not be taken for that of the new weights.
    models.identity(pipeline)
    quantise(pipeline.unet)
    return pipeline, signs


def test_a_direction_of_the_model_in_full(
    stored: tuple[Any, bool],
    pipeline: Any,
    draw: Callable[..., Any],
    make_direction: Callable[..., Any],
    check_steering: Callable[..., None],
):
    """It steers where the weights' signs show that it is the same model; else the error says what to do."""
    quantised, signs = stored
    direction = make_direction(of=pipeline)
    assert structure(quantised.unet) == structure(pipeline.unet)
    assert (models.fingerprint(quantised.unet) == models.fingerprint(pipeline.unet)) == signs
    if not signs:
        with pytest.raises(MismatchError, match="whose weights are quantised") as caught, steer(quantised, direction):
            pass
        assert "direction.with_(model=directrix.models.identity(pipeline))" in str(caught.value.remedy)
        direction = direction.with_(model=models.identity(quantised))
    check_steering(quantised, lambda: draw(quantised), direction)


def test_discovery(
    stored: tuple[Any, bool],
    pipeline: Any,
    draw: Callable[..., Any],
    discover: Callable[..., Any],
    check_steering: Callable[..., None],
):
    quantised, _ = stored
    plain = draw(quantised)
    # With and without gradients: it starts from the closed form.
    direction = discover(quantised, "trajectory")
    assert torch.equal(draw(quantised), plain)
    assert direction.model.fingerprint == models.fingerprint(quantised.unet)
    # Rounded weights give nearly the same direction.
    near = discover(pipeline, "trajectory").with_(model=direction.model)
    assert direction.cosine(near) > 0.9
    check_steering(quantised, lambda: draw(quantised), direction)
