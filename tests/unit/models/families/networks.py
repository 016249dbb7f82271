"""Configurations of tiny denoisers: class and sizes, by a short name."""

from __future__ import annotations

from typing import Any

import torch

HEADS = {"num_attention_heads": 2, "attention_head_dim": 8}
FLUX_ROPE = {"axes_dims_rope": (2, 2, 4)}
SIZES: dict[str, tuple[str, dict[str, Any]]] = {
    "pixart": (
        "PixArtTransformer2DModel",
        dict(HEADS, in_channels=4, out_channels=8, num_layers=3, cross_attention_dim=16, sample_size=8)
        | {"caption_channels": 16, "use_additional_conditions": False},
    ),
    "sd3": (
        "SD3Transformer2DModel",
        dict(HEADS, sample_size=8, patch_size=2, in_channels=4, num_layers=3, joint_attention_dim=32)
        | {"caption_projection_dim": 16, "pooled_projection_dim": 32, "out_channels": 4, "pos_embed_max_size": 8},
    ),
    "flux": (
        "FluxTransformer2DModel",
        dict(HEADS, in_channels=16, num_layers=2, num_single_layers=2, joint_attention_dim=16, **FLUX_ROPE)
        | {"pooled_projection_dim": 32, "guidance_embeds": True},
    ),
    "flux2": (
        "Flux2Transformer2DModel",
        dict(HEADS, in_channels=16, num_layers=3, num_single_layers=1, joint_attention_dim=16, guidance_embeds=True)
        | {"axes_dims_rope": (2, 2, 2, 2), "timestep_guidance_channels": 16},
    ),
    "sana": (
        "SanaTransformer2DModel",
        dict(HEADS, in_channels=4, out_channels=4, num_layers=3, num_cross_attention_heads=2, cross_attention_dim=16)
        | {"cross_attention_head_dim": 8, "caption_channels": 16, "sample_size": 8},
    ),
    "lumina": (
        "LuminaNextDiT2DModel",
        dict(sample_size=8, patch_size=2, in_channels=4, hidden_size=32, num_layers=3, num_attention_heads=2)
        | {"num_kv_heads": 1, "multiple_of": 8, "cross_attention_dim": 16},
    ),
    "lumina2": (
        "Lumina2Transformer2DModel",
        dict(sample_size=8, in_channels=4, hidden_size=24, num_layers=3, num_refiner_layers=1, num_attention_heads=2)
        | {"num_kv_heads": 1, "multiple_of": 8, "axes_dim_rope": (4, 4, 4), "axes_lens": (64, 16, 16)}
        | {"cap_feat_dim": 16},
    ),
    "hunyuan-dit": (
        "HunyuanDiT2DModel",
        dict(HEADS, sample_size=8, in_channels=4, patch_size=2, hidden_size=16, num_layers=4, cross_attention_dim=16)
        | {"cross_attention_dim_t5": 16, "pooled_projection_dim": 16},
    ),
    "cogview3": (
        "CogView3PlusTransformer2DModel",
        dict(HEADS, in_channels=4, out_channels=4, num_layers=3, text_embed_dim=16, time_embed_dim=8)
        | {"condition_dim": 4, "pos_embed_max_size": 8, "sample_size": 8},
    ),
    "cogview4": (
        "CogView4Transformer2DModel",
        dict(HEADS, in_channels=4, out_channels=4, num_layers=3, text_embed_dim=16, time_embed_dim=8)
        | {"condition_dim": 4, "pos_embed_max_size": 8, "sample_size": 8},
    ),
    "aura": (
        "AuraFlowTransformer2DModel",
        dict(HEADS, sample_size=8, in_channels=4, num_mmdit_layers=3, num_single_dit_layers=1, joint_attention_dim=16)
        | {"caption_projection_dim": 16, "pos_embed_max_size": 64},
    ),
    "qwen": (
        "QwenImageTransformer2DModel",
        dict(HEADS, in_channels=16, out_channels=4, num_layers=3, joint_attention_dim=16, **FLUX_ROPE),
    ),
    "z-image": (
        "ZImageTransformer2DModel",
        dict(in_channels=4, dim=16, n_layers=3, n_refiner_layers=1, n_heads=2, n_kv_heads=2, cap_feat_dim=16)
        | {"axes_dims": [2, 2, 4], "axes_lens": [512, 32, 32]},
    ),
    "chroma": (
        "ChromaTransformer2DModel",
        dict(HEADS, in_channels=16, num_layers=3, num_single_layers=1, joint_attention_dim=16, **FLUX_ROPE)
        | {"approximator_num_channels": 16, "approximator_hidden_dim": 16, "approximator_layers": 1},
    ),
    "bria": (
        "BriaTransformer2DModel",
        dict(
            HEADS, in_channels=16, num_layers=3, num_single_layers=1, joint_attention_dim=16, axes_dims_rope=[0, 4, 4]
        ),
    ),
    "bria-fibo": (
        "BriaFiboTransformer2DModel",
        dict(HEADS, in_channels=4, num_layers=3, num_single_layers=1, joint_attention_dim=32, axes_dims_rope=[0, 4, 4])
        | {"text_encoder_dim": 16},
    ),
    "ovis": (
        "OvisImageTransformer2DModel",
        dict(HEADS, in_channels=16, out_channels=16, num_layers=3, num_single_layers=1, joint_attention_dim=16)
        | FLUX_ROPE,
    ),
    "longcat": (
        "LongCatImageTransformer2DModel",
        dict(HEADS, in_channels=64, num_layers=3, num_single_layers=1, joint_attention_dim=16, **FLUX_ROPE)
        | {"pooled_projection_dim": 16},
    ),
    "wan": (
        "WanTransformer3DModel",
        dict(HEADS, in_channels=4, out_channels=4, text_dim=16, freq_dim=16, ffn_dim=16, num_layers=3)
        | {"rope_max_seq_len": 32},
    ),
    "skyreels": (
        "SkyReelsV2Transformer3DModel",
        dict(HEADS, in_channels=4, out_channels=4, text_dim=16, freq_dim=16, ffn_dim=16, num_layers=3)
        | {"rope_max_seq_len": 32},
    ),
    "ltx": (
        "LTXVideoTransformer3DModel",
        dict(HEADS, in_channels=4, out_channels=4, cross_attention_dim=16, num_layers=3, caption_channels=16),
    ),
    "cogvideo": (
        "CogVideoXTransformer3DModel",
        dict(HEADS, in_channels=4, out_channels=4, time_embed_dim=8, text_embed_dim=16, num_layers=3, sample_width=4)
        | {"sample_height": 4, "sample_frames": 9, "max_text_seq_length": 16},
    ),
    "hunyuan-video": (
        "HunyuanVideoTransformer3DModel",
        dict(HEADS, in_channels=4, out_channels=4, num_layers=3, num_single_layers=1, num_refiner_layers=1)
        | {"text_embed_dim": 16, "pooled_projection_dim": 32, "rope_axes_dim": (2, 2, 4)},
    ),
    "mochi": (
        "MochiTransformer3DModel",
        dict(HEADS, num_layers=3, pooled_projection_dim=16, in_channels=12, text_embed_dim=16, time_embed_dim=8)
        | {"max_sequence_length": 16},
    ),
    "allegro": (
        "AllegroTransformer3DModel",
        dict(num_attention_heads=2, attention_head_dim=24, in_channels=4, out_channels=4, num_layers=3)
        | {"cross_attention_dim": 48, "sample_width": 8, "sample_height": 8, "sample_frames": 8}
        | {"caption_channels": 16},
    ),
    "latte": (
        "LatteTransformer3DModel",
        dict(HEADS, sample_size=8, num_layers=3, patch_size=2, caption_channels=16, in_channels=4, out_channels=8)
        | {"cross_attention_dim": 16, "video_length": 2, "norm_type": "ada_norm_single", "num_embeds_ada_norm": 1000}
        | {"attention_bias": True, "activation_fn": "gelu-approximate", "norm_elementwise_affine": False},
    ),
    "cosmos": (
        "CosmosTransformer3DModel",
        dict(in_channels=4, out_channels=4, num_attention_heads=2, attention_head_dim=16, num_layers=3)
        | {"text_embed_dim": 16, "adaln_lora_dim": 4, "max_size": (4, 32, 32), "mlp_ratio": 2},
    ),
    "hidream": (
        "HiDreamImageTransformer2DModel",
        dict(HEADS, patch_size=2, in_channels=4, out_channels=4, num_layers=3, num_single_layers=1, text_emb_dim=32)
        | {"caption_channels": [16, 16], "axes_dims_rope": (4, 2, 2), "max_resolution": (8, 8)}
        | {"llama_layers": [0, 1, 2, 3], "num_routed_experts": 4, "num_activated_experts": 2},
    ),
    "kandinsky5": (
        "Kandinsky5Transformer3DModel",
        dict(in_visual_dim=4, in_text_dim=16, in_text_dim2=32, time_dim=16, out_visual_dim=4, model_dim=16, ff_dim=16)
        | {"patch_size": (1, 2, 2), "num_text_blocks": 1, "num_visual_blocks": 3, "axes_dims": (2, 2, 4)},
    ),
    "hunyuan-image": (
        "HunyuanImageTransformer2DModel",
        dict(HEADS, in_channels=4, out_channels=4, num_layers=3, num_single_layers=1, num_refiner_layers=1)
        | {"patch_size": (1, 1), "text_embed_dim": 16, "text_embed_2_dim": 16, "rope_axes_dim": (4, 4)},
    ),
    "amused": (
        "UVit2DModel",
        dict(hidden_size=8, cond_embed_dim=32, micro_cond_encode_dim=2, micro_cond_embed_dim=10, vocab_size=32)
        | {"encoder_hidden_size": 32, "codebook_size": 32, "in_channels": 8, "block_out_channels": 8}
        | {"num_res_blocks": 1, "downsample": True, "upsample": True, "block_num_heads": 1, "num_hidden_layers": 1}
        | {"num_attention_heads": 1, "intermediate_size": 16},
    ),
    "krea2": (
        "Krea2Transformer2DModel",
        dict(in_channels=16, num_layers=3, attention_head_dim=8, num_attention_heads=2, num_key_value_heads=1)
        | {"intermediate_size": 16, "timestep_embed_dim": 8, "text_hidden_dim": 16, "num_text_layers": 2}
        | {"text_num_attention_heads": 2, "text_num_key_value_heads": 2, "text_intermediate_size": 16}
        | {"num_layerwise_text_blocks": 1, "num_refiner_text_blocks": 1, "axes_dims_rope": (2, 2, 4)},
    ),
    "sana-video": (
        "SanaVideoTransformer3DModel",
        dict(HEADS, in_channels=4, out_channels=4, num_layers=3, num_cross_attention_heads=2, cross_attention_dim=16)
        | {"cross_attention_head_dim": 8, "caption_channels": 16, "sample_size": 8, "rope_max_seq_len": 32},
    ),
    "anyflow": (
        "AnyFlowTransformer3DModel",
        dict(HEADS, in_channels=4, out_channels=4, text_dim=16, freq_dim=16, ffn_dim=16, num_layers=3)
        | {"rope_max_seq_len": 32},
    ),
    "ernie": (
        "ErnieImageTransformer2DModel",
        dict(hidden_size=16, num_attention_heads=2, num_layers=3, ffn_hidden_size=16, in_channels=16, out_channels=16)
        | {"text_in_dim": 16, "rope_axes_dim": (2, 2, 4)},
    ),
    "motif": (
        "MotifVideoTransformer3DModel",
        dict(HEADS, in_channels=9, out_channels=4, num_layers=3, num_single_layers=1, text_embed_dim=16)
        | {"rope_axes_dim": (2, 2, 4)},
    ),
    "easy": (
        "EasyAnimateTransformer3DModel",
        dict(num_attention_heads=2, attention_head_dim=16, in_channels=4, out_channels=4, patch_size=2, num_layers=3)
        | {"mmdit_layers": 3, "time_embed_dim": 8, "text_embed_dim": 16, "sample_width": 8, "sample_height": 8},
    ),
}


def network(name: str, **changes: Any) -> Any:
    """A tiny denoiser of random weights."""
    import diffusers

    cls, sizes = SIZES[name]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return getattr(diffusers, cls)(**{**sizes, **changes})
