"""Joint angles that robots act on: those that are not trusted follow slowly, and none jumps."""

from __future__ import annotations

import numpy as np
import pytest

from hand_pose_ros.hand_model.inverse_kinematics import HandShapeState, InverseKinematics
from hand_pose_ros.hand_model.kinematics import DOF_NAMES
from hand_pose_ros.hand_model.loading import load_hand_models
from hand_pose_ros.io.recording import open_recording, read_joints
from hand_pose_ros.resources import resource_path
from hand_pose_ros.settings import NodeSettings
from hand_pose_ros.tracking.angle_guard import AngleGuard

STILL = dict.fromkeys(DOF_NAMES, 0.0)
SURE = np.ones(21, np.float32)
LIMITS = NodeSettings().angle_confidence, NodeSettings().angle_speed


def test_a_trusted_angle_passes_and_one_that_is_not_is_blended():
    doubted = SURE.copy()
    doubted[6] = 0.2
    moved = STILL | {'index_mcp_flexion': 0.1, 'index_pip_flexion': 0.1, 'middle_pip_flexion': 0.1}
    guard = AngleGuard()
    guard(STILL, SURE, 1, 0.0, *LIMITS)
    found = guard(moved, doubted, 1, 0.1, *LIMITS)
    assert found['middle_pip_flexion'] == pytest.approx(0.1), 'joints that are trusted'
    assert found['index_mcp_flexion'] == found['index_pip_flexion'] == pytest.approx(0.1 * 0.2 / 0.8)
    assert guard(moved, doubted, 1, 0.2, 0.0, 0.0) == moved, 'off'


def test_no_angle_jumps_but_on_another_hand_or_after_a_gap():
    far = dict.fromkeys(DOF_NAMES, 1.5)
    for track, stamp, jumps in ((1, 0.1, False), (2, 0.1, True), (1, 2.0, True), (1, -1.0, True)):
        guard = AngleGuard()
        guard(STILL, SURE, 1, 0.0, *LIMITS)
        found = guard(far, SURE, track, stamp, *LIMITS)
        assert set(found.values()) == {1.5 if jumps else 7.5 * 0.1}


@pytest.mark.slow
def test_on_the_clip_no_angle_steps_more_than_the_hand_and_the_error_stays():
    from hand_pose_ros.tracking.factory import make_tracker

    clip, tracker = resource_path('demo', 'clip'), make_tracker()
    truth, fitter = read_joints(clip), InverseKinematics(*load_hand_models(''))
    guards, shapes, before = {}, {}, {}
    errors, steps, hands = [], 0, 0
    for frame in open_recording(clip):
        for hand in tracker.process(frame.camera_frame()):
            if hand.side not in truth[frame.name]:
                continue
            shape = shapes.setdefault(hand.side, HandShapeState())
            known = fitter.fit(truth[frame.name][hand.side], hand.side, mesh=False, state=shape).angles
            guard = guards.setdefault(hand.side, AngleGuard())
            given = guard(hand.fit.angles, hand.confidence, hand.track_id, frame.stamp, *LIMITS)
            found, true = (np.degrees([one[name] for name in DOF_NAMES]) for one in (given, known))
            errors.append(np.abs(found - true).mean())
            hands += 1
            if hand.track_id in before:
                beyond = np.abs(found - before[hand.track_id][0]) - np.abs(true - before[hand.track_id][1])
                steps += beyond.max() > 15
            before[hand.track_id] = found, true
    print(f'{hands} hands, {np.mean(errors):.2f} degrees mean, {steps} steps')
    assert hands > 440 and steps == 0 and np.mean(errors) <= 2.3
