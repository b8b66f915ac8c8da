"""Degrees of freedom: each angle turns the bones that its name says, the way that it says."""

from __future__ import annotations

import numpy as np
import pytest

from hand_pose_ros.geometry.joints import FINGER_JOINTS, JOINTS, PARENTS
from hand_pose_ros.hand_model.kinematics import (
    BONE_JOINTS,
    BONE_PARENTS,
    DEGREES_OF_FREEDOM,
    DOF_INDEX,
    DOF_NAMES,
    JOINT_CARRIERS,
    LOWER,
    UPPER,
    bone_axes,
    flexion_axes,
    forward_kinematics,
    local_rotations,
    measure_rest_angles,
)
from hand_pose_ros.hand_model.model import load_hand_model

MODEL = load_hand_model()  # a right hand: x to the middle knuckle, y towards the thumb, z out of the back


def joints_at(**angles: float) -> np.ndarray:
    """Joints (21, 3) with the named angles in radians, the others at rest."""
    chosen = MODEL.rest_angles.copy()
    for name, angle in angles.items():
        chosen[DOF_INDEX[name]] = angle
    return forward_kinematics(MODEL.joints, local_rotations(chosen, MODEL.axes, MODEL.rest_angles))[1]


def below(joint: str) -> list[int]:
    """Joints that a bone starting at ``joint`` moves."""
    finger = FINGER_JOINTS[joint.split('_')[0]]
    return [j for j in finger if j > JOINTS.index(joint)]


def test_tree():
    assert [JOINTS[j] for j in BONE_JOINTS][:5] == ['wrist', 'thumb_cmc', 'thumb_mcp', 'thumb_ip', 'index_mcp']
    assert BONE_PARENTS == (-1, 0, 1, 2, 0, 4, 5, 0, 7, 8, 0, 10, 11, 0, 13, 14)
    assert JOINT_CARRIERS == (0, 1, 2, 3, 3, 4, 5, 6, 6, 7, 8, 9, 9, 10, 11, 12, 12, 13, 14, 15, 15)


def test_names_and_limits():
    assert len(DOF_NAMES) == len(set(DOF_NAMES)) == 22
    assert {
        'thumb_cmc_roll',
        'thumb_mcp_abduction',
        'thumb_ip_flexion',
        'pinky_dip_flexion',
        'ring_mcp_abduction',
    } < set(DOF_NAMES)
    assert (LOWER < 0).all() and (UPPER > 0).all() and (UPPER - LOWER < np.pi).all()
    assert UPPER[DOF_INDEX['index_pip_flexion']] == pytest.approx(np.radians(115))
    for dof in DEGREES_OF_FREEDOM:
        assert dof.name == f'{JOINTS[BONE_JOINTS[dof.bone]]}_{dof.kind}'


@pytest.mark.parametrize('dof', DEGREES_OF_FREEDOM, ids=DOF_NAMES)
def test_an_angle_moves_what_it_names_and_nothing_else(dof):
    joint = JOINTS[BONE_JOINTS[dof.bone]]
    rest, moved = joints_at(), joints_at(**{dof.name: MODEL.rest_angles[DOF_INDEX[dof.name]] + 0.3})
    gap = np.linalg.norm(moved - rest, axis=1)
    still = [j for j in range(21) if j not in below(joint)]
    assert (gap[still] < 1e-12).all()
    # Roll turns about the bone itself, which leaves its end where it is.
    assert (gap[below(joint)[1 if dof.kind == 'roll' else 0 :]] > 0.002).all()
    lengths = [np.linalg.norm(j[1:] - j[list(PARENTS[1:])], axis=1) for j in (rest, moved)]
    np.testing.assert_allclose(*lengths, atol=1e-12)


@pytest.mark.parametrize('dof', [d for d in DEGREES_OF_FREEDOM if d.kind == 'flexion'], ids=lambda d: d.name)
def test_flexion_bends_towards_the_palm(dof):
    end = below(JOINTS[BONE_JOINTS[dof.bone]])[0]
    rest, bent = joints_at(), joints_at(**{dof.name: MODEL.rest_angles[DOF_INDEX[dof.name]] + 0.3})
    if dof.name.startswith('thumb'):
        palm = (rest[5] + rest[17]) / 2
        assert np.linalg.norm(bent[end] - palm) < np.linalg.norm(rest[end] - palm) - 0.001
    else:
        assert (bent - rest)[end, 2] < -0.003


@pytest.mark.parametrize(
    'finger, towards_thumb', [('index', True), ('middle', True), ('ring', False), ('pinky', False)]
)
def test_abduction_spreads_the_fingers(finger, towards_thumb):
    joint = JOINTS.index(f'{finger}_pip')
    moved = (joints_at(**{f'{finger}_mcp_abduction': 0.3}) - joints_at(**{f'{finger}_mcp_abduction': 0.0}))[joint]
    assert moved[1] > 0.005 if towards_thumb else moved[1] < -0.003
    straight = joints_at(**{f'{finger}_mcp_abduction': 0.0, f'{finger}_mcp_flexion': 0.0})
    along = straight[joint] - straight[joint - 1]
    # Zero is a finger in line with the hand.
    assert abs(along[1]) < 0.02 * along[0] and abs(along[2]) < 0.02 * along[0]


def test_angles_are_read_back_from_posed_joints():
    rng = np.random.default_rng(0)
    measurable = [
        i for i, dof in enumerate(DEGREES_OF_FREEDOM) if not dof.name.startswith('thumb_cmc') and dof.kind == 'flexion'
    ]
    angles = MODEL.rest_angles.copy()
    angles[measurable] = rng.uniform(0.2, 1.0, len(measurable))
    joints = forward_kinematics(MODEL.joints, local_rotations(angles, MODEL.axes, MODEL.rest_angles))[1]
    world = forward_kinematics(MODEL.joints, local_rotations(angles, MODEL.axes, MODEL.rest_angles))[0]
    axes = np.einsum('bij,bkj->bki', world, MODEL.axes)
    knuckles = [i for i in measurable if 'mcp' in DOF_NAMES[i] and not DOF_NAMES[i].startswith('thumb')]
    measured = measure_rest_angles(joints, axes)
    others = [i for i in measurable if i not in knuckles]
    np.testing.assert_allclose(measured[others], angles[others], atol=1e-4)
    # A spread knuckle turns its flexion with it, which the measure looks at from the palm: close, not the same.
    np.testing.assert_allclose(measured[knuckles], angles[knuckles], atol=0.06)


def test_batches_are_what_single_poses_are():
    rng = np.random.default_rng(1)
    angles = rng.uniform(LOWER, UPPER, (2, 3, len(DOF_NAMES)))
    world, joints = forward_kinematics(MODEL.joints, local_rotations(angles, MODEL.axes, MODEL.rest_angles))
    assert world.shape == (2, 3, 16, 3, 3) and joints.shape == (2, 3, 21, 3)
    one = forward_kinematics(MODEL.joints, local_rotations(angles[1, 2], MODEL.axes, MODEL.rest_angles))
    np.testing.assert_allclose(world[1, 2], one[0], atol=1e-15)
    np.testing.assert_allclose(joints[1, 2], one[1], atol=1e-15)


def test_flexion_axes_come_from_the_hand_alone():
    thumb_end = MODEL.vertices[MODEL.weights[:, 3] > 0.7].astype(float)
    axes = flexion_axes(MODEL.joints, thumb_end)
    fitted = bone_axes(MODEL.joints, axes)
    angles = np.degrees(np.arccos(np.clip((fitted[:, 0] * MODEL.axes[:, 0]).sum(1), -1, 1)))
    assert angles.max() < 5
    turn = np.linalg.qr(np.random.default_rng(2).normal(size=(3, 3)))[0]
    turn *= np.sign(np.linalg.det(turn))
    np.testing.assert_allclose(
        flexion_axes(MODEL.joints @ turn.T + 1, thumb_end @ turn.T + 1), axes @ turn.T, atol=1e-9
    )
