#!/usr/bin/env python3
"""What a robot's own node may do with hands: answer gestures, and hold its hands as the person before it does.

    ros2 launch hand_pose_ros tracker.launch.py input:=demo/clip
    python examples/answer_hands.py

It says its answers on ``robot/answer`` (std_msgs/String) and how far each finger of the robot's hands is to be closed,
0 to 1, on ``robot/<side>_hand`` (sensor_msgs/JointState). Of hand_pose_ros it needs the topics and nothing else, so
that a copy of it is the beginning of your own node.
"""

import rclpy
from rclpy.executors import ExternalShutdownException
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile
from sensor_msgs.msg import JointState
from std_msgs.msg import String

#: What the robot does when a gesture begins; it lets the others pass, and ``none``, which is every form between two.
ANSWERS = {
    'open': 'wave',
    'stop': 'wave',
    'fist': 'bump fists',
    'point': 'look where the finger points',
    'two': 'say two',
    'three': 'say three',
    'four': 'say four',
    'thumb_up': 'nod',
    'thumb_down': 'shake the head',
    'ok': 'smile',
}
#: Who stands before a robot is its mirror image.
ACROSS = {'left': 'right', 'right': 'left'}
#: Angles that close a finger, and what they add up to when it is closed, radians.
FINGERS = {
    'thumb': (('thumb_mcp_flexion', 'thumb_ip_flexion'), 2.0),
    **{
        finger: ((f'{finger}_mcp_flexion', f'{finger}_pip_flexion', f'{finger}_dip_flexion'), 4.0)
        for finger in ('index', 'middle', 'ring', 'pinky')
    },
}
#: Gestures are sent on change; this asks for the one before too, whenever this node starts.
ON_CHANGE = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)


def closing(message: JointState, side: str) -> dict[str, float]:
    """How far each finger of the hand of ``side`` is closed: 0 stretched, 1 in a fist."""
    angles = dict(zip(message.name, message.position))
    return {
        finger: min(max(sum(angles[f'{side}_{name}'] for name in names) / closed, 0.0), 1.0)
        for finger, (names, closed) in FINGERS.items()
    }


class AnswerHands(Node):
    """Answers the hands of the tracker of its namespace."""

    def __init__(self, **options) -> None:
        super().__init__('answer_hands', **options)
        self._answers = self.create_publisher(String, 'robot/answer', 10)
        self._hands = {side: self.create_publisher(JointState, f'robot/{side}_hand', 1) for side in ACROSS}
        for side in ACROSS:
            self.create_subscription(
                String, f'hands/{side}/gesture', lambda message, side=side: self._on_gesture(message, side), ON_CHANGE
            )
            self.create_subscription(
                JointState, f'hands/{side}/joint_states', lambda message, side=side: self._on_angles(message, side), 1
            )

    def _on_gesture(self, message: String, side: str) -> None:
        if answer := ANSWERS.get(message.data):
            self.get_logger().info(f'{side} hand: {message.data}; I {answer}')
            self._answers.publish(String(data=answer))

    def _on_angles(self, message: JointState, side: str) -> None:
        mine = ACROSS[side]
        fingers = closing(message, side)
        self._hands[mine].publish(
            JointState(
                header=message.header, name=[f'{mine}_{name}' for name in fingers], position=list(fingers.values())
            )
        )


def main() -> None:
    """Answer until the process gets a signal."""
    rclpy.init()
    try:
        rclpy.spin(AnswerHands())
    except (KeyboardInterrupt, ExternalShutdownException):
        pass


if __name__ == '__main__':
    main()
