"""Camera calibrations as messages and files have them, and the camera of an image that they are of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np

from hand_pose_ros.files import parse_json, parse_yaml, read_text, reading
from hand_pose_ros.geometry.camera import Camera, CameraError

#: Horizontal field of view that color images without a calibration are taken to have, degrees.
FIELD_OF_VIEW_DEG = 60.0
#: What is said of it.
ASSUMED = f'no camera calibration: a horizontal field of view of {FIELD_OF_VIEW_DEG:.0f} degrees is assumed'


@dataclass(frozen=True)
class CameraDescription:
    """The fields of a ``sensor_msgs/CameraInfo``, of ROS 2 or ROS 1."""

    width: int
    height: int
    k: tuple[float, ...]
    d: tuple[float, ...] = ()
    distortion_model: str = ''
    #: (3, 4) of the rectified image, row by row.
    p: tuple[float, ...] = ()
    #: Pixels of the sensor in one of the image.
    binning: tuple[int, int] = (0, 0)
    #: Part of the sensor that the image shows: x, y, width, height; all 0 for all of it.
    roi: tuple[int, int, int, int] = (0, 0, 0, 0)

    @classmethod
    def of(cls, message: Any) -> CameraDescription:
        """Take a message apart."""
        d, k, p = (getattr(message, name, getattr(message, name.upper(), ())) for name in 'dkp')
        roi = message.roi
        return cls(
            message.width,
            message.height,
            tuple(map(float, k)),
            tuple(map(float, d)),
            message.distortion_model,
            tuple(map(float, p)),
            (message.binning_x, message.binning_y),
            (roi.x_offset, roi.y_offset, roi.width, roi.height),
        )

    @property
    def uncalibrated(self) -> bool:
        """Whether all of it is zero, as drivers send it that know nothing of their camera."""
        return not any(self.k)

    def camera(self, width: int, height: int, topic: str = '') -> Camera:
        """Return the camera of an image.

        Args:
            width: of the image.
            height: likewise.
            topic: of the image: where ROS's conventions name it rectified, as ``image_rect``, the camera is the
                pinhole in ``p``.

        Raises:
            CameraError: it describes none that can be used, or one of another image size.

        """
        if not all(map(isfinite, self.d)):  # whatever of it is used
            raise CameraError(f'distortion coefficients are not finite: {", ".join(map(str, self.d))}; calibrate again')
        if self.uncalibrated:
            raise CameraError('the camera matrix is all zero: the camera is not calibrated')
        if 'rect' in topic.rpartition('/')[2] and len(self.p) == 12 and self.p[0] > 0 and any(self.d):
            matrix = (self.p[0], 0.0, self.p[2], 0.0, self.p[5], self.p[6], 0.0, 0.0, 1.0)
            whole = Camera.from_camera_info(self.width, self.height, matrix)
        else:
            whole = Camera.from_camera_info(self.width, self.height, self.k, self.d, self.distortion_model)
        if (whole.width, whole.height) == (width, height):
            return whole
        binned = self._binned(whole)
        return binned if (binned.width, binned.height) == (width, height) else whole

    def _binned(self, whole: Camera) -> Camera:
        """The camera of an image of a part of the sensor, several of whose pixels are one of the image's."""
        x, y, width, height = self.roi
        if not (width and height):
            x, y, width, height = 0, 0, whole.width, whole.height
        across, down = (max(count, 1) for count in self.binning)
        return Camera(
            width // across,
            height // down,
            whole.fx / across,
            whole.fy / down,
            (whole.cx - x + 0.5) / across - 0.5,
            (whole.cy - y + 0.5) / down - 0.5,
            whole.distortion,
            whole.fisheye,
        )


def assumed_camera(width: int, height: int) -> Camera:
    """The camera that color images without a calibration are taken to be of."""
    return Camera.from_field_of_view(width, height, FIELD_OF_VIEW_DEG)


def read_calibration(path: str | Path) -> Camera:
    """Read a camera calibration.

    Args:
        path: YAML of ``camera_calibration``, of ``ros2 topic echo`` (its first message) or of Kalibr (its first
            camera); OpenCV's YAML or XML; or Open3D's JSON.

    Raises:
        CameraError: the file is missing, is none of these, or describes no usable camera.

    """
    path = Path(path)
    with reading(path, CameraError, 'a camera calibration file'):
        text = read_text(path)
        if text.lstrip().startswith(('%YAML', '<?xml', '<opencv_storage')):
            return _of_opencv(text)
        if text.lstrip().startswith('{'):
            return _of_open3d(parse_json(text))
        return _of_table(parse_yaml(_first_document(text)))


def _first_document(text: str) -> str:
    """The first of several messages that were echoed into one file."""
    lines = text.removeprefix('---').lstrip().splitlines()
    ends = [n for n, line in enumerate(lines) if line.rstrip() == '---']
    return '\n'.join(lines[: ends[0]] if ends else lines)


def _of_table(table: Mapping[str, Any]) -> Camera:
    if not isinstance(table, dict):
        raise CameraError('there is no table of a camera in it')
    if 'image_width' in table:
        distortion = table.get('distortion_coefficients') or {}
        return Camera.from_camera_info(
            table['image_width'],
            table['image_height'],
            table['camera_matrix']['data'],
            distortion.get('data', ()),
            str(table.get('distortion_model') or ''),
        )
    if 'k' in table or 'K' in table:
        k, d = (table.get(name) or table.get(name.upper()) or () for name in 'kd')
        return Camera.from_camera_info(table['width'], table['height'], k, d, str(table.get('distortion_model') or ''))
    cameras = [value for value in table.values() if isinstance(value, dict) and 'intrinsics' in value]
    if not cameras:
        raise CameraError(
            'it is of no form that is known: camera_calibration, `ros2 topic echo --once camera_info`, OpenCV, Kalibr, '
            'Open3D'
        )
    first = cameras[0]
    if first.get('camera_model', 'pinhole') != 'pinhole':
        raise CameraError(f"Kalibr's camera model {first['camera_model']!r} is not supported; calibrate as pinhole")
    fx, fy, cx, cy = first['intrinsics']
    width, height = first['resolution']
    model = str(first.get('distortion_model') or '')
    return Camera.from_camera_info(
        width, height, (fx, 0, cx, 0, fy, cy, 0, 0, 1), first.get('distortion_coeffs', ()), model
    )


def _of_open3d(table: Mapping[str, Any]) -> Camera:
    table = table.get('intrinsic', table)
    matrix = np.array(table['intrinsic_matrix'], float).reshape(3, 3).T  # column by column
    return Camera.from_camera_info(table['width'], table['height'], matrix.ravel().tolist())


#: Names that people give to a camera's parts in OpenCV's files.
_MATRIX = ('camera_matrix', 'cameraMatrix', 'Camera_Matrix', 'intrinsic', 'K', 'M1')
_DISTORTION = ('distortion_coefficients', 'dist_coeffs', 'distCoeffs', 'Distortion_Coefficients', 'D', 'D1')
_WIDTH, _HEIGHT = ('image_width', 'image_Width', 'width'), ('image_height', 'image_Height', 'height')
_SIZE = ('image_size', 'imageSize', 'resolution')


def _of_opencv(text: str) -> Camera:
    """A camera of OpenCV's YAML or XML, read without OpenCV, whose own reader ends in a crash on damaged files."""
    table = _xml_table(text) if text.lstrip().startswith('<') else parse_yaml(_plain_yaml(text))

    def find(names: Sequence[str]) -> Any:
        return next((table[name] for name in names if table.get(name) is not None), None)

    matrix, distortion, width, height, size = map(find, (_MATRIX, _DISTORTION, _WIDTH, _HEIGHT, _SIZE))
    if matrix is None or (size is None and (width is None or height is None)):
        raise CameraError(
            f'it lacks the camera matrix ({", ".join(_MATRIX)}) or the size ({_WIDTH[0]} and {_HEIGHT[0]})'
        )
    sides = (width, height) if width is not None else _numbers(size)
    return Camera.from_camera_info(
        round(float(sides[0])),
        round(float(sides[1])),
        _numbers(matrix),
        () if distortion is None else _numbers(distortion),
        str(table.get('distortion_model') or ''),
    )


def _plain_yaml(text: str) -> str:
    """OpenCV's YAML as everyone's: its first line is no directive, and its matrices are tables."""
    lines = [line for line in text.splitlines() if not line.startswith('%YAML')]
    return '\n'.join(lines).replace('!!opencv-matrix', '')


def _xml_table(text: str) -> dict[str, Any]:
    """The values of OpenCV's XML by their names: texts, or of matrices and lists their numbers."""
    table: dict[str, Any] = {}
    for element in ElementTree.fromstring(text):
        data = element.find('data')
        table[element.tag] = (element.text or '').strip(' "\n') if data is None else (data.text or '').split()
    return table


def _numbers(value: Any) -> list[float]:
    """The numbers of a matrix, a list, or a text of numbers."""
    if isinstance(value, dict):
        value = value['data']
    return [float(number) for number in (value.split() if isinstance(value, str) else value)]
