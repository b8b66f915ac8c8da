"""Center refinement: a small network that says where the hand in a rough crop really is.

Ren, Sun, Huang, Wang: "SRN: Stacked Regression Network for Real-time 3D Hand Pose Estimation", BMVC 2019, section 5
("localization refinement"), used in training and at run time alike. Beyond the paper it also gives the hand's size
and whether a hand is there.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from hand_pose_ros.detection.center_refinement import REFINER_INPUT, REFINER_OUTPUTS


class _Down(nn.Module):
    """Halve the resolution, then one residual convolution."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.down = nn.Sequential(nn.Conv2d(inputs, outputs, 3, 2, 1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU())
        self.same = nn.Sequential(nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x: Tensor) -> Tensor:
        x = self.down(x)
        return F.relu(x + self.same(x))


class CenterRefiner(nn.Module):
    """(B, 1, 64, 64) crops in [-1, 1] to (B, 5): offset u v z in half sides, log size, log odds of presence."""

    outputs = ('refinement',)
    input_size = REFINER_INPUT

    def __init__(self, channels: tuple[int, ...] = (24, 48, 96, 128)) -> None:
        super().__init__()
        widths = (1, *channels)
        self.body = nn.Sequential(*(_Down(a, b) for a, b in zip(widths, channels)))
        self.head = nn.Sequential(
            nn.Flatten(), nn.Dropout(0.1), nn.Linear(channels[-1] * 16, 192), nn.ReLU(), nn.Linear(192, REFINER_OUTPUTS)
        )

    def forward(self, crop: Tensor) -> Tensor:
        return self.head(self.body(crop)).float()

    def loss(self, crop: Tensor, labels: Tensor) -> Tensor:
        """Smooth L1 for offset and size, cross entropy for presence; a presence of -1 does not count.

        Args:
            crop: (B, 1, 64, 64).
            labels: (B, 6), see ``training.synthesis.surroundings.refiner_batches``.

        """
        out = self(crop)
        weight = labels[:, 5]
        place = F.smooth_l1_loss(out[:, :4], labels[:, :4], beta=0.05, reduction='none') @ out.new_tensor(
            [1, 1, 1, 0.5]
        )
        known = labels[:, 4] >= 0
        presence = F.binary_cross_entropy_with_logits(out[known, 4], labels[known, 4])
        return (place * weight).sum() / weight.sum().clamp(min=1) + 0.5 * presence
