"""Finding models and engines: what is missing, damaged or unknown is named, with what to do."""

import numpy as np
import pytest
import yaml

from hand_pose_ros.estimation import models
from hand_pose_ros.estimation.engines import EngineError, choose_engine, open_engine
from hand_pose_ros.estimation.models import CENTRE, POSE, ModelError, find_model
from hand_pose_ros.estimation.pose import POSE_INPUT, Cube, PoseEstimator
from hand_pose_ros.geometry.camera import Camera
from hand_pose_ros.localization.refiner import REFINER_INPUT


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A models folder of the test's own, with a damaged file and a missing one."""
    (tmp_path / 'damaged.onnx').write_bytes(b'not what the manifest says')
    manifest = {'damaged': {'task': 'pose', 'file': 'damaged.onnx', 'sha256': '0' * 64, 'default': True},
                'missing': {'task': 'pose', 'file': 'missing.onnx', 'sha256': '0' * 64}}
    (tmp_path / 'manifest.yaml').write_text(yaml.safe_dump(manifest))
    monkeypatch.setattr(models, 'resource_path', lambda *parts: tmp_path.joinpath(*parts[1:]))
    return tmp_path


def test_damaged_missing_and_unknown_models_are_named(folder):
    with pytest.raises(ModelError, match='damaged.onnx is damaged.*restore'):
        find_model()
    with pytest.raises(ModelError, match='missing.onnx is missing.*restore'):
        find_model('missing')
    with pytest.raises(ModelError, match="no pose model 'nonsense'.*damaged, missing"):
        find_model('nonsense')
    with pytest.raises(ModelError, match='nowhere.onnx does not exist'):
        find_model('nowhere.onnx')
    for text in ('- a list', 'a: [1', 'a: 1'):
        (folder / 'manifest.yaml').write_text(text)
        with pytest.raises(ModelError, match='manifest.yaml is damaged'):
            find_model()


@pytest.mark.parametrize('engine', ['openvino', 'onnxruntime'])
def test_a_file_that_is_no_network_is_named(engine, tmp_path):
    pytest.importorskip(engine)
    path = tmp_path / 'rubbish.onnx'
    path.write_bytes(b'rubbish')
    with pytest.raises(ModelError, match='rubbish.onnx is not a model'):
        open_engine(path, engine)


def test_engines_by_name(monkeypatch):
    assert choose_engine('auto') in ('openvino', 'onnxruntime')
    with pytest.raises(EngineError, match="'abacus' is not one of auto, openvino, onnxruntime"):
        choose_engine('abacus')
    monkeypatch.setattr('hand_pose_ros.estimation.engines.find_spec', lambda package: None)
    with pytest.raises(EngineError, match='pip install openvino'):
        choose_engine('auto')
    with pytest.raises(EngineError, match='pip install onnxruntime'):
        choose_engine('onnxruntime')


@pytest.mark.parametrize('engine', ['openvino', 'onnxruntime'])
@pytest.mark.parametrize('task, size', [(POSE, POSE_INPUT), (CENTRE, REFINER_INPUT)])
def test_shipped_models_take_any_batch_and_treat_its_crops_alone(engine, task, size):
    pytest.importorskip(engine)
    network = open_engine(find_model('', task).path, engine, 1)
    crops = np.random.default_rng(0).uniform(-1, 1, (3, 1, size, size)).astype(np.float32)
    together = network(crops)
    for i in range(3):
        for whole, alone in zip(together, network(crops[i:i + 1])):
            assert np.allclose(whole[i], alone[0], atol=1e-4)


def test_a_left_hand_is_estimated_as_the_mirror_image_of_a_right_one():
    camera = Camera(320, 240, 300, 300, 159.5, 119.5)
    depth = np.random.default_rng(0).uniform(0.45, 0.55, (240, 320)).astype(np.float32)
    estimator = PoseEstimator(threads=1)
    # Whole pixels on both sides of the principal column, so that nearest sampling mirrors exactly.
    right = Cube(np.array([10 / 300 * 0.5, 0, 0.5]), 0.09, 'right')
    left = Cube(np.array([-10 / 300 * 0.5, 0, 0.5]), 0.09, 'left')
    images = {'right': depth, 'left': np.ascontiguousarray(depth[:, ::-1])}
    poses = {}
    for cube in (right, left):
        crops = estimator.cut(images[cube.side], camera, [cube])
        poses[cube.side] = estimator.estimate(crops, [cube])[0], crops
    assert (poses['right'][1] == poses['left'][1]).mean() > 0.97
    mirrored = poses['left'][0].joints * (-1, 1, 1)
    assert np.linalg.norm(mirrored - poses['right'][0].joints, axis=1).mean() < 0.005
