"""Calibrations as messages and files have them."""

import json
from types import SimpleNamespace

import numpy as np
import pytest

from hand_pose_ros.geometry.calibration import CameraDescription, camera_of, is_rectified, read_calibration
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
    for topic in ('/camera/image_rect', '/camera/image_rect/compressedDepth', 'rgb/color/rect/image'):
        assert described.camera(640, 480, topic) == Camera(640, 480, 450, 460, 310, 230)
    assert describe(p=described.p).camera(640, 480, 'left/image_rect').fx == 450, 'a stereo pair without distortion'
    for unknown in ((0.0,) * 12, (1.0, 0, 0, 0, 0, 1.0, 0, 0, 0, 0, 1.0, 0)):
        assert describe(p=unknown).camera(640, 480, 'left/image_rect') == EXPECTED, 'no P'
    with pytest.raises(CameraError, match='last row'):
        describe(k=(500.0, 0, 0, 0, 510.0, 0, 320.0, 240.0, 1), p=described.p).camera(640, 480, 'left/image_rect')
    assert described.camera(640, 480, '/camera/image_raw').distortion == (0.2, 0, 0, 0, 0)


@pytest.mark.parametrize(
    ('topic', 'expected'),
    [
        ('/camera/image_rect', True),
        ('/camera/image_rect_color', True),
        ('/camera/depth/image_rect_raw', True),
        ('/camera/depth/image_rect/compressedDepth', True),
        ('/kinect2/qhd/image_color_rect/compressed', True),
        ('/zed/zed_node/rgb/color/rect/image', True),
        ('/zed/zed_node/left/color/rect/image/compressed', True),
        ('/camera_raw/image_rectified', True),
        ('', False),
        ('/camera/image_raw', False),
        ('/camera/image_raw/compressed', False),
        ('/rect/camera/image_raw', False),
        ('/camera/rect/unrectified', False),
        ('/camera/image_unrectified', False),
        ('/rectangle/image', False),
        ('/camera/direct/image', False),
    ],
)
def test_names_of_rectified_images(topic, expected):
    assert is_rectified(topic) == expected


def test_binning_and_the_part_of_the_sensor():
    described = describe(width=1280, height=960, k=(1000.0, 0, 640.5, 0, 1020.0, 480.5, 0, 0, 1), binning=(2, 2))
    assert described.camera(640, 480) == Camera(640, 480, 500.0, 510.0, 320.0, 240.0)
    cut = describe(width=1280, height=960, k=(500.0, 0, 640.0, 0, 510.0, 480.0, 0, 0, 1), roi=(320, 240, 640, 480))
    assert cut.camera(640, 480) == EXPECTED
    assert cut.camera(1280, 960).cx == 640.0, 'an image of the whole sensor'
    assert cut.camera(100, 100).width == 1280, 'who asks compares the sizes'
    across = describe(width=1280, k=(1000.0, 0, 640.5, 0, 510.0, 240.0, 0, 0, 1), binning=(2, 1))
    assert across.camera(640, 480) == EXPECTED
    aside = describe(width=1280, height=960, k=(500.0, 0, 100.0, 0, 500.0, 80.0, 0, 0, 1), roi=(320, 240, 640, 480))
    assert aside.camera(640, 480) == Camera(640, 480, 500.0, 500.0, -220.0, -160.0), 'a center beside the part'


def test_a_center_in_the_corner_is_no_calibration_unless_a_part_of_the_sensor_explains_it():
    corner = (500.0, 0, 0, 0, 510.0, 0, 0, 0, 1)
    with pytest.raises(CameraError, match='a corner of the image'):
        describe(k=corner).camera(640, 480)
    with pytest.raises(CameraError, match='projection matrix p, .* a corner of the image'):
        describe(p=(500, 0, 0, 0, 0, 500, 0, 0, 0, 0, 1, 0)).camera(640, 480, 'image_rect')
    assert describe(k=corner, roi=(320, 240, 640, 480)).camera(640, 480).cx == 0


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


ECHO = f"""header: {{frame_id: c}}
height: 480
width: 640
distortion_model: plumb_bob
d: [0.0, 0.0]
k: {list(K)}
---
height: 1
"""
KALIBR = """cam0:
  camera_model: pinhole
  intrinsics: [500, 510, 320, 240]
  distortion_model: radtan
  distortion_coeffs: [0, 0, 0, 0]
  resolution: [640, 480]
"""
OTHER_KALIBR = 'cam1:\n  camera_model: pinhole\n  intrinsics: [300, 300, 320, 240]\n  resolution: [640, 480]\n'
OPENCV = f"""%YAML:1.0
---
image_width: 640
image_height: 480
camera_matrix: !!opencv-matrix
   rows: 3
   cols: 3
   dt: d
   data: [ {', '.join(map(str, map(float, K)))} ]
"""
FISHEYE = """fisheye_model: 1
distortion_coefficients: !!opencv-matrix
   rows: 1
   cols: 4
   dt: d
   data: [ -0.02, 0.01, -0.003, 0.001 ]
"""


def open3d(matrix):
    return json.dumps({'width': 640, 'height': 480, 'intrinsic_matrix': matrix})


def opencv_json(matrix, distortion, data):
    return json.dumps({'image_width': 640, 'image_height': 480, matrix: data, distortion: {'data': [0.0] * 5}})


FILES = {
    'echo.yaml': ECHO,
    'kalibr.yaml': KALIBR,
    'kalibr_turned.yaml': OTHER_KALIBR + KALIBR,
    'open3d.json': open3d([500, 0, 0, 0, 510, 0, 320, 240, 1]),
    'open3d_inside.json': f'{{"intrinsic": {open3d([500, 0, 0, 0, 510, 0, 320, 240, 1])}}}',
    'rows.json': open3d([[500, 0, 320], [0, 510, 240], [0, 0, 1]]),
    'flat_rows.json': open3d(list(K)),
    'opencv.yaml': OPENCV,
    'opencv.json': opencv_json('camera_matrix', 'dist_coeffs', {'type_id': 'opencv-matrix', 'data': list(K)}),
    'opencv_rows.json': opencv_json('cameraMatrix', 'distCoeffs', [K[:3], K[3:6], K[6:]]),
}


@pytest.mark.parametrize('name', FILES)
def test_calibration_files_of_others(tmp_path, name):
    (tmp_path / name).write_text(FILES[name])
    described = read_calibration(tmp_path / name)
    assert described.whole() == EXPECTED
    assert ('cam0, cam1' in described.note) == (name == 'kalibr_turned.yaml'), 'the one of several is named'


def test_fisheye_files_of_opencv(tmp_path):
    (tmp_path / 'camera.yaml').write_text(OPENCV + FISHEYE)
    camera = read_calibration(tmp_path / 'camera.yaml').whole()
    assert camera.fisheye and camera.distortion == (-0.02, 0.01, -0.003, 0.001)
    (tmp_path / 'camera.yaml').write_text(OPENCV + FISHEYE.replace('model: 1', 'model: 0'))
    assert not read_calibration(tmp_path / 'camera.yaml').whole().fisheye


def test_files_hold_what_messages_hold(tmp_path):
    path = tmp_path / 'camera.yaml'
    projection = [450.0, 0, 310.0, 0, 0, 460.0, 230.0, 0, 0, 0, 1, 0]
    path.write_text(ECHO.replace('---', f'p: {projection}\nbinning_x: 2\nbinning_y: 2\nroi: {{x_offset: 40, y_offset: '
                                 '20, width: 320, height: 240, do_rectify: false}\n---'))  # fmt: skip
    described = read_calibration(path)
    assert described.camera(640, 480, 'image_rect') == Camera(640, 480, 450, 460, 310, 230)
    assert camera_of(described, 160, 120) == Camera(160, 120, 250, 255, 139.75, 109.75)
    assert camera_of(EXPECTED, 160, 120) == EXPECTED, 'one that is given stays as it is'
    path.write_text(
        f'image_width: 640\nimage_height: 480\ncamera_matrix: {{data: {list(K)}}}\n'
        f'projection_matrix: {{rows: 3, cols: 4, data: {projection}}}\n'
    )
    assert read_calibration(path).camera(640, 480, 'image_rect') == Camera(640, 480, 450, 460, 310, 230)


@pytest.mark.parametrize(
    ('text', 'complaint'),
    [
        (ECHO.replace(str(list(K)), '[500, 0, 0, 0, 510, 0, 320, 240, 1]'), 'last row .* is 320, 240, 1'),
        (ECHO.replace('320.0', '0').replace('240.0', '0'), 'corner'),
        (ECHO.replace(str(list(K)), '[0, 0, 0, 0, 0, 0, 0, 0, 0]'), 'all zero'),
        ('{"image_width": 640}', 'lacks the camera matrix'),
    ],
)
def test_files_of_no_camera_are_refused(tmp_path, text, complaint):
    (tmp_path / 'camera.yaml').write_text(text)
    with pytest.raises(CameraError, match=complaint):
        read_calibration(tmp_path / 'camera.yaml')


@pytest.mark.parametrize('text', ['cam0: {intrinsics: [1]}', '%YAML:1.0\n---\nx: 1\n', '{"width": 3}', 'a: {b: 1}'])
def test_other_files_are_refused_by_name(tmp_path, text):
    (tmp_path / 'camera.yaml').write_text(text)
    with pytest.raises(CameraError, match='camera.yaml'):
        read_calibration(tmp_path / 'camera.yaml')
