"""Cameras that stand on their side, and images that are mirrored."""

import numpy as np
import pytest
from known_hands import make_hand

from hand_pose_ros.core.frame import CameraFrame
from hand_pose_ros.geometry.camera import Camera
from hand_pose_ros.imaging.images import DepthImage
from hand_pose_ros.imaging.orientation import turned, turned_back, unmirrored

CAMERA = Camera(64, 48, 60.0, 62.0, 30.0, 25.0)
POINT = np.array([[0.08, -0.05, 0.5]])


def frame_with(camera, point):
    """A frame whose images show one point."""
    u, v = np.rint(camera.project(point)[0]).astype(int)
    depth = np.zeros((camera.height, camera.width), np.uint16)
    color = np.zeros((camera.height, camera.width, 3), np.uint8)
    depth[v, u], color[v, u] = 500, 255
    return CameraFrame(camera, 1.0, color, DepthImage(depth, 0.001))


def seen(frame):
    """Pixel of the point in both images."""
    (v, u) = np.argwhere(frame.depth.pixels)[0]
    assert frame.color[v, u].all() and frame.color.shape[:2] == (frame.camera.height, frame.camera.width)
    return np.array([u, v])


@pytest.mark.parametrize('degrees', [0, 90, 180, 270])
def test_a_turned_camera_sees_the_same_points(degrees):
    frame = turned(frame_with(CAMERA, POINT), degrees)
    hand = make_hand('left')
    forward = {
        0: POINT,
        90: POINT[:, [1, 0, 2]] * (-1, 1, 1),
        180: POINT * (-1, -1, 1),
        270: POINT[:, [1, 0, 2]] * (1, -1, 1),
    }
    assert np.abs(frame.camera.project(forward[degrees])[0] - seen(frame)).max() <= 1
    back = turned_back(hand.__class__(**{**vars(hand), 'joints': np.repeat(forward[degrees], 21, 0)}), degrees)
    assert back.joints == pytest.approx(np.repeat(POINT, 21, 0))
    assert np.linalg.det(back.fit.rotations) == pytest.approx(np.ones(21))
    assert back.fit.vertices.shape == hand.fit.vertices.shape and back.fit.angles == hand.fit.angles


def test_two_half_turns_are_none():
    frame = frame_with(CAMERA, POINT)
    again = turned(turned(frame, 180), 180)
    assert again.camera == CAMERA and np.array_equal(again.depth.pixels, frame.depth.pixels)
    assert turned(turned(frame, 90), 270).camera == CAMERA


def test_a_mirrored_image_is_seen_as_the_camera_sees_it():
    camera = Camera(64, 48, 60.0, 62.0, 30.0, 25.0, (0.05, -0.01, 0.002, 0.003, 0.0))
    frame = frame_with(camera, POINT)
    true = unmirrored(frame)
    assert np.abs(true.camera.project(POINT * (-1, 1, 1))[0] - seen(true)).max() <= 1
    assert unmirrored(true).camera == camera
