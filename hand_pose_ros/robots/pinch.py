"""A pinch of thumb and index finger, made a gripper's opening."""

from __future__ import annotations

import numpy as np

from hand_pose_ros.geometry.joints import JOINTS, hand_size

_THUMB_TIP, _INDEX_TIP = JOINTS.index('thumb_tip'), JOINTS.index('index_tip')


def pinch_gap(joints: np.ndarray) -> float:
    """Distance of the tips of thumb and index finger of joints (21, 3), in palm lengths."""
    return float(np.linalg.norm(joints[_THUMB_TIP] - joints[_INDEX_TIP])) / max(hand_size(joints), 1e-9)


class Pinch:
    """Whether a hand pinches, with hysteresis: a gap between the two thresholds changes nothing.

    Attributes:
        closed: the state; open at first.

    """

    def __init__(self, closed_below: float, open_above: float) -> None:
        self.closed = False
        self._closed_below, self._open_above = closed_below, open_above

    def update(self, gap: float) -> bool:
        """Take a gap in palm lengths; returns whether the state changed. A gap that is not a number changes nothing."""
        before = self.closed
        if gap < self._closed_below:
            self.closed = True
        elif gap > self._open_above:
            self.closed = False
        return self.closed != before
