"""The frames that everything is measured on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import cycle, islice
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hand_pose_ros.core.frame import CameraFrame
    from hand_pose_ros.geometry.camera import Camera
    from hand_pose_ros.io.frame import RecordedFrame

#: Everything is measured on images of this size.
WIDTH, HEIGHT = 640, 480


@dataclass(frozen=True)
class Clip:
    """A recording at the size that everything is measured at.

    Attributes:
        modality: ``depth``, ``color`` or ``rgbd``.
        frames: of one camera; depth in millimeters, without stamps.

    """

    modality: str
    frames: list[CameraFrame]

    def forth_and_back(self) -> Iterator[CameraFrame]:
        """Repeat the clip without a jump where it starts again."""
        return cycle([*self.frames, *self.frames[-2:0:-1]])


def load_clip(path: Path | None, modality: str | None, count: int) -> Clip:
    """Read up to ``count`` frames.

    Args:
        path: a recording; None for the bundled clips.
        modality: of the frames; None for what the recording holds, and for depth of the bundled ones.
        count: frames at most.

    Raises:
        RecordingError: the recording cannot be read, holds no such images, or has no camera.

    """
    from hand_pose_ros.io.recording import open_recording

    if path is None:
        modality = modality or 'depth'
        frames = _bundled_frames(modality)
    else:
        recording = open_recording(path, modality=modality)
        modality, frames = recording.modality, iter(recording)
    return Clip(modality, [_scaled(frame) for frame in islice(frames, count)])


def _bundled_frames(modality: str) -> Iterator[RecordedFrame]:
    """The frames of the bundled clips: one camera saw the same hands in depth and in color."""
    from hand_pose_ros.io.recording import open_recording
    from hand_pose_ros.resources import resource_path

    if modality == 'depth':
        yield from open_recording(resource_path('demo', 'clip'))
        return
    depth = iter(open_recording(resource_path('demo', 'clip')) if modality == 'rgbd' else ())
    for frame in open_recording(resource_path('demo', 'color')):
        registered = next((one for one in depth if one.nanoseconds >= frame.nanoseconds), None)
        yield replace(frame, depth=registered.depth) if registered is not None else frame


def _scaled(recorded: RecordedFrame) -> CameraFrame:
    import cv2
    import numpy as np

    from hand_pose_ros.core.frame import CameraFrame
    from hand_pose_ros.imaging.images import DepthImage

    frame = recorded.camera_frame()
    color = depth = None
    if frame.color is not None:
        color = cv2.resize(frame.color, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA)
    if frame.depth is not None:
        millimeters = np.rint(frame.depth[:] * 1000).astype(np.uint16)
        depth = DepthImage(cv2.resize(millimeters, (WIDTH, HEIGHT), interpolation=cv2.INTER_NEAREST), 0.001)
    return CameraFrame(_scaled_camera(frame.camera), color=color, depth=depth)


def _scaled_camera(camera: Camera) -> Camera:
    across, down = WIDTH / camera.width, HEIGHT / camera.height
    return replace(
        camera,
        width=WIDTH,
        height=HEIGHT,
        fx=camera.fx * across,
        fy=camera.fy * down,
        cx=(camera.cx + 0.5) * across - 0.5,
        cy=(camera.cy + 0.5) * down - 0.5,
    )
