"""What the tracker publishes, read back: from messages, from their bytes and from bags."""

import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from known_hands import make_hand
from recorded_hands import DELAY, STAMP, record

from hand_pose_ros.core.outputs import JointFrames, Keypoints, Meshes
from hand_pose_ros.geometry.camera import Camera
from hand_pose_ros.geometry.rotations import matrices_to_quaternions, quaternions_to_matrices, random_rotations
from hand_pose_ros.io.outputs import KEYPOINT, iterate_outputs, read_keypoints, recorded_outputs
from hand_pose_ros.io.recording import RecordingError, write_bag
from hand_pose_ros.io.results import result_line


def test_quaternions_and_matrices_are_the_same_rotations():
    matrices = random_rotations(np.random.default_rng(0), 50)
    assert quaternions_to_matrices(3 * matrices_to_quaternions(matrices)) == pytest.approx(matrices, abs=1e-12)


def test_recorded_outputs_are_those_that_were_published(tmp_path):
    hands = [make_hand('left'), make_hand('right')]
    bag = record(tmp_path / 'bag', [(STAMP, hands), (STAMP + 33_000_000, [])])
    assert set(recorded_outputs(bag)) == {
        f'/robot/hands/{name}' for name in ('left/joints', 'right/joints', 'keypoints', 'markers')
    }
    outputs = list(iterate_outputs(bag))
    assert {recorded - stamp for stamp, recorded, _ in outputs} == {DELAY}
    assert [type(output) for stamp, _, output in outputs if stamp != STAMP] == [Keypoints, Meshes]
    frames = {output.side: output for _, _, output in outputs if isinstance(output, JointFrames)}
    keypoints = next(output for _, _, output in outputs if isinstance(output, Keypoints))
    meshes = next(output for _, _, output in outputs if isinstance(output, Meshes))
    for hand in hands:
        joints, confidence = keypoints.hands[hand.side]
        assert joints == pytest.approx(hand.joints, abs=1e-6) and confidence == pytest.approx(hand.confidence, abs=1e-6)
        assert frames[hand.side].positions == pytest.approx(hand.joints)
        assert frames[hand.side].rotations == pytest.approx(hand.fit.rotations, abs=1e-9)
        vertices, faces = meshes.hands[hand.side]
        assert vertices[faces] == pytest.approx(hand.fit.vertices[hand.fit.faces], abs=1e-6)
    last = outputs[-1][2]
    assert isinstance(last, Meshes) and not last.hands


def test_ground_truth_is_no_output(tmp_path):
    camera = Camera(4, 4, 4.0, 4.0, 2.0, 2.0)
    write_bag(
        tmp_path / 'bag',
        [(1.0, np.ones((4, 4), np.uint16))],
        camera,
        joints={'left': [(1.0, make_hand('left').joints)]},
    )
    assert recorded_outputs(tmp_path / 'bag') == []


def test_messages_of_something_else_are_refused(tmp_path, monkeypatch):
    bag = record(tmp_path / 'bag', [(STAMP, [make_hand('left')])])
    monkeypatch.setattr('hand_pose_ros.io.outputs.JOINTS', ('wrist',) * 20)
    with pytest.raises(RecordingError, match=r'/robot/hands/left/joints: 21 poses; a hand has 20'):
        list(iterate_outputs(bag))
    with pytest.raises(
        ValueError,
        match='32 bytes in points of 16; hands have 20 points of 19 bytes: x, y, z',
    ):
        read_keypoints(SimpleNamespace(point_step=16, data=bytes(32)))


def points(kind: np.dtype, **columns) -> bytes:
    rows = np.zeros(21 * len(columns['hand']), kind).reshape(-1, 21)
    for name, values in columns.items():
        rows[name] = np.array(values)[:, None]
    return rows.tobytes()


def test_the_side_of_a_keypoint_is_not_its_track_but_in_older_recordings():
    data = points(KEYPOINT, hand=[7, 200, 3], side=[1, 0, 1], confidence=[0.9, 0.8, 0.7])
    hands = read_keypoints(SimpleNamespace(point_step=KEYPOINT.itemsize, data=data))
    assert {side: confidence[0].round(3) for side, (_, confidence) in hands.items()} == {'left': 0.8, 'right': 0.9}
    old = np.dtype([(name, KEYPOINT[name]) for name in ('x', 'y', 'z', 'confidence', 'hand', 'joint')])
    data = points(old, hand=[0, 1], confidence=[0.6, 0.5])
    hands = read_keypoints(SimpleNamespace(point_step=old.itemsize, data=data))
    assert {side: confidence[0].round(3) for side, (_, confidence) in hands.items()} == {'left': 0.6, 'right': 0.5}


def test_a_line_of_hands_names_their_tracks():
    line = json.loads(result_line('a', [replace(make_hand('left'), track_id=3)]))
    assert [(hand['side'], hand['track'], len(hand['joints'])) for hand in line['hands']] == [('left', 3, 21)]


@pytest.mark.parametrize('metric', [True, False])
def test_a_line_of_hands_says_whether_their_distance_was_measured(metric):
    line = json.loads(result_line('a', [replace(make_hand('left'), metric=metric)]))
    assert line['hands'][0]['metric'] is metric
