"""``hand-pose bench``: every figure that it promises, from the process and from the topics."""

import json

import pytest
from known_hands import KnownTracker
from stub_tracker_node import StubTracker, stand_in, write_clip

from hand_pose_ros.cli import bench
from hand_pose_ros.cli.main import main
from hand_pose_ros.pipeline import tracker as tracker_module


@pytest.fixture
def clip(tmp_path, monkeypatch):
    monkeypatch.setattr(tracker_module, 'HandTracker', StubTracker)
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
    assert 'image_to_joints_reason' not in result
    assert 0 < result['image_to_joints_ms']['median'] <= result['image_to_joints_ms']['p95']
    assert result['engine'].startswith('stub engine') and result['model'] == 'stub' and result['threads'] == 2
    assert result['peak_rss_mb'] > 20


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
    monkeypatch.setattr(tracker_module, 'HandTracker', KnownTracker)   # this process's own does start
    result = json.loads(run(capsys, '--json', '--clip', clip, '--frames', 2))
    assert result['image_to_joints_ms'] is None and 'code 3' in result['image_to_joints_reason']


def test_frames_are_measured_at_640x480_in_millimetres(clip):
    images, camera = bench._load(clip, 4)
    assert len(images) == 4 and images[0].shape == (480, 640) and images[0].dtype == 'uint16'
    assert images[1][0, 0] == 1001
    assert (camera.fx, camera.cx, camera.cy) == (580.0, 319.5, 239.5)


def test_a_clip_is_repeated_without_a_jump():
    from itertools import islice
    assert list(islice(bench._forth_and_back([0, 1, 2, 3]), 9)) == [0, 1, 2, 3, 2, 1, 0, 1, 2]
    assert list(islice(bench._forth_and_back([7]), 3)) == [7, 7, 7]


def test_bad_arguments_are_named(clip, capsys):
    assert main(['bench', '--frames', '0']) == 2
    assert '--frames' in capsys.readouterr().err
    assert main(['bench', '--clip', str(clip / 'nowhere')]) == 2
    assert 'nowhere' in capsys.readouterr().err
