"""Depth images of cameras with distortion, straightened."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np

from hand_pose_ros.geometry.camera import Camera
from hand_pose_ros.images import DepthImage


class Rectification:
    """Straightens the depth images of one camera; keeps the maps that this takes."""

    def __init__(self) -> None:
        self._maps: tuple[Camera, tuple[np.ndarray, np.ndarray]] | None = None

    def __call__(self, depth: DepthImage, camera: Camera) -> tuple[DepthImage, Camera]:
        """Return the image (H, W) that a pinhole would see, and the pinhole; both as they are without distortion."""
        if not camera.distortion:
            return depth, camera
        if self._maps is None or self._maps[0] != camera:
            self._maps = camera, camera.rectification_maps()
        return replace(depth, pixels=cv2.remap(depth.pixels, *self._maps[1], cv2.INTER_NEAREST)), camera.pinhole()
