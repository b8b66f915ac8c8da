"""Outputs besides the joints that no paper asks for: a joint's sigma, and the handedness.

These heads see a trained network's features of a crop, and are trained after it with everything else fixed
(``training.engine.heads``).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

#: What the names of these heads' weights begin with: weights of a network whose heads were not trained lack them.
HEADS = ('chirality.', 'joint_chirality.', 'certainty.', 'presence.')


class ChiralityHead(nn.Module):
    """Whether a crop shows a right hand or the mirror image of one.

    Args:
        channels: of the features.
        joints: number of joints.

    """

    def __init__(self, channels: int, joints: int) -> None:
        super().__init__()
        #: Inputs after the features.
        self.extra_inputs = 4 * joints
        inputs = channels + self.extra_inputs
        self.layers = nn.Sequential(nn.BatchNorm1d(inputs), nn.Linear(inputs, 48), nn.ReLU(), nn.Linear(48, 1))

    def forward(self, features: Tensor, joints: Tensor, sigma: Tensor) -> Tensor:
        """Handedness logits (B,) from features (B, C), joints (B, J, 3) and sigma (B, J)."""
        return self.layers(torch.cat([features, joints.flatten(1), sigma.log()], 1))[:, 0]


class JointChiralityHead(nn.Module):
    """The same from features at each joint: whether every finger is as a right hand's would be in its place.

    With JGR-P2O it is wrong in 7 % of the crops where :class:`ChiralityHead`, which sees the features' mean and no
    places, is in 10 % (``models/README.md``).

    Args:
        channels: of the features.
        joints: number of joints.
        kept: numbers that a joint's features are brought down to, the same way for every joint.

    """

    def __init__(self, channels: int, joints: int, kept: int = 8) -> None:
        super().__init__()
        self.each = nn.Sequential(nn.BatchNorm1d(channels + 4), nn.Linear(channels + 4, kept), nn.ReLU())
        self.layers = nn.Sequential(
            nn.BatchNorm1d(joints * kept), nn.Linear(joints * kept, 40), nn.ReLU(), nn.Linear(40, 1)
        )

    def forward(self, features: Tensor, joints: Tensor, sigma: Tensor) -> Tensor:
        """Handedness logits (B,) from features (B, J, C), joints (B, J, 3) and sigma (B, J)."""
        inputs = torch.cat([features, joints, sigma.log()[..., None]], 2)
        return self.layers(self.each(inputs.flatten(0, 1)).unflatten(0, inputs.shape[:2]).flatten(1))[:, 0]


class CertaintyHead(nn.Module):
    """How far off each joint is likely to be, for networks that regress joints without pixels that could disagree.

    Args:
        channels: of the features.
        joints: number of joints.

    """

    def __init__(self, channels: int, joints: int) -> None:
        super().__init__()
        #: Inputs after the features.
        self.extra_inputs = 3 * joints
        inputs = channels + self.extra_inputs
        self.layers = nn.Sequential(nn.BatchNorm1d(inputs), nn.Linear(inputs, 96), nn.ReLU(), nn.Linear(96, joints))

    def forward(self, features: Tensor, joints: Tensor) -> Tensor:
        """Expected error (B, J) in cube coordinates from features (B, C) and joints (B, J, 3)."""
        return (self.layers(torch.cat([features, joints.flatten(1)], 1)) - 3).clamp(-8, 1).exp()
