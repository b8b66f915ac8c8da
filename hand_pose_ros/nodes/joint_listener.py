"""Hands from the topics of a tracker, for a command that wants some seconds of them."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import rclpy
from geometry_msgs.msg import PoseArray
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node

from hand_pose_ros import topics
from hand_pose_ros.geometry.joints import JOINTS, SIDES
from hand_pose_ros.nodes.qos import OUT


def listen(seconds: float, patience: float, on_start: Callable[[], object]) -> dict[str, list[np.ndarray]]:
    """Joints (21, 3) of the hands that come within some seconds, by side.

    Args:
        seconds: to listen from the first hand on.
        patience: to wait for the first hand, seconds.
        on_start: called at the first hand.

    """
    context = rclpy.Context()
    rclpy.init(args=[], context=context)
    node = Node('hand_gesture_recorder', context=context)
    executor = SingleThreadedExecutor(context=context)
    executor.add_node(node)
    found: dict[str, list[np.ndarray]] = {side: [] for side in SIDES}

    def take(message: PoseArray, side: str) -> None:
        joints = np.array([[pose.position.x, pose.position.y, pose.position.z] for pose in message.poses])
        if joints.shape == (len(JOINTS), 3) and np.isfinite(joints).all():
            found[side].append(joints)

    for side in SIDES:
        node.create_subscription(
            PoseArray, topics.joints_topic(side), lambda message, side=side: take(message, side), OUT
        )
    try:
        until, started = time.monotonic() + patience, False
        while time.monotonic() < until:
            executor.spin_once(timeout_sec=0.05)
            if not started and any(found.values()):
                until, started = time.monotonic() + seconds, True
                on_start()
    finally:
        executor.shutdown()
        node.destroy_node()
        context.try_shutdown()
    return found
