#!/usr/bin/env python3
"""An arm that follows a palm and a gripper that pinches, simulated; with yours, leave ``SimulatedArm`` out.

    hand-pose node --input demo/clip --loop             # or a camera, see the README
    python examples/arm_and_gripper.py
    python examples/clutch.py                           # holds the clutch until Ctrl-C

It says each second where the tool is.
"""

import sys
from pathlib import Path

import rclpy
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.parameter import Parameter

sys.path.insert(0, str(Path(__file__).resolve().parent))

from simulated_robot import SimulatedArm

from hand_pose_ros.nodes.teleop import TeleopNode

PARAMETERS = {'gripper': 'trajectory', 'target_frame': 'base_link', 'tool_frame': 'tool0', 'scale': 1.0}


def make_nodes(parameters=PARAMETERS, **options):
    """The node that teleoperates, and the arm."""
    overrides = [Parameter(name, value=value) for name, value in parameters.items()]
    return TeleopNode(parameter_overrides=overrides, **options), SimulatedArm(**options)


def main():
    """Move the arm until Ctrl-C."""
    rclpy.init()
    executor = SingleThreadedExecutor()
    teleop, arm = make_nodes()
    for node in (teleop, arm):
        executor.add_node(node)
    arm.create_timer(
        1.0, lambda: arm.get_logger().info(f'tool at {arm.position.round(3).tolist()} m, gripper at {arm.gripper:.3f}')
    )
    try:
        executor.spin()
    except (KeyboardInterrupt, ExternalShutdownException):
        pass


if __name__ == '__main__':
    main()
