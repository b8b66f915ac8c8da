"""The ``hand_tracker`` node: camera topics in, hands out. Its life cycle; the work is done by the parts it makes."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from rcl_interfaces.msg import SetParametersResult
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.parameter import Parameter

from hand_pose_ros.nodes.camera_input import CameraInput
from hand_pose_ros.nodes.camera_topics import CameraTopics
from hand_pose_ros.nodes.diagnostics import NOT_ACTIVE, NOT_CONFIGURED, ThrottledLog, TrackerDiagnostics
from hand_pose_ros.nodes.frame_processor import FrameProcessor, describe
from hand_pose_ros.nodes.hand_publisher import HandPublisher
from hand_pose_ros.nodes.parameters import check_changes, declare_settings, read_settings
from hand_pose_ros.nodes.process import run_nodes
from hand_pose_ros.settings import TrackerSettings
from hand_pose_ros.tracking.model_choice import ModelChoice, make_live_tracker

if TYPE_CHECKING:
    from hand_pose_ros.tracking.tracker import HandTracker

NODE_NAME = 'hand_tracker'


class TrackerNode(LifecycleNode):
    """Tracks hands in the images of a camera; a lifecycle node that by default configures and activates itself.

    Frames are processed in their subscription's callback, see :class:`CameraInput`; services and diagnostics wait for
    the frame in work, a few milliseconds.
    """

    def __init__(
        self,
        make_tracker: Callable[[TrackerSettings], tuple[HandTracker, ModelChoice]] = make_live_tracker,
        **node_options: Any,
    ) -> None:
        """Declare the parameters, and start as ``auto_activate`` says.

        Args:
            make_tracker: makes the tracker when the node configures, and says what it was chosen from.
            node_options: passed on to the node, e.g. ``parameter_overrides``.

        Raises:
            ValueError: a parameter is of the wrong type or out of range.

        """
        super().__init__(NODE_NAME, **node_options)
        self._make_tracker = make_tracker
        self._settings = declare_settings(self, TrackerSettings, fixed=lambda name: name == 'auto_activate')
        self.add_on_set_parameters_callback(self._check_parameters)
        self.add_post_set_parameters_callback(self._take_parameters)
        self._log = ThrottledLog(self)
        self._diagnostics = TrackerDiagnostics(self, self._log)
        self._describe_idle()
        self._processor: FrameProcessor | None = None
        self._publisher: HandPublisher | None = None
        self._input: CameraInput | None = None
        if self._settings.node.auto_activate and self.trigger_configure() == TransitionCallbackReturn.SUCCESS:
            self.trigger_activate()

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Load the models and create the publishers; stays unconfigured where a model cannot be loaded."""
        self._settings = settings = read_settings(self, TrackerSettings)
        self._describe_idle()
        try:
            tracker, choice = self._make_tracker(settings)
            publisher = HandPublisher(self, settings.node, self._log)
        # Whatever is wrong with a model file or an engine, the node says it and lives on.
        except Exception as error:
            problem = f'cannot start tracking: {describe(error)}'
            self._diagnostics.set_idle(NOT_CONFIGURED, problem)
            self.get_logger().error(problem)
            if not isinstance(error, (ValueError, OSError)):
                self.get_logger().error(traceback.format_exc())
            return TransitionCallbackReturn.FAILURE
        self._publisher = publisher
        self._processor = FrameProcessor(
            self, tracker, publisher, self._diagnostics, self._log, settings, self._topics.image, choice
        )
        self._diagnostics.set_idle(NOT_ACTIVE)
        self._diagnostics.describe(self._topics.image, bool(self._topics.depth), self._processor.describe())
        self.get_logger().info(f'configured: {tracker.description}{"; " * bool(choice.reason)}{choice.reason}')
        return super().on_configure(state)

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Subscribe to the camera."""
        processor, publisher = self._processor, self._publisher
        if processor is None or publisher is None:  # The state machine does not let it come to this.
            return TransitionCallbackReturn.ERROR
        self._input = CameraInput(
            self,
            self._topics,
            self._settings,
            self._diagnostics.statistics,
            self._log,
            on_frame=processor.process,
            on_refused=processor.refuse,
            on_restart=processor.reset,
        )
        self._diagnostics.set_idle('')
        done = super().on_activate(state)
        publisher.start()
        return done

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Leave the camera alone."""
        self._leave_camera()
        return super().on_deactivate(state)

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Let go of the models and the publishers."""
        self._release()
        return super().on_cleanup(state)

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Let go of everything, from whatever state."""
        self._release()
        return super().on_shutdown(state)

    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Back to unconfigured after a transition that failed in an unforeseen way."""
        self._release()
        self._diagnostics.set_idle(NOT_CONFIGURED, f'the transition from {state.label} failed')
        return TransitionCallbackReturn.SUCCESS

    def _leave_camera(self) -> None:
        if self._input is not None:
            self._input.close()
            self._input = None
        if self._processor is not None:
            self._processor.reset()
        self._diagnostics.set_idle(NOT_ACTIVE)

    def _release(self) -> None:
        self._leave_camera()
        if self._publisher is not None:
            self._publisher.close()
        self._processor = self._publisher = None
        self._diagnostics.set_idle(NOT_CONFIGURED)
        self._describe_idle()

    def _describe_idle(self) -> None:
        """Name the topics that will be read, and say for diagnostics what is known before the models are loaded."""
        models = self._settings.models
        self._topics = CameraTopics.of(self, models.modality, self._settings.node.image_transport)
        self._diagnostics.describe(self._topics.image, bool(self._topics.depth), {'model': models.model or 'auto'})

    def _check_parameters(self, parameters: list[Parameter]) -> SetParametersResult:
        return check_changes(self._settings, parameters, configured=self._processor is not None)

    def _take_parameters(self, parameters: list[Parameter]) -> None:
        self._settings = read_settings(self, TrackerSettings)
        if self._processor is None:
            self._describe_idle()
        if self._processor is not None and self._publisher is not None:
            self._processor.update(self._settings)
            self._publisher.update(self._settings.node)
        if self._input is not None:
            self._input.update(self._settings.node)


def main(args: Sequence[str] | None = None) -> int:
    """Run the node until it is stopped."""
    return run_nodes([TrackerNode], args)


if __name__ == '__main__':
    sys.exit(main())
