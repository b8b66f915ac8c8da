"""The shipped hand model: what is in the file, how it poses, and what becomes of a damaged one."""

from __future__ import annotations

import zipfile
from dataclasses import replace

import numpy as np
import pytest

from hand_pose_ros.geometry.joints import BONES, FINGER_JOINTS, JOINTS, SIDES, TIPS
from hand_pose_ros.geometry.rotations import random_rotations
from hand_pose_ros.hand_model.kinematics import (
    BONE_JOINTS,
    DOF_INDEX,
    DOF_NAMES,
    LOWER,
    UPPER,
    forward_kinematics,
    local_rotations,
)
from hand_pose_ros.hand_model.loading import load_hand_models
from hand_pose_ros.hand_model.model import HandModel, HandModelError, load_hand_model, save_hand_model
from hand_pose_ros.resources import resource_path

RIGHT = load_hand_model()
MODELS = {'right': RIGHT, 'left': RIGHT.mirrored()}
SIZES = {'child of four': -2.2, 'average': 0.0, 'large adult': 1.2}


def volume(vertices: np.ndarray, faces: np.ndarray) -> float:
    """Signed volume of a closed surface: positive for faces that are counter-clockwise seen from outside."""
    a, b, c = (vertices[faces[:, i]].astype(float) for i in range(3))
    return float(np.einsum('fi,fi->', a, np.cross(b, c)) / 6)


def shape_of_size(size: float) -> np.ndarray:
    return np.array([size] + [0.0] * (RIGHT.shape_size - 1))


def test_the_file():
    path = resource_path('models', 'hand_model.npz')
    assert path.stat().st_size < 1_000_000
    assert RIGHT.side == 'right' and 'CC0' in RIGHT.license and 'build_hand_model' in RIGHT.provenance
    assert RIGHT.vertices.dtype == RIGHT.vertex_basis.dtype == RIGHT.weights.dtype == np.float32
    np.testing.assert_allclose(RIGHT.weights.sum(1), 1, atol=1e-6)
    assert (RIGHT.weights >= 0).all()
    assert [model.side for model in load_hand_models()] == ['right']


def test_the_surface_is_closed():
    edges = {(int(a), int(b)) for face in RIGHT.faces for a, b in zip(face, np.roll(face, -1))}
    assert len(edges) == 3 * len(RIGHT.faces)
    assert all((b, a) in edges for a, b in edges)
    assert len(np.unique(RIGHT.faces)) == len(RIGHT.vertices)


@pytest.mark.parametrize(
    'size, hand_mm, cubic_cm',
    [
        ('child of four', (100, 130), (50, 130)),
        ('average', (165, 195), (220, 340)),
        ('large adult', (200, 230), (350, 560)),
    ],
)
def test_sizes_from_child_to_adult(size, hand_mm, cubic_cm):
    """The first shape parameter is the size; lengths are meters."""
    rest = RIGHT.rest_joints(shape_of_size(SIZES[size]))
    length = np.linalg.norm(rest[12] - rest[9]) + np.linalg.norm(rest[9] - rest[0])
    assert hand_mm[0] < 1000 * length < hand_mm[1]
    posed = RIGHT.pose(RIGHT.rest_angles, shape_of_size(SIZES[size]))
    assert cubic_cm[0] < 1e6 * volume(posed.vertices, RIGHT.faces) < cubic_cm[1]


@pytest.mark.parametrize('side', SIDES)
@pytest.mark.parametrize('bent', [0.0, 0.6])
def test_faces_point_outwards(side, bent):
    model = MODELS[side]
    posed = model.pose(model.rest_angles + bent * (model.rest_angles >= 0))
    assert 2e-4 < volume(posed.vertices, model.faces) < 4e-4


def test_tips_lie_about_4_mm_under_the_skin():
    for tip in TIPS:
        depth = np.linalg.norm(RIGHT.vertices - RIGHT.joints[tip], axis=1).min()
        assert 0.002 < depth < 0.006, JOINTS[tip]
    # All other joints are inside as well.
    for joint in range(21):
        near = RIGHT.vertices[np.argsort(np.linalg.norm(RIGHT.vertices - RIGHT.joints[joint], axis=1))[:60]]
        assert (near.min(0) < RIGHT.joints[joint]).all() or joint in (*TIPS, 0)


def test_no_shape_turns_a_finger_bone():
    """So axes and rest angles hold for all shapes."""
    rng = np.random.default_rng(0)
    for _ in range(5):
        rest = RIGHT.rest_joints(rng.normal(size=RIGHT.shape_size))
        for bone, joint in enumerate(BONE_JOINTS[1:], 1):
            along = rest[joint + 1] - rest[joint]
            np.testing.assert_allclose(along / np.linalg.norm(along), RIGHT.axes[bone, 2], atol=2e-4)
        np.testing.assert_allclose(rest[0], 0, atol=1e-9)
        np.testing.assert_allclose(rest[9, 1:], 0, atol=1e-6)


@pytest.mark.parametrize('side', SIDES)
def test_skinning_is_what_a_loop_gives(side):
    rng = np.random.default_rng(1)
    model = MODELS[side]
    angles, shape = rng.uniform(LOWER, UPPER), rng.normal(size=model.shape_size)
    turn, shift = random_rotations(rng, 1)[0], np.array([0.1, -0.2, 0.7])
    posed = model.pose(angles, shape, turn, shift)
    rest = model.joints + model.joint_basis @ shape
    world, joints = forward_kinematics(rest, local_rotations(angles, model.axes, model.rest_angles))
    world, joints = turn @ world, (joints - rest[0]) @ turn.T + rest[0] + shift
    np.testing.assert_allclose(posed.joints, joints, atol=1e-12)
    for vertex in range(0, len(model.vertices), 7):
        at = model.vertices[vertex] + model.vertex_basis[vertex].astype(float) @ shape
        expected = sum(
            model.weights[vertex, bone] * (world[bone] @ (at - rest[joint]) + joints[joint])
            for bone, joint in enumerate(BONE_JOINTS)
        )
        np.testing.assert_allclose(posed.vertices[vertex], expected, atol=2e-6)


def test_bones_stretch_along_themselves():
    world, joints = forward_kinematics(RIGHT.joints, local_rotations(RIGHT.rest_angles, RIGHT.axes, RIGHT.rest_angles))
    stretch = np.ones(16)
    stretch[BONE_JOINTS.index(8 - 1)] = 1.2  # the index finger's last bone
    moved = RIGHT.skin(world, joints, np.zeros(RIGHT.shape_size), RIGHT.joints, stretch) - RIGHT.vertices
    along = RIGHT.axes[BONE_JOINTS.index(7), 2]
    end = np.argmax(RIGHT.vertices @ along * (RIGHT.weights[:, BONE_JOINTS.index(7)] > 0.99))
    reach = (RIGHT.vertices[end] - RIGHT.joints[7]) @ along
    np.testing.assert_allclose(moved[end], 0.2 * reach * along, atol=1e-6)
    assert np.abs(moved[RIGHT.weights[:, BONE_JOINTS.index(7)] == 0]).max() < 1e-6


def test_left_is_the_exact_mirror_image():
    rng = np.random.default_rng(2)
    angles, shape = rng.uniform(LOWER, UPPER), rng.normal(size=RIGHT.shape_size)
    right, left = (MODELS[side].pose(angles, shape) for side in ('right', 'left'))
    np.testing.assert_allclose(left.vertices, right.vertices * [-1, 1, 1], atol=1e-6)
    np.testing.assert_allclose(left.joints, right.joints * [-1, 1, 1], atol=1e-12)
    again = MODELS['left'].mirrored()
    for name in ('vertices', 'joints', 'axes', 'faces', 'vertex_basis', 'joint_basis'):
        np.testing.assert_array_equal(getattr(again, name), getattr(RIGHT, name))


@pytest.mark.parametrize('side', SIDES)
def test_joint_frames(side):
    """X along the bone, y the axis that a positive turn bends about, z out of the back: on both sides."""
    rng = np.random.default_rng(3)
    model = MODELS[side]
    angles = rng.uniform(0.4 * LOWER, 0.4 * UPPER)
    posed = model.pose(angles, rotation=random_rotations(rng, 1)[0])
    np.testing.assert_allclose(
        np.swapaxes(posed.rotations, 1, 2) @ posed.rotations, np.tile(np.eye(3), (21, 1, 1)), atol=1e-9
    )
    np.testing.assert_allclose(np.linalg.det(posed.rotations), 1)
    for start, end in BONES:
        if start:
            along = posed.joints[end] - posed.joints[start]
            np.testing.assert_allclose(along / np.linalg.norm(along), posed.rotations[start, :, 0], atol=1e-3)
    np.testing.assert_allclose(posed.rotations[list(TIPS)], posed.rotations[[tip - 1 for tip in TIPS]])
    # From the knuckle to the middle joint: a bend is a positive turn about y.
    before, after = posed.rotations[5], posed.rotations[6]
    bend = angles[DOF_INDEX['index_pip_flexion']] - model.rest_angles[DOF_INDEX['index_pip_flexion']]
    rest = model.frames[BONE_JOINTS.index(5)].T @ model.frames[BONE_JOINTS.index(6)]
    cos, sin = np.cos(bend), np.sin(bend)
    np.testing.assert_allclose(before.T @ after, rest @ [[cos, 0, sin], [0, 1, 0], [-sin, 0, cos]], atol=1e-6)
    # Bent fingers leave the palm on the side that z points away from.
    frame = model.pose(model.rest_angles).rotations[0]
    fist = model.rest_angles.copy()
    fist[[DOF_INDEX[f'{finger}_mcp_flexion'] for finger in ('index', 'middle', 'ring', 'pinky')]] = 1.2
    curled = model.pose(fist).joints
    for finger in ('index', 'middle', 'ring', 'pinky'):
        first, *_, tip = FINGER_JOINTS[finger]
        assert (curled[tip] - curled[first]) @ frame[:, 2] < -0.04
    # y points to the thumb of a right hand and away from a left one's: left as seen along x.
    across = (model.joints[5] - model.joints[17]) @ frame[:, 1]
    assert across > 0.03 if side == 'right' else across < -0.03


def test_saving_and_loading_keeps_everything(tmp_path):
    model = MODELS['left']
    for name in ('a.npz', 'b.npz'):
        save_hand_model(tmp_path / name, model)
    assert (tmp_path / 'a.npz').read_bytes() == (tmp_path / 'b.npz').read_bytes()
    loaded = load_hand_models(str(tmp_path / 'a.npz'))[0]
    assert (loaded.side, loaded.license, loaded.provenance) == ('left', model.license, model.provenance)
    for name in ('vertices', 'vertex_basis', 'joints', 'joint_basis', 'weights', 'axes', 'rest_angles', 'faces'):
        np.testing.assert_array_equal(getattr(loaded, name), getattr(model, name))


def broken(**changes: object) -> HandModel:
    return replace(RIGHT, **changes)


@pytest.mark.parametrize(
    'model, words',
    [
        (broken(side='both'), "side is 'both'"),
        (broken(axes=np.zeros((15, 3, 3))), r'axes has shape \(15, 3, 3\)'),
        (broken(joints=np.full((21, 3), np.nan)), 'joints holds values that are not finite'),
        (broken(faces=RIGHT.faces + 5), 'a face names a vertex beyond'),
        (broken(weights=RIGHT.weights[:-1]), 'weights has shape'),
        (broken(vertices=None), 'lacks .*vertices'),
    ],
)
def test_a_model_that_does_not_fit_together_is_refused(model, words, tmp_path):
    save_hand_model(tmp_path / 'hand.npz', model)
    with pytest.raises(HandModelError, match=words) as caught:
        load_hand_model(tmp_path / 'hand.npz')
    assert str(tmp_path / 'hand.npz') in str(caught.value)


def test_missing_and_damaged_files_are_named(tmp_path, monkeypatch):
    whole = resource_path('models', 'hand_model.npz').read_bytes()
    flipped = bytearray(whole)
    flipped[len(whole) // 2] ^= 0xFF
    for content in (b'', b'nonsense', whole[:5000], bytes(flipped)):
        (tmp_path / 'hand.npz').write_bytes(content)
        with pytest.raises(HandModelError, match='hand.npz: not a readable hand model'):
            load_hand_models(tmp_path / 'hand.npz')
    np.savez(tmp_path / 'hand.npz', other=np.zeros(3))
    with pytest.raises(HandModelError, match='hand.npz: not a hand model of format 1; it holds other'):
        load_hand_model(tmp_path / 'hand.npz')
    np.save(tmp_path / 'plain.npy', np.zeros(3))
    with pytest.raises(HandModelError, match='plain.npy'):
        load_hand_model(tmp_path / 'plain.npy')
    with pytest.raises(HandModelError, match='gone.npz: No such file'):
        load_hand_models(tmp_path / 'gone.npz')
    monkeypatch.setattr('hand_pose_ros.resources._PACKAGE', tmp_path / 'hand_pose_ros')
    with pytest.raises(HandModelError, match='hand_model.npz'):
        load_hand_model()


def test_objects_in_the_file_are_not_unpickled(tmp_path):
    np.savez(tmp_path / 'hand.npz', format=np.array([{'a': 1}], dtype=object))
    with pytest.raises(HandModelError, match='hand.npz'):
        load_hand_model(tmp_path / 'hand.npz')
    assert not any('pickle' in name for name in zipfile.ZipFile(resource_path('models', 'hand_model.npz')).namelist())


def test_building_from_known_hands_gives_them_back():
    """Hands that the shipped model makes, standing about in the world, are all that a model of them needs."""
    pytest.importorskip('tqdm', reason='building the model takes the training requirements')
    from training.assets.hand_model import Hands, build, remainder

    rng = np.random.default_rng(4)
    shapes = rng.normal(size=(40, 3))
    turns, shifts = random_rotations(rng, 40), rng.normal(size=(40, 1, 3))
    cap = len(RIGHT.vertices) - 1
    open_faces = RIGHT.faces[~(RIGHT.faces == cap).any(1)]
    vertices = RIGHT.vertices[:cap] + np.einsum('vis,ns->nvi', RIGHT.vertex_basis[:cap, :, :3], shapes)
    joints = RIGHT.joints + np.einsum('jis,ns->nji', RIGHT.joint_basis[:, :, :3], shapes)
    hands = Hands(
        vertices @ np.swapaxes(turns, 1, 2) + shifts,
        joints @ np.swapaxes(turns, 1, 2) + shifts,
        RIGHT.axes @ np.swapaxes(turns, 1, 2)[:, None],
        RIGHT.weights[:cap].astype(float),
        open_faces,
    )
    model = build(hands, 3, 'a test')
    assert all(part.max() < 1e-4 for part in remainder(model, hands))
    np.testing.assert_allclose(model.axes, RIGHT.axes, atol=1e-3)
    np.testing.assert_allclose(model.rest_angles, RIGHT.rest_angles, atol=1e-3)
    np.testing.assert_allclose(model.vertices, vertices_of(shapes.mean(0)), atol=1e-4)
    assert {tuple(face) for face in model.faces.tolist()} == {tuple(face) for face in RIGHT.faces.tolist()}
    lengths = [np.linalg.norm(model.rest_joints(np.array([size, 0, 0]))[12]) for size in (-1, 1)]
    assert lengths[0] < lengths[1]  # the first parameter is the size, larger for more


def vertices_of(shape: np.ndarray) -> np.ndarray:
    return RIGHT.vertices + RIGHT.vertex_basis[:, :, : len(shape)] @ shape


def test_names_of_the_angles_fit_the_model():
    assert len(DOF_NAMES) == len(RIGHT.rest_angles)
    assert ((RIGHT.rest_angles >= LOWER) & (RIGHT.rest_angles <= UPPER)).all()


@pytest.mark.parametrize(
    'name, change, words',
    [
        ('weights', 1e300, 'not finite'),
        ('vertices', 1e30, 'its skin .* m away'),
        ('joints', 100.0, 'palm is .* m long'),
    ],
)
def test_a_hand_model_whose_poses_are_none_is_refused(name, change, words, tmp_path):
    arrays = dict(np.load(resource_path('models', 'hand_model.npz')))
    arrays[name] = arrays[name].astype(float) * change
    np.savez_compressed(tmp_path / 'hand.npz', **arrays)
    with pytest.raises(HandModelError, match=f'hand.npz: .*({words})'):
        load_hand_model(tmp_path / 'hand.npz')
