"""Subscriptions to cameras, with the quality of service that their publishers offer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy

from hand_pose_ros.nodes.qos import CAMERA_IN

#: How often it is looked at whether a publisher is up, seconds.
PERIOD_S = 0.2


class FollowingSubscription:
    """Takes the newest message of a topic, whatever its publishers offer.

    Best effort connects to all of them, but large images get lost on the way, of 720p depth half with Fast DDS as it
    comes; so who offers reliable delivery is asked for it. A latched message, which came before, is asked for too. The
    subscription before stays until the new one has got a message, so that none is lost in between.

    Args:
        node: that subscribes.
        kind: type of the messages.
        topic: full name.
        callback: takes a message and its information, see rclpy's ``MessageInfo``.
        latched: whether a message that was sent before is of use.

    """

    def __init__(
        self, node: Node, kind: type, topic: str, callback: Callable[[Any, Any], None], latched: bool = False
    ) -> None:
        self._node, self._kind, self._topic, self._callback, self._latched = node, kind, topic, callback, latched
        self._quality = CAMERA_IN
        #: Of the last message, by its publisher; the subscription before, until the new one has got a message.
        self._last: int | None = None
        self._former: Any = None
        self._arrived, self._number = True, 0
        self._subscription = self._subscribe(CAMERA_IN)
        self._timer = node.create_timer(PERIOD_S, self.follow, clock=Clock(clock_type=ClockType.STEADY_TIME))
        self.follow()

    def _subscribe(self, quality: QoSProfile) -> Any:
        self._number += 1
        number = self._number

        def take(message: Any, info: Any) -> None:
            self._take(number, message, info)

        return self._node.create_subscription(self._kind, self._topic, take, quality)

    def _take(self, number: int, message: Any, info: Any) -> None:
        """Give a message on, unless the other subscription has given it on already."""
        newest = number == self._number
        self._arrived |= newest
        sequence = info['publication_sequence_number']
        twice = self._former is not None and sequence is not None and sequence == self._last
        self._last = sequence
        if not twice and (newest or self._former is not None):
            self._callback(message, info)

    @property
    def connected(self) -> bool:
        """Whether it is matched with a publisher, as that offers."""
        self.follow()
        return bool(self._subscription.get_publisher_count())

    def follow(self) -> None:
        """Subscribe anew where all publishers that are up offer more than is asked for, or one offers less."""
        if self._former is not None and self._arrived:
            self._node.destroy_subscription(self._former)
            self._former = None
        offered = [info.qos_profile for info in self._node.get_publishers_info_by_topic(self._topic)]
        if not offered or self._former is not None:
            return
        reliable = all(one.reliability == ReliabilityPolicy.RELIABLE for one in offered)
        kept = self._latched and all(one.durability == DurabilityPolicy.TRANSIENT_LOCAL for one in offered)
        quality = QoSProfile(
            depth=1,
            reliability=ReliabilityPolicy.RELIABLE if reliable else ReliabilityPolicy.BEST_EFFORT,
            durability=DurabilityPolicy.TRANSIENT_LOCAL if kept else DurabilityPolicy.VOLATILE,
        )
        if quality != self._quality:
            self._quality, self._former, self._arrived = quality, self._subscription, False
            self._subscription = self._subscribe(quality)

    def close(self) -> None:
        """Leave the topic alone."""
        self._node.destroy_timer(self._timer)
        for subscription in (self._subscription, self._former):
            if subscription is not None:
                self._node.destroy_subscription(subscription)
