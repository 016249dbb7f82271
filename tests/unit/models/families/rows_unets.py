"""Rows of the survey with a U-Net of two dimensions."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch

from unit.models.families import kits, parts
from unit.models.families.checks import Per, Row
from unit.models.families.kits import image, mask, scheduler

FROM_IMAGE = {"image": image(), "strength": 1.0}
PAINT = {"image": image(), "mask_image": mask(), "strength": 1.0}
CONTROL = {"image": image()}
SMALL: dict[str, Any] = {"height": 16, "width": 16}
CONTROL_FROM = {"image": image(), "control_image": image(seed=1), "strength": 1.0}
CONTROL_PAINT = {**CONTROL_FROM, "mask_image": mask()}
PAG = {"pag_scale": 2.0}


def with_controlnet(kit: Any, **options: Any) -> dict[str, Any]:
    """The kit with a ControlNet."""
    found = kit(**options)
    return {**found, "controlnet": kits.controlnet(found["unet"])}


SD, XL = kits.sd, kits.sdxl
SD_CONTROL, XL_CONTROL = partial(with_controlnet, kits.sd), partial(with_controlnet, kits.sdxl)
FIRST = {
    "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"),
    "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D"),
}


lcm = partial(scheduler, "LCMScheduler", clip_sample=False)
ddpm = partial(scheduler, "DDPMScheduler")
inverse = partial(scheduler, "DDIMInverseScheduler", clip_sample=False)
NONE: dict[str, Any] = {"on": {}, "off": None}


def with_xs(kit: Any) -> dict[str, Any]:
    """The kit with a ControlNet-XS."""
    from diffusers import ControlNetXSAdapter

    found = kit(layers_per_block=2)
    return {
        **found,
        "controlnet": ControlNetXSAdapter.from_unet(
            found["unet"], size_ratio=1, conditioning_embedding_out_channels=(4, 4), num_attention_heads=2
        ),
    }


IMAGES = ("image", "mask_image", "original_image")
UNION = (
    *("down_block_types", "block_out_channels", "layers_per_block", "cross_attention_dim", "attention_head_dim"),
    *("norm_num_groups", "addition_embed_type", "addition_time_embed_dim", "projection_class_embeddings_input_dim"),
)


def inverted(count: int, steps: int) -> torch.Tensor:
    """The latents of an image's inversion: one for each step."""
    return torch.randn(count, steps, 4, 8, 8, generator=torch.Generator().manual_seed(0))


def with_union(kit: Any) -> dict[str, Any]:
    """The kit with a ControlNet of several kinds of conditions."""
    from diffusers import ControlNetUnionModel

    found = kit()
    sizes = {key: found["unet"].config[key] for key in UNION}
    union = ControlNetUnionModel(
        **sizes,
        conditioning_embedding_out_channels=(4, 4),
        num_trans_channel=16,
        num_proj_channel=16,
        num_trans_head=2,
        num_trans_layer=1,
    )
    return {**found, "controlnet": union}


def deepfloyd(channels: int = 3) -> dict[str, Any]:
    """DeepFloyd IF: pixels, T5, and a variance that is predicted too."""
    from unit.models.families.unets import unet

    more = {"class_embed_type": "timestep"} if channels == 6 else {}
    return {
        "tokenizer": parts.fast_tokenizer(),
        "text_encoder": parts.t5(),
        "unet": unet(
            sample_size=16,
            in_channels=channels,
            out_channels=6,
            cross_attention_dim=16,
            encoder_hid_dim=16,
            addition_embed_type="text",
            addition_embed_type_num_heads=2,
            **more,
        ),
        "scheduler": scheduler("DDPMScheduler", variance_type="learned_range"),
        "requires_safety_checker": False,
    }


def kandinsky3() -> dict[str, Any]:
    """Kandinsky 3: T5 and a U-Net of its own."""
    from diffusers import Kandinsky3UNet

    unet = Kandinsky3UNet(
        in_channels=4,
        time_embedding_dim=4,
        groups=2,
        attention_head_dim=4,
        layers_per_block=2,
        block_out_channels=(16, 16),
        cross_attention_dim=4,
        encoder_hid_dim=16,
    )
    return {
        "tokenizer": parts.fast_tokenizer(),
        "text_encoder": parts.t5(),
        "unet": unet,
        "scheduler": kits.ddim(),
        "movq": movq(),
    }


def movq() -> Any:
    """The autoencoder of the Kandinskys."""
    from diffusers import VQModel

    return VQModel(
        block_out_channels=(8, 8),
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        latent_channels=4,
        norm_num_groups=2,
        num_vq_embeddings=12,
        vq_embed_dim=4,
    ).eval()


def ldm() -> dict[str, Any]:
    """Latent diffusion, with a BERT of its own."""
    from diffusers.pipelines.latent_diffusion.pipeline_latent_diffusion import LDMBertConfig, LDMBertModel

    bert = LDMBertModel(
        LDMBertConfig(
            vocab_size=300,
            max_position_embeddings=77,
            encoder_layers=1,
            encoder_ffn_dim=16,
            encoder_attention_heads=2,
            head_dim=8,
            d_model=32,
        )
    )
    return {**kits.sd(), "vqvae": parts.vae(), "bert": bert.eval(), "tokenizer": parts.fast_tokenizer()}


ROWS: dict[str, Row] = {
    "StableDiffusionPipeline": Row(SD),
    "StableDiffusionImg2ImgPipeline": Row(SD, FROM_IMAGE),
    "StableDiffusionInpaintPipeline": Row(SD, PAINT),
    "StableDiffusionControlNetPipeline": Row(SD_CONTROL, CONTROL),
    "StableDiffusionControlNetImg2ImgPipeline": Row(SD_CONTROL, CONTROL_FROM),
    "StableDiffusionControlNetInpaintPipeline": Row(SD_CONTROL, CONTROL_PAINT),
    "StableDiffusionPAGPipeline": Row(SD, PAG),
    "StableDiffusionPAGImg2ImgPipeline": Row(SD, {**FROM_IMAGE, **PAG}),
    "StableDiffusionPAGInpaintPipeline": Row(SD, {**PAINT, **PAG}),
    "StableDiffusionControlNetPAGPipeline": Row(SD_CONTROL, {**CONTROL, **PAG}),
    "StableDiffusionControlNetPAGInpaintPipeline": Row(SD_CONTROL, {**CONTROL_PAINT, **PAG}),
    "StableDiffusionXLPipeline": Row(XL),
    "StableDiffusionXLImg2ImgPipeline": Row(XL, FROM_IMAGE),
    "StableDiffusionXLInpaintPipeline": Row(XL, PAINT),
    "StableDiffusionXLControlNetPipeline": Row(XL_CONTROL, CONTROL),
    "StableDiffusionXLControlNetImg2ImgPipeline": Row(XL_CONTROL, CONTROL_FROM),
    "StableDiffusionXLControlNetInpaintPipeline": Row(XL_CONTROL, CONTROL_PAINT),
    "StableDiffusionXLPAGPipeline": Row(XL, PAG),
    "StableDiffusionXLPAGImg2ImgPipeline": Row(XL, {**FROM_IMAGE, **PAG}),
    "StableDiffusionXLPAGInpaintPipeline": Row(XL, {**PAINT, **PAG}),
    "StableDiffusionXLControlNetPAGPipeline": Row(XL_CONTROL, {**CONTROL, **PAG}),
    "StableDiffusionXLControlNetPAGImg2ImgPipeline": Row(XL_CONTROL, {**CONTROL_FROM, **PAG}),
    "LatentConsistencyModelPipeline": Row(partial(SD, time_cond_proj_dim=8), parts={"scheduler": lcm}, **NONE),
    "LatentConsistencyModelImg2ImgPipeline": Row(
        partial(SD, time_cond_proj_dim=8), FROM_IMAGE, {"scheduler": lcm}, **NONE
    ),
    "StableDiffusionAdapterPipeline": Row(
        partial(SD, **FIRST), {"image": image()}, {"adapter": kits.adapter}, each=IMAGES
    ),
    "StableDiffusionXLAdapterPipeline": Row(
        partial(XL, **FIRST), {"image": image()}, {"adapter": kits.adapter}, each=IMAGES
    ),
    "StableDiffusionInstructPix2PixPipeline": Row(partial(SD, in_channels=8), {"image": image()}),
    "StableDiffusionXLInstructPix2PixPipeline": Row(partial(XL, in_channels=8), {"image": image()}),
    "StableDiffusionDepth2ImgPipeline": Row(
        partial(SD, in_channels=5), {**FROM_IMAGE, "depth_map": torch.rand(1, 16, 16)}
    ),
    "StableDiffusionUpscalePipeline": Row(
        partial(SD, in_channels=7, num_class_embeds=1000), {"image": image()}, {"low_res_scheduler": ddpm}, each=IMAGES
    ),
    "StableDiffusionSAGPipeline": Row(SD),
    "StableDiffusionLDM3DPipeline": Row(
        SD, {"output_type": "np"}, {"vae": partial(parts.vae, in_channels=6, out_channels=6)}
    ),
    "StableDiffusionPanoramaPipeline": Row(SD, {"height": 16, "width": 32}),
    "StableDiffusionPipelineSafe": Row(SD),
    "StableDiffusionAttendAndExcitePipeline": Row(
        SD,
        {
            "token_indices": Per(lambda count, _: [[2]] * count),
            "attn_res": (4, 4),
            "max_iter_to_alter": 0,
            "thresholds": {},
        },
    ),
    "StableDiffusionGLIGENPipeline": Row(
        partial(SD, attention_type="gated"), {"gligen_phrases": ["a"], "gligen_boxes": [[0.1, 0.1, 0.5, 0.5]]}
    ),
    "StableDiffusionDiffEditPipeline": Row(
        SD,
        {"mask_image": torch.ones(1, 8, 8), "image_latents": Per(inverted), "inpaint_strength": 1.0},
        {"inverse_scheduler": inverse},
    ),
    "StableDiffusionInpaintPipelineLegacy": Row(SD, PAINT),
    "StableDiffusionModelEditingPipeline": Row(SD),
    "SemanticStableDiffusionPipeline": Row(SD),
    "StableDiffusionControlNetXSPipeline": Row(partial(with_xs, kits.sd), CONTROL),
    "StableDiffusionXLControlNetXSPipeline": Row(partial(with_xs, kits.sdxl), CONTROL),
    "StableDiffusionXLControlNetUnionPipeline": Row(
        partial(with_union, XL), {"control_image": [image()], "control_mode": [0]}
    ),
    "StableDiffusionXLControlNetUnionImg2ImgPipeline": Row(
        partial(with_union, XL), {**FROM_IMAGE, "control_image": [image()], "control_mode": [0]}
    ),
    "StableDiffusionXLControlNetUnionInpaintPipeline": Row(
        partial(with_union, XL), {**PAINT, "control_image": [image()], "control_mode": [0]}
    ),
    "TextToVideoZeroPipeline": Row(
        SD, {"video_length": 2, "t0": 0, "t1": 1}, single=True, off=None, windows=False, more=False
    ),
    "TextToVideoZeroSDXLPipeline": Row(
        XL, {"video_length": 2, "t0": 0, "t1": 1}, single=True, off=None, windows=False, more=False
    ),
    "IFPipeline": Row(deepfloyd, {"clean_caption": False}),
    "IFImg2ImgPipeline": Row(deepfloyd, {"clean_caption": False, **FROM_IMAGE}, each=IMAGES),
    "IFInpaintingPipeline": Row(deepfloyd, {"clean_caption": False, **PAINT}, each=IMAGES),
    "IFSuperResolutionPipeline": Row(
        partial(deepfloyd, 6),
        {"clean_caption": False, "image": image(8), **SMALL},
        {"image_noising_scheduler": ddpm},
        each=IMAGES,
    ),
    "IFImg2ImgSuperResolutionPipeline": Row(
        partial(deepfloyd, 6),
        {"clean_caption": False, **FROM_IMAGE, "original_image": image()},
        {"image_noising_scheduler": ddpm},
        each=IMAGES,
    ),
    "IFInpaintingSuperResolutionPipeline": Row(
        partial(deepfloyd, 6),
        {"clean_caption": False, **PAINT, "original_image": image()},
        {"image_noising_scheduler": ddpm},
        each=IMAGES,
    ),
    "Kandinsky3Pipeline": Row(kandinsky3, SMALL),
    "Kandinsky3Img2ImgPipeline": Row(kandinsky3, FROM_IMAGE),
    "LDMTextToImagePipeline": Row(ldm, SMALL),
}
