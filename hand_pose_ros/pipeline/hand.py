"""What the pipeline returns for each hand that it sees."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class HandFit:
    """The hand model posed on the joints of a hand, all in the camera's optical frame.

    Attributes:
        angles: joint angle in radians by name without the side, e.g. ``index_mcp_flexion``.
        rotations: (21, 3, 3) orientation of each joint's frame.
        joints: (21, 3) joints of the posed model, metres.
        vertices: (V, 3) metres, or None when no mesh was asked for.
        faces: (F, 3) vertex indices, counter-clockwise seen from outside; None with ``vertices``.
        residual: root mean square distance between ``joints`` and the joints fitted to, metres.

    """

    angles: dict[str, float]
    rotations: np.ndarray
    joints: np.ndarray
    vertices: np.ndarray | None
    faces: np.ndarray | None
    residual: float


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
