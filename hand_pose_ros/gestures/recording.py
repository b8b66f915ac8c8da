"""Recording a form: some seconds of a hand that holds it become 20 angles and a tolerance in a file of gestures."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import yaml

from hand_pose_ros.gestures.library import GestureError, RecordedForm, check_name, read_document, read_library
from hand_pose_ros.gestures.shape import ANGLE_NAMES, measure_angles


@dataclass(frozen=True)
class RecordingLimits:
    """What a recording must be like."""

    least_frames: int = 10
    greatest_motion_deg: float = 15.0  # root mean square about the median form: beyond, the hand did not hold still
    # Hands of different forms differ by 16 degrees or more, but for one pair in a hundred; one view of a hand differs
    # from its true joints by 9 in the median.
    least_tolerance_deg: float = 14.0
    greatest_tolerance_deg: float = 20.0
    tolerance_per_motion: float = 2.5


_DEFAULT = RecordingLimits()


def make_form(name: str, hands: Sequence[np.ndarray], side: str, limits: RecordingLimits = _DEFAULT) -> RecordedForm:
    """Make a form of the frames of a hand that holds it.

    Args:
        name: of the gesture.
        hands: (21, 3) joints of each frame, in any frame and unit.
        side: of the hand; the form is that of the other hand too.
        limits: what the recording must be like.

    Raises:
        GestureError: the name is none, there are too few frames, or the hand did not hold still.

    """
    check_name(name, 'gesture record')
    if len(hands) < limits.least_frames:
        raise GestureError(
            f'{name}: the {side} hand was seen in {len(hands)} frames, and {limits.least_frames} are needed: '
            'hold it before the camera, or record for longer (--seconds)'
        )
    rows = [measure_angles(joints, side) for joints in hands]
    middle = {angle: statistics.median(row[angle] for row in rows) for angle in ANGLE_NAMES}
    motion = math.sqrt(statistics.fmean((row[angle] - middle[angle]) ** 2 for row in rows for angle in ANGLE_NAMES))
    if motion > limits.greatest_motion_deg:
        raise GestureError(
            f'{name}: the fingers moved by {motion:.0f} degrees (rms) while it was recorded, more than '
            f'{limits.greatest_motion_deg:.0f}: hold the form still'
        )
    tolerance = min(
        max(limits.tolerance_per_motion * motion, limits.least_tolerance_deg), limits.greatest_tolerance_deg
    )
    return RecordedForm(name, {angle: round(value, 1) for angle, value in middle.items()}, round(tolerance, 1))


def save_form(path: Path, form: RecordedForm) -> bool:
    """Write a recorded form into a file of gestures, which is made where there is none; comments in it are lost.

    Returns:
        Whether one of that name was replaced.

    Raises:
        GestureError: the file holds something else than gestures.
        OSError: it cannot be written.

    """
    document: dict = {}
    if path.is_file():
        read_library(path)
        document = read_document(path)
    recorded = document.get('recorded') or {}
    replaced = form.name in recorded or form.name in (document.get('forms') or {})
    (document.get('forms') or {}).pop(form.name, None)
    recorded[form.name] = {'angles_deg': dict(form.angles_deg), 'tolerance_deg': form.tolerance_deg}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump({**document, 'recorded': recorded}, sort_keys=False), encoding='utf-8')
    return replaced
