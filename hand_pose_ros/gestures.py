"""Names of gestures, told from a hand's 21 joints by which fingers are straight: pure geometry, nothing is learnt.

A gesture is a hand's form. Sides, sizes and views do not matter, but for thumbs up and down, where the camera's up is
taken for the world's. What is between two gestures, or unlike any, is ``NONE``.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from hand_pose_ros.geometry.joints import FINGER_JOINTS, TIPS, WRIST

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
UPRIGHT = 40.0

#: Name of each gesture -> forms of it: what the thumb may do (``o`` stretched out, ``b`` beside the palm, ``i`` laid over
#: it), then for the index to the little finger ``1`` straight or ``0`` curled.
FORMS = {
    'open': ('ob', '1111'),
    'four': ('i', '1111'),
    'three': ('bi', '1110'),
    'two': ('bi', '1100'),
    'point': ('obi', '1000'),
    'fist': ('bi', '0000'),
    'thumb': ('o', '0000'),
    'call': ('o', '0001'),
    'horns': ('obi', '1001'),
}
#: Three as counted from the thumb on.
_THREE_WITH_THUMB = ('o', '1100')

#: Every name that can be told; a thumb is up or down, or nothing.
GESTURES = (NONE, *(name for name in FORMS if name != 'thumb'), 'thumb_up', 'thumb_down', 'pinch', 'ok')


def reaches(joints: np.ndarray) -> np.ndarray:
    """How far each finger's tip is from its knuckle, as a share of the bones between: (5,), 1 for a straight finger.

    Args:
        joints: (21, 3), in any unit and frame.

    """
    chain = joints[np.array(list(FINGER_JOINTS.values()))]
    lengths = np.linalg.norm(np.diff(chain, axis=1), axis=2).sum(1)
    return np.linalg.norm(chain[:, 3] - chain[:, 0], axis=1) / np.maximum(lengths, 1e-9)


def raises(joints: np.ndarray) -> np.ndarray:
    """Bend at each knuckle, between the line from the wrist and that to the finger's tip: (5,) degrees of (21, 3)."""
    chain = joints[np.array(list(FINGER_JOINTS.values()))]
    before, after = chain[:, 0] - joints[WRIST], chain[:, 3] - chain[:, 0]
    cos = (before * after).sum(1) / np.maximum(np.linalg.norm(before, axis=1) * np.linalg.norm(after, axis=1), 1e-12)
    return np.degrees(np.arccos(np.clip(cos, -1, 1)))


def _thumb(joints: np.ndarray) -> str:
    """What the thumb does, as in ``FORMS``."""
    index, pinky, tip = joints[FINGER_JOINTS['index'][0]], joints[FINGER_JOINTS['pinky'][0]], joints[TIPS[0]]
    across = index - pinky
    place = (tip - index) @ across / max(across @ across, 1e-12)
    return 'o' if place > OUT else 'i' if place < OVER else 'b'


def recognise(joints: np.ndarray) -> str:
    """Tell a hand's gesture.

    Args:
        joints: (21, 3), camera optical frame (y down), in any unit.

    Returns:
        One of ``GESTURES``.

    """
    reach = reaches(joints)[1:]
    palm = np.linalg.norm(joints[FINGER_JOINTS['middle'][0]] - joints[WRIST])
    straight, curled = (reach > STRAIGHT) & (raises(joints)[1:] < RAISED), reach < CURLED
    gap = np.linalg.norm(joints[TIPS[0]] - joints[TIPS[1]])
    if gap < TOUCH * palm and not straight[0] and reach[0] > PINCHING:
        return 'ok' if straight[1:].all() else 'pinch'
    if not (straight | curled).all():
        return NONE
    thumb, fingers = _thumb(joints), ''.join('1' if one else '0' for one in straight)
    if thumb in _THREE_WITH_THUMB[0] and fingers == _THREE_WITH_THUMB[1]:
        return 'three'
    name = next((name for name, (thumbs, form) in FORMS.items() if thumb in thumbs and fingers == form), NONE)
    if name != 'thumb':
        return name
    way = joints[TIPS[0]] - joints[FINGER_JOINTS['thumb'][1]]
    up = np.degrees(np.arccos(np.clip(-way[1] / max(np.linalg.norm(way), 1e-9), -1, 1)))
    return 'thumb_up' if up < UPRIGHT else 'thumb_down' if up > 180 - UPRIGHT else NONE


class SteadyGesture:
    """A gesture that changes only once a new one was held for a while.

    Args:
        hold: gives the seconds.

    Attributes:
        name: the gesture, at first ``NONE``.

    """

    def __init__(self, hold: Callable[[], float]) -> None:
        self._hold = hold
        self.name = NONE
        self._other: str | None = None
        self._since = 0.0

    def hear(self, name: str, stamp: float) -> bool:
        """Take what one frame says at ``stamp`` in seconds; True where the gesture changed."""
        if name == self.name:
            self._other = None
        elif name != self._other or stamp < self._since:
            self._other, self._since = name, stamp
        if self._other is None or stamp - self._since < self._hold():
            return False
        self.name, self._other = name, None
        return True
