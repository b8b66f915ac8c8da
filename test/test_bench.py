"""``hand-pose bench``: every figure that it promises, from the process and from the topics."""

import json

import pytest
from known_hands import KnownTracker
from stub_tracker_node import StubTracker, stand_in, write_clip

from hand_pose_ros.cli import bench
from hand_pose_ros.cli.main import main
from hand_pose_ros.estimation.engines import EngineError
from hand_pose_ros.resources import resource_path


@pytest.fixture
def clip(tmp_path, monkeypatch):
    monkeypatch.setattr('hand_pose_ros.pipeline.modality.HandTracker', StubTracker)
    write_clip(tmp_path / 'clip')
    return tmp_path / 'clip'


def run(capsys, *arguments):
    assert main(['bench', *map(str, arguments)]) == 0
    return capsys.readouterr().out


def test_every_figure_is_there_with_ros(clip, monkeypatch, capsys):
    stand_in(monkeypatch)
    monkeypatch.setattr(bench, 'START_LIMIT', 120.0)   # A test machine may be busy with other things.
    result = json.loads(run(capsys, '--json', '--clip', clip, '--frames', 20, '--threads', 2))
    assert {'machine', 'engine', 'model', 'threads', 'stages_ms', 'pipeline_ms', 'image_to_joints_ms',
            'peak_rss_mb'} <= set(result)
    stages = result['stages_ms']
    assert list(stages) == ['localize', 'crop', 'network', 'hand_model', 'messages']
    assert [stages[name] for name in bench.PIPELINE_STAGES] == [1.0, 2.0, 3.0, 4.0], 'seconds became milliseconds'
    assert stages['messages'] > 0
    assert 0 < result['pipeline_ms']['median'] <= result['pipeline_ms']['p95']
    assert 'image_to_joints_reason' not in result and 0 < result['start_to_first_hand_s'] < 200
    assert 0 < result['image_to_joints_ms']['median'] <= result['image_to_joints_ms']['p95']
    assert result['engine'].startswith('stub engine') and result['model'] == 'stub' and result['threads'] == 2
    assert result['peak_rss_mb'] > 20 and 0 < result['node_cores'] < 64


def test_without_ros_the_topics_are_null_with_a_reason(clip, monkeypatch, capsys):
    monkeypatch.setattr(bench, '_message_builder', lambda: (None, 'no rclpy here'))
    result = json.loads(run(capsys, '--json', '--clip', clip, '--frames', 3))
    assert result['image_to_joints_ms'] is None and result['image_to_joints_reason'] == 'no rclpy here'
    assert result['stages_ms']['messages'] is None and result['stages_ms']['network'] == 3.0
    table = run(capsys, '--clip', clip, '--frames', 3)
    assert 'no rclpy here' in table and 'network' in table and 'stub engine' in table


def test_a_node_that_cannot_start_is_the_reason(clip, monkeypatch, capsys):
    stand_in(monkeypatch)
    monkeypatch.setenv('STUB_TRACKER', 'exit')
    monkeypatch.setattr('hand_pose_ros.pipeline.modality.HandTracker', KnownTracker)   # this process's own does start
    result = json.loads(run(capsys, '--json', '--clip', clip, '--frames', 2))
    assert result['image_to_joints_ms'] is None and 'code 3' in result['image_to_joints_reason']


def test_frames_are_measured_at_640x480_in_millimetres(clip):
    frames = bench.load_frames(clip, 4)
    assert len(frames.images) == 4 and frames.images[0].shape == (480, 640) and frames.images[0].dtype == 'uint16'
    assert frames.images[1][0, 0] == 1001 and frames.encoding == '16UC1' and frames.modality == 'depth'
    assert (frames.camera.fx, frames.camera.cx, frames.camera.cy) == (580.0, 319.5, 239.5)


def test_colour_frames_are_measured_as_they_are():
    frames = bench.load_frames(resource_path('demo', 'color'), 2)
    assert frames.images[1].shape == (480, 640, 3) and frames.images[1].dtype == 'uint8'
    assert frames.encoding == 'bgr8' and frames.modality == 'rgb'


def test_a_clip_is_repeated_without_a_jump():
    from itertools import islice
    assert list(islice(bench.Frames('rgb', [0, 1, 2, 3], None).forth_and_back(), 9)) == [0, 1, 2, 3, 2, 1, 0, 1, 2]
    assert list(islice(bench.Frames('rgb', [7], None).forth_and_back(), 3)) == [7, 7, 7]


def test_engines_precisions_and_models_are_compared(clip, monkeypatch, capsys):
    monkeypatch.setattr(bench, '_message_builder', lambda: (None, 'no rclpy here'))

    class Choosy(StubTracker):
        def __init__(self, parameters):
            if parameters.engine == 'tensorrt':
                raise EngineError('there is no TensorRT here')
            super().__init__(parameters)

    monkeypatch.setattr('hand_pose_ros.pipeline.modality.HandTracker', Choosy)
    result = json.loads(run(capsys, '--json', '--clip', clip, '--frames', 2, '--compare', 'tensorrt', 'openvino', 'f32',
                            'int8'))
    rows = {(row['engine'], row['precision']): row for row in result['comparison']}
    assert set(rows) == {(e, p) for e in ('tensorrt', 'openvino') for p in ('f32', 'int8')}
    assert rows['tensorrt', 'f32']['reason'] == 'there is no TensorRT here'
    assert rows['openvino', 'int8']['network_ms'] == 3.0 and rows['openvino', 'int8']['pipeline_ms']['median'] > 0
    assert 'no TensorRT here' in run(capsys, '--clip', clip, '--frames', 2, '--compare', 'tensorrt', 'f32')
    assert main(['bench', '--clip', str(clip), '--frames', '2', '--compare', 'quick']) == 2
    assert 'quick' in capsys.readouterr().err


def test_what_each_stage_and_output_costs(clip, monkeypatch, capsys):
    monkeypatch.setattr(bench, '_measure_topics', lambda *_: {'image_to_joints_ms': None, 'image_to_joints_reason': '-'})
    result = json.loads(run(capsys, '--json', '--clip', clip, '--frames', 5))
    for stage in bench.PIPELINE_STAGES:
        assert result['pipeline_without_ms'][stage] == pytest.approx(
            result['pipeline_ms']['median'] - result['stages_ms'][stage], abs=2e-3)
    pytest.importorskip('rclpy', reason='ROS is not available to this Python')
    assert set(result['messages_ms']) == {'joints', 'joint_states', 'keypoints', 'tf', 'markers'}
    assert 0 < sum(result['messages_ms'].values()) < 2 * result['stages_ms']['messages'] + 1


def test_a_peer_is_timed_in_a_process_of_its_own(clip, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(bench, '_message_builder', lambda: (None, 'no rclpy here'))
    module = tmp_path / 'mediapipe'
    module.mkdir()
    (module / '__init__.py').write_text(
        '__version__ = "0"\n'
        'class solutions:\n    class hands:\n        class Hands:\n'
        '            def __init__(self, max_num_hands): assert max_num_hands == 2\n'
        '            def process(self, image):\n'
        '                assert image.shape == (480, 640, 3)\n'
        '                return type("R", (), {"multi_hand_landmarks": [1]})\n')
    monkeypatch.setenv('PYTHONPATH', str(tmp_path))
    peer = json.loads(run(capsys, '--json', '--clip', clip, '--frames', 3, '--peer', 'mediapipe'))['peer']
    assert peer['frames'] == 3 and peer['frames_with_hands'] == 3 and peer['frame_ms']['median'] >= 0
    monkeypatch.delenv('PYTHONPATH')
    (module / '__init__.py').write_text('raise ImportError("broken here")')
    monkeypatch.setenv('PYTHONPATH', str(tmp_path))
    assert 'broken here' in run(capsys, '--clip', clip, '--frames', 2, '--peer', 'mediapipe')
    assert 'no such python' in json.loads(run(capsys, '--json', '--clip', clip, '--frames', 2, '--peer', 'mediapipe',
                                              '--peer-python', 'no such python'))['peer']['reason']


def test_bad_arguments_are_named(clip, capsys):
    assert main(['bench', '--frames', '0']) == 2
    assert '--frames' in capsys.readouterr().err
    assert main(['bench', '--clip', str(clip / 'nowhere')]) == 2
    assert 'nowhere' in capsys.readouterr().err
