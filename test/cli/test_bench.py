"""``hand-pose bench``: every figure that it promises, from the process and from the topics."""

import json
import sys

import numpy as np
import pytest
from known_hands import KnownTracker
from stub_tracker_node import StubTracker, stand_in, write_clip

from hand_pose_ros.cli import measure, peers
from hand_pose_ros.cli.clip import Clip, load_clip
from hand_pose_ros.cli.main import main
from hand_pose_ros.inference.engines import EngineError
from hand_pose_ros.resources import resource_path
from hand_pose_ros.tracking.model_choice import ModelChoice


@pytest.fixture
def clip(tmp_path, monkeypatch):
    monkeypatch.setattr('hand_pose_ros.tracking.factory.make_tracker', StubTracker)
    monkeypatch.setattr('hand_pose_ros.tracking.model_choice.choose_models', ModelChoice.of)
    write_clip(tmp_path / 'clip')
    return tmp_path / 'clip'


def run(capsys, *arguments):
    assert main(['bench', *map(str, arguments)]) == 0
    return capsys.readouterr().out


@pytest.mark.ros
def test_every_figure_is_there_with_ros(clip, monkeypatch, capsys):
    stand_in(monkeypatch)
    monkeypatch.setattr(
        measure, 'CONFIG', measure.BenchConfig(start_limit_s=120.0)
    )  # A test machine may be busy with other things.
    result = json.loads(run(capsys, '--json', '--clip', clip, '--frames', 20, '--threads', 2))
    assert {
        'machine',
        'engine',
        'model',
        'threads',
        'stages_ms',
        'pipeline_ms',
        'image_to_joints_ms',
        'peak_rss_mb',
    } <= set(result)
    stages = result['stages_ms']
    assert list(stages) == ['localize', 'crop', 'network', 'hand_model', 'messages']
    assert list(stages.values())[:4] == [1.0, 2.0, 3.0, 4.0], 'seconds became milliseconds'
    assert stages['messages'] > 0
    assert 0 < result['pipeline_ms']['median'] <= result['pipeline_ms']['p95']
    assert 'image_to_joints_reason' not in result and 0 < result['start_to_first_hand_s'] < 200
    assert 0 < result['image_to_joints_ms']['median'] <= result['image_to_joints_ms']['p95']
    assert result['engine'].startswith('stub engine') and result['model'] == 'stub' and result['threads'] == 2
    assert result['peak_rss_mb'] > 20 and 0 < result['node_cores'] < 64


def test_without_ros_the_topics_are_null_with_a_reason(clip, monkeypatch, capsys):
    monkeypatch.setattr(measure, 'message_maker', lambda: (None, 'no rclpy here'))
    result = json.loads(run(capsys, '--json', '--clip', clip, '--frames', 3))
    assert result['image_to_joints_ms'] is None and result['image_to_joints_reason'] == 'no rclpy here'
    assert result['stages_ms']['messages'] is None and result['stages_ms']['network'] == 3.0
    table = run(capsys, '--clip', clip, '--frames', 3)
    assert 'no rclpy here' in table and 'network' in table and 'stub engine' in table


def test_a_middleware_that_is_not_here_is_the_reason(monkeypatch):
    monkeypatch.setenv('RMW_IMPLEMENTATION', 'rmw_nowhere_cpp')
    make_messages, reason = measure.message_maker()
    assert make_messages is None and 'RMW_IMPLEMENTATION names rmw_nowhere_cpp' in reason


@pytest.mark.ros
def test_a_node_that_cannot_start_is_the_reason(clip, monkeypatch, capsys):
    stand_in(monkeypatch)
    monkeypatch.setenv('STUB_TRACKER', 'exit')
    monkeypatch.setattr('hand_pose_ros.tracking.factory.make_tracker', KnownTracker)  # this process's own does start
    result = json.loads(run(capsys, '--json', '--clip', clip, '--frames', 2))
    assert result['image_to_joints_ms'] is None and 'code 3' in result['image_to_joints_reason']


def test_frames_are_measured_at_640x480_in_millimeters(clip):
    loaded = load_clip(clip, None, 4)
    pixels = loaded.frames[1].depth.pixels
    assert len(loaded.frames) == 4 and pixels.shape == (480, 640) and pixels.dtype == 'uint16'
    assert pixels[0, 0] == 1001 and loaded.frames[1].color is None and loaded.modality == 'depth'
    camera = loaded.frames[0].camera
    assert (camera.fx, camera.cx, camera.cy) == (580.0, 319.5, 239.5)


def test_color_frames_are_measured_as_they_are():
    for path, modality in ((resource_path('demo', 'color'), None), (None, 'color')):
        loaded = load_clip(path, modality, 2)
        frame = loaded.frames[1]
        assert frame.color.shape == (480, 640, 3) and frame.color.dtype == 'uint8' and frame.depth is None
        assert loaded.modality == 'color' and len(loaded.frames) == 2


def test_the_bundled_clips_together_are_color_with_depth():
    loaded, depth = load_clip(None, 'rgbd', 3), load_clip(None, 'depth', 5)
    assert loaded.modality == 'rgbd' and len(loaded.frames) == 3
    for index, frame in enumerate(loaded.frames):  # Color at 15 Hz, depth at 30 Hz.
        assert frame.color.shape == (480, 640, 3)
        assert np.array_equal(frame.depth.pixels, depth.frames[2 * index].depth.pixels)


def test_a_clip_is_repeated_without_a_jump():
    from itertools import islice

    assert list(islice(Clip('color', [0, 1, 2, 3]).forth_and_back(), 9)) == [0, 1, 2, 3, 2, 1, 0, 1, 2]
    assert list(islice(Clip('color', [7]).forth_and_back(), 3)) == [7, 7, 7]


def test_engines_precisions_and_models_are_compared(clip, monkeypatch, capsys):
    monkeypatch.setattr(measure, 'message_maker', lambda: (None, 'no rclpy here'))

    class Choosy(StubTracker):
        def __init__(self, settings):
            if settings.models.engine == 'tensorrt':
                raise EngineError('there is no TensorRT here')
            super().__init__(settings)

    monkeypatch.setattr('hand_pose_ros.tracking.factory.make_tracker', Choosy)
    result = json.loads(
        run(capsys, '--json', '--clip', clip, '--frames', 2, '--compare', 'tensorrt', 'openvino', 'f32', 'int8')
    )
    rows = {(row['engine'], row['precision']): row for row in result['comparison']}
    assert set(rows) == {(e, p) for e in ('tensorrt', 'openvino') for p in ('f32', 'int8')}
    assert rows['tensorrt', 'f32']['reason'] == 'there is no TensorRT here'
    assert rows['openvino', 'int8']['network_ms'] == 3.0 and rows['openvino', 'int8']['pipeline_ms']['median'] > 0
    assert 'no TensorRT here' in run(capsys, '--clip', clip, '--frames', 2, '--compare', 'tensorrt', 'f32')
    assert main(['bench', '--clip', str(clip), '--frames', '2', '--compare', 'quick']) == 2
    assert 'quick' in capsys.readouterr().err


@pytest.mark.ros
def test_what_each_stage_and_output_costs(clip, monkeypatch, capsys):
    monkeypatch.setattr(
        measure, 'measure_topics', lambda *_: {'image_to_joints_ms': None, 'image_to_joints_reason': '-'}
    )
    result = json.loads(run(capsys, '--json', '--clip', clip, '--frames', 5))
    for stage in StubTracker.stage_seconds:
        assert result['pipeline_without_ms'][stage] == pytest.approx(
            result['pipeline_ms']['median'] - result['stages_ms'][stage], abs=2e-3
        )
    pytest.importorskip('rclpy', reason='ROS is not available to this Python')
    assert set(result['messages_ms']) == {'joints', 'joint_states', 'keypoints', 'tf', 'markers'}
    assert 0 < sum(result['messages_ms'].values()) < 2 * result['stages_ms']['messages'] + 1


def test_a_peer_is_timed_in_a_process_of_its_own(clip, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(measure, 'message_maker', lambda: (None, 'no rclpy here'))
    module = tmp_path / 'mediapipe'
    module.mkdir()
    (module / '__init__.py').write_text(
        '__version__ = "0"\n'
        'class solutions:\n    class hands:\n        class Hands:\n'
        '            def __init__(self, max_num_hands): assert max_num_hands == 2\n'
        '            def process(self, image):\n'
        '                assert image.shape == (480, 640, 3)\n'
        '                return type("R", (), {"multi_hand_landmarks": [1]})\n'
    )
    monkeypatch.setenv('PYTHONPATH', str(tmp_path))
    here = ('--peer', 'mediapipe', '--peer-python', sys.executable)
    monkeypatch.setattr(peers, 'TURNS', 2)
    peer = json.loads(run(capsys, '--json', '--clip', clip, '--frames', 3, *here))['peers'][0]
    assert len(peer['ratios']) == 2 and peer['ratio'] > 0 and peer['pipeline_ms'] > 0
    assert peer['frames'] == 3 and peer['frames_with_hands'] == 3 and peer['frame_ms']['median'] >= 0
    monkeypatch.delenv('PYTHONPATH')
    (module / '__init__.py').write_text('raise ImportError("broken here")')
    monkeypatch.setenv('PYTHONPATH', str(tmp_path))
    assert 'broken here' in run(capsys, '--clip', clip, '--frames', 2, *here)
    assert (
        'no such python'
        in json.loads(
            run(
                capsys,
                '--json',
                '--clip',
                clip,
                '--frames',
                2,
                '--peer',
                'mediapipe',
                '--peer-python',
                'no such python',
            )
        )['peers'][0]['reason']
    )


def test_bad_arguments_are_named(clip, capsys):
    assert main(['bench', '--frames', '0']) == 2
    assert '--frames' in capsys.readouterr().err
    assert main(['bench', '--clip', str(clip / 'nowhere')]) == 2
    assert 'nowhere' in capsys.readouterr().err
    assert main(['bench', '--clip', str(clip), '--modality', 'rgbd']) == 2
    assert 'no image topic is of color' in capsys.readouterr().err
