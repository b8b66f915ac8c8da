"""What every kind of recording yields."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from itertools import islice
from pathlib import Path

import numpy as np

from hand_pose_ros.core.frame import CameraFrame
from hand_pose_ros.geometry.camera import Camera
from hand_pose_ros.imaging.images import DepthImage

#: Camera frames of depth and color images that come without one.
FRAME_ID, COLOR_FRAME_ID = 'camera_depth_optical_frame', 'camera_color_optical_frame'

#: Images a second assumed where a recording has no stamps.
DEFAULT_RATE_HZ = 30.0

#: A video without this share of the frames that it should have ended early; and the kinds of files that list their
#: frames: others tell a number that follows from their length and a rate, which may not be their rate.
COUNT_TOLERANCE, COUNTED_SUFFIXES = 0.1, ('.mp4', '.m4v', '.mov')


class RecordingError(ValueError):
    """A recording that cannot be read or written; one line that names the file and what is wrong."""


@dataclass(frozen=True)
class RecordedFrame:
    """One moment of a recording.

    Attributes:
        name: file name, or the stamp in seconds with nine decimals.
        nanoseconds: the stamp; for a folder, from its first image at 30 frames a second. Exact, as seconds in a float
            are not.
        frame_id: camera frame.
        camera: the camera, of the images' size; None when neither given nor recorded.
        color: (H, W, 3) uint8 in bgr order.
        depth: (H, W) as stored; registered to ``color`` where both are there.

    """

    name: str
    nanoseconds: int
    frame_id: str
    camera: Camera | None
    color: np.ndarray | None = None
    depth: DepthImage | None = None

    @property
    def stamp(self) -> float:
        """The stamp in seconds."""
        return self.nanoseconds / 1e9

    @property
    def picture(self) -> np.ndarray:
        """What is drawn: (H, W, 3) uint8 in bgr order, or (H, W) float32 depth in meters, 0 for holes.

        Raises:
            RecordingError: the frame holds no image.

        """
        if self.color is not None:
            return self.color
        if self.depth is None:
            raise RecordingError(f'frame {self.name} holds no image')
        return self.depth[:]

    def camera_frame(self) -> CameraFrame:
        """What trackers take.

        Raises:
            RecordingError: there is no camera.
            FrameError: an image is not of the camera's size.

        """
        if self.camera is None:
            raise RecordingError(f'frame {self.name} comes without a camera calibration; give one with --camera')
        return CameraFrame(self.camera, self.stamp, self.color, self.depth)


@dataclass(frozen=True)
class Recording:
    """A recording, iterated from its start each time.

    Attributes:
        path: where it is.
        modality: ``depth``, ``color``, or ``rgbd`` for color with the depth registered to it, where there is any.
        topic: the image topic that is read, color's for ``rgbd``; empty where there are no topics.
        count: number of images, None where it is not known before it was read.
        note: what was assumed, for people; empty where nothing was.

    """

    path: Path
    modality: str
    topic: str
    count: int | None
    _frames: Callable[[], Iterator[RecordedFrame]]
    note: str = ''

    def __iter__(self) -> Iterator[RecordedFrame]:
        """Yield the frames in order; raises RecordingError at a frame that is damaged, or where a video ends early."""
        read = 0
        for frame in self._frames():
            read += 1
            height, width = (frame.picture if frame.depth is None else frame.depth).shape[:2]
            camera = frame.camera
            if camera and (camera.width, camera.height) != (width, height):
                raise RecordingError(
                    f'{self.path}: image {frame.name} is {width}x{height}, but its camera is '
                    f'{camera.width}x{camera.height}; give the camera that took it'
                )
            yield frame
        listed = self.path.suffix.lower() in COUNTED_SUFFIXES and not self.topic
        if listed and self.count is not None and read < (1 - COUNT_TOLERANCE) * self.count:
            raise RecordingError(
                f'{self.path}: ended early, after {read} of {self.count} frames: the file is damaged or cut short; '
                'what was read stays'
            )

    def rate(self) -> float:
        """Return the images a second, from the first two stamps; 30 where they do not increase."""
        stamps = [frame.stamp for frame in islice(self._frames(), 2)]
        return 1 / (stamps[1] - stamps[0]) if len(stamps) == 2 and stamps[1] > stamps[0] else DEFAULT_RATE_HZ

    def __len__(self) -> int:
        """Return the number of images; raises TypeError where it is not known."""
        if self.count is None:
            raise TypeError(f'{self.path}: the number of images is not known')
        return self.count


def natural(name: str) -> list[tuple[int, int, str]]:
    """A key by which names are in the order of the numbers in them: ``image_2`` before ``image_10``."""
    parts = re.split(r'(\d+)', name)
    return [(1, int(part), part) if part.isdigit() and part.isascii() else (0, 0, part) for part in parts]


#: A number as Python writes it, which drops zeros at its end: what ends in one, such as 1.10, is a version.
_NUMBER = re.compile(r'[0-9]+(\.([0-9]*[1-9]|0))?')


def in_order(files: Iterable[Path]) -> list[Path]:
    """Sort image files: by number where the name of each is one, such as a stamp in seconds, else :func:`natural`."""
    files = sorted(files, key=lambda file: natural(file.name))
    # As whole numbers with a point between, 1623.25 would come after 1623.5.
    if all(_NUMBER.fullmatch(file.stem) for file in files):
        files.sort(key=lambda file: Decimal(file.stem))
    return files


def stamp_name(nanoseconds: int) -> str:
    """Write a stamp as a frame's name: seconds with nine decimals, exactly."""
    return f'{nanoseconds // 10**9}.{nanoseconds % 10**9:09d}'
