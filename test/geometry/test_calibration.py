"""Calibrations as messages and files have them."""

import json
from types import SimpleNamespace

import numpy as np
import pytest

from hand_pose_ros.geometry.calibration import CameraDescription, read_calibration
from hand_pose_ros.geometry.camera import Camera, CameraError

K = (500.0, 0, 320.0, 0, 510.0, 240.0, 0, 0, 1)
EXPECTED = Camera(640, 480, 500.0, 510.0, 320.0, 240.0)


def describe(**changes):
    return CameraDescription(**{'width': 640, 'height': 480, 'k': K, **changes})


@pytest.mark.parametrize(
    ('model', 'd', 'expected'),
    [
        ('plumb_bob', (0.1, 0, 0, 0, 0, 0, 0, 0), (0.1, 0, 0, 0, 0)),
        ('', (0.1, 0.01, 0, 0, 0), (0.1, 0.01, 0, 0, 0)),
        ('rational_polynomial', (0.1, 0, 0, 0, 0, 0.2, 0, 0, 0, 0, 0, 0, 0, 0), (0.1, 0, 0, 0, 0, 0.2, 0, 0)),
        ('Brown Conrady', (0.1, 0, 0, 0), (0.1, 0, 0, 0)),
    ],
)
def test_models_that_are_equal_to_one_that_is_known(model, d, expected):
    camera = describe(d=d, distortion_model=model).camera(640, 480)
    assert camera.distortion == expected and not camera.fisheye


def test_a_fisheye_camera_sees_what_it_projects():
    camera = describe(d=(-0.002, 0.0376, -0.036, 0.006), distortion_model='equidistant').camera(640, 480)
    point = np.array([[0.2, -0.1, 0.5]])
    assert camera.fisheye and camera.unproject(camera.project(point), np.array([0.5])) == pytest.approx(point, abs=1e-6)
    maps = camera.rectification_maps()
    u, v = np.rint(camera.pinhole().project(point[0])).astype(int)
    assert (maps[0][v, u], maps[1][v, u]) == pytest.approx(tuple(camera.project(point)[0]), abs=1.0)


def test_rectified_images_are_of_the_pinhole_in_p():
    described = describe(
        d=(0.2, 0, 0, 0, 0), distortion_model='plumb_bob', p=(450, 0, 310, 0, 0, 460, 230, 0, 0, 0, 1, 0)
    )
    assert described.camera(640, 480, '/camera/image_rect') == Camera(640, 480, 450, 460, 310, 230)
    assert described.camera(640, 480, '/camera/image_raw').distortion == (0.2, 0, 0, 0, 0)


def test_binning_and_the_part_of_the_sensor():
    described = describe(width=1280, height=960, k=(1000.0, 0, 640.5, 0, 1020.0, 480.5, 0, 0, 1), binning=(2, 2))
    assert described.camera(640, 480) == Camera(640, 480, 500.0, 510.0, 320.0, 240.0)
    cut = describe(width=1280, height=960, k=(500.0, 0, 640.0, 0, 510.0, 480.0, 0, 0, 1), roi=(320, 240, 640, 480))
    assert cut.camera(640, 480) == EXPECTED
    assert cut.camera(1280, 960).cx == 640.0, 'an image of the whole sensor'
    assert cut.camera(100, 100).width == 1280, 'who asks compares the sizes'


def test_messages_of_both_ros_and_no_calibration():
    roi = SimpleNamespace(x_offset=0, y_offset=0, width=0, height=0)
    rest = {'width': 640, 'height': 480, 'distortion_model': '', 'binning_x': 0, 'binning_y': 0, 'roi': roi}
    one = SimpleNamespace(k=K, d=[], p=[0.0] * 12, **rest)
    other = SimpleNamespace(K=K, D=[], P=[0.0] * 12, **rest)
    assert CameraDescription.of(one) == CameraDescription.of(other)
    assert CameraDescription.of(one).camera(640, 480) == EXPECTED
    with pytest.raises(CameraError, match='not calibrated'):
        describe(k=(0.0,) * 9).camera(640, 480)
    assert describe(k=(0.0,) * 9).uncalibrated


def test_a_focus_that_moves_is_the_same_camera():
    assert EXPECTED.resembles(Camera(640, 480, 505.0, 514.0, 321.0, 240.0, (0.01, 0, 0, 0)))
    assert not EXPECTED.resembles(Camera(640, 480, 600.0, 612.0, 320.0, 240.0))
    assert not EXPECTED.resembles(Camera(320, 240, 500.0, 510.0, 320.0, 240.0))


FILES = {
    'echo.yaml': 'header: {frame_id: c}\nheight: 480\nwidth: 640\ndistortion_model: plumb_bob\nd: [0.0, 0.0]\n'
    f'k: {list(K)}\n---\nheight: 1\n',
    'kalibr.yaml': 'cam0:\n  camera_model: pinhole\n  intrinsics: [500, 510, 320, 240]\n  distortion_model: radtan\n'
    '  distortion_coeffs: [0, 0, 0, 0]\n  resolution: [640, 480]\n',
    'open3d.json': json.dumps({'width': 640, 'height': 480, 'intrinsic_matrix': [500, 0, 0, 0, 510, 0, 320, 240, 1]}),
    'opencv.yaml': '%YAML:1.0\n---\nimage_width: 640\nimage_height: 480\ncamera_matrix: !!opencv-matrix\n   rows: 3\n'
    f'   cols: 3\n   dt: d\n   data: [ {", ".join(map(str, map(float, K)))} ]\n',
}


@pytest.mark.parametrize('name', FILES)
def test_calibration_files_of_others(tmp_path, name):
    (tmp_path / name).write_text(FILES[name])
    assert read_calibration(tmp_path / name) == EXPECTED


@pytest.mark.parametrize('text', ['cam0: {intrinsics: [1]}', '%YAML:1.0\n---\nx: 1\n', '{"width": 3}', 'a: {b: 1}'])
def test_other_files_are_refused_by_name(tmp_path, text):
    (tmp_path / 'camera.yaml').write_text(text)
    with pytest.raises(CameraError, match='camera.yaml'):
        read_calibration(tmp_path / 'camera.yaml')
