"""What is done with a frame: its hands are tracked and published, and diagnostics count it."""

from __future__ import annotations

import time
import traceback
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from rclpy.node import Node
from std_msgs.msg import Header

from hand_pose_ros.core.frame import CameraFrame, FrameError
from hand_pose_ros.core.hand import Hand
from hand_pose_ros.estimation.rgbd import why_not_measured
from hand_pose_ros.files import printable
from hand_pose_ros.geometry.camera import CameraError
from hand_pose_ros.imaging.images import ImageError
from hand_pose_ros.nodes.adaptation import Adaptation
from hand_pose_ros.nodes.camera_input import ReceivedFrame
from hand_pose_ros.nodes.diagnostics import ThrottledLog, TrackerDiagnostics
from hand_pose_ros.nodes.hand_publisher import HandPublisher
from hand_pose_ros.settings import TrackerSettings
from hand_pose_ros.tracking.model_choice import ModelChoice

if TYPE_CHECKING:
    from hand_pose_ros.tracking.tracker import HandTracker

#: Images in which depth shows no hand are looked into this often.
_REASON_PERIOD_S = 1.0


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
        choice: ModelChoice,
    ) -> None:
        self._logger = node.get_logger()
        self._image_topic = image_topic
        self._tracker, self._publisher, self._diagnostics, self._log = tracker, publisher, diagnostics, log
        self._settings = settings
        self._mesh = settings.tracking.mesh
        self._next_reason = 0.0
        self._adaptation = Adaptation(tracker, choice, node.get_logger())

    def update(self, settings: TrackerSettings) -> None:
        """Take live settings."""
        views, before = settings.tracking.views, self._settings.tracking.views
        self._settings = settings
        if views != before:
            self._adaptation.set_views(views)
            self._diagnostics.update_parts(self.describe())
        self._update_tracker()

    def reset(self) -> None:
        """Forget the hands that are tracked."""
        self._tracker.reset()
        self._adaptation.pause()

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
        self._publisher.publish_gestures(header, hands)
        self._publisher.publish_pictures(header, hands, frame)
        times = {
            'processing': tracked - received.begun_s,
            **self._tracker.stage_seconds,
            'messages': time.perf_counter() - tracked,
        }
        problem = self._finish_frame()
        self._diagnostics.statistics.impossible = self._tracker.impossible
        self._diagnostics.finish(len(hands), latency, times, received.depth_problem, problem)
        self._explain(frame, hands)
        if self._adaptation.after_frame(time.perf_counter() - received.begun_s):
            self._update_tracker()
            self._diagnostics.update_parts(self.describe())

    def _explain(self, frame: CameraFrame, hands: Sequence[Hand]) -> None:
        """Find out, once a second, why depth can hold no hand, or told no distance of those that color shows."""
        now = time.monotonic()
        if any(hand.metric for hand in hands):
            self._diagnostics.nothing_measured('')
        elif frame.depth is not None and now >= self._next_reason:
            self._next_reason = now + _REASON_PERIOD_S
            tracking = self._settings.tracking
            self._diagnostics.nothing_measured(why_not_measured(frame.depth, hands, tracking.near, tracking.far))

    def describe(self) -> dict[str, str]:
        """Return engine and model, and why they were chosen, for diagnostics."""
        parts = {'engine': self._tracker.description, 'model': self._tracker.model_name}
        return {**parts, **self._adaptation.describe()}

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
        self._tracker.update(replace(self._settings.tracking, mesh=self._mesh, views=self._adaptation.views))


def describe(error: Exception) -> str:
    """Return an error as text: its message where it was foreseen, else with its type."""
    if isinstance(error, MemoryError):
        return f'there is too little memory on this machine ({error})' if str(error) else 'there is too little memory'
    foreseen = isinstance(error, (ValueError, OSError)) and str(error)
    return printable(str(error) if foreseen else f'{type(error).__name__}: {error}')
