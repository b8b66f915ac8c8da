"""Gestures of a hand by which of its fingers are straight: geometry of its 21 joints, nothing is learned.

A gesture is a hand's form. Side, size and orientation do not matter, but for thumbs up and down, where the camera's up
is taken for the world's. What is between two gestures, or unlike any, is ``NONE``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from operator import mul

import numpy as np

from hand_pose_ros.geometry.joints import FINGER_JOINTS, WRIST

NONE = 'none'


@dataclass(frozen=True)
class GestureConfiguration:
    """Thresholds between forms; straightness is that of :func:`straightness`, which network noise hardly changes."""

    straight: float = 0.92  # a finger is straight from this straightness on
    curled: float = 0.77  # and curled below this; between the two it makes no gesture
    max_knuckle_bend_deg: float = 60.0  # a straight finger bent more at its knuckle is part of no gesture
    thumb_out_widths: float = 0.55  # the thumb is stretched out so far outside the index knuckle, in palm widths
    thumb_over_widths: float = 0.05  # and laid over the palm below this
    touch_lengths: float = 0.32  # tips of thumb and index finger touch within this, in palm lengths
    min_pinch_straightness: float = 0.62  # of the touching index finger: in a fist it is less
    max_thumb_tilt_deg: float = 50.0  # a thumb points up or down within this of the vertical


_DEFAULT = GestureConfiguration()

#: Forms of the hand and their names: what the thumb may do (``o`` stretched out, ``b`` beside the palm, ``i`` laid over
#: it), then for the index to the little finger ``1`` straight or ``0`` curled.
FORMS = (
    ('open', 'ob', '1111'),
    ('four', 'i', '1111'),
    ('three', 'bi', '1110'),
    ('three', 'o', '1100'),
    ('two', 'bi', '1100'),
    ('point', 'obi', '1000'),
    ('fist', 'bi', '0000'),
    ('thumb', 'o', '0000'),
    ('call', 'o', '0001'),
    ('horns', 'obi', '1001'),
)

#: Every name that :func:`recognize` returns; a thumb is up or down, or nothing.
GESTURES = (
    NONE,
    *dict.fromkeys(name for name, _, _ in FORMS if name != 'thumb'),
    'thumb_up',
    'thumb_down',
    'pinch',
    'ok',
)


# Plain numbers here: on arrays this small each of numpy's calls costs more than all the arithmetic.
Point = Sequence[float]


def _minus(a: Point, b: Point) -> list[float]:
    return [x - y for x, y in zip(a, b)]


def _angle(a: Point, b: Point) -> float:
    """Angle between two directions, degrees."""
    lengths = math.hypot(*a) * math.hypot(*b)
    return math.degrees(math.acos(max(-1.0, min(1.0, sum(map(mul, a, b)) / max(lengths, 1e-12)))))


def straightness(finger: Sequence[Point]) -> float:
    """Distance of a finger's tip from its knuckle, as a share of the bones between: 1 for a straight one.

    Args:
        finger: its four joints from the palm to the tip, in any unit.

    """
    return math.dist(finger[0], finger[3]) / max(sum(map(math.dist, finger, finger[1:])), 1e-9)


def knuckle_bend(wrist: Point, finger: Sequence[Point]) -> float:
    """Bend at a finger's knuckle, between the line from the wrist and that to the finger's tip; degrees."""
    return _angle(_minus(finger[0], wrist), _minus(finger[3], finger[0]))


def _thumb(tip: Point, index: Point, pinky: Point, config: GestureConfiguration) -> str:
    """What the thumb does, as in ``FORMS``, by its tip and two knuckles."""
    across = _minus(index, pinky)
    place = sum(map(mul, _minus(tip, index), across)) / max(sum(map(mul, across, across)), 1e-12)
    return 'o' if place > config.thumb_out_widths else 'i' if place < config.thumb_over_widths else 'b'


def recognize(joints: np.ndarray, configuration: GestureConfiguration = _DEFAULT) -> str:
    """Recognize a hand's gesture.

    Args:
        joints: (21, 3), camera optical frame (y down), in any unit.
        configuration: the thresholds.

    Returns:
        One of ``GESTURES``.

    """
    config, points = configuration, joints.tolist()
    wrist = points[WRIST]
    (_, thumb_mcp, _, thumb_tip), *fingers = ([points[i] for i in finger] for finger in FINGER_JOINTS.values())
    ratios = [straightness(finger) for finger in fingers]
    straight = [
        ratio > config.straight and knuckle_bend(wrist, finger) < config.max_knuckle_bend_deg
        for ratio, finger in zip(ratios, fingers)
    ]
    index, middle = fingers[:2]
    touching = math.dist(thumb_tip, index[3]) < config.touch_lengths * math.dist(middle[0], wrist)
    if touching and not straight[0] and ratios[0] > config.min_pinch_straightness:
        return 'ok' if all(straight[1:]) else 'pinch'
    if not all(one or ratio < config.curled for one, ratio in zip(straight, ratios)):
        return NONE
    form = ''.join('1' if one else '0' for one in straight)
    thumb = _thumb(thumb_tip, index[0], fingers[-1][0], config)
    name = next((name for name, thumbs, other in FORMS if thumb in thumbs and form == other), NONE)
    if name != 'thumb':
        return name
    tilt = _angle(_minus(thumb_tip, thumb_mcp), (0, -1, 0))
    limit = config.max_thumb_tilt_deg
    return 'thumb_up' if tilt < limit else 'thumb_down' if tilt > 180 - limit else NONE


class SteadyGesture:
    """A gesture that changes only once a new one was held for a while (debouncing).

    Attributes:
        name: the gesture, at first ``NONE``.

    """

    def __init__(self) -> None:
        self.name = NONE
        self._candidate: str | None = None
        self._since = 0.0

    def update(self, name: str, stamp: float, hold: float) -> bool:
        """Take the gesture of a frame; returns whether :attr:`name` changed.

        Args:
            name: one of ``GESTURES``.
            stamp: of the frame, seconds; one before the last starts the waiting anew.
            hold: a new gesture must last so long, seconds.

        """
        if name == self.name:
            self._candidate = None
        elif name != self._candidate or stamp < self._since:
            self._candidate, self._since = name, stamp
        if self._candidate is None or stamp - self._since < hold:
            return False
        self.name, self._candidate = name, None
        return True
