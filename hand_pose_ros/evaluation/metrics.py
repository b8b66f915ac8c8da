"""Hands found against hands known: joint errors by frame and side."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hand_pose_ros.evaluation.scoring import rounded
from hand_pose_ros.files import read_json, reading
from hand_pose_ros.geometry.joints import JOINTS

#: Figures of a run that reports compare.
COMPARED = (
    'mean_joint_error_mm',
    'median_joint_error_mm',
    'aligned_joint_error_mm',
    'auc',
    'hands_found',
    'wrong_side',
    'same_gesture_percent',
    'hands_too_many',
    'losses',
    'not_recovered',
    'jitter_mm',
    'error_jitter_mm',
    'truth_jitter_mm',
    'lag_ms',
)

#: Frame name -> side -> (21, 3) joints in meters.
HandsByFrame = Mapping[str, Mapping[str, np.ndarray]]


class MetricsError(ValueError):
    """A file that is no ``metrics.json`` of ``hand-pose evaluate``; the message names it and says what is wrong."""


#: Curves of ``metrics.json``.
_CURVES = ('threshold_mm', 'hands_by_worst_joint', 'hands_by_mean_joint', 'joints')


def read_metrics(path: Path) -> dict[str, Any]:
    """Read the run of an earlier ``metrics.json``, checked as far as reports go into it.

    Raises:
        MetricsError: the file is missing or no such file.

    """
    with reading(path, MetricsError, 'a metrics.json of hand-pose evaluate'):
        run = read_json(path)['run']
        figures = {key: value for key, value in run.items() if isinstance(value, (int, float))}
        if not isinstance(run['model'], str) or type(run['frames']) is not int:
            raise MetricsError(f'{path}: it lacks the model or the number of frames')
        tables = [run.get('per_joint_error_mm') or {}]
        tables += [{name: known['same_percent']} for name, known in (run.get('gestures') or {}).items()]
        rows = {name: run['curves'][name] for name in _CURVES} if run.get('curves') else {}
        numbers = [
            *figures.values(),
            *(n for one in tables for n in one.values()),
            *(n for row in rows.values() for n in row),
        ]
        if not all(n is None or (isinstance(n, (int, float)) and np.isfinite(float(n))) for n in numbers):
            raise MetricsError(f'{path}: it holds figures that are no finite numbers')
        if len({len(row) for row in rows.values()}) > 1:
            raise MetricsError(f'{path}: its curves are not of one length')
        texts = sorted(key for key in COMPARED if not isinstance(run.get(key), (int, float, type(None))))
        if texts:
            raise MetricsError(f'{path}: {texts[0]} is no number')
        return dict(run)


@dataclass(frozen=True)
class HandComparison:
    """One known hand of one frame.

    Attributes:
        frame: name of the frame.
        side: the hand's true side.
        errors: (21,) distance of each joint found from the true one in meters; None where the hand was not found, or
            was taken for one of the other side.
        wrong_side: it was taken for one of the other side.

    """

    frame: str
    side: str
    errors: np.ndarray | None
    wrong_side: bool = False


def compare_hands(frames: Iterable[str], found: HandsByFrame, truth: HandsByFrame) -> list[HandComparison]:
    """Compare every known hand of ``frames`` with what was found in the same frame."""
    comparisons = []
    for frame in frames:
        here, known = found.get(frame, {}), truth.get(frame, {})
        # Which hand found is which known one is a matter of place: two hands may have swapped their sides.
        pairs = sorted(
            (float(np.linalg.norm(here[as_side] - known[side], axis=1).mean()), side, as_side)
            for side in known
            for as_side in here
        )
        taken_for: dict[str, str] = {}
        for _, side, as_side in pairs:
            if side not in taken_for and as_side not in taken_for.values():
                taken_for[side] = as_side
        for side, joints in known.items():
            right = taken_for.get(side) == side
            errors = np.linalg.norm(here[side] - joints, axis=1) if right else None
            comparisons.append(HandComparison(frame, side, errors, side in taken_for and not right))
    return comparisons


def summarize(comparisons: Sequence[HandComparison]) -> dict:
    """Return the figures of ``summary.json`` that rest on ground truth; errors in millimeters, None without a hand."""
    errors = [comparison.errors for comparison in comparisons if comparison.errors is not None]
    millimeters = 1000 * np.array(errors).reshape(-1, len(JOINTS))

    return {
        'hands_in_clip': len(comparisons),
        'hands_found': len(errors),
        'wrong_side': sum(comparison.wrong_side for comparison in comparisons),
        'mean_joint_error_mm': rounded(millimeters.mean()) if errors else None,
        'median_joint_error_mm': rounded(np.median(millimeters)) if errors else None,
        'per_joint_error_mm': {joint: rounded(value) for joint, value in zip(JOINTS, millimeters.mean(0))}
        if errors
        else {},
    }


def percentiles_ms(seconds: Sequence[float]) -> dict[str, float] | None:
    """Return median and 95th percentile of times in milliseconds; None for no times."""
    if not len(seconds):
        return None
    return {
        'median': round(1e3 * float(np.median(seconds)), 3),
        'p95': round(1e3 * float(np.percentile(seconds, 95)), 3),
    }
