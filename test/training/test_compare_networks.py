"""The comparison of depth networks: which crops are hard, its table and its picture."""

import numpy as np
import pytest

pytest.importorskip('torch', reason='training requirements are not installed: make setup-training')
pytest.importorskip('onnx', reason='training requirements are not installed: make setup-training')

from hand_pose_ros.inference.models import read_manifest
from hand_pose_ros.resources import resource_path
from training.evaluation import comparison


def test_crops_are_hard_where_the_hand_hides_many_of_its_joints():
    joints = np.zeros((2, 21, 3))
    joints[:, :, 0] = np.linspace(-0.9, 0.9, 21)
    crops = np.ones((2, 96, 96), np.float32)
    crops[:, 40:56] = -0.03 / 0.13  # 30 mm before the joints
    crops[1, :, :66] = 1  # Before most of the second one's joints there is nothing.
    assert comparison.hard_crops(crops, joints, np.array([0.13, 0.13])).tolist() == [True, False]


def test_the_table_has_what_the_manifest_and_the_validation_set_say(monkeypatch):
    rng = np.random.default_rng(0)
    data = (rng.uniform(-1, 1, (6, 96, 96)).astype(np.float32), np.zeros((6, 21, 3), np.float32), np.full(6, 0.13))
    monkeypatch.setattr(comparison, 'validation_set', lambda size: data)
    monkeypatch.setattr(comparison, 'hard_crops', lambda *_: np.arange(5) < 2)
    row = comparison.compare(['jgr_p2o'], 5).splitlines()[-1].split(' | ')
    entry = read_manifest()['jgr_p2o']
    assert row[:4] == ['| jgr_p2o', f'{entry["parameters"]:,}', '6.3 MB', f'{entry["training"]["images"]:,}']
    assert all(float(cell.split()[0]) > 0 for cell in row[4:9])


def test_frames_are_drawn_one_row_a_model():
    picture = comparison.draw(['jgr_p2o', 'jgr_p2o'], resource_path('demo', 'clip'), 0.001, 100)
    side = comparison.TILE
    assert picture.shape == (2 * side, comparison.ROW * side, 3)
    assert np.array_equal(picture[:side], picture[side:])
    assert picture[:side, : 3 * side].std() > 20 and not picture[:side, 3 * side :].any()
