"""The cube crop: coordinates there and back, sides, units, background."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hand_pose_ros.geometry.camera import Camera
from hand_pose_ros.geometry.joints import hand_center, hand_size
from hand_pose_ros.imaging.images import DepthImage, depth_in_meters
from hand_pose_ros.regions.cube import camera_to_cube, cube_to_camera, cut_cube

CAMERA = Camera(320, 240, 300, 300, 159.5, 119.5)
CENTER = np.array([0.05, -0.03, 0.5])


@given(st.tuples(*[st.floats(-1, 1)] * 3), st.booleans())
def test_cube_coordinates_invert(uvz, mirror):
    point = cube_to_camera(np.array(uvz), CENTER, 0.12, mirror)
    assert camera_to_cube(point, CENTER, 0.12, mirror) == pytest.approx(np.array(uvz), abs=1e-9)


@pytest.mark.parametrize('mirror', [False, True])
def test_a_point_lands_on_its_pixel_of_the_crop(mirror):
    point = CENTER + (0.04, 0.02, 0.03)
    depth = np.zeros((240, 320), np.float32)
    u, v = np.round(CAMERA.project(point)).astype(int)
    depth[v - 1 : v + 2, u - 1 : u + 2] = point[2]
    crop = cut_cube(depth, CAMERA, CENTER, 0.12, 96, mirror)
    rows, columns = np.nonzero(crop < 1)
    expected = (camera_to_cube(point, CENTER, 0.12, mirror) + 1) / 2 * 96 - 0.5
    assert (columns.mean(), rows.mean()) == pytest.approx(expected[:2], abs=0.8)
    assert crop[crop < 1] == pytest.approx(0.03 / 0.12, abs=1e-5)


def test_mirrored_crop_is_the_mirror_image():
    depth = np.random.default_rng(0).uniform(0.4, 0.6, (240, 320)).astype(np.float32)
    center = np.array([0.0, 0.0, 0.5])
    plain, mirrored = (cut_cube(depth, CAMERA, center, 0.1, 96, mirror) for mirror in (False, True))
    assert (plain[:, ::-1] == mirrored).mean() > 0.95


def test_what_lies_outside_the_cube_is_background():
    depth = np.full((240, 320), 0.5, np.float32)
    depth[:100], depth[140:] = 0.9, 0.2
    depth[100:110] = 0
    crop = cut_cube(depth, CAMERA, np.array([0, 0, 0.5]), 0.1, 96)
    assert set(np.unique(crop)) == {0.0, 1.0}
    assert cut_cube(depth, CAMERA, np.array([3.0, 0, 0.5]), 0.1, 96).min() == 1


def test_a_child_and_an_adult_of_one_shape_give_one_crop():
    """Cubes scale with the hand: half the size at half the distance looks the same."""
    depth = np.random.default_rng(1).uniform(0.45, 0.55, (240, 320)).astype(np.float32)
    near = cut_cube(depth / 2, CAMERA, CENTER / 2, 0.05, 96)
    assert near == pytest.approx(cut_cube(depth, CAMERA, CENTER, 0.10, 96), abs=1e-4)


def test_size_and_center():
    joints = np.zeros((21, 3))
    joints[[5, 9, 13, 17], 1] = 0.09
    assert hand_size(joints) == pytest.approx(0.09)
    assert hand_center(joints) == pytest.approx([0, 4 * 0.09 / 21, 0])


@pytest.mark.parametrize('dtype, unit', [(np.uint16, 0.00025), (np.float32, 1.0)])
def test_pixels_become_meters_where_they_are_looked_at(dtype, unit):
    meters = np.random.default_rng(3).uniform(0, 1, (480, 640))
    pixels = (meters / unit).astype(dtype)
    if dtype is np.float32:
        pixels[::3, ::2], pixels[::5, ::7] = np.nan, np.inf
    view = DepthImage(pixels, unit, near=0.3, far=0.7)
    whole = depth_in_meters(pixels, unit, 0.3, 0.7)
    assert (view[100:200:3, ::5] == whole[100:200:3, ::5]).all() and view[:].dtype == np.float32
    assert (
        set(np.unique(whole > 0)) == {False, True} and whole.max() < 0.7 + 1e-6 and whole[whole > 0].min() > 0.3 - 1e-6
    )
    for mirror in (False, True):
        crop = cut_cube(view, CAMERA, CENTER, 0.12, 96, mirror, turn=0.4)
        assert (crop == cut_cube(whole, CAMERA, CENTER, 0.12, 96, mirror, turn=0.4)).all() and (crop < 1).any()
