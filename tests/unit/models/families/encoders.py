"""Stand-ins for language models that read prompts: a text state for each token, of any width and depth."""

from __future__ import annotations

from typing import Any

import torch

from unit.models.families import parts

TEMPLATE = (
    "{% set said = messages[-1].content %}{% if said is string %}{{ said }}{% else %}"
    "{% for part in said %}{{ part.text }}{% endfor %}{% endif %}"
)


class Reader(torch.nn.Module):
    """A language model's outputs: each token's state is its own embedding and the mean of those before it."""

    def __init__(self, width: int = 16, layers: int = 6) -> None:
        super().__init__()
        self.layers = layers
        self.embedding = torch.nn.Embedding(300, width)
        self.config = _Config(hidden_size=width, num_hidden_layers=layers, vocab_size=300)
        self.model = self.language_model = None

    @property
    def dtype(self) -> torch.dtype:
        return self.embedding.weight.dtype

    @property
    def device(self) -> torch.device:
        return self.embedding.weight.device

    def forward(self, input_ids: torch.Tensor, attention_mask: Any = None, **_: Any) -> Any:
        from transformers.modeling_outputs import BaseModelOutputWithPooling

        own = self.embedding(input_ids)
        before = own.cumsum(1) / torch.arange(1, own.shape[1] + 1, device=own.device)[None, :, None]
        states = tuple(own + layer * before for layer in range(self.layers + 1))
        return BaseModelOutputWithPooling(
            last_hidden_state=states[-1], pooler_output=states[-1].mean(1), hidden_states=states
        )


class _Config(dict):
    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(name) from None


def chat_tokenizer(length: int = 2048) -> Any:
    """A tokenizer of bytes with a template for conversations."""
    tokenizer = parts.fast_tokenizer()
    tokenizer.chat_template = TEMPLATE
    tokenizer.model_max_length = length
    return tokenizer


class Processor:
    """Prepares a prompt and pictures for a language model that sees: here it reads the prompt alone."""

    def __init__(self) -> None:
        self.tokenizer = chat_tokenizer()
        self.image_processor = _Config(merge_size=2, patch_size=2)

    def __call__(self, text: Any = None, images: Any = None, **options: Any) -> Any:
        del images
        known = ("padding", "truncation", "max_length", "return_tensors", "add_special_tokens")
        return self.tokenizer(text, **{name: each for name, each in options.items() if name in known})

    def apply_chat_template(self, messages: Any, **options: Any) -> Any:
        read = self.tokenizer.apply_chat_template(messages, **options)
        return [read] if options.get("tokenize") and not options.get("return_dict", True) else read

    def batch_decode(self, *args: Any, **options: Any) -> Any:
        return self.tokenizer.batch_decode(*args, **options)


def clip_vision(size: int = 16, width: int = 32, projection: int = 16) -> Any:
    """A CLIP image encoder."""
    from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

    config = CLIPVisionConfig(
        hidden_size=width,
        intermediate_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        image_size=size,
        patch_size=8,
        projection_dim=projection,
    )
    return CLIPVisionModelWithProjection(config).eval()


def clip_image_processor(size: int = 16) -> Any:
    """CLIP's image processor, the one that needs no torchvision."""
    import transformers

    cls = getattr(transformers, "CLIPImageProcessorPil", None) or transformers.CLIPImageProcessor
    return cls(size={"shortest_edge": size}, crop_size={"height": size, "width": size})
