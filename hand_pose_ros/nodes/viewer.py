"""Feeds a Rerun scene from the tracker's topics."""

from __future__ import annotations

import rclpy
from rclpy.context import Context
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions
from sensor_msgs.msg import CameraInfo, Image, PointCloud2
from visualization_msgs.msg import Marker, MarkerArray

import numpy as np

from hand_pose_ros import topics
from hand_pose_ros.geometry.camera import Camera, CameraError
from hand_pose_ros.geometry.joints import JOINTS, SIDES
from hand_pose_ros.hand_model.fitting import HandFit
from hand_pose_ros.images import ImageError
from hand_pose_ros.nodes.inputs import read_camera, read_color, read_depth
from hand_pose_ros.nodes.messages import KEYPOINT
from hand_pose_ros.nodes.qos import CAMERA_IN
from hand_pose_ros.pipeline.hand import Hand
from hand_pose_ros.viewing import Scene


def read_keypoints(message: PointCloud2) -> dict[str, Hand]:
    """Hands of a keypoints message, by side."""
    points = np.frombuffer(bytes(message.data), KEYPOINT)
    found = {}
    for number, side in enumerate(SIDES):
        own = points[points['hand'] == number]
        if len(own) == len(JOINTS):
            own = own[np.argsort(own['joint'])]
            joints = np.stack([own['x'], own['y'], own['z']], 1).astype(float)
            found[side] = Hand(side, float(own['confidence'].mean()), joints, own['confidence'])
    return found


def read_meshes(message: MarkerArray) -> dict[str, np.ndarray]:
    """Corners (3 F, 3) of the triangles of each hand's mesh, by side."""
    return {marker.ns.split('_')[0]: np.array([(p.x, p.y, p.z) for p in marker.points]) for marker in message.markers
            if marker.ns.endswith('_mesh') and marker.action == Marker.ADD}


class ViewerNode(Node):
    """Shows each image with the hands that were found in it.

    The image waits for the keypoints of its stamp, which the tracker publishes for every frame; the mesh follows when
    its markers come.

    Attributes:
        frames: how many were shown.

    """

    def __init__(self, scene: Scene, modality: str, namespace: str, context: Context) -> None:
        super().__init__('hand_viewer', namespace=namespace, context=context)
        self._scene = scene
        self._modality = modality
        self._camera: Camera | None = None
        self._images: dict[tuple[int, int], np.ndarray] = {}
        self._hands: dict[str, Hand] = {}
        self.frames = 0
        image, info = topics.inputs(modality)
        self.create_subscription(CameraInfo, info, self._on_info, CAMERA_IN)
        self.create_subscription(Image, image, self._on_image, CAMERA_IN)
        self.create_subscription(PointCloud2, topics.KEYPOINTS, self._on_keypoints, CAMERA_IN)
        self.create_subscription(MarkerArray, topics.MARKERS, self._on_markers, CAMERA_IN)

    def _on_info(self, message: CameraInfo) -> None:
        try:
            self._camera = read_camera(message)
        except CameraError as error:
            self.get_logger().warning(str(error), throttle_duration_sec=5.0)

    def _on_image(self, message: Image) -> None:
        try:
            picture = read_depth(message, 0.001) if self._modality == 'depth' else read_color(message)
        except ImageError as error:
            self.get_logger().warning(str(error), throttle_duration_sec=5.0)
            return
        self._images[_key(message.header)] = picture
        while len(self._images) > 10:
            self._images.pop(next(iter(self._images)))

    def _on_keypoints(self, message: PointCloud2) -> None:
        self._hands = read_keypoints(message)
        self._show(message.header, self._images.pop(_key(message.header), None))
        self.frames += 1

    def _on_markers(self, message: MarkerArray) -> None:
        meshes = {side: corners for side, corners in read_meshes(message).items() if side in self._hands}
        for side, corners in meshes.items():
            fit = HandFit({}, np.broadcast_to(np.eye(3), (len(JOINTS), 3, 3)), self._hands[side].joints, corners,
                          np.arange(len(corners)).reshape(-1, 3), 0.0)
            self._scene.show_mesh(_seconds(message.markers[0].header), side, fit)

    def _show(self, header, picture: np.ndarray | None) -> None:
        self._scene.show(_seconds(header), picture, self._camera, list(self._hands.values()))


def _key(header) -> tuple[int, int]:
    return header.stamp.sec, header.stamp.nanosec


def _seconds(header) -> float:
    return header.stamp.sec + 1e-9 * header.stamp.nanosec


def run_viewer(scene: Scene, modality: str, namespace: str = '', limit: int | None = None) -> int:
    """Show what comes, until interrupted or ``limit`` frames were shown; returns the exit code."""
    context = rclpy.Context()
    rclpy.init(args=[], context=context, signal_handler_options=SignalHandlerOptions.NO)
    node = ViewerNode(scene, modality, namespace, context)
    executor = SingleThreadedExecutor(context=context)
    executor.add_node(node)
    try:
        while limit is None or node.frames < limit:
            executor.spin_once(timeout_sec=0.2)
    except ExternalShutdownException:
        pass
    finally:
        executor.shutdown()
        node.destroy_node()
        context.try_shutdown()
    return 0
