"""The fingerprint of a denoiser: which structure and weights it has.

It is taken from the sign bits of the weights, so it is the same in float32, float16, bfloat16 and float8, but no two
trained models share one. Integers lose the signs of the smallest weights, so a model in int8 or int4 has another one.
A direction that came without its model has "structure:" and a hash of the names and shapes alone, and fits every
denoiser of that structure.
"""

from __future__ import annotations

import hashlib
import inspect
import json
import re
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from directrix.errors import ModelError
from directrix.models import stored_weights

if TYPE_CHECKING:
    import torch
    from torch import nn

STRUCTURE = "structure:"

# Keyed by the denoiser: (its weights and their versions, fingerprint).
_KNOWN: WeakKeyDictionary[Any, tuple[list[Any], str]] = WeakKeyDictionary()
# Copies of an attention's own projections, and one of these.
_FUSED = {"to_qkv": "to_k", "to_kv": "to_k", "to_added_qkv": "add_k_proj", "to_added_kv": "add_k_proj"}


def fingerprint(network: nn.Module) -> str:
    """SHA-256 over the denoiser's configuration and every parameter's name, shape and sign bits.

    The result is cached until a weight changes. LoRA layers, IP-Adapters and fused copies of projections are left out:
    they make no other model.

    Raises:
        ModelError: the weights are not in memory, or cannot be read.
    """
    parameters = _own(network)
    state = _state(parameters)
    retained = _KNOWN.get(network)
    on_meta = any(each.is_meta for each in parameters.values())
    if retained is not None and (on_meta or retained[0] == state):
        return retained[1]
    if on_meta:
        parameters = {name: _waiting(network, name, each) for name, each in parameters.items()}
    if any(each.is_meta for each in parameters.values()):
        raise ModelError(
            f"The weights of {type(network).__name__} are not in memory.",
            "a model whose weights can be read.",
            "directrix.models.facts(pipeline) once before enable_sequential_cpu_offload().",
        )
    digest = hashlib.sha256(json.dumps(_settings(network), sort_keys=True, default=list).encode())
    _add_weights(digest, parameters)
    _KNOWN[network] = (state, digest.hexdigest())
    return digest.hexdigest()


def structure(network: nn.Module) -> str:
    """ "structure:" and the SHA-256 over every parameter's name and shape; the weights may be on the meta device.

    All models that were trained from the same one share it: Stable Diffusion 1.1 to 1.5 and what people make of
    them.
    """
    digest = hashlib.sha256()
    for name, parameter in _base(_own(network)):
        digest.update(f"{name}{stored_weights.shape(parameter)}".encode())
    return STRUCTURE + digest.hexdigest()


def fits(known: str, network: nn.Module) -> bool:
    """Whether a fingerprint is the network's: that of its weights, or of its structure where it is one.

    Raises:
        ModelError: the weights are asked for and not in memory, or cannot be read.
    """
    return known == (structure(network) if known.startswith(STRUCTURE) else fingerprint(network))


def shortened(known: str) -> str:
    """A fingerprint for people: its first twelve digits, after "structure:" where it is one of a structure."""
    kind, colon, digits = known.rpartition(":")
    return f"{kind}{colon}{digits[:12]}"


def weights_fingerprint(network: nn.Module) -> str:
    """SHA-256 over every parameter's name, shape and sign bits, without the configuration.

    For networks whose configuration each version of their library writes in another way.
    """
    digest = hashlib.sha256()
    _add_weights(digest, _own(network))
    return digest.hexdigest()


def _waiting(network: nn.Module, name: str, parameter: torch.Tensor) -> torch.Tensor:
    """A parameter that accelerate keeps elsewhere while its module does not run; as it is where it is not known."""
    if not parameter.is_meta:
        return parameter
    place, _, leaf = name.rpartition(".")
    hook: Any = getattr(network.get_submodule(place), "_hf_hook", None)
    for each in getattr(hook, "hooks", (hook,)):
        retained = getattr(each, "weights_map", None)
        if retained is not None:
            return retained[leaf]
    return parameter


def _own(network: nn.Module) -> dict[str, torch.Tensor]:
    """The parameters that were trained with the network, by name."""
    return {name: each for name, each in network.named_parameters() if not _is_added(network, name)}


def _state(parameters: dict[str, torch.Tensor]) -> list[Any]:
    """Equal to that of another time where the parameters are the same ones and nobody wrote to them."""
    from torch.utils.weak import WeakIdRef

    # Tensors made in inference mode count no versions.
    return [(WeakIdRef(each), 0 if each.is_inference() else each._version) for each in parameters.values()]


def _is_added(network: Any, name: str) -> bool:
    """Whether a parameter belongs to a LoRA or an IP-Adapter, or is a copy of an attention's own."""
    if "lora_" in name or re.search(r"\.to_[kv]_ip\.", name):
        return True
    # `fuse_qkv_projections` copies what stays where it is, and taking it back may leave the copy.
    attention, _, projection = name.rpartition(".")[0].rpartition(".")
    if projection in _FUSED and hasattr(network.get_submodule(attention), _FUSED[projection]):
        return True
    return name.startswith("encoder_hid_proj.") and _has_image_prompts(network)


def _has_image_prompts(network: Any) -> bool:
    return getattr(getattr(network, "config", None), "encoder_hid_dim_type", None) == "ip_image_proj"


def _base(parameters: dict[str, Any]) -> list[tuple[str, Any]]:
    """Parameters by the names that they have without adapters, in a fixed order."""
    named = ((re.sub(r"\.base_layer\b", "", name), each) for name, each in parameters.items())
    return sorted(named, key=lambda item: item[0])


def _add_weights(digest: Any, parameters: dict[str, Any]) -> None:
    for name, parameter in _base(parameters):
        digest.update(f"{name}{stored_weights.shape(parameter)}".encode())
        digest.update(_sign_bits(parameter))


def _sign_bits(parameter: torch.Tensor) -> bytes:
    import numpy as np
    import torch

    values = stored_weights.values(parameter)
    if not values.dtype.is_floating_point and not values.dtype.is_signed:
        # Packed by a library of its own, so bits are all that is known.
        return values.cpu().numpy().tobytes()
    if values.dtype not in (torch.float32, torch.float16, torch.bfloat16, torch.float64):
        values = values.float()
    return np.packbits(torch.signbit(values).flatten().cpu().numpy()).tobytes()


def _settings(network: Any) -> dict[str, Any]:
    # Only what differs from the class's defaults: newer versions of diffusers add keys, which must not change
    # the result.
    defaults = {key: value.default for key, value in inspect.signature(type(network).__init__).parameters.items()}
    config = dict(getattr(network, "config", {}))
    config.pop("quantization_config", None)
    if _has_image_prompts(network):
        config.pop("encoder_hid_dim_type", None)
    plain = json.loads(json.dumps(config, default=str))
    given = {
        key: value
        for key, value in plain.items()
        if not key.startswith("_") and value != json.loads(json.dumps(defaults.get(key), default=str))
    }
    return {"class": type(network).__name__, **given}
