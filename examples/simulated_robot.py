#!/usr/bin/env python3
"""Robots that are not there: a hand and an arm with a gripper that take commands as ros2_control and MoveIt Servo do.

The examples move them, so that everything can be tried before a robot is near. Of real controllers they have what
matters to who sends commands: topics, speeds, and that a command that is too old is dropped.
"""

import numpy as np
from geometry_msgs.msg import PoseStamped, Quaternion, Transform, TransformStamped, Vector3
from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from rclpy.time import Time
from sensor_msgs.msg import JointState
from std_msgs.msg import Header
from tf2_msgs.msg import TFMessage
from trajectory_msgs.msg import JointTrajectory

PERIOD = 0.02
#: MoveIt Servo drops commands that are older; seconds.
OLDEST_COMMAND = 0.1


class SimulatedHand(Node):
    """A robot hand behind a JointTrajectoryController: goes to the last point in the time that it gives.

    Attributes:
        positions: of its joints, by name.

    """

    def __init__(self, joints, topic='hand_controller/joint_trajectory', **options):
        super().__init__('simulated_hand', **options)
        self.positions = dict.fromkeys(joints, 0.0)
        self._goal, self._left = dict(self.positions), 0.0
        self._states = self.create_publisher(JointState, 'joint_states', 1)
        self.create_subscription(JointTrajectory, topic, self._on_trajectory, 1)
        self.create_timer(PERIOD, self._move, clock=Clock(clock_type=ClockType.STEADY_TIME))

    def _on_trajectory(self, message):
        if unknown := set(message.joint_names) - set(self.positions):
            self.get_logger().error(f'there is no joint {min(unknown)}')
            return
        point = message.points[-1]
        self._goal.update(zip(message.joint_names, point.positions))
        self._left = point.time_from_start.sec + 1e-9 * point.time_from_start.nanosec

    def _move(self):
        share = min(PERIOD / self._left, 1.0) if self._left > 0 else 1.0
        self._left -= PERIOD
        for name, position in self.positions.items():
            self.positions[name] = position + share * (self._goal[name] - position)
        header = Header(stamp=self.get_clock().now().to_msg())
        self._states.publish(
            JointState(header=header, name=list(self.positions), position=list(self.positions.values()))
        )


class SimulatedArm(Node):
    """An arm behind MoveIt Servo that takes pose targets, with a gripper behind a JointTrajectoryController.

    Attributes:
        position: (3,) of the tool in the base's frame, meters.
        turn: quaternion x y z w of the tool.
        gripper: position of the gripper's joint.

    """

    def __init__(self, camera=(0.8, 0.0, 0.5), **options):
        super().__init__('simulated_arm', **options)
        self.position, self.turn, self.gripper = np.array([0.4, 0.0, 0.4]), Quaternion(w=1.0), 0.0
        self._camera = camera
        self._tf = self.create_publisher(TFMessage, '/tf', 10)
        self.create_subscription(PoseStamped, 'servo_node/pose_target_cmds', self._on_pose, 1)
        self.create_subscription(JointTrajectory, 'gripper_controller/joint_trajectory', self._on_gripper, 1)
        self.create_timer(PERIOD, self._tell, clock=Clock(clock_type=ClockType.STEADY_TIME))

    def _on_pose(self, message):
        age = 1e-9 * (self.get_clock().now() - Time.from_msg(message.header.stamp)).nanoseconds
        if age > OLDEST_COMMAND:
            self.get_logger().error(f'a command {age:.2f} s old is dropped')
            return
        place = message.pose.position
        self.position, self.turn = np.array([place.x, place.y, place.z]), message.pose.orientation

    def _on_gripper(self, message):
        self.gripper = message.points[-1].positions[0]

    def _tell(self):
        # The camera stands before the robot and looks at it: its z is our -x, its x our y, its y our -z.
        facing = Quaternion(x=-0.5, y=-0.5, z=0.5, w=0.5)
        frames = (('tool0', self.position, self.turn), ('camera_depth_optical_frame', self._camera, facing))
        header = Header(stamp=self.get_clock().now().to_msg(), frame_id='base_link')
        self._tf.publish(
            TFMessage(
                transforms=[
                    TransformStamped(
                        header=header,
                        child_frame_id=frame,
                        transform=Transform(
                            translation=Vector3(x=float(place[0]), y=float(place[1]), z=float(place[2])), rotation=turn
                        ),
                    )
                    for frame, place, turn in frames
                ]
            )
        )
