"""Teleoperation: a palm's motion since it engaged, made a robot's motion."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hand_pose_ros.geometry.rotations import rotation_vector_to_matrix


@dataclass(frozen=True)
class MotionLimits:
    """How a palm's motion becomes a robot's; meters, radians, seconds.

    Attributes:
        scale: meters of the robot for one of the palm.
        dead_zone: the palm drags its follower only when further from it than this.
        dead_angle: the same for its turn.
        max_speed: of the robot.
        max_turn: of the robot, radians a second.
        low: (3,) corner of the workspace.
        high: (3,) the opposite one.
        follow_rotation: whether it turns with the palm.

    """

    scale: float = 1.0
    dead_zone: float = 0.005
    dead_angle: float = 0.03
    max_speed: float = 0.25
    max_turn: float = 1.0
    low: tuple[float, float, float] = (-1.0, -1.0, 0.0)
    high: tuple[float, float, float] = (1.0, 1.0, 1.5)
    follow_rotation: bool = True


class RelativeMotion:
    """Moves a tool as a palm moves, from where both were when they engaged.

    Poses are (4, 4) in one frame. The tool's rotation is that of the palm since then, applied in that frame.
    """

    def __init__(self, limits: MotionLimits) -> None:
        self._limits = limits
        self._palm = self._palm_start = self._tool_start = self._tool = np.eye(4)

    def engage(self, palm: np.ndarray, tool: np.ndarray) -> None:
        """Begin: ``palm`` belongs to ``tool`` from now on."""
        self._palm, self._palm_start = palm.copy(), palm.copy()
        self._tool_start, self._tool = tool.copy(), tool.copy()

    def step(self, palm: np.ndarray, seconds: float, share: float = 1.0) -> np.ndarray:
        """Follow the palm for a time, with this share of the speed limits; returns the tool's new pose (4, 4)."""
        limits, tool = self._limits, self._tool.copy()
        self._palm = self._drag(palm)
        moved = limits.scale * (self._palm[:3, 3] - self._palm_start[:3, 3])
        wanted = np.clip(self._tool_start[:3, 3] + moved, limits.low, limits.high)
        tool[:3, 3] += _shortened(wanted - tool[:3, 3], limits.max_speed * seconds * share)
        if limits.follow_rotation:
            turn = self._palm[:3, :3] @ self._palm_start[:3, :3].T @ self._tool_start[:3, :3]
            rest = _shortened(rotation_vector(turn @ tool[:3, :3].T), limits.max_turn * seconds * share)
            tool[:3, :3] = rotation_vector_to_matrix(rest) @ tool[:3, :3]
        self._tool = tool
        return tool.copy()

    def twist(self, palm: np.ndarray, seconds: float, share: float = 1.0) -> np.ndarray:
        """Velocity (6,) that :meth:`step` means: meters a second, then radians a second, in the frame of the poses."""
        before = self._tool
        after = self.step(palm, seconds, share)
        turn = rotation_vector(after[:3, :3] @ before[:3, :3].T)
        return np.concatenate([after[:3, 3] - before[:3, 3], turn]) / seconds

    def _drag(self, palm: np.ndarray) -> np.ndarray:
        """The palm's follower, which stays within the dead zone of it."""
        follower, limits = self._palm.copy(), self._limits
        way = palm[:3, 3] - follower[:3, 3]
        follower[:3, 3] += _shortened(way, max(float(np.linalg.norm(way)) - limits.dead_zone, 0.0))
        turn = rotation_vector(palm[:3, :3] @ follower[:3, :3].T)
        rest = _shortened(turn, max(float(np.linalg.norm(turn)) - limits.dead_angle, 0.0))
        follower[:3, :3] = rotation_vector_to_matrix(rest) @ follower[:3, :3]
        return follower


def rotation_vector(matrix: np.ndarray) -> np.ndarray:
    """Rotation vector (3,) in radians, at most half a turn long, of a rotation (3, 3)."""
    sine = np.array([matrix[2, 1] - matrix[1, 2], matrix[0, 2] - matrix[2, 0], matrix[1, 0] - matrix[0, 1]]) / 2
    length, cosine = float(np.linalg.norm(sine)), (float(np.trace(matrix)) - 1) / 2
    angle = float(np.arctan2(length, cosine))
    if length > 1e-9:
        return sine / length * angle
    if cosine > 0:
        return np.zeros(3)
    axis = (matrix + np.eye(3))[:, int(np.argmax(np.diag(matrix)))]  # half a turn: R + 1 is twice the axis by itself
    return axis / np.linalg.norm(axis) * np.pi


def _shortened(vector: np.ndarray, most: float) -> np.ndarray:
    length = float(np.linalg.norm(vector))
    return vector if length <= most else vector * (most / length)
