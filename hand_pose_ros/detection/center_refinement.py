"""What the center refinement network takes and gives (SRN, section 5), as training and run time share it.

From a cube of ``REFINER_HALF`` around a rough center it predicts the offset to the hand's true center, the hand's
size, and whether a hand is there at all.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from hand_pose_ros.geometry.camera import Camera
from hand_pose_ros.imaging.images import DepthImage
from hand_pose_ros.regions.cube import cut_cube

#: Half side of the refinement's cube, meters: a grown hand and the beginning of its forearm.
REFINER_HALF = 0.16
#: Pixels along a side of its image.
REFINER_INPUT = 64
#: A center this close to the true one counts as being on the hand, meters.
PRESENT_WITHIN = 0.095
#: Where a crop shows less than this there is no hand: a child's fist, far away, is some hundred pixels.
LEAST_PIXELS = 16
#: Numbers that the network gives: offset u v z, log size, presence.
REFINER_OUTPUTS = 5


@dataclass(frozen=True)
class Refinement:
    """What the network says about N centers.

    Attributes:
        centers: (N, 3) refined centers, meters, camera optical frame.
        sizes: (N,) hand sizes, meters.
        presence: (N,) probability that a hand is there.

    """

    centers: np.ndarray
    sizes: np.ndarray
    presence: np.ndarray


def read_output(output: np.ndarray, centers: np.ndarray) -> Refinement:
    """Interpret the network's output (N, 5) for cubes around ``centers`` (N, 3) in meters."""
    return Refinement(
        centers=centers + output[:, :3] * REFINER_HALF,
        sizes=np.exp(np.clip(output[:, 3], -2, 1)) * REFINER_HALF,
        presence=1 / (1 + np.exp(-np.clip(output[:, 4], -30, 30))),
    )


def refine(
    depth: np.ndarray | DepthImage,
    camera: Camera,
    centers: np.ndarray,
    network: Callable[[np.ndarray], list[np.ndarray]],
) -> Refinement:
    """Refine rough centers.

    Args:
        depth: (H, W); an array is float32 meters, 0 for holes.
        camera: pinhole of ``depth``.
        centers: (N, 3) meters, N at least 1.
        network: takes (N, 1, 64, 64) crops, gives one (N, 5) array.

    """
    crops = np.stack([cut_cube(depth, camera, center, REFINER_HALF, REFINER_INPUT) for center in centers])
    found = read_output(network(crops[:, None])[0].astype(float), centers)
    # Of so little the network knows next to nothing.
    return replace(found, presence=found.presence * (np.count_nonzero(crops < 1, axis=(1, 2)) >= LEAST_PIXELS))
