"""Pictures: what is drawn is where it should be, in the color it should have."""

import numpy as np
import pytest
from synthetic_hand import CAMERA, depth_of, make_hand, open_hand

from hand_pose_ros.core.hand import Hand, HandFit
from hand_pose_ros.geometry.camera import Camera
from hand_pose_ros.geometry.joints import FINGER_JOINTS, FINGERS
from hand_pose_ros.visualization.drawing import FINGER_COLORS, SIDE_COLORS, depth_picture, draw_overlay, side_by_side


def near(picture, pixel, color, reach=1, tolerance=12):
    """Tell whether ``color`` is at ``pixel`` (u, v), give or take ``reach`` pixels."""
    u, v = (int(round(x)) for x in pixel)
    patch = picture[max(v - reach, 0) : v + reach + 1, max(u - reach, 0) : u + reach + 1].astype(int)
    return (np.abs(patch - color).max(-1) <= tolerance).any()


@pytest.mark.parametrize('scale', [1, 3])
@pytest.mark.parametrize('camera', [CAMERA, Camera(320, 240, 290, 280, 150, 110, (-0.3, 0.1, 0.001, 0.002, 0.0))])
def test_every_joint_is_drawn_at_its_projected_pixel_in_its_fingers_color(scale, camera):
    hand = make_hand('left')
    picture = draw_overlay(np.zeros((240, 320), np.float32), [hand], camera, scale=scale)
    assert picture.shape == (240 * scale, 320 * scale, 3) and picture.dtype == np.uint8
    pixels = (camera.project(hand.joints) + 0.5) * scale - 0.5
    for finger, joints in FINGER_JOINTS.items():
        for joint in joints:
            assert near(picture, pixels[joint], FINGER_COLORS[finger]), (finger, joint)
            for other in set(FINGERS) - {finger}:
                assert not near(picture, pixels[joint], FINGER_COLORS[other], reach=0), (finger, other)


def test_the_nearer_finger_covers_the_farther_one():
    for front, back in (('index', 'pinky'), ('pinky', 'index')):
        joints = open_hand()
        joints[list(FINGER_JOINTS[front])] = np.linspace((-0.05, 0, 0.45), (0.05, 0, 0.45), 4)
        joints[list(FINGER_JOINTS[back])] = np.linspace((0, -0.05, 0.55), (0, 0.05, 0.55), 4)
        picture = draw_overlay(np.zeros((240, 320), np.float32), [make_hand(joints=joints)], CAMERA)
        assert near(picture, CAMERA.project(np.array([0, 0, 0.45])), FINGER_COLORS[front])


def test_the_label_carries_the_sides_color_and_stays_inside():
    for side in ('left', 'right'):
        for center in ((0, 0, 0.5), (0.5, 0.4, 0.5), (-0.6, -0.5, 0.5)):
            hand = make_hand(side, open_hand(side, center))
            picture = draw_overlay(np.zeros((240, 320), np.float32), [hand], CAMERA)
            assert (np.abs(picture.astype(int) - SIDE_COLORS[side]).max(-1) == 0).sum() > 8


def test_hands_that_cannot_be_projected_are_left_out():
    depth = np.zeros((240, 320), np.float32)
    empty = draw_overlay(depth, [], CAMERA)
    for joints in (np.full((21, 3), np.nan), open_hand(center=(0, 0, -0.5)), np.zeros((21, 3))):
        np.testing.assert_array_equal(draw_overlay(depth, [make_hand(joints=joints)], CAMERA), empty)
    far_outside = open_hand(center=(1e7, 0, 0.01))
    draw_overlay(depth, [make_hand(joints=far_outside)], CAMERA)


def test_depth_is_bright_where_near_and_dark_in_holes():
    depth = np.full((240, 320), 0.4, np.float32)
    depth[:, 160:] = 1.2
    depth[80:160, 40:80] = 0
    depth[80:160, 200:240] = np.nan
    picture = depth_picture(depth).astype(int).sum(-1)
    assert picture[40, 20] > picture[40, 300] + 100
    assert picture[40, 300] > picture[120, 60] + 20
    assert picture[120, 60] == picture[120, 220]
    assert depth_picture(np.zeros((240, 320))).std() < 10


def test_an_image_in_color_is_drawn_over_and_left_untouched():
    image = np.full((240, 320, 3), 77, np.uint8)
    picture = draw_overlay(image, [make_hand()], CAMERA)
    assert (image == 77).all()
    assert (picture[0, 0] == 77).all() and (picture != 77).any()


def test_meshes_are_drawn_where_they_project_and_only_from_outside():
    square = np.array([[-0.05, -0.05, 0.5], [0.05, -0.05, 0.5], [0.05, 0.05, 0.5], [-0.05, 0.05, 0.5]])
    outside = np.array([[0, 3, 1], [1, 3, 2]])  # counter-clockwise for the camera
    joints = open_hand()
    for faces, seen in ((outside, True), (outside[:, ::-1], False)):
        fit = HandFit({}, np.tile(np.eye(3), (21, 1, 1)), joints, square, faces, 0.0)
        hand = Hand('left', 0.9, joints, np.ones(21), fit)
        picture = side_by_side(depth_of(joints), [hand], CAMERA)
        assert picture.shape == (240, 640, 3)
        right = picture[:, 320:].astype(int)
        assert (right[120, 160].sum() > 250) == seen
        assert right[120, 60].sum() < 150 and right[200, 160].sum() < 150
