"""Rows of the survey that draw videos."""

from __future__ import annotations

from functools import partial
from typing import Any

from unit.models.families import kits, parts
from unit.models.families.checks import Row
from unit.models.families.encoders import Reader
from unit.models.families.kits import image, scheduler
from unit.models.families.kits_videos import animated, autoencoder, cogvideo, cosmos, hunyuan, ltx, unet_3d, wan
from unit.models.families.networks import network

S16: dict[str, Any] = {"height": 16, "width": 16}
S32: dict[str, Any] = {"height": 32, "width": 32}
S64: dict[str, Any] = {"height": 64, "width": 64}
SHORT = {"max_sequence_length": 24}
NONE: dict[str, Any] = {"on": {}, "off": None}
TRUE: dict[str, Any] = {"on": {"true_cfg_scale": 4.0}, "off": {"true_cfg_scale": 1.0}}
VIDEO = [image(32, seed=seed) for seed in range(9)]
HUNYUAN = {**S16, "num_frames": 9, **SHORT, "prompt_template": {"template": "{}", "crop_start": 0}}
FRAMES = {"num_frames": 2}
ROWS: dict[str, Row] = {
    "WanPipeline": Row(wan, {**S32, "num_frames": 5, **SHORT}),
    "WanImageToVideoPipeline": Row(
        partial(wan, in_channels=4 + 4 + 4), {**S32, "num_frames": 5, **SHORT, "image": image(32)}, single=True
    ),
    "WanVideoToVideoPipeline": Row(
        lambda: (
            wan()
            | {
                "scheduler": scheduler(
                    "UniPCMultistepScheduler", use_flow_sigmas=True, prediction_type="flow_prediction"
                )
            }
        ),
        {**S32, **SHORT, "video": VIDEO, "strength": 1.0},
    ),
    "SkyReelsV2Pipeline": Row(
        lambda: (
            wan("skyreels")
            | {
                "scheduler": scheduler(
                    "UniPCMultistepScheduler", use_flow_sigmas=True, prediction_type="flow_prediction"
                )
            }
        ),
        {**S32, "num_frames": 5, **SHORT},
    ),
    "LTXPipeline": Row(ltx, {**S32, **FRAMES, "num_frames": 9, **SHORT}),
    "LTXImageToVideoPipeline": Row(ltx, {**S32, "num_frames": 9, **SHORT, "image": image(32)}, each=("image",)),
    "CogVideoXPipeline": Row(cogvideo, {**S32, "num_frames": 9, "max_sequence_length": 16}),
    "CogVideoXVideoToVideoPipeline": Row(
        cogvideo, {**S32, "max_sequence_length": 16, "video": VIDEO, "strength": 1.0}, single=True
    ),
    "CogVideoXImageToVideoPipeline": Row(
        partial(cogvideo, 8), {**S32, "num_frames": 9, "max_sequence_length": 16, "image": image(32)}, single=True
    ),
    "CogVideoXFunControlPipeline": Row(
        partial(cogvideo, 8), {**S32, "max_sequence_length": 16, "control_video": VIDEO}, single=True
    ),
    "HunyuanVideoPipeline": Row(hunyuan, HUNYUAN, **TRUE),
    "MochiPipeline": Row(
        partial(
            kits.t5,
            "mochi",
            vae=partial(
                autoencoder,
                "AutoencoderKLMochi",
                latent_channels=12,
                encoder_block_out_channels=(32, 32, 32, 32),
                decoder_block_out_channels=(32, 32, 32, 32),
                layers_per_block=(1, 1, 1, 1, 1),
            ),
        ),
        {**S64, "num_frames": 7, **SHORT},
    ),
    "AllegroPipeline": Row(
        partial(
            kits.t5,
            "allegro",
            scheduler=kits.ddim,
            vae=partial(
                autoencoder,
                "AutoencoderKLAllegro",
                block_out_channels=(8, 8, 8, 8),
                latent_channels=4,
                layers_per_block=1,
                norm_num_groups=2,
                temporal_compression_ratio=4,
            ),
        ),
        {**S64, "num_frames": 8, **SHORT, "clean_caption": False},
    ),
    "LattePipeline": Row(
        partial(kits.t5, "latte", scheduler=kits.ddim),
        {**S16, "video_length": 2, "clean_caption": False, "mask_feature": False},
    ),
    # Its scheduler steps once for each branch.
    "CosmosTextToWorldPipeline": Row(cosmos, {**S64, "num_frames": 9, **SHORT}, windows=False),
    "Cosmos2TextToImagePipeline": Row(
        lambda: cosmos() | {"scheduler": kits.flow(use_karras_sigmas=True), "vae": kits.wan_vae()}, {**S64, **SHORT}
    ),
    "Kandinsky5T2VPipeline": Row(
        lambda: hunyuan() | {"transformer": network("kandinsky5"), "text_encoder": Reader()},
        {**S32, "num_frames": 5, **SHORT},
    ),
    "SanaVideoPipeline": Row(
        partial(kits.reads, "sana-video", vae=kits.wan_vae, text_encoder=parts.gemma, tokenizer=parts.fast_tokenizer),
        {**S32, "frames": 5, **SHORT, "use_resolution_binning": False, "complex_human_instruction": ["Say:"]},
    ),
    "AnimateDiffPipeline": Row(partial(animated, kits.sd), FRAMES),
    "AnimateDiffPAGPipeline": Row(partial(animated, kits.sd), {**FRAMES, "pag_scale": 2.0}),
    "AnimateDiffSDXLPipeline": Row(partial(animated, kits.sdxl, use_motion_mid_block=False), {**FRAMES, **S16}),
    "AnimateDiffVideoToVideoPipeline": Row(
        partial(animated, kits.sd), {"video": [image(16, seed=seed) for seed in range(2)], "strength": 1.0}, single=True
    ),
    "AnimateDiffControlNetPipeline": Row(
        lambda: (found := animated(kits.sd)) | {"controlnet": kits.controlnet(found["unet"])},
        {**FRAMES, "conditioning_frames": [image(16, seed=seed) for seed in range(2)]},
        single=True,
    ),
    "AnimateDiffVideoToVideoControlNetPipeline": Row(
        lambda: (found := animated(kits.sd)) | {"controlnet": kits.controlnet(found["unet"])},
        {
            "video": [image(16, seed=seed) for seed in range(2)],
            "conditioning_frames": [image(16, seed=seed) for seed in range(2)],
            "strength": 1.0,
        },
        single=True,
    ),
    "PIAPipeline": Row(partial(animated, kits.sd, conv_in_channels=9), {**FRAMES, "image": image()}),
    "TextToVideoSDPipeline": Row(unet_3d, {**FRAMES, **S16}),
    "VideoToVideoSDPipeline": Row(
        unet_3d, {"video": [image(16, seed=seed) for seed in range(2)], "strength": 1.0}, single=True
    ),
}
