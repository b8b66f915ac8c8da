"""Forms: each has its name, whatever the hand's side, size, view and a network's noise; what is unlike any has none."""

from __future__ import annotations

import numpy as np
import pytest

from hand_pose_ros.geometry.joints import FINGERS
from hand_pose_ros.geometry.rotations import random_rotations
from hand_pose_ros.gestures.library import NONE, shipped_library
from hand_pose_ros.gestures.recognition import recognize
from hand_pose_ros.gestures.shape import facing, knuckle_bend, measure, measure_angles, straightness
from hand_pose_ros.hand_model.kinematics import DOF_INDEX, DOF_NAMES
from hand_pose_ros.hand_model.loading import load_hand_models

(MODEL, *_) = load_hand_models('')
MODELS = {MODEL.side: MODEL, MODEL.mirrored().side: MODEL.mirrored()}

OUT, OVER = (
    {'cmc_abduction': 35, 'cmc_flexion': -15, 'mcp_flexion': 0, 'ip_flexion': 0},
    {'cmc_flexion': 40, 'cmc_abduction': 20, 'mcp_flexion': 50, 'ip_flexion': 40},
)
#: Angles of bent fingers, degrees, and of fingers that are apart.
CURLED, BENT = {'mcp': 70, 'pip': 95, 'dip': 50}, {'mcp': 35, 'pip': 55, 'dip': 30}
APART = {'index': 15, 'middle': 0, 'ring': 15, 'pinky': 30}

#: Name -> thumb, which of the index to the little finger are straight (1), curled (0) or bent (b), and apart or not.
POSES = {
    'open': (OUT, '1111', True),
    'stop': (OUT, '1111', False),
    'four': (OVER, '1111', True),
    'three': (OVER, '1110', False),
    'three_thumb': (OUT, '1100', False),
    'two': (OVER, '1100', False),
    'point': (OVER, '1000', False),
    'thumb_index': (OUT, '1000', False),
    'fist': (OVER, '0000', False),
    'little_finger': (OVER, '0001', False),
    'call': (OUT, '0001', False),
    'horns': (OVER, '1001', False),
    'grab': (OUT, 'bbbb', False),
}


def pose(thumb, fingers, apart=False, side='right', **model):
    """Joints (21, 3) of the shipped hand model in a pose, angles in degrees."""
    angles = np.zeros(len(DOF_NAMES))
    for name, value in thumb.items():
        angles[DOF_INDEX[f'thumb_{name}']] = np.radians(value)
    for finger, state in zip(FINGERS[1:], fingers):
        for joint, value in {'0': CURLED, 'b': BENT}.get(state, {}).items():
            angles[DOF_INDEX[f'{finger}_{joint}_flexion']] = np.radians(value)
        if apart:
            angles[DOF_INDEX[f'{finger}_mcp_abduction']] = np.radians(APART[finger])
    return MODELS[side].pose(angles, **model).joints


def turned(joints, way, target):
    """Joints turned so that a direction comes to point along another."""

    def axes(direction):
        one = np.asarray(direction, float) / np.linalg.norm(direction)
        axis = np.cross(one, np.eye(3)[np.abs(one).argmin()])
        axis /= np.linalg.norm(axis)
        return np.column_stack([one, axis, np.cross(one, axis)])

    return joints @ (axes(target) @ axes(way).T).T


@pytest.mark.parametrize('name', POSES)
def test_a_form_has_its_name_from_every_side(name):
    rng = np.random.default_rng(0)
    for side in MODELS:
        joints = pose(*POSES[name], side)
        for rotation, size in zip(random_rotations(rng, 10), np.linspace(0.5, 1.2, 10)):
            seen = size * joints @ rotation.T + rng.uniform(-0.3, 0.3, 3)
            assert recognize(seen, side).name == name
            assert recognize(1000 * seen, side).name == name, 'in millimeters too'


@pytest.mark.parametrize('name', POSES)
def test_a_few_millimeters_seldom_change_a_name(name):
    rng = np.random.default_rng(1)
    joints = pose(*POSES[name])
    recognized = [recognize(joints + rng.normal(0, 0.002, joints.shape), 'right').name for _ in range(100)]
    assert np.mean([one == name for one in recognized]) > 0.8
    assert np.mean([one not in (name, NONE) for one in recognized]) < 0.05


@pytest.mark.parametrize('side', MODELS)
def test_thumbs_point_up_or_down(side):
    joints = pose(OUT, '0000', side=side)
    way = joints[4] - joints[2]
    slanted = np.sqrt(0.5)
    for target, name in (
        ((0, -1, 0), 'thumb_up'),
        ((0, 1, 0), 'thumb_down'),
        ((1, 0, 0), NONE),
        ((0, 0, 1), NONE),
        ((slanted, -slanted, 0), 'thumb_up'),
        ((0, slanted, slanted), 'thumb_down'),
        ((0.85, -0.5, 0), NONE),
    ):
        assert recognize(turned(joints, way, target), side).name == name
    # A camera that lies on its side: up is to its right.
    assert recognize(turned(joints, way, (1, 0, 0)), side, up=(1.0, 0.0, 0.0)).name == 'thumb_up'


@pytest.mark.parametrize('name, others', [('ok', 0), ('pinch', 80)])
def test_two_tips_that_touch_pinch(name, others):
    angles = np.zeros(len(DOF_NAMES))
    for joint, value in (('index_mcp', 45), ('index_pip', 60), ('index_dip', 25)):
        angles[DOF_INDEX[f'{joint}_flexion']] = np.radians(value)
    for finger in FINGERS[2:]:
        angles[DOF_INDEX[f'{finger}_pip_flexion']] = np.radians(others)
    joints = MODELS['right'].pose(angles).joints
    assert recognize(joints, 'right').name not in ('ok', 'pinch')
    joints[4] = joints[8] + (0.006, 0.004, 0)
    assert recognize(joints, 'right').name == name


def test_what_is_between_is_no_gesture():
    for straight in ('0101', '0011'):
        assert recognize(pose(OVER, straight), 'right').name == NONE
    nothing = recognize(np.zeros((21, 3)), 'right')
    assert nothing.name in shipped_library().names, 'joints in one place raise nothing'
    assert recognize(np.full((21, 3), np.nan), 'right').name == NONE


def test_a_form_stays_for_less_than_it_needs_to_begin():
    """Hysteresis: bending a finger slowly, the name goes later than it came."""

    def names(before):
        found = []
        for degrees in range(0, 60):
            angles = np.zeros(len(DOF_NAMES))
            for finger in FINGERS[2:]:
                for joint, value in CURLED.items():
                    angles[DOF_INDEX[f'{finger}_{joint}_flexion']] = np.radians(value)
            for key, value in OVER.items():
                angles[DOF_INDEX[f'thumb_{key}']] = np.radians(value)
            angles[DOF_INDEX['index_pip_flexion']] = np.radians(degrees)
            found.append(recognize(MODELS['right'].pose(angles).joints, 'right', before=before).name)
        return found.count('point')

    assert names('point') > names(NONE) > 20


def test_joints_that_are_not_trusted_make_a_name_less_sure():
    joints = pose(*POSES['point'])
    trusted, doubted = np.ones(21), np.ones(21)
    doubted[13:17] = 0.2
    sure = recognize(joints, 'right', confidence=trusted)
    less = recognize(joints, 'right', confidence=doubted)
    assert sure.name == less.name == 'point' and less.confidence < sure.confidence


def test_fingers_are_counted():
    for pose_of, count in ((POSES['open'], 5), (POSES['four'], 4), (POSES['fist'], 0), (POSES['call'], 2)):
        straight = recognize(pose(*pose_of), 'right').straight
        assert straight is not None and sum(straight) == count
    assert recognize(pose(OVER, '1bb0'), 'right').straight is None, 'bent fingers are neither in nor out'


@pytest.mark.parametrize('side', MODELS)
def test_a_hand_faces_the_camera_with_its_palm_its_back_or_its_side(side):
    joints = pose(*POSES['open'], side)
    joints = joints - joints.mean(0)
    normal = np.cross(joints[5] - joints[17], joints[9] - joints[0]) * (1 if side == 'right' else -1)
    for target, name in (((0.0, 0, -1), 'palm'), ((0.0, 0, 1), 'back'), ((1.0, 0, 0), 'side')):
        assert facing(turned(joints, normal, target) + [0, 0, 0.5], side) == name


def test_measures_are_those_of_the_model():
    joints = pose(OVER, '1010')
    ratios = measure(joints, 'right').straightness
    assert min(ratios[::2]) > 0.98 and max(ratios[1::2]) < 0.65
    assert knuckle_bend((0, 0, 0), [(1, 0, 0), (1, 1, 0), (1, 2, 0), (2, 3, 0)]) == pytest.approx(71.565)
    assert straightness([(0, 0, 0), (1, 0, 0), (1, 1, 0), (1, 1, 1)]) == pytest.approx(3**-0.5)


def test_angles_are_those_of_either_hand_in_any_size():
    rng = np.random.default_rng(2)
    angles = measure_angles(pose(OUT, '1b01'), 'right')
    mirrored = measure_angles(0.6 * pose(OUT, '1b01', side='left') @ random_rotations(rng, 1)[0].T, 'left')
    assert list(angles.values()) == pytest.approx(list(mirrored.values()), abs=1e-6)
    assert angles['middle_pip_flexion'] == pytest.approx(55, abs=4)
    assert angles['ring_mcp_flexion'] == pytest.approx(70, abs=8)
