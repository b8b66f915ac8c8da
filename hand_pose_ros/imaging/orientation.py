"""Images of cameras that stand on their side or upside down, and of drivers that mirror them."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np

from hand_pose_ros.core.frame import CameraFrame
from hand_pose_ros.core.hand import Hand
from hand_pose_ros.geometry.camera import Camera

#: Degrees clockwise -> how OpenCV turns an image so.
_TURNS = {90: cv2.ROTATE_90_CLOCKWISE, 180: cv2.ROTATE_180, 270: cv2.ROTATE_90_COUNTERCLOCKWISE}
#: And what turns points of the camera's optical frame into those of the turned image's.
_ROTATIONS = {
    90: np.array([[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]),
    180: np.diag([-1.0, -1.0, 1.0]),
    270: np.array([[0.0, 1.0, 0.0], [-1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]),
}


def turned(frame: CameraFrame, degrees: int) -> CameraFrame:
    """The frame as a camera sees it that is turned: its images clockwise by 90, 180 or 270 degrees.

    Args:
        frame: of a pinhole camera.
        degrees: how far; 0 gives the frame itself.

    """
    if not degrees:
        return frame
    how = _TURNS[degrees]
    return CameraFrame(
        _turned_camera(frame.camera, degrees),
        frame.stamp_s,
        None if frame.color is None else cv2.rotate(frame.color, how),
        None if frame.depth is None else replace(frame.depth, pixels=cv2.rotate(frame.depth.pixels, how)),
    )


def _turned_camera(camera: Camera, degrees: int) -> Camera:
    right, down = camera.width - 1 - camera.cx, camera.height - 1 - camera.cy
    if degrees == 180:
        return Camera(camera.width, camera.height, camera.fx, camera.fy, right, down)
    center = (down, camera.cx) if degrees == 90 else (camera.cy, right)
    return Camera(camera.height, camera.width, camera.fy, camera.fx, *center)


def turned_back(hand: Hand, degrees: int) -> Hand:
    """A hand that was found in a turned frame, in the optical frame of the camera itself."""
    if not degrees:
        return hand
    turn = _ROTATIONS[degrees]
    fit = hand.fit
    if fit is not None:
        vertices = None if fit.vertices is None else (fit.vertices @ turn).astype(fit.vertices.dtype)
        fit = replace(fit, rotations=turn.T @ fit.rotations, joints=fit.joints @ turn, vertices=vertices)
    return replace(hand, joints=hand.joints @ turn, fit=fit)


def unmirrored(frame: CameraFrame) -> CameraFrame:
    """The frame of a driver that mirrors its images, left and right, as the camera sees it; so are its intrinsics."""
    camera = frame.camera
    distortion = list(camera.distortion)
    if len(distortion) > 3 and not camera.fisheye:
        distortion[3] = -distortion[3]  # the tangential part across the image
    return CameraFrame(
        replace(camera, cx=camera.width - 1 - camera.cx, distortion=tuple(distortion)),
        frame.stamp_s,
        None if frame.color is None else cv2.flip(frame.color, 1),
        None if frame.depth is None else replace(frame.depth, pixels=cv2.flip(frame.depth.pixels, 1)),
    )
