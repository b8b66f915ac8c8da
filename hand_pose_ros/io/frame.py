"""What every kind of recording yields."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from hand_pose_ros.geometry.camera import Camera
from hand_pose_ros.images import DepthImage, depth_in_metres

#: Camera frames of depth and colour images that come without one.
FRAME_ID, COLOR_FRAME_ID = 'camera_depth_optical_frame', 'camera_color_optical_frame'

#: Images a second assumed where a recording has no stamps.
DEFAULT_RATE = 30.0


class RecordingError(ValueError):
    """A recording that cannot be read or written; one line that names the file and what is wrong."""


@dataclass(frozen=True)
class RecordedFrame:
    """One image of a recording.

    Attributes:
        name: file name, or the stamp in seconds with nine decimals.
        nanoseconds: the stamp; for a folder, from its first image at 30 frames a second. Exact, as seconds in a float
            are not.
        image: (H, W) uint16 or float32 depth as stored, or (H, W, 3) uint8 colour.
        encoding: ``16UC1``, ``32FC1`` or ``bgr8``.
        frame_id: camera frame.
        camera: the camera, of the image's size; None when neither given nor recorded.
        depth_unit: metres in one unit of a 16UC1 image.
        aligned: (H, W) depth as stored, registered to a colour image; None where there is none of its moment.

    """

    name: str
    nanoseconds: int
    image: np.ndarray
    encoding: str
    frame_id: str
    camera: Camera | None
    depth_unit: float = 0.001
    aligned: np.ndarray | None = None

    @property
    def stamp(self) -> float:
        """The stamp in seconds."""
        return self.nanoseconds / 1e9

    def picture(self) -> np.ndarray:
        """Return what a tracker reads: depth as :meth:`depth` gives it, or (H, W, 3) uint8 in bgr order."""
        return self.image if self.encoding == 'bgr8' else self.depth()

    def depth(self) -> np.ndarray:
        """Return (H, W) float32 metres, 0 for every hole; raises ImageError for a colour image."""
        return depth_in_metres(self.image, self.depth_unit)

    def for_tracker(self) -> dict[str, Any]:
        """What ``process`` of a tracker takes, by name but for the image."""
        given: dict[str, Any] = {'camera': self.camera, 'stamp': self.stamp}
        if self.aligned is not None:
            given['depth'] = DepthImage(self.aligned, self.depth_unit)
        return given


@dataclass(frozen=True)
class Recording:
    """A recording, iterated from its start each time.

    Attributes:
        path: where it is.
        modality: ``depth`` or ``color``.
        topic: the image topic that is read; empty where there are no topics.
        count: number of images, None where only reading it all would tell.
        note: what was assumed, for people; empty where nothing was.

    """

    path: Path
    modality: str
    topic: str
    count: int | None
    _frames: Callable[[], Iterator[RecordedFrame]]
    note: str = ''

    @property
    def tracker_modality(self) -> str:
        """The ``modality`` of the tracker that reads it."""
        return 'rgb' if self.modality == 'color' else 'depth'

    def __iter__(self) -> Iterator[RecordedFrame]:
        """Yield the frames in order; raises RecordingError at a frame that is damaged."""
        for frame in self._frames():
            height, width = frame.image.shape[:2]
            camera = frame.camera
            if camera and (camera.width, camera.height) != (width, height):
                raise RecordingError(f'{self.path}: image {frame.name} is {width}x{height}, but its camera is '
                                     f'{camera.width}x{camera.height}; give the camera that took it')
            yield frame

    def rate(self) -> float:
        """Return the images a second, from the first two stamps; 30 where they do not tell."""
        stamps = [frame.stamp for frame in islice(self._frames(), 2)]
        return 1 / (stamps[1] - stamps[0]) if len(stamps) == 2 and stamps[1] > stamps[0] else DEFAULT_RATE

    def __len__(self) -> int:
        """Return the number of images; raises TypeError where it is not known."""
        if self.count is None:
            raise TypeError(f'{self.path}: the number of images is not known')
        return self.count


def stamp_name(nanoseconds: int) -> str:
    """Write a stamp as a frame's name: seconds with nine decimals, exactly."""
    return f'{nanoseconds // 10**9}.{nanoseconds % 10**9:09d}'
