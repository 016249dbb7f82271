"""Parts that tiny random pipelines are made of; all of them are built in memory."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
import torch

LENGTH = 48
DENOISERS = ("unet", "transformer", "transformer_2", "unconditional_transformer", "prior", "prior_prior")
# The oldest supported diffusers has no true guidance of the one, and not the other.
NEWER = ("FluxPipeline", "QwenImagePipeline")


def symbols() -> list[str]:
    """The 256 printable symbols that byte-level BPE writes bytes as."""
    from tokenizers.pre_tokenizers import ByteLevel

    return sorted(ByteLevel.alphabet())


def clip_tokenizer() -> Any:
    """A CLIP tokenizer that spells every word byte by byte."""
    import json

    from transformers import CLIPTokenizer

    tokens = [*symbols(), *(each + "</w>" for each in symbols()), "<|startoftext|>", "<|endoftext|>"]
    with tempfile.TemporaryDirectory() as folder:
        vocabulary, merges = Path(folder) / "vocab.json", Path(folder) / "merges.txt"
        vocabulary.write_text(json.dumps({token: index for index, token in enumerate(tokens)}))
        merges.write_text("#version: 0.2\n")
        return CLIPTokenizer(str(vocabulary), str(merges), model_max_length=LENGTH)


def fast_tokenizer() -> Any:
    """A tokenizer as T5 and Gemma have them: bytes, an end mark, padding."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    tokens = ["<pad>", "</s>", "<unk>", *symbols()]
    inner = Tokenizer(models.BPE({token: index for index, token in enumerate(tokens)}, [], unk_token="<unk>"))
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    return PreTrainedTokenizerFast(
        tokenizer_object=inner,
        pad_token="<pad>",
        eos_token="</s>",
        unk_token="<unk>",
        model_max_length=LENGTH,
        model_input_names=["input_ids", "attention_mask"],
    )


def clip_text(projection: bool = False, width: int = 32, length: int = LENGTH) -> Any:
    """A CLIP text encoder of this width, with its pooled output projected to 16 features or not."""
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

    config = CLIPTextConfig(
        vocab_size=514,
        hidden_size=width,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=length,
        projection_dim=16,
        bos_token_id=512,
        eos_token_id=513,
        pad_token_id=513,
    )
    return (CLIPTextModelWithProjection if projection else CLIPTextModel)(config).eval()


def t5(width: int = 16) -> Any:
    """A T5 encoder of this width."""
    from transformers import T5Config, T5EncoderModel

    config = T5Config(vocab_size=259, d_model=width, d_kv=8, d_ff=16, num_layers=2, num_heads=2)
    return T5EncoderModel(config).eval()


def gemma(width: int = 16) -> Any:
    """A Gemma 2 decoder of this width, used as a text encoder."""
    from transformers import Gemma2Config, Gemma2Model

    config = Gemma2Config(
        vocab_size=259,
        hidden_size=width,
        intermediate_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=8,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=1,
    )
    return Gemma2Model(config).eval()


def vae(channels: int = 4, blocks: int = 2, **options: Any) -> Any:
    """An autoencoder of this many latent channels that halves the size blocks - 1 times."""
    from diffusers import AutoencoderKL

    return AutoencoderKL(
        block_out_channels=(4,) * blocks,
        down_block_types=("DownEncoderBlock2D",) * blocks,
        up_block_types=("UpDecoderBlock2D",) * blocks,
        latent_channels=channels,
        norm_num_groups=2,
        sample_size=16,
        **options,
    ).eval()


def ready(pipeline: Any) -> Any:
    """The pipeline in eval mode and without bars, its denoiser's weights far enough from zero to have an effect."""
    networks = [getattr(pipeline, name, None) for name in DENOISERS]
    with torch.no_grad():
        # Gates and tables start at zero in some families, where no block would matter.
        for network in filter(None, networks):
            for weight in network.eval().parameters():
                if float(weight.abs().max()) == 0 or weight.ndim == 0:
                    weight.normal_(std=0.3)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def is_newest() -> bool:
    """Whether diffusers is the newest supported one or later, which has every family: nothing may be skipped there."""
    import diffusers

    return tuple(map(int, diffusers.__version__.split(".")[:2])) >= (0, 42)


def families(names: Iterable[str]) -> list[Any]:
    """Parameters of a test, by class of pipeline; those that an older diffusers lacks, or has otherwise, skip there."""
    newer = pytest.mark.skipif(not is_newest(), reason="this family is of a newer diffusers")
    return [pytest.param(name, marks=newer if name in NEWER else ()) for name in names]
