"""Components of tiny random pipelines, by name; a class takes those that it knows, and many classes share a kit."""

from __future__ import annotations

from functools import cache
from typing import Any

from unit.models.families import parts
from unit.models.families.encoders import Reader, chat_tokenizer
from unit.models.families.networks import network
from unit.models.families.unets import unet

XL = {
    "cross_attention_dim": 64,
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": 4,
    "projection_class_embeddings_input_dim": 16 + 6 * 4,
}


def ddim(prediction_type: str = "epsilon") -> Any:
    """The scheduler of most U-Nets here."""
    from diffusers import DDIMScheduler

    return DDIMScheduler(prediction_type=prediction_type, clip_sample=False, steps_offset=1)


@cache
def small_unet(**options: Any) -> Any:
    """One U-Net for all classes that leave it as it is."""
    return unet(**options)


def scheduler(name: str, **options: Any) -> Any:
    """One of diffusers' schedulers."""
    import diffusers

    return getattr(diffusers, name)(**options)


def sd(**options: Any) -> dict[str, Any]:
    """Stable Diffusion 1."""
    return {
        "vae": parts.vae(),
        "text_encoder": parts.clip_text(),
        "tokenizer": parts.clip_tokenizer(),
        "unet": unet(**options),
        "scheduler": ddim(),
        "requires_safety_checker": False,
    }


def sdxl(**options: Any) -> dict[str, Any]:
    """SDXL."""
    return {
        "vae": parts.vae(),
        "text_encoder": parts.clip_text(),
        "text_encoder_2": parts.clip_text(projection=True),
        "tokenizer": parts.clip_tokenizer(),
        "tokenizer_2": parts.clip_tokenizer(),
        "unet": unet(**{**XL, **options}),
        "scheduler": ddim(),
        "add_watermarker": False,
    }


def controlnet(network: Any, **options: Any) -> Any:
    """A ControlNet beside this U-Net."""
    from diffusers import ControlNetModel

    return ControlNetModel.from_unet(network, conditioning_embedding_out_channels=(4, 4), **options)


def adapter(kind: str = "full_adapter") -> Any:
    """A T2I adapter for a U-Net of two levels."""
    from diffusers import T2IAdapter

    return T2IAdapter(in_channels=3, channels=[16, 16], num_res_blocks=1, downscale_factor=2, adapter_type=kind)


@cache
def image(size: int = 16, mode: str = "RGB", seed: int = 0) -> Any:
    """A picture of noise."""
    import numpy as np
    from PIL import Image

    pixels = np.random.default_rng(seed).integers(0, 255, (size, size, 3), dtype=np.uint8)
    return Image.fromarray(pixels).convert(mode)


def mask(size: int = 16) -> Any:
    """A mask whose left half is to be painted."""
    import numpy as np
    from PIL import Image

    pixels = np.zeros((size, size), dtype=np.uint8)
    pixels[:, : size // 2] = 255
    return Image.fromarray(pixels)


def flow(**options: Any) -> Any:
    """The scheduler of flow-matching models."""
    from diffusers import FlowMatchEulerDiscreteScheduler

    return FlowMatchEulerDiscreteScheduler(**options)


def shifting() -> Any:
    """The same with a shift that follows the image's size."""
    return flow(use_dynamic_shifting=True)


def reads(name: str, **components: Any) -> dict[str, Any]:
    """A transformer whose prompts one language model reads."""
    return {
        "transformer": network(name),
        "scheduler": flow(),
        "vae": parts.vae(shift_factor=0.0),
        "text_encoder": Reader(),
        "tokenizer": chat_tokenizer(),
        **{part: make() for part, make in components.items()},
    }


def pixart() -> dict[str, Any]:
    """PixArt, with T5."""
    return {**t5("pixart"), "scheduler": ddim()}


def t5(name: str, **components: Any) -> dict[str, Any]:
    """A transformer with T5."""
    return reads(name, text_encoder=parts.t5, tokenizer=parts.fast_tokenizer, **components)


def sd3(channels: int = 4) -> dict[str, Any]:
    """Stable Diffusion 3, with its three encoders."""
    return {
        "transformer": network("sd3", in_channels=channels, out_channels=channels),
        "scheduler": flow(),
        "vae": parts.vae(channels, shift_factor=0.1),
        "text_encoder": parts.clip_text(projection=True, width=16),
        "tokenizer": parts.clip_tokenizer(),
        "text_encoder_2": parts.clip_text(projection=True, width=16),
        "tokenizer_2": parts.clip_tokenizer(),
        "text_encoder_3": parts.t5(32),
        "tokenizer_3": parts.fast_tokenizer(),
    }


def flux(**options: Any) -> dict[str, Any]:
    """FLUX, with CLIP and T5."""
    return {
        "transformer": network("flux", **options),
        "scheduler": shifting(),
        "vae": parts.vae(shift_factor=0.1),
        "text_encoder": parts.clip_text(),
        "tokenizer": parts.clip_tokenizer(),
        "text_encoder_2": parts.t5(),
        "tokenizer_2": parts.fast_tokenizer(),
    }


def sana() -> dict[str, Any]:
    """SANA, with Gemma and a deep autoencoder."""
    from diffusers import AutoencoderDC

    blocks = {f"{side}_block_types": ("ResBlock",) * 2 for side in ("encoder", "decoder")}
    widths = {f"{side}_block_out_channels": (8, 8) for side in ("encoder", "decoder")}
    layers = {f"{side}_layers_per_block": (1, 1) for side in ("encoder", "decoder")}
    scales = {f"{side}_qkv_multiscales": ((), ()) for side in ("encoder", "decoder")}
    vae = AutoencoderDC(
        in_channels=3,
        latent_channels=4,
        attention_head_dim=4,
        downsample_block_type="conv",
        upsample_block_type="interpolate",
        decoder_norm_types="rms_norm",
        decoder_act_fns="silu",
        **blocks,
        **widths,
        **layers,
        **scales,
    )
    return reads("sana", text_encoder=parts.gemma, tokenizer=parts.fast_tokenizer) | {"vae": vae.eval()}


def qwen_vae() -> Any:
    """The autoencoder of Qwen-Image, 4 times smaller."""
    from diffusers import AutoencoderKLQwenImage

    return AutoencoderKLQwenImage(
        base_dim=8,
        z_dim=4,
        dim_mult=[1, 1, 1],
        num_res_blocks=1,
        temperal_downsample=[False, True],
        latents_mean=[0.0] * 4,
        latents_std=[1.0] * 4,
    ).eval()


def wan_vae() -> Any:
    """The autoencoder of Wan, 8 times smaller, of a quarter of the frames."""
    from diffusers import AutoencoderKLWan

    return AutoencoderKLWan(
        base_dim=4,
        z_dim=4,
        dim_mult=[1, 1, 1, 1],
        num_res_blocks=1,
        temperal_downsample=[False, True, True],
        latents_mean=[0.0] * 4,
        latents_std=[1.0] * 4,
    ).eval()


def hunyuan_image_vae() -> Any:
    """The autoencoder of HunyuanImage, 2 times smaller."""
    from diffusers import AutoencoderKLHunyuanImage

    return AutoencoderKLHunyuanImage(
        in_channels=3,
        out_channels=3,
        latent_channels=4,
        block_out_channels=(32, 32),
        layers_per_block=1,
        spatial_compression_ratio=2,
        sample_size=16,
    ).eval()


def flux2_vae() -> Any:
    """The autoencoder of FLUX.2, 2 times smaller."""
    from diffusers import AutoencoderKLFlux2

    return AutoencoderKLFlux2(
        block_out_channels=(4, 4),
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        layers_per_block=1,
        latent_channels=4,
        norm_num_groups=2,
        sample_size=16,
    ).eval()
