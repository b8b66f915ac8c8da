"""JGR-P2O: joint graph reasoning based pixel-to-offset prediction network for hand pose from one depth image.

Fang, Liu, Liu, Xu: "JGR-P2O: Joint Graph Reasoning based Pixel-to-Offset Prediction Network for 3D Hand Pose
Estimation from a Single Depth Image", ECCV 2020. Section and equation numbers below are the paper's.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from training.networks.heads import JointChiralityHead
from training.networks.losses import joint_loss
from training.networks.skeletons import OURS, Bones, skeleton


def skeleton_adjacency(joints: int, bones: Bones) -> Tensor:
    """Normalised adjacency (J, J) of a skeleton with self connections: D^-1/2 (A + I) D^-1/2 (section 3.3, eq. 3)."""
    adjacency = torch.eye(joints)
    for a, b in bones:
        adjacency[a, b] = adjacency[b, a] = 1
    scale = adjacency.sum(1).rsqrt()
    return scale[:, None] * adjacency * scale[None]


class Residual(nn.Module):
    """Bottleneck residual module, pre-activation, as hourglass networks use it (section 3.2).

    Args:
        inputs: channels of what comes in.
        outputs: channels of what goes out.
        middle: channels of the bottleneck; half of ``outputs`` by default, as in the paper.

    """

    def __init__(self, inputs: int, outputs: int, middle: int | None = None) -> None:
        super().__init__()
        self.middle = middle = middle or outputs // 2
        self.body = nn.Sequential(
            nn.BatchNorm2d(inputs),
            nn.ReLU(inplace=True),
            nn.Conv2d(inputs, middle, 1, bias=False),
            nn.BatchNorm2d(middle),
            nn.ReLU(inplace=True),
            nn.Conv2d(middle, middle, 3, padding=1, bias=False),
            nn.BatchNorm2d(middle),
            nn.ReLU(inplace=True),
            nn.Conv2d(middle, outputs, 1),
        )
        self.skip = nn.Identity() if inputs == outputs else nn.Conv2d(inputs, outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.skip(x) + self.body(x)


class Hourglass(nn.Module):
    """Hourglass of ``depth`` halvings (section 3.2): (B, C, H, W) to the same shape."""

    def __init__(self, channels: int, depth: int, middle: int | None = None) -> None:
        super().__init__()
        self.skip = Residual(channels, channels, middle)
        self.down = Residual(channels, channels, middle)
        self.inner = (
            Hourglass(channels, depth - 1, middle)
            if depth > 1
            else nn.Sequential(Residual(channels, channels, middle), Residual(channels, channels, middle))
        )
        self.up = Residual(channels, channels, middle)

    def forward(self, x: Tensor) -> Tensor:
        low = self.up(self.inner(self.down(F.max_pool2d(x, 2))))
        # By factors, two each unless a side is odd, which exported models hold as constants.
        factors = tuple(side / halved for side, halved in zip(x.shape[-2:], low.shape[-2:]))
        return self.skip(x) + F.interpolate(low, scale_factor=factors, mode='nearest')


class JointGraphReasoning(nn.Module):
    """Joint graph reasoning (section 3.3): pixels vote for joints, joints reason over the skeleton, and their
    features go back to the pixels that voted.
    """

    def __init__(self, channels: int, adjacency: Tensor) -> None:
        super().__init__()
        self.register_buffer('adjacency', adjacency, persistent=False)
        self.votes = nn.Conv2d(channels, len(adjacency), 1)
        self.to_joint = nn.Conv2d(channels, channels, 1)
        self.graph = nn.Linear(channels, channels, bias=False)
        self.to_pixel = nn.Linear(channels, channels)
        self.merge = nn.Sequential(nn.BatchNorm2d(channels), nn.ReLU(inplace=True), nn.Conv2d(channels, channels, 1))

    def forward(self, x: Tensor) -> Tensor:
        batch, channels, height, width = x.shape
        # Pixel-to-joint voting: softmax over pixels weighs each pixel's feature for each joint (eq. 1 and 2).
        votes = self.votes(x).flatten(2).softmax(-1)
        # The features that are pooled are linear in these, so that they are made of each joint's mean, not each pixel.
        pooled = (votes @ x.flatten(2).transpose(1, 2)).transpose(1, 2)[..., None]
        joints = self.to_joint(pooled)[..., 0].transpose(1, 2)
        # Graph reasoning: ReLU(A F W) (eq. 4).
        joints = F.relu(self.adjacency @ self.graph(joints))
        # Joint-to-pixel mapping: each pixel takes from the joints that it voted for, relative to its strongest vote,
        # and the result is added to what the pixel had (eq. 5 and 6).
        shares = votes / votes.amax(-1, keepdim=True)
        pixels = (
            (shares.transpose(1, 2) @ self.to_pixel(joints)).transpose(1, 2).reshape(batch, channels, height, width)
        )
        return x + self.merge(pixels)


class PixelToOffset(nn.Module):
    """Pixel-to-offset prediction (section 3.4): every pixel says where each joint lies from it, and how much its
    word weighs.
    """

    def __init__(self, channels: int, joints: int) -> None:
        super().__init__()
        self.joints = joints
        self.offsets = nn.Conv2d(channels, 3 * joints, 1)
        self.weights = nn.Conv2d(channels, joints, 1)

    def forward(self, x: Tensor, pixels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Estimate the joints.

        Args:
            x: (B, C, H, W) features.
            pixels: (B, 3, H*W) cube coordinates u, v, z of each pixel.

        Returns:
            (B, J, 3) joints, (B, J, 3, H*W) the pixels' estimates of them, and (B, J, H*W) these estimates' weights.

        """
        offsets = self.offsets(x).float().reshape(x.shape[0], self.joints, 3, -1)
        weights = self.weights(x).float().flatten(2).softmax(-1)
        estimates = pixels[:, None] + offsets
        return (estimates * weights[:, :, None]).sum(-1), estimates, weights  # eq. 8


class JGRP2O(nn.Module):
    """The whole network (figure 2): depth crop (B, 1, 96, 96) in [-1, 1], background 1, to joints.

    Args:
        stacks: hourglasses in a row (the paper's ablation: 1 to 3; its choice 2).
        channels: features of each pixel at 24 x 24.
        depth: halvings in an hourglass.
        graph: joint graph reasoning after each hourglass (off in the paper's ablation).
        coordinates: give the stem each pixel's position as two more channels; not in the paper, and better on our data.
        joints: skeleton that is estimated, see :func:`training.networks.skeletons.skeleton`.
        middle: channels of the residual modules' bottlenecks; half of ``channels`` by default, as in the paper.

    """

    #: Pixels along a side of the input.
    input_size = 96

    def __init__(
        self,
        stacks: int = 2,
        channels: int = 128,
        depth: int = 3,
        graph: bool = True,
        coordinates: bool = True,
        joints: str = OURS,
        middle: int | None = None,
    ) -> None:
        super().__init__()
        count, bones = skeleton(joints)
        self.coordinates = coordinates
        self.stem = nn.Sequential(
            nn.Conv2d(3 if coordinates else 1, 32, 5, stride=2, padding=2, bias=False),
            nn.BatchNorm2d(32),
            nn.ReLU(inplace=True),
            nn.Conv2d(32, channels, 3, stride=2, padding=1, bias=False),
            Residual(channels, channels, middle),
        )
        adjacency = skeleton_adjacency(count, bones)
        self.hourglasses = nn.ModuleList(Hourglass(channels, depth, middle) for _ in range(stacks))
        self.after = nn.ModuleList(
            nn.Sequential(nn.Conv2d(channels, channels, 1, bias=False), nn.BatchNorm2d(channels), nn.ReLU(inplace=True))
            for _ in range(stacks)
        )
        self.reasoning = nn.ModuleList(
            JointGraphReasoning(channels, adjacency) if graph else nn.Identity() for _ in range(stacks)
        )
        self.heads = nn.ModuleList(PixelToOffset(channels, count) for _ in range(stacks))
        self.back = nn.ModuleList(nn.Conv2d(channels, channels, 1) for _ in range(stacks - 1))
        self.chirality = JointChiralityHead(channels, count)
        for name, size in (('grid', self.input_size), ('coarse_grid', self.input_size // 4)):
            line = (torch.arange(size) + 0.5) / size * 2 - 1
            self.register_buffer(name, torch.stack(torch.meshgrid(line, line, indexing='xy'))[None], persistent=False)

    def pixels(self, crop: Tensor) -> Tensor:
        """Cube coordinates (B, 3, 576) of the pixels at 24 x 24: u, v by place, z by the resized depth."""
        depth = F.interpolate(crop, scale_factor=0.25, mode='nearest')
        return torch.cat([self.coarse_grid.expand(crop.shape[0], -1, -1, -1), depth], 1).flatten(2)

    def features(self, crop: Tensor) -> list[Tensor]:
        """Features (B, C, 24, 24) after every hourglass, which the heads see."""
        x = torch.cat([crop, self.grid.expand(crop.shape[0], -1, -1, -1)], 1) if self.coordinates else crop
        x = self.stem(x)
        found = []
        for i, hourglass in enumerate(self.hourglasses):
            found.append(self.reasoning[i](self.after[i](hourglass(x))))
            if i < len(self.back):
                x = x + self.back[i](found[-1])
        return found

    def forward_stages(self, crop: Tensor) -> tuple[list[tuple[Tensor, Tensor, Tensor]], Tensor]:
        """Estimates after every hourglass, for the losses, see :class:`PixelToOffset`; and the last features."""
        pixels, features = self.pixels(crop.float()), self.features(crop)
        return [head(one, pixels) for head, one in zip(self.heads, features)], features[-1]

    def estimate_with_features(self, crop: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Joints (B, J, 3) in cube coordinates, their sigma (B, J), and the features (B, J, C) of each one's pixels."""
        stages, features = self.forward_stages(crop)
        joints, estimates, weights = stages[-1]
        variance = ((estimates - joints[..., None]).square().sum(2) * weights).sum(-1)
        return joints, (variance + 1e-8).sqrt(), weights @ features.float().flatten(2).transpose(1, 2)

    def forward(self, crop: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Joints (B, J, 3) and their sigma (B, J) in cube coordinates; handedness logit (B,)."""
        joints, sigma, features = self.estimate_with_features(crop)
        return joints, sigma, self.chirality(features, joints, sigma)

    def loss(self, crop: Tensor, truth: Tensor, *, beta: float = 1e-4, delta: float = 0.01) -> Tensor:
        """Coordinate loss plus ``beta`` times the offset loss, over all stages (section 3.5, eq. 9 to 11).

        Args:
            crop: (B, 1, 96, 96).
            truth: (B, 21, 3) cube coordinates.
            beta: weight of the offset loss, which is summed over pixels.
            delta: where the Huber loss turns linear.

        """
        total = truth.new_zeros(())
        for joints, estimates, _ in self.forward_stages(crop)[0]:
            total = total + joint_loss(joints, truth, delta=delta)
            if beta:
                # A pixel's offset is as far from the true one as its estimate from the joint.
                wanted = truth[..., None].expand_as(estimates)
                total = total + beta * estimates.shape[-1] * F.huber_loss(estimates, wanted, delta=delta) / delta
        return total
