"""The ``hand_hri`` node: gestures as hri_msgs/Gesture under a body's id, for robots that follow ROS4HRI.

REP 155 has no hands, so that no conformance is claimed: gestures that hri_msgs has a name for are sent, others are not.
"""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Sequence
from typing import Any

from rclpy.node import Node
from rclpy.publisher import Publisher
from std_msgs.msg import Header, String

from hand_pose_ros import topics
from hand_pose_ros.files import parse_json, reason
from hand_pose_ros.geometry.joints import SIDES
from hand_pose_ros.nodes.parameters import declare_settings
from hand_pose_ros.nodes.process import run_nodes
from hand_pose_ros.nodes.qos import STATE
from hand_pose_ros.robots.settings import HriSettings

NODE_NAME = 'hand_hri'

#: Our gestures and movements -> the constant of hri_msgs/Gesture. Not every version of it has them all. A hand that
#: points is only said where it points up.
HRI_NAMES = {
    'wave': 'WAVING',
    'fist': 'CLOSED_FIST',
    'open': 'OPEN_PALM',
    'stop': 'OPEN_PALM',
    'heart': 'LOVE',
    'thumb_down': 'THUMB_DOWN',
    'thumb_up': 'THUMB_UP',
    'two': 'VICTORY',
}
POINTING_UP = 'POINTING_UP'
#: A ray points up from this elevation on, degrees.
_LEAST_ELEVATION = 45.0


class HriNode(Node):
    """Sends gestures of either hand and of both, and waving, on ``/humans/bodies/<id>/gesture``."""

    def __init__(self, **node_options: Any) -> None:
        """Subscribe.

        Raises:
            ValueError: hri_msgs is not installed, or the body's id is none.

        """
        super().__init__(NODE_NAME, **node_options)
        settings = declare_settings(self, HriSettings, fixed=lambda name: True)
        try:
            self._kind = importlib.import_module('hri_msgs.msg').Gesture
        except ModuleNotFoundError as error:
            raise ValueError('hand_hri needs the package hri_msgs, which this Python does not have') from error
        self._gestures: Publisher | None = None
        self._body = ''
        if settings.body_id:
            self._take_body(settings.body_id)
        else:
            self.create_subscription(String, 'body_id', self._on_body, STATE)
        for side in SIDES:
            self.create_subscription(
                String,
                topics.gesture_topic(side),
                lambda message, side=side: self._send(side, HRI_NAMES.get(message.data, '')),
                STATE,
            )
        self.create_subscription(String, topics.EVENTS, self._on_event, 10)

    def _take_body(self, body: str) -> None:
        # Ids are parts of topic names.
        if not re.fullmatch('[A-Za-z_][A-Za-z0-9_]*', body):
            raise ValueError(f'body_id {body!r} is not of letters, digits and underscores, or begins with a digit')
        if body != self._body:
            if self._gestures is not None:
                self.destroy_publisher(self._gestures)
            self._body = body
            self._gestures = self.create_publisher(self._kind, f'/humans/bodies/{body}/gesture', 1)

    def _on_body(self, message: String) -> None:
        try:
            self._take_body(message.data)
        except ValueError as error:
            self.get_logger().error(str(error))

    def _on_event(self, message: String) -> None:
        try:
            event = parse_json(message.data)
            what, side, name = event['what'], event['side'], event.get('name', '')
            # What one hand shows comes by its own topic.
            if what == 'movement' or (what == 'gesture' and side not in SIDES):
                self._send(side, HRI_NAMES.get(name, ''))
            elif what == 'gesture' and 'ray' in event and event['ray']['elevation_deg'] >= _LEAST_ELEVATION:
                self._send(side, POINTING_UP)
        # Anyone on the network can publish anything here.
        except Exception as error:
            self.get_logger().error(f'{topics.EVENTS}: an event that cannot be read ({reason(error)})')

    def _send(self, side: str, name: str) -> None:
        constant = getattr(self._kind, name, None) if name else None
        if constant is None or self._gestures is None:
            return
        message = self._kind(header=Header(stamp=self.get_clock().now().to_msg()), gesture=constant)
        if hasattr(message, 'handedness') and side in SIDES:
            message.handedness = getattr(self._kind, side.upper())
        self._gestures.publish(message)


def main(args: Sequence[str] | None = None) -> int:
    """Convert gestures until it is stopped."""
    return run_nodes([HriNode], args)


if __name__ == '__main__':
    sys.exit(main())
