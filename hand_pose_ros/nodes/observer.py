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
        # A middleware that does not note it says 0.
        self._frame(message).published = 1e-9 * info['source_timestamp'] or None

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


class MeshReader:
    """Unpacks the meshes out of serialised MarkerArrays.

    As messages they would be ten thousand points a hand, each a Python object. The bytes hold them as plain arrays, so
    they are taken from there, field by field as ``visualization_msgs/Marker`` declares them.
    """

    def __init__(self) -> None:
        self._shared: dict[str, tuple[np.ndarray, np.ndarray]] = {}

    def __call__(self, data: bytes) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """Return side -> vertices (V, 3) in metres and faces (F, 3)."""
        cdr = _Cdr(data)
        meshes = {}
        for _ in range(cdr.numbers('u4', 1)[0]):
            namespace, kind, action, points = _read_marker(cdr)
            if kind == Marker.TRIANGLE_LIST and action == Marker.ADD and len(points):
                side = namespace.partition('_')[0]
                first, index = self._vertices(side, points)
                meshes[side] = points[first], index.reshape(-1, 3)
        return meshes

    def _vertices(self, side: str, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Find which points are one vertex, shared by triangles, so that the mesh can be shaded smoothly."""
        first, index = self._shared.get(side, (None, None))
        if index is None or len(index) != len(points) or not np.array_equal(points[first][index], points):
            _, first, index = np.unique(points, axis=0, return_index=True, return_inverse=True)
            index = index.reshape(-1)
            self._shared[side] = first, index
        return first, index


class _Cdr:
    """Reads little-endian CDR, as every ROS middleware writes it, from its start to its end."""

    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 4   # behind the encapsulation header, from where alignment counts

    def numbers(self, dtype: str, count: int) -> np.ndarray:
        size = np.dtype(dtype).itemsize
        if not count:
            return np.empty(0, dtype)
        self._at += -(self._at - 4) % size
        values = np.frombuffer(self._data, f'<{dtype}', count, self._at)
        self._at += count * size
        return values

    def sequence(self, dtype: str, width: int = 1) -> np.ndarray:
        return self.numbers(dtype, int(self.numbers('u4', 1)[0]) * width)

    def text(self) -> str:
        return self.sequence('u1').tobytes().rstrip(b'\0').decode()

    def header(self) -> None:
        self.numbers('u4', 2)
        self.text()


def _read_marker(cdr: _Cdr) -> tuple[str, int, int, np.ndarray]:
    """Read one ``visualization_msgs/Marker``; return its namespace, type, action and points (N, 3)."""
    cdr.header()
    namespace = cdr.text()
    _, kind, action = cdr.numbers('i4', 3).tolist()
    cdr.numbers('f8', 10)           # pose, scale
    cdr.numbers('f4', 4)            # color
    cdr.numbers('u4', 2)            # lifetime
    cdr.numbers('u1', 1)            # frame_locked
    points = cdr.sequence('f8', 3).reshape(-1, 3)
    cdr.sequence('f4', 4)           # colors
    cdr.text()                      # texture_resource
    cdr.header()                    # texture: header, format, data
    cdr.text()
    cdr.sequence('u1')
    cdr.sequence('f4', 2)           # uv_coordinates
    cdr.text()                      # text
    cdr.text()                      # mesh_resource
    cdr.text()                      # mesh_file: filename, data
    cdr.sequence('u1')
    cdr.numbers('u1', 1)            # mesh_use_embedded_materials
    return namespace, kind, action, points
