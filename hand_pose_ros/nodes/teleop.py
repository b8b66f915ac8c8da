"""The ``hand_teleop`` node: a palm in, commands for MoveIt Servo and a gripper out."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from geometry_msgs.msg import Point, Pose, PoseArray, PoseStamped, Quaternion, Twist, TwistStamped, Vector3
from rclpy.action import ActionClient
from rclpy.client import Client
from rclpy.duration import Duration
from sensor_msgs.msg import JointState
from std_msgs.msg import Header
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

from hand_pose_ros import topics
from hand_pose_ros.geometry.rotations import matrices_to_quaternions
from hand_pose_ros.nodes.process import run_nodes
from hand_pose_ros.nodes.qos import OUT
from hand_pose_ros.nodes.robot_node import RobotNode
from hand_pose_ros.nodes.transforms import TransformListener, read_pose
from hand_pose_ros.robots.description import RobotError
from hand_pose_ros.robots.pinch import Pinch, pinch_gap
from hand_pose_ros.robots.safety import Phase
from hand_pose_ros.robots.settings import TeleopSettings
from hand_pose_ros.robots.teleoperation import MotionLimits, RelativeMotion

NODE_NAME = 'hand_teleop'

#: MoveIt Servo's numbers of the two kinds of commands (moveit_msgs/srv/ServoCommandType), and their topics.
_SERVO = {'twist': (1, 'delta_twist_cmds'), 'pose': (2, 'pose_target_cmds')}


class TeleopNode(RobotNode):
    """Moves a robot's tool as a palm moves since it engaged, and its gripper by pinching."""

    def __init__(self, **node_options: Any) -> None:
        """Subscribe and publish.

        Raises:
            ValueError: a parameter cannot be used.

        """
        super().__init__(NODE_NAME, **node_options)
        self._settings = settings = self.start(TeleopSettings)
        self._motion = RelativeMotion(
            MotionLimits(
                scale=settings.scale,
                dead_zone=settings.dead_zone,
                dead_angle=settings.dead_angle,
                max_speed=settings.max_speed,
                max_turn=settings.max_turn,
                low=(settings.x_min, settings.y_min, settings.z_min),
                high=(settings.x_max, settings.y_max, settings.z_max),
                follow_rotation=settings.follow_rotation,
            )
        )
        self._palm = np.eye(4)
        self._transforms = TransformListener(self, self.complain)
        self._pinch = Pinch(settings.pinch_closed, settings.pinch_open)
        kind = PoseStamped if settings.output == 'pose' else TwistStamped
        number, name = _SERVO[settings.output]
        self._commands = self.create_publisher(kind, f'{settings.servo}/{name}', OUT)
        self._ask_servo = self._servo_switch(number)
        self.create_subscription(PoseStamped, topics.palm_topic(settings.side), self._on_palm, OUT)
        if settings.gripper != 'none':
            self._command_gripper = self._action_gripper() if settings.gripper == 'action' else self._joint_gripper()
            self.create_subscription(PoseArray, topics.joints_topic(settings.side), self._on_joints, OUT)

    def watch(self) -> None:
        """Let time pass, and get MoveIt Servo to listen once it is there."""
        super().watch()
        self._ask_servo()

    def on_engaged(self) -> None:
        """From here on the palm's motion is the tool's."""
        tool = np.eye(4)
        if self._settings.output == 'pose':
            tool = self._lookup(self._settings.tool_frame)
        self._motion.engage(self._palm, tool)

    def _lookup(self, frame: str) -> np.ndarray:
        return self._transforms.lookup(self._settings.target_frame, frame)

    def _on_palm(self, message: PoseStamped) -> None:
        if self.policy.phase is Phase.IDLE:
            return
        try:
            palm = read_pose(message.pose.position, message.pose.orientation)
        except RobotError as error:
            self.complain(f'{topics.palm_topic(self._settings.side)}: {error}')
            return
        try:
            self._palm = self._lookup(message.header.frame_id) @ palm
        except RobotError as error:
            self.refuse(str(error))
            return
        if self.fresh(message.header):
            self._send(*self.step())

    def _send(self, seconds: float, share: float) -> None:
        # The time of sending: Servo drops commands that are older than 0.1 s.
        header = Header(stamp=self.get_clock().now().to_msg(), frame_id=self._settings.target_frame)
        if self._settings.output == 'pose':
            self._commands.publish(_pose_message(header, self._motion.step(self._palm, seconds, share)))
        elif seconds > 0:
            self._commands.publish(_twist_message(header, self._motion.twist(self._palm, seconds, share)))

    def _on_joints(self, message: PoseArray) -> None:
        if self.policy.phase is not Phase.FOLLOWING:
            return
        try:
            gap = pinch_gap(self.read_joints(message))
        except RobotError as error:
            self.complain(str(error))
            return
        if self._pinch.update(gap):
            settings = self._settings
            self._command_gripper(settings.gripper_closed if self._pinch.closed else settings.gripper_open)

    def _action_gripper(self) -> Callable[[float], None]:
        try:
            kind = importlib.import_module('control_msgs.action').ParallelGripperCommand
        except ModuleNotFoundError as error:
            raise ValueError(
                'parameter gripper: action needs the package control_msgs, which this Python does not have; '
                'install it, or use gripper: trajectory'
            ) from error
        name, joint = self._settings.gripper_topic or 'gripper_controller/gripper_cmd', self._settings.gripper_joint
        client: ActionClient = ActionClient(self, kind, name)

        def command(position: float) -> None:
            if client.server_is_ready():
                client.send_goal_async(kind.Goal(command=JointState(name=[joint], position=[position])))
            else:
                self.complain(f'the gripper is not commanded: there is no action {name}')

        return command

    def _joint_gripper(self) -> Callable[[float], None]:
        topic, joint = (
            self._settings.gripper_topic or 'gripper_controller/joint_trajectory',
            self._settings.gripper_joint,
        )
        publisher = self.create_publisher(JointTrajectory, topic, OUT)
        after = Duration(seconds=self._settings.gripper_time).to_msg()

        def command(position: float) -> None:
            point = JointTrajectoryPoint(positions=[position], time_from_start=after)
            publisher.publish(JointTrajectory(joint_names=[joint], points=[point]))

        return command

    def _servo_switch(self, number: int) -> Callable[[], None]:
        """Servo takes nothing before it knows of which kind commands are; returns what tries to say it."""
        name = f'{self._settings.servo}/switch_command_type'
        try:
            kind = importlib.import_module('moveit_msgs.srv').ServoCommandType
        except ModuleNotFoundError:
            self.get_logger().info(
                'moveit_msgs is not there; let MoveIt Servo listen by `ros2 service call '
                f"{self.resolve_service_name(name)} moveit_msgs/srv/ServoCommandType '{{command_type: {number}}}'`"
            )
            return lambda: None
        client: Client = self.create_client(kind, name)
        sent = False

        def ask() -> None:
            nonlocal sent
            if not client.service_is_ready():
                sent = False  # one that starts anew needs it again
            elif not sent:
                client.call_async(kind.Request(command_type=number))
                sent = True

        return ask


def _pose_message(header: Header, pose: np.ndarray) -> PoseStamped:
    x, y, z = pose[:3, 3].tolist()
    qx, qy, qz, qw = matrices_to_quaternions(pose[:3, :3]).tolist()
    placed = Pose(position=Point(x=x, y=y, z=z), orientation=Quaternion(x=qx, y=qy, z=qz, w=qw))
    return PoseStamped(header=header, pose=placed)


def _twist_message(header: Header, twist: np.ndarray) -> TwistStamped:
    x, y, z, turn_x, turn_y, turn_z = twist.tolist()
    velocity = Twist(linear=Vector3(x=x, y=y, z=z), angular=Vector3(x=turn_x, y=turn_y, z=turn_z))
    return TwistStamped(header=header, twist=velocity)


def main(args: Sequence[str] | None = None) -> int:
    """Teleoperate until it is stopped."""
    return run_nodes([TeleopNode], args)


if __name__ == '__main__':
    sys.exit(main())
