"""The ``playback`` node: publishes a recording as a camera would."""

from __future__ import annotations

import sys
import threading
import time
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from rclpy.node import Node
from rclpy.task import Future
from rclpy.time import Time
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from std_msgs.msg import Header

from hand_pose_ros.files import printable, reason
from hand_pose_ros.geometry.calibration import read_calibration
from hand_pose_ros.imaging.compressed import depth_encoding
from hand_pose_ros.imaging.images import DepthImage, ImageError
from hand_pose_ros.io.recording import RecordedFrame, RecordingError, open_recording
from hand_pose_ros.nodes.camera_topics import CameraTopics
from hand_pose_ros.nodes.messages import (
    camera_info_message,
    compressed_color_message,
    compressed_depth_message,
    image_message,
)
from hand_pose_ros.nodes.parameters import declare_settings
from hand_pose_ros.nodes.process import run_nodes
from hand_pose_ros.nodes.qos import OUT
from hand_pose_ros.settings import AUTO, PlaybackSettings

NODE_NAME = 'playback'

#: Images are in millimeters when they are integers (REP 118); any other unit is turned into float meters.
MILLIMETER = 0.001


@dataclass(frozen=True)
class PlaybackConfig:
    """The pace of playback."""

    #: Behind schedule by more than this, the schedule moves: a burst of images is nothing that a camera sends.
    max_delay_s: float = 0.1
    #: From finding a subscriber to the first image: discovery is not symmetric, and that it is known here does not
    #: mean that it is connected already.
    connection_s: float = 2.5


CONFIG = PlaybackConfig()


class PlaybackNode(Node):
    """Publishes depth images, color images or both, and their CameraInfo.

    Images are read and sent by a thread of their own, so that the pace holds while the executor is busy with other
    nodes of the process.

    Attributes:
        done: future that completes at the end of the recording, with the process's exit code.

    """

    def __init__(self, **node_options: Any) -> None:
        """Open the recording that the parameters name, and start.

        Raises:
            ValueError: a parameter or the recording cannot be used.

        """
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=NODE_NAME, daemon=True)
        super().__init__(NODE_NAME, **node_options)
        settings = self._settings = declare_settings(self, PlaybackSettings, fixed=lambda name: True)
        if not settings.input:
            raise ValueError('parameter input: empty; give it a rosbag2, a folder of images, a video or a webcam')
        camera = read_calibration(settings.camera) if settings.camera else None
        if camera and camera.note:
            self.get_logger().warning(printable(f'{settings.camera}: {camera.note}'))
        modality = None if settings.modality == AUTO else settings.modality
        self._recording = open_recording(settings.input, camera, settings.depth_unit, settings.topic or None, modality)
        if self._recording.note:
            self.get_logger().warning(printable(f'{settings.input}: {self._recording.note}'))
        depth_only = self._recording.modality == 'depth'
        if settings.image_transport == ('compressed' if depth_only else 'compressedDepth'):
            raise ValueError(
                f'parameter image_transport: {settings.image_transport!r} does not carry the '
                f'{self._recording.modality} images of {settings.input}'
            )
        names = CameraTopics.of(self, self._recording.modality, settings.image_transport)
        kind = Image if settings.image_transport == 'raw' else CompressedImage
        self._images = self.create_publisher(kind, names.image, OUT)
        self._infos = self.create_publisher(CameraInfo, names.info, OUT)
        self._registered = self.create_publisher(kind, names.depth, OUT) if names.depth else None
        self.done: Future = Future()
        self._thread.start()

    def destroy_node(self) -> None:
        """Stop the thread, then destroy the node."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()
        super().destroy_node()

    def _run(self) -> None:
        code = 0
        try:
            self._wait_for_subscriber()
            for frame in self._paced(self._frames()):
                try:
                    self._publish(frame)
                except RuntimeError:
                    if self.context.ok():
                        raise
                    return  # A signal ended ROS in the middle of it.
            self.get_logger().info(f'{self._settings.input}: finished')
        except (RecordingError, ImageError) as error:
            self.get_logger().error(printable(str(error)))
            code = 2
        # Nobody else would notice that this thread ended: the node would play nothing for ever.
        except Exception as error:
            code = 2
            if self.context.ok():
                self.get_logger().error(printable(f'{self._settings.input}: playing failed ({reason(error)})'))
                self.get_logger().debug(traceback.format_exc())
        finally:
            self.done.set_result(code)

    def _wait_for_subscriber(self) -> None:
        if not self._settings.wait_for_subscriber:
            return
        if not self._images.get_subscription_count():
            self.get_logger().info(f'waiting for a subscriber of {self._images.topic_name}')
        while not (self._images.get_subscription_count() or self._stop.wait(0.02)):
            pass
        self._stop.wait(CONFIG.connection_s)

    def _frames(self) -> Iterator[tuple[float, RecordedFrame]]:
        """Yield each frame and its time from the start in seconds, over all rounds of a loop."""
        settings, count, start, at = self._settings, 0, 0.0, 0.0
        while True:
            first = None
            for frame in self._recording:
                first = frame.stamp if first is None else first
                at = count / settings.rate if settings.rate else start + frame.stamp - first
                yield at, frame
                count += 1
            if first is None:
                raise RecordingError(f'{settings.input}: holds no images')
            if not settings.loop:
                return
            start = at + 1 / self._recording.rate()

    def _paced(self, frames: Iterator[tuple[float, RecordedFrame]]) -> Iterator[RecordedFrame]:
        """Hold each frame back until its time; end early when the node is destroyed."""
        start = None
        for at, frame in frames:
            now = time.monotonic()
            if start is None or now - (start + at) > CONFIG.max_delay_s:
                start = now - at
            if self._stop.wait(max(0.0, start + at - now)):
                return
            yield frame

    def _publish(self, frame: RecordedFrame) -> None:
        settings = self._settings
        if frame.camera is None:
            raise RecordingError(f'{settings.input}: holds no CameraInfo; give the parameter camera a calibration YAML')
        stamp = self.get_clock().now().to_msg()
        if settings.use_original_stamps:
            stamp = Time(nanoseconds=frame.nanoseconds).to_msg()
        header = Header(stamp=stamp, frame_id=settings.frame_id or frame.frame_id)
        # First the camera and depth, so that a subscriber knows them by the time of the image.
        self._infos.publish(camera_info_message(header, frame.camera))
        if frame.depth is not None:
            (self._registered or self._images).publish(self._depth_message(header, frame.depth))
        if frame.color is not None and settings.image_transport == 'compressed':
            self._images.publish(compressed_color_message(header, frame.color))
        elif frame.color is not None:
            self._images.publish(image_message(header, frame.color, 'bgr8'))

    def _depth_message(self, header: Header, depth: DepthImage) -> Image | CompressedImage:
        other_unit = depth.pixels.dtype == np.uint16 and depth.unit != MILLIMETER
        image = depth[:] if other_unit else depth.pixels
        if self._settings.image_transport == 'raw':
            return image_message(header, image, depth_encoding(image))
        return compressed_depth_message(header, image)


def main(args: Sequence[str] | None = None) -> int:
    """Publish the recording, then end."""
    return run_nodes([PlaybackNode], args)


if __name__ == '__main__':
    sys.exit(main())
