"""Names of gestures, told from a hand's 21 joints by which fingers are straight: pure geometry, nothing is learnt.

A gesture is a hand's form. Sides, sizes and views do not matter, but for thumbs up and down, where the camera's up is
taken for the world's. What is between two gestures, or unlike any, is ``NONE``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from operator import mul

import numpy as np

from hand_pose_ros.geometry.joints import FINGER_JOINTS, WRIST

NONE = 'none'

#: A finger is straight when its tip is this share of its length from its knuckle, and curled when less than the second.
#: (Bends add up a network's errors of neighbouring joints; the reach hardly feels them.)
STRAIGHT, CURLED = 0.92, 0.77
#: Above this bend at the knuckle a straight finger is part of no gesture; degrees.
RAISED = 60.0
#: Where the thumb's tip is across the hand, in widths of the palm from the index finger's knuckle outwards: stretched out
#: above the first, laid over the palm below the second.
OUT, OVER = 0.55, 0.05
#: Thumb and index finger touch when their tips are closer than this, in lengths of the palm, and this index finger reaches
#: further than the second, as in a fist it does not.
TOUCH, PINCHING = 0.32, 0.62
#: The thumb points up or down when it is this close to the vertical; degrees.
UPRIGHT = 50.0

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

#: Every name that can be told; a thumb is up or down, or nothing.
GESTURES = (NONE, *dict.fromkeys(name for name, _, _ in FORMS if name != 'thumb'), 'thumb_up', 'thumb_down', 'pinch', 'ok')


# Plain numbers here: on arrays this small each of numpy's calls costs more than all the arithmetic.
Point = Sequence[float]


def _minus(a: Point, b: Point) -> list[float]:
    return [x - y for x, y in zip(a, b)]


def _angle(a: Point, b: Point) -> float:
    """Angle between two directions, degrees."""
    lengths = math.hypot(*a) * math.hypot(*b)
    return math.degrees(math.acos(max(-1.0, min(1.0, sum(map(mul, a, b)) / max(lengths, 1e-12)))))


def reach(finger: Sequence[Point]) -> float:
    """How far a finger's tip is from its knuckle, as a share of the bones between: 1 for a straight one.

    Args:
        finger: its four joints from the palm to the tip, in any unit.

    """
    return math.dist(finger[0], finger[3]) / max(sum(map(math.dist, finger, finger[1:])), 1e-9)


def raised(wrist: Point, finger: Sequence[Point]) -> float:
    """Bend at a finger's knuckle, between the line from the wrist and that to the finger's tip; degrees."""
    return _angle(_minus(finger[0], wrist), _minus(finger[3], finger[0]))


def _thumb(tip: Point, index: Point, pinky: Point) -> str:
    """What the thumb does, as in ``FORMS``, by its tip and two knuckles."""
    across = _minus(index, pinky)
    place = sum(map(mul, _minus(tip, index), across)) / max(sum(map(mul, across, across)), 1e-12)
    return 'o' if place > OUT else 'i' if place < OVER else 'b'


def recognise(joints: np.ndarray) -> str:
    """Tell a hand's gesture.

    Args:
        joints: (21, 3), camera optical frame (y down), in any unit.

    Returns:
        One of ``GESTURES``.

    """
    points = joints.tolist()
    wrist = points[WRIST]
    (_, thumb_mcp, _, thumb_tip), *fingers = ([points[i] for i in finger] for finger in FINGER_JOINTS.values())
    reaches = [reach(finger) for finger in fingers]
    straight = [far > STRAIGHT and raised(wrist, finger) < RAISED for far, finger in zip(reaches, fingers)]
    index, middle = fingers[:2]
    touching = math.dist(thumb_tip, index[3]) < TOUCH * math.dist(middle[0], wrist)
    if touching and not straight[0] and reaches[0] > PINCHING:
        return 'ok' if all(straight[1:]) else 'pinch'
    if not all(one or far < CURLED for one, far in zip(straight, reaches)):
        return NONE
    form = ''.join('1' if one else '0' for one in straight)
    thumb = _thumb(thumb_tip, index[0], fingers[-1][0])
    name = next((name for name, thumbs, other in FORMS if thumb in thumbs and form == other), NONE)
    if name != 'thumb':
        return name
    up = _angle(_minus(thumb_tip, thumb_mcp), (0, -1, 0))
    return 'thumb_up' if up < UPRIGHT else 'thumb_down' if up > 180 - UPRIGHT else NONE


class SteadyGesture:
    """A gesture that changes only once a new one was held for a while.

    Attributes:
        name: the gesture, at first ``NONE``.

    """

    def __init__(self) -> None:
        self.name = NONE
        self._other: str | None = None
        self._since = 0.0

    def hear(self, name: str, stamp: float, hold: float) -> bool:
        """Take what one frame says at ``stamp``; True where the gesture changed, being held for ``hold``; seconds."""
        if name == self.name:
            self._other = None
        elif name != self._other or stamp < self._since:
            self._other, self._since = name, stamp
        if self._other is None or stamp - self._since < hold:
            return False
        self.name, self._other = name, None
        return True
