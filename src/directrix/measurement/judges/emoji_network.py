"""The judge's network: a small residual convolutional network with one head an attribute."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from directrix.measurement.judges import emoji_vocabulary as words

# Classes of each head. "none" stands for an attribute that the subject does not have.
HEADS: dict[str, tuple[str, ...]] = {
    "subject": words.SUBJECTS,
    "gender": (*words.GENDERS, "none"),
    "tone": (*words.TONES, "none"),
    "item": words.ITEMS,
    "setting": words.SETTINGS,
    "style": words.STYLES,
}


class Block(nn.Module):
    """Two 3 x 3 convolutions with a shortcut; `stride` 2 halves the resolution."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.norm1 = nn.GroupNorm(8, inputs)
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1)
        self.norm2 = nn.GroupNorm(8, outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1)
        self.shortcut = nn.Conv2d(inputs, outputs, 1) if inputs != outputs or stride > 1 else nn.Identity()
        self.stride = stride

    def forward(self, hidden: Tensor) -> Tensor:
        out = self.conv1(functional.silu(self.norm1(hidden)))
        out = self.conv2(functional.silu(self.norm2(out)))
        short = functional.avg_pool2d(hidden, self.stride) if self.stride > 1 else hidden
        return out + self.shortcut(short)


class JudgeNetwork(nn.Module):
    """Pixels (N, 3, 64, 64) in -1..1 to scores (N, classes) by head."""

    def __init__(self, channels: tuple[int, ...] = (24, 48, 96, 128)) -> None:
        super().__init__()
        self.channels = channels
        self.stem = nn.Conv2d(3, channels[0], 5, stride=2, padding=2)
        widths = (channels[0], *channels)
        self.blocks = nn.ModuleList(
            nn.Sequential(Block(widths[i], widths[i + 1], 1 if i == 0 else 2), Block(widths[i + 1], widths[i + 1], 1))
            for i in range(len(channels))
        )
        self.norm = nn.GroupNorm(8, channels[-1])
        # Mean and maximum over space: the maximum retains what is small, such as an item in a hand.
        self.heads = nn.ModuleDict(
            {head.replace(" ", "_"): nn.Linear(2 * channels[-1], len(names)) for head, names in HEADS.items()}
        )

    def features(self, pixels: Tensor) -> Tensor:
        """Features (N, 2 * channels[-1]) before the heads."""
        hidden = self.stem(pixels)
        for block in self.blocks:
            hidden = block(hidden)
        hidden = functional.silu(self.norm(hidden))
        return torch.cat([hidden.mean(dim=(2, 3)), hidden.amax(dim=(2, 3))], dim=1)

    def forward(self, pixels: Tensor) -> dict[str, Tensor]:
        features = self.features(pixels)
        return {head: self.heads[head.replace(" ", "_")](features) for head in HEADS}
