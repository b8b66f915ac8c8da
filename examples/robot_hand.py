#!/usr/bin/env python3
"""A robot hand that does what a person's hand does, simulated; with yours, leave ``SimulatedHand`` out.

    hand-pose node --input demo/clip --loop             # or a camera, see the README
    python examples/robot_hand.py --config dexpilot     # or angles, or your own YAML file
    python examples/clutch.py                           # holds the clutch until Ctrl-C

It says each second how far the robot's fingers are bent.
"""

import argparse
import math
import sys
from pathlib import Path

import rclpy
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.parameter import Parameter

sys.path.insert(0, str(Path(__file__).resolve().parent))

from simulated_robot import SimulatedHand

from hand_pose_ros.nodes.retarget import RetargetNode
from hand_pose_ros.robots.description import parse_description
from hand_pose_ros.robots.retargeting import find_config, load_config

FINGERS = ('thumb', 'index', 'middle', 'ring', 'pinky')


def bends(positions):
    """How far each finger is bent: the sum of its flexions, degrees."""
    return {
        finger: round(math.degrees(sum(angle for name, angle in positions.items() if name.startswith(finger))))
        for finger in FINGERS
    }


def make_nodes(config, side, **options):
    """The node that retargets, and the robot hand that its configuration is for."""
    parameters = [Parameter('config', value=config), Parameter('side', value=side)]
    retarget = RetargetNode(parameter_overrides=parameters, **options)
    description = parse_description(load_config(find_config(config)).find_urdf().read_text())
    return retarget, SimulatedHand(list(description.actuated), **options)


def main():
    """Move the hand until Ctrl-C."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--config', default='angles', help='angles, vector, dexpilot or a YAML file. Default: angles')
    parser.add_argument('--side', default='right', choices=('left', 'right'), help="the person's hand. Default: right")
    args = parser.parse_args()
    rclpy.init()
    executor = SingleThreadedExecutor()
    retarget, hand = make_nodes(args.config, args.side)
    for node in (retarget, hand):
        executor.add_node(node)
    hand.create_timer(1.0, lambda: hand.get_logger().info(f'bent by {bends(hand.positions)} degrees'))
    try:
        executor.spin()
    except (KeyboardInterrupt, ExternalShutdownException):
        pass


if __name__ == '__main__':
    main()
