"""Run nodes as a process does."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import rclpy
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node
from rclpy.task import Future

from hand_pose_ros.middleware import make_room_for_images


def run_nodes(make: Callable[[], tuple[list[Node], Future | None]], args: Sequence[str] | None = None) -> int:
    """Make nodes and spin them until the process is told to stop.

    Args:
        make: makes the nodes, and maybe a future that ends the process with its result; called once ROS is up.
            A ValueError or OSError from it, for a setting or a file that cannot be used, is written to stderr.
        args: command line, ``--ros-args`` included; that of the process by default.

    Returns:
        The exit code: 0, 2 after such an error, or the future's result.

    """
    make_room_for_images()
    try:
        rclpy.init(args=args)
    except RuntimeError as error:   # All of rclpy's own errors, here wrong ROS arguments, are of this kind.
        return _complain(error)
    nodes: list[Node] = []
    executor = SingleThreadedExecutor()
    try:
        try:
            nodes, done = make()
        except (ValueError, OSError) as error:
            return _complain(error)
        for node in nodes:
            executor.add_node(node)
        if done is None:
            executor.spin()
            return 0
        executor.spin_until_future_complete(done)
        return done.result() or 0
    except (KeyboardInterrupt, ExternalShutdownException):
        return 0
    except RuntimeError:
        if rclpy.ok():
            raise
        return 0   # A signal ended ROS while a callback was about to publish.
    finally:
        executor.shutdown()
        for node in nodes:
            node.destroy_node()
        rclpy.try_shutdown()


def _complain(error: Exception) -> int:
    print(f'{Path(sys.argv[0]).stem}: error: {error}', file=sys.stderr)
    return 2
