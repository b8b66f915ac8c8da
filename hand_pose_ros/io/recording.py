"""Recordings of a camera, read without ROS: folders of images, rosbag2 (sqlite3, MCAP) and videos; and webcams.

Every kind yields the same :class:`RecordedFrame`. Depth stays as the camera stored it, and becomes meters where it is
read.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import cv2
import numpy as np

from hand_pose_ros.files import LIMITS, check_regular, read_bytes, reading
from hand_pose_ros.geometry.calibration import ASSUMED, Calibration, assumed_camera, camera_of, read_calibration
from hand_pose_ros.geometry.camera import Camera, CameraError
from hand_pose_ros.imaging.compressed import decode_color, decode_depth
from hand_pose_ros.imaging.images import DepthImage, ImageError
from hand_pose_ros.imaging.sizes import check_pixels
from hand_pose_ros.io.bag import BAG_SUFFIXES, ROS1_SUFFIX, read_joints, storage_suffix, storages
from hand_pose_ros.io.bag_images import open_bag
from hand_pose_ros.io.bag_writer import write_bag
from hand_pose_ros.io.folder import READ_SUFFIXES, folder_images, kind_of_images
from hand_pose_ros.io.frame import (
    COLOR_FRAME_ID,
    DEFAULT_RATE_HZ,
    FRAME_ID,
    RecordedFrame,
    Recording,
    RecordingError,
    stamp_name,
)
from hand_pose_ros.io.pairing import TOLERANCE_S

__all__ = ['RecordedFrame', 'Recording', 'RecordingError', 'open_recording', 'read_joints', 'stamp_name', 'write_bag']

#: A rate beyond this is a clock's and no camera's, images a second.
MOST_FRAMES_HZ = 500.0
IMAGE_SUFFIXES = READ_SUFFIXES
VIDEO_SUFFIXES = ('.mp4', '.m4v', '.mkv', '.avi', '.mov', '.webm', '.mpg', '.mpeg')


def open_recording(
    path: str | Path,
    camera: Calibration | None = None,
    depth_unit: float = 0.001,
    topic: str | None = None,
    modality: str | None = None,
    depth_topic: str | None = None,
    pairing_tolerance: float = TOLERANCE_S,
) -> Recording:
    """Open a recording.

    Args:
        path: a folder of depth (PNGs or TIFFs of 16 bits and one channel) or of color (in the order of the numbers in
            their names; its ``camera_info.yaml`` is used when no camera is given), a rosbag2 folder or its bare
            ``.mcap`` or ``.db3`` file, packed by zstd or not, a bag of ROS 1, a video, or a webcam's device such as
            ``/dev/video0``, which never ends.
        camera: overrides the recorded camera.
        depth_unit: meters in one unit of a 16-bit depth image.
        topic: image topic of a bag, needed only where there are several.
        depth_topic: likewise of the registered depth for ``rgbd``.
        modality: ``depth``, ``color``, or ``rgbd`` for a bag's color images, each with the depth image of its moment,
            which must be registered to it. By default depth where there is any, else color.
        pairing_tolerance: stamps of color and depth of one moment are no further apart, seconds.

    Raises:
        RecordingError: there is nothing there that can be read, or not of that modality; several topics are possible.

    """
    path = Path(path)
    if not os.path.exists(path):  # nor one whose name is too long
        raise RecordingError(f'{path}: no such file or folder')
    suffix = path.suffix.lower()
    if path.is_char_device():
        return _open_video(
            path,
            camera,
            modality,
            'no picture comes from this device; it is no camera, another program has it, or '
            'you may not read it (on most systems the group video may)',
        )
    if path.is_dir() and not _is_bag(path):
        images = folder_images(path)
        if not images:
            raise RecordingError(f'{path}: the folder holds neither images ({", ".join(IMAGE_SUFFIXES)}) nor a rosbag2')
        return _open_folder(path, images, camera, depth_unit, modality)
    if path.is_dir() or storage_suffix(path) in (*BAG_SUFFIXES, ROS1_SUFFIX):
        return open_bag(path, camera, depth_unit, topic, modality, depth_topic, pairing_tolerance)
    if suffix in VIDEO_SUFFIXES:
        with reading(path, RecordingError, 'a video'):
            check_regular(path)
        return _open_video(
            path, camera, modality, 'no frame can be read; the video is empty, damaged or of an unknown codec'
        )
    raise RecordingError(
        f'{path}: not a folder of images, a recording ({", ".join((*BAG_SUFFIXES, ROS1_SUFFIX))}), '
        f'a video ({", ".join(VIDEO_SUFFIXES)}) or a webcam (/dev/video0)'
    )


def _is_bag(folder: Path) -> bool:
    """Whether a folder is a rosbag2, whatever pictures lie in it besides."""
    metadata = folder / 'metadata.yaml'
    if storages(folder) or not metadata.is_file():
        return bool(storages(folder))
    with open(metadata, 'rb') as stream:
        return b'rosbag2_bagfile_information' in stream.read(_HEAD_BYTES)


#: Within these the metadata of a rosbag2 say what they are.
_HEAD_BYTES = 1000


def _check_modality(path: Path, found: str, modality: str | None) -> None:
    if modality == 'rgbd':
        raise RecordingError(f'{path}: rgbd is read from a rosbag2 only, which holds both images')
    if modality not in (None, found):
        raise RecordingError(f'{path}: holds {found} images, and {modality} is asked for')


def _open_folder(
    path: Path, files: Sequence[Path], camera: Calibration | None, depth_unit: float, modality: str | None
) -> Recording:
    info, described = path / 'camera_info.yaml', None
    if camera is None and info.exists():
        try:
            camera = described = read_calibration(info)
        except CameraError as error:
            raise RecordingError(str(error)) from error
    kind, note = kind_of_images(path, files, modality), described.note if described else ''
    _check_modality(path, kind, modality)
    if kind == 'color':
        note = note if camera else ASSUMED
        return Recording(path, 'color', '', len(files), partial(_photographs, files, camera), note)
    return Recording(path, 'depth', '', len(files), partial(_folder_frames, files, camera, depth_unit), note)


def _images(files: Sequence[Path], decode: Callable[[bytes], np.ndarray]) -> Iterator[tuple[Path, int, np.ndarray]]:
    """Yield each file with its stamp and its image; raises RecordingError at one that cannot be read."""
    for index, file in enumerate(files):
        try:
            image = decode(read_bytes(file, LIMITS.image_bytes))
        except OSError as error:
            raise RecordingError(f'{file}: {error.strerror or error}') from error
        except ImageError as error:
            raise RecordingError(f'{file}: {error}') from error
        yield file, round(index * 1e9 / DEFAULT_RATE_HZ), image


def _photographs(files: Sequence[Path], camera: Calibration | None) -> Iterator[RecordedFrame]:
    for file, stamp, image in _images(files, decode_color):
        yield RecordedFrame(file.name, stamp, COLOR_FRAME_ID, _camera_of(camera, image), image)


def _camera_of(given: Calibration | None, image: np.ndarray) -> Camera:
    """The camera of a color image; one is assumed where none is given."""
    height, width = image.shape[:2]
    return camera_of(given, width, height) if given else assumed_camera(width, height)


def _folder_frames(files: Sequence[Path], given: Calibration | None, depth_unit: float) -> Iterator[RecordedFrame]:
    for file, stamp, image in _images(files, decode_depth):
        camera = camera_of(given, image.shape[1], image.shape[0]) if given else None
        yield RecordedFrame(file.name, stamp, FRAME_ID, camera, depth=DepthImage(image, depth_unit))


def _open_video(path: Path, camera: Calibration | None, modality: str | None, unreadable: str) -> Recording:
    _check_modality(path, 'color', modality)
    capture = _capture(path)
    count = int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
    if not 0 < capture.get(cv2.CAP_PROP_FPS) <= MOST_FRAMES_HZ:
        count = 0  # of a video without a rate it is a guess, often in milliseconds
    size = [max(int(capture.get(side)), 1) for side in (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT)]
    with reading(path, RecordingError, 'a video'):
        check_pixels(*size)
    image = capture.read()[1]
    capture.release()
    if image is None:
        raise RecordingError(f'{path}: {unreadable}')
    return Recording(
        path,
        'color',
        '',
        count if count > 0 else None,
        partial(_video_frames, path, _camera_of(camera, image)),
        '' if camera else ASSUMED,
    )


def _video_frames(path: Path, camera: Camera) -> Iterator[RecordedFrame]:
    capture = _capture(path)
    rate = capture.get(cv2.CAP_PROP_FPS)
    rate = rate if 0 < rate <= MOST_FRAMES_HZ else DEFAULT_RATE_HZ
    live = path.is_char_device()
    try:
        last = -1
        while (image := capture.read()[1]) is not None:
            if live:
                stamp = time.time_ns()
            else:
                # The picture's own time: phones and browsers do not keep their rate. Where the file has none, by rate.
                stamp = round(1e6 * capture.get(cv2.CAP_PROP_POS_MSEC))
                if stamp <= last or (last < 0 and stamp < 0):
                    stamp = 0 if last < 0 else last + round(1e9 / rate)
                last = stamp
            yield RecordedFrame(stamp_name(stamp), stamp, COLOR_FRAME_ID, camera, image)
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
