"""What the pipeline returns for each hand that it sees."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hand_pose_ros.hand_model.fitting import HandFit


@dataclass(frozen=True)
class Hand:
    """One hand of one frame.

    Attributes:
        side: ``left`` or ``right``.
        score: how sure the tracker is of this hand, 0 to 1: geometric mean of localization's probability that
            there is a hand and of the joints' confidence.
        joints: (21, 3) in metres, camera optical frame, ordered as ``geometry.joints.JOINTS``.
        confidence: (21,) probability that a joint is within 10 mm, as calibrated on the validation set.
        fit: the hand model posed on the joints; None when not asked for.
        track: number that stays with this hand from frame to frame.

    """

    side: str
    score: float
    joints: np.ndarray
    confidence: np.ndarray
    fit: HandFit | None = None
    track: int = 0
