"""Finding models: what is missing, damaged or unknown is named, with what to do."""

import hashlib
import json
import shutil

import pytest
import yaml

from hand_pose_ros.inference import models
from hand_pose_ros.inference.models import ModelError, find_model, read_manifest


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A models folder of the test's own, with a damaged file and a missing one."""
    (tmp_path / 'damaged.onnx').write_bytes(b'not what the manifest says')
    manifest = {
        'damaged': {'task': 'pose', 'file': 'damaged.onnx', 'sha256': '0' * 64, 'default': True},
        'missing': {'task': 'pose', 'file': 'missing.onnx', 'sha256': '0' * 64},
    }
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
        with pytest.raises(ModelError, match='manifest.yaml(: not a manifest| is damaged)'):
            find_model()


def test_the_quantized_version_is_found_beside_a_model_or_in_the_manifest(folder):
    (folder / 'own.onnx').write_bytes(b'network')
    model = find_model(str(folder / 'own.onnx'), '')
    assert model.file('f32') == model.path == folder / 'own.onnx'
    with pytest.raises(ModelError, match='own has no int8 version: make own.int8.onnx with'):
        model.file('int8')
    (folder / 'own.int8.onnx').write_bytes(b'quantized')
    assert find_model(str(folder / 'own.onnx'), '').file('int8') == folder / 'own.int8.onnx'
    entry = {
        'task': 'pose',
        'file': 'own.onnx',
        'sha256': hashlib.sha256(b'network').hexdigest(),
        'int8': {'file': 'own.int8.onnx', 'sha256': hashlib.sha256(b'quantized').hexdigest()},
    }
    (folder / 'manifest.yaml').write_text(yaml.safe_dump({'own': entry}))
    assert find_model('own').file('int8') == folder / 'own.int8.onnx'
    (folder / 'own.int8.onnx').write_bytes(b'of other weights')
    with pytest.raises(ModelError, match='own.int8.onnx is damaged'):
        find_model('own')


def test_a_file_is_calibrated_as_the_manifest_beside_it_says(folder):
    own = folder / 'own.onnx'
    own.write_bytes(b'network')
    entry = {
        'task': 'pose',
        'file': 'own.onnx',
        'sha256': hashlib.sha256(b'network').hexdigest(),
        'confidence': [6.5, 2.5],
    }
    (folder / 'manifest.yaml').write_text(yaml.safe_dump({'mine': entry}))
    assert find_model(str(own)).confidence == find_model('mine').confidence == (6.5, 2.5)
    assert find_model(str(own), '').task == find_model('mine', '').task == 'pose', 'any task'
    with pytest.raises(ModelError, match='own.onnx is for the task pose, and color_pose is asked for'):
        find_model(str(own), models.COLOR_POSE)
    own.write_bytes(b'other weights')
    with pytest.raises(ModelError, match=r'own.onnx: nothing says what this network is for'):
        find_model(str(own))


def test_a_copy_of_a_shipped_network_is_known_wherever_it_lies(tmp_path):
    for name, entry in read_manifest().items():
        if entry['task'] != models.POSE:
            continue
        path = tmp_path / f'copy_of_{name}.onnx'
        shutil.copy(find_model(name).path, path)
        copied, shipped = find_model(str(path)), find_model(name)
        assert (copied.task, copied.confidence, copied.presence) == (shipped.task, shipped.confidence, shipped.presence)


def test_a_file_says_itself_what_it_is_for(tmp_path):
    facts = json.dumps({'task': 'color_pose', 'confidence': [6.0, 2.0], 'presence': [-5.0, 5.0]}).encode()
    noted = field(14, field(1, b'other') + field(2, b'x')) + field(14, field(1, b'hand_pose_ros') + field(2, facts))
    (tmp_path / 'own.onnx').write_bytes(b'\x08\x0a' + field(7, bytes(1000)) + noted)
    model = find_model(str(tmp_path / 'own.onnx'), models.COLOR_POSE)
    assert (model.confidence, model.presence) == ((6.0, 2.0), (-5.0, 5.0))
    with pytest.raises(ModelError, match='for the task color_pose, and pose is asked for'):
        find_model(str(tmp_path / 'own.onnx'))


def field(number: int, data: bytes) -> bytes:
    """A field of a protobuf message, with its length."""
    size = len(data)
    length = bytes([size]) if size < 128 else bytes([size & 127 | 128, size >> 7])
    return bytes([number << 3 | 2]) + length + data
