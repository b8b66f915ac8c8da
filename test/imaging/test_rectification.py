"""Frames of cameras with distortion are straightened, and others left alone."""

from dataclasses import replace

import numpy as np

from hand_pose_ros.core.frame import CameraFrame
from hand_pose_ros.geometry.camera import Camera
from hand_pose_ros.imaging.images import DepthImage
from hand_pose_ros.imaging.rectification import Rectification

CAMERA = Camera(160, 120, 140.0, 140.0, 79.5, 59.5)


def test_a_pinholes_frame_is_left_alone():
    frame = CameraFrame(CAMERA, depth=DepthImage(np.ones((120, 160), np.uint16), 0.001))
    assert Rectification()(frame) is frame


def test_a_point_lies_where_the_pinhole_sees_it_in_depth_and_color():
    bent = replace(CAMERA, distortion=(-0.25, 0.05, 0.0, 0.0))
    point = np.array([0.3, -0.2, 0.9])
    u, v = np.rint(bent.project(point)).astype(int)
    pixels, color = np.full((120, 160), 2000, np.uint16), np.zeros((120, 160, 3), np.uint8)
    pixels[v - 2 : v + 3, u - 2 : u + 3] = 900
    color[v - 2 : v + 3, u - 2 : u + 3] = 255
    rectify, frame = Rectification(), CameraFrame(bent, 1.5, color, DepthImage(pixels, 0.001))
    straight = rectify(frame)
    assert straight.camera == CAMERA and straight.stamp_s == 1.5
    u, v = np.rint(CAMERA.project(point)).astype(int)
    assert np.isclose(straight.depth[v : v + 1, u : u + 1], 0.9) and (straight.color[v, u] > 250).all()
    other = rectify(replace(frame, camera=replace(bent, cx=70.0)))
    assert other.camera.cx == 70.0
    assert not np.array_equal(other.depth.pixels, straight.depth.pixels), "the maps are one camera's"
