"""Rows of the survey whose prompts meet an image first, or pass several networks."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch

from unit.models.families import kits, kits_videos, parts, rows_transformers, rows_unets
from unit.models.families.checks import Per, Row
from unit.models.families.encoders import Processor, Reader, clip_image_processor, clip_vision
from unit.models.families.kits import image, mask, scheduler
from unit.models.families.networks import network
from unit.models.families.rows_transformers import QWEN, S16, S32, S64, SHORT, TRUE, Z, beside, guider
from unit.models.families.unets import unet


def editing() -> dict[str, Any]:
    """Qwen-Image that edits images, which it would enlarge to a million pixels first."""
    from diffusers.pipelines.qwenimage import (
        pipeline_qwenimage_edit,
        pipeline_qwenimage_edit_inpaint,
        pipeline_qwenimage_edit_plus,
    )

    for module in (pipeline_qwenimage_edit, pipeline_qwenimage_edit_inpaint):
        vars(module)["calculate_dimensions"] = lambda *_: (32, 32, None)
    vars(pipeline_qwenimage_edit_plus)["calculate_dimensions"] = lambda *_: (32, 32)
    return QWEN(processor=Processor)


IMAGES = rows_unets.IMAGES
FROM32 = rows_transformers.FROM32


def prior(**options: Any) -> Any:
    """A network that makes an image's embedding of a prompt's."""
    from diffusers import PriorTransformer

    return PriorTransformer(
        num_attention_heads=2,
        attention_head_dim=8,
        embedding_dim=16,
        num_layers=1,
        num_embeddings=parts.LENGTH,
        **options,
    )


def kandinsky2(version: int, channels: int = 4) -> dict[str, Any]:
    """Kandinsky 2.1 or 2.2: a prior, then a U-Net that is given an image's embedding."""
    text = {"cross_attention_dim": 16, "encoder_hid_dim": 16, "out_channels": 8, "in_channels": channels}
    if version == 1:
        text |= {"encoder_hid_dim_type": "text_image_proj", "addition_embed_type": "text_image"}
    else:
        text |= {"encoder_hid_dim_type": "image_proj", "addition_embed_type": "image"}
    return {
        "text_encoder": multilingual(),
        "tokenizer": parts.fast_tokenizer(),
        "unet": unet(
            resnet_time_scale_shift="scale_shift",
            down_block_types=("ResnetDownsampleBlock2D", "SimpleCrossAttnDownBlock2D"),
            up_block_types=("SimpleCrossAttnUpBlock2D", "ResnetUpsampleBlock2D"),
            mid_block_type="UNetMidBlock2DSimpleCrossAttn",
            class_embed_type=None,
            **text,
        ),
        "scheduler": scheduler(
            "DDIMScheduler" if version == 1 else "DDPMScheduler",
            clip_sample=False,
            thresholding=False,
            **({} if version == 1 else {"variance_type": "learned_range"}),
        ),
        "movq": rows_unets.movq(),
        "prior_prior": prior(),
        "prior_image_encoder": clip_vision(),
        "prior_text_encoder": parts.clip_text(projection=True, width=16),
        "prior_tokenizer": parts.clip_tokenizer(),
        "prior_scheduler": scheduler(
            "UnCLIPScheduler", variance_type="fixed_small_log", prediction_type="sample", clip_sample_range=10.0
        ),
        "prior_image_processor": clip_image_processor(),
    }


def multilingual() -> Any:
    """Kandinsky 2.1's encoder: token states, and a projected mean."""
    from diffusers.pipelines.kandinsky.text_encoder import MCLIPConfig, MultilingualCLIP

    return MultilingualCLIP(
        MCLIPConfig(
            numDims=16,
            transformerDimensions=16,
            hidden_size=16,
            intermediate_size=16,
            num_attention_heads=2,
            num_hidden_layers=2,
            vocab_size=300,
        )
    ).eval()


def unclip() -> dict[str, Any]:
    """Stable unCLIP: a prior, noise on what it makes, then a U-Net with labels."""
    from diffusers.pipelines.stable_diffusion.stable_unclip_image_normalizer import StableUnCLIPImageNormalizer

    return {
        **kits.sd(class_embed_type="projection", projection_class_embeddings_input_dim=32),
        "prior_tokenizer": parts.clip_tokenizer(),
        "prior_text_encoder": parts.clip_text(projection=True, width=16),
        "prior": prior(),
        "prior_scheduler": scheduler(
            "DDPMScheduler", variance_type="fixed_small_log", prediction_type="sample", clip_sample_range=5.0
        ),
        "image_normalizer": StableUnCLIPImageNormalizer(embedding_dim=16),
        "image_noising_scheduler": scheduler("DDPMScheduler", beta_schedule="squaredcos_cap_v2"),
        "image_encoder": clip_vision(),
        "feature_extractor": clip_image_processor(),
    }


def amused() -> dict[str, Any]:
    """Amused: tokens of an image are guessed, not noise."""
    from diffusers import AmusedScheduler, VQModel

    vqvae = VQModel(
        block_out_channels=(8, 8),
        down_block_types=("DownEncoderBlock2D",) * 2,
        latent_channels=8,
        layers_per_block=1,
        norm_num_groups=2,
        num_vq_embeddings=32,
        sample_size=16,
        up_block_types=("UpDecoderBlock2D",) * 2,
        mid_block_add_attention=False,
        lookup_from_codebook=True,
    )
    return {
        "transformer": network("amused"),
        "vqvae": vqvae.eval(),
        "scheduler": AmusedScheduler(mask_token_id=31),
        "text_encoder": parts.clip_text(projection=True, length=77),
        "tokenizer": parts.clip_tokenizer(),
    }


def z_controlnet() -> dict[str, Any]:
    """Z-Image with a ControlNet."""
    from diffusers import ZImageControlNetModel

    control = ZImageControlNetModel(
        control_layers_places=[0],
        control_refiner_layers_places=[0],
        control_in_dim=4,
        dim=16,
        n_refiner_layers=1,
        n_heads=2,
        n_kv_heads=2,
    )
    return Z() | {"controlnet": control}


def alt() -> dict[str, Any]:
    """AltDiffusion: another text encoder."""
    return kits.sd() | {"text_encoder": Reader(32), "tokenizer": parts.fast_tokenizer()}


K1 = {"output_type": "pt"}
K2 = {**S16, "prior_num_inference_steps": 2, "prior_guidance_scale": 1.0}
ROWS: dict[str, Row] = {
    "WanPipeline of two denoisers": Row(partial(kits_videos.wan, second=True), {**S32, "num_frames": 5, **SHORT}),
    "QwenImageEditPipeline": Row(editing, {**S32, "image": image(32)}, single=True, **TRUE),
    "QwenImageEditInpaintPipeline": Row(editing, {**S32, **FROM32, "mask_image": mask(32)}, single=True, **TRUE),
    "QwenImageEditPlusPipeline": Row(editing, {**S32, "image": image(32)}, single=True, **TRUE),
    "QwenImageControlNetInpaintPipeline": Row(
        lambda: (
            QWEN()
            | {"controlnet": beside("QwenImageControlNetModel", "qwen", num_layers=1, extra_condition_channels=4)}
        ),
        {**S32, "control_image": image(32), "control_mask": mask(32)},
        **TRUE,
    ),
    "ZImageControlNetPipeline": Row(z_controlnet, {**S32, "control_image": image(32)}),
    "AmusedPipeline": Row(amused, S16),
    "AmusedImg2ImgPipeline": Row(amused, {"image": image(), "strength": 1.0}),
    "AmusedInpaintPipeline": Row(amused, {"image": image(), "mask_image": mask(), "strength": 1.0}),
    "KandinskyCombinedPipeline": Row(partial(kandinsky2, 1), {**K2, **K1}),
    "KandinskyImg2ImgCombinedPipeline": Row(
        partial(kandinsky2, 1), {**K2, **K1, "image": image(), "strength": 1.0}, each=IMAGES
    ),
    "KandinskyInpaintCombinedPipeline": Row(
        partial(kandinsky2, 1, 9), {**K2, **K1, "image": image(), "mask_image": mask()}, each=IMAGES
    ),
    "KandinskyV22InpaintCombinedPipeline": Row(
        partial(kandinsky2, 2, 9), {**K2, "image": image(), "mask_image": mask()}, each=IMAGES
    ),
    "KandinskyPipeline": Row(
        partial(kandinsky2, 1),
        {
            **S16,
            **K1,
            "image_embeds": Per(lambda n, _: torch.ones(n, 16)),
            "negative_image_embeds": Per(lambda n, _: torch.zeros(n, 16)),
        },
    ),
    "KandinskyV22CombinedPipeline": Row(partial(kandinsky2, 2), K2),
    "KandinskyV22Img2ImgCombinedPipeline": Row(
        partial(kandinsky2, 2), {**K2, "image": image(), "strength": 1.0}, each=IMAGES
    ),
    "StableUnCLIPPipeline": Row(unclip, {"prior_num_inference_steps": 2, "prior_guidance_scale": 1.0}),
    "StableUnCLIPImg2ImgPipeline": Row(unclip, {"image": image()}, single=True),
    "AltDiffusionPipeline": Row(alt),
    "AltDiffusionImg2ImgPipeline": Row(alt, rows_unets.FROM_IMAGE),
    "LTXConditionPipeline": Row(kits_videos.ltx, {**S32, "num_frames": 9, **SHORT}),
    "ErnieImagePipeline": Row(
        partial(kits.reads, "ernie", vae=kits.flux2_vae), {**S16, "use_pe": False}, tokens_first=True
    ),
    "StableDiffusion3ControlNetInpaintingPipeline": Row(
        lambda: (
            kits.sd3()
            | {"controlnet": beside("SD3ControlNetModel", "sd3", num_layers=1, extra_conditioning_channels=1)}
        ),
        {**S16, **SHORT, "control_image": image(), "control_mask": mask()},
    ),
    "CosmosVideoToWorldPipeline": Row(
        partial(kits_videos.cosmos, in_channels=5),
        {**S64, "num_frames": 9, **SHORT, "image": image(64)},
        windows=False,
        single=True,
    ),
    "Kandinsky5I2IPipeline": Row(
        lambda: (
            kits_videos.hunyuan()
            | {
                "transformer": network("kandinsky5", in_visual_dim=9, visual_cond=True),
                "text_encoder": Reader(),
                "vae": parts.vae(shift_factor=0.0),
            }
        ),
        {**S16, **SHORT, "image": image()},
    ),
    "AnyFlowPipeline": Row(
        lambda: kits_videos.wan("anyflow") | {"scheduler": scheduler("FlowMapEulerDiscreteScheduler")},
        {**S32, "num_frames": 5, **SHORT},
    ),
    "MotifVideoPipeline": Row(
        partial(kits.t5, "motif", vae=kits.wan_vae, guider=partial(guider, "ClassifierFreeGuidance")),
        {**S32, "num_frames": 5, **SHORT},
        on={},
        off=None,
    ),
    "EasyAnimatePipeline": Row(lambda: kits.reads("easy", vae=kits_videos.magvit), {**S16, "num_frames": 5}),
}
