"""What the nodes that move robots share: the clutch, the watch over the hand, and saying why nothing moves."""

from __future__ import annotations

import re
import time
from dataclasses import fields
from typing import Any, TypeVar

import numpy as np
from geometry_msgs.msg import PoseArray
from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from rclpy.time import Time
from std_msgs.msg import Bool, Header, String

from hand_pose_ros import topics
from hand_pose_ros.files import parse_json, reason
from hand_pose_ros.geometry.joints import JOINTS, other_side
from hand_pose_ros.nodes.parameters import declare_settings
from hand_pose_ros.nodes.qos import STATE
from hand_pose_ros.robots.description import RobotError
from hand_pose_ros.robots.safety import Phase, SafetyLimits, SafetyPolicy
from hand_pose_ros.robots.settings import SafetySettings

S = TypeVar('S', bound=SafetySettings)

#: Between two checks of the clock, seconds: a lost hand is noticed so much later at most.
WATCH_PERIOD = 0.02
#: The longest step of a command, seconds: what passed in a gap is not made up for.
LONGEST_STEP = 0.1
#: The same complaint is logged at most this often, seconds.
COMPLAINT_PERIOD = 2.0


class RobotNode(Node):
    """A node that sends commands while its safety policy lets it.

    Attributes:
        policy: the one that every command asks.

    """

    def __init__(self, name: str, **node_options: Any) -> None:
        super().__init__(name, **node_options)
        self._complained: dict[str, float] = {}
        self._last_step = 0.0
        self._engaged = False

    def start(self, kind: type[S]) -> S:
        """Declare the parameters, and subscribe to what engages and disengages.

        Raises:
            ValueError: a parameter is of the wrong type or out of range.

        """
        settings = declare_settings(self, kind, fixed=lambda name: True)
        limits = {limit.name: getattr(settings, limit.name) for limit in fields(SafetyLimits)}
        self.policy = SafetyPolicy(SafetyLimits(**limits), self._on_phase)
        self._side = settings.side
        self._state = self.create_publisher(String, '~/state', STATE)
        self.create_subscription(Bool, topics.STOP, self._on_stop, 10)
        self.create_subscription(String, topics.EVENTS, self._on_event, 10)
        other = other_side(settings.side)
        if settings.clutch == 'topic':
            self.create_subscription(Bool, topics.ENGAGE, self._on_engage, 10)
        else:
            self._gesture = settings.clutch_gesture
            self.create_subscription(String, topics.gesture_topic(other), self._on_gesture, STATE)
            self.create_subscription(Bool, topics.present_topic(other), self._on_other_present, STATE)
        self.create_timer(WATCH_PERIOD, self.watch, clock=Clock(clock_type=ClockType.STEADY_TIME))
        self._say_phase()
        return settings

    def watch(self) -> None:
        """Let the policy see that time passes."""
        self.policy.tick(time.monotonic())

    def on_engaged(self) -> None:
        """Begin: the next command is the first one. May refuse by a RobotError."""

    def on_stopped(self) -> None:
        """No more commands from now on; the policy disengaged while it followed."""

    def fresh(self, header: Header) -> bool:
        """Tell the policy of a hand; returns whether it moves the robot now."""
        age = 1e-9 * (self.get_clock().now() - Time.from_msg(header.stamp)).nanoseconds
        if not self.policy.hand(time.monotonic(), age):
            self.complain(f'the {self._side} hand is of an image {age:.2f} s old, which moves nothing (max_age)')
            return False
        return self.policy.phase is Phase.FOLLOWING

    def step(self) -> tuple[float, float]:
        """Seconds since the command before, and the share of the speed limits that holds."""
        now = time.monotonic()
        seconds, self._last_step = min(now - self._last_step, LONGEST_STEP), now
        return seconds, self.policy.speed(now)

    def read_joints(self, message: PoseArray) -> np.ndarray:
        """Joints (21, 3) of a message of a hand.

        Raises:
            RobotError: it does not hold 21 finite positions.

        """
        joints = np.array([[pose.position.x, pose.position.y, pose.position.z] for pose in message.poses])
        if joints.shape != (len(JOINTS), 3) or not np.isfinite(joints).all():
            raise RobotError(f'the {self._side} hand came with joints that are not {len(JOINTS)} finite positions')
        return joints

    def refuse(self, problem: str) -> None:
        """Disengage at once, and say why."""
        self.complain(problem)
        self.policy.refuse(problem)

    def complain(self, problem: str) -> None:
        """Log a problem as one line, not again for a while."""
        now, kind = time.monotonic(), re.sub('[0-9]', '', problem)  # whatever numbers it holds this time
        if now - self._complained.get(kind, -COMPLAINT_PERIOD) >= COMPLAINT_PERIOD:
            self._complained[kind] = now
            self.get_logger().error(problem)

    def _on_engage(self, message: Bool) -> None:
        self.policy.clutch(message.data, time.monotonic())

    def _on_gesture(self, message: String) -> None:
        self.policy.clutch(message.data == self._gesture, time.monotonic())

    def _on_other_present(self, message: Bool) -> None:
        if not message.data:
            self.policy.clutch(False, time.monotonic())

    def _on_stop(self, message: Bool) -> None:
        if message.data:
            self.policy.stop()

    def _on_event(self, message: String) -> None:
        try:
            event = parse_json(message.data)
            if event['what'] == 'primary':
                known = self.policy.primary if event['side'] == self._side else self.policy.other_side
                known(int(event['track']))
        # Anyone on the network can publish anything here.
        except Exception as error:
            self.complain(f'{topics.EVENTS}: an event that cannot be read ({reason(error)})')

    def _on_phase(self, before: Phase) -> None:
        if before is Phase.ENGAGING and self.policy.phase is Phase.FOLLOWING:
            self._last_step = time.monotonic()
            try:
                self.on_engaged()
            except RobotError as error:
                self.refuse(str(error))
                return
            self._engaged = True
        elif self.policy.phase is Phase.IDLE and self._engaged:
            self._engaged = False
            self.on_stopped()
        self._say_phase(again=before is self.policy.phase)

    def _say_phase(self, again: bool = False) -> None:
        state = f'{self.policy.phase.value}: {self.policy.reason}'
        self._state.publish(String(data=state))
        if again:
            self.complain(state)
        else:
            self.get_logger().info(state)
