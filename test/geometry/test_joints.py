"""The joint order that every user relies on, and what is derived from it."""

import numpy as np

from hand_pose_ros.geometry.joints import BONES, FINGER_JOINTS, JOINTS, PARENTS, SIDES, TIPS, other_side
from hand_pose_ros.geometry.rotations import (
    axis_angle_to_matrix,
    matrices_to_quaternions,
    nearest_rotation,
    random_rotations,
    rotation_vector_to_matrix,
)


def test_joint_order_is_freihands():
    assert JOINTS == (
        'wrist',
        'thumb_cmc',
        'thumb_mcp',
        'thumb_ip',
        'thumb_tip',
        'index_mcp',
        'index_pip',
        'index_dip',
        'index_tip',
        'middle_mcp',
        'middle_pip',
        'middle_dip',
        'middle_tip',
        'ring_mcp',
        'ring_pip',
        'ring_dip',
        'ring_tip',
        'pinky_mcp',
        'pinky_pip',
        'pinky_dip',
        'pinky_tip',
    )


def test_tree():
    assert PARENTS == (-1, 0, 1, 2, 3, 0, 5, 6, 7, 0, 9, 10, 11, 0, 13, 14, 15, 0, 17, 18, 19)
    assert len(BONES) == 20 and all(PARENTS[child] == parent for parent, child in BONES)
    assert [JOINTS[t] for t in TIPS] == ['thumb_tip', 'index_tip', 'middle_tip', 'ring_tip', 'pinky_tip']
    assert FINGER_JOINTS['ring'] == (13, 14, 15, 16)


def test_sides():
    assert SIDES == ('left', 'right') and other_side('left') == 'right' and other_side('right') == 'left'


def test_rotations_against_transforms3d():
    import transforms3d

    rng = np.random.default_rng(0)
    for matrix in random_rotations(rng, 200):
        assert np.allclose(matrix @ matrix.T, np.eye(3)) and np.linalg.det(matrix) > 0
        w, x, y, z = transforms3d.quaternions.mat2quat(matrix)
        assert np.allclose(np.abs(matrices_to_quaternions(matrix) @ (x, y, z, w)), 1)
    for axis, angle in zip(random_rotations(rng, 50)[:, 0], rng.uniform(-3, 3, 50)):
        expected = transforms3d.axangles.axangle2mat(axis, angle)
        assert np.allclose(axis_angle_to_matrix(axis, angle), expected)
        assert np.allclose(rotation_vector_to_matrix(axis * angle), expected)
    noisy = expected + rng.normal(0, 0.01, (3, 3))
    assert np.linalg.norm(nearest_rotation(noisy) - expected) < 0.05
    assert np.linalg.det(nearest_rotation(np.diag([1.0, 1, -1]))) > 0
