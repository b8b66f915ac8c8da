"""The hand frame against its description, and against the hand model's own."""

import numpy as np
import pytest
from posed_hands import FIST, OPEN, posed

from hand_pose_ros.geometry.hand_frame import in_hand_frame, palm_center, palm_pose
from hand_pose_ros.geometry.joints import JOINTS, SIDES
from hand_pose_ros.hand_model.kinematics import LOWER, UPPER
from hand_pose_ros.hand_model.model import load_hand_model


@pytest.mark.parametrize('side', SIDES)
def test_it_is_that_of_the_hand_model(side):
    model = load_hand_model() if side == 'right' else load_hand_model().mirrored()
    rng = np.random.default_rng(0)
    for _ in range(10):
        hand = model.pose(rng.uniform(LOWER, UPPER))
        pose = palm_pose(hand.joints, side)
        assert np.allclose(pose[:3, :3] @ pose[:3, :3].T, np.eye(3)) and np.linalg.det(pose[:3, :3]) > 0
        turn = np.degrees(np.arccos((np.trace(pose[:3, :3].T @ hand.rotations[0]) - 1) / 2))
        assert turn < 5
        assert np.allclose(pose[:3, 3], hand.joints[[0, 5, 9, 13, 17]].mean(0))


@pytest.mark.parametrize('side', SIDES)
def test_axes_point_where_they_should(side):
    joints = in_hand_frame(posed(OPEN, side), side)
    assert joints[JOINTS.index('middle_mcp'), 0] > 0.08 and abs(joints[JOINTS.index('middle_mcp'), 1]) < 1e-9
    # The thumb is on the side of +y on a right hand; fingers bend to the palm, which looks along -z.
    assert (joints[JOINTS.index('thumb_tip'), 1] > 0) == (side == 'right')
    assert in_hand_frame(posed(FIST, side), side)[JOINTS.index('index_tip'), 2] < -0.02


def test_a_palm_that_is_a_line_has_no_frame():
    line = np.linspace(0, 1, 21)[:, None] * np.array([0.1, 0.2, 0.3])
    with pytest.raises(ValueError, match='right hand.*palm is a line'):
        palm_pose(line, 'right')
    broken = posed()
    broken[7, 1] = np.nan
    with pytest.raises(ValueError, match='not finite'):
        palm_pose(broken, 'right')
    assert palm_center(posed()).shape == (3,)
