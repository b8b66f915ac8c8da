"""Residual attention regression: hand pose from one depth image by attention modules, with a prior on the pose.

The attention modules are those of Wang et al., "Residual Attention Network for Image Classification", CVPR 2017
(section and equation numbers below); the regression of joints through a bottleneck that holds a PCA of training poses
follows Oberweger, Wohlhart, Lepetit: "Hands Deep in Deep Learning for Hand Pose Estimation", CVWW 2015, section 3.1.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from training.networks.heads import CertaintyHead, ChiralityHead
from training.networks.losses import joint_loss
from training.networks.skeletons import OURS, skeleton


class ResidualUnit(nn.Module):
    """Pre-activation bottleneck residual unit (He et al. 2016): (B, C, H, W) to (B, C', H / stride, W / stride)."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__()
        middle = outputs // 4
        self.before = nn.Sequential(nn.BatchNorm2d(inputs), nn.ReLU())
        self.body = nn.Sequential(
            nn.Conv2d(inputs, middle, 1, bias=False),
            nn.BatchNorm2d(middle),
            nn.ReLU(inplace=True),
            nn.Conv2d(middle, middle, 3, stride, 1, bias=False),
            nn.BatchNorm2d(middle),
            nn.ReLU(inplace=True),
            nn.Conv2d(middle, outputs, 1, bias=False),
        )
        self.skip = None if inputs == outputs and stride == 1 else nn.Conv2d(inputs, outputs, 1, stride, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        active = self.before(x)
        return self.body(active) + (x if self.skip is None else self.skip(active))


def units(channels: int, count: int) -> nn.Sequential:
    """So many residual units in a row."""
    return nn.Sequential(*(ResidualUnit(channels, channels) for _ in range(count)))


class SoftMask(nn.Module):
    """Bottom-up top-down mask branch (section 3.1, figure 2): (B, C, H, W) to weights in (0, 1) of the same shape.

    Args:
        channels: C.
        halvings: how often the resolution is halved on the way down, and doubled again.
        r: residual units between adjacent poolings.

    """

    def __init__(self, channels: int, halvings: int, r: int) -> None:
        super().__init__()
        self.down = nn.ModuleList(units(channels, r) for _ in range(halvings))
        self.aside = nn.ModuleList(units(channels, 1) for _ in range(halvings - 1))
        self.up = nn.ModuleList(units(channels, r) for _ in range(halvings))
        self.weights = nn.Sequential(
            nn.BatchNorm2d(channels),
            nn.ReLU(inplace=True),
            nn.Conv2d(channels, channels, 1, bias=False),
            nn.BatchNorm2d(channels),
            nn.ReLU(inplace=True),
            nn.Conv2d(channels, channels, 1),
            nn.Sigmoid(),
        )

    def forward(self, x: Tensor) -> Tensor:
        sizes, asides = [], []
        for i, down in enumerate(self.down):
            sizes.append(x.shape[-2:])
            x = down(F.max_pool2d(x, 3, 2, 1))
            asides.append(self.aside[i](x) if i < len(self.aside) else None)
        for up, size, aside in zip(self.up, reversed(sizes), [*reversed(asides[:-1]), None]):
            x = F.interpolate(up(x), size=size, mode='bilinear', align_corners=False)
            if aside is not None:
                x = x + aside
        return self.weights(x)


class AttentionModule(nn.Module):
    """Attention module with residual learning (section 3.1 and eq. 3): (1 + M(x)) * T(x).

    Args:
        channels: of input and output.
        halvings: depth of the mask branch.
        p: residual units before the branches part and after they join.
        t: residual units of the trunk branch.
        r: residual units between adjacent poolings of the mask branch.

    """

    def __init__(self, channels: int, halvings: int, p: int, t: int, r: int) -> None:
        super().__init__()
        self.before = units(channels, p)
        self.trunk = units(channels, t)
        self.mask = SoftMask(channels, halvings, r)
        self.after = units(channels, p)

    def forward(self, x: Tensor) -> Tensor:
        x = self.before(x)
        return self.after((1 + self.mask(x)) * self.trunk(x))


class PosePrior(nn.Module):
    """Prior layer: the last linear layer rebuilds a pose from few numbers, and begins as a PCA of training poses.

    Args:
        inputs: features of the layer before.
        components: how many numbers a pose is rebuilt from.
        joints: number of joints.
        frozen: keep the PCA as it is, instead of training it further.

    """

    def __init__(self, inputs: int, components: int, joints: int, frozen: bool = False) -> None:
        super().__init__()
        self.joints = joints
        self.bottleneck = nn.Linear(inputs, components)
        self.rebuild = nn.Linear(components, 3 * joints).requires_grad_(not frozen)

    @torch.no_grad()
    def initialize(self, poses: Tensor) -> None:
        """Set the last layer to mean and principal components, scaled to unit variance, of poses (N, J, 3).

        Raises:
            ValueError: there are fewer poses than components.

        """
        flat = poses.double().flatten(1)
        count = self.rebuild.in_features
        if len(flat) <= count:
            raise ValueError(f'{len(flat)} poses are too few for {count} principal components')
        mean = flat.mean(0)
        _, scale, directions = torch.linalg.svd(flat - mean, full_matrices=False)
        self.rebuild.weight.copy_((directions[:count] * (scale[:count, None] / len(flat) ** 0.5)).T)
        self.rebuild.bias.copy_(mean)

    def forward(self, features: Tensor) -> Tensor:
        """Joints (B, J, 3) from features (B, C)."""
        return self.rebuild(self.bottleneck(features)).float().reshape(-1, self.joints, 3)


class ResidualAttention(nn.Module):
    """The whole network: depth crop (B, 1, S, S) in [-1, 1], background 1, to joints.

    Three attention modules at a quarter, an eighth and a sixteenth of the input's resolution, a residual unit between
    two of them and three after the last, the mean over the image, and the prior layer.

    Args:
        width: channels of the stem; the modules have 2, 4 and 8 times as many, the last units 8 times.
        p: residual units before and after the branches of an attention module.
        t: residual units of a trunk branch.
        r: residual units between adjacent poolings of a mask branch.
        components: numbers that the prior layer rebuilds a pose from; 0 regresses the joints without a prior.
        frozen: keep the prior layer at the PCA that it began as.
        joints: skeleton that is estimated, see :func:`training.networks.skeletons.skeleton`.
        input_size: pixels along a side of the input; the paper's is 128.

    """

    def __init__(
        self,
        width: int = 32,
        p: int = 1,
        t: int = 2,
        r: int = 1,
        components: int = 35,
        frozen: bool = False,
        joints: str = OURS,
        input_size: int = 128,
    ) -> None:
        super().__init__()
        count, _ = skeleton(joints)
        self.input_size = input_size
        first, second, third = 2 * width, 4 * width, 8 * width
        self.body = nn.Sequential(
            nn.Conv2d(1, width, 7, 2, 3, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(3, 2, 1),
            ResidualUnit(width, first),
            AttentionModule(first, 3, p, t, r),
            ResidualUnit(first, second, 2),
            AttentionModule(second, 2, p, t, r),
            ResidualUnit(second, third, 2),
            AttentionModule(third, 1, p, t, r),
            ResidualUnit(third, third, 2),
            units(third, 2),
            nn.BatchNorm2d(third),
            nn.ReLU(inplace=True),
        )
        self.prior = PosePrior(third, components or 3 * count, count, frozen)
        self.has_prior = bool(components)
        self.certainty = CertaintyHead(third, count)
        self.chirality = ChiralityHead(third, count)

    def initialize(self, poses: Tensor) -> None:
        """Set the prior layer from training poses (N, J, 3) in cube coordinates; without a prior nothing is done."""
        if self.has_prior:
            self.prior.initialize(poses)

    def estimate_with_features(self, crop: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Joints (B, J, 3) in cube coordinates, their sigma (B, J), and features (B, C) for the heads."""
        features = self.body(crop).float().mean((2, 3))
        joints = self.prior(features)
        return joints, self.certainty(features, joints), features

    def forward(self, crop: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Joints (B, J, 3) and their sigma (B, J) in cube coordinates; handedness logit (B,)."""
        joints, sigma, features = self.estimate_with_features(crop)
        return joints, sigma, self.chirality(features, joints, sigma)

    def loss(self, crop: Tensor, truth: Tensor, *, kind: str = 'smooth_l1', delta: float = 0.01) -> Tensor:
        """Loss of the joints.

        Args:
            crop: (B, 1, S, S).
            truth: (B, J, 3) cube coordinates.
            kind: ``smooth_l1``, ``l1`` or ``l2``.
            delta: error in cube coordinates where smooth L1 turns from quadratic to linear.

        Raises:
            ValueError: there is no loss of that kind.

        """
        return joint_loss(self.prior(self.body(crop).float().mean((2, 3))), truth, kind, delta)
