"""The 21 joints of a hand, their tree and the two sides: the one place that names them.

The order is that of FreiHAND, OpenPose and MediaPipe: the wrist, then four joints a finger from
the palm outwards, thumb first. A tip is the end of the finger, on its axis, 4 mm under the skin.
"""

from __future__ import annotations

import numpy as np

FINGERS = ('thumb', 'index', 'middle', 'ring', 'pinky')

JOINTS = (
    'wrist',
    'thumb_cmc',
    'thumb_mcp',
    'thumb_ip',
    'thumb_tip',
    *(f'{finger}_{joint}' for finger in FINGERS[1:] for joint in ('mcp', 'pip', 'dip', 'tip')),
)

WRIST = 0

#: Parent of each joint; -1 for the wrist.
PARENTS = (-1, *(WRIST if i % 4 == 1 else i - 1 for i in range(1, len(JOINTS))))

#: (parent, child) of each of the 20 bones; bone i ends in joint i + 1.
BONES = tuple((parent, joint) for joint, parent in enumerate(PARENTS) if parent >= 0)

#: Joint indices of each finger, from the palm to the tip.
FINGER_JOINTS = {finger: tuple(range(4 * f + 1, 4 * f + 5)) for f, finger in enumerate(FINGERS)}

#: First joints of the four fingers.
KNUCKLES = tuple(joints[0] for finger, joints in FINGER_JOINTS.items() if finger != 'thumb')

TIPS = tuple(joints[-1] for joints in FINGER_JOINTS.values())

SIDES = ('left', 'right')

#: Size of a hand (:func:`hand_size`) that is assumed where nothing measures it, meters.
NOMINAL_HAND_SIZE_M = 0.09


def other_side(side: str) -> str:
    """Return the opposite of ``side``."""
    return SIDES[1 - SIDES.index(side)]


def hand_size(joints: np.ndarray) -> float:
    """Size of a hand (21, 3): the mean length from the wrist to the four fingers' knuckles. An adult's is 95 mm."""
    return float(np.linalg.norm(joints[list(KNUCKLES)] - joints[WRIST], axis=1).mean())


def hand_center(joints: np.ndarray) -> np.ndarray:
    """Center (3,) of a hand's cube: the mean of its joints (21, 3)."""
    return joints.mean(0)


def is_degenerate(joints: np.ndarray) -> bool:
    """Whether joints (21, 3) in meters make no hand: not finite, all in one place, or in the camera itself."""
    return not (np.isfinite(joints).all() and hand_size(joints) > 1e-4 and np.linalg.norm(hand_center(joints)) > 1e-4)
