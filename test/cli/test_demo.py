"""The demo: real nodes over real topics, with a tracker whose errors are known; its report and its failures."""

import json
import re
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml
from stub_tracker_node import COUNT, joints_of, stand_in, write_clip

from hand_pose_ros.cli import demo, demo_report, processes
from hand_pose_ros.cli.main import main
from hand_pose_ros.evaluation.metrics import compare_hands, percentiles_ms, summarize
from hand_pose_ros.geometry.joints import JOINTS
from hand_pose_ros.visualization import report


def hand(seed):
    return np.random.default_rng(seed).normal(0, 0.1, (21, 3))


# Scores


def test_errors_are_distances_in_millimeters_joint_by_joint():
    truth = {'a': {'left': hand(0)}, 'b': {'left': hand(1)}}
    shift = np.zeros((21, 3))
    shift[4] = (0.003, 0, 0.004)
    found = {'a': {'left': hand(0) + shift}, 'b': {'left': hand(1) + 3 * shift}}
    summary = summarize(compare_hands(['a', 'b'], found, truth))
    assert summary['per_joint_error_mm'] == {joint: 10.0 if joint == 'thumb_tip' else 0.0 for joint in JOINTS}
    assert summary['mean_joint_error_mm'] == pytest.approx(10 / 21, abs=1e-3)
    assert summary['median_joint_error_mm'] == 0.0
    assert (summary['hands_in_clip'], summary['hands_found'], summary['wrong_side']) == (2, 2, 0)


def test_a_swapped_finger_shows_in_the_error():
    swapped = hand(0)[[0, *range(5, 9), *range(1, 5), *range(9, 21)]]
    summary = summarize(compare_hands(['a'], {'a': {'left': swapped}}, {'a': {'left': hand(0)}}))
    errors = summary['per_joint_error_mm']
    assert errors['wrist'] == errors['ring_pip'] == 0 and errors['thumb_cmc'] > 10 and errors['index_tip'] > 10


def test_sides_missed_and_mistaken_are_counted_apart():
    truth = {'both': {'left': hand(0), 'right': hand(1)}, 'one': {'left': hand(2)}, 'lost': {'right': hand(3)}}
    found = {'both': {'right': hand(1)}, 'one': {'right': hand(2)}, 'lost': {}}
    comparisons = compare_hands(list(truth), found, truth)
    summary = summarize(comparisons)
    assert (summary['hands_in_clip'], summary['hands_found'], summary['wrong_side']) == (4, 1, 1)
    assert [c.frame for c in comparisons if c.wrong_side] == ['one']


def test_two_hands_that_swapped_their_sides_are_both_wrong():
    left, right = hand(0) - (0.3, 0, 0), hand(1) + (0.3, 0, 0)
    truth = {'a': {'left': left, 'right': right}}
    summary = summarize(compare_hands(['a'], {'a': {'left': right, 'right': left}}, truth))
    assert (summary['hands_found'], summary['wrong_side'], summary['mean_joint_error_mm']) == (0, 2, None)
    comparisons = compare_hands(['a'], {'a': {'left': right}}, truth)
    assert [(c.side, c.errors, c.wrong_side) for c in comparisons] == [('left', None, False), ('right', None, True)]


def test_nothing_to_score_is_none_not_zero():
    summary = summarize([])
    assert summary['mean_joint_error_mm'] is None and summary['per_joint_error_mm'] == {}
    assert percentiles_ms([]) is None
    assert percentiles_ms([0.001, 0.003, 0.002]) == {'median': 2.0, 'p95': 2.9}


# Report


def chart_points(svg):
    return [
        [tuple(float(v) for v in point.split(',')) for point in line.split()]
        for line in re.findall(r'points="([^"]*)"', svg)
    ]


def test_a_line_chart_places_points_and_leaves_gaps():
    svg = report.line_chart(
        [report.Series('left', '#123456', [(0, 1.0), (1, 3.0), (2, None), (3, 2.0), (4, 2.0)])], 'seconds', 'mm'
    )
    first, second = chart_points(svg)
    assert len(first) == 2 and len(second) == 2
    assert first[0][0] < first[1][0] < second[0][0] and first[0][1] > second[0][1] > first[1][1]
    assert svg.count('#123456') == 3 and '>left<' in svg and '>seconds<' in svg
    assert 'Nothing' in report.line_chart([report.Series('x', 'red', [(0, None)])], 's', 'mm')


def test_bars_are_as_long_as_their_values():
    svg = report.bar_chart([('a<b', 5.0, 'red'), ('c', 10.0, 'blue')], 'mm')
    widths = [float(w) for w in re.findall(r'<rect [^>]*width="([\d.]+)"', svg)]
    assert widths[1] == pytest.approx(2 * widths[0], rel=0.01)
    assert 'a&lt;b' in svg and '10.0 mm' in svg


@pytest.mark.parametrize('highest', [0.0, 0.004, 0.7, 1.0, 9.99, 12.3, 4321.0])
def test_axis_ticks_are_few_and_reach_the_top(highest):
    ticks = report._ticks(highest)
    assert ticks[0] == 0 and ticks[-1] >= highest and 2 <= len(ticks) <= 7
    assert len({f'{tick:g}' for tick in ticks}) == len(ticks)


def test_a_page_is_self_contained_and_escapes_text():
    text = report.page('A & B', '<sub>', report.section('x<y', report.picture(np.zeros((8, 8, 3), np.uint8), 'a "b"')))
    assert 'A &amp; B' in text and '&lt;sub&gt;' in text and 'x&lt;y' in text and 'a &quot;b&quot;' in text
    assert 'src="data:image/jpeg;base64,' in text and 'prefers-color-scheme: dark' in text
    assert 'http' not in text and '<script' not in text


# The nodes


@pytest.fixture(scope='module')
def clip(tmp_path_factory):
    path = tmp_path_factory.mktemp('demo') / 'clip'
    write_clip(path)
    return path


@pytest.fixture
def stub(monkeypatch):
    """Put the stub in the place of the tracker node; a call sets how it behaves."""
    stand_in(monkeypatch)
    # A test machine may be busy with other things.
    monkeypatch.setattr(demo, 'CONFIG', demo.DemoConfig(start_limit_s=120.0, run_limit_s=120.0))
    return lambda behavior: monkeypatch.setenv('STUB_TRACKER', behavior)


@pytest.mark.ros
def test_the_demo_scores_what_came_through_the_topics(clip, tmp_path, stub, capsys):
    out = tmp_path / 'out'
    assert main(['demo', '--clip', str(clip), '--out', str(out), '--near', '0.25']) == 0
    summary = json.loads((out / 'summary.json').read_text())
    assert summary['frames_played'] == COUNT and 1 <= summary['frames'] <= COUNT
    assert 1 <= summary['hands_found'] <= summary['hands_in_clip'] == summary['frames']
    assert summary['hands_found'] >= summary['frames'] - 2 and summary['wrong_side'] <= 1
    # Found at their own stamps and in meters, all joints are off by 6 mm across and 8 mm in depth.
    assert summary['mean_joint_error_mm'] == pytest.approx(10, abs=0.01)
    assert summary['median_joint_error_mm'] == pytest.approx(10, abs=0.01)
    assert set(summary['per_joint_error_mm']) == set(JOINTS)
    assert summary['engine'] == 'stub engine, near 0.25' and summary['model'] == 'stub' and summary['machine']
    if summary['latency_ms']:
        assert 0 < summary['latency_ms']['median'] <= summary['latency_ms']['p95']

    video = cv2.VideoCapture(str(out / 'overlay.mp4'))
    assert int(video.get(cv2.CAP_PROP_FRAME_COUNT)) == COUNT
    assert video.read()[1].shape == (480, 1600, 3), 'the camera, the hands, and the robot hand beside them'

    page = (out / 'report.html').read_text()
    assert f'{summary["mean_joint_error_mm"]:.1f} mm' in page and 'thumb tip' in page
    assert f'{summary["hands_found"]} of {summary["hands_in_clip"]}' in page
    assert page.count('data:image/jpeg') == 6 and 'http' not in page
    printed = capsys.readouterr().out
    assert f'frame {summary["frames"]}/{COUNT}' in printed and 'mean joint error 10.0 mm' in printed


@pytest.mark.ros
@pytest.mark.parametrize(
    'behavior, words',
    [('exit', 'tracker node ended with code 3'), ('no model', 'models/lost.onnx'), ('blind', 'found no hand in any')],
)
def test_failures_end_the_demo_with_their_reason(clip, tmp_path, stub, capsys, behavior, words):
    stub(behavior)
    assert main(['demo', '--clip', str(clip), '--out', str(tmp_path / 'out')]) == 1
    assert words in capsys.readouterr().err
    assert not (tmp_path / 'out' / 'summary.json').exists()


def test_a_clip_without_ground_truth_is_reported_without_errors():
    summary = {
        'frames': 3,
        'frames_played': 4,
        **summarize([]),
        'hands_in_clip': None,
        'hands_found': 5,
        'wrong_side': None,
        'rate_hz': 30.0,
        'latency_ms': None,
        'engine': 'E',
        'model': 'M',
        'machine': 'X',
    }
    page = demo_report.report_page(summary, [], {}, [])
    assert '<b>5</b>' in page and 'no ground truth' in page and 'None' not in page
    assert '5 hands found, no ground truth' in demo_report.closing_lines(summary, Path('out'))


@pytest.mark.ros
def test_a_clip_that_cannot_be_read_is_named(tmp_path, stub, capsys):
    assert main(['demo', '--clip', str(tmp_path / 'none'), '--out', str(tmp_path / 'out')]) == 2
    assert str(tmp_path / 'none') in capsys.readouterr().err


def test_without_ros_the_demo_says_what_to_do(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(processes, 'find_spec', lambda name: None)
    assert main(['demo', '--out', str(tmp_path)]) == 1
    error = capsys.readouterr().err
    assert 'rclpy' in error and 'make setup' in error


@pytest.mark.ros
def test_the_table_shows_positions_and_flexions():
    pytest.importorskip('rclpy', reason='ROS is not available to this Python')
    from hand_pose_ros.nodes.observer import ObservedFrame

    frames = [
        ObservedFrame(
            10 + i / 10,
            10.02 + i / 10,
            {'right': joints_of(0)},
            {'right': np.full(21, 0.8)},
            {'right': 10.01 + i / 10},
            {'right': {'index_pip_flexion': np.pi / 2}},
        )
        for i in range(5)
    ]
    lines = demo.table_lines(frames, 9, {'engine': 'E'})
    assert lines[0].split() == ['frame', '5/9', '10.0', 'Hz', 'latency', '10.0', 'ms', 'E']
    assert lines[2].split() == ['left', '-']
    x, y, z = joints_of(0)[0]
    assert lines[3].split() == ['right', '0.80', f'{x:.3f}', f'{y:.3f}', f'{z:.3f}', '-', '90', '-', '-', '-']
    assert demo.table_lines([], 9, {})[0].startswith('frame 0/9')


@pytest.mark.ros
def test_meshes_are_read_out_of_the_markers_bytes():
    pytest.importorskip('rclpy', reason='ROS is not available to this Python')
    pytest.importorskip('tf2_msgs', reason='tf2_msgs is not available to this Python')
    from known_hands import make_hand
    from rclpy.serialization import serialize_message
    from std_msgs.msg import Header

    from hand_pose_ros.io.outputs import MeshReader
    from hand_pose_ros.nodes.messages import markers_message

    read = MeshReader()
    for seed, sides in enumerate((['left', 'right'], ['right'], [], ['left'], ['left', 'right'])):
        hands = {side: make_hand(side, seed) for side in sides}
        for frame_id in ('cam', 'camera_x'):
            data = serialize_message(markers_message(Header(frame_id=frame_id), list(hands.values())))
            meshes = read(data)
            assert set(meshes) == set(sides)
            for side, (vertices, faces) in meshes.items():
                fit = hands[side].fit
                np.testing.assert_array_equal(vertices[faces], fit.vertices[fit.faces])
                assert len(vertices) <= len(fit.vertices), 'corners that triangles share are one vertex'


def test_node_parameters_survive_the_command_line(monkeypatch, tmp_path):
    started: list[str] = []
    monkeypatch.setattr(processes.subprocess, 'Popen', lambda command, **_: started.extend(command))
    values = {'mesh': True, 'views': 3, 'rate': 0.25, 'name': 'it\'s "so": #1', 'number': '7', 'empty': ''}
    processes.NodeProcess('tracker', '/here', values, tmp_path / 'log')
    given = dict(word.split(':=', 1) for after, word in zip(started, started[1:]) if after == '-p')
    assert {name: yaml.safe_load(text) for name, text in given.items()} == values
