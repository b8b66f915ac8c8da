"""The cube around a hand: cutting it out of a depth image, and the way back from its coordinates.

A cube has a center and a half side in meters. Its image is square: u and v run over the cube's projection at the
center's depth, z over its depth, each from -1 to 1. Whatever lies outside the cube is 1, as background is in the
papers (SRN section 3.1; JGR-P2O section 4.1).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from hand_pose_ros.geometry.camera import Camera
from hand_pose_ros.geometry.joints import hand_center, hand_size, is_degenerate, other_side
from hand_pose_ros.imaging.images import DepthImage
from hand_pose_ros.regions.base import RegionOffset, View

#: Half side of a hand's cube, as a multiple of its ``geometry.joints.hand_size``: room for a spread hand and an error
#: in center.
CUBE_PER_HAND = 1.4


#: Sizes of hands, wrist to knuckles, from a small child's to a large adult's, meters.
SMALLEST_HAND_M, LARGEST_HAND_M = 0.045, 0.125
#: Pixels along a side of the image that :meth:`CubeRegion.coverage` counts in.
_COVERAGE_PIXELS = 48


@dataclass(frozen=True)
class CubeRegion:
    """A cube in which a hand is looked for.

    Attributes:
        center: (3,) meters, camera optical frame.
        size_m: of the hand (``geometry.joints.hand_size``), meters.
        side: ``left`` or ``right``.
        quarter_turns: in which the hand is shown, see :meth:`view`.

    """

    center: np.ndarray
    size_m: float
    side: str = 'right'
    quarter_turns: int = 0

    @classmethod
    def of_hand(cls, joints: np.ndarray, side: str) -> CubeRegion:
        """The cube of a hand's joints (21, 3), meters; its size is one that hands have."""
        return cls(hand_center(joints), float(np.clip(hand_size(joints), SMALLEST_HAND_M, LARGEST_HAND_M)), side)

    @property
    def half_m(self) -> float:
        """Half side of the cube, meters."""
        return CUBE_PER_HAND * self.size_m

    def about(self, joints: np.ndarray) -> CubeRegion:
        """See ``HandRegion.about``."""
        return self if is_degenerate(joints) else CubeRegion.of_hand(joints, self.side)

    def mirrored(self) -> CubeRegion:
        """The same cube for a hand of the other side."""
        return replace(self, side=other_side(self.side))

    def view(self, view: View) -> CubeRegion:
        """The same cube, its image turned by the quarter turns that are nearest to the view; it has no zoom."""
        return replace(self, quarter_turns=self.quarter_turns + round(view.turn_rad / (np.pi / 2)))

    def offset(self, other: CubeRegion) -> RegionOffset:
        """How another cube lies against this one."""
        shift = float(np.linalg.norm(other.center - self.center)) / self.half_m
        return RegionOffset(shift, float(np.log(other.size_m / self.size_m)))

    def following(self, found: CubeRegion, memory: float) -> CubeRegion:
        """See ``HandRegion.following``."""
        return CubeRegion(found.center, self.size_m**memory * found.size_m ** (1 - memory), self.side)

    def cut(self, depth: DepthImage, camera: Camera, pixels: int) -> np.ndarray:
        """Cut the cube's image (pixels, pixels) for a network, which sees right hands; see :func:`cut_cube`."""
        return cut_cube(depth, camera, self.center, self.half_m, pixels, self.side == 'left')

    def coverage(self, depth: DepthImage, camera: Camera) -> float:
        """Share of the cube's image in which there is something."""
        crop = cut_cube(depth, camera, self.center, self.half_m, _COVERAGE_PIXELS)
        return np.count_nonzero(crop < 1) / crop.size


def cut_cube(
    depth: np.ndarray | DepthImage,
    camera: Camera,
    center: np.ndarray,
    half: float,
    size: int,
    mirror: bool = False,
    turn: float = 0.0,
) -> np.ndarray:
    """Cut a cube out of a depth image.

    Args:
        depth: (H, W) of an undistorted ``camera``; an array is float32 meters, 0 for holes.
        camera: pinhole of ``depth``.
        center: (3,) meters, camera optical frame, in front of the camera.
        half: half side of the cube, meters.
        size: pixels along a side of the result.
        mirror: flip left and right, which turns a left hand into a right one.
        turn: radians by which the cube is turned about the line of sight, from u to v.

    Returns:
        (size, size) float32 in [-1, 1].

    """
    warp = _warp(camera, center, half, size, mirror, turn)
    crop = (DepthImage(depth) if isinstance(depth, np.ndarray) else depth).warp(warp, size)
    hole = crop == 0
    crop -= np.float32(center[2])
    crop *= np.float32(1 / half)
    crop[hole | (crop < -1) | (crop > 1)] = 1
    return crop


def cut_view(
    depth: DepthImage, camera: Camera, center: np.ndarray, half: float, size: int
) -> tuple[np.ndarray, Camera]:
    """Cut the image of a cube out of a depth image, with what stands before and behind the cube.

    Returns:
        (size, size) float32 meters, 0 for holes, and its pinhole.

    """
    focal = center[2] * size / (2 * half)
    middle = (size - 1) / 2
    view = Camera(
        size, size, focal, focal, middle - focal * center[0] / center[2], middle - focal * center[1] / center[2]
    )
    return depth.warp(_warp(camera, center, half, size), size), view


def _warp(
    camera: Camera, center: np.ndarray, half: float, size: int, mirror: bool = False, turn: float = 0.0
) -> np.ndarray:
    """Where (2, 3) in a camera's image the pixels of a cube's image lie."""
    u = camera.fx * center[0] / center[2] + camera.cx
    v = camera.fy * center[1] / center[2] + camera.cy
    step_u = 2 * camera.fx * half / (center[2] * size) * (-1 if mirror else 1)
    step_v = 2 * camera.fy * half / (center[2] * size)
    cos, sin = np.cos(turn), np.sin(turn)
    axes = np.array([[step_u * cos, -step_u * sin], [step_v * sin, step_v * cos]])
    return np.column_stack([axes, (u, v) - axes.sum(1) * (size - 1) / 2])


def cube_to_camera(uvz: np.ndarray, center: np.ndarray, half: float, mirror: bool = False) -> np.ndarray:
    """Turn cube coordinates (..., 3) in [-1, 1] into points (..., 3) in meters, camera optical frame."""
    z = uvz[..., 2] * half + center[2]
    flip = -1 if mirror else 1
    x = (center[0] + flip * uvz[..., 0] * half) / center[2] * z
    y = (center[1] + uvz[..., 1] * half) / center[2] * z
    return np.stack([x, y, z], -1)


def camera_to_cube(points: np.ndarray, center: np.ndarray, half: float, mirror: bool = False) -> np.ndarray:
    """Inverse of :func:`cube_to_camera`."""
    flip = -1 if mirror else 1
    u = flip * (points[..., 0] / points[..., 2] * center[2] - center[0]) / half
    v = (points[..., 1] / points[..., 2] * center[2] - center[1]) / half
    return np.stack([u, v, (points[..., 2] - center[2]) / half], -1)
