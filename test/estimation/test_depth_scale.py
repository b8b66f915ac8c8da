"""Color with a depth image beside it: which belong together, and what depth says of a hand's size and place."""

import numpy as np
import pytest
from synthetic_hand import open_hand

from hand_pose_ros.estimation.depth_scale import UNDER_SKIN, size_from_depth
from hand_pose_ros.geometry.camera import Camera
from hand_pose_ros.geometry.joints import WRIST, hand_size
from hand_pose_ros.imaging.images import DepthImage

CAMERA = Camera(640, 480, 500, 500, 319.5, 239.5)


def hand_and_depth(size, place=(0.05, 0.02, 0.7), background=1.2):
    """A hand of a size, and a depth image that shows a patch of its skin about every joint, before a wall."""
    joints = open_hand('right', place)
    joints = (joints - joints[WRIST]) * size / hand_size(joints) + place
    depth = np.full((480, 640), background, np.float32)
    for (u, v), z in zip(np.rint(CAMERA.project(joints)).astype(int), joints[:, 2]):
        depth[v - 3 : v + 4, u - 3 : u + 4] = z - UNDER_SKIN * size
    return joints, depth


@pytest.mark.parametrize('true, assumed', [(0.065, 0.09), (0.09, 0.09), (0.1, 0.07)])
def test_depth_tells_the_size(true, assumed):
    joints, depth = hand_and_depth(true)
    guess = joints * assumed / true
    found = size_from_depth(guess, assumed, np.ones(21), depth, CAMERA)
    assert found == pytest.approx(true, rel=0.005)
    assert np.linalg.norm(guess * found / assumed - joints, axis=1).max() < 0.004


def test_joints_that_are_hidden_or_seen_beside_the_hand_do_not_count():
    joints, depth = hand_and_depth(0.08)
    pixels = np.rint(CAMERA.project(joints)).astype(int)
    for joint, wrong in ((4, 1.2), (8, 0), (12, 1.2), (16, 0.45), (20, np.nan)):
        u, v = pixels[joint]
        depth[v - 3 : v + 4, u - 3 : u + 4] = wrong
    assert size_from_depth(joints * 0.09 / 0.08, 0.09, np.ones(21), DepthImage(depth), CAMERA) == pytest.approx(
        0.08, rel=0.01
    )


@pytest.mark.parametrize('depth', [0.0, 3.0, 0.1], ids=['holes', 'wall', 'before the hand'])
def test_depth_of_something_else_says_nothing(depth):
    joints, _ = hand_and_depth(0.09)
    assert size_from_depth(joints, 0.09, np.ones(21), np.full((480, 640), depth, np.float32), CAMERA) is None


def test_a_hand_beyond_the_image_says_nothing():
    joints, depth = hand_and_depth(0.09)
    assert size_from_depth(joints + (2.0, 0, 0), 0.09, np.ones(21), depth, CAMERA) is None
