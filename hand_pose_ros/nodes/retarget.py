"""The ``hand_retarget`` node: a person's hand in, commands for a robot's hand out."""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from geometry_msgs.msg import PoseArray
from rclpy.duration import Duration
from rclpy.qos import DurabilityPolicy, QoSProfile
from sensor_msgs.msg import JointState
from std_msgs.msg import Float64MultiArray, Header, String
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

from hand_pose_ros import topics
from hand_pose_ros.nodes.process import run_nodes
from hand_pose_ros.nodes.qos import OUT
from hand_pose_ros.nodes.robot_node import RobotNode
from hand_pose_ros.robots.description import RobotDescription, RobotError, parse_description, read_description
from hand_pose_ros.robots.retargeting import (
    ObservedHand,
    Retargeting,
    SpeedLimiter,
    find_config,
    load_config,
    make_retargeting,
)
from hand_pose_ros.robots.safety import Phase
from hand_pose_ros.robots.settings import RetargetSettings

NODE_NAME = 'hand_retarget'
ROBOT_DESCRIPTION = 'robot_description'

#: The robot's joint_states count as its present position for so long, seconds.
PRESENT = 0.5
_COMMANDS = {
    'trajectory': (JointTrajectory, 'hand_controller/joint_trajectory'),
    'joint_state': (JointState, 'hand_controller/joint_commands'),
    'array': (Float64MultiArray, 'hand_controller/commands'),
}


class RetargetNode(RobotNode):
    """Moves a robot hand as a person's hand, by the method that its configuration names.

    With ``urdf: robot_description`` it waits for that topic, and begins anew with every description.
    """

    def __init__(self, **node_options: Any) -> None:
        """Load the configuration, and where it is a file the robot description.

        Raises:
            ValueError: a parameter, the configuration or the description cannot be used; the message says why.

        """
        super().__init__(NODE_NAME, **node_options)
        self._settings = settings = self.start(RetargetSettings)
        self._config = load_config(find_config(settings.config))
        self._method: Retargeting | None = None
        self._limiter: SpeedLimiter | None = None
        self._present: dict[str, float] = {}
        self._present_at = float('-inf')
        kind, topic = _COMMANDS[settings.output]
        self._commands = self.create_publisher(kind, settings.command_topic or topic, OUT)
        if settings.urdf == ROBOT_DESCRIPTION:
            latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
            self.create_subscription(String, ROBOT_DESCRIPTION, self._on_description, latched)
        else:
            urdf = Path(settings.urdf).expanduser() if settings.urdf else self._config.find_urdf()
            self._load(read_description(urdf), urdf)
        self.create_subscription(JointState, 'joint_states', self._on_robot, OUT)
        if self._config.method == 'angles':
            self.create_subscription(JointState, topics.joint_states_topic(settings.side), self._on_angles, OUT)
        else:
            self.create_subscription(PoseArray, topics.joints_topic(settings.side), self._on_joints, OUT)

    def on_engaged(self) -> None:
        """Start from where the robot is."""
        assert self._method is not None and self._limiter is not None
        if self._settings.feedback and not self._robot_is_known():
            missing = [name for name in self._method.names if name not in self._present]
            raise RobotError(
                f'joint_states of the robot {"lack " + missing[0] if missing else "do not come"}: where it is is not '
                'known, so nothing is sent (parameter feedback)'
            )
        self._method.reset()
        self._limiter.start(self._present)

    def on_stopped(self) -> None:
        """A trajectory controller gets the present position once, so that it does not go on to the last point."""
        if self._settings.output == 'trajectory' and self._method is not None and self._limiter is not None:
            present = self._present if self._robot_is_known() else self._limiter.positions
            self._send({name: present[name] for name in self._method.names})

    def _load(self, description: RobotDescription, urdf: Path) -> None:
        self._method = make_retargeting(self._config, description, urdf)
        self._limiter = SpeedLimiter(description, self._method.names, self._settings.max_speed)

    def _on_description(self, message: String) -> None:
        self.policy.refuse('a robot description came')
        self._method = self._limiter = None
        with tempfile.NamedTemporaryFile('w', suffix='.urdf') as file:  # dexi-rs reads files only
            file.write(message.data)
            file.flush()
            try:
                self._load(parse_description(message.data), Path(file.name))
            except RobotError as error:
                self.complain(str(error))

    def _on_robot(self, message: JointState) -> None:
        positions = dict(zip(message.name, message.position))
        known = () if self._method is None else [name for name in self._method.names if name in positions]
        if known:
            self._present.update({name: positions[name] for name in known})
            self._present_at = time.monotonic()

    def _robot_is_known(self) -> bool:
        names = self._method.names if self._method is not None else ()
        recent = time.monotonic() - self._present_at < PRESENT
        return recent and all(abs(self._present.get(name, float('nan'))) < float('inf') for name in names)

    def _on_angles(self, message: JointState) -> None:
        prefix = f'{self._settings.side}_'
        angles = {name.removeprefix(prefix): angle for name, angle in zip(message.name, message.position)}
        self._follow(message.header, ObservedHand(self._settings.side, angles=angles))

    def _on_joints(self, message: PoseArray) -> None:
        try:
            hand = ObservedHand(self._settings.side, joints=self.read_joints(message))
        except RobotError as error:
            self.complain(str(error))
            return
        self._follow(message.header, hand)

    def _follow(self, header: Header, hand: ObservedHand) -> None:
        if self.policy.phase is Phase.IDLE:
            return
        if self._method is None or self._limiter is None:
            self.refuse(f'no robot description that can be used came on {ROBOT_DESCRIPTION}')
            return
        try:
            wanted = self._method.retarget(hand)
        except RobotError as error:
            self.complain(str(error))  # and the policy does not hear of this hand
            return
        if self.fresh(header):
            self._send(self._limiter.step(wanted, *self.step()))

    def _send(self, positions: dict[str, float]) -> None:
        names, values = list(positions), list(positions.values())
        if self._settings.output == 'joint_state':
            stamp = self.get_clock().now().to_msg()
            self._commands.publish(JointState(header=Header(stamp=stamp), name=names, position=values))
        elif self._settings.output == 'array':
            self._commands.publish(Float64MultiArray(data=values))
        else:
            # Stamp 0: begin when it arrives.
            point = JointTrajectoryPoint(
                positions=values, time_from_start=Duration(seconds=self._settings.point_time).to_msg()
            )
            self._commands.publish(JointTrajectory(joint_names=names, points=[point]))


def main(args: Sequence[str] | None = None) -> int:
    """Retarget until it is stopped."""
    return run_nodes([RetargetNode], args)


if __name__ == '__main__':
    sys.exit(main())
