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
        score: how sure the tracker is that this is a hand, 0 to 1.
        joints: (21, 3) in metres, camera optical frame, ordered as ``geometry.joints.JOINTS``.
        confidence: (21,) how sure each joint is, 0 to 1.
        fit: the hand model posed on the joints; None when not asked for.
        track: number that stays with this hand from frame to frame.

    """

    side: str
    score: float
    joints: np.ndarray
    confidence: np.ndarray
    fit: HandFit | None = None
    track: int = 0
