"""Whether a skeleton can be a hand's: by its bones and its reach, and by the depth that should be seen at its joints.

A network answers whatever it is shown, now and then with high confidence. What no hand can be is not reported as one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from hand_pose_ros.geometry.joints import BONES, WRIST, hand_center, hand_size

if TYPE_CHECKING:
    from hand_pose_ros.geometry.camera import Camera
    from hand_pose_ros.imaging.images import DepthImage


@dataclass(frozen=True)
class SkeletonLimits:
    """What skeletons of hands never exceed; lengths without a unit are in palm lengths (``hand_size``)."""

    #: Palm length: a small child's has 45 mm, the longest of adults 125 mm; the rest is what networks are off.
    least_size_m: float = 0.04
    most_size_m: float = 0.15
    #: From the wrist to the farthest joint: 1.2 in a fist, 2.1 with straight fingers.
    least_reach: float = 1.0
    most_reach: float = 2.8
    #: All bones together: 8.9 to 9.7, whatever the hand does.
    least_bones: float = 6.5
    most_bones: float = 12.5
    #: The longest bone, from the wrist to a knuckle: 1.05.
    longest_bone: float = 1.6
    #: A joint floats when all that is seen about it is farther away by more than this: bones lie under the skin.
    floating_m: float = 0.04
    #: Depth is looked at so far about a joint: half a finger, and what a network is off beside it.
    about_m: float = 0.012
    #: The share of joints that may float, of those about which depth is seen, of which there must be so many.
    most_floating: float = 0.5
    least_seen: int = 8


LIMITS = SkeletonLimits()

_PARENTS, _CHILDREN = np.array(BONES).T
#: (9, 2) places about a joint where depth is looked at.
_PLACES = np.stack(np.meshgrid([-1, 0, 1], [-1, 0, 1]), -1).reshape(-1, 2)


def is_skeleton(joints: np.ndarray, limits: SkeletonLimits = LIMITS) -> bool:
    """Whether joints (21, 3) in meters are finite and lie to one another as those of a hand."""
    if not np.isfinite(joints).all():
        return False
    size = hand_size(joints)
    if not limits.least_size_m < size < limits.most_size_m:
        return False
    bones = np.linalg.norm(joints[_CHILDREN] - joints[_PARENTS], axis=1) / size
    reach = np.linalg.norm(joints - joints[WRIST], axis=1).max() / size
    return bool(
        limits.least_reach < reach < limits.most_reach
        and limits.least_bones < bones.sum() < limits.most_bones
        and bones.max() < limits.longest_bone
    )


def floating_share(joints: np.ndarray, depth: DepthImage, camera: Camera, limits: SkeletonLimits = LIMITS) -> float:
    """Share of a hand's joints that float before everything that is seen about them.

    Args:
        joints: (21, 3) meters, camera optical frame.
        depth: (H, W) of ``camera``.
        camera: pinhole.
        limits: how near is about, and how far is behind.

    Returns:
        0 to 1; 0 where too few joints are in the image and have depth about them.

    """
    front = joints[:, 2] > limits.about_m
    if not front.all():
        return float(np.mean(~front))
    radius = limits.about_m * camera.fx / joints[:, 2]
    places = np.rint(camera.project(joints)[:, None] + radius[:, None, None] * _PLACES).astype(int)
    inside = ((places >= 0) & (places < (camera.width, camera.height))).all(-1)
    clipped = np.clip(places, 0, (camera.width - 1, camera.height - 1))
    seen = np.asarray(depth[clipped[..., 1], clipped[..., 0]])
    seen = np.where(inside & (seen > 0), seen, np.inf).min(1)
    known = np.isfinite(seen)
    if np.count_nonzero(known) < limits.least_seen:
        return 0.0
    return float(np.mean(seen[known] > joints[known, 2] + limits.floating_m))


def at_size(joints: np.ndarray, size_m: float) -> np.ndarray:
    """Joints (21, 3) grown or shrunk about their center to another palm length, meters."""
    center = hand_center(joints)
    return center + (joints - center) * (size_m / hand_size(joints))
