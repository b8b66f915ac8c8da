"""Fitting the hand model to joints: exact where it can be, within limits and mirror-true always."""

from __future__ import annotations

import numpy as np
import pytest

from hand_pose_ros.geometry.joints import BONES, JOINTS, PARENTS, SIDES, TIPS
from hand_pose_ros.geometry.rotations import random_rotations
from hand_pose_ros.hand_model.inverse_kinematics import (
    HandShapeState,
    InverseKinematics,
    InverseKinematicsConfiguration,
)
from hand_pose_ros.hand_model.kinematics import DOF_INDEX, DOF_NAMES, LOWER, UPPER
from hand_pose_ros.hand_model.model import PosedHand, load_hand_model

RIGHT = load_hand_model()
MODELS = {'right': RIGHT, 'left': RIGHT.mirrored()}
SOLVER = InverseKinematics(RIGHT)
MEMORY = InverseKinematicsConfiguration().memory_frames
INTERVAL = InverseKinematicsConfiguration().shape_interval_frames
MIRROR = np.array([-1.0, 1.0, 1.0])
LENGTHS = [np.array(BONES)[:, end] for end in (0, 1)]


def draw_hand(rng: np.random.Generator, side: str = 'right', size: float | None = None) -> tuple[PosedHand, np.ndarray]:
    """A hand of any shape in any pose and place before a camera, and its angles."""
    middle, reach = (LOWER + UPPER) / 2, (UPPER - LOWER) / 2
    angles = middle + 0.85 * reach * rng.uniform(-1, 1, len(LOWER))
    angles[DOF_INDEX['thumb_cmc_roll']] = 0.1
    for finger in ('index', 'middle', 'ring', 'pinky'):
        end = DOF_INDEX[f'{finger}_dip_flexion']
        angles[end] = np.clip(0.6 * angles[end - 1] + rng.uniform(-0.3, 0.3), LOWER[end], UPPER[end])
    shape = np.clip(rng.normal(size=RIGHT.shape_size), -1.5, 1.5)
    shape[0] = rng.uniform(-2, 1.2) if size is None else size
    place = rng.uniform((-0.2, -0.2, 0.3), (0.2, 0.2, 1.0))
    return MODELS[side].pose(angles, shape, random_rotations(rng, 1)[0], place), angles


def rms(difference: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.sum(difference**2, -1))))


def lengths(joints: np.ndarray) -> np.ndarray:
    return np.linalg.norm(joints[LENGTHS[1]] - joints[LENGTHS[0]], axis=1)


def volume(vertices: np.ndarray, faces: np.ndarray) -> float:
    a, b, c = (vertices[faces[:, i]].astype(float) for i in range(3))
    return float(np.einsum('fi,fi->', a - vertices[0], np.cross(b - vertices[0], c - vertices[0])) / 6)


@pytest.mark.parametrize('side', SIDES)
def test_exact_joints_are_met(side):
    rng = np.random.default_rng(0)
    residuals, meshes, worst = [], [], []
    for _ in range(30):
        truth, angles = draw_hand(rng, side)
        fit = SOLVER.fit(truth.joints, side)
        residuals.append(fit.residual)
        meshes.append(rms(fit.vertices - truth.vertices))
        worst.append(np.abs(np.array(list(fit.angles.values())) - angles))
        assert fit.residual == pytest.approx(rms(fit.joints - truth.joints))
    assert np.mean(residuals) < 0.0015 and np.max(residuals) < 0.004
    assert np.mean(meshes) < 0.004
    # Angles of the fingers; those of the thumb share its three directions among six.
    fingers = [i for i, name in enumerate(DOF_NAMES) if not name.startswith('thumb')]
    assert np.degrees(np.median(np.array(worst)[:, fingers])) < 2
    assert np.degrees(np.quantile(np.array(worst)[:, fingers], 0.95)) < 8


def test_a_track_learns_the_persons_bones():
    rng = np.random.default_rng(1)
    state, shape = HandShapeState(), rng.uniform(-1, 1, RIGHT.shape_size)
    fits = []
    for _ in range(60):
        angles = rng.uniform(0.5 * LOWER, 0.5 * UPPER)
        truth = RIGHT.pose(angles, shape, random_rotations(rng, 1)[0], [0, 0, 0.5])
        fits.append((SOLVER.fit(truth.joints + rng.normal(0, 0.003, (21, 3)), 'right', state=state), truth))
    true_lengths = lengths(RIGHT.rest_joints(shape))
    errors = [np.abs(lengths(fit.joints) - true_lengths).mean() for fit, _ in fits]
    assert np.mean(errors[-5:]) < 0.001 < errors[0]
    changes = [np.abs(lengths(a.joints) - lengths(b.joints)).max() for (a, _), (b, _) in zip(fits, fits[1:])]
    assert max(changes[-5:]) < 0.001
    # What is known of the shape takes noise out of the joints.
    assert np.mean([rms(fit.joints - truth.joints) for fit, truth in fits[-20:]]) < 0.85 * 0.003 * np.sqrt(3)


def test_an_outlier_does_not_change_the_hand():
    rng = np.random.default_rng(2)
    truth, _ = draw_hand(rng, size=0)
    state = HandShapeState()
    for _ in range(MEMORY + 20):
        before = SOLVER.fit(truth.joints, 'right', mesh=False, state=state)
    wild = truth.joints.copy()
    wild[8] += 0.08
    SOLVER.fit(wild, 'right', mesh=False, state=state)
    for _ in range(INTERVAL):
        after = SOLVER.fit(truth.joints, 'right', mesh=False, state=state)
        assert np.abs(lengths(after.joints) - lengths(before.joints)).max() < 0.001


def test_a_state_forgets_what_is_beyond_its_memory_and_is_brought_up_to_date_now_and_then():
    rng = np.random.default_rng(2)
    small, large = (draw_hand(rng, size=size)[0].joints for size in (-2, 1))
    state, shapes = HandShapeState(), []
    for _ in range(MEMORY):
        SOLVER.fit(small, 'right', mesh=False, state=state)
    for _ in range(5 * MEMORY):
        SOLVER.fit(large, 'right', mesh=False, state=state)
        shapes.append(state.shape)
    assert [one is other for one, other in zip(shapes, shapes[1:])].count(False) == 5 * MEMORY // INTERVAL
    assert lengths(SOLVER.fit(large, 'right', state=state).joints) == pytest.approx(
        lengths(SOLVER.fit(large, 'right').joints), abs=0.004
    )


@pytest.mark.parametrize('noise_mm', [2, 5])
def test_noise_is_not_amplified(noise_mm):
    rng = np.random.default_rng(3)
    errors = []
    for _ in range(40):
        truth, _ = draw_hand(rng, size=rng.uniform(-0.5, 1))
        fit = SOLVER.fit(truth.joints + rng.normal(0, noise_mm / 1000, (21, 3)), 'right', mesh=False)
        errors.append(rms(fit.joints - truth.joints))
    assert np.mean(errors) < 0.9 * noise_mm / 1000 * np.sqrt(3)


@pytest.mark.parametrize('side', SIDES)
def test_limits_hold_whatever_the_joints(side):
    """Joints that no hand could have still give a hand."""
    rng = np.random.default_rng(4)
    for number in range(40):
        joints = rng.normal(0, 0.04, (21, 3)) + [0, 0, 0.5]
        if number % 2:
            joints = draw_hand(rng, side)[0].joints
            joints[[6, 7, 8, 14, 15, 16]] = 2 * joints[[5, 5, 5, 13, 13, 13]] - joints[[6, 7, 8, 14, 15, 16]]
        fit = SOLVER.fit(joints, side)
        angles = np.array([fit.angles[name] for name in DOF_NAMES])
        assert (angles >= LOWER).all() and (angles <= UPPER).all()
        assert np.isfinite(fit.vertices).all() and np.isfinite(fit.rotations).all()
        assert 0.3 < lengths(fit.joints)[1] / lengths(RIGHT.joints)[1] < 2.6


def test_both_sides_are_treated_alike():
    """Exactly: mirrored joints of the other side give the mirrored hand and the same angles, bit for bit."""
    rng = np.random.default_rng(5)
    states = HandShapeState(), HandShapeState()
    for _ in range(5):
        joints = draw_hand(rng)[0].joints + rng.normal(0, 0.003, (21, 3))
        right = SOLVER.fit(joints, 'right', state=states[0])
        left = SOLVER.fit(joints * MIRROR, 'left', state=states[1])
        assert left.angles == right.angles and left.residual == right.residual
        np.testing.assert_array_equal(left.joints, right.joints * MIRROR)
        np.testing.assert_array_equal(left.vertices, right.vertices * MIRROR.astype(np.float32))
        np.testing.assert_array_equal(left.faces, right.faces[:, ::-1])
        assert volume(right.vertices, right.faces) > 0 and volume(left.vertices, left.faces) > 0
        # Directions (x along the bone, z out of the back) are mirrored, the axis of flexion then is the other way.
        np.testing.assert_array_equal(left.rotations, right.rotations * MIRROR[:, None] * [1, -1, 1])


def test_the_wrong_side_does_not_fit():
    """A hand taken for the other side bends the wrong way, which limits do not allow."""
    rng = np.random.default_rng(6)
    fist = np.clip(np.radians(60) * np.array(['flexion' in name for name in DOF_NAMES]), LOWER, UPPER)
    joints = RIGHT.pose(fist, rotation=random_rotations(rng, 1)[0], translation=np.array([0, 0, 0.5])).joints
    assert SOLVER.fit(joints, 'right').residual < 0.002
    assert SOLVER.fit(joints, 'left').residual > 0.008


@pytest.mark.parametrize('side', SIDES)
def test_frames_and_mesh_go_with_the_joints(side):
    rng = np.random.default_rng(7)
    truth, _ = draw_hand(rng, side, size=0.3)
    fit = SOLVER.fit(truth.joints, side)
    angles = np.degrees(np.arccos(np.clip((np.einsum('jik,jik->j', fit.rotations, truth.rotations) - 1) / 2, -1, 1)))
    fingers = [j for j in range(21) if not JOINTS[j].startswith('thumb')]
    assert np.median(angles[fingers]) < 3 and angles[fingers].max() < 12
    np.testing.assert_allclose(np.linalg.det(fit.rotations), 1)
    for joint in range(21):
        if joint not in TIPS and joint:
            along = fit.joints[joint + 1] - fit.joints[joint]
            np.testing.assert_allclose(fit.rotations[joint, :, 0], along / np.linalg.norm(along), atol=2e-3)
    for tip in TIPS:
        assert np.linalg.norm(fit.vertices - fit.joints[tip], axis=1).min() < 0.007
    np.testing.assert_array_equal(fit.faces, MODELS[side].faces)
    bare = SOLVER.fit(truth.joints, side, mesh=False)
    assert bare.vertices is None and bare.faces is None and bare.angles == fit.angles


def test_fit_moves_with_the_hand():
    rng = np.random.default_rng(8)
    joints = draw_hand(rng)[0].joints + rng.normal(0, 0.002, (21, 3))
    turn, shift = random_rotations(rng, 1)[0], np.array([0.3, -0.1, 0.2])
    here, there = SOLVER.fit(joints, 'right'), SOLVER.fit(joints @ turn.T + shift, 'right')
    np.testing.assert_allclose(there.joints, here.joints @ turn.T + shift, atol=1e-6)
    np.testing.assert_allclose(there.vertices, here.vertices @ turn.T + shift, atol=1e-5)
    np.testing.assert_allclose(there.rotations, turn @ here.rotations, atol=1e-4)


def test_angles_are_named_and_read_as_posed():
    """A track of exact joints shows that they are exact, and what is known beforehand of angles steps back."""
    pose = RIGHT.rest_angles.copy()
    pose[DOF_INDEX['index_pip_flexion']] = 1.3  # with a straight end joint, which is unusual
    pose[DOF_INDEX['pinky_mcp_abduction']] = 0.6
    joints = RIGHT.pose(pose, translation=np.array([0, 0, 0.5])).joints
    state = HandShapeState()
    fits = [SOLVER.fit(joints, 'right', mesh=False, state=state) for _ in range(MEMORY)]
    assert tuple(fits[0].angles) == DOF_NAMES and all(type(angle) is float for angle in fits[0].angles.values())
    rest = RIGHT.rest_angles[DOF_INDEX['middle_pip_flexion']]
    for fit, near in ((fits[0], 0.2), (fits[-1], 0.04)):
        assert fit.angles['index_pip_flexion'] == pytest.approx(1.3, abs=near)
        assert fit.angles['pinky_mcp_abduction'] == pytest.approx(0.6, abs=near)
        assert fit.angles['middle_pip_flexion'] == pytest.approx(rest, abs=near)


def test_noise_does_not_kink_fingers():
    """Under noise, angles are nearer the truth than the bones' directions alone would have them."""
    rng = np.random.default_rng(17)
    natural = np.clip(np.radians(50) * np.array(['flexion' in name for name in DOF_NAMES]), 0.6 * LOWER, 0.6 * UPPER)
    for finger in ('index', 'middle', 'ring', 'pinky'):
        natural[DOF_INDEX[f'{finger}_dip_flexion']] = 0.6 * natural[DOF_INDEX[f'{finger}_pip_flexion']]
    joints = RIGHT.pose(natural, translation=np.array([0, 0, 0.5])).joints
    ends = [i for i, name in enumerate(DOF_NAMES) if name.endswith('dip_flexion')]
    errors = []
    for _ in range(40):
        fit = SOLVER.fit(joints + rng.normal(0, 0.004, (21, 3)), 'right', mesh=False)
        errors.append(np.array(list(fit.angles.values()))[ends] - natural[ends])
    # Two ends of a 20 mm bone, and of the one before it, are off by 4 mm each: some 20 degrees.
    assert np.degrees(np.sqrt(np.mean(np.square(errors)))) < 14


def test_a_child_gets_a_childs_hand():
    rng = np.random.default_rng(9)
    small, large = (SOLVER.fit(draw_hand(rng, size=size)[0].joints, 'right') for size in (-2, 1))
    assert 3e-5 < volume(small.vertices, small.faces) < 1.5e-4 < 3e-4 < volume(large.vertices, large.faces)


def test_without_stretch_only_the_shape_changes():
    rng = np.random.default_rng(10)
    truth, _ = draw_hand(rng, size=0)
    joints = truth.joints.copy()
    tip = joints[8] - joints[7]
    joints[8] += 0.15 * tip  # a longer end of the index finger than shapes have
    rigid = InverseKinematicsConfiguration(log_stretch_sigma=1e-6)
    stretched, plain = (
        SOLVER.fit(joints, 'right').residual,
        InverseKinematics(RIGHT, None, rigid).fit(joints, 'right').residual,
    )
    assert stretched < plain


def test_joints_that_coincide_are_no_trouble():
    joints = draw_hand(np.random.default_rng(11))[0].joints
    joints[8] = joints[7] = joints[6]
    assert np.isfinite(SOLVER.fit(joints, 'right', state=HandShapeState()).vertices).all()


def test_input_is_left_alone_and_single_precision_will_do():
    joints = draw_hand(np.random.default_rng(12))[0].joints
    kept = joints.copy()
    fit = SOLVER.fit(joints, 'left')
    np.testing.assert_array_equal(joints, kept)
    assert SOLVER.fit(joints.astype(np.float32).tolist(), 'left').residual == pytest.approx(fit.residual, abs=1e-6)


def spoil(joint: int, value: float) -> np.ndarray:
    joints = draw_hand(np.random.default_rng(13))[0].joints
    joints[joint, 1] = value
    return joints


@pytest.mark.parametrize(
    'joints, words',
    [
        (spoil(8, np.nan), 'not finite: index_tip'),
        (spoil(0, np.inf), 'not finite: wrist'),
        (np.full((21, 3), 0.4), 'not all in one place'),
        (np.zeros((20, 3)), r'shape \(20, 3\)'),
        (1000 * spoil(3, 0.0), 'must be in meters'),
        (0.001 * spoil(3, 0.0), 'must be in meters'),
    ],
)
def test_what_is_no_hand_is_refused(joints, words):
    state = HandShapeState()
    with pytest.raises(ValueError, match=words):
        SOLVER.fit(joints, 'right', state=state)
    assert state.frames == 0


def test_wrong_arguments():
    joints = draw_hand(np.random.default_rng(14))[0].joints
    with pytest.raises(ValueError, match="side is 'Right'"):
        SOLVER.fit(joints, 'Right')
    with pytest.raises(ValueError, match='both hand models are of the right hand'):
        InverseKinematics(RIGHT, RIGHT)


def test_a_left_model_serves_both_sides_as_well():
    joints = draw_hand(np.random.default_rng(15))[0].joints
    for side in SIDES:
        one, two = InverseKinematics(MODELS['left']).fit(joints, side), SOLVER.fit(joints, side)
        np.testing.assert_allclose(one.joints, two.joints, atol=1e-12)
        np.testing.assert_array_equal(one.faces, two.faces)


def test_parents_of_the_tree_are_those_of_the_joints():
    """Every bone of a fit ends where the next begins: no finger is swapped for another."""
    truth, _ = draw_hand(np.random.default_rng(16), size=0)
    fit = SOLVER.fit(truth.joints, 'right')
    for joint in range(1, 21):
        nearest = np.linalg.norm(truth.joints - fit.joints[joint], axis=1).argmin()
        assert nearest == joint and PARENTS[joint] < joint
