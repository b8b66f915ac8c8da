"""Finding models: what is missing, damaged or unknown is named, with what to do; and what one makes of a crop."""

import hashlib

import numpy as np
import pytest
import yaml

from hand_pose_ros.estimation import models
from hand_pose_ros.estimation.models import ModelError, find_model
from hand_pose_ros.estimation.pose import Cube, Pose, PoseEstimator, merge
from hand_pose_ros.geometry.camera import Camera


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


def test_the_quantized_version_is_found_beside_a_model_or_in_the_manifest(folder):
    (folder / 'own.onnx').write_bytes(b'network')
    model = find_model(str(folder / 'own.onnx'))
    assert model.file('f32') == model.path == folder / 'own.onnx'
    with pytest.raises(ModelError, match='own has no int8 version: make own.int8.onnx with'):
        model.file('int8')
    (folder / 'own.int8.onnx').write_bytes(b'quantized')
    assert find_model(str(folder / 'own.onnx')).file('int8') == folder / 'own.int8.onnx'
    entry = {'task': 'pose', 'file': 'own.onnx', 'sha256': hashlib.sha256(b'network').hexdigest(),
             'int8': {'file': 'own.int8.onnx', 'sha256': hashlib.sha256(b'quantized').hexdigest()}}
    (folder / 'manifest.yaml').write_text(yaml.safe_dump({'own': entry}))
    assert find_model('own').file('int8') == folder / 'own.int8.onnx'
    (folder / 'own.int8.onnx').write_bytes(b'of other weights')
    with pytest.raises(ModelError, match='own.int8.onnx is damaged'):
        find_model('own')


def test_a_file_is_as_sure_of_itself_as_the_manifest_beside_it_says(folder):
    own = folder / 'own.onnx'
    own.write_bytes(b'network')
    entry = {'task': 'pose', 'file': 'own.onnx', 'sha256': hashlib.sha256(b'network').hexdigest(), 'confidence': [6.5, 2.5]}
    (folder / 'manifest.yaml').write_text(yaml.safe_dump({'mine': entry}))
    assert find_model(str(own)).confidence == find_model('mine').confidence == (6.5, 2.5)
    with pytest.raises(ModelError, match='own.onnx is for the task pose, and rgb_pose is asked for'):
        find_model(str(own), models.RGB_POSE)
    own.write_bytes(b'other weights')
    assert find_model(str(own)).confidence == models.Model.confidence
    alone = folder / 'alone'
    alone.mkdir()
    (alone / 'own.onnx').write_bytes(b'network')
    assert find_model(str(alone / 'own.onnx')).confidence == models.Model.confidence


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
        poses[cube.side] = estimator.estimate(crops, [cube])[0][0], crops
    assert (poses['right'][1] == poses['left'][1]).mean() > 0.97
    mirrored = poses['left'][0].joints * (-1, 1, 1)
    assert np.linalg.norm(mirrored - poses['right'][0].joints, axis=1).mean() < 0.005


class _NearestPixel:
    """A network that says of every joint that it is where the crop is nearest, and how it was shown it."""

    def __call__(self, crops):
        size = crops.shape[-1]
        rows, columns = np.unravel_index(crops.reshape(len(crops), -1).argmin(1), (size, size))
        place = np.stack([2 * (columns + 0.5) / size - 1, 2 * (rows + 0.5) / size - 1, crops.min((1, 2, 3))], 1)
        return np.repeat(place[:, None], 21, 1), np.full((len(crops), 21), 0.1), np.zeros(len(crops))


def test_a_crop_that_is_shown_turned_gives_joints_in_the_same_place():
    camera = Camera(320, 240, 300, 300, 159.5, 119.5)
    depth = np.full((240, 320), 0.52, np.float32)
    depth[100:104, 190:194] = 0.47
    estimator = PoseEstimator(threads=1)
    estimator.engine = _NearestPixel()
    cubes = [Cube(np.array([0.02, -0.01, 0.5]), 0.09, side) for side in ('right', 'left')]
    looks = estimator.estimate(estimator.cut(depth, camera, cubes), cubes, (0, 1, 2, 3))
    assert [len(poses) for poses in looks] == [4, 4]
    where = camera.unproject(np.array([191.5, 101.5]), 0.47)
    for poses in looks:
        for pose in poses:
            assert np.abs(pose.joints - where).max() < 0.006


def test_opinions_on_a_hand_count_by_their_certainty():
    def opinion(value, spread):
        return Pose(np.full((21, 3), value), np.full(21, value), value, np.full(21, spread), 0.5)

    merged = merge([opinion(0.0, 0.01), opinion(0.5, 0.01), opinion(1.0, 1e3)])
    assert np.allclose(merged.joints, 0.25) and np.allclose(merged.confidence, 0.5) and merged.side_odds == 0.5
    alone = opinion(0.3, 0.01)
    assert merge([alone]) is alone
    again = merge([alone, merged])
    assert [joints[0, 0] for joints, _ in again.opinions] == [0.3, 0.0, 0.5, 1.0], 'what was merged stays known'


def test_of_looks_that_differ_on_a_finger_those_that_agree_count():
    joints = np.random.default_rng(0).uniform(-0.1, 0.1, (21, 3)) + (0, 0, 0.5)
    near = [joints + np.random.default_rng(i + 1).normal(0, 0.001, (21, 3)) for i in range(4)]
    near[2][17:21] += (0.05, 0, 0)      # One look lays the little finger elsewhere, ...
    poses = [Pose(one, np.full(21, 0.8), 1.0, np.full(21, 0.01), 0.3) for one in near]
    merged = merge(poses).joints
    assert np.linalg.norm(merged - joints, axis=1).max() < 0.003
    assert np.allclose(merged[0], np.mean([one[0] for one in near], 0)), '... and counts for the wrist as before'
    sure = [Pose(one, np.full(21, 0.8), 1.0, np.full(21, 0.01 if i == 2 else 0.05), 0.3) for i, one in enumerate(near)]
    assert np.linalg.norm(merge(sure).joints[20] - near[2][20]) < 0.003, 'the only sure one has its way'
