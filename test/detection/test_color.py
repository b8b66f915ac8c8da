"""The color detector's coordinates: from the image to its cells and back."""

import numpy as np
import pytest
from color_cells import cells_of
from synthetic_hand import open_hand

from hand_pose_ros.detection.color import DETECTOR_INPUT, GRID, detect, letterbox, read_cells
from hand_pose_ros.geometry.camera import Camera
from hand_pose_ros.geometry.joints import hand_center, hand_size
from hand_pose_ros.regions.cube import CUBE_PER_HAND


@pytest.mark.parametrize('shape', [(480, 640), (720, 1280), (640, 360), (200, 200)])
def test_letterbox_and_back(shape):
    image = np.zeros((*shape, 3), np.uint8)
    image[shape[0] // 4 - 8 : shape[0] // 4 + 8, shape[1] // 3 - 8 : shape[1] // 3 + 8] = 255
    square, scale, start = letterbox(image)
    assert square.shape == (DETECTOR_INPUT, DETECTOR_INPUT, 3)
    rows, columns = np.nonzero(square[..., 0] > 128)
    back = (np.array([columns.mean(), rows.mean()]) - start + 0.5) * scale - 0.5
    assert np.abs(back - (shape[1] // 3 - 0.5, shape[0] // 4 - 0.5)).max() < scale
    camera = Camera(shape[1], shape[0], 400, 400, (shape[1] - 1) / 2, (shape[0] - 1) / 2)
    joints = open_hand('left', (0.02, -0.03, 0.8))
    (found,) = detect(image, lambda images: [cells_of([(joints, 'left', 0.8)], shape, camera)[None]])
    assert found.side == 'left' and found.score == pytest.approx(0.8, abs=1e-3)
    assert np.abs(found.center - camera.project(hand_center(joints)[None])[0]).max() < 0.05
    assert found.half == pytest.approx(
        CUBE_PER_HAND * hand_size(joints) * 400 / np.linalg.norm(hand_center(joints)), rel=0.01
    )


def test_a_detector_gets_red_green_blue():
    image = np.zeros((100, 100, 3), np.uint8)
    image[..., 0] = 255
    seen = []
    detect(image, lambda images: seen.append(images) or [np.full((1, 7, GRID, GRID), -9, np.float32)])
    assert seen[0][0, :, 128, 128] == pytest.approx([1, -1, -1])


def test_one_hand_is_found_once():
    out = np.full((7, GRID, GRID), -8, np.float32)
    out[2:4], out[4] = 0.5, np.log(0.3)
    out[0, 10, 10], out[0, 10, 11], out[0, 11, 10], out[0, 25, 25] = 3, 2.5, 1.0, 2.0
    out[1, 10, 10], out[1, 25, 25] = 0.4, -0.4
    found = read_cells(out, 0.35)
    assert [(one[3], round(one[4], 2)) for one in found] == [('right', 0.95), ('left', 0.88)]
    assert found[0][0] == pytest.approx((10.5 / GRID * 2 - 1,) * 2) and found[0][1] == pytest.approx(0.3)
