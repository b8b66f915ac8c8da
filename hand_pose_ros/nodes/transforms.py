"""Transforms between frames as TF has them, for nodes that need the latest one and nothing else."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
from geometry_msgs.msg import Point, Quaternion, Vector3
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile
from tf2_msgs.msg import TFMessage

from hand_pose_ros import topics
from hand_pose_ros.nodes.qos import TF_OUT
from hand_pose_ros.robots.description import RobotError
from hand_pose_ros.robots.frames import TransformTree, pose_matrix

#: A transform on /tf counts for so long, seconds; those on /tf_static for ever.
TRANSFORM_AGE = 1.0


def read_pose(position: Point | Vector3, orientation: Quaternion) -> np.ndarray:
    """(4, 4) of a message's position and orientation; raises RobotError as :func:`pose_matrix` does."""
    quaternion = (orientation.x, orientation.y, orientation.z, orientation.w)
    return pose_matrix((position.x, position.y, position.z), quaternion)


class TransformListener:
    """Listens to TF for a node.

    Args:
        node: that listens.
        complain: takes what is wrong with a transform that came, as a line of text.

    """

    def __init__(self, node: Node, complain: Callable[[str], object]) -> None:
        self._node, self._complain = node, complain
        self._tree = TransformTree()
        static = QoSProfile(depth=100, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        self._subscriptions = (
            node.create_subscription(
                TFMessage, topics.TF, lambda message: self._take(message, time.monotonic()), TF_OUT
            ),
            node.create_subscription(
                TFMessage, f'{topics.TF}_static', lambda message: self._take(message, float('inf')), static
            ),
        )

    def lookup(self, target: str, source: str) -> np.ndarray:
        """Latest transform (4, 4) from ``source`` to ``target``.

        Raises:
            RobotError: the two are not joined, or a transform between them is too old; the message names both.

        """
        return self._tree.lookup(target, source, time.monotonic() - TRANSFORM_AGE)

    def close(self) -> None:
        """Listen no more."""
        for subscription in self._subscriptions:
            self._node.destroy_subscription(subscription)

    def _take(self, message: TFMessage, received: float) -> None:
        for one in message.transforms:
            try:
                matrix = read_pose(one.transform.translation, one.transform.rotation)
            except RobotError as error:
                self._complain(f'TF of {one.child_frame_id}: {error}')
                continue
            self._tree.put(one.header.frame_id, one.child_frame_id, matrix, received)
