"""Tiny random pipelines with a transformer."""

from __future__ import annotations

from typing import Any

from unit.models.families import parts


def flow() -> Any:
    """The scheduler of flow-matching models."""
    from diffusers import FlowMatchEulerDiscreteScheduler

    return FlowMatchEulerDiscreteScheduler(shift=3.0)


def pixart(name: str = "PixArtAlphaPipeline") -> Any:
    """PixArt: predicts noise and its variance; cross-attention to T5."""
    import diffusers

    transformer = diffusers.PixArtTransformer2DModel(
        num_attention_heads=2,
        attention_head_dim=8,
        in_channels=4,
        out_channels=8,
        num_layers=3,
        cross_attention_dim=16,
        sample_size=8,
        caption_channels=16,
        use_additional_conditions=False,
    )
    return parts.ready(
        getattr(diffusers, name)(
            tokenizer=parts.fast_tokenizer(),
            text_encoder=parts.t5(),
            vae=parts.vae(),
            transformer=transformer,
            scheduler=diffusers.DPMSolverMultistepScheduler(),
        )
    )


def stable_diffusion_3(name: str = "StableDiffusion3Pipeline") -> Any:
    """Stable Diffusion 3: joint blocks of two streams, flow matching, three text encoders."""
    import diffusers

    transformer = diffusers.SD3Transformer2DModel(
        sample_size=8,
        patch_size=2,
        in_channels=4,
        num_layers=3,
        attention_head_dim=8,
        num_attention_heads=2,
        joint_attention_dim=32,
        caption_projection_dim=16,
        pooled_projection_dim=32,
        out_channels=4,
        pos_embed_max_size=8,
    )
    return parts.ready(
        getattr(diffusers, name)(
            transformer=transformer,
            scheduler=flow(),
            vae=parts.vae(shift_factor=0.1),
            text_encoder=parts.clip_text(projection=True, width=16),
            tokenizer=parts.clip_tokenizer(),
            text_encoder_2=parts.clip_text(projection=True, width=16),
            tokenizer_2=parts.clip_tokenizer(),
            text_encoder_3=parts.t5(32),
            tokenizer_3=parts.fast_tokenizer(),
        )
    )


def flux(guidance: bool = True, name: str = "FluxPipeline") -> Any:
    """FLUX: packed latents, blocks of two streams and of one, the guidance scale built in ([dev]) or none."""
    import diffusers

    transformer = diffusers.FluxTransformer2DModel(
        in_channels=16,
        num_layers=2,
        num_single_layers=2,
        attention_head_dim=8,
        num_attention_heads=2,
        joint_attention_dim=16,
        pooled_projection_dim=32,
        guidance_embeds=guidance,
        axes_dims_rope=(2, 2, 4),
    )
    return parts.ready(
        getattr(diffusers, name)(
            scheduler=diffusers.FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True),
            vae=parts.vae(shift_factor=0.1),
            text_encoder=parts.clip_text(),
            tokenizer=parts.clip_tokenizer(),
            text_encoder_2=parts.t5(),
            tokenizer_2=parts.fast_tokenizer(),
            transformer=transformer,
        )
    )


def sana() -> Any:
    """SANA: linear attention, a deep autoencoder, Gemma with an instruction before the prompt."""
    import diffusers

    transformer = diffusers.SanaTransformer2DModel(
        in_channels=4,
        out_channels=4,
        num_attention_heads=2,
        attention_head_dim=8,
        num_layers=3,
        num_cross_attention_heads=2,
        cross_attention_head_dim=8,
        cross_attention_dim=16,
        caption_channels=16,
        sample_size=8,
    )
    vae = diffusers.AutoencoderDC(
        in_channels=3,
        latent_channels=4,
        attention_head_dim=4,
        encoder_block_types=("ResBlock", "ResBlock"),
        decoder_block_types=("ResBlock", "ResBlock"),
        encoder_block_out_channels=(8, 8),
        decoder_block_out_channels=(8, 8),
        encoder_layers_per_block=(1, 1),
        decoder_layers_per_block=(1, 1),
        encoder_qkv_multiscales=((), ()),
        decoder_qkv_multiscales=((), ()),
        downsample_block_type="conv",
        upsample_block_type="interpolate",
        decoder_norm_types="rms_norm",
        decoder_act_fns="silu",
    )
    return parts.ready(
        diffusers.SanaPipeline(
            tokenizer=parts.fast_tokenizer(),
            text_encoder=parts.gemma(),
            vae=vae.eval(),
            transformer=transformer,
            scheduler=diffusers.DPMSolverMultistepScheduler(
                prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=3.0
            ),
        )
    )


def lumina_next() -> Any:
    """Lumina-Next: the conditional half comes first, the clock runs backwards, a variance is predicted too."""
    import diffusers

    transformer = diffusers.LuminaNextDiT2DModel(
        sample_size=8,
        patch_size=2,
        in_channels=4,
        hidden_size=32,
        num_layers=3,
        num_attention_heads=2,
        num_kv_heads=1,
        multiple_of=8,
        cross_attention_dim=16,
    )
    cls = getattr(diffusers, "LuminaPipeline", None) or diffusers.LuminaText2ImgPipeline
    pipeline = cls(
        transformer=transformer,
        scheduler=flow(),
        vae=parts.vae(),
        text_encoder=parts.gemma(),
        tokenizer=parts.fast_tokenizer(),
    )
    return parts.ready(pipeline)


def lumina_2() -> Any:
    """Lumina 2: one stream in which every row's text is as long as it is; guidance in two calls."""
    import diffusers

    transformer = diffusers.Lumina2Transformer2DModel(
        sample_size=8,
        in_channels=4,
        hidden_size=24,
        num_layers=3,
        num_refiner_layers=1,
        num_attention_heads=2,
        num_kv_heads=1,
        multiple_of=8,
        axes_dim_rope=(4, 4, 4),
        axes_lens=(64, 16, 16),
        cap_feat_dim=16,
    )
    cls = getattr(diffusers, "Lumina2Pipeline", None) or diffusers.Lumina2Text2ImgPipeline
    return parts.ready(
        cls(
            transformer=transformer,
            scheduler=flow(),
            vae=parts.vae(shift_factor=0.1),
            text_encoder=parts.gemma(),
            tokenizer=parts.fast_tokenizer(),
        )
    )
