"""From cubes in a depth image to joints: cut, run the network, convert back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hand_pose_ros.estimation.engines import Engine, open_engine
from hand_pose_ros.estimation.models import POSE, Model, ModelError, find_model
from hand_pose_ros.geometry.camera import Camera
from hand_pose_ros.geometry.joints import FINGERS, WRIST
from hand_pose_ros.images import DepthImage
from hand_pose_ros.localization.crop import CUBE_PER_HAND, cube_to_camera, cut_cube

#: Two opinions on a finger differ when they are this far apart, metres: at last the first, at first the second, falling by
#: a factor in each of so many steps.
APART, FIRST_APART, APART_FALL, MERGE_STEPS = 0.01, 0.04, 0.7, 6


@dataclass(frozen=True)
class Cube:
    """Where to look for a hand: centre (3,) and the hand's size in metres, and its side."""

    centre: np.ndarray
    size: float
    side: str

    @property
    def half(self) -> float:
        """Half side of the cube, metres."""
        return CUBE_PER_HAND * self.size


@dataclass(frozen=True)
class Pose:
    """What the network makes of one cube.

    Attributes:
        joints: (21, 3) metres, camera optical frame.
        confidence: (21,) from 0 to 1.
        side_odds: log odds that the hand is of the cube's side.
        spread: (21,) metres, how far the pixels' estimates of a joint lie apart.
        filled: share of the cube's image in which there is something.
        opinions: joints and spread of each pose that this one was merged from.

    """

    joints: np.ndarray
    confidence: np.ndarray
    side_odds: float
    spread: np.ndarray
    filled: float
    opinions: tuple[tuple[np.ndarray, np.ndarray], ...] = ()


class PoseEstimator:
    """A pose network and its engine.

    Networks see right hands only: a left one's crop is mirrored before and its joints after.

    Raises:
        ModelError: the model is missing, damaged or not a pose network.
        EngineError: the engine is not installed.

    """

    def __init__(self, model: str = '', engine: str = 'auto', threads: int = 0,
                 precision: str = 'auto') -> None:
        self.model: Model = find_model(model, POSE)
        self.engine: Engine = open_engine(self.model, engine, threads, precision)
        channels, height, self.input_size = self.engine.input_shape
        if channels != 1 or height != self.input_size:
            raise ModelError(f'{self.model.path} takes {channels} channels of {height}x{self.input_size}; a pose network '
                             'takes one square channel of depth')

    def cut(self, depth: np.ndarray | DepthImage, camera: Camera, cubes: list[Cube]) -> np.ndarray:
        """Cut the network's input (N, 1, S, S) out of a depth image (H, W), an array in metres."""
        return np.stack([cut_cube(depth, camera, cube.centre, cube.half, self.input_size, cube.side == 'left')
                         for cube in cubes])[:, None]

    def estimate(self, crops: np.ndarray, cubes: list[Cube], turns: Sequence[int] = (0,)) -> list[list[Pose]]:
        """Run the network over what :meth:`cut` gave.

        Args:
            crops: (N, 1, S, S).
            cubes: the N cubes that they were cut from.
            turns: how the network is shown each crop, in quarter turns. It knows hands in every rotation, so that several
                views of a hand are as many opinions on it: see :func:`merge`.

        Returns:
            For each cube a pose for each of the turns.

        """
        shown = np.concatenate([np.rot90(crops, turn, (2, 3)) for turn in turns]) if any(turns) else crops
        joints, spread, right = self.engine(shown)
        filled = filled_share(crops).tolist()
        looks = []
        for n, turn in enumerate(turns):
            part = slice(n * len(cubes), (n + 1) * len(cubes))
            upright = joints[part].astype(float) @ _QUARTERS[turn % 4]
            looks.append([self._pose(*one) for one in zip(upright, spread[part], right[part].tolist(), filled, cubes)])
        return [list(poses) for poses in zip(*looks)]

    def _pose(self, joints: np.ndarray, spread: np.ndarray, right: float, filled: float, cube: Cube) -> Pose:
        intercept, slope = self.model.confidence
        log_odds = intercept - slope * np.log(np.maximum(1000 * cube.half * spread, 1e-3))
        return Pose(cube_to_camera(joints, cube.centre, cube.half, cube.side == 'left'),
                    (1 / (1 + np.exp(-log_odds))).astype(np.float32), right, cube.half * spread, filled)


#: (4, 3, 3) what u, v, z of a crop that was shown in so many quarter turns are multiplied by to be upright again.
_QUARTERS = np.stack([np.array([[np.cos(a), np.sin(a), 0], [-np.sin(a), np.cos(a), 0], [0, 0, 1]]).round()
                      for a in np.arange(4) * np.pi / 2])


def filled_share(crops: np.ndarray) -> np.ndarray:
    """Share (N,) of the images of cubes (N, 1, S, S) in which there is something."""
    return np.count_nonzero(crops < 1, axis=(1, 2, 3)) / crops[0].size


def merge(poses: Sequence[Pose]) -> Pose:
    """Average several opinions on one hand, each joint by its certainty: four are 8 % better than one (``models/README.md``).

    Where opinions on a finger that is hardly seen differ, those that agree count: the middle between two places is none.
    """
    if len(poses) == 1:
        return poses[0]
    joints = np.stack([pose.joints for pose in poses])
    certainty = 1 / np.square([pose.spread for pose in poses])[..., None]
    weights = certainty.copy()
    merged = (joints * weights).sum(0) / weights.sum(0)
    for step in range(MERGE_STEPS):
        # Geman and McClure's weights, one for each finger; narrowing, so that it is not the first middle that decides.
        off = np.square(joints - merged).sum(2)[:, WRIST + 1:].reshape(len(poses), len(FINGERS), -1).mean(2)
        agree = (1 + off / max(APART, FIRST_APART * APART_FALL ** step) ** 2) ** -2
        weights[:, WRIST + 1:] = certainty[:, WRIST + 1:] * agree.repeat(4, 1)[..., None]
        merged = (joints * weights).sum(0) / weights.sum(0)

    def mean(values: list) -> np.ndarray:
        return np.mean(values, axis=0)

    return Pose(merged, mean([pose.confidence for pose in poses]), float(mean([pose.side_odds for pose in poses])),
                mean([pose.spread for pose in poses]), poses[-1].filled,
                sum((pose.opinions or ((pose.joints, pose.spread),) for pose in poses), ()))
