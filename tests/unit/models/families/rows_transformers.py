"""Rows of the survey with a transformer that draws images."""

from __future__ import annotations

import inspect
from functools import partial
from typing import Any

from unit.models.families import kits, parts
from unit.models.families.checks import Row
from unit.models.families.encoders import Reader, chat_tokenizer
from unit.models.families.kits import image, mask
from unit.models.families.networks import SIZES, network

S16: dict[str, Any] = {"height": 16, "width": 16}
S32: dict[str, Any] = {"height": 32, "width": 32}
S64: dict[str, Any] = {"height": 64, "width": 64}
# Of other length than the image, so that the oracle can tell the streams apart.
SHORT = {"max_sequence_length": 24}
SMALL = {**S16, **SHORT}
FROM = {"image": image(), "strength": 1.0}
FROM32 = {"image": image(32), "strength": 1.0}
PAINT = {**FROM, "mask_image": mask()}
PAINT32 = {**FROM32, "mask_image": mask(32)}
CONTROL = {"control_image": image()}
PIXART = {**SMALL, "use_resolution_binning": False, "clean_caption": False}
SANA = {**S32, **SHORT, "use_resolution_binning": False, "complex_human_instruction": ["Say:"], "clean_caption": False}
TRUE: dict[str, Any] = {"on": {"true_cfg_scale": 4.0}, "off": {"true_cfg_scale": 1.0}}
NONE: dict[str, Any] = {"on": {}, "off": None}

SD3_16 = partial(kits.sd3, 16)
FLUX, SD3 = kits.flux, kits.sd3
QWEN = partial(kits.reads, "qwen", vae=kits.qwen_vae, scheduler=kits.shifting)
Z = partial(kits.reads, "z-image", scheduler=kits.shifting)
CHROMA = partial(kits.t5, "chroma")
FLUX2 = partial(kits.reads, "flux2", vae=kits.flux2_vae, scheduler=kits.shifting)
LAYERS = {"text_encoder_out_layers": (1,)}
HUNYUAN = partial(
    kits.reads, "hunyuan-dit", scheduler=kits.ddim, text_encoder_2=parts.t5, tokenizer_2=parts.fast_tokenizer
)


def guider(name: str) -> Any:
    """A component of diffusers that does the guidance."""
    import diffusers

    return getattr(diffusers, name)()


def scm() -> Any:
    """The scheduler of SANA-Sprint."""
    from diffusers import SCMScheduler

    return SCMScheduler(prediction_type="trigflow", sigma_data=0.5)


def beside(cls: str, name: str, *without: str, **sizes: Any) -> Any:
    """A ControlNet of a transformer's sizes."""
    import diffusers

    known = inspect.signature(getattr(diffusers, cls).__init__).parameters
    return getattr(diffusers, cls)(**{key: each for key, each in (SIZES[name][1] | sizes).items() if key in known})


ROWS: dict[str, Row] = {
    "PixArtAlphaPipeline": Row(kits.pixart, PIXART),
    "PixArtSigmaPipeline": Row(kits.pixart, PIXART),
    "PixArtSigmaPAGPipeline": Row(kits.pixart, {**PIXART, "pag_scale": 2.0, "pag_adaptive_scale": 0.0}),
    "StableDiffusion3Pipeline": Row(SD3, SMALL),
    "StableDiffusion3Img2ImgPipeline": Row(SD3, {**SMALL, **FROM}),
    "StableDiffusion3InpaintPipeline": Row(SD3_16, {**SMALL, **PAINT}),
    "StableDiffusion3PAGPipeline": Row(SD3, {**SMALL, "pag_scale": 2.0}),
    "StableDiffusion3PAGImg2ImgPipeline": Row(SD3, {**SHORT, **FROM, "pag_scale": 2.0}),
    "FluxPipeline": Row(FLUX, SMALL, **TRUE),
    "FluxImg2ImgPipeline": Row(FLUX, {**SMALL, **FROM}, **TRUE),
    "FluxInpaintPipeline": Row(FLUX, {**SMALL, **PAINT}, **TRUE),
    "FluxControlPipeline": Row(partial(FLUX, in_channels=32, out_channels=16), {**SMALL, **CONTROL}, **NONE),
    "FluxControlImg2ImgPipeline": Row(
        partial(FLUX, in_channels=32, out_channels=16), {**SMALL, **FROM, **CONTROL}, **NONE
    ),
    "FluxControlInpaintPipeline": Row(
        partial(FLUX, in_channels=32, out_channels=16), {**SMALL, **PAINT, **CONTROL}, **NONE
    ),
    "FluxKontextPipeline": Row(FLUX, {**SMALL, "image": image(), "max_area": 256, "_auto_resize": False}, **TRUE),
    "FluxKontextInpaintPipeline": Row(FLUX, {**SMALL, **PAINT, "max_area": 256, "_auto_resize": False}, **TRUE),
    "FluxFillPipeline": Row(
        partial(FLUX, in_channels=16 + 16 + 16, out_channels=16),
        {**SMALL, "image": image(), "mask_image": mask()},
        **NONE,
    ),
    "Flux2Pipeline": Row(FLUX2, {**SMALL, **LAYERS}, **NONE),
    "Flux2KleinPipeline": Row(FLUX2, {**SMALL, **LAYERS}),
    "Flux2KleinInpaintPipeline": Row(FLUX2, {**SMALL, **LAYERS, **PAINT}),
    "Flux2KleinKVPipeline": Row(FLUX2, {**SMALL, **LAYERS}, **NONE),
    "ChromaPipeline": Row(CHROMA, SMALL),
    "ChromaImg2ImgPipeline": Row(CHROMA, {**SMALL, **FROM}),
    "SanaPipeline": Row(kits.sana, SANA),
    "SanaPAGPipeline": Row(kits.sana, {**SANA, "pag_scale": 2.0}),
    "LuminaPipeline": Row(
        partial(kits.reads, "lumina", text_encoder=parts.gemma, tokenizer=parts.fast_tokenizer),
        {**S64, "clean_caption": False},
    ),
    "Lumina2Pipeline": Row(
        partial(kits.reads, "lumina2", text_encoder=parts.gemma, tokenizer=parts.fast_tokenizer),
        {**S64, "system_prompt": "Say", "max_sequence_length": 40},
    ),
    "HunyuanDiTPipeline": Row(HUNYUAN, {**S16, "use_resolution_binning": False}),
    "HunyuanDiTPAGPipeline": Row(HUNYUAN, {**S16, "use_resolution_binning": False, "pag_scale": 2.0}, off=None),
    "CogView3PlusPipeline": Row(partial(kits.t5, "cogview3", scheduler=kits.ddim), {**SMALL}),
    "CogView4Pipeline": Row(partial(kits.reads, "cogview4", scheduler=kits.shifting), {**S32, **SHORT}),
    "AuraFlowPipeline": Row(partial(kits.t5, "aura"), SMALL),
    "QwenImagePipeline": Row(QWEN, S32, **TRUE),
    "QwenImageImg2ImgPipeline": Row(QWEN, {**S32, **FROM32}, **TRUE),
    "QwenImageInpaintPipeline": Row(QWEN, {**S32, **PAINT32}, **TRUE),
    "ZImagePipeline": Row(Z, S32),
    "ZImageImg2ImgPipeline": Row(Z, {**S32, **FROM32}),
    "ZImageInpaintPipeline": Row(Z, {**S32, **PAINT32}),
    "BriaPipeline": Row(partial(kits.t5, "bria"), SMALL),
    "BriaFiboPipeline": Row(partial(kits.reads, "bria-fibo", vae=kits.wan_vae), {**S64, **SHORT}),
    "HiDreamImagePipeline": Row(
        partial(
            kits.reads,
            "hidream",
            text_encoder=partial(parts.clip_text, projection=True),
            tokenizer=parts.clip_tokenizer,
            text_encoder_2=partial(parts.clip_text, projection=True),
            tokenizer_2=parts.clip_tokenizer,
            text_encoder_3=parts.t5,
            tokenizer_3=parts.fast_tokenizer,
            text_encoder_4=Reader,
            tokenizer_4=chat_tokenizer,
        ),
        SMALL,
    ),
    "LongCatImagePipeline": Row(
        partial(kits.reads, "longcat", scheduler=kits.shifting, vae=partial(parts.vae, 16, shift_factor=0.0)),
        {**S16, "enable_prompt_rewrite": False},
    ),
    "Krea2Pipeline": Row(
        partial(kits.reads, "krea2", vae=kits.qwen_vae, scheduler=kits.shifting),
        {**S32, "max_sequence_length": 300},
        parts={"text_encoder_select_layers": lambda: (1, 2)},
    ),
    "HunyuanImagePipeline": Row(
        partial(
            kits.reads,
            "hunyuan-image",
            vae=kits.hunyuan_image_vae,
            text_encoder_2=parts.t5,
            tokenizer_2=parts.fast_tokenizer,
            guider=partial(guider, "AdaptiveProjectedMixGuidance"),
        ),
        S16,
        **NONE,
    ),
    "Kandinsky5T2IPipeline": Row(
        partial(
            kits.reads,
            "kandinsky5",
            vae=partial(parts.vae, shift_factor=0.0),
            text_encoder_2=parts.clip_text,
            tokenizer_2=parts.clip_tokenizer,
        ),
        SMALL,
    ),
    "SanaSprintPipeline": Row(
        lambda: kits.sana() | {"transformer": network("sana", guidance_embeds=True), "scheduler": scm()},
        {**SANA, "intermediate_timesteps": None},
        **NONE,
    ),
    "SanaSprintImg2ImgPipeline": Row(
        lambda: kits.sana() | {"transformer": network("sana", guidance_embeds=True), "scheduler": scm()},
        {**SANA, **FROM32, "intermediate_timesteps": None},
        **NONE,
    ),
    "StableDiffusion3ControlNetPipeline": Row(
        lambda: SD3() | {"controlnet": beside("SD3ControlNetModel", "sd3", num_layers=1)}, {**SMALL, **CONTROL}
    ),
    "FluxControlNetPipeline": Row(
        lambda: FLUX() | {"controlnet": beside("FluxControlNetModel", "flux", num_layers=1, num_single_layers=1)},
        {**SMALL, **CONTROL},
        **TRUE,
    ),
    "FluxControlNetImg2ImgPipeline": Row(
        lambda: FLUX() | {"controlnet": beside("FluxControlNetModel", "flux", num_layers=1, num_single_layers=1)},
        {**SMALL, **FROM, **CONTROL},
        **NONE,
    ),
    "FluxControlNetInpaintPipeline": Row(
        lambda: FLUX() | {"controlnet": beside("FluxControlNetModel", "flux", num_layers=1, num_single_layers=1)},
        {**SMALL, **PAINT, **CONTROL},
        **NONE,
    ),
    "HunyuanDiTControlNetPipeline": Row(
        lambda: (
            HUNYUAN()
            | {
                "controlnet": beside(
                    "HunyuanDiT2DControlNetModel", "hunyuan-dit", "num_layers", transformer_num_layers=4
                )
            }
        ),
        {**S16, **CONTROL, "use_resolution_binning": False},
    ),
    "SanaControlNetPipeline": Row(
        lambda: kits.sana() | {"controlnet": beside("SanaControlNetModel", "sana", num_layers=1)},
        {**SANA, "control_image": image(32)},
    ),
    "QwenImageControlNetPipeline": Row(
        lambda: QWEN() | {"controlnet": beside("QwenImageControlNetModel", "qwen", num_layers=1)},
        {**S32, "control_image": image(32)},
        **TRUE,
    ),
    "CogView4ControlPipeline": Row(
        lambda: (
            kits.reads("cogview4", scheduler=kits.shifting)
            | {"transformer": network("cogview4", in_channels=8, out_channels=4)}
        ),
        {**S32, **SHORT, "control_image": image(32)},
    ),
    "OvisImagePipeline": Row(partial(kits.reads, "ovis", scheduler=kits.shifting), S16),
}
