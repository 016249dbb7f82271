"""The held-out judge's network: plain strided convolutions, and a look of its own at the image for every attribute."""

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from directrix.measurement.judges.emoji_network import HEADS


class Layer(nn.Module):
    """A convolution and a rectifier, for training with batch normalisation between them."""

    def __init__(self, conv: nn.Conv2d, normalised: bool) -> None:
        super().__init__()
        self.conv = conv
        self.norm = nn.BatchNorm2d(conv.out_channels) if normalised else nn.Identity()

    def forward(self, hidden: Tensor) -> Tensor:
        return self.norm(self.conv(hidden)).relu()


class StridedNetwork(nn.Module):
    """Pixels (N, 3, 64, 64) in -1..1 to scores (N, classes) by head, without shortcuts and without pooling.

    channels: widths at 32, 16, 8 and 4 pixels a side. `normalised` puts batch normalisation behind every convolution,
    for training alone; `folded` gives the same network without it.
    """

    def __init__(self, channels: tuple[int, ...] = (32, 64, 128, 256), *, normalised: bool = False) -> None:
        super().__init__()
        fine, middle, coarse, last = self.channels = channels
        shapes = (
            (12, fine, 3, 1),
            (fine, middle, 4, 2),
            (middle, middle, 3, 1),
            (middle, coarse, 4, 2),
            (coarse, coarse, 3, 1),
            (coarse, last, 3, 2),
        )
        self.patches = nn.PixelUnshuffle(2)
        self.layers = nn.ModuleList(
            Layer(nn.Conv2d(inputs, outputs, size, stride=stride, padding=1), normalised)
            for inputs, outputs, size, stride in shapes
        )
        # Where each head looks: a share of attention for each of the 4 x 4 places.
        self.looks = nn.Conv2d(last, len(HEADS), 1)
        self.heads = nn.ModuleDict({head: nn.Linear(last, len(names)) for head, names in HEADS.items()})

    def _looked(self, pixels: Tensor) -> Tensor:
        """What each head sees, (N, heads, channels[-1])."""
        hidden = self.patches(pixels)
        for layer in self.layers:
            hidden = layer(hidden)
        shares = self.looks(hidden).flatten(2).softmax(dim=2)
        return shares @ hidden.flatten(2).mT

    def features(self, pixels: Tensor) -> Tensor:
        """Features (N, channels[-1]): the mean of what the heads see."""
        return self._looked(pixels).mean(dim=1)

    def forward(self, pixels: Tensor) -> dict[str, Tensor]:
        looked = self._looked(pixels).unbind(dim=1)
        return {head: self.heads[head](seen) for head, seen in zip(HEADS, looked, strict=True)}

    @torch.no_grad()
    def settle(self, batches: list[Tensor]) -> None:
        """Take the normalisation's means and variances from batches of pixels, and leave training."""
        norms = [each for each in self.modules() if isinstance(each, nn.BatchNorm2d)]
        for norm in norms:
            norm.reset_running_stats()
            norm.momentum = None  # an equal share of every batch
        self.train()
        for pixels in batches:
            self(pixels)
        self.eval()

    def folded(self) -> "StridedNetwork":
        """The same function with the normalisation folded into the convolutions."""
        network = StridedNetwork(self.channels).eval()
        network.load_state_dict({name: value for name, value in self.state_dict().items() if ".norm." not in name})
        for mine, plain in zip(self.eval().layers, network.layers, strict=True):
            if isinstance(mine, Layer) and isinstance(plain, Layer) and isinstance(mine.norm, nn.BatchNorm2d):
                plain.conv = fuse_conv_bn_eval(mine.conv, mine.norm)
        return network
