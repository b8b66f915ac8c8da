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
from visualization_msgs.msg import MarkerArray

from hand_pose_ros import topics
from hand_pose_ros.geometry.joints import SIDES
from hand_pose_ros.io.outputs import markers_stamp, read_keypoints, stamp_of
from hand_pose_ros.io.recording import stamp_name

#: Deep enough that a busy moment of the observer loses nothing.
_QOS = QoSProfile(depth=1000)


@dataclass
class ObservedFrame:
    """What came for one image.

    Attributes:
        published: when its CameraInfo left the camera, seconds of the system's clock; None when it did not come.
        answered: when the keypoints came, None before.
        joints: side -> (21, 3) meters.
        confidence: side -> (21,).
        arrived: side -> when ``hands/<side>/joints`` came.
        angles: side -> joint angle in radians by its name without the side.
        markers: the serialized MarkerArray.

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
            self.create_subscription(
                PoseArray, topics.joints_topic(side), lambda message, side=side: self._on_joints(side, message), _QOS
            )
            self.create_subscription(
                JointState,
                topics.joint_states_topic(side),
                lambda message, side=side: self._on_joint_states(side, message),
                _QOS,
            )
        # Kept as bytes: a mesh has ten thousand points, and unpacking them has time after the run.
        self.create_subscription(MarkerArray, topics.MARKERS, self._on_markers, _QOS, raw=True)
        self.create_subscription(DiagnosticArray, topics.DIAGNOSTICS, self._on_diagnostics, 10)

    def _frame(self, message: Any) -> ObservedFrame:
        return self.frames.setdefault(stamp_name(stamp_of(message)), ObservedFrame())

    def _on_camera_info(self, message: CameraInfo, info: Mapping[str, Any]) -> None:
        # A middleware that does not note it says 0.
        self._frame(message).published = 1e-9 * info['source_timestamp'] or None

    def _on_keypoints(self, message: PointCloud2) -> None:
        frame = self._frame(message)
        for side, (joints, confidence) in read_keypoints(message).items():
            frame.joints[side], frame.confidence[side] = joints, confidence
        frame.answered = time.time()

    def _on_joints(self, side: str, message: PoseArray) -> None:
        self._frame(message).arrived[side] = time.time()

    def _on_joint_states(self, side: str, message: JointState) -> None:
        self._frame(message).angles[side] = {
            name.removeprefix(f'{side}_'): angle for name, angle in zip(message.name, message.position)
        }

    def _on_markers(self, data: bytes) -> None:
        self.frames.setdefault(stamp_name(markers_stamp(data)), ObservedFrame()).markers = data

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        for status in message.status:
            if status.name.startswith(f'{self.get_namespace().strip("/")}/'):
                self.status = {value.key: value.value for value in status.values}
                self.problem = status.message if status.level == DiagnosticStatus.ERROR else ''
