"""From cubes in a depth image to joints: cut, run the network, convert back."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hand_pose_ros.estimation.engines import Engine, open_engine
from hand_pose_ros.estimation.models import POSE, Model, find_model
from hand_pose_ros.geometry.camera import Camera
from hand_pose_ros.localization.crop import CUBE_PER_HAND, cube_to_camera, cut_cube

#: Pixels along a side of the pose networks' input.
POSE_INPUT = 96


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

    """

    joints: np.ndarray
    confidence: np.ndarray
    side_odds: float


class PoseEstimator:
    """A pose network and its engine.

    Networks see right hands only: a left one's crop is mirrored before and its joints after.

    Raises:
        ModelError: the model is missing, damaged or not a pose network.
        EngineError: the engine is not installed.

    """

    def __init__(self, model: str = '', engine: str = 'auto', threads: int = 0) -> None:
        self.model: Model = find_model(model, POSE)
        self.engine: Engine = open_engine(self.model.path, engine, threads)

    def cut(self, depth: np.ndarray, camera: Camera, cubes: list[Cube]) -> np.ndarray:
        """Cut the network's input (N, 1, 96, 96) out of a depth image (H, W) in metres."""
        return np.stack([cut_cube(depth, camera, cube.centre, cube.half, POSE_INPUT, cube.side == 'left')
                         for cube in cubes])[:, None]

    def estimate(self, crops: np.ndarray, cubes: list[Cube]) -> list[Pose]:
        """Run the network over what :meth:`cut` gave.

        It sees each crop upright and upside down, as it knows hands in every rotation, and the two estimates are
        averaged by their certainty: 5 % less error on the validation set for one larger batch.
        """
        both = np.concatenate([crops, crops[:, :, ::-1, ::-1]])
        joints, spread, right = (np.split(output.astype(float), 2) for output in self.engine(both))
        joints[1] = joints[1] * (-1, -1, 1)
        weights = 1 / np.square(spread)
        joints = (np.stack(joints) * weights[..., None]).sum(0) / weights.sum(0)[..., None]
        return [self._pose(*one) for one in zip(joints, np.mean(spread, 0), np.mean(right, 0).tolist(), cubes)]

    def _pose(self, joints: np.ndarray, spread: np.ndarray, right: float, cube: Cube) -> Pose:
        intercept, slope = self.model.confidence
        log_odds = intercept - slope * np.log(np.maximum(1000 * cube.half * spread, 1e-3))
        return Pose(cube_to_camera(joints, cube.centre, cube.half, cube.side == 'left'),
                    (1 / (1 + np.exp(-log_odds))).astype(np.float32), right)
