"""What is done with a frame: its hands are tracked and published, and diagnostics count it."""

from __future__ import annotations

import time
import traceback
from dataclasses import replace
from typing import TYPE_CHECKING

from rclpy.node import Node
from std_msgs.msg import Header

from hand_pose_ros.core.frame import FrameError
from hand_pose_ros.geometry.camera import CameraError
from hand_pose_ros.imaging.images import ImageError
from hand_pose_ros.nodes.camera_input import ReceivedFrame
from hand_pose_ros.nodes.diagnostics import ThrottledLog, TrackerDiagnostics
from hand_pose_ros.nodes.hand_publisher import HandPublisher
from hand_pose_ros.settings import TrackerSettings

if TYPE_CHECKING:
    from hand_pose_ros.tracking.tracker import HandTracker


class FrameProcessor:
    """Tracks the frames of a camera and publishes their hands. A fault costs a frame, not the node."""

    def __init__(
        self,
        node: Node,
        tracker: HandTracker,
        publisher: HandPublisher,
        diagnostics: TrackerDiagnostics,
        log: ThrottledLog,
        settings: TrackerSettings,
        image_topic: str,
    ) -> None:
        self._logger = node.get_logger()
        self._image_topic = image_topic
        self._tracker, self._publisher, self._diagnostics, self._log = tracker, publisher, diagnostics, log
        self._settings = settings
        self._mesh = settings.tracking.mesh

    def update(self, settings: TrackerSettings) -> None:
        """Take live settings."""
        self._settings = settings
        self._update_tracker()

    def reset(self) -> None:
        """Forget the hands that are tracked."""
        self._tracker.reset()

    def process(self, received: ReceivedFrame) -> None:
        """Track a frame; its hands are out before anything is done that can wait."""
        frame, header = received.frame, received.header
        self._ask_for_mesh()
        try:
            hands = self._tracker.process(frame)
        except Exception as error:
            self.refuse(header, error)
            return
        tracked = time.perf_counter()
        self._publisher.publish_joints(header, hands)
        latency = 1e-9 * (time.time_ns() - received.sent_ns)
        self._publisher.publish_gestures(hands, frame.stamp_s or 0.0)
        self._publisher.publish_pictures(header, hands, frame)
        times = {
            'processing': tracked - received.begun_s,
            **self._tracker.stage_seconds,
            'messages': time.perf_counter() - tracked,
        }
        problem = self._finish_frame()
        self._diagnostics.finish(len(hands), latency, times, received.depth_problem, problem)

    def refuse(self, header: Header, error: Exception) -> None:
        """Publish the empty keypoints of a frame that cannot be used, and say why."""
        known = isinstance(error, (ImageError, CameraError, FrameError))
        problem = str(error) if known else f'tracking failed on an image of {self._image_topic}: {describe(error)}'
        self._diagnostics.refuse(problem)
        self._publisher.publish_keypoints(header, [])
        if not known:
            self._tracker.reset()
        if self._log.warn(problem) and not known:
            self._logger.error(''.join(traceback.format_exception(error)))

    def _finish_frame(self) -> str:
        """Let the tracker do what could wait; returns what went wrong, or an empty string."""
        try:
            self._tracker.finish_frame()
        except Exception as error:
            self._tracker.reset()
            problem = f'tracking failed after an image of {self._image_topic}: {describe(error)}'
            if self._log.warn(problem):
                self._logger.error(traceback.format_exc())
            return problem
        return ''

    def _ask_for_mesh(self) -> None:
        """Have hands' meshes posed only while somebody listens to them."""
        wanted = self._settings.tracking.mesh and self._publisher.mesh_wanted
        if wanted != self._mesh:
            self._mesh = wanted
            self._update_tracker()

    def _update_tracker(self) -> None:
        self._tracker.update(replace(self._settings.tracking, mesh=self._mesh))


def describe(error: Exception) -> str:
    """Return an error as text: its message where it was foreseen, else with its type."""
    foreseen = isinstance(error, (ValueError, OSError)) and str(error)
    return str(error) if foreseen else f'{type(error).__name__}: {error}'
