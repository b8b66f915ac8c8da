"""Finds hands in a whole color image: a narrow ResNet-18 whose last three layers' maps are joined at an eighth, and an
hourglass (Newell et al., "Stacked Hourglass Networks", ECCV 2016) that corrects what was read from the joined map.

The output and its meaning are :mod:`hand_pose_ros.detection.color`'s.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hand_pose_ros.detection.color import DETECTOR_INPUT, DETECTOR_OUTPUTS, GRID
from training.networks.jgr_p2o import Hourglass
from training.networks.losses import surface_loss
from training.networks.resnet import ResNet

#: Share of a hand's half side that is one standard deviation of its peak in the wanted heat map, and the least, cells.
PEAK, LEAST_PEAK = 0.10, 0.7
#: Log odds that the network begins with: hands are rare.
_PRIOR = -4.0
#: Channels of what renders know of hands' surfaces and of people's, see ``training.synthesis.detector_frames``.
SURFACES = (5, 4)


class HandDetector(nn.Module):
    """Images (B, 3, 256, 256) in [-1, 1] to cells (B, 7, 32, 32).

    Args:
        width: channels of the residual network's first layer.
        joined: channels of the maps that its layers are joined in.
        depth: halvings in the hourglass.

    """

    input_channels = 3
    input_size = DETECTOR_INPUT
    outputs = ('cells',)

    def __init__(self, width: int = 24, joined: int = 64, depth: int = 4) -> None:
        super().__init__()
        self.backbone = ResNet(18, width)
        self.lateral = nn.ModuleList(nn.Conv2d(c, joined, 1) for c in self.backbone.channels[1:])
        self.joined = nn.Sequential(
            nn.BatchNorm2d(joined),
            nn.ReLU(inplace=True),
            nn.Conv2d(joined, joined, 3, padding=1, bias=False),
            nn.BatchNorm2d(joined),
            nn.ReLU(inplace=True),
        )
        self.head = nn.Conv2d(joined, DETECTOR_OUTPUTS, 1)
        nn.init.normal_(self.head.weight, std=1e-3)
        with torch.no_grad():
            self.head.bias.copy_(torch.tensor([_PRIOR, 0, 0.5, 0.5, -1.5, 0, 0]))
        self.again = nn.Sequential(
            Hourglass(joined, depth),
            nn.Conv2d(joined, joined, 1, bias=False),
            nn.BatchNorm2d(joined),
            nn.ReLU(inplace=True),
        )
        self.correction = nn.Conv2d(joined, DETECTOR_OUTPUTS, 1)
        nn.init.zeros_(self.correction.weight)
        nn.init.zeros_(self.correction.bias)
        # In training only: which cells show a hand and which a person, and what of them, which makes the features tell
        # hands from faces, feet and sleeves.
        self.surface = nn.Conv2d(joined, sum(SURFACES), 1)

    def forward_stages(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """First and corrected cells (B, 7, 32, 32), and the joined map (B, joined, 32, 32)."""
        first, second, third = (layer(x) for layer, x in zip(self.lateral, self.backbone(image)[1:]))
        maps = first + F.interpolate(
            second + F.interpolate(third, scale_factor=2.0, mode='nearest'), scale_factor=2.0, mode='nearest'
        )
        joined = self.joined(maps)
        first = self.head(joined).float()
        return first, first + self.correction(self.again(joined)).float(), joined

    def forward(self, image: Tensor) -> Tensor:
        """Cells (B, 7, 32, 32)."""
        return self.forward_stages(image)[1]

    def loss(
        self,
        image: Tensor,
        labels: Tensor,
        surfaces: Tensor,
        *,
        box_weight: float = 1.0,
        first_weight: float = 0.5,
        surface_weight: float = 1.0,
    ) -> Tensor:
        """Losses of the cells, first and corrected, and of what the joined map tells of surfaces.

        Args:
            image: (B, 3, 256, 256).
            labels: (B, N, 7).
            surfaces: (B, 32, 32, 9) what is known of hands' surfaces and of people's, see
                :func:`training.synthesis.detector_frames.frame_batches`; 255 all over where nothing is.
            box_weight: see :func:`cells_loss`.
            first_weight: of the first cells.
            surface_weight: of the surfaces.

        """
        first, cells, joined = self.forward_stages(image)
        wanted = wanted_cells(labels)
        value = cells_loss(cells, wanted, box_weight) + first_weight * cells_loss(first, wanted, box_weight)
        if surface_weight:
            known = (surfaces < 255).flatten(1).any(1)
            for estimate, truth in zip(self.surface(joined).float().split(SURFACES, 1), surfaces.split(SURFACES, 3)):
                value = value + surface_weight * surface_loss(estimate, truth, known)
        return value


def wanted_cells(labels: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """What cells should be.

    Args:
        labels: (B, N, 7), see :func:`training.synthesis.detector_frames.frame_batches`.

    Returns:
        Heat (B, G, G), 1 in a hand's own cell and falling about it; whether it counts (B, G, G); side (1 for right),
        place, size and direction (B, 6, G, G); and whether these count (B, G, G).

    """
    line = torch.arange(GRID, device=labels.device)
    heat = labels.new_zeros(len(labels), GRID, GRID)
    counts = labels.new_ones(len(labels), GRID, GRID)
    box = labels.new_zeros(len(labels), 6, GRID, GRID)
    inside = labels.new_zeros(len(labels), GRID, GRID)
    center, half, right, weight = (
        (labels[..., :2] + 1) / 2 * GRID,
        labels[..., 2] * GRID / 2,
        labels[..., 5],
        labels[..., 6],
    )
    for n in range(labels.shape[1]):
        du = line[None, None, :] + 0.5 - center[:, n, 0, None, None]
        dv = line[None, :, None] + 0.5 - center[:, n, 1, None, None]
        sigma = (PEAK * half[:, n]).clamp(min=LEAST_PEAK)[:, None, None]
        peak = torch.exp(-(du**2 + dv**2) / (2 * sigma**2))
        own = (du.abs() <= 0.5) & (dv.abs() <= 0.5)
        peak = torch.where(own, 1.0, peak.clamp(max=0.95))
        seen, doubtful = weight[:, n] > 0, weight[:, n] == 0
        heat = torch.where(seen[:, None, None], torch.maximum(heat, peak), heat)
        near = (du**2 + dv**2).sqrt() < (0.5 * half[:, n]).clamp(min=1.5)[:, None, None]
        counts = torch.where(doubtful[:, None, None] & near, 0.0, counts)
        close = seen[:, None, None] & (du.abs() < 1.5) & (dv.abs() < 1.5)
        each = [
            value[:, None, None].expand_as(close)
            for value in (right[:, n], labels[:, n, 2].clamp(min=1e-3).log(), labels[:, n, 3], labels[:, n, 4])
        ]
        place = torch.stack([each[0], (-du + 0.5).expand_as(close), (-dv + 0.5).expand_as(close), *each[1:]], 1)
        box = torch.where(close[:, None], place, box)
        inside = torch.where(close, 1.0, inside)
    return heat, counts, box, inside


def cells_loss(cells: Tensor, wanted: tuple[Tensor, Tensor, Tensor, Tensor], box_weight: float = 1.0) -> Tensor:
    """Penalty-reduced focal loss of the heat map (CenterNet, eq. 1); about the centers cross entropy of the side and L1
    of place, size and direction.

    Args:
        cells: (B, 7, G, G) a network's output.
        wanted: see :func:`wanted_cells`.
        box_weight: of what is estimated about the centers.

    """
    heat, counts, box, inside = wanted
    odds = cells[:, 0]
    share = odds.sigmoid()
    own = heat == 1
    focal = torch.where(own, (1 - share) ** 2 * F.softplus(-odds), (1 - heat) ** 4 * share**2 * F.softplus(odds))
    value = (focal * counts).sum() / own.sum().clamp(min=1)
    side = F.binary_cross_entropy_with_logits(cells[:, 1], box[:, 0], reduction='none')
    off = ((cells[:, 2:] - box[:, 1:]).abs().sum(1) + side) * inside
    return value + box_weight * off.sum() / inside.sum().clamp(min=1)
