"""How large a hand of a color image is, from a depth image registered to it."""

from __future__ import annotations

import numpy as np

from hand_pose_ros.geometry.camera import Camera
from hand_pose_ros.imaging.images import DepthImage

#: Joints lie this far under the skin that depth shows, as a share of the hand's size.
UNDER_SKIN = 0.08
#: Depth is of the hand where it is this close to most joints' (meters), and tells something from so many joints on.
HAND_DEPTH, ENOUGH = 0.03, 6
#: Sizes that a hand can have, wrist to knuckles, meters.
SIZES = (0.035, 0.14)


def size_from_depth(
    joints: np.ndarray, size: float, confidence: np.ndarray, depth: np.ndarray | DepthImage, camera: Camera
) -> float | None:
    """Find a hand's true size: the one that brings its joints to where the depth image sees its skin.

    The image of a hand twice as large and twice as far away is the same; depth at the joints' pixels tells which it
    is. Joints that something hides, or that are seen beside the hand, disagree with the others and do not count.

    Args:
        joints: (21, 3) meters, camera optical frame, of a hand taken to be of ``size``.
        size: meters, as ``geometry.joints.hand_size`` has it.
        confidence: (21,) how much each joint counts.
        depth: (H, W) of ``camera``, meters; 0 for holes.
        camera: the color image's camera.

    Returns:
        Meters; None where depth does not show a hand there.

    """
    column, row = np.rint(camera.project(joints)).astype(int).T
    height, width = depth.shape
    inside = (column >= 1) & (column < width - 1) & (row >= 1) & (row < height - 1)
    if inside.sum() < ENOUGH:
        return None
    near = np.arange(-1, 2)
    rows = (row[inside, None, None] + near[:, None]).repeat(3, 2).reshape(-1, 9)
    columns = (column[inside, None, None] + near).repeat(3, 1).reshape(-1, 9)
    seen = depth[rows, columns]
    holes = seen == 0
    skin = np.ma.median(np.ma.masked_array(seen, holes), axis=1).filled(0)
    known = skin > 0
    if known.sum() < ENOUGH:
        return None
    skin, weights = skin[known].astype(float), np.asarray(confidence, float)[inside][known] + 1e-3
    scales = skin / (joints[inside, 2][known] - UNDER_SKIN * size)
    order = np.argsort(scales)
    middle = order[np.searchsorted(np.cumsum(weights[order]), weights.sum() / 2)]
    agreeing = np.abs(scales / scales[middle] - 1) * skin[middle] < HAND_DEPTH
    if agreeing.sum() < ENOUGH:
        return None
    found = size * float(np.average(scales[agreeing], weights=weights[agreeing]))
    return found if SIZES[0] < found < SIZES[1] else None
