"""Tiny random pipelines whose first argument is no prompt, or that stand beside another of the same parts."""

from __future__ import annotations

from typing import Any

from unit.models.families import diffusion_transformers as transformers
from unit.models.families import parts, unets


def beside(pipeline: Any, name: str, controlnet: Any, **changes: Any) -> Any:
    """The pipeline of this name that has the parts of another, and a ControlNet."""
    import diffusers

    cls = getattr(diffusers, name)
    wanted, _ = cls._get_signature_keys(cls)
    given = {key: value for key, value in pipeline.components.items() if key in wanted} | changes
    flags = {"requires_safety_checker": False} if "safety_checker" in wanted else {}
    made = cls(**given, controlnet=controlnet, **flags)
    made.set_progress_bar_config(disable=True)
    return made


def controlled_unet(xl: bool = False) -> Any:
    """Stable Diffusion 1, or XL, beside a ControlNet, and with a scheduler that the sibling's constructor corrects."""
    import diffusers

    pipeline = unets.stable_diffusion_xl() if xl else unets.stable_diffusion()
    sizes = (4, 4, 4, 8)
    controlnet = diffusers.ControlNetModel.from_unet(pipeline.unet, conditioning_embedding_out_channels=sizes)
    if xl:
        return beside(pipeline, "StableDiffusionXLControlNetPipeline", controlnet, add_watermarker=False)
    scheduler = diffusers.DDIMScheduler(clip_sample=True, steps_offset=0)
    return beside(pipeline, "StableDiffusionControlNetPipeline", controlnet, scheduler=scheduler)


def controlled_stable_diffusion_3() -> Any:
    import diffusers

    pipeline = transformers.stable_diffusion_3()
    controlnet = diffusers.SD3ControlNetModel.from_transformer(pipeline.transformer, num_layers=1)
    return beside(pipeline, "StableDiffusion3ControlNetPipeline", controlnet)


def controlled_flux() -> Any:
    import diffusers

    pipeline = transformers.flux()
    given = {"num_layers": 1, "num_single_layers": 0, "attention_head_dim": 8, "num_attention_heads": 2}
    controlnet = diffusers.FluxControlNetModel.from_transformer(pipeline.transformer, **given)
    return beside(pipeline, "FluxControlNetPipeline", controlnet)


def kontext() -> Any:
    """FLUX Kontext: it edits an image, or draws without one."""
    return transformers.flux(name="FluxKontextPipeline")


def hunyuan_dit(controlled: bool = False) -> Any:
    """HunyuanDiT: BERT and T5, long skip connections, a variance is predicted too; beside a ControlNet or not."""
    import diffusers
    from transformers import BertConfig, BertModel

    transformer = diffusers.HunyuanDiT2DModel(
        sample_size=8,
        num_layers=4,
        patch_size=2,
        attention_head_dim=8,
        num_attention_heads=2,
        in_channels=4,
        cross_attention_dim=16,
        cross_attention_dim_t5=16,
        pooled_projection_dim=1024,
        hidden_size=16,
        activation_fn="gelu-approximate",
    )
    bert = BertConfig(vocab_size=259, hidden_size=16, intermediate_size=16, num_hidden_layers=2, num_attention_heads=2)
    pipeline = diffusers.HunyuanDiTPipeline(
        vae=parts.vae(),
        text_encoder=BertModel(bert).eval(),
        tokenizer=parts.fast_tokenizer(),
        transformer=transformer,
        scheduler=diffusers.DDPMScheduler(),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
        text_encoder_2=parts.t5(),
        tokenizer_2=parts.fast_tokenizer(),
    )
    if controlled:
        controlnet = diffusers.HunyuanDiT2DControlNetModel.from_transformer(transformer, transformer_num_layers=4)
        pipeline = beside(pipeline, "HunyuanDiTControlNetPipeline", controlnet)
    return parts.ready(pipeline)


def flux_2_klein() -> Any:
    """FLUX.2 klein: the first argument of its call is an image; guidance in two calls."""
    import diffusers
    from transformers import Qwen3Config, Qwen3ForCausalLM

    transformer = diffusers.Flux2Transformer2DModel(
        patch_size=1,
        in_channels=16,
        num_layers=2,
        num_single_layers=2,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=16,
        timestep_guidance_channels=16,
        axes_dims_rope=(4, 4, 4, 4),
        guidance_embeds=False,
    )
    qwen = Qwen3Config(
        vocab_size=259,
        hidden_size=16,
        intermediate_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=2,
        head_dim=8,
    )
    vae = diffusers.AutoencoderKLFlux2(
        sample_size=16,
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        block_out_channels=(4, 4),
        layers_per_block=1,
        latent_channels=4,
        norm_num_groups=2,
    )
    tokenizer = parts.fast_tokenizer()
    tokenizer.chat_template = "{% for message in messages %}{{ message['content'] }}{% endfor %}"
    return parts.ready(
        diffusers.Flux2KleinPipeline(
            scheduler=transformers.flow(),
            vae=vae.eval(),
            text_encoder=Qwen3ForCausalLM(qwen).eval(),
            tokenizer=tokenizer,
            transformer=transformer,
        )
    )


def flux_control() -> Any:
    """FLUX Control: its transformer takes an image beside the latents, so no text-to-image pipeline has its parts."""
    import diffusers

    pipeline = transformers.flux()
    config = {key: value for key, value in pipeline.transformer.config.items() if not key.startswith("_")}
    transformer = diffusers.FluxTransformer2DModel(**{**config, "in_channels": 32, "out_channels": 16})
    wanted, _ = diffusers.FluxControlPipeline._get_signature_keys(diffusers.FluxControlPipeline)
    parts_of_it = {key: value for key, value in pipeline.components.items() if key in wanted}
    return parts.ready(diffusers.FluxControlPipeline(**{**parts_of_it, "transformer": transformer}))
