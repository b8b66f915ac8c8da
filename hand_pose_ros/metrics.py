"""Hands found against hands known: joint errors by frame and side."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from hand_pose_ros.geometry.joints import JOINTS, other_side

#: Frame name -> side -> (21, 3) joints in metres.
HandsByFrame = Mapping[str, Mapping[str, np.ndarray]]


@dataclass(frozen=True)
class HandComparison:
    """One known hand of one frame.

    Attributes:
        frame: name of the frame.
        side: the hand's true side.
        errors: (21,) distance of each joint found from the true one in metres; None where this side was not found.
        wrong_side: the hand was not found, but one of the other side was where there is none.

    """

    frame: str
    side: str
    errors: np.ndarray | None
    wrong_side: bool = False


def compare_hands(frames: Iterable[str], found: HandsByFrame, truth: HandsByFrame) -> list[HandComparison]:
    """Compare every known hand of ``frames`` with what was found in the same frame."""
    comparisons = []
    for frame in frames:
        seen, known = found.get(frame, {}), truth.get(frame, {})
        for side, joints in known.items():
            if side in seen:
                errors = np.linalg.norm(np.asarray(seen[side]) - joints, axis=1)
                comparisons.append(HandComparison(frame, side, errors))
            else:
                other = other_side(side)
                comparisons.append(HandComparison(frame, side, None, other in seen and other not in known))
    return comparisons


def summarize(comparisons: Sequence[HandComparison]) -> dict:
    """Return the figures of ``summary.json`` that rest on ground truth; errors in millimetres, None without a hand."""
    errors = [comparison.errors for comparison in comparisons if comparison.errors is not None]
    millimetres = 1000 * np.array(errors).reshape(-1, len(JOINTS))

    def figure(value: float) -> float:
        return round(float(value), 3)

    return {
        'hands_in_clip': len(comparisons),
        'hands_found': len(errors),
        'wrong_side': sum(comparison.wrong_side for comparison in comparisons),
        'mean_joint_error_mm': figure(millimetres.mean()) if errors else None,
        'median_joint_error_mm': figure(np.median(millimetres)) if errors else None,
        'per_joint_error_mm': {joint: figure(value) for joint, value in zip(JOINTS, millimetres.mean(0))}
                              if errors else {},
    }


def spread_ms(seconds: Sequence[float]) -> dict[str, float] | None:
    """Return median and 95th percentile of times in milliseconds; None for no times."""
    if not len(seconds):
        return None
    return {'median': round(1e3 * float(np.median(seconds)), 3),
            'p95': round(1e3 * float(np.percentile(seconds, 95)), 3)}
