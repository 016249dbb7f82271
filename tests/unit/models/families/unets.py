"""Tiny random pipelines with a U-Net."""

from __future__ import annotations

from typing import Any

from unit.models.families import parts


def unet(**options: Any) -> Any:
    """A U-Net for latents (4, 8, 8) with a mid block of (16, 4, 4)."""
    from diffusers import UNet2DConditionModel

    settings: dict[str, Any] = {
        "sample_size": 8,
        "block_out_channels": (16, 16),
        "layers_per_block": 1,
        "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"),
        "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D"),
        "cross_attention_dim": 32,
        "attention_head_dim": 4,
        "norm_num_groups": 4,
    }
    return UNet2DConditionModel(**(settings | options))


def stable_diffusion(prediction_type: str = "epsilon", name: str = "StableDiffusionPipeline", **options: Any) -> Any:
    """Stable Diffusion 1, or with "v_prediction" 2; or one of its siblings, by name."""
    import diffusers

    scheduler = diffusers.DDIMScheduler(prediction_type=prediction_type, clip_sample=False, steps_offset=1)
    return parts.ready(
        getattr(diffusers, name)(
            vae=parts.vae(),
            text_encoder=parts.clip_text(),
            tokenizer=parts.clip_tokenizer(),
            unet=unet(**options),
            scheduler=scheduler,
            safety_checker=None,
            feature_extractor=None,
            requires_safety_checker=False,
        )
    )


def turbo() -> Any:
    """A distilled model of few steps and no guidance."""
    from diffusers import EulerAncestralDiscreteScheduler

    pipeline = stable_diffusion()
    pipeline.scheduler = EulerAncestralDiscreteScheduler(timestep_spacing="trailing")
    return pipeline


def latent_consistency() -> Any:
    """A latent consistency model: the guidance scale is one of the U-Net's inputs."""
    import diffusers

    return parts.ready(
        diffusers.LatentConsistencyModelPipeline(
            vae=parts.vae(),
            text_encoder=parts.clip_text(),
            tokenizer=parts.clip_tokenizer(),
            unet=unet(time_cond_proj_dim=8),
            scheduler=diffusers.LCMScheduler(clip_sample=False),
            safety_checker=None,
            feature_extractor=None,
            requires_safety_checker=False,
        )
    )


def stable_diffusion_xl(name: str = "StableDiffusionXLPipeline") -> Any:
    """SDXL: two text encoders, a pooled text embedding, sizes as added conditioning."""
    import diffusers

    return parts.ready(
        getattr(diffusers, name)(
            vae=parts.vae(),
            text_encoder=parts.clip_text(),
            text_encoder_2=parts.clip_text(projection=True),
            tokenizer=parts.clip_tokenizer(),
            tokenizer_2=parts.clip_tokenizer(),
            unet=unet(
                cross_attention_dim=64,
                addition_embed_type="text_time",
                addition_time_embed_dim=4,
                projection_class_embeddings_input_dim=16 + 6 * 4,
            ),
            scheduler=diffusers.EulerDiscreteScheduler(),
            add_watermarker=False,
        )
    )
