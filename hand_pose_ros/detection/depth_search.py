"""Where hands may be in a whole depth image: the closest object, and every other surface near it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hand_pose_ros.geometry.camera import Camera
from hand_pose_ros.imaging.images import DepthImage

#: Pixels between the samples taken of an image of 640 columns.
_STRIDE = 6
#: Side of the cells that a scene is divided into, meters: about a palm.
_CELL = 0.08
#: Fewer samples than this in a cell are noise.
_LEAST = 3
#: How far behind the closest surface hands are looked for, meters.
_REACH = 0.75
#: A hand lies about this far behind its visible surface, meters.
_BENEATH = 0.015


def propose_centers(
    depth: np.ndarray | DepthImage, camera: Camera, most: int = 40, known: Sequence[np.ndarray] = ()
) -> np.ndarray:
    """Propose rough centers of hands.

    The scene near the closest object (as DeepPrior and SRN take it) is divided into cells of a palm's size; each
    occupied cell's center of mass is a proposal, the closest first.

    Args:
        depth: (H, W); an array is float32 meters, 0 for holes.
        camera: pinhole of ``depth``.
        most: how many proposals at the most.
        known: centers (3,) of hands that are followed already; nothing is proposed near them.

    Returns:
        (N, 3) meters, camera optical frame; N is 0 where the image shows nothing.

    """
    stride = max(2, round(_STRIDE * depth.shape[1] / 640))
    small = depth[stride // 2 :: stride, stride // 2 :: stride]
    rows, columns = np.nonzero(small)
    if len(rows) < _LEAST:
        return np.zeros((0, 3))
    z = small[rows, columns].astype(float)
    u, v = columns * stride + stride // 2, rows * stride + stride // 2
    points = np.stack([(u - camera.cx) / camera.fx * z, (v - camera.cy) / camera.fy * z, z], 1)
    # The closest object, robust against a few flying pixels.
    nearest = np.partition(z, min(8, len(z) - 1))[min(8, len(z) - 1)]
    points = points[z < nearest + _REACH]
    for center in known:
        points = points[np.linalg.norm(points - center, axis=1) > 0.13]
    if not len(points):
        return np.zeros((0, 3))
    cells = np.floor(points / _CELL).astype(np.int64)
    cells -= cells.min(0)
    extent = cells.max(0) + 1
    keys = (cells[:, 0] * extent[1] + cells[:, 1]) * extent[2] + cells[:, 2]
    _, inverse, counts = np.unique(keys, return_inverse=True, return_counts=True)
    means = np.stack([np.bincount(inverse, points[:, i]) for i in range(3)], 1) / counts[:, None]
    means = means[counts >= _LEAST]
    means[:, 2] += _BENEATH
    return means[np.argsort(means[:, 2])][:most]
