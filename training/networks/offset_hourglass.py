"""One hourglass of JGR-P2O: a depth network for processors of plain AVX2.

Of JGR-P2O (:mod:`training.networks.jgr_p2o`) it keeps the stem, the first hourglass, its joint graph reasoning and the
head. The second hourglass takes nearly half of the time and corrects little of what the first one says; bottlenecks may
be narrower than half of the channels. ``python -m training shrink`` makes one of a JGR-P2O that is trained.
"""

from __future__ import annotations

from training.networks.jgr_p2o import JGRP2O
from training.networks.skeletons import OURS


class OffsetHourglass(JGRP2O):
    """Depth crop (B, 1, 96, 96) in [-1, 1], background 1, to joints.

    Args:
        channels: features of each pixel at 24 x 24.
        middle: channels of the residual modules' bottlenecks.
        joints: skeleton that is estimated, see :func:`training.networks.skeletons.skeleton`.

    """

    def __init__(self, channels: int = 128, middle: int = 64, joints: str = OURS) -> None:
        super().__init__(stacks=1, channels=channels, joints=joints, middle=middle)
