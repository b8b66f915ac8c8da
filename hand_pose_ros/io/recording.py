"""Recordings of a camera, read without ROS: folders of depth PNGs, rosbag2 (sqlite3, MCAP) and videos.

Every kind yields the same :class:`RecordedFrame`. Depth stays as the camera stored it;
:meth:`RecordedFrame.depth` gives metres.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import cv2

from hand_pose_ros.geometry.camera import Camera, CameraError
from hand_pose_ros.images import ImageError
from hand_pose_ros.io.bag import open_bag, read_joints, write_depth_bag
from hand_pose_ros.io.compressed import decode_depth_png
from hand_pose_ros.io.frame import DEFAULT_RATE, FRAME_ID, RecordedFrame, Recording, RecordingError, stamp_name

__all__ = ['RecordedFrame', 'Recording', 'RecordingError', 'open_recording', 'read_joints', 'stamp_name',
           'write_depth_bag']

BAG_SUFFIXES = ('.mcap', '.db3')
VIDEO_SUFFIXES = ('.mp4', '.m4v', '.mkv', '.avi', '.mov', '.webm', '.mpg', '.mpeg')


def open_recording(path: str | Path, camera: Camera | None = None, depth_unit: float = 0.001,
                   topic: str | None = None) -> Recording:
    """Open a recording.

    Args:
        path: a folder of 16-bit PNGs (read in name order; its ``camera_info.yaml`` is used when no camera is
            given), a rosbag2 folder or its bare ``.mcap`` or ``.db3`` file, or a video.
        camera: overrides the recorded camera.
        depth_unit: metres in one unit of a 16-bit depth image.
        topic: image topic of a bag, needed only where there are several.

    Raises:
        RecordingError: there is nothing there that can be read; several topics are possible.

    """
    path = Path(path)
    if not path.exists():
        raise RecordingError(f'{path}: no such file or folder')
    suffix = path.suffix.lower()
    if path.is_dir():
        images = sorted((p for p in path.iterdir() if p.suffix.lower() == '.png'), key=lambda p: p.name)
        if images:
            return _open_folder(path, images, camera, depth_unit)
        if (path / 'metadata.yaml').exists():
            return open_bag(path, camera, depth_unit, topic)
        storages = [p for p in path.iterdir() if p.suffix in BAG_SUFFIXES]
        if not storages:
            raise RecordingError(f'{path}: the folder holds neither PNG files nor a rosbag2')
        if len(storages) > 1:
            raise RecordingError(f'{path}: a bag of {len(storages)} files without metadata.yaml; '
                                 'rebuild it with "ros2 bag reindex"')
        return open_bag(storages[0], camera, depth_unit, topic)
    if suffix in BAG_SUFFIXES:
        return open_bag(path, camera, depth_unit, topic)
    if suffix in VIDEO_SUFFIXES:
        return _open_video(path, camera)
    hint = '; convert it with rosbags-convert' if suffix == '.bag' else ''
    raise RecordingError(f'{path}: not a folder of 16-bit PNGs, a rosbag2 ({", ".join(BAG_SUFFIXES)}) '
                         f'or a video ({", ".join(VIDEO_SUFFIXES)}){hint}')


def _open_folder(path: Path, files: Sequence[Path], camera: Camera | None, depth_unit: float) -> Recording:
    info = path / 'camera_info.yaml'
    if camera is None and info.exists():
        try:
            camera = Camera.from_yaml(info)
        except CameraError as error:
            raise RecordingError(str(error)) from error
    return Recording(path, 'depth', '', len(files), partial(_folder_frames, files, camera, depth_unit))


def _folder_frames(files: Sequence[Path], camera: Camera | None, depth_unit: float) -> Iterator[RecordedFrame]:
    for index, file in enumerate(files):
        try:
            image = decode_depth_png(file.read_bytes())
        except OSError as error:
            raise RecordingError(f'{file}: {error.strerror or error}') from error
        except ImageError as error:
            raise RecordingError(f'{file}: {error}') from error
        yield RecordedFrame(file.name, round(index * 1e9 / DEFAULT_RATE), image, '16UC1', FRAME_ID, camera,
                            depth_unit)


def _open_video(path: Path, camera: Camera | None) -> Recording:
    capture = _capture(path)
    count = int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
    readable = capture.read()[0]
    capture.release()
    if not readable:
        raise RecordingError(f'{path}: no frame can be read; the video is empty, damaged or of an unknown codec')
    return Recording(path, 'color', '', count if count > 0 else None, partial(_video_frames, path, camera))


def _video_frames(path: Path, camera: Camera | None) -> Iterator[RecordedFrame]:
    capture = _capture(path)
    rate = capture.get(cv2.CAP_PROP_FPS) or DEFAULT_RATE
    try:
        index = 0
        while (image := capture.read()[1]) is not None:
            stamp = round(index * 1e9 / rate)
            yield RecordedFrame(stamp_name(stamp), stamp, image, 'bgr8', 'camera_color_optical_frame',
                                camera)
            index += 1
    finally:
        capture.release()


def _capture(path: Path) -> cv2.VideoCapture:
    # FFmpeg would print its own account of a damaged file besides ours.
    os.environ.setdefault('OPENCV_FFMPEG_LOGLEVEL', '-8')
    return cv2.VideoCapture(str(path))
