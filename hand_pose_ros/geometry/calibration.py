"""Camera calibrations as messages and files have them, and the camera of an image that they are of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Any, TypeAlias
from xml.etree import ElementTree

import numpy as np

from hand_pose_ros.files import parse_json, parse_yaml, read_text, reading
from hand_pose_ros.geometry.camera import Camera, CameraError

#: Horizontal field of view that color images without a calibration are taken to have, degrees.
FIELD_OF_VIEW_DEG = 60.0
#: What is said of it.
ASSUMED = f'no camera calibration: a horizontal field of view of {FIELD_OF_VIEW_DEG:.0f} degrees is assumed'
#: Words in the names of topics whose images are rectified, as ``image_rect`` or ``rect/image``, and of others.
_RECTIFIED, _UNRECTIFIED = {'rect', 'rectified'}, {'raw', 'unrect', 'unrectified', 'distorted'}

#: Rectification without distortion changes a focal length by less than this factor.
MOST_ZOOM = 1.5


def is_rectified(topic: str) -> bool:
    """Whether the images of a topic are rectified by its name, the last part of which that says something decides.

    A transport's suffix and words that only begin alike, as ``rectangle``, say nothing.
    """
    for part in reversed(topic.lower().split('/')):
        words = set(part.split('_'))
        if words & _RECTIFIED:
            return True
        if words & _UNRECTIFIED:
            return False
    return False


@dataclass(frozen=True)
class CameraDescription:
    """The fields of a ``sensor_msgs/CameraInfo``, of ROS 2 or ROS 1, or what a file has of them."""

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
    #: What was chosen in its file, for people; empty where there was no choice.
    note: str = ''

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
            topic: of the image, see :meth:`whole`.

        Raises:
            CameraError: it describes none that can be used, or one of another image size.

        """
        whole = self.whole(topic)
        if (whole.width, whole.height) == (width, height):
            return whole
        binned = self._binned(whole)
        return binned if (binned.width, binned.height) == (width, height) else whole

    def whole(self, topic: str = '') -> Camera:
        """Return the camera of an image of the whole sensor.

        Args:
            topic: of the image: where its name says that it is rectified, the camera is the pinhole in ``p``.

        Raises:
            CameraError: it describes none that can be used.

        """
        if not all(map(isfinite, self.d)):  # whatever of it is used
            raise CameraError(f'distortion coefficients are not finite: {", ".join(map(str, self.d))}; calibrate again')
        if self.uncalibrated:
            raise CameraError('the camera matrix is all zero: the camera is not calibrated')
        if not (is_rectified(topic) and self._has_projection()):
            return self._of_matrix(self.k, self.d, self.distortion_model)
        self._of_matrix(self.k)  # where that makes no sense, p is not to be trusted either
        try:
            return self._of_matrix((self.p[0], 0.0, self.p[2], 0.0, self.p[5], self.p[6], 0.0, 0.0, 1.0))
        except CameraError as error:
            raise CameraError(f'the projection matrix p, which is of rectified images: {error}') from error

    def _has_projection(self) -> bool:
        """Whether p is of the rectified image."""
        # Drivers that know none send zeros or an identity.
        if len(self.p) != 12 or not self.p[0] > 1:
            return False
        # Where there is no distortion, a focal length that differs much is that of an image of another size.
        same = self.k[0] / MOST_ZOOM < self.p[0] < self.k[0] * MOST_ZOOM
        return same or any(self.d)

    def _of_matrix(self, matrix: Sequence[float], d: Sequence[float] = (), model: str = '') -> Camera:
        camera = Camera.from_camera_info(self.width, self.height, matrix, d, model)
        # Drivers that know only a focal length leave the center at zero; a part of the sensor may have it anywhere.
        if camera.cx == camera.cy == 0 and not any(self.roi[:2]):
            raise CameraError('the center is 0, 0, a corner of the image: the camera is not calibrated')
        return camera

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


#: A camera, or what is known of it until an image comes.
Calibration: TypeAlias = Camera | CameraDescription


def assumed_camera(width: int, height: int) -> Camera:
    """The camera that color images without a calibration are taken to be of."""
    return Camera.from_field_of_view(width, height, FIELD_OF_VIEW_DEG)


def camera_of(given: Calibration, width: int, height: int, topic: str = '') -> Camera:
    """The camera of an image: the one that is given, or what a description makes of it.

    Raises:
        CameraError: it describes none that can be used.

    """
    return given if isinstance(given, Camera) else given.camera(width, height, topic)


def read_calibration(path: str | Path) -> CameraDescription:
    """Read a camera calibration.

    Args:
        path: YAML of ``camera_calibration``, of ``ros2 topic echo`` (its first message) or of Kalibr (its first
            camera); OpenCV's YAML, XML or JSON; or Open3D's JSON.

    Raises:
        CameraError: the file is missing, is none of these, or describes no usable camera.

    """
    path = Path(path)
    with reading(path, CameraError, 'a camera calibration file'):
        described = _described(read_text(path))
        described.whole()
        return described


def _described(text: str) -> CameraDescription:
    begin = text.lstrip()
    if begin.startswith('%YAML'):
        return _of_opencv(parse_yaml(_plain_yaml(text)))
    if begin.startswith('<'):
        return _of_opencv(_xml_table(text))
    if begin.startswith('{'):
        table = parse_json(text)
        inner = table.get('intrinsic', table)
        return _of_open3d(inner) if 'intrinsic_matrix' in inner else _of_opencv(table)
    return _of_table(parse_yaml(_first_document(text)))


def _first_document(text: str) -> str:
    """The first of several messages that were echoed into one file."""
    lines = text.removeprefix('---').lstrip().splitlines()
    ends = [n for n, line in enumerate(lines) if line.rstrip() == '---']
    return '\n'.join(lines[: ends[0]] if ends else lines)


def _of_table(table: Mapping[str, Any]) -> CameraDescription:
    if not isinstance(table, dict):
        raise CameraError('there is no table of a camera in it')
    if 'image_width' in table:
        return _of_camera_calibration(table)
    if 'k' in table or 'K' in table:
        return _of_message(table)
    cameras = {str(name): value for name, value in table.items() if isinstance(value, dict) and 'intrinsics' in value}
    if not cameras:
        raise CameraError(
            'it is of no form that is known: camera_calibration, `ros2 topic echo --once camera_info`, OpenCV, Kalibr, '
            'Open3D'
        )
    return _of_kalibr(cameras)


def _of_camera_calibration(table: Mapping[str, Any]) -> CameraDescription:
    return CameraDescription(
        int(table['image_width']),
        int(table['image_height']),
        _numbers(table['camera_matrix']),
        _numbers(table.get('distortion_coefficients')),
        str(table.get('distortion_model') or ''),
        _numbers(table.get('projection_matrix')),
    )


def _of_message(table: Mapping[str, Any]) -> CameraDescription:
    """A message as ``ros2 topic echo`` or ``rostopic echo`` writes it."""
    k, d, p = (_numbers(table.get(name) or table.get(name.upper())) for name in 'kdp')
    roi = table.get('roi') or {}
    x, y, width, height = (int(roi.get(name) or 0) for name in ('x_offset', 'y_offset', 'width', 'height'))
    return CameraDescription(
        int(table['width']),
        int(table['height']),
        k,
        d,
        str(table.get('distortion_model') or ''),
        p,
        (int(table.get('binning_x') or 0), int(table.get('binning_y') or 0)),
        (x, y, width, height),
    )


def _of_kalibr(cameras: Mapping[str, Mapping[str, Any]]) -> CameraDescription:
    """The first camera by number, whatever their order: cam0, cam1 ... cam10."""
    names = sorted(cameras, key=lambda name: (len(name), name))
    first = cameras[names[0]]
    if first.get('camera_model', 'pinhole') != 'pinhole':
        raise CameraError(f"Kalibr's camera model {first['camera_model']!r} is not supported; calibrate as pinhole")
    fx, fy, cx, cy = _numbers(first['intrinsics'])
    width, height = first['resolution']
    topic = f' (of {first["rostopic"]})' if first.get('rostopic') else ''
    note = f'of {", ".join(names)} the camera {names[0]}{topic} is taken; remove those that did not take the images'
    return CameraDescription(
        int(width),
        int(height),
        (fx, 0.0, cx, 0.0, fy, cy, 0.0, 0.0, 1.0),
        _numbers(first.get('distortion_coeffs')),
        str(first.get('distortion_model') or ''),
        note=note if len(names) > 1 else '',
    )


def _of_open3d(table: Mapping[str, Any]) -> CameraDescription:
    matrix = np.array(table['intrinsic_matrix'], float).reshape(3, 3)
    if (matrix[:, 2] == (0, 0, 1)).all():  # Open3D writes column by column, others row by row
        matrix = matrix.T
    return CameraDescription(int(table['width']), int(table['height']), tuple(matrix.ravel().tolist()))


#: Names that people give to a camera's parts in OpenCV's files.
_MATRIX = ('camera_matrix', 'cameraMatrix', 'Camera_Matrix', 'intrinsic', 'K', 'M1')
_DISTORTION = ('distortion_coefficients', 'dist_coeffs', 'distCoeffs', 'Distortion_Coefficients', 'D', 'D1')
_WIDTH, _HEIGHT = ('image_width', 'image_Width', 'width'), ('image_height', 'image_Height', 'height')
_SIZE = ('image_size', 'imageSize', 'resolution')


def _of_opencv(table: Mapping[str, Any]) -> CameraDescription:
    """A camera of OpenCV's YAML, XML or JSON, read without OpenCV, whose own reader crashes on damaged files."""

    def find(names: Sequence[str]) -> Any:
        return next((table[name] for name in names if table.get(name) is not None), None)

    matrix, distortion, width, height, size = map(find, (_MATRIX, _DISTORTION, _WIDTH, _HEIGHT, _SIZE))
    if matrix is None or (size is None and (width is None or height is None)):
        raise CameraError(
            f'it lacks the camera matrix ({", ".join(_MATRIX)}) or the size ({_WIDTH[0]} and {_HEIGHT[0]})'
        )
    sides = (width, height) if width is not None else _numbers(size)
    fisheye = float(table.get('fisheye_model') or 0)  # as OpenCV's sample of calibration writes
    return CameraDescription(
        round(float(sides[0])),
        round(float(sides[1])),
        _numbers(matrix),
        _numbers(distortion),
        'fisheye' if fisheye else str(table.get('distortion_model') or ''),
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


def _numbers(value: Any) -> tuple[float, ...]:
    """The numbers of a matrix, a list, a list of rows, or a text of numbers; none of None."""
    if isinstance(value, dict):
        value = value.get('data')
    if isinstance(value, str):
        value = value.split()
    return tuple(np.array(value or (), float).ravel().tolist())
