"""Components of tiny random pipelines that draw videos; see `kits`."""

from __future__ import annotations

from functools import partial
from types import SimpleNamespace
from typing import Any

from unit.models.families import kits, parts
from unit.models.families.networks import network


def autoencoder(cls: str, **sizes: Any) -> Any:
    """A tiny autoencoder of videos."""
    import diffusers

    return getattr(diffusers, cls)(**sizes).eval()


def wan(name: str = "wan", second: bool = False, **options: Any) -> dict[str, Any]:
    """Wan, with one denoiser or with a second one for the later steps."""
    found = kits.t5(name, vae=kits.wan_vae, scheduler=partial(kits.flow, shift=3.0))
    found["transformer"] = network(name, **options)
    return found | ({"transformer_2": network(name, **options), "boundary_ratio": 0.6} if second else {})


def ltx() -> dict[str, Any]:
    """LTX-Video."""
    vae = partial(
        autoencoder,
        "AutoencoderKLLTXVideo",
        latent_channels=4,
        block_out_channels=(8, 8, 8, 8),
        decoder_block_out_channels=(8, 8, 8, 8),
        layers_per_block=(1, 1, 1, 1, 1),
        decoder_layers_per_block=(1, 1, 1, 1, 1),
        spatio_temporal_scaling=(True, True, False, False),
        decoder_spatio_temporal_scaling=(True, True, False, False),
        patch_size=1,
    )
    return kits.t5("ltx", vae=vae)


def cogvideo(in_channels: int = 4) -> dict[str, Any]:
    """CogVideoX."""
    blocks = {"down_block_types": ("CogVideoXDownBlock3D",) * 4, "up_block_types": ("CogVideoXUpBlock3D",) * 4}
    vae = partial(
        autoencoder,
        "AutoencoderKLCogVideoX",
        block_out_channels=(8, 8, 8, 8),
        latent_channels=4,
        layers_per_block=1,
        norm_num_groups=2,
        **blocks,
    )
    found = kits.t5("cogvideo", vae=vae, scheduler=kits.ddim)
    return found | {"transformer": network("cogvideo", in_channels=in_channels)}


def hunyuan(**options: Any) -> dict[str, Any]:
    """HunyuanVideo, with Llama and CLIP."""
    vae = partial(
        autoencoder,
        "AutoencoderKLHunyuanVideo",
        latent_channels=4,
        block_out_channels=(8, 8, 8, 8),
        layers_per_block=1,
        norm_num_groups=4,
    )
    found = kits.reads(
        "hunyuan-video", vae=vae, text_encoder_2=partial(parts.clip_text, length=77), tokenizer_2=parts.clip_tokenizer
    )
    return found | {"transformer": network("hunyuan-video", **options)}


magvit = partial(
    autoencoder,
    "AutoencoderKLMagvit",
    in_channels=3,
    out_channels=3,
    latent_channels=4,
    block_out_channels=(8, 8, 8, 8),
    layers_per_block=1,
    norm_num_groups=2,
)
COSMOS_VAE = partial(
    autoencoder,
    "AutoencoderKLCosmos",
    latent_channels=4,
    encoder_block_out_channels=(8, 8, 8, 8),
    decode_block_out_channels=(8, 8, 8, 8),
    attention_resolutions=(8,),
    resolution=64,
    num_layers=1,
    patch_size=4,
    patch_type="haar",
)


def cosmos(**options: Any) -> dict[str, Any]:
    """Cosmos, with a checker that lets all pass."""
    from diffusers import EDMEulerScheduler

    found = kits.t5("cosmos", vae=COSMOS_VAE)
    resizing()
    edm = EDMEulerScheduler(
        sigma_min=0.002,
        sigma_max=80,
        sigma_data=0.5,
        num_train_timesteps=1000,
        prediction_type="epsilon",
        rho=7.0,
        final_sigmas_type="sigma_min",
    )
    return found | {"transformer": network("cosmos", **options), "scheduler": edm, "safety_checker": Harmless()}


def resizing() -> None:
    """Stands in for the one function of torchvision that Cosmos needs."""
    import torch
    from diffusers.models.transformers import transformer_cosmos

    if not hasattr(transformer_cosmos, "transforms"):
        resize = lambda mask, size, **_: torch.nn.functional.interpolate(mask, size)  # noqa: E731
        transformer_cosmos.transforms = SimpleNamespace(  # type: ignore
            functional=SimpleNamespace(resize=resize), InterpolationMode=SimpleNamespace(NEAREST=0)
        )


class Harmless:
    """Checks nothing."""

    def to(self, *_: Any) -> Harmless:
        return self

    def check_text_safety(self, _: str) -> bool:
        return True

    def check_video_safety(self, video: Any) -> Any:
        return video


def animated(kit: Any, **options: Any) -> dict[str, Any]:
    """The kit with layers for motion."""
    from diffusers import MotionAdapter

    motion = MotionAdapter(
        block_out_channels=(16, 16),
        motion_layers_per_block=1,
        motion_num_attention_heads=2,
        motion_norm_num_groups=4,
        **options,
    )
    return kit() | {"motion_adapter": motion}


def unet_3d(cls: str = "UNet3DConditionModel", **options: Any) -> dict[str, Any]:
    """A U-Net of three dimensions, with CLIP."""
    import diffusers

    unet = getattr(diffusers, cls)(
        sample_size=8,
        block_out_channels=(16, 16),
        layers_per_block=1,
        cross_attention_dim=32,
        norm_num_groups=4,
        down_block_types=("CrossAttnDownBlock3D", "DownBlock3D"),
        up_block_types=("UpBlock3D", "CrossAttnUpBlock3D"),
        attention_head_dim=4,
        **options,
    )
    return kits.sd() | {"unet": unet}
