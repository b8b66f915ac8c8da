"""Cameras: projection there and back, ROS descriptions, and what is refused."""

import numpy as np
import pytest

from hand_pose_ros.geometry.calibration import read_calibration
from hand_pose_ros.geometry.camera import Camera, CameraError

K = [500.0, 0, 320, 0, 510.0, 240, 0, 0, 1]


def test_projection_follows_the_optical_frame():
    camera = Camera.from_camera_info(640, 480, K)
    u, v = camera.project(np.array([0.1, -0.05, 0.5]))
    assert (u, v) == pytest.approx((320 + 500 * 0.2, 240 - 510 * 0.1))


@pytest.mark.parametrize(
    'd, model',
    [
        ((), ''),
        ((0.1, -0.05, 0.001, 0.002, 0.01), 'plumb_bob'),
        ((0.2, -0.1, 0.0, 0.001, 0.02, 0.1, 0.01, 0.0), 'rational_polynomial'),
    ],
)
def test_unproject_inverts_project(d, model):
    camera = Camera.from_camera_info(640, 480, K, d, model)
    points = np.random.default_rng(0).uniform((-0.15, -0.1, 0.4), (0.15, 0.1, 0.8), (50, 3))
    assert camera.unproject(camera.project(points), points[:, 2]) == pytest.approx(points, abs=2e-4)


def test_rectification_moves_a_distorted_pixel_to_where_the_pinhole_sees_it():
    import cv2

    camera = Camera.from_camera_info(640, 480, K, (0.2, 0, 0, 0, 0), 'plumb_bob')
    point = np.array([0.22, 0.12, 0.5])
    image = np.zeros((480, 640), np.float32)
    u, v = np.round(camera.project(point)).astype(int)
    cv2.circle(image, (int(u), int(v)), 2, 1.0, -1)
    rows, columns = np.nonzero(cv2.remap(image, *camera.rectification_maps(), cv2.INTER_NEAREST))
    assert (columns.mean(), rows.mean()) == pytest.approx(camera.pinhole().project(point), abs=1.0)


@pytest.mark.parametrize(
    'arguments, complaint',
    [
        ((640, 480, K, (0.1, 0, 0, 0), 'ds'), "'ds' is not supported"),
        ((640, 480, K, (0.1, 0, 0), 'equidistant'), 'four coefficients, not 3'),
        ((640, 480, K, (0.1, 0, 0, 0, 0.1), 'equidistant'), 'four coefficients, not 5'),
        ((640, 480, K, (0.1,) * 15, 'plumb_bob'), '15 coefficients'),
        ((640, 480, K, (float('nan'), 0, 0, 0, 0), 'plumb_bob'), 'not finite'),
        ((640, 480, K, (1e9, -1e12, 0, 0, 0), 'plumb_bob'), 'makes no sense'),
        ((640, 480, [500, 0, 9999, 0, 510, 240, 0, 0, 1]), 'far outside the image'),
        ((640, 480, [500, 0, 0, 0, 510, 0, 320, 240, 1]), 'last row of the camera matrix is 320, 240, 1'),
        ((640, 480, [500, 0, 320, 0, 510, 240, 0, 0, 0]), 'last row of the camera matrix is 0, 0, 0'),
        ((640, 480, [500, 0, 320, 0, 50, 240, 0, 0, 1]), 'differ more than 3 times'),
        ((640, 480, [50, 0, 320, 0, 500, 240, 0, 0, 1]), 'differ more than 3 times'),
        ((512, 424, [30000, 0, 256, 0, 30000, 212, 0, 0, 1]), 'sees 0.98 degrees across'),
        ((512, 424, [1e9, 0, 256, 0, 1e9, 212, 0, 0, 1]), 'must be in pixels'),
        ((0, 480, K), '0x480'),
        ((640, 480, [0.0] * 9), 'not calibrated'),
        ((640, 480, [1.0] * 6), 'needs 9'),
    ],
)
def test_unusable_descriptions_are_refused_by_name(arguments, complaint):
    with pytest.raises(CameraError, match=complaint):
        Camera.from_camera_info(*arguments)


@pytest.mark.parametrize(
    'k',
    [
        [500, 0, 320, 0, 250, 240, 0, 0, 1],  # binning of 2x1
        [500, 0, -220, 0, 500, -160, 0, 0, 1],  # a part of the sensor
        [12200, 0, 320, 0, 12200, 240, 0, 0, 1],  # 3 degrees
    ],
)
def test_unusual_cameras_are_usable(k):
    camera = Camera.from_camera_info(640, 480, k)
    assert (camera.fx, camera.fy, camera.cx, camera.cy) == (k[0], k[4], k[2], k[5])


@pytest.mark.parametrize('zeros', [0, 1, 4])
def test_fisheye_coefficients_behind_the_fourth_may_be_zero(zeros):
    camera = Camera.from_camera_info(640, 480, K, (0.01, 0.001, 0, 0, *[0.0] * zeros), 'equidistant')
    assert camera.fisheye and camera.distortion == (0.01, 0.001, 0, 0)


def test_zero_distortion_of_any_model_is_no_distortion():
    assert Camera.from_camera_info(640, 480, K, (0, 0, 0, 0), 'equidistant').distortion == ()


def test_yaml_round_trip_and_errors(tmp_path):
    path = tmp_path / 'camera_info.yaml'
    path.write_text(
        'image_width: 640\nimage_height: 480\ncamera_matrix: {rows: 3, cols: 3, data: [500, 0, 320, 0, 510, '
        '240, 0, 0, 1]}\ndistortion_model: plumb_bob\ndistortion_coefficients: {rows: 1, cols: 5, '
        'data: [0.1, 0, 0, 0, 0]}\n'
    )
    assert read_calibration(path).whole() == Camera(640, 480, 500, 510, 320, 240, (0.1, 0, 0, 0, 0))
    for text in ('image_width: 640', '- a list', '{', ''):
        path.write_text(text)
        with pytest.raises(CameraError, match='camera_info.yaml'):
            read_calibration(path)
    with pytest.raises(CameraError, match='nowhere.yaml'):
        read_calibration(tmp_path / 'nowhere.yaml')


def test_field_of_view():
    camera = Camera.from_field_of_view(640, 480, 60)
    left = camera.unproject(np.array([-0.5, 239.5]), np.array(1.0))
    assert np.degrees(np.arctan2(-left[0], left[2])) == pytest.approx(30, abs=0.01)
