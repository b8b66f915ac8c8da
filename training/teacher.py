"""Training batches in which a network that looks four times teaches one that looks once.

A crop's true joints are a noisy target where fingers are hidden: the picture does not say where they are. What a trained
network says of the crop's four quarter turns, merged as the tracker merges them, is a function of the picture, and nearer
the truth than any one look (distillation: Hinton et al. 2015; over transformed inputs: Radosavovic et al., "Data
distillation", CVPR 2018). So each joint's target is moved towards that. The crop stays as it was drawn: it is in one look
that the network is to know what the teacher knows in four.
"""

from __future__ import annotations

from typing import Any, Iterator

import numpy as np

from hand_pose_ros.estimation.pose import Cube, PoseEstimator, merge
from hand_pose_ros.localization.crop import CUBE_PER_HAND, camera_to_cube
from hand_pose_ros.parameters import LOOKS
from training import pose_task

#: Where cubes are put, in metres: so far from the camera that looks merge there as they do in the cube.
CENTRE = np.array([0, 0, 100.0])


def opinion(teacher: PoseEstimator, crops: np.ndarray, halves: np.ndarray) -> np.ndarray:
    """What a network says of crops after all its looks.

    Args:
        teacher: the network.
        crops: (N, S, S) in [-1, 1].
        halves: (N,) half sides of their cubes, metres.

    Returns:
        (N, 21, 3) joints in cube coordinates.

    """
    cubes = [Cube(CENTRE, float(half) / CUBE_PER_HAND, 'right') for half in halves]
    looks = teacher.estimate(crops[:, None], cubes, LOOKS[max(LOOKS)])
    return np.stack([camera_to_cube(merge(poses).joints, CENTRE, cube.half)
                     for poses, cube in zip(looks, cubes)]).astype(np.float32)


def crops(seed: int, batch: int, teacher: str = '', share: float = 0.75, times: int = 3, shuffled: int = 4096,
          **options: Any) -> Iterator[tuple[np.ndarray, ...]]:
    """Endless training batches like :func:`training.pose_task.crops`'s, with a teacher's targets.

    Args:
        seed: the same one gives the same batches.
        batch: crops in a batch.
        teacher: a pose model of models/manifest.yaml, or an .onnx file; default the shipped one.
        share: how far targets go from the true joints towards the teacher's, 0 to 1.
        times: how often each crop comes, as drawing it and looking at it takes as long as learning from it.
        shuffled: how many wait, to be drawn from by chance, so that a crop does not come again at once.
        options: of :func:`training.pose_task.crops`.

    """
    estimator = PoseEstimator(teacher, threads=1)
    rng = np.random.default_rng(seed)
    waiting: list[tuple[np.ndarray, ...]] = []
    for images, joints, halves in pose_task.crops(seed, batch, **options):
        targets = joints + share * (opinion(estimator, images, halves) - joints)
        waiting += list(zip(images, targets, halves)) * times
        while len(waiting) >= shuffled + batch:
            # From the end, where taking one away is cheap.
            for place in range(len(waiting) - 1, len(waiting) - 1 - batch, -1):
                other = rng.integers(place + 1)
                waiting[place], waiting[other] = waiting[other], waiting[place]
            drawn, waiting = waiting[-batch:], waiting[:-batch]
            yield tuple(np.stack(part) for part in zip(*drawn))
