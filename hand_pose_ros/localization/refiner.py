"""What the centre refinement network takes and gives (SRN, section 5), as training and run time share it.

From a cube of ``REFINER_HALF`` around a rough centre it predicts the offset to the hand's true centre, the hand's
size, and whether a hand is there at all.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Callable

import numpy as np

from hand_pose_ros.geometry.camera import Camera
from hand_pose_ros.images import DepthImage
from hand_pose_ros.localization.crop import cut_cube

#: Half side of the refinement's cube, metres: a grown hand and the beginning of its forearm.
REFINER_HALF = 0.16
#: Pixels along a side of its image.
REFINER_INPUT = 64
#: A centre this close to the true one counts as being on the hand, metres.
PRESENT_WITHIN = 0.095
#: Where a crop shows less than this there is no hand: a child's fist, far away, is some hundred pixels.
LEAST_PIXELS = 16
#: Numbers that the network gives: offset u v z, log size, presence.
REFINER_OUTPUTS = 5


@dataclass(frozen=True)
class Refinement:
    """What the network says about N centres.

    Attributes:
        centres: (N, 3) refined centres, metres, camera optical frame.
        sizes: (N,) hand sizes, metres.
        presence: (N,) probability that a hand is there.

    """

    centres: np.ndarray
    sizes: np.ndarray
    presence: np.ndarray


def read_output(output: np.ndarray, centres: np.ndarray) -> Refinement:
    """Interpret the network's output (N, 5) for cubes around ``centres`` (N, 3) in metres."""
    return Refinement(centres=centres + output[:, :3] * REFINER_HALF,
                      sizes=np.exp(np.clip(output[:, 3], -2, 1)) * REFINER_HALF,
                      presence=1 / (1 + np.exp(-np.clip(output[:, 4], -30, 30))))


def refine(depth: np.ndarray | DepthImage, camera: Camera, centres: np.ndarray,
           network: Callable[[np.ndarray], list[np.ndarray]]) -> Refinement:
    """Refine rough centres.

    Args:
        depth: (H, W); an array is float32 metres, 0 for holes.
        camera: pinhole of ``depth``.
        centres: (N, 3) metres, N at least 1.
        network: takes (N, 1, 64, 64) crops, gives one (N, 5) array.

    """
    crops = np.stack([cut_cube(depth, camera, centre, REFINER_HALF, REFINER_INPUT) for centre in centres])
    found = read_output(network(crops[:, None])[0].astype(float), centres)
    # Of so little the network knows next to nothing.
    return replace(found, presence=found.presence * (np.count_nonzero(crops < 1, axis=(1, 2)) >= LEAST_PIXELS))
