"""The hand frame: where a hand is and which way it points, from its joints alone.

Right-handed for both sides: x from the wrist towards the middle finger's knuckle, y along the axis of flexion (a
positive turn about it bends the fingers towards the palm), z out of the back of the hand. So the palm faces along -z,
and a right hand's thumb is on the side of +y, a left hand's on that of -y.
"""

from __future__ import annotations

import numpy as np

from hand_pose_ros.geometry.joints import JOINTS, KNUCKLES, WRIST
from hand_pose_ros.geometry.rotations import cross

_MIDDLE_KNUCKLE = JOINTS.index('middle_mcp')


def palm_center(joints: np.ndarray) -> np.ndarray:
    """Center (3,) of the palm of joints (21, 3): the mean of the wrist and the knuckles, steadier than the wrist."""
    return joints[[WRIST, *KNUCKLES]].mean(0)


def palm_pose(joints: np.ndarray, side: str) -> np.ndarray:
    """Pose of the palm: the hand frame at the palm center.

    Args:
        joints: (21, 3) meters, in any frame.
        side: ``left`` or ``right``.

    Returns:
        (4, 4) transform from the hand frame to that of the joints.

    Raises:
        ValueError: the knuckles and the wrist lie on one line, or a joint is not finite: there is no such frame.

    """
    forward = joints[_MIDDLE_KNUCKLE] - joints[WRIST]
    across = joints[KNUCKLES[0]] - joints[KNUCKLES[-1]]
    back = cross(forward, across if side == 'right' else -across)
    lengths = np.linalg.norm(forward), np.linalg.norm(back)
    if not (np.isfinite(joints).all() and min(lengths) > 1e-9):
        raise ValueError(f'the joints of the {side} hand are not finite, or its palm is a line: it has no frame')
    pose = np.eye(4)
    pose[:3, 0], pose[:3, 2] = forward / lengths[0], back / lengths[1]
    pose[:3, 1] = cross(pose[:3, 2], pose[:3, 0])
    pose[:3, 3] = palm_center(joints)
    return pose


def in_hand_frame(joints: np.ndarray, side: str) -> np.ndarray:
    """Joints (21, 3) in the axes of the hand frame, from the wrist, in the unit given. Raises as :func:`palm_pose`."""
    return (joints - joints[WRIST]) @ palm_pose(joints, side)[:3, :3]
