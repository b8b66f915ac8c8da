"""Cameras as ROS describes them: a pinhole with optional Brown-Conrady distortion, in the optical frame."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

#: Names of distortion models that OpenCV's projection covers: Brown's, radial and tangential, and what drivers call so.
BROWN = (
    '',
    'none',
    'plumb_bob',
    'rational_polynomial',
    'radtan',
    'brown_conrady',
    'modified_brown_conrady',
    'thin_prism',
)
#: And those of its fisheye projection (Kannala and Brandt), with four coefficients.
FISHEYE = ('equidistant', 'fisheye', 'kannala_brandt4', 'kannala_brandt')
#: Numbers of coefficients that Brown's model may have; what is left out is zero.
BROWN_COUNTS = (4, 5, 8, 12, 14)
#: A camera is absurd where a pixel in the middle half of the image does not come back to itself, by more than so many
#: pixels, or sees more than so far to the side, tangent.
MAX_RETURN_ERROR_PX = 2.0
MAX_TANGENT = 20.0
#: Nor is there a camera whose pixels are so many times longer than wide, or that sees so little across, degrees.
MAX_ASPECT = 3.0
MIN_VIEW_DEG = 1.0


class CameraError(ValueError):
    """A camera description that cannot be used; the message says what is wrong with it."""


@dataclass(frozen=True)
class Camera:
    """Intrinsics of a camera in its optical frame (x right, y down, z forward).

    ``fx fy cx cy`` are in pixels, with pixel centers at whole numbers; ``distortion`` holds OpenCV's
    coefficients (k1 k2 p1 p2 [k3 [k4 k5 k6 ...]]), empty for an ideal pinhole; ``fisheye`` cameras have four others.
    """

    width: int
    height: int
    fx: float
    fy: float
    cx: float
    cy: float
    distortion: tuple[float, ...] = ()
    fisheye: bool = False

    @classmethod
    def from_camera_info(
        cls, width: int, height: int, k: Sequence[float], d: Sequence[float] = (), distortion_model: str = ''
    ) -> Camera:
        """Build a camera from the fields of a ``sensor_msgs/CameraInfo``.

        Raises:
            CameraError: the size or the matrix is of no camera, or the distortion model is one that this package
                does not handle.

        """
        fx, fy, cx, cy = _intrinsics(width, height, k)
        distortion, fisheye = _distortion([float(x) for x in d], distortion_model.strip().lower().replace(' ', '_'))
        camera = cls(int(width), int(height), fx, fy, cx, cy, distortion, fisheye)
        camera._check_sense()
        return camera

    def _check_sense(self) -> None:
        """Raise CameraError where pixels in the middle of the image do not come back to themselves."""
        across, down = np.meshgrid(np.linspace(0.25, 0.75, 5), np.linspace(0.25, 0.75, 5))
        pixels = np.stack([across.ravel() * (self.width - 1), down.ravel() * (self.height - 1)], 1)
        rays = self.unproject(pixels, np.ones(len(pixels)))
        far = not np.isfinite(rays).all() or np.abs(rays[:, :2]).max() > MAX_TANGENT
        # Not "greater than", which NaN would pass.
        if far or not np.abs(self.project(rays) - pixels).max() <= MAX_RETURN_ERROR_PX:
            raise CameraError(
                f'the calibration makes no sense: focal lengths {self.fx:g}, {self.fy:g}, distortion '
                f'{", ".join(f"{x:g}" for x in self.distortion) or "none"}; calibrate the camera again'
            )

    def resembles(self, other: Camera) -> bool:
        """Whether another camera may be the same one with its focus or zoom moved a little."""
        if (self.width, self.height, self.fisheye) != (other.width, other.height, other.fisheye):
            return False
        shift = max(abs(self.cx - other.cx), abs(self.cy - other.cy))
        scale = max(abs(self.fx / other.fx - 1), abs(self.fy / other.fy - 1))
        return shift <= 0.05 * self.width and scale <= 0.05

    @classmethod
    def from_field_of_view(cls, width: int, height: int, horizontal_deg: float) -> Camera:
        """Assume an ideal pinhole with square pixels and the given horizontal field of view in degrees."""
        focal = 0.5 * width / np.tan(np.radians(horizontal_deg) / 2)
        return cls(width, height, focal, focal, (width - 1) / 2, (height - 1) / 2)

    @property
    def matrix(self) -> np.ndarray:
        """The (3, 3) camera matrix."""
        return np.array([[self.fx, 0, self.cx], [0, self.fy, self.cy], [0, 0, 1]])

    @property
    def distortion_model(self) -> str:
        """ROS's name of the distortion."""
        if self.fisheye:
            return 'equidistant'
        return 'rational_polynomial' if len(self.distortion) > 5 else 'plumb_bob'

    def pinhole(self) -> Camera:
        """Return the same camera without distortion: the one that sees a rectified image."""
        return Camera(self.width, self.height, self.fx, self.fy, self.cx, self.cy)

    def project(self, points: np.ndarray) -> np.ndarray:
        """Project points (..., 3) in meters to pixels (..., 2), distortion included."""
        points = np.asarray(points, dtype=float)
        if self.distortion:
            project = cv2.fisheye.projectPoints if self.fisheye else cv2.projectPoints
            still = np.zeros((3, 1))
            flat, _ = project(points.reshape(-1, 1, 3), still, still, self.matrix, np.array(self.distortion))
            return flat.reshape(*points.shape[:-1], 2)
        uv = points[..., :2] / points[..., 2:]
        return uv * (self.fx, self.fy) + (self.cx, self.cy)

    def unproject(self, pixels: np.ndarray, depth: np.ndarray) -> np.ndarray:
        """Back-project pixels (..., 2) at ``depth`` (...) in meters to points (..., 3) in meters."""
        pixels = np.asarray(pixels, dtype=float)
        depth = np.asarray(depth, dtype=float)
        if self.distortion:
            straighten = cv2.fisheye.undistortPoints if self.fisheye else cv2.undistortPoints
            rays = straighten(pixels.reshape(-1, 1, 2), self.matrix, np.array(self.distortion)).reshape(pixels.shape)
        else:
            rays = (pixels - (self.cx, self.cy)) / (self.fx, self.fy)
        return np.concatenate([rays * depth[..., None], depth[..., None]], axis=-1)

    def rectification_maps(self) -> tuple[np.ndarray, np.ndarray]:
        """Maps for ``cv2.remap`` that turn this camera's image into that of :meth:`pinhole`."""
        make = cv2.fisheye.initUndistortRectifyMap if self.fisheye else cv2.initUndistortRectifyMap
        distortion = np.array(self.distortion or (0.0, 0.0, 0.0, 0.0))
        return make(self.matrix, distortion, np.eye(3), self.matrix, (self.width, self.height), cv2.CV_32FC1)


def _intrinsics(width: int, height: int, k: Sequence[float]) -> tuple[float, float, float, float]:
    """Focal lengths and center of a camera matrix; raises CameraError where no camera of this size has them."""
    if len(k) != 9:
        raise CameraError(f'the camera matrix has {len(k)} numbers; it needs 9')
    fx, fy, cx, cy = float(k[0]), float(k[4]), float(k[2]), float(k[5])
    if width <= 0 or height <= 0:
        raise CameraError(f'the image size {width}x{height} is not positive')
    if not (np.isfinite([fx, fy, cx, cy]).all() and fx > 0 and fy > 0):
        raise CameraError(f'the focal lengths {fx}, {fy} are not positive: the camera is not calibrated')
    if not np.allclose(k[6:], (0, 0, 1)):
        last = ', '.join(f'{x:g}' for x in k[6:])
        raise CameraError(f'the last row of the camera matrix is {last}, not 0, 0, 1: write the matrix row by row')
    if abs(cx - width / 2) > 2 * width or abs(cy - height / 2) > 2 * height:
        raise CameraError(f'the center {cx:g}, {cy:g} is far outside the image of {width}x{height}')
    if max(fx / fy, fy / fx) > MAX_ASPECT:
        raise CameraError(f'the focal lengths {fx:g}, {fy:g} differ more than {MAX_ASPECT:g} times; calibrate again')
    view = float(2 * np.degrees(np.arctan(0.5 * width / fx)))
    if view < MIN_VIEW_DEG:
        raise CameraError(
            f'with the focal length {fx:g} an image of {width}x{height} sees {view:.2g} degrees across; it must be in '
            'pixels: calibrate again'
        )
    return fx, fy, cx, cy


def _distortion(given: Sequence[float], model: str) -> tuple[tuple[float, ...], bool]:
    """Coefficients as OpenCV takes them, and whether they are of its fisheye model; none where all are zero."""
    if not np.isfinite(given).all():
        raise CameraError(f'distortion coefficients are not finite: {", ".join(map(str, given))}; calibrate again')
    if not any(given):
        return (), False
    if model in FISHEYE:
        if len(given) < 4 or any(given[4:]):
            raise CameraError(f'distortion model {model!r} has four coefficients, not {len(given)}')
        return tuple(given[:4]), True
    if model not in BROWN:
        known = ', '.join(name for name in (*BROWN, *FISHEYE) if name)
        raise CameraError(f'distortion model {model!r} is not supported; rectify the image, or use one of {known}')
    last = max(n for n, value in enumerate(given, 1) if value)
    count = next((count for count in BROWN_COUNTS if count >= max(last, min(len(given), 5))), None)
    if count is None:
        raise CameraError(f'distortion model {model or "without a name"!r} has {last} coefficients, OpenCV at most 14')
    return tuple([*given, *[0.0] * 14][:count]), False
