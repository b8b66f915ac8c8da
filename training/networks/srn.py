"""SRN: stacked regression network for hand pose from one depth image.

Ren, Sun, Qi, Wang, Huang: "SRN: Stacked Regression Network for Real-time 3D Hand Pose Estimation", BMVC 2019.
Section numbers below are the paper's. Its localization refinement (section 5) is ``training.networks.center_refiner``
here, its augmentation in real-world coordinates lies in what feeds the network.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from training.networks.heads import CertaintyHead, ChiralityHead
from training.networks.losses import joint_loss
from training.networks.resnet import BasicBlock
from training.networks.skeletons import OURS, skeleton

#: Slope of what stands for a step from 0 to 1; float16 holds it.
STEEP = 1e4


def residual_layer(inputs: int, outputs: int, stride: int) -> nn.Sequential:
    """One of ResNet-18's four layers: two blocks, the first of them with ``stride``."""
    return nn.Sequential(BasicBlock(inputs, outputs, stride), BasicBlock(outputs, outputs))


class Regression(nn.Module):
    """Regression module (section 3.2): ResNet-18 from its second layer to its end, then joints."""

    def __init__(self, inputs: int, joints: int, width: int) -> None:
        super().__init__()
        self.joints = joints
        self.layers = nn.Sequential(
            *(residual_layer(a, b, 2) for a, b in ((inputs, 2 * width), (2 * width, 4 * width), (4 * width, 8 * width)))
        )
        self.head = nn.Linear(8 * width, 3 * joints)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Joints (B, J, 3) and features (B, 8 * width) from (B, C, H, W)."""
        features = self.layers(x).mean((2, 3))
        return self.head(features).float().reshape(-1, self.joints, 3), features.float()


def reparameterize(joints: Tensor, pixels: Tensor, kernel: float) -> Tensor:
    """Pose re-parameterization (section 3.3): joints become 3D heat maps and unit vector fields over the hand.

    A pixel of the hand within ``kernel`` of a joint gets the kernel less its distance, and the unit vector to the
    joint; every other pixel gets zero. There is nothing to learn in it, and gradients pass.

    Args:
        joints: (B, J, 3) cube coordinates.
        pixels: (B, 3, H, W) cube coordinates of the image's pixels, depth 1 where there is no hand.
        kernel: radius in cube coordinates; the paper's choice is 0.4.

    Returns:
        (B, 4 * J, H, W): heat maps, then the vectors' u, v, z.

    """
    offsets = joints[..., None, None] - pixels[:, None]
    distances = (offsets.square().sum(2) + 1e-8).sqrt()
    # Steps as steep ramps: exported, a comparison's boolean would need casts that float16 engines stumble over.
    near = (STEEP * (kernel - distances)).clamp(0, 1) * (STEEP * (1 - pixels[:, None, 2])).clamp(0, 1)
    near = near.detach()
    heat = (kernel - distances) * near
    field = offsets / distances[:, :, None] * near[:, :, None]
    return torch.cat([heat, field.transpose(1, 2).flatten(1, 2)], 1)


class SRN(nn.Module):
    """The whole network (figure 2): depth crop (B, 1, S, S) in [-1, 1], background 1, to joints.

    The feature extractor is ResNet-18's beginning; every regression module is the rest of it, and sees the features
    and the re-parameterized joints of every module before it. With two modules and NYU's 14 joints that is 22,304,020
    parameters, 21.3 times 2^20: the paper's "21.3 MB" counts parameters, not bytes (in float32 they take 89 MB).

    Args:
        stacks: regression modules T (the paper's ablation: 1 to 3; its choice 2).
        kernel: radius of the re-parameterization in cube coordinates.
        reparameterization: off, a further module sees the joints before it as constant maps instead.
        width: channels of ResNet-18's first layer; 64 in the paper.
        joints: skeleton that is estimated, see :func:`training.networks.skeletons.skeleton`.
        input_size: pixels along a side of the input.

    """

    def __init__(
        self,
        stacks: int = 2,
        kernel: float = 0.4,
        reparameterization: bool = True,
        width: int = 64,
        joints: str = OURS,
        input_size: int = 96,
    ) -> None:
        super().__init__()
        count, _ = skeleton(joints)
        self.input_size = input_size
        self.kernel = kernel
        self.reparameterization = reparameterization
        self.extractor = nn.Sequential(
            nn.Conv2d(1, width, 7, 2, 3, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(3, 2, 1),
            residual_layer(width, width, 1),
        )
        added = (4 if reparameterization else 3) * count
        self.stacks = nn.ModuleList(Regression(width + i * added, count, width) for i in range(stacks))
        self.certainty = CertaintyHead(8 * width, count)
        self.chirality = ChiralityHead(8 * width, count)
        line = (torch.arange(input_size // 4) + 0.5) / (input_size // 4) * 2 - 1
        self.register_buffer('grid', torch.stack(torch.meshgrid(line, line, indexing='xy'))[None], persistent=False)

    def forward_stages(self, crop: Tensor) -> tuple[list[Tensor], Tensor]:
        """Joints (B, J, 3) after every module, for intermediate supervision (section 3.2); and the last features."""
        depth = F.interpolate(crop.float(), scale_factor=0.25, mode='nearest')
        pixels = torch.cat([self.grid.expand(crop.shape[0], -1, -1, -1), depth], 1)
        x = self.extractor(crop)
        stages = []
        for i, module in enumerate(self.stacks):
            joints, features = module(x)
            stages.append(joints)
            if i + 1 < len(self.stacks):
                if self.reparameterization:
                    seen = reparameterize(joints, pixels, self.kernel)
                else:
                    seen = joints.flatten(1)[..., None, None].expand(-1, -1, *depth.shape[2:])
                x = torch.cat([x, seen.to(x.dtype)], 1)
        return stages, features

    def estimate_with_features(self, crop: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Joints (B, J, 3) in cube coordinates, their sigma (B, J), and features (B, C) for the heads."""
        stages, features = self.forward_stages(crop)
        return stages[-1], self.certainty(features, stages[-1]), features

    def forward(self, crop: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Joints (B, J, 3) and their sigma (B, J) in cube coordinates; handedness logit (B,)."""
        joints, sigma, features = self.estimate_with_features(crop)
        return joints, sigma, self.chirality(features, joints, sigma)

    def loss(self, crop: Tensor, truth: Tensor, *, kind: str = 'smooth_l1', delta: float = 0.01) -> Tensor:
        """Sum over all modules of the loss of their joints (section 3.2; smooth L1 with 0.01).

        Args:
            crop: (B, 1, S, S).
            truth: (B, J, 3) cube coordinates.
            kind: ``smooth_l1``, ``l1`` or ``l2``.
            delta: error in cube coordinates where smooth L1 turns from quadratic to linear.

        Raises:
            ValueError: there is no loss of that kind.

        """
        return sum(joint_loss(joints, truth, kind, delta) for joints in self.forward_stages(crop)[0])
