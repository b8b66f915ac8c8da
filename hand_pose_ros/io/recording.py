"""Recordings of a camera, read without ROS: folders of images, rosbag2 (sqlite3, MCAP) and videos; and webcams.

Every kind yields the same :class:`RecordedFrame`. Depth stays as the camera stored it;
:meth:`RecordedFrame.depth` gives metres.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import cv2
import numpy as np

from hand_pose_ros.geometry.camera import Camera, CameraError
from hand_pose_ros.images import ImageError
from hand_pose_ros.io.bag import open_bag, read_joints, write_bag
from hand_pose_ros.io.compressed import decode_color, decode_depth_png
from hand_pose_ros.io.frame import (COLOR_FRAME_ID, DEFAULT_RATE, FRAME_ID, RecordedFrame, Recording, RecordingError,
                                    stamp_name)

__all__ = ['RecordedFrame', 'Recording', 'RecordingError', 'open_recording', 'read_joints', 'stamp_name',
           'write_bag']

#: Horizontal field of view that colour images without a calibration are taken to have, degrees.
FIELD_OF_VIEW = 60.0
_ASSUMED = f'no camera calibration: a horizontal field of view of {FIELD_OF_VIEW:.0f} degrees is assumed'

BAG_SUFFIXES = ('.mcap', '.db3')
IMAGE_SUFFIXES = ('.png', '.jpg', '.jpeg')
VIDEO_SUFFIXES = ('.mp4', '.m4v', '.mkv', '.avi', '.mov', '.webm', '.mpg', '.mpeg')


def open_recording(path: str | Path, camera: Camera | None = None, depth_unit: float = 0.001,
                   topic: str | None = None, aligned: bool = False) -> Recording:
    """Open a recording.

    Args:
        path: a folder of 16-bit PNGs of depth, or of 8-bit PNGs or JPEGs of colour (read in name order; its
            ``camera_info.yaml`` is used when no camera is given), a rosbag2 folder or its bare ``.mcap`` or ``.db3``
            file, a video, or a webcam's device such as ``/dev/video0``, which never ends.
        camera: overrides the recorded camera.
        depth_unit: metres in one unit of a 16-bit depth image.
        topic: image topic of a bag, needed only where there are several.
        aligned: read a bag's colour images, each with the depth image of its moment, which is registered to it.

    Raises:
        RecordingError: there is nothing there that can be read; several topics are possible; there is no depth.

    """
    path = Path(path)
    if not path.exists():
        raise RecordingError(f'{path}: no such file or folder')
    suffix = path.suffix.lower()
    if path.is_char_device():
        _refuse_aligned(path, aligned)
        return _open_video(path, camera, 'no picture comes from this device; it is no camera, another program has it, or '
                           'you may not read it (on most systems the group video may)')
    if path.is_dir():
        images = sorted((p for p in path.iterdir() if p.suffix.lower() in IMAGE_SUFFIXES), key=lambda p: p.name)
        if images:
            _refuse_aligned(path, aligned)
            return _open_folder(path, images, camera, depth_unit)
        if (path / 'metadata.yaml').exists():
            return open_bag(path, camera, depth_unit, topic, aligned)
        storages = [p for p in path.iterdir() if p.suffix in BAG_SUFFIXES]
        if not storages:
            raise RecordingError(f'{path}: the folder holds neither PNG or JPEG files nor a rosbag2')
        if len(storages) > 1:
            raise RecordingError(f'{path}: a bag of {len(storages)} files without metadata.yaml; '
                                 'rebuild it with "ros2 bag reindex"')
        return open_bag(storages[0], camera, depth_unit, topic, aligned)
    if suffix in BAG_SUFFIXES:
        return open_bag(path, camera, depth_unit, topic, aligned)
    if suffix in VIDEO_SUFFIXES:
        _refuse_aligned(path, aligned)
        return _open_video(path, camera, 'no frame can be read; the video is empty, damaged or of an unknown codec')
    hint = '; convert it with rosbags-convert' if suffix == '.bag' else ''
    raise RecordingError(f'{path}: not a folder of images, a rosbag2 ({", ".join(BAG_SUFFIXES)}), '
                         f'a video ({", ".join(VIDEO_SUFFIXES)}) or a webcam (/dev/video0){hint}')


def _refuse_aligned(path: Path, aligned: bool) -> None:
    if aligned:
        raise RecordingError(f'{path}: aligned depth is read from a rosbag2 only, which holds both images')


def _open_folder(path: Path, files: Sequence[Path], camera: Camera | None, depth_unit: float) -> Recording:
    info = path / 'camera_info.yaml'
    if camera is None and info.exists():
        try:
            camera = Camera.from_yaml(info)
        except CameraError as error:
            raise RecordingError(str(error)) from error
    if any(file.suffix.lower() != '.png' for file in files) or _is_color(files[0]):
        return Recording(path, 'color', '', len(files), partial(_photographs, files, camera),
                         '' if camera else _ASSUMED)
    return Recording(path, 'depth', '', len(files), partial(_folder_frames, files, camera, depth_unit))


def _is_color(file: Path) -> bool:
    """Whether a PNG has 8 bits a channel: what its header says, so that damage is told of where the image is read."""
    with open(file, 'rb') as stream:
        header = stream.read(25)
    return header[12:16] == b'IHDR' and header[24:25] == b'\x08'


def _images(files: Sequence[Path], decode: Callable[[bytes], np.ndarray]) -> Iterator[tuple[Path, int, np.ndarray]]:
    """Yield each file with its stamp and its image; raises RecordingError at one that cannot be read."""
    for index, file in enumerate(files):
        try:
            image = decode(file.read_bytes())
        except OSError as error:
            raise RecordingError(f'{file}: {error.strerror or error}') from error
        except ImageError as error:
            raise RecordingError(f'{file}: {error}') from error
        yield file, round(index * 1e9 / DEFAULT_RATE), image


def _photographs(files: Sequence[Path], camera: Camera | None) -> Iterator[RecordedFrame]:
    for file, stamp, image in _images(files, decode_color):
        yield RecordedFrame(file.name, stamp, image, 'bgr8', COLOR_FRAME_ID, camera or _assumed(image))


def _assumed(image: np.ndarray) -> Camera:
    height, width = image.shape[:2]
    return Camera.from_field_of_view(width, height, FIELD_OF_VIEW)


def _folder_frames(files: Sequence[Path], camera: Camera | None, depth_unit: float) -> Iterator[RecordedFrame]:
    for file, stamp, image in _images(files, decode_depth_png):
        yield RecordedFrame(file.name, stamp, image, '16UC1', FRAME_ID, camera, depth_unit)


def _open_video(path: Path, camera: Camera | None, unreadable: str) -> Recording:
    capture = _capture(path)
    count = int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
    image = capture.read()[1]
    capture.release()
    if image is None:
        raise RecordingError(f'{path}: {unreadable}')
    return Recording(path, 'color', '', count if count > 0 else None,
                     partial(_video_frames, path, camera or _assumed(image)), '' if camera else _ASSUMED)


def _video_frames(path: Path, camera: Camera) -> Iterator[RecordedFrame]:
    capture = _capture(path)
    rate = capture.get(cv2.CAP_PROP_FPS) or DEFAULT_RATE
    live = path.is_char_device()
    try:
        index = 0
        while (image := capture.read()[1]) is not None:
            stamp = time.time_ns() if live else round(index * 1e9 / rate)
            yield RecordedFrame(stamp_name(stamp), stamp, image, 'bgr8', COLOR_FRAME_ID, camera)
            index += 1
    finally:
        capture.release()


def _capture(path: Path) -> cv2.VideoCapture:
    # FFmpeg would print its own account of a damaged file besides ours.
    os.environ.setdefault('OPENCV_FFMPEG_LOGLEVEL', '-8')
    if not path.is_char_device():
        return cv2.VideoCapture(str(path))
    capture = cv2.VideoCapture(str(path), cv2.CAP_V4L2)
    capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)  # A frame that waited is late: drop it in the driver.
    return capture
