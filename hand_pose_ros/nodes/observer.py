"""A node that watches a tracker from outside, through its topics, and keeps all of it by the images' stamps."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from geometry_msgs.msg import PoseArray
from rclpy.context import Context
from rclpy.node import Node
from rclpy.qos import QoSProfile
from rclpy.serialization import deserialize_message
from sensor_msgs.msg import CameraInfo, JointState, PointCloud2
from visualization_msgs.msg import Marker, MarkerArray

from hand_pose_ros import topics
from hand_pose_ros.geometry.joints import JOINTS, SIDES
from hand_pose_ros.io.recording import stamp_name
from hand_pose_ros.nodes.messages import KEYPOINT

#: Deep enough that a busy moment of the observer loses nothing.
_QOS = QoSProfile(depth=1000)


@dataclass
class ObservedFrame:
    """What came for one image.

    Attributes:
        published: when its CameraInfo left the camera, seconds of the system's clock; None when it did not come.
        answered: when the keypoints came, None before.
        joints: side -> (21, 3) metres.
        confidence: side -> (21,).
        arrived: side -> when ``hands/<side>/joints`` came.
        angles: side -> joint angle in radians by its name without the side.
        markers: the serialised MarkerArray.

    """

    published: float | None = None
    answered: float | None = None
    joints: dict[str, np.ndarray] = field(default_factory=dict)
    confidence: dict[str, np.ndarray] = field(default_factory=dict)
    arrived: dict[str, float] = field(default_factory=dict)
    angles: dict[str, Mapping[str, float]] = field(default_factory=dict)
    markers: bytes | None = None

    def latencies(self) -> list[float]:
        """Seconds from publishing the image to the arrival of each hand's joints."""
        return [] if self.published is None else [arrived - self.published for arrived in self.arrived.values()]


class Observer(Node):
    """Subscribes to the outputs of the tracker of its namespace.

    Attributes:
        frames: stamp, as ``stamp_name`` writes it -> what came.
        status: the tracker's last diagnostics as name -> value; empty before.
        problem: the error that the tracker reports, or empty.

    """

    def __init__(self, namespace: str, context: Context | None = None) -> None:
        super().__init__('observer', namespace=namespace, context=context)
        self.frames: dict[str, ObservedFrame] = {}
        self.status: dict[str, str] = {}
        self.problem = ''
        # The camera's side of the latency is noted by the middleware when CameraInfo is published, which playback
        # does right before the image: the image itself would cost this process a copy of the whole stream.
        self.create_subscription(CameraInfo, topics.DEPTH_CAMERA_INFO, self._on_camera_info, _QOS)
        self.create_subscription(PointCloud2, topics.KEYPOINTS, self._on_keypoints, _QOS)
        for side in SIDES:
            self.create_subscription(PoseArray, topics.joints_topic(side),
                                     lambda message, side=side: self._on_joints(side, message), _QOS)
            self.create_subscription(JointState, topics.joint_states_topic(side),
                                     lambda message, side=side: self._on_joint_states(side, message), _QOS)
        # Kept as bytes: a mesh has ten thousand points, and unpacking them has time after the run.
        self.create_subscription(MarkerArray, topics.MARKERS, self._on_markers, _QOS, raw=True)
        self.create_subscription(DiagnosticArray, topics.DIAGNOSTICS, self._on_diagnostics, 10)

    def _frame(self, message: Any) -> ObservedFrame:
        stamp = message.header.stamp
        return self.frames.setdefault(stamp_name(stamp.sec * 10**9 + stamp.nanosec), ObservedFrame())

    def _on_camera_info(self, message: CameraInfo, info: Mapping[str, Any]) -> None:
        self._frame(message).published = 1e-9 * info['source_timestamp']

    def _on_keypoints(self, message: PointCloud2) -> None:
        points = np.frombuffer(message.data, KEYPOINT).reshape(-1, len(JOINTS))
        frame = self._frame(message)
        for hand in points:
            side = SIDES[hand['hand'][0]]
            frame.joints[side] = np.stack([hand['x'], hand['y'], hand['z']], axis=-1).astype(float)
            frame.confidence[side] = hand['confidence'].astype(float)
        frame.answered = time.time()

    def _on_joints(self, side: str, message: PoseArray) -> None:
        self._frame(message).arrived[side] = time.time()

    def _on_joint_states(self, side: str, message: JointState) -> None:
        self._frame(message).angles[side] = {name.removeprefix(f'{side}_'): angle
                                             for name, angle in zip(message.name, message.position)}

    def _on_markers(self, data: bytes) -> None:
        # A MarkerArray has no header of its own: the first marker's stamp lies behind the array's length.
        seconds, nanoseconds = np.frombuffer(data, np.uint32, 2, 8).tolist()
        self.frames.setdefault(stamp_name(seconds * 10**9 + nanoseconds), ObservedFrame()).markers = data

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        for status in message.status:
            if status.name.startswith(f'{self.get_namespace().strip("/")}/'):
                self.status = {value.key: value.value for value in status.values}
                self.problem = status.message if status.level == DiagnosticStatus.ERROR else ''


def read_meshes(data: bytes) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Unpack the meshes of a serialised MarkerArray: side -> vertices (V, 3) in metres, faces (F, 3)."""
    meshes = {}
    for marker in deserialize_message(data, MarkerArray).markers:
        if marker.type == Marker.TRIANGLE_LIST and marker.action == Marker.ADD and marker.points:
            points = np.array([(p.x, p.y, p.z) for p in marker.points])
            # Corners that triangles share are one vertex again, so that the mesh can be shaded smoothly.
            _, first, index = np.unique(np.round(points, 7), axis=0, return_index=True, return_inverse=True)
            meshes[marker.ns.partition('_')[0]] = points[first], index.reshape(-1, 3)
    return meshes
