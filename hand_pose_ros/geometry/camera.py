"""Cameras as ROS describes them: a pinhole with optional Brown-Conrady distortion, in the optical frame."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

#: Distortion models that OpenCV's projection covers: ROS name -> number of coefficients it may have.
DISTORTION_MODELS = {'plumb_bob': (0, 4, 5), 'rational_polynomial': (0, 8)}


class CameraError(ValueError):
    """A camera description that cannot be used; the message says what is wrong with it."""


@dataclass(frozen=True)
class Camera:
    """Intrinsics of a camera in its optical frame (x right, y down, z forward).

    ``fx fy cx cy`` are in pixels, with pixel centers at whole numbers; ``distortion`` holds OpenCV's
    coefficients (k1 k2 p1 p2 [k3 [k4 k5 k6]]), empty for an ideal pinhole.
    """

    width: int
    height: int
    fx: float
    fy: float
    cx: float
    cy: float
    distortion: tuple[float, ...] = ()

    @classmethod
    def from_camera_info(
        cls, width: int, height: int, k: Sequence[float], d: Sequence[float] = (), distortion_model: str = ''
    ) -> Camera:
        """Build a camera from the fields of a ``sensor_msgs/CameraInfo``.

        Raises:
            CameraError: the size or focal length is not positive, or the distortion model is one that
                this package does not handle.

        """
        if len(k) != 9:
            raise CameraError(f'the camera matrix has {len(k)} numbers; it needs 9')
        fx, fy, cx, cy = float(k[0]), float(k[4]), float(k[2]), float(k[5])
        if width <= 0 or height <= 0:
            raise CameraError(f'the image size {width}x{height} is not positive')
        if not (np.isfinite([fx, fy, cx, cy]).all() and fx > 0 and fy > 0):
            raise CameraError(f'the focal lengths {fx}, {fy} are not positive: the camera is not calibrated')
        distortion = tuple(float(x) for x in d)
        if any(distortion):
            if distortion_model not in DISTORTION_MODELS:
                raise CameraError(
                    f'distortion model {distortion_model!r} is not supported; '
                    f'rectify the image first, or use one of {", ".join(DISTORTION_MODELS)}'
                )
            if len(distortion) not in DISTORTION_MODELS[distortion_model]:
                raise CameraError(f'{distortion_model} with {len(distortion)} coefficients is not supported')
        else:
            distortion = ()
        return cls(int(width), int(height), fx, fy, cx, cy, distortion)

    @classmethod
    def from_yaml(cls, path: str | Path) -> Camera:
        """Read the YAML that ``camera_calibration`` and ``camera_info_manager`` write.

        Raises:
            CameraError: the file is missing, is not such a YAML file, or describes no usable camera.

        """
        import yaml

        path = Path(path)
        try:
            info = yaml.safe_load(path.read_text())
            return cls.from_camera_info(
                info['image_width'],
                info['image_height'],
                info['camera_matrix']['data'],
                info.get('distortion_coefficients', {}).get('data', ()),
                info.get('distortion_model', ''),
            )
        except OSError as error:
            raise CameraError(f'{path}: {error.strerror or error}') from error
        except CameraError as error:
            raise CameraError(f'{path}: {error}') from error
        except (yaml.YAMLError, KeyError, TypeError, AttributeError, UnicodeDecodeError) as error:
            raise CameraError(f'{path}: not a camera calibration file ({type(error).__name__}: {error})') from error

    @classmethod
    def from_field_of_view(cls, width: int, height: int, horizontal_deg: float) -> Camera:
        """Assume an ideal pinhole with square pixels and the given horizontal field of view in degrees."""
        focal = 0.5 * width / np.tan(np.radians(horizontal_deg) / 2)
        return cls(width, height, focal, focal, (width - 1) / 2, (height - 1) / 2)

    @property
    def matrix(self) -> np.ndarray:
        """The (3, 3) camera matrix."""
        return np.array([[self.fx, 0, self.cx], [0, self.fy, self.cy], [0, 0, 1]])

    def pinhole(self) -> Camera:
        """Return the same camera without distortion: the one that sees a rectified image."""
        return Camera(self.width, self.height, self.fx, self.fy, self.cx, self.cy)

    def project(self, points: np.ndarray) -> np.ndarray:
        """Project points (..., 3) in meters to pixels (..., 2), distortion included."""
        points = np.asarray(points, dtype=float)
        if self.distortion:
            flat, _ = cv2.projectPoints(
                points.reshape(-1, 1, 3), np.zeros(3), np.zeros(3), self.matrix, np.array(self.distortion)
            )
            return flat.reshape(*points.shape[:-1], 2)
        uv = points[..., :2] / points[..., 2:]
        return uv * (self.fx, self.fy) + (self.cx, self.cy)

    def unproject(self, pixels: np.ndarray, depth: np.ndarray) -> np.ndarray:
        """Back-project pixels (..., 2) at ``depth`` (...) in meters to points (..., 3) in meters."""
        pixels = np.asarray(pixels, dtype=float)
        depth = np.asarray(depth, dtype=float)
        if self.distortion:
            rays = cv2.undistortPoints(pixels.reshape(-1, 1, 2), self.matrix, np.array(self.distortion)).reshape(
                pixels.shape
            )
        else:
            rays = (pixels - (self.cx, self.cy)) / (self.fx, self.fy)
        return np.concatenate([rays * depth[..., None], depth[..., None]], axis=-1)

    def rectification_maps(self) -> tuple[np.ndarray, np.ndarray]:
        """Maps for ``cv2.remap`` that turn this camera's image into that of :meth:`pinhole`."""
        return cv2.initUndistortRectifyMap(
            self.matrix,
            np.array(self.distortion or (0, 0, 0, 0)),
            None,
            self.matrix,
            (self.width, self.height),
            cv2.CV_32FC1,
        )
