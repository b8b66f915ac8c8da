"""Compiled networks are cached in the user's own folder."""

import shutil
import stat
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from checkout import child_environment

from hand_pose_ros.inference.models import Model, find_model
from hand_pose_ros.inference.openvino import OpenVINOEngine
from hand_pose_ros.resources import cache_folder

pytest.importorskip('openvino', reason='OpenVINO is not installed')


@pytest.fixture
def model(tmp_path):
    """A network that no other test has loaded."""
    path = shutil.copy(find_model('center_refiner', '').path, tmp_path)
    return Model('own', Path(path), 'center')


def outputs(model):
    engine = OpenVINOEngine(model, 'f32', threads=1, batches=(1,))
    return engine(np.linspace(-1, 1, 64 * 64, dtype=np.float32).reshape(1, 1, 64, 64))[0]


def test_what_was_compiled_is_taken_again(monkeypatch, tmp_path, model):
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path))
    first = outputs(model)
    folder = tmp_path / 'hand_pose_ros' / 'openvino'
    (blob,) = folder.iterdir()
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700, 'nobody else may write what is loaded'
    written = blob.stat().st_mtime_ns
    assert np.array_equal(outputs(model), first) and blob.stat().st_mtime_ns == written
    blob.write_bytes(blob.read_bytes()[:1000])
    assert np.array_equal(outputs(model), first), 'a damaged one is compiled again'
    assert blob.stat().st_size > 1000


def test_without_a_place_for_it_nothing_is_cached(monkeypatch, tmp_path, model):
    (tmp_path / 'file').write_text('')
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'file'))
    assert cache_folder('openvino') is None and np.isfinite(outputs(model)).all()


@pytest.mark.skipif(not shutil.which('unshare'), reason='there is no unshare to run as an unknown user with')
def test_a_user_without_a_home_computes_without_a_cache():
    code = (
        'import os; from hand_pose_ros.inference.openvino import OpenVINOEngine; '
        'OpenVINOEngine.survey(); assert "HOME" not in os.environ'
    )
    variables = {name: value for name, value in child_environment().items() if name not in ('HOME', 'XDG_CACHE_HOME')}
    command = ['unshare', '-U', '--map-user=12345', sys.executable, '-c', code]
    result = subprocess.run(command, capture_output=True, text=True, env=variables)
    if 'unshare failed' in result.stderr:
        pytest.skip('this machine gives nobody a user namespace')
    assert result.returncode == 0, result.stderr
