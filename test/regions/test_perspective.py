"""Perspective regions: what a camera turned to a hand sees, and the way back."""

from dataclasses import replace

import numpy as np
import pytest
from color_cells import CAMERA
from synthetic_hand import open_hand

from hand_pose_ros.geometry.joints import hand_center
from hand_pose_ros.regions.base import View
from hand_pose_ros.regions.perspective import PerspectiveRegion, pointing


def test_a_mirrored_crop_is_the_other_sides():
    joints = open_hand('left', (0.1, -0.05, 0.5))
    region = PerspectiveRegion.of_hand(joints)
    assert region.mirrored().project(joints) == pytest.approx(region.project(joints) * (-1, 1))
    assert region.mirrored().mirrored().rotation == pytest.approx(region.rotation)
    assert region.to_camera(region.from_camera(joints)) == pytest.approx(joints)
    assert region.mirrored().to_camera(region.mirrored().from_camera(joints)) == pytest.approx(joints)


@pytest.mark.parametrize('side', ['left', 'right'])
def test_hands_point_up_in_their_crops(side):
    for turn in (0.3, 2.0, -2.5):
        spin = np.array([[np.cos(turn), -np.sin(turn), 0], [np.sin(turn), np.cos(turn), 0], [0, 0, 1]])
        joints = open_hand(side, (0, 0, 0)) @ spin.T + (0.1, 0.05, 0.6)
        region = PerspectiveRegion.of_hand(joints, mirror=side == 'left')
        way = pointing(region.project(joints))
        assert way[0] == pytest.approx(0, abs=1e-9) and way[1] < -0.2
        assert np.linalg.det(region.rotation) == pytest.approx(-1 if side == 'left' else 1)
        square = PerspectiveRegion.of_square(
            CAMERA,
            CAMERA.project(hand_center(joints)[None])[0],
            60,
            pointing(CAMERA.project(joints)),
            mirror=side == 'left',
        )
        assert abs(pointing(square.project(joints))[0]) < 0.05 and pointing(square.project(joints))[1] < 0


@pytest.mark.parametrize('distortion', [(), (0.1, -0.2, 0.001, 0.002, 0.03)], ids=['pinhole', 'distorted'])
@pytest.mark.parametrize('half', [0.04, 0.15], ids=['magnified', 'shrunk'])
def test_a_crop_shows_what_its_camera_sees(distortion, half):
    camera = replace(CAMERA, distortion=distortion)
    v, u = np.mgrid[:480, :640].astype(np.float32)
    image = np.dstack([u / 3, v / 2, 255 - u / 3]).round().astype(np.uint8)  # every pixel says where it is
    region = PerspectiveRegion.looking_at(np.array([0.06, -0.04, 0.3]), half, turn=0.5, mirror=True)
    shown = region.cut(image, camera, 64).astype(float)
    line = (np.arange(64) + 0.5) / 32 - 1
    places = region.to_pixels(np.stack(np.meshgrid(line, line), -1), camera)
    inside = ((places > 12) & (places < (627, 467))).all(-1)
    assert 0.3 < inside.mean()
    expected = np.stack([places[..., 0] / 3, places[..., 1] / 2, 255 - places[..., 0] / 3], -1)
    assert np.abs(shown - expected)[inside].max() < 1.5
    beyond = ((places < -6) | (places > (646, 486))).any(-1)
    black = region.cut(image, camera, 64, black_beyond=True)
    assert half < 0.1 or (beyond.any() and not black[beyond].any() and shown[beyond].any(1).all())


def test_offsets_are_in_half_sides_and_sizes():
    region = PerspectiveRegion.looking_at(np.array([0, 0, 1.0]), 0.1)
    offset = region.offset(PerspectiveRegion.looking_at(np.array([0.05, 0, 1.0]), 0.3))
    assert offset.shift == pytest.approx(0.5) and np.exp(offset.log_scale) == pytest.approx(3, rel=0.01)
    turned = region.offset(region.view(View(0.4, 1.2)))
    assert turned.turn_rad == pytest.approx(0.4) and np.exp(-turned.log_scale) == pytest.approx(1.2)
    assert region.offset(region).shift == pytest.approx(0)


def test_a_followed_region_is_where_the_hand_was_found_and_remembers_its_size():
    region, found = (PerspectiveRegion.looking_at(np.array([x, 0, 1.0]), half) for x, half in ((0, 0.1), (0.05, 0.2)))
    after = region.following(found, memory=0.5)
    assert after.rotation == pytest.approx(found.rotation)
    assert after.reach == pytest.approx(np.sqrt(region.reach * found.reach))
