"""The judges of the emoji world: two small networks that share nothing with the generators, nor with each other.

Directions and probes are fitted to what the first one sees. Nothing is ever fitted to the held-out one, so its figures
tell whether an effect is there for anyone but the first.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from PIL import Image
from safetensors import SafetensorError, safe_open
from torch import Tensor

from directrix.errors import ModelError
from directrix.measurement.judges import emoji_vocabulary as words
from directrix.measurement.judges.base import ChanceJudge, batches
from directrix.measurement.judges.emoji_network import HEADS, JudgeNetwork
from directrix.measurement.judges.emoji_strided_network import StridedNetwork
from directrix.models import embedded
from directrix.models.fingerprint import weights_fingerprint

SIZE = 64
BATCH = 64
ITEM_CATEGORY = "item category"
# What a file says under "network"; one that says nothing is of version 0.1.
RESIDUAL, STRIDED = "residual", "strided"
NETWORKS: Mapping[str, type[JudgeNetwork | StridedNetwork]] = {RESIDUAL: JudgeNetwork, STRIDED: StridedNetwork}
# Of a network; more is no judge of this package.
WIDEST = 1024


class EmojiJudge(ChanceJudge):
    """Judges subject, gender, tone, item, item category, setting and style of images of the emoji world.

    An image of any size is reduced to 64 x 64 pixels first. Non-people have gender and tone "none".
    """

    name = "emoji judge"
    # It judges any image, but has seen no other model's.
    WORLD = "the embedded models"
    SHIPPED: tuple[str, Callable[[], Path]] = ("emoji", embedded.judge_path)

    def __init__(
        self, network: JudgeNetwork | StridedNetwork, heads: Mapping[str, Sequence[str]], *, checkpoint: str = ""
    ) -> None:
        self.network = network.eval()
        self.heads = heads
        self.checkpoint = checkpoint
        self.labels = {**heads, ITEM_CATEGORY: words.ITEM_CATEGORIES}

    @classmethod
    def load(cls, path: Path | None = None) -> Self:
        """Load the shipped judge, or one trained elsewhere; ModelError where the file is missing or no judge."""
        name, shipped = cls.SHIPPED
        checkpoint = str(path or name)
        path = path or shipped()
        try:
            with safe_open(path, framework="pt") as file:
                metadata = file.metadata() or {}
                if "judge" not in metadata:
                    raise ValueError("it does not say which network it holds")
                settings = json.loads(metadata["judge"])
                state = {name: file.get_tensor(name).float() for name in file.keys()}  # noqa: SIM118
            heads = {head: tuple(names) for head, names in settings["heads"].items()}
            if heads != HEADS:
                raise ValueError("its labels are not those of this version's world")
            network = _network(settings)
            network.load_state_dict(state)
        except (OSError, SafetensorError, LookupError, ValueError, TypeError, AttributeError, RuntimeError) as error:
            # torch lists every tensor that does not fit.
            unfit = isinstance(error, RuntimeError)
            raise ModelError(
                f"'{path}' is no emoji judge: "
                f"{'its tensors are not those of the network it names' if unfit else error}.",
                "the file judge.safetensors or judge-held-out.safetensors that 'directrix world train' writes.",
                "reinstall the package, or name another file.",
            ) from error
        return cls(network, heads, checkpoint=checkpoint)

    @cached_property
    def _weights(self) -> str:
        return weights_fingerprint(self.network)

    def phrases_naming(self, attribute: str, label: str) -> tuple[str, ...]:
        """The words and phrases that name a label."""
        return words.naming(attribute, label)

    @property
    def config(self) -> Mapping[str, Any]:
        """Where the network came from, the hash of its weights, its labels by attribute, and when it is sure."""
        return {
            "judge": self.name,
            "checkpoint": self.checkpoint,
            "weights": self._weights,
            "classes": {name: list(labels) for name, labels in self.labels.items()},
            "sure": self.sure,
        }

    def chances(self, images: Sequence[Image.Image]) -> dict[str, Tensor]:
        scores = [self.scores(each) for each in batches(images, BATCH)]
        chances = {head: torch.cat([each[head].softmax(dim=1) for each in scores]) for head in self.heads}
        categories = [words.ITEM_CATEGORY[name] for name in self.heads["item"]]
        of_category = [
            chances["item"][:, [i for i, each in enumerate(categories) if each == category]].sum(dim=1)
            for category in words.ITEM_CATEGORIES
        ]
        return {**chances, ITEM_CATEGORY: torch.stack(of_category, dim=1)}

    @torch.no_grad()
    def scores(self, images: Sequence[Image.Image]) -> dict[str, Tensor]:
        """Scores before softmax, (N, classes) by head."""
        return self.network(pixels(images))

    @torch.no_grad()
    def features(self, images: Sequence[Image.Image]) -> Tensor:
        """Features (N, D) for distances between sets of images."""
        return self.network.features(pixels(images))


class HeldOutEmojiJudge(EmojiJudge):
    """The held-out judge: the same labels from another network, which learned from other renders of the same world.

    Fitting and calibrating refuse it (see `base.for_fitting`).
    """

    name = "held-out emoji judge"
    held_out = True
    SHIPPED = ("emoji-held-out", embedded.second_judge_path)


def _network(settings: Mapping[str, Any]) -> JudgeNetwork | StridedNetwork:
    """The network that a file's settings name, with no weights of its own yet."""
    kind, channels = settings.get("network", RESIDUAL), tuple(settings["channels"])
    if kind not in NETWORKS:
        raise ValueError(f"this version has no network '{kind}'")
    if len(channels) != 4 or not all(isinstance(each, int) and 1 <= each <= WIDEST for each in channels):
        raise ValueError(f"its channels are not four numbers in 1..{WIDEST}")
    return NETWORKS[kind](channels)


def pixels(images: Sequence[Image.Image]) -> Tensor:
    """Images as float32 (N, 3, 64, 64) in -1..1."""
    resized = [
        image.convert("RGB") if image.size == (SIZE, SIZE) else image.convert("RGB").resize((SIZE, SIZE))
        for image in images
    ]
    stacked = torch.from_numpy(np.stack([np.asarray(image, dtype=np.uint8) for image in resized]))
    return stacked.permute(0, 3, 1, 2).float() / 127.5 - 1.0
