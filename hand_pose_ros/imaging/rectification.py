"""Frames of cameras with distortion, straightened."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np

from hand_pose_ros.core.frame import CameraFrame
from hand_pose_ros.geometry.camera import Camera


class Rectification:
    """Straightens the frames of one camera; keeps the maps that this takes."""

    def __init__(self) -> None:
        self._maps: tuple[Camera, tuple[np.ndarray, np.ndarray]] | None = None

    def __call__(self, frame: CameraFrame) -> CameraFrame:
        """What a pinhole camera would see, and the pinhole; the frame as it is where there is no distortion."""
        camera = frame.camera
        if not camera.distortion:
            return frame
        if self._maps is None or self._maps[0] != camera:
            self._maps = camera, camera.rectification_maps()
        maps, color, depth = self._maps[1], frame.color, frame.depth
        if color is not None:
            color = cv2.remap(color, *maps, cv2.INTER_LINEAR)
        if depth is not None:
            depth = replace(depth, pixels=cv2.remap(depth.pixels, *maps, cv2.INTER_NEAREST))
        return CameraFrame(camera.pinhole(), frame.stamp_s, color, depth)
