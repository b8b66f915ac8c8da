"""Joint angles that robots can trust: one that its joints do not vouch for is blended in, and none jumps."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from hand_pose_ros.hand_model.kinematics import BONE_JOINTS, DEGREES_OF_FREEDOM

#: After a longer gap nothing is known of the angles before, seconds.
LONGEST_GAP_S = 0.5
#: The joint that each angle turns, by the angle's name; the angle rests on it and on the one after it.
_TURNED = {one.name: BONE_JOINTS[one.bone] for one in DEGREES_OF_FREEDOM}


class AngleGuard:
    """Guards the angles of one hand."""

    def __init__(self) -> None:
        self._track: int | None = None
        self._stamp = -math.inf
        self._angles: dict[str, float] = {}

    def __call__(
        self,
        angles: Mapping[str, float],
        confidence: np.ndarray,
        track: int,
        stamp: float,
        least_confidence: float,
        speed: float,
    ) -> dict[str, float]:
        """Return the angles to act on.

        Args:
            angles: radians, by name.
            confidence: (21,) of the joints.
            track: of the hand; another one begins anew.
            stamp: of the frame, seconds.
            least_confidence: an angle whose joints have less takes over by the share that they have of it.
            speed: radians a second that no angle changes faster; 0 for no limit.

        """
        elapsed = stamp - self._stamp
        if track != self._track or not 0 < elapsed <= LONGEST_GAP_S:
            self._angles, elapsed = dict(angles), 0.0
        step = speed * elapsed if speed else math.inf
        guarded = {}
        for name, angle in angles.items():
            before, joint = self._angles.get(name, angle), _TURNED[name]
            trust = float(min(confidence[joint], confidence[joint + 1]))
            share = min(1.0, trust / least_confidence) if least_confidence else 1.0
            guarded[name] = before + max(-step, min(step, share * (angle - before)))
        self._track, self._stamp, self._angles = track, stamp, guarded
        return guarded
