"""Residual networks (He, Zhang, Ren, Sun: "Deep Residual Learning for Image Recognition", CVPR 2016) as backbones.

Weights are trained from scratch. The stride of a bottleneck is in its 3 x 3 convolution, as every common
implementation has it, so that the counts of parameters are the well-known ones.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def _normed(inputs: int, outputs: int, size: int, stride: int = 1) -> list[nn.Module]:
    return [nn.Conv2d(inputs, outputs, size, stride, size // 2, bias=False), nn.BatchNorm2d(outputs)]


def _skip(body: nn.Sequential, inputs: int, outputs: int, stride: int) -> nn.Module:
    """What a block adds its body's output to. Where that is the input as it is, the body begins as nothing (Goyal et
    al., "Accurate, Large Minibatch SGD", 2017, section 5.1), so that a block more changes nothing in a trained network.
    """
    if stride == 1 and inputs == outputs:
        nn.init.zeros_(body[-1].weight)
        return nn.Identity()
    return nn.Sequential(*_normed(inputs, outputs, 1, stride))


class BasicBlock(nn.Module):
    """Residual block of two 3 x 3 convolutions, as ResNet-18 and -34 have them."""

    expansion = 1

    def __init__(self, inputs: int, width: int, stride: int = 1) -> None:
        super().__init__()
        self.body = nn.Sequential(*_normed(inputs, width, 3, stride), nn.ReLU(inplace=True), *_normed(width, width, 3))
        self.skip = _skip(self.body, inputs, width, stride)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.body(x) + self.skip(x))


class Bottleneck(nn.Module):
    """Residual block of 1 x 1, 3 x 3 and 1 x 1 convolutions, as ResNet-50 and -101 have them."""

    expansion = 4

    def __init__(self, inputs: int, width: int, stride: int = 1) -> None:
        super().__init__()
        outputs = self.expansion * width
        self.body = nn.Sequential(
            *_normed(inputs, width, 1),
            nn.ReLU(inplace=True),
            *_normed(width, width, 3, stride),
            nn.ReLU(inplace=True),
            *_normed(width, outputs, 1),
        )
        self.skip = _skip(self.body, inputs, outputs, stride)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.body(x) + self.skip(x))


#: Kind of block, and how many of them each of the four layers has, by the network's depth (table 1; 26 is no row of it
#: but what a trained 18 may grow into).
DEPTHS = {
    18: (BasicBlock, (2, 2, 2, 2)),
    26: (BasicBlock, (2, 3, 5, 2)),
    34: (BasicBlock, (3, 4, 6, 3)),
    50: (Bottleneck, (3, 4, 6, 3)),
    101: (Bottleneck, (3, 4, 23, 3)),
}


class ResNet(nn.Module):
    """Images to maps of features at a 4th, 8th, 16th and 32nd of their size.

    Args:
        depth: 18, 26, 34, 50 or 101.
        width: channels of the first layer; 64 in the paper.
        inputs: channels of the image.
        added: channels of maps at a quarter of the image's size that are given to the first layer beside the image.
        widest: channels that no layer has more of than; 0 lets each have twice as many as the one before. The last
            layer's weights are half of all, and slow to train where it sees few pixels.

    Attributes:
        channels: of the four maps of features.

    Raises:
        ValueError: there is no network of that depth.

    """

    def __init__(self, depth: int, width: int = 64, inputs: int = 3, added: int = 0, widest: int = 0) -> None:
        super().__init__()
        if depth not in DEPTHS:
            raise ValueError(f'a ResNet has a depth of {", ".join(map(str, DEPTHS))}, not {depth}')
        block, counts = DEPTHS[depth]
        self.stem = nn.Sequential(*_normed(inputs, width, 7, 2), nn.ReLU(inplace=True), nn.MaxPool2d(3, 2, 1))
        widths = [min(width * 2**layer, widest or width * 8) for layer in range(4)]
        self.channels = tuple(own * block.expansion for own in widths)
        before, layers = (width + added, *self.channels), []
        for layer, count in enumerate(counts):
            layers.append(
                nn.Sequential(
                    block(before[layer], widths[layer], 1 if layer == 0 else 2),
                    *(block(self.channels[layer], widths[layer]) for _ in range(count - 1)),
                )
            )
        self.layers = nn.ModuleList(layers)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode='fan_out', nonlinearity='relu')

    def forward(self, image: Tensor, added: Tensor | None = None) -> list[Tensor]:
        """Features (B, C, H, W) of each of the four layers; ``added`` is (B, A, S / 4, S / 4)."""
        x = self.stem(image)
        if added is not None:
            x = torch.cat([x, added.to(x.dtype)], 1)
        features = []
        for layer in self.layers:
            x = layer(x)
            features.append(x)
        return features
