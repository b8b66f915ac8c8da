"""Feeds the scene of ``hand-pose view`` from the topics of a camera and a tracker."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from geometry_msgs.msg import PoseArray
from rclpy.node import Node
from rclpy.task import Future
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, PointCloud2
from visualization_msgs.msg import MarkerArray

from hand_pose_ros import topics
from hand_pose_ros.core.outputs import Keypoints, Meshes, Output
from hand_pose_ros.files import reason
from hand_pose_ros.geometry.calibration import CameraDescription, assumed_camera
from hand_pose_ros.geometry.camera import Camera, CameraError
from hand_pose_ros.geometry.joints import SIDES
from hand_pose_ros.imaging.images import ImageError
from hand_pose_ros.io.outputs import (
    MeshReader,
    markers_stamp,
    read_joint_frames,
    read_keypoints,
    stamp_of,
)
from hand_pose_ros.nodes.camera_topics import CameraTopics
from hand_pose_ros.nodes.inputs import read_color, read_depth
from hand_pose_ros.nodes.qos import CAMERA_IN, OUT
from hand_pose_ros.settings import TrackerSettings
from hand_pose_ros.visualization.scene import Scene

NODE_NAME = 'hand_viewer'
#: Seconds between two warnings about images that cannot be shown.
_WARNING_PERIOD_S = 5.0


class ViewerNode(Node):
    """Shows each message as it comes, at the stamp of the image that it is about.

    Attributes:
        done: future that completes when ``limit`` images were shown, with the process's exit code.

    """

    def __init__(self, scene: Scene, settings: TrackerSettings, limit: int | None = None, **node_options: Any) -> None:
        """Subscribe.

        Args:
            scene: that is fed.
            settings: what the tracker reads: ``modality``, ``image_transport`` and ``depth_unit``.
            limit: images to show; None for all that come.
            node_options: passed on to the node.

        """
        super().__init__(NODE_NAME, **node_options)
        self._scene, self._settings, self._left = scene, settings, limit
        self._description: CameraDescription | None = None
        self._read_meshes = MeshReader()
        self.done: Future = Future()
        transport = settings.node.image_transport
        names = CameraTopics.of(self, settings.models.modality, transport)
        kind = Image if transport == 'raw' else CompressedImage
        self._image_topic = names.image
        self.create_subscription(CameraInfo, names.info, self._on_camera_info, CAMERA_IN)
        self.create_subscription(kind, self._image_topic, self._on_image, CAMERA_IN)
        self.create_subscription(PointCloud2, topics.KEYPOINTS, self._on_keypoints, OUT)
        for side in SIDES:
            self.create_subscription(
                PoseArray,
                topics.joints_topic(side),
                lambda message, side=side: self._show(
                    topics.joints_topic(side), lambda: (stamp_of(message), read_joint_frames(side, message))
                ),
                OUT,
            )
        # As bytes: a mesh has ten thousand points, and as many objects would be made of them.
        self.create_subscription(MarkerArray, topics.MARKERS, self._on_markers, OUT, raw=True)
        self.get_logger().info(f'waiting for {self._image_topic} and {self.resolve_topic_name(topics.KEYPOINTS)}')

    def _on_camera_info(self, message: CameraInfo) -> None:
        self._description = CameraDescription.of(message)

    def _camera(self, width: int, height: int) -> Camera | None:
        """The camera of an image of this size; None where no CameraInfo that can be used came."""
        if self._description is None:
            return None
        if self._description.uncalibrated:
            return assumed_camera(width, height)
        try:
            camera = self._description.camera(width, height, self._image_topic)
        except CameraError as error:
            self.get_logger().warning(f'CameraInfo cannot be used: {error}', throttle_duration_sec=_WARNING_PERIOD_S)
            return None
        return camera if (camera.width, camera.height) == (width, height) else None

    def _on_image(self, message: Image | CompressedImage) -> None:
        try:
            image = (
                read_depth(message, self._settings.node.depth_unit)[:]
                if self._settings.models.modality == 'depth'
                else read_color(message)
            )
        except ImageError as error:
            self.get_logger().warning(f'{self._image_topic}: {error}', throttle_duration_sec=_WARNING_PERIOD_S)
            return
        camera = self._camera(image.shape[1], image.shape[0])
        if camera is None:
            self.get_logger().warning(
                f'{self._image_topic}: no CameraInfo of an image of {image.shape[1]}x{image.shape[0]} came yet',
                throttle_duration_sec=_WARNING_PERIOD_S,
            )
            return
        self._scene.image(stamp_of(message), image, camera)
        if self._left is not None:
            self._left -= 1
            if self._left == 0:
                self.done.set_result(0)

    def _on_keypoints(self, message: PointCloud2) -> None:
        self._show(topics.KEYPOINTS, lambda: (stamp_of(message), Keypoints(read_keypoints(message))))

    def _on_markers(self, data: bytes) -> None:
        self._show(topics.MARKERS, lambda: (markers_stamp(data), Meshes(self._read_meshes(data))))

    def _show(self, topic: str, read: Callable[[], tuple[int, Output]]) -> None:
        try:
            stamp, output = read()
        # Anyone on the network can publish anything here, bytes included.
        except Exception as error:
            self.get_logger().warning(
                f'{topic}: a message that no tracker makes ({reason(error)})',
                throttle_duration_sec=_WARNING_PERIOD_S,
            )
            return
        self._scene.output(stamp, self.get_clock().now().nanoseconds, output)
