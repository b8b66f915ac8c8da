"""The latest transform between two frames: what teleoperation needs of TF."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hand_pose_ros.geometry.rotations import quaternions_to_matrices
from hand_pose_ros.robots.description import RobotError


def pose_matrix(position: tuple[float, float, float], quaternion: tuple[float, float, float, float]) -> np.ndarray:
    """(4, 4) of a position in meters and a quaternion x y z w.

    Raises:
        RobotError: a number is not finite, or the quaternion is nothing but zeros.

    """
    if not (np.isfinite([*position, *quaternion]).all() and any(quaternion)):
        raise RobotError('a pose holds numbers that are not finite, or a quaternion of zeros')
    pose = np.eye(4)
    pose[:3, :3], pose[:3, 3] = quaternions_to_matrices(np.array(quaternion)), position
    return pose


@dataclass(frozen=True)
class _Edge:
    parent: str
    transform: np.ndarray
    received: float


class TransformTree:
    """The latest transforms as they came, without history or interpolation."""

    def __init__(self) -> None:
        self._edges: dict[str, _Edge] = {}

    def put(self, parent: str, child: str, transform: np.ndarray, received: float = float('inf')) -> None:
        """Take a transform (4, 4) from ``child`` to ``parent``, received at a steady time; a static one at infinity."""
        self._edges[child.lstrip('/')] = _Edge(parent.lstrip('/'), transform, received)

    def lookup(self, target: str, source: str, oldest: float = float('-inf')) -> np.ndarray:
        """Transform (4, 4) from ``source`` to ``target``.

        Args:
            target: frame to go to.
            source: frame to come from.
            oldest: what was received before this does not count.

        Raises:
            RobotError: the two are not joined, or a transform between them is too old; the message names both.

        """
        target, source = target.lstrip('/'), source.lstrip('/')
        up, down = self._chain(source), self._chain(target)
        meeting = next((frame for frame in up if frame in down), None)
        if meeting is None:
            raise RobotError(f'TF does not join {source} with {target}')
        between = [*list(up)[: list(up).index(meeting)], *list(down)[: list(down).index(meeting)]]
        if stale := [frame for frame in between if self._edges[frame].received < oldest]:
            raise RobotError(f'TF from {source} to {target}: no new transform of {stale[0]}')
        return np.linalg.inv(down[meeting]) @ up[meeting]

    def _chain(self, frame: str) -> dict[str, np.ndarray]:
        """Every frame from this one to the root -> the transform from this one to it."""
        found = {frame: np.eye(4)}
        while (edge := self._edges.get(frame)) is not None and edge.parent not in found:
            found[edge.parent] = edge.transform @ found[frame]
            frame = edge.parent
        return found
