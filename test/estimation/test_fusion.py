"""One estimate of several: each counts by its certainty, and of fingers that differ those that agree."""

import numpy as np
import pytest

from hand_pose_ros.core.hand import HandEstimate
from hand_pose_ros.estimation.fusion import merge
from hand_pose_ros.regions.cube import CubeRegion

REGION = CubeRegion(np.array([0.0, 0.0, 0.5]), 0.09)


def estimate(joints, sigma, value=0.5):
    return HandEstimate(joints, np.full(21, value), np.full(21, sigma), value, value, REGION, 0.5)


def test_views_of_a_hand_count_by_their_certainty():
    def flat(value, sigma):
        return estimate(np.full((21, 3), value), sigma, value)

    merged = merge([flat(0.0, 0.01), flat(0.5, 0.01), flat(1.0, 1e3)])
    assert np.allclose(merged.joints, 0.25) and np.allclose(merged.confidence, 0.5)
    assert merged.handedness_logit == pytest.approx(0.5) and merged.presence == pytest.approx(0.5)
    alone = flat(0.3, 0.01)
    assert merge([alone]) is alone
    again = merge([alone, merged])
    assert [joints[0, 0] for joints, _ in again.hypotheses] == [0.3, 0.0, 0.5, 1.0], 'what was merged stays known'


def test_of_views_that_differ_on_a_finger_those_that_agree_count():
    joints = np.random.default_rng(0).uniform(-0.1, 0.1, (21, 3)) + (0, 0, 0.5)
    near = [joints + np.random.default_rng(i + 1).normal(0, 0.001, (21, 3)) for i in range(4)]
    near[2][17:21] += (0.05, 0, 0)  # One view lays the little finger elsewhere, ...
    merged = merge([estimate(one, 0.01) for one in near]).joints
    assert np.linalg.norm(merged - joints, axis=1).max() < 0.003
    assert np.allclose(merged[0], np.mean([one[0] for one in near], 0)), '... and counts for the wrist as before'
    certain = merge([estimate(one, 0.01 if i == 2 else 0.05) for i, one in enumerate(near)])
    assert np.linalg.norm(certain.joints[20] - near[2][20]) < 0.003, 'the only certain one has its way'
