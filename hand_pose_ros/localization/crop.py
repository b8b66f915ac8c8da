"""The cube around a hand: cutting it out of a depth image, and the way back from its coordinates.

A cube has a centre and a half side in metres. Its image is square: u and v run over the cube's projection at the
centre's depth, z over its depth, each from -1 to 1. Whatever lies outside the cube is 1, as background is in the
papers (SRN section 3.1; JGR-P2O section 4.1).
"""

from __future__ import annotations

import numpy as np

from hand_pose_ros.geometry.camera import Camera
from hand_pose_ros.geometry.joints import KNUCKLES, WRIST
from hand_pose_ros.images import DepthImage

#: Half side of a hand's cube, as a multiple of its :func:`hand_size`: room for a spread hand and an error in centre.
CUBE_PER_HAND = 1.4


def hand_size(joints: np.ndarray) -> float:
    """Size of a hand (21, 3): the mean length from the wrist to the four fingers' knuckles. An adult's is 95 mm."""
    return float(np.linalg.norm(joints[list(KNUCKLES)] - joints[WRIST], axis=1).mean())


def hand_centre(joints: np.ndarray) -> np.ndarray:
    """Centre (3,) of a hand's cube: the mean of its joints (21, 3)."""
    return joints.mean(0)


def cut_cube(depth: np.ndarray | DepthImage, camera: Camera, centre: np.ndarray, half: float, size: int,
             mirror: bool = False, turn: float = 0.0) -> np.ndarray:
    """Cut a cube out of a depth image.

    Args:
        depth: (H, W) of an undistorted ``camera``; an array is float32 metres, 0 for holes.
        camera: pinhole of ``depth``.
        centre: (3,) metres, camera optical frame, in front of the camera.
        half: half side of the cube, metres.
        size: pixels along a side of the result.
        mirror: flip left and right, which turns a left hand into a right one.
        turn: radians by which the cube is turned about the line of sight, from u to v.

    Returns:
        (size, size) float32 in [-1, 1].

    """
    warp = _warp(camera, centre, half, size, mirror, turn)
    crop = (DepthImage(depth) if isinstance(depth, np.ndarray) else depth).warp(warp, size)
    hole = crop == 0
    crop -= np.float32(centre[2])
    crop *= np.float32(1 / half)
    crop[hole | (crop < -1) | (crop > 1)] = 1
    return crop


def cut_view(depth: DepthImage, camera: Camera, centre: np.ndarray, half: float,
             size: int) -> tuple[np.ndarray, Camera]:
    """Cut the image of a cube out of a depth image, with what stands before and behind the cube.

    Returns:
        (size, size) float32 metres, 0 for holes, and its pinhole.

    """
    focal = centre[2] * size / (2 * half)
    middle = (size - 1) / 2
    view = Camera(size, size, focal, focal, middle - focal * centre[0] / centre[2], middle - focal * centre[1] / centre[2])
    return depth.warp(_warp(camera, centre, half, size), size), view


def _warp(camera: Camera, centre: np.ndarray, half: float, size: int, mirror: bool = False,
          turn: float = 0.0) -> np.ndarray:
    """Where (2, 3) in a camera's image the pixels of a cube's image lie."""
    u = camera.fx * centre[0] / centre[2] + camera.cx
    v = camera.fy * centre[1] / centre[2] + camera.cy
    step_u = 2 * camera.fx * half / (centre[2] * size) * (-1 if mirror else 1)
    step_v = 2 * camera.fy * half / (centre[2] * size)
    cos, sin = np.cos(turn), np.sin(turn)
    axes = np.array([[step_u * cos, -step_u * sin], [step_v * sin, step_v * cos]])
    return np.column_stack([axes, (u, v) - axes.sum(1) * (size - 1) / 2])


def cube_to_camera(uvz: np.ndarray, centre: np.ndarray, half: float, mirror: bool = False) -> np.ndarray:
    """Turn cube coordinates (..., 3) in [-1, 1] into points (..., 3) in metres, camera optical frame."""
    z = uvz[..., 2] * half + centre[2]
    flip = -1 if mirror else 1
    x = (centre[0] + flip * uvz[..., 0] * half) / centre[2] * z
    y = (centre[1] + uvz[..., 1] * half) / centre[2] * z
    return np.stack([x, y, z], -1)


def camera_to_cube(points: np.ndarray, centre: np.ndarray, half: float, mirror: bool = False) -> np.ndarray:
    """Inverse of :func:`cube_to_camera`."""
    flip = -1 if mirror else 1
    u = flip * (points[..., 0] / points[..., 2] * centre[2] - centre[0]) / half
    v = (points[..., 1] / points[..., 2] * centre[2] - centre[1]) / half
    return np.stack([u, v, (points[..., 2] - centre[2]) / half], -1)
