"""`hand-pose doctor`: what it finds on machines that lack something, and on this one."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml
from checkout import ROOT, child_environment

from hand_pose_ros.cli import doctor
from hand_pose_ros.cli.doctor import Answer, examine, probe, report
from hand_pose_ros.hand_model.model import HandModelError
from hand_pose_ros.inference import engines


def missing_engine(message: str) -> Answer:
    line = f'hand_pose_ros.inference.base.EngineError: {message}'
    return Answer(error=line, output=f'Traceback (most recent call last):\n{line}')


WORKING = {
    'tensorrt': missing_engine('there is no NVIDIA GPU here'),
    'onnxruntime-cuda': missing_engine('there is no NVIDIA GPU here'),
    'openvino': Answer(['2026.4.1', ['CPU (bf16, f32, int8)']]),
    'onnxruntime': Answer(['1.31.1', ['CPU']]),
    'tracker': Answer('OpenVINO on CPU'),
    'cv_bridge': Answer({'encoding': 'mono8'}),
    'interfaces': Answer({}),
    'rclpy': Answer({'rmw': 'rmw_fastrtps_cpp', 'path': '/opt/ros/jazzy/rclpy/__init__.py'}),
}


def test_it_says_whether_mediapipes_networks_are_here(tmp_path):
    there, gone = doctor.examine_mediapipe(tmp_path), doctor.examine_mediapipe(None)
    assert there.state == 'ok' and str(tmp_path) in there.detail
    assert (gone.state, gone.needed_by) == ('note', '') and gone.remedy == 'hand-pose models get mediapipe'


def absent(module: str) -> Answer:
    line = f"ModuleNotFoundError: No module named '{module}'"
    return Answer(error=line, output=f'Traceback (most recent call last):\n{line}')


def machine(**changes: Answer):
    """Return a probe of a machine on which everything works but for these modules."""
    answers = {**WORKING, **changes}

    def ask(code: str) -> Answer:
        for name, known in {'interfaces': doctor._INTERFACES, 'tracker': doctor._TRACKER}.items():
            if code == known:
                return answers[name]
        if 'import survey' in code:
            return answers[code.split("'")[1]]
        if 'choose_models' in code:
            return Answer('auto: small for two hands')
        modules = code.split(';')[0].removeprefix('import ').split(' as ')[0].split(', ')
        return answers.get(modules[-1], Answer('1.0'))

    return ask


@pytest.fixture
def models(tmp_path, monkeypatch) -> Path:
    """A folder with two networks, their manifest and a hand model, as the package's own."""
    folder = tmp_path / 'models'
    folder.mkdir()
    entries = {}
    for name, data in {'pose': b'network', 'center': b'refinement'}.items():
        (folder / f'{name}.onnx').write_bytes(data)
        entries[name] = {
            'file': f'{name}.onnx',
            'sha256': hashlib.sha256(data).hexdigest(),
            'task': name,
            'default': True,
        }
    (folder / 'manifest.yaml').write_text(yaml.safe_dump(entries))
    monkeypatch.setattr('hand_pose_ros.inference.models.resource_path', lambda *parts: tmp_path.joinpath(*parts))
    hand = SimpleNamespace(vertices=range(778), shape_size=10)
    monkeypatch.setattr('hand_pose_ros.hand_model.model.load_hand_model', lambda: hand)
    return folder


def finding(result: dict, name: str) -> dict:
    return next(each for each in result['findings'] if each['name'] == name)


def test_a_complete_machine(models):
    result = examine({'ROS_DISTRO': 'jazzy', 'AMENT_PREFIX_PATH': '/opt/ros/jazzy'}, machine())
    assert result['can_track'] and result['can_run_node'] and result['engine'] == 'openvino'
    assert finding(result, 'ROS')['detail'].startswith('jazzy, sourced, rmw_fastrtps_cpp')
    assert {
        finding(result, name)['state']
        for name in ('pose', 'center', 'hand model', 'cv_bridge', 'openvino', 'numpy', 'tracker')
    } == {'ok'}
    assert finding(result, 'auto, depth')['detail'] == 'auto: small for two hands'
    assert report(result).endswith('The tracker runs here, on openvino.')


def test_without_ros_recordings_can_be_tracked(models):
    result = examine({}, machine(rclpy=absent('rclpy')))
    assert result['can_track'] and not result['can_run_node']
    assert 'make setup' in finding(result, 'ROS')['remedy']
    assert report(result).endswith('`hand-pose track` works here; the ROS nodes do not: ROS missing, see above.')


def test_a_lacking_interface_package_stops_the_nodes(models):
    lacking = Answer({'tf2_msgs': "ModuleNotFoundError: No module named 'tf2_msgs'"})
    result = examine({'ROS_DISTRO': 'jazzy', 'AMENT_PREFIX_PATH': '/x'}, machine(interfaces=lacking))
    assert result['can_track'] and not result['can_run_node']
    assert 'rosdep install' in finding(result, 'tf2_msgs')['remedy']


def test_the_gpu_is_taken_where_an_engine_for_it_works(models):
    result = examine({}, machine(tensorrt=Answer(['11.4.0.106', ['Some GPU']])))
    assert result['engine'] == 'tensorrt'
    assert finding(result, 'tensorrt')['detail'] == '11.4.0.106, Some GPU; used by default'
    result = examine({}, machine())
    assert finding(result, 'tensorrt') == {
        'name': 'tensorrt',
        'state': 'note',
        'remedy': '',
        'needed_by': '',
        'detail': 'there is no NVIDIA GPU here',
    }


def test_this_machines_engines_are_those_of_the_tracker():
    findings, chosen = doctor.examine_engines(probe, '')
    assert tuple(each.name for each in findings) == engines.AUTO and chosen
    assert next(each for each in findings if each.name == chosen).state == 'ok'


def test_the_other_engine_is_taken(models):
    result = examine({}, machine(openvino=missing_engine('openvino is not installed')))
    assert result['engine'] == 'onnxruntime' and result['can_run_node']
    assert finding(result, 'openvino')['state'] == 'note'
    assert finding(result, 'onnxruntime')['detail'].endswith('used by default')


def test_an_engine_that_is_installed_but_broken_would_be_taken(models):
    result = examine({}, machine(openvino=Answer(error='crashes (signal 4)')))
    assert not result['can_track']
    found = finding(result, 'openvino')
    assert found['detail'] == 'crashes (signal 4)' and 'pip uninstall openvino' in found['remedy']


def test_no_engine(models):
    result = examine(
        {},
        machine(
            openvino=missing_engine('openvino is not installed'),
            onnxruntime=missing_engine('onnxruntime is not installed'),
        ),
    )
    assert not result['can_track'] and result['engine'] == ''
    assert report(result).endswith('The tracker cannot run here: openvino, onnxruntime missing, see above.')


def test_a_tracker_that_does_not_start(models):
    result = examine({}, machine(tracker=Answer(error='ModelError: pose.onnx is not a model')))
    assert not result['can_track']
    assert 'pose.onnx is not a model' in finding(result, 'tracker')['detail']


@pytest.mark.parametrize(
    'answer, words',
    [
        (
            Answer(
                error='ImportError: numpy.core.multiarray failed to import',
                output='AttributeError: _ARRAY_API not found\nImportError: numpy.core.multiarray failed to import',
            ),
            'built for NumPy 1',
        ),
        (
            Answer(
                error='crashes (signal 11)',
                output='A module that was compiled using NumPy 1.x cannot be run in NumPy 2',
            ),
            'built for NumPy 1',
        ),
        (absent('cv_bridge'), 'not installed'),
        (Answer(error='ImportError: libopencv_core.so.406'), 'fails: ImportError: libopencv_core.so.406'),
    ],
)
def test_trouble_with_cv_bridge_is_named_and_stops_nothing(models, answer, words):
    result = examine({'ROS_DISTRO': 'jazzy', 'AMENT_PREFIX_PATH': '/x'}, machine(cv_bridge=answer))
    assert result['can_run_node']
    found = finding(result, 'cv_bridge')
    assert words in found['detail'] and 'encodings' in found['detail'] and found['remedy']


def test_a_damaged_and_a_missing_model(models):
    (models / 'pose.onnx').write_bytes(b'networ')
    (models / 'center.onnx').unlink()
    result = examine({}, machine())
    assert not result['can_track']
    assert f'{models / "pose.onnx"} is damaged' in finding(result, 'pose')['detail']
    assert f'{models / "center.onnx"} is missing' in finding(result, 'center')['detail']


def test_a_missing_hand_model(models, monkeypatch):
    def refuse():
        raise HandModelError('hand_model.npz: no such hand model file')

    monkeypatch.setattr('hand_pose_ros.hand_model.model.load_hand_model', refuse)
    result = examine({}, machine())
    assert not result['can_track'] and 'no such hand model' in finding(result, 'hand model')['detail']


@pytest.mark.parametrize('text', ['', 'models: {', 'just words'])
def test_a_damaged_manifest(models, text):
    (models / 'manifest.yaml').write_text(text)
    result = examine({}, machine())
    assert not result['can_track'] and str(models / 'manifest.yaml') in finding(result, 'models')['detail']


def test_no_manifest(models):
    (models / 'manifest.yaml').unlink()
    assert not examine({}, machine())['can_track']


def test_a_probe_that_crashes_does_not_take_the_doctor_along():
    assert probe('import os; os.abort()').error == 'crashes (signal 6)'
    assert probe('import no_such_module').error == "ModuleNotFoundError: No module named 'no_such_module'"
    assert probe('print("noise"); answer({"a": 1})').value == {'a': 1}
    assert probe('import sys; sys.exit(3)').error == 'exit code 3'


def test_what_other_packages_print_is_no_answer():
    code = 'import atexit; atexit.register(print, 3); print(b"\\xff"); answer([1]); print("bye")'
    assert probe(code).value == [1]
    assert probe('import sys; sys.stdout.buffer.write(b"\\xff\\n"); answer("a")').value == 'a'
    assert probe('print(1)').error == 'exit code 0'


@pytest.mark.parametrize(
    'content, words', [('garbage', 'cannot be run: Exec format error'), ('#!/bin/sh\nprintf "\\377 GPU"', '\ufffd GPU')]
)
def test_a_tool_of_the_gpu_that_is_broken_is_noted(tmp_path, monkeypatch, content, words):
    tool = tmp_path / 'nvidia-smi'
    tool.write_text(content)
    tool.chmod(0o755)
    monkeypatch.setenv('PATH', str(tmp_path), prepend=':')
    assert words in doctor.examine_gpu().detail


@pytest.mark.parametrize('error', [SystemExit(3), RuntimeError('of its own'), OSError(5, 'Input/output error')])
def test_a_part_that_cannot_be_examined_leaves_the_rest_of_the_report(models, monkeypatch, error):
    def fail(*_):
        raise error

    for name in ('examine_machine', 'examine_libraries', 'examine_ros', 'examine_engines', 'examine_models'):
        with monkeypatch.context() as patch:
            patch.setattr(doctor, name, fail)
            result = examine({}, machine())
        failed = [one for one in result['findings'] if 'cannot be examined' in one['detail']]
        assert len(failed) == 1 and failed[0]['needed_by'] and len(result['findings']) > 5, name
        assert result['can_track'] is (name == 'examine_ros') and not result['can_run_node']
        assert failed[0]['name'] in report(result)


@pytest.mark.parametrize(
    'module, line', [('yaml', 'raise ImportError("broken yaml")'), ('numpy', 'import sys; sys.exit(3)')]
)
def test_a_broken_library_is_in_the_report(tmp_path, module, line):
    (tmp_path / f'{module}.py').write_text(line)
    result = subprocess.run(
        [sys.executable, '-m', 'hand_pose_ros.cli.main', 'doctor'],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=child_environment(PYTHONPATH=str(tmp_path)),
    )
    assert result.returncode == 1 and 'Traceback' not in result.stderr
    assert '[ ok ] Python' in result.stdout and 'The tracker cannot run here' in result.stdout
    assert f'[MISS] {module}' in result.stdout and 'unset PYTHONPATH' in result.stdout


@pytest.mark.slow  # it loads and times every network
def test_this_machine_in_json():
    result = subprocess.run(
        [sys.executable, '-m', 'hand_pose_ros.cli.main', 'doctor', '--json'],
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    found = json.loads(result.stdout)
    assert result.returncode == (0 if found['can_run_node'] else 1), result.stderr
    assert {finding(found, name)['state'] for name in ('Python', 'numpy', 'cv2', 'yaml')} == {'ok'}
    assert all(each['remedy'] or each['detail'] for each in found['findings'] if each['state'] == 'missing')
