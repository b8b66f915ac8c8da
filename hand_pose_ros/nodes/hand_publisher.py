"""Hands to topics, each made only for those who listen."""

from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np
from geometry_msgs.msg import PoseArray, PoseStamped
from rclpy.lifecycle import LifecycleNode, LifecyclePublisher
from rclpy.qos import QoSProfile
from sensor_msgs.msg import Image, JointState, PointCloud2
from std_msgs.msg import Bool, Header, String
from tf2_msgs.msg import TFMessage
from visualization_msgs.msg import MarkerArray

from hand_pose_ros import topics
from hand_pose_ros.core.frame import CameraFrame
from hand_pose_ros.core.hand import Hand
from hand_pose_ros.geometry.joints import SIDES
from hand_pose_ros.gestures.recognition import NONE, SteadyGesture, recognize
from hand_pose_ros.nodes import messages
from hand_pose_ros.nodes.diagnostics import ThrottledLog
from hand_pose_ros.nodes.qos import OUT, STATE, TF_OUT
from hand_pose_ros.nodes.serialized import JointsSerializer, MarkerSerializer, TransformsSerializer
from hand_pose_ros.settings import NodeSettings
from hand_pose_ros.visualization.drawing import draw_overlay


class HandPublisher:
    """All topics that a tracker's hands go to."""

    def __init__(self, node: LifecycleNode, settings: NodeSettings, log: ThrottledLog) -> None:
        """Create the publishers, which send once the node is active."""
        self._node, self._settings, self._log = node, settings, log
        self._outputs: dict[str, LifecyclePublisher] = {
            name: node.create_lifecycle_publisher(kind, name, quality) for name, (kind, quality) in _outputs().items()
        }
        self._serialize_joints = JointsSerializer()
        self._serialize_transforms = TransformsSerializer()
        self._serialize_markers = MarkerSerializer()
        self._gestures: dict[str, SteadyGesture] = {}
        self._primary: dict[str, int | None] = {}

    def start(self) -> None:
        """Say that no hand makes a gesture yet; the node is active."""
        self._gestures = {side: SteadyGesture() for side in SIDES}
        self._primary = {}
        for side in SIDES:
            self._publish_gesture(side)
            self._publish_presence(side, None, 0.0)

    def update(self, settings: NodeSettings) -> None:
        """Take live settings."""
        self._settings = settings

    def close(self) -> None:
        """Destroy the publishers."""
        for publisher in self._outputs.values():
            self._node.destroy_lifecycle_publisher(publisher)

    @property
    def mesh_wanted(self) -> bool:
        """Whether somebody listens to meshes."""
        return self._wanted(topics.MARKERS) is not None

    def publish_joints(self, header: Header, hands: Sequence[Hand]) -> None:
        """Send what others wait for: joints, keypoints, angles and frames."""
        primary = messages.primary_hands(hands)
        for side, hand in primary.items():
            if publisher := self._wanted(topics.joints_topic(side)):
                publisher.publish(self._serialize_joints(header, hand))
            if publisher := self._wanted(topics.palm_topic(side)):
                publisher.publish(messages.palm_message(header, hand))
        for side in SIDES:
            track = primary[side].track_id if side in primary else None
            self._publish_presence(side, track, header.stamp.sec + 1e-9 * header.stamp.nanosec)
        self.publish_keypoints(header, hands)
        for side, hand in primary.items():
            if hand.fit and (publisher := self._wanted(topics.joint_states_topic(side))):
                publisher.publish(messages.joint_states_message(header, hand))
        if primary and self._settings.publish_tf and (publisher := self._wanted(topics.TF)):
            if header.frame_id:
                publisher.publish(self._serialize_transforms(header, list(primary.values())))
            else:
                self._log.warn("the images' frame_id is empty, so there is nothing to put TF frames under")

    def publish_keypoints(self, header: Header, hands: Sequence[Hand]) -> None:
        """Send the keypoints of a frame; they come for every one, empty where there is no hand."""
        if publisher := self._wanted(topics.KEYPOINTS):
            publisher.publish(messages.keypoints_message(header, hands))

    def publish_gestures(self, hands: Sequence[Hand], stamp_s: float) -> None:
        """Send the gestures that changed."""
        primary = messages.primary_hands(hands)
        for side, gesture in self._gestures.items():
            name = recognize(primary[side].joints) if side in primary else NONE
            if gesture.update(name, stamp_s, self._settings.gesture_hold):
                self._publish_gesture(side)

    def publish_pictures(self, header: Header, hands: Sequence[Hand], frame: CameraFrame) -> None:
        """Send what people look at: markers and the overlay."""
        if publisher := self._wanted(topics.MARKERS):
            publisher.publish(self._serialize_markers(header, hands))
        if publisher := self._wanted(topics.OVERLAY):
            picture = draw_overlay(_picture(frame), hands, frame.camera)
            publisher.publish(messages.image_message(header, picture, 'bgr8'))

    def _wanted(self, name: str) -> LifecyclePublisher | None:
        """Return the publisher if anybody listens: nothing is made for nobody."""
        publisher = self._outputs[name]
        return publisher if publisher.get_subscription_count() else None

    def _publish_gesture(self, side: str) -> None:
        self._outputs[topics.gesture_topic(side)].publish(String(data=self._gestures[side].name))

    def _publish_presence(self, side: str, track: int | None, stamp_s: float) -> None:
        """Send on change whether a side's hand is seen, and which track is its primary one."""
        before = self._primary.get(side, -1)
        if (track is None) != (before is None) or side not in self._primary:
            self._outputs[topics.present_topic(side)].publish(Bool(data=track is not None))
        if track is not None and track != before:
            event = {'stamp': stamp_s, 'side': side, 'track': track, 'what': 'primary'}
            self._outputs[topics.EVENTS].publish(String(data=json.dumps(event)))
        self._primary[side] = track


def _picture(frame: CameraFrame) -> np.ndarray:
    """What overlays are drawn over: (H, W, 3) uint8 in bgr order, or without color (H, W) depth in meters."""
    if frame.color is not None:
        return frame.color
    assert frame.depth is not None  # a frame holds one of them
    return frame.depth[:]


def _outputs() -> dict[str, tuple[type, QoSProfile]]:
    per_side = {
        name(side): what
        for side in SIDES
        for name, what in (
            (topics.joints_topic, (PoseArray, OUT)),
            (topics.joint_states_topic, (JointState, OUT)),
            (topics.gesture_topic, (String, STATE)),
            (topics.palm_topic, (PoseStamped, OUT)),
            (topics.present_topic, (Bool, STATE)),
        )
    }
    return {
        **per_side,
        topics.KEYPOINTS: (PointCloud2, OUT),
        topics.MARKERS: (MarkerArray, OUT),
        topics.OVERLAY: (Image, OUT),
        topics.EVENTS: (String, QoSProfile(depth=10)),
        topics.TF: (TFMessage, TF_OUT),
    }
