"""Hands as plain data: what an estimator makes of one, and what the tracker returns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from hand_pose_ros.regions.base import HandRegion


@dataclass(frozen=True)
class HandFit:
    """The hand model posed on the joints of a hand, all in the camera's optical frame.

    Attributes:
        angles: joint angle in radians by name without the side, e.g. ``index_mcp_flexion``.
        rotations: (21, 3, 3) orientation of each joint's frame, see :mod:`hand_pose_ros.hand_model.model`.
        joints: (21, 3) joints of the posed model, meters.
        vertices: (V, 3) meters, or None when no mesh was asked for.
        faces: (F, 3) vertex indices, counter-clockwise seen from outside; None with ``vertices``.
        residual: root mean square distance between ``joints`` and the joints fitted to, meters.

    """

    angles: dict[str, float]
    rotations: np.ndarray
    joints: np.ndarray
    vertices: np.ndarray | None
    faces: np.ndarray | None
    residual: float


@dataclass(frozen=True)
class HandEstimate:
    """What a pose estimator makes of one region of one frame.

    Attributes:
        joints: (21, 3) meters, camera optical frame, ordered as ``geometry.joints.JOINTS``.
        confidence: (21,) probability that a joint is within 10 mm (times hand size / 0.095), calibrated on validation.
        sigma: (21,) expected error of each joint, meters, which fusion weighs by.
        presence: probability that the region shows a hand.
        handedness_logit: log odds that the hand is of the region's side.
        region: where the hand is looked for next, as the joints have it.
        coverage: share of the region's image in which depth shows something; None without depth.
        hypotheses: joints and sigma of each view that this one was merged from; empty for a single view.
        metric: whether its distance was measured, not assumed from a hand size.

    """

    joints: np.ndarray
    confidence: np.ndarray
    sigma: np.ndarray
    presence: float
    handedness_logit: float
    region: HandRegion
    coverage: float | None = None
    hypotheses: tuple[tuple[np.ndarray, np.ndarray], ...] = ()
    metric: bool = True


@dataclass(frozen=True)
class Hand:
    """One hand of one frame.

    Attributes:
        side: ``left`` or ``right``, the person's own.
        score: how sure the tracker is of this hand, 0 to 1.
        joints: (21, 3) meters, camera optical frame, ordered as ``geometry.joints.JOINTS``.
        confidence: (21,) probability that a joint is within 10 mm (times hand size / 0.095), calibrated on validation.
        fit: the hand model posed on the joints; None when not asked for.
        track_id: number that stays with this hand from frame to frame.
        metric: whether its distance was measured, not assumed from a hand size.

    """

    side: str
    score: float
    joints: np.ndarray
    confidence: np.ndarray
    fit: HandFit | None = None
    track_id: int = 0
    metric: bool = True
