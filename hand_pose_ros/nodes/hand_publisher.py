"""Hands to topics, each made only for those who listen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

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
from hand_pose_ros.gestures.events import Event, HandEvents
from hand_pose_ros.gestures.library import load_library
from hand_pose_ros.gestures.shape import CAMERA_UP, Point
from hand_pose_ros.nodes import messages
from hand_pose_ros.nodes.diagnostics import ThrottledLog
from hand_pose_ros.nodes.qos import EVENTS, OUT, STATE, TF_OUT
from hand_pose_ros.nodes.serialized import JointsSerializer, MarkerSerializer, TransformsSerializer
from hand_pose_ros.nodes.transforms import TransformListener
from hand_pose_ros.robots.description import RobotError
from hand_pose_ros.settings import AUTO, NodeSettings
from hand_pose_ros.tracking.angle_guard import AngleGuard
from hand_pose_ros.visualization.drawing import draw_overlay


class HandPublisher:
    """All topics that a tracker's hands go to."""

    def __init__(self, node: LifecycleNode, settings: NodeSettings, log: ThrottledLog) -> None:
        """Create the publishers, which send once the node is active.

        Raises:
            GestureError: the gestures of ``gestures_file`` cannot be used; the message says why.

        """
        self._library = load_library(settings.gestures_file)
        self._node, self._settings, self._log = node, settings, log
        self._outputs: dict[str, LifecyclePublisher] = {
            name: node.create_lifecycle_publisher(kind, name, quality) for name, (kind, quality) in _outputs().items()
        }
        self._serialize_joints = JointsSerializer()
        self._serialize_transforms = TransformsSerializer(_tf_prefix(settings.tf_prefix, node.get_namespace()))
        self._serialize_markers = MarkerSerializer()
        self._events = HandEvents(self._library)
        self._guards: dict[str, AngleGuard] = {side: AngleGuard() for side in SIDES}
        self._said: dict[str, object] = {}
        frames = settings.up_frame or settings.ray_frame
        self._transforms = TransformListener(node, log.warn) if frames else None

    def start(self) -> None:
        """Say that no hand is there and makes a gesture yet; the node is active."""
        self._events, self._said = HandEvents(self._library), {}
        for side in SIDES:
            self._publish_change(topics.gesture_topic(side), String(data=self._events.gesture(side)))
            self._publish_change(topics.present_topic(side), Bool(data=False))

    def update(self, settings: NodeSettings) -> None:
        """Take live settings."""
        self._settings = settings

    def close(self) -> None:
        """Destroy the publishers."""
        for publisher in self._outputs.values():
            self._node.destroy_lifecycle_publisher(publisher)
        if self._transforms is not None:
            self._transforms.close()

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
        stamp_s = header.stamp.sec + 1e-9 * header.stamp.nanosec
        self._publish_events(self._events.presence({side: hand.track_id for side, hand in primary.items()}, stamp_s))
        for side in SIDES:
            self._publish_change(topics.present_topic(side), Bool(data=side in primary))
        self.publish_keypoints(header, hands)
        for side, hand in primary.items():
            if hand.fit and (publisher := self._wanted(topics.joint_states_topic(side))):
                publisher.publish(messages.joint_states_message(header, self._guarded(hand, stamp_s)))
        if primary and self._settings.publish_tf and (publisher := self._wanted(topics.TF)):
            if header.frame_id:
                publisher.publish(self._serialize_transforms(header, list(primary.values())))
            else:
                self._log.warn("the images' frame_id is empty, so there is nothing to put TF frames under")

    def publish_keypoints(self, header: Header, hands: Sequence[Hand]) -> None:
        """Send the keypoints of a frame; they come for every one, empty where there is no hand."""
        if publisher := self._wanted(topics.KEYPOINTS):
            publisher.publish(messages.keypoints_message(header, hands))

    def publish_gestures(self, header: Header, hands: Sequence[Hand]) -> None:
        """Send the gestures that changed, and what else hands do."""
        stamp_s = header.stamp.sec + 1e-9 * header.stamp.nanosec
        up = self._up(header.frame_id)
        events = self._events.gestures(messages.primary_hands(hands), stamp_s, self._settings.gesture_hold, up)
        for side in SIDES:
            self._publish_change(topics.gesture_topic(side), String(data=self._events.gesture(side)))
        self._publish_events([self._with_ray(event, header.frame_id) for event in events])

    def publish_pictures(self, header: Header, hands: Sequence[Hand], frame: CameraFrame) -> None:
        """Send what people look at: markers and the overlay."""
        if publisher := self._wanted(topics.MARKERS):
            publisher.publish(self._serialize_markers(header, hands))
        if publisher := self._wanted(topics.OVERLAY):
            picture = draw_overlay(frame.picture, hands, frame.camera)
            publisher.publish(messages.image_message(header, picture, 'bgr8'))

    def _wanted(self, name: str) -> LifecyclePublisher | None:
        """Return the publisher if anybody listens: nothing is made for nobody."""
        publisher = self._outputs[name]
        return publisher if publisher.get_subscription_count() else None

    def _guarded(self, hand: Hand, stamp_s: float) -> Hand:
        """The hand with the angles that robots act on."""
        if hand.fit is None:
            return hand
        limits = self._settings.angle_confidence, self._settings.angle_speed
        angles = self._guards[hand.side](hand.fit.angles, hand.confidence, hand.track_id, stamp_s, *limits)
        return replace(hand, fit=replace(hand.fit, angles=angles))

    def _up(self, camera_frame: str) -> Point:
        """Where up is in the camera frame; the camera's own up where TF does not say."""
        frame = self._settings.up_frame
        if self._transforms is None or not frame:
            return CAMERA_UP
        try:
            return self._transforms.lookup(camera_frame, frame)[:3, 2].tolist()
        except RobotError as error:
            self._log.warn(f'up_frame: {error}; up is taken from the camera')
            return CAMERA_UP

    def _with_ray(self, event: Event, camera_frame: str) -> Event:
        """The event with its ray in the frame asked for; without a ray where TF does not join the frames."""
        if event.ray is None:
            return event
        frame = self._settings.ray_frame or camera_frame
        if self._transforms is None or not self._settings.ray_frame:
            return replace(event, ray=replace(event.ray, frame=frame))
        try:
            return replace(event, ray=event.ray.transformed(self._transforms.lookup(frame, camera_frame), frame))
        except RobotError as error:
            self._log.warn(f'ray_frame: {error}; events come without the ray')
            return replace(event, ray=None)

    def _publish_events(self, events: Sequence[Event]) -> None:
        for event in events:
            self._outputs[topics.EVENTS].publish(String(data=event.to_json()))

    def _publish_change(self, topic: str, message: String | Bool) -> None:
        """Send what others learn when it changes."""
        if self._said.get(topic) != message.data:
            self._said[topic] = message.data
            self._outputs[topic].publish(message)


def _tf_prefix(wanted: str, namespace: str) -> str:
    """What TF frames' names begin with: ``wanted``, or the parts of the node's namespace."""
    return wanted if wanted != AUTO else ''.join(f'{part}_' for part in namespace.split('/') if part)


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
        topics.EVENTS: (String, EVENTS),
        topics.TF: (TFMessage, TF_OUT),
    }
