"""A node that times a tracker from outside: it publishes images as a camera does, and waits for their joints."""

from __future__ import annotations

import time
from collections.abc import Iterator

from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import PoseArray
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import Header

from hand_pose_ros import topics
from hand_pose_ros.core.frame import CameraFrame
from hand_pose_ros.geometry.joints import SIDES
from hand_pose_ros.io.outputs import stamp_of
from hand_pose_ros.nodes.diagnostics import DROPPED
from hand_pose_ros.nodes.messages import camera_info_message, image_message
from hand_pose_ros.nodes.qos import OUT


class LatencyProbe(Node):
    """Publishes to the tracker of its namespace, and notes when the first joints of each image come back.

    Attributes:
        rate: images a second that were sent in the last measurement.
        dropped: images that the tracker dropped since it started, by its diagnostics; None before these come.

    """

    def __init__(self, namespace: str, context: Context, modality: str = 'depth') -> None:
        super().__init__('latency_probe', namespace=namespace, context=context)
        image_topic, info_topic = topics.inputs(modality)
        self._images = self.create_publisher(Image, image_topic, OUT)
        self._depths = self.create_publisher(Image, topics.DEPTH_IMAGE, OUT) if modality == 'rgbd' else None
        self._infos = self.create_publisher(CameraInfo, info_topic, OUT)
        self._arrivals: dict[int, float] = {}
        for side in SIDES:
            self.create_subscription(PoseArray, topics.joints_topic(side), self._on_joints, OUT)
        self.dropped: int | None = None
        self.rate = 0.0
        self.create_subscription(DiagnosticArray, topics.DIAGNOSTICS, self._on_diagnostics, 10)
        self._executor = SingleThreadedExecutor(context=context)
        self._executor.add_node(self)

    @property
    def first_arrival(self) -> float | None:
        """When the first joints came, on the clock of ``time.perf_counter``; None before."""
        return min(self._arrivals.values(), default=None)

    def ready(self) -> bool:
        """Whether the tracker and this node are subscribed to each other."""
        self._executor.spin_once(timeout_sec=0.05)
        return bool(
            self._images.get_subscription_count()
            and (self._depths is None or self._depths.get_subscription_count())
            and self._infos.get_subscription_count()
            and any(self.count_publishers(topics.joints_topic(side)) for side in SIDES)
        )

    def measure(
        self,
        frames: Iterator[CameraFrame],
        rate: float,
        warm_up: int,
        limit_s: float,
        count: int,
    ) -> list[float | None]:
        """Publish frames at ``rate`` a second, as many as it takes.

        Args:
            frames: endless; depth in millimeters.
            rate: frames a second.
            warm_up: this many images are answered before the measurement starts, unless
            limit_s: so many seconds pass.
            count: images to measure.

        Returns:
            For each image measured the seconds from publishing it to the arrival of its joints; None where none came.

        """
        sent: list[tuple[int, float]] = []
        due = time.perf_counter()
        latest = due + limit_s
        measured_from = None
        while measured_from is None or len(sent) < measured_from + count:
            if measured_from is None and (len(self._arrivals) >= warm_up or due > latest):
                measured_from = len(sent)
            header = Header(stamp=self.get_clock().now().to_msg(), frame_id='camera_optical_frame')
            frame = next(frames)
            info = camera_info_message(header, frame.camera)
            depth = None if frame.depth is None else image_message(header, frame.depth.pixels, '16UC1')
            color = None if frame.color is None else image_message(header, frame.color, 'bgr8')
            self._spin_until(due)
            self._infos.publish(info)
            sent.append((stamp_of(info), time.perf_counter()))
            if self._depths is not None and depth is not None:
                self._depths.publish(depth)
            self._images.publish(depth if color is None else color)
            due = max(due + 1 / rate, time.perf_counter())
        self.rate = (len(sent) - 1) / max(sent[-1][1] - sent[0][1], 1e-9)
        self._spin_until(time.perf_counter() + 0.5)
        return [self._arrivals[key] - start if key in self._arrivals else None for key, start in sent[measured_from:]]

    def _spin_until(self, end: float) -> None:
        while (left := end - time.perf_counter()) > 0:
            self._executor.spin_once(timeout_sec=left)

    def _on_joints(self, message: PoseArray) -> None:
        self._arrivals.setdefault(stamp_of(message), time.perf_counter())

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        for status in message.status:
            if status.name.startswith(f'{self.get_namespace().strip("/")}/'):
                said = {value.key: value.value for value in status.values}.get(DROPPED, '')
                self.dropped = int(said) if said.isdigit() else self.dropped
