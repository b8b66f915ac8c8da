"""Attention among joints that corrects their estimate.

A transformer encoder whose tokens are the 21 joints and the image: what of the hand cannot be seen follows from what
can, and of two joints that claim one finger one can give way. As in METRO (Lin, Wang, Liu: "End-to-End Human Pose and
Mesh Reconstruction with Transformers", CVPR 2021) every joint attends to every other. It begins as no correction at
all.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Attention(nn.Module):
    """Multi-head self-attention (Vaswani et al. 2017, section 3.2): (B, N, C) to the same shape."""

    def __init__(self, channels: int, heads: int = 4) -> None:
        super().__init__()
        self.heads = heads
        self.query, self.key, self.value, self.out = (nn.Linear(channels, channels) for _ in range(4))

    def forward(self, x: Tensor) -> Tensor:
        query, key, value = (
            layer(x).unflatten(2, (self.heads, -1)).transpose(1, 2) for layer in (self.query, self.key, self.value)
        )
        # Written out, as PyTorch's own is exported with shapes that are computed while it runs.
        weights = (query @ key.transpose(2, 3) * query.shape[-1] ** -0.5).softmax(3)
        return self.out((weights @ value).transpose(1, 2).flatten(2))


class Layer(nn.Module):
    """Tokens (B, N, C): self-attention, then two linear layers; normalized before each.

    Modules keep the names that weights have in shipped files.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norms = nn.ModuleList(nn.LayerNorm(channels) for _ in range(2))
        self.hear = Attention(channels)
        self.think = nn.Sequential(nn.Linear(channels, 2 * channels), nn.GELU(), nn.Linear(2 * channels, channels))

    def forward(self, tokens: Tensor) -> Tensor:
        tokens = tokens + self.hear(self.norms[0](tokens))
        return tokens + self.think(self.norms[1](tokens))


class JointAttention(nn.Module):
    """Corrects an estimate by what was seen where each joint was found.

    Args:
        joints: their number.
        features: channels of the image's pooled features.
        seen: channels of what was seen where a joint was found.
        layers: one after the other.
        channels: of a token.

    """

    def __init__(self, joints: int, features: int, seen: int, layers: int, channels: int = 128) -> None:
        super().__init__()
        self.names = nn.Parameter(0.02 * torch.randn(joints, channels))
        self.seen = nn.LayerNorm(seen)
        self.joint = nn.Linear(seen + 5, channels)
        self.image = nn.Linear(features, channels)
        self.layers = nn.Sequential(*(Layer(channels) for _ in range(layers)))
        self.norm = nn.LayerNorm(channels)
        self.correction = nn.Linear(channels, 5)
        nn.init.zeros_(self.correction.weight)
        nn.init.zeros_(self.correction.bias)

    def forward(self, seen: Tensor, joints: Tensor, points: Tensor, pooled: Tensor) -> tuple[Tensor, Tensor]:
        """Corrected joints (B, J, 3) and points (B, J, 2).

        Args:
            seen: (B, J, seen) where each joint was found.
            joints: (B, J, 3).
            points: (B, J, 2).
            pooled: (B, features) the image's features.

        """
        tokens = self.joint(torch.cat([self.seen(seen), joints, points], 2)) + self.names
        tokens = self.layers(torch.cat([tokens, self.image(pooled)[:, None]], 1))
        correction = self.correction(self.norm(tokens[:, :-1])).float()
        return joints + correction[..., :3], points + correction[..., 3:]
