"""The ``hand_tracker`` node: depth or colour camera topics in, hands out."""

from __future__ import annotations

import sys
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from geometry_msgs.msg import PoseArray
from rcl_interfaces.msg import SetParametersResult
from rclpy.clock import Clock, ClockType
from rclpy.lifecycle import LifecycleNode, LifecyclePublisher, LifecycleState, TransitionCallbackReturn
from rclpy.parameter import Parameter
from rclpy.qos import QoSProfile
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, JointState, PointCloud2
from std_msgs.msg import Header, String
from tf2_msgs.msg import TFMessage
from visualization_msgs.msg import MarkerArray

from hand_pose_ros import topics
from hand_pose_ros.drawing import draw_overlay
from hand_pose_ros.geometry.camera import Camera, CameraError
from hand_pose_ros.geometry.joints import SIDES
from hand_pose_ros.gestures import NONE, SteadyGesture, recognise
from hand_pose_ros.images import DepthImage, ImageError
from hand_pose_ros.io.pairing import DepthPairing
from hand_pose_ros.nodes import messages
from hand_pose_ros.nodes.diagnostics import FrameStatistics, diagnostics_message
from hand_pose_ros.nodes.inputs import read_camera, read_color, read_depth
from hand_pose_ros.nodes.parameters import check_changes, declare_settings, read_settings
from hand_pose_ros.nodes.process import run_nodes
from hand_pose_ros.nodes.qos import CAMERA_IN, OUT, STATE, TF_OUT
from hand_pose_ros.nodes.serialized import JointsSerializer, MarkerSerializer, TransformsSerializer
from hand_pose_ros.parameters import TrackerParameters
from hand_pose_ros.pipeline.hand import Hand
from hand_pose_ros.pipeline.modality import make_tracker as make_tracker_of

NODE_NAME = 'hand_tracker'

#: Between two messages on /diagnostics; seconds.
DIAGNOSTICS_PERIOD = 1.0
#: Without an image for so long, diagnostics say so; seconds.
SILENCE = 2.0
#: Diagnostics warn of a larger share of dropped images.
TOLERABLE_LOSS = 0.1
#: The same complaint is logged at most this often; seconds.
COMPLAINT_PERIOD = 5.0


class TrackerNode(LifecycleNode):
    """Tracks hands in depth or colour images; a lifecycle node that by default configures and activates itself.

    An image is processed in its subscription's callback. With a history of one the middleware keeps the newest image
    while the node works on the one before, and that is what the next callback gets: late frames are dropped, none
    waits in a queue, and there is no hand-over to another thread in the way of the result. Services and diagnostics
    wait for the frame in work, a few milliseconds.
    """

    def __init__(self, make_tracker: Callable[[TrackerParameters], Any] = make_tracker_of, **node_options: Any) -> None:
        """Declare the parameters, and start as ``auto_activate`` says.

        Args:
            make_tracker: makes the tracker when the node configures.
            node_options: passed on to the node, e.g. ``parameter_overrides``.

        Raises:
            ValueError: a parameter is of the wrong type or out of range.

        """
        super().__init__(NODE_NAME, **node_options)
        self._make_tracker = make_tracker
        self._settings = declare_settings(self, TrackerParameters, fixed=lambda name: name == 'auto_activate')
        self.add_on_set_parameters_callback(self._check_parameters)
        self.add_post_set_parameters_callback(self._take_parameters)
        self._name_inputs()
        self._tracker: Any = None
        self._mesh = False
        self._outputs: dict[str, LifecyclePublisher] = {}
        self._inputs: list = []
        self._serialize_joints = JointsSerializer()
        self._serialize_transforms = TransformsSerializer()
        self._serialize_markers = MarkerSerializer()
        self._camera: Camera | None = None
        self._camera_key: tuple | None = None
        self._camera_problem = ''
        self._pairing: DepthPairing | None = None
        self._depth_problem = ''
        self._last_stamp = 0
        self._hands = 0
        self._gestures: dict[str, SteadyGesture] = {}
        self._problem = ''
        self._complaints: dict[str, float] = {}
        self._statistics = FrameStatistics()
        # Neither waits for the node to be active: they say why it is not.
        self._diagnostics = self.create_publisher(DiagnosticArray, topics.DIAGNOSTICS, 10)
        self.create_timer(DIAGNOSTICS_PERIOD, self._publish_diagnostics,
                          clock=Clock(clock_type=ClockType.STEADY_TIME))
        if self._settings.auto_activate and self.trigger_configure() == TransitionCallbackReturn.SUCCESS:
            self.trigger_activate()

    # Lifecycle

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Load the model and create the publishers; stays unconfigured where the model cannot be loaded."""
        self._settings = read_settings(self, TrackerParameters)
        try:
            self._tracker = self._make_tracker(self._settings)
        # Whatever is wrong with a model file or an engine, the node says it and lives on.
        except Exception as error:
            self._problem = f'cannot start tracking: {_describe(error)}'
            self.get_logger().error(self._problem)
            if not isinstance(error, (ValueError, OSError)):
                self.get_logger().error(traceback.format_exc())
            return TransitionCallbackReturn.FAILURE
        self._problem = ''
        self._mesh = self._settings.mesh
        self._name_inputs()
        for name, (kind, quality) in _outputs().items():
            self._outputs[name] = self.create_lifecycle_publisher(kind, name, quality)
        self.get_logger().info(f'configured: {self._tracker.engine_description}')
        return super().on_configure(state)

    def _name_inputs(self) -> None:
        image, info = topics.inputs(self._settings.modality)
        # Image transport puts its suffix behind the name that remapping gave the image topic.
        self._image_topic = topics.transported_topic(self.resolve_topic_name(image), self._settings.image_transport)
        self._info_topic = self.resolve_topic_name(info)
        self._aligned_topic = topics.transported_topic(
            self.resolve_topic_name(topics.DEPTH_IMAGE), topics.aligned_depth_transport(self._settings.image_transport))

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Subscribe to the camera."""
        kind = Image if self._settings.image_transport == 'raw' else CompressedImage
        self._inputs = [self.create_subscription(CameraInfo, self._info_topic, self._on_camera_info, CAMERA_IN),
                        self.create_subscription(kind, self._image_topic, self._on_image, CAMERA_IN)]
        aligned = self._settings.modality == 'rgb' and self._settings.aligned_depth
        if aligned:
            self._pairing = DepthPairing()
            self._inputs.append(self.create_subscription(kind, self._aligned_topic, self._on_depth, CAMERA_IN))
        self.get_logger().info(f'waiting for {self._image_topic} and {self._info_topic}'
                               + (f', and depth on {self._aligned_topic}' if aligned else ''))
        done = super().on_activate(state)
        self._gestures = {side: SteadyGesture() for side in SIDES}
        for side in SIDES:
            self._publish_gesture(side)
        return done

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Leave the camera alone."""
        self._leave_camera()
        return super().on_deactivate(state)

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Let go of the model and the publishers."""
        self._release()
        return super().on_cleanup(state)

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Let go of everything, from whatever state."""
        self._leave_camera()
        self._release()
        return super().on_shutdown(state)

    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Back to unconfigured after a transition that failed in an unforeseen way."""
        self._leave_camera()
        self._release()
        self._problem = self._problem or f'the transition from {state.label} failed'
        return TransitionCallbackReturn.SUCCESS

    def _leave_camera(self) -> None:
        for subscription in self._inputs:
            self.destroy_subscription(subscription)
        self._inputs = []
        self._camera = self._camera_key = None
        self._pairing = None
        self._camera_problem = self._depth_problem = self._problem = ''
        self._hands = self._last_stamp = 0
        self._statistics.pause()
        if self._tracker is not None:
            self._tracker.reset()

    def _release(self) -> None:
        for publisher in self._outputs.values():
            self.destroy_lifecycle_publisher(publisher)
        self._outputs = {}
        self._tracker = None

    # Parameters

    def _check_parameters(self, parameters: list[Parameter]) -> SetParametersResult:
        return check_changes(self._settings, parameters, configured=self._tracker is not None)

    def _take_parameters(self, parameters: list[Parameter]) -> None:
        self._settings = read_settings(self, TrackerParameters)
        if self._tracker is not None:
            self._set_tracker()

    def _set_tracker(self) -> None:
        # It looks them up in every frame.
        self._tracker.parameters = replace(self._settings, mesh=self._mesh)

    # Camera

    def _on_camera_info(self, message: CameraInfo) -> None:
        key = (message.width, message.height, message.distortion_model, tuple(message.k), tuple(message.d))
        if key == self._camera_key:
            return
        self._camera_key = key
        try:
            self._camera, self._camera_problem = read_camera(message), ''
        except CameraError as error:
            self._camera, self._camera_problem = None, f'{self._info_topic}: {error}'
            self._complain(self._camera_problem)
            return
        self._tracker.reset()
        self.get_logger().info(f'camera of {self._info_topic}: {message.width}x{message.height}, '
                               f'focal length {self._camera.fx:.1f} pixels')

    def _on_image(self, message: Image | CompressedImage, info: Mapping[str, Any]) -> None:
        self._statistics.arrive(info['publication_sequence_number'])
        self._follow_clock(message)
        if self._pairing is None:
            self._track(message, info)
            return
        for (one, its_info), depth in self._pairing.color(_nanoseconds(message), (message, info)):
            self._track(one, its_info, depth)

    def _on_depth(self, message: Image | CompressedImage) -> None:
        for (one, its_info), depth in self._pairing.depth(_nanoseconds(message), message):
            self._track(one, its_info, depth)

    def _track(self, message: Image | CompressedImage, info: Mapping[str, Any],
               depth: Image | CompressedImage | None = None) -> None:
        started = time.perf_counter()
        self._ask_for_mesh()
        try:
            image, camera = self._read(message)
            given = {} if self._pairing is None else {'depth': self._read_aligned(depth, image)}
            stamp = 1e-9 * _nanoseconds(message)
            hands = self._tracker.process(image, camera, stamp, **given)
        except (ImageError, CameraError) as error:
            self._refuse(message.header, str(error))
            return
        # A fault of the pipeline costs this frame, not the node.
        except Exception as error:
            self._tracker.reset()
            if self._refuse(message.header, f'tracking failed on an image of {self._image_topic}: {_describe(error)}'):
                self.get_logger().error(traceback.format_exc())
            return
        self._problem, self._hands = '', len(hands)
        tracked = time.perf_counter()
        self._publish_joints(message.header, hands)
        latency = 1e-9 * (time.time_ns() - (info['source_timestamp'] or info['received_timestamp']))
        self._publish_gestures(hands, stamp)
        self._publish_pictures(message.header, hands, image, camera)
        published = time.perf_counter()
        self._prepare()
        self._statistics.finish(latency, {'processing': tracked - started, **self._tracker.stage_times,
                                          'messages': published - tracked})

    def _prepare(self) -> None:
        try:
            self._tracker.prepare()
        # As in tracking, a fault of the pipeline does not cost the node.
        except Exception as error:
            self._tracker.reset()
            self._problem = f'tracking failed after an image of {self._image_topic}: {_describe(error)}'
            if self._complain(self._problem):
                self.get_logger().error(traceback.format_exc())

    def _follow_clock(self, message: Image | CompressedImage) -> None:
        """Start afresh where time jumps back: a bag in a loop, a simulation started again."""
        now = _nanoseconds(message)
        if now < self._last_stamp:
            self.get_logger().info(f'the stamps of {self._image_topic} jumped back by '
                                   f'{1e-9 * (self._last_stamp - now):.3f} s: tracking starts afresh')
            self._tracker.reset()
            if self._pairing is not None:
                self._pairing = DepthPairing()
        self._last_stamp = now

    def _read(self, message: Image | CompressedImage) -> tuple[np.ndarray | DepthImage, Camera]:
        """Depth, or a bgr image, and its camera; raises ImageError or CameraError, naming the topic at fault."""
        try:
            if self._settings.modality == 'depth':
                image = read_depth(message, self._settings.depth_unit)
            else:
                image = read_color(message)
        except ImageError as error:
            raise ImageError(f'{self._image_topic}: {error}') from error
        if self._camera is None:
            raise CameraError(self._camera_problem or f'{self._info_topic}: no CameraInfo came yet; images of '
                                                      f'{self._image_topic} are of no use without it')
        height, width = image.shape[:2]
        if (self._camera.width, self._camera.height) != (width, height):
            raise CameraError(f'{self._info_topic}: the CameraInfo is for {self._camera.width}x{self._camera.height}, '
                              f'but the images of {self._image_topic} are {width}x{height}')
        return image, self._camera

    def _read_aligned(self, message: Image | CompressedImage | None, image: np.ndarray) -> DepthImage | None:
        """Depth of a colour image; None where there is none of use, and diagnostics say why."""
        self._depth_problem = ''
        try:
            if message is None:
                raise ImageError('no image within half a frame of the colour image\'s stamp')
            depth = read_depth(message, self._settings.depth_unit)
            if depth.shape != image.shape[:2]:
                raise ImageError(f'the images are {depth.shape[1]}x{depth.shape[0]}, those of {self._image_topic} '
                                 f'{image.shape[1]}x{image.shape[0]}; depth must be registered to colour')
            return depth
        except ImageError as error:
            self._depth_problem = f'{self._aligned_topic}: {error}'
            return None

    def _refuse(self, header: Header, problem: str) -> bool:
        """Publish the empty keypoints of a frame that cannot be used; True if the problem was logged."""
        self._problem, self._hands = problem, 0
        self._statistics.refused += 1
        if publisher := self._wanted(topics.KEYPOINTS):
            publisher.publish(messages.keypoints_message(header, []))
        return self._complain(problem)

    def _complain(self, problem: str) -> bool:
        now = time.monotonic()
        if now - self._complaints.get(problem, -COMPLAINT_PERIOD) < COMPLAINT_PERIOD:
            return False
        if len(self._complaints) >= 100:
            self._complaints.clear()
        self._complaints[problem] = now
        self.get_logger().warning(problem)
        return True

    # Outputs

    def _ask_for_mesh(self) -> None:
        """Have hands' meshes posed only while somebody listens to them."""
        wanted = self._settings.mesh and self._wanted(topics.MARKERS) is not None
        if wanted != self._mesh:
            self._mesh = wanted
            self._set_tracker()

    def _wanted(self, name: str) -> LifecyclePublisher | None:
        """Return the publisher if anybody listens: nothing is made for nobody."""
        publisher = self._outputs[name]
        return publisher if publisher.get_subscription_count() else None

    def _publish_joints(self, header: Header, hands: Sequence[Hand]) -> None:
        seen = messages.one_per_side(hands)
        for side, hand in seen.items():
            if publisher := self._wanted(topics.joints_topic(side)):
                publisher.publish(self._serialize_joints(header, hand))
        if publisher := self._wanted(topics.KEYPOINTS):
            publisher.publish(messages.keypoints_message(header, hands))
        for side, hand in seen.items():
            if hand.fit and (publisher := self._wanted(topics.joint_states_topic(side))):
                publisher.publish(messages.joint_states_message(header, hand))
        if seen and self._settings.publish_tf and (publisher := self._wanted(topics.TF)):
            if header.frame_id:
                publisher.publish(self._serialize_transforms(header, list(seen.values())))
            else:
                self._complain(f'{self._image_topic}: frame_id is empty, so there is nothing to put TF frames under')

    def _publish_gestures(self, hands: Sequence[Hand], stamp: float) -> None:
        seen = messages.one_per_side(hands)
        for side, gesture in self._gestures.items():
            name = recognise(seen[side].joints) if side in seen else NONE
            if gesture.hear(name, stamp, self._settings.gesture_hold):
                self._publish_gesture(side)

    def _publish_gesture(self, side: str) -> None:
        self._outputs[topics.gesture_topic(side)].publish(String(data=self._gestures[side].name))

    def _publish_pictures(self, header: Header, hands: Sequence[Hand], image: np.ndarray | DepthImage,
                          camera: Camera) -> None:
        if publisher := self._wanted(topics.MARKERS):
            publisher.publish(self._serialize_markers(header, hands))
        if publisher := self._wanted(topics.OVERLAY):
            publisher.publish(messages.image_message(header, draw_overlay(image[:], hands, camera), 'bgr8'))

    def _publish_diagnostics(self) -> None:
        level, message = self._condition()
        model = ({'model': self._settings.model or 'default'} if self._tracker is None else
                 {'engine': self._tracker.engine_description, 'model': self._tracker.model_name})
        values = {**model, 'hands': str(self._hands), **self._statistics.values()}
        self._diagnostics.publish(diagnostics_message(Header(stamp=self.get_clock().now().to_msg()),
                                                      f'{self.get_fully_qualified_name().lstrip("/")}: tracking',
                                                      self._image_topic, level, message, values))

    def _condition(self) -> tuple[bytes, str]:
        """Return the level and the reason to put on it."""
        if self._tracker is None:
            return ((DiagnosticStatus.ERROR, self._problem) if self._problem else
                    (DiagnosticStatus.WARN, 'idle: not configured; use the lifecycle transition "configure"'))
        if not self._inputs:
            return DiagnosticStatus.WARN, 'idle: not active; use the lifecycle transition "activate"'
        publishers = self.count_publishers(self._image_topic)
        silence = self._statistics.silence()
        if silence is None or silence > SILENCE:
            since = 'yet' if silence is None else f'for {silence:.0f} s'
            return DiagnosticStatus.WARN, (f'idle: no image on {self._image_topic} {since}; '
                                           f'{publishers or "no"} publisher{"s" * (publishers != 1)}')
        if self._problem:
            return DiagnosticStatus.ERROR, self._problem
        loss, view = self._statistics.loss(), f'{self._hands} hand{"s" * (self._hands != 1)} in view'
        if self._depth_problem:
            return DiagnosticStatus.WARN, f'{view}, its distance from hand_size: {self._depth_problem}'
        if publishers > 1:   # Their images mix, and the numbers that tell dropped ones with them.
            return DiagnosticStatus.WARN, f'{view}, but {publishers} publishers share {self._image_topic}'
        if loss > TOLERABLE_LOSS:
            return DiagnosticStatus.WARN, (f'{view}, but {loss:.0%} of the images of {self._image_topic} are dropped: '
                                           'too slow, or lost on the way (config/fastdds.xml may help)')
        return DiagnosticStatus.OK, view


def _outputs() -> dict[str, tuple[type, QoSProfile]]:
    per_side = {name(side): what for side in SIDES for name, what in ((topics.joints_topic, (PoseArray, OUT)),
                                                                      (topics.joint_states_topic, (JointState, OUT)),
                                                                      (topics.gesture_topic, (String, STATE)))}
    return {**per_side, topics.KEYPOINTS: (PointCloud2, OUT), topics.MARKERS: (MarkerArray, OUT),
            topics.OVERLAY: (Image, OUT), topics.TF: (TFMessage, TF_OUT)}


def _nanoseconds(message: Image | CompressedImage) -> int:
    return message.header.stamp.sec * 10**9 + message.header.stamp.nanosec


def _describe(error: Exception) -> str:
    expected = isinstance(error, (ValueError, OSError)) and str(error)
    return str(error) if expected else f'{type(error).__name__}: {error}'


def main(args: Sequence[str] | None = None) -> int:
    """Run the node until it is stopped."""
    return run_nodes([TrackerNode], args)


if __name__ == '__main__':
    sys.exit(main())
