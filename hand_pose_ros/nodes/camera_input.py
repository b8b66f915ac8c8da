"""A camera's topics to frames: subscriptions, pairing of color and depth, checks."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from rclpy.node import Node
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from std_msgs.msg import Header

from hand_pose_ros.core.frame import CameraFrame, FrameError
from hand_pose_ros.geometry.calibration import ASSUMED, CameraDescription, assumed_camera
from hand_pose_ros.geometry.camera import Camera, CameraError
from hand_pose_ros.imaging.images import DepthImage, ImageError
from hand_pose_ros.imaging.orientation import unmirrored
from hand_pose_ros.io.outputs import stamp_of
from hand_pose_ros.io.pairing import REGISTER, DepthPairing
from hand_pose_ros.nodes.camera_topics import CameraTopics
from hand_pose_ros.nodes.diagnostics import FrameStatistics, ThrottledLog
from hand_pose_ros.nodes.following import FollowingSubscription
from hand_pose_ros.nodes.inputs import read_color, read_depth
from hand_pose_ros.settings import NodeSettings, TrackerSettings


@dataclass(frozen=True)
class ReceivedFrame:
    """A frame as it came through topics.

    Attributes:
        frame: what the camera saw.
        header: of the image; everything derived from it carries it.
        sent_ns: when the image was published, nanoseconds of the system's clock; when it was received, where the
            middleware does not note that.
        begun_s: when work on the frame began, seconds of ``time.perf_counter``.
        depth_problem: why a color image has no depth although it should; empty where nothing is missing.

    """

    frame: CameraFrame
    header: Header
    sent_ns: int
    begun_s: float
    depth_problem: str = ''


@dataclass(frozen=True)
class _Received:
    message: Image | CompressedImage
    sent_ns: int


class CameraInput:
    """Subscribes to a camera and gives its frames, in order, to callbacks.

    An image is given on in its subscription's callback. With a history of one the middleware keeps the newest image
    while the frame before is worked on, and that is what the next callback gets: late frames are dropped, none waits in
    a queue, and there is no hand-over to another thread in the way of the result.
    """

    def __init__(
        self,
        node: Node,
        names: CameraTopics,
        settings: TrackerSettings,
        statistics: FrameStatistics,
        log: ThrottledLog,
        on_frame: Callable[[ReceivedFrame], None],
        on_refused: Callable[[Header, Exception], None],
        on_restart: Callable[[], None],
    ) -> None:
        """Subscribe.

        Args:
            node: that subscribes.
            names: of the topics.
            settings: which images are read, and how.
            statistics: count every image that comes.
            log: takes what is wrong.
            on_frame: takes a frame.
            on_refused: takes the header of an image that cannot be used, and the reason.
            on_restart: is called where what follows has nothing to do with what was before: another camera, or time
                that jumped back.

        """
        self._node, self._statistics, self._log = node, statistics, log
        self._on_frame, self._on_refused, self._on_restart = on_frame, on_refused, on_restart
        self._modality = settings.models.modality
        self._settings = settings.node
        self._topics = names
        self._camera: Camera | None = None
        self._description: CameraDescription | None = None
        #: Of the image that the camera was read for; 0 where the description has changed since.
        self._camera_size = (0, 0)
        self._pairing: DepthPairing[_Received, Image | CompressedImage] = DepthPairing(settings.node.pairing_tolerance)
        self._last_stamp = 0
        kind = Image if settings.node.image_transport == 'raw' else CompressedImage
        self._subscriptions = [
            FollowingSubscription(node, CameraInfo, self._topics.info, self._on_camera_info, latched=True),
            FollowingSubscription(node, kind, self._topics.image, self._on_image),
        ]
        if self._topics.depth:
            self._subscriptions.append(FollowingSubscription(node, kind, self._topics.depth, self._on_depth))
        also = f', and depth on {self._topics.depth}' if self._topics.depth else ''
        node.get_logger().info(f'waiting for {self._topics.image} and {self._topics.info}{also}')

    def update(self, settings: NodeSettings) -> None:
        """Take live settings."""
        self._settings = settings
        self._pairing.tolerance_s = settings.pairing_tolerance

    def close(self) -> None:
        """Leave the camera alone."""
        for subscription in self._subscriptions:
            subscription.close()

    def _on_camera_info(self, message: CameraInfo, _: Mapping[str, Any]) -> None:
        described = CameraDescription.of(message)
        if described != self._description:  # cameras with autofocus send another one with every image
            self._description = described
            self._camera_size = (0, 0)

    def _on_image(self, message: Image | CompressedImage, info: Mapping[str, Any]) -> None:
        self._statistics.arrive(info['publication_sequence_number'])
        self._follow_clock(stamp_of(message))
        received = _Received(message, info['source_timestamp'] or info['received_timestamp'])
        if not self._topics.depth:
            self._give(received, None)
            return
        for color, depth in self._pairing.color(stamp_of(message), received):
            self._give(color, depth)

    def _on_depth(self, message: Image | CompressedImage, _: Mapping[str, Any]) -> None:
        for color, depth in self._pairing.depth(stamp_of(message), message):
            self._give(color, depth)

    def _follow_clock(self, now: int) -> None:
        """Start afresh where time jumps back: a bag in a loop, a simulation started again."""
        if now < self._last_stamp:
            self._log.info(
                'stamps jump back',
                f'the stamps of {self._topics.image} jumped back by {1e-9 * (self._last_stamp - now):.3f} s: tracking '
                'starts afresh',
            )
            self._pairing.flush()  # What waits for its depth is of the time before; depth of now may be here already.
            self._on_restart()
        self._last_stamp = now

    def _give(self, received: _Received, depth: Image | CompressedImage | None) -> None:
        begun, header = time.perf_counter(), received.message.header
        try:
            frame, depth_problem = self._read(received.message, depth)
            if self._settings.mirrored:
                frame = unmirrored(frame)
        # Whatever is in an image, it costs the frame and not the node.
        except Exception as error:
            self._on_refused(header, error)
        else:
            self._on_frame(ReceivedFrame(frame, header, received.sent_ns, begun, depth_problem))

    def _read(
        self, message: Image | CompressedImage, registered: Image | CompressedImage | None
    ) -> tuple[CameraFrame, str]:
        """The frame, and why it lacks depth; raises ImageError, CameraError or FrameError that name the topic."""
        stamp = 1e-9 * stamp_of(message)
        try:
            if self._modality == 'depth':
                depth = read_depth(message, self._settings.depth_unit)
                return CameraFrame(self._checked_camera(depth.shape), stamp, depth=depth), ''
            color = read_color(message)
        except ImageError as error:
            raise ImageError(f'{self._topics.image}: {error}') from error
        camera = self._checked_camera(color.shape)
        if not self._topics.depth:
            return CameraFrame(camera, stamp, color), ''
        paired, problem = self._registered_depth(registered, message.header.frame_id, camera)
        return CameraFrame(camera, stamp, color, paired), problem

    def _checked_camera(self, shape: tuple[int, ...]) -> Camera:
        """The camera of an image; tracking starts afresh where it is another one, and not where its focus moved."""
        height, width = shape[:2]
        if self._description is None:
            raise CameraError(
                f'{self._topics.info}: no CameraInfo came yet; without it images of {self._topics.image} are useless'
            )
        if self._camera is not None and self._camera_size == (width, height):
            return self._camera
        camera = self._read_camera(self._description, width, height)
        if self._camera is None or not camera.resembles(self._camera):
            if self._camera is not None:
                self._on_restart()
            self._log.info(
                'camera', f'camera of {self._topics.info}: {width}x{height}, focal length {camera.fx:.1f} pixels'
            )
        self._camera, self._camera_size = camera, (width, height)
        return camera

    def _read_camera(self, described: CameraDescription, width: int, height: int) -> Camera:
        if described.uncalibrated and self._modality != 'depth':
            self._log.warn(f'{self._topics.info}: {ASSUMED}; calibrate the camera for true distances')
            return assumed_camera(width, height)
        try:
            camera = described.camera(width, height, self._topics.image)
        except CameraError as error:
            raise CameraError(f'{self._topics.info}: {error}') from error
        if (camera.width, camera.height) != (width, height):
            raise CameraError(
                f'{self._topics.info}: the CameraInfo is for {camera.width}x{camera.height}, '
                f'but the images of {self._topics.image} are {width}x{height}'
            )
        return camera

    def _registered_depth(
        self, message: Image | CompressedImage | None, frame_id: str, camera: Camera
    ) -> tuple[DepthImage | None, str]:
        """Depth of a color image, or None and why there is none; raises FrameError where it is not registered."""
        try:
            if message is None:
                raise ImageError(f"no image within {self._settings.pairing_tolerance:g} s of the color image's stamp")
            depth = read_depth(message, self._settings.depth_unit)
        except ImageError as error:
            return None, f'{self._topics.depth}: {error}'
        height, width = depth.shape[:2]
        if (width, height) != (camera.width, camera.height):
            raise FrameError(
                f'{self._topics.depth}: the images are {width}x{height}, those of {self._topics.image} '
                f'{camera.width}x{camera.height}; {REGISTER}'
            )
        if message.header.frame_id != frame_id:
            raise FrameError(
                f'{self._topics.depth}: the images are of the frame {message.header.frame_id!r}, those of '
                f'{self._topics.image} of {frame_id!r}; {REGISTER}'
            )
        return depth, ''
