"""Depth images of cameras with distortion are straightened, and others left alone."""

from dataclasses import replace

import numpy as np

from hand_pose_ros.geometry.camera import Camera
from hand_pose_ros.images import DepthImage
from hand_pose_ros.pipeline.rectification import Rectification

CAMERA = Camera(160, 120, 140.0, 140.0, 79.5, 59.5)


def test_a_pinholes_image_is_left_alone():
    depth = DepthImage(np.ones((120, 160), np.uint16), 0.001)
    assert Rectification()(depth, CAMERA) == (depth, CAMERA)


def test_a_point_lies_where_the_pinhole_sees_it():
    bent = replace(CAMERA, distortion=(-0.25, 0.05, 0.0, 0.0))
    point = np.array([0.3, -0.2, 0.9])
    u, v = np.rint(bent.project(point)).astype(int)
    pixels = np.full((120, 160), 2000, np.uint16)
    pixels[v - 2:v + 3, u - 2:u + 3] = 900
    rectify = Rectification()
    straight, pinhole = rectify(DepthImage(pixels, 0.001), bent)
    assert pinhole == CAMERA
    u, v = np.rint(CAMERA.project(point)).astype(int)
    assert np.isclose(straight[v:v + 1, u:u + 1], 0.9)
    other = rectify(DepthImage(pixels, 0.001), replace(bent, cx=70.0))
    assert other[1].cx == 70.0 and not np.array_equal(other[0].pixels, straight.pixels), 'the maps are one camera\'s'
