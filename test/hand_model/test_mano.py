"""MANO's files: reading them without running anything in them, and posing what they hold."""

from __future__ import annotations

import os
import pickle
import struct
import tracemalloc
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from synthetic_mano import MIRROR, PARENTS, TIP_VERTICES, mano_arrays, pickled, write_mano

from hand_pose_ros.geometry.joints import JOINTS, SIDES, TIPS
from hand_pose_ros.geometry.rotations import rotation_vector_to_matrix
from hand_pose_ros.hand_model import mano_file
from hand_pose_ros.hand_model.inverse_kinematics import InverseKinematics
from hand_pose_ros.hand_model.kinematics import DOF_INDEX, LOWER, UPPER
from hand_pose_ros.hand_model.loading import load_hand_models
from hand_pose_ros.hand_model.mano import ManoModel, load_mano
from hand_pose_ros.hand_model.model import HandModelError, load_hand_model

#: First vertex of each of our joints in MANO's numbering of its 16.
MANO_JOINT = {
    'wrist': 0,
    'index_mcp': 1,
    'middle_mcp': 4,
    'pinky_mcp': 7,
    'ring_mcp': 10,
    'thumb_cmc': 13,
    'index_dip': 3,
    'pinky_pip': 8,
    'thumb_ip': 15,
}


@pytest.fixture(scope='module')
def folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp('mano')
    with pytest.MonkeyPatch.context() as patch:
        for side in SIDES:
            write_mano(folder / f'MANO_{side.upper()}.pkl', mano_arrays(side), patch)
    return folder


@pytest.fixture(scope='module')
def models(folder) -> dict[str, ManoModel]:
    return {side: load_mano(folder / f'MANO_{side.upper()}.pkl') for side in SIDES}


def reference(data: dict, pose: np.ndarray, shape: np.ndarray, turn: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Vertices and MANO's 16 joints by the formulas of its paper, one loop and one 4x4 matrix at a time."""
    rotations = [cv2.Rodrigues(v)[0] for v in np.concatenate([turn, pose]).reshape(16, 3)]
    shaped = data['v_template'] + sum(data['shapedirs'][:, :, s] * shape[s] for s in range(10))
    joints = data['J_regressor'] @ shaped
    posed = shaped.copy()
    for bone in range(1, 16):
        for element in range(9):
            posed += data['posedirs'][:, :, 9 * (bone - 1) + element] * (rotations[bone] - np.eye(3)).ravel()[element]
    chain = []
    for bone in range(16):
        local = np.eye(4)
        local[:3, :3] = rotations[bone]
        local[:3, 3] = joints[bone] - (joints[PARENTS[bone]] if bone else 0)
        chain.append(chain[PARENTS[bone]] @ local if bone else local)
    moves = []
    for bone in range(16):
        back = np.eye(4)
        back[:3, 3] = -joints[bone]
        moves.append(chain[bone] @ back)
    vertices = np.array(
        [(sum(w * m for w, m in zip(row, moves)) @ [*v, 1])[:3] for row, v in zip(data['weights'], posed)]
    )
    return vertices, np.array([matrix[:3, 3] for matrix in chain])


@pytest.mark.parametrize('side', SIDES)
def test_vertices_and_joints_are_those_of_the_paper(side, models):
    rng = np.random.default_rng(0)
    data, model = mano_arrays(side), models[side]
    if side == 'left':
        data['shapedirs'] = data['shapedirs'] * MIRROR[:, None]  # the fault of the file put right
    assert model.vertices.shape == (778, 3) and model.shape_size == 10
    for _ in range(3):
        pose, shape = rng.normal(0, 0.5, 45), rng.normal(0, 1.5, 10)
        turn, shift = rng.normal(size=(2, 3))
        vertices, joints = reference(data, pose, shape, turn)
        posed = model.pose_bones(model.bone_rotations(pose), shape, rotation_vector_to_matrix(turn), shift)
        np.testing.assert_allclose(posed.vertices, vertices + shift, atol=2e-6)
        for name, number in MANO_JOINT.items():
            np.testing.assert_allclose(posed.joints[JOINTS.index(name)], joints[number] + shift, atol=1e-9)


@pytest.mark.parametrize('side', SIDES)
def test_pose_blend_shapes_matter(side, models):
    model = models[side]
    rotations = model.bone_rotations(np.full(45, 0.4))
    plain = replace(model, pose_basis=None).pose_bones(rotations)
    gap = np.linalg.norm(model.pose_bones(rotations).vertices - plain.vertices, axis=1)
    assert 5e-4 < gap.mean() < 1e-2


@pytest.mark.parametrize('side', SIDES)
def test_tips_lie_4_mm_under_the_usual_vertices(side, models):
    model = models[side]
    for tip, vertex in zip(TIPS, TIP_VERTICES[side]):
        inwards = model.joints[tip] - model.vertices[vertex]
        assert np.linalg.norm(inwards) == pytest.approx(0.004, abs=1e-6)
        assert inwards @ (model.joints[tip - 1] - model.vertices[vertex]) > 0.0039 * np.linalg.norm(
            model.joints[tip - 1] - model.vertices[vertex]
        )


def test_principal_components_of_the_pose(models):
    data, model = mano_arrays('right'), models['right']
    np.testing.assert_allclose(model.pose_of_components(np.zeros(6)), data['hands_mean'])
    expected = data['hands_mean'] + 0.5 * data['hands_components'][0] - 2 * data['hands_components'][2]
    np.testing.assert_allclose(model.pose_of_components([0.5, 0, -2]), expected)


def test_left_file_gives_the_mirror_image_of_the_right_one(models):
    rng = np.random.default_rng(1)
    left, right = models['left'], models['right']
    assert left.side == 'left'
    coefficients, shape = rng.normal(size=12), rng.normal(0, 1.5, 10)
    posed = [
        model.pose_bones(model.bone_rotations(model.pose_of_components(coefficients)), shape)
        for model in (left, right, right.mirrored())
    ]
    for mirrored in (posed[0], posed[2]):
        np.testing.assert_allclose(mirrored.joints, posed[1].joints * MIRROR, atol=1e-9)
        np.testing.assert_allclose(mirrored.vertices, posed[1].vertices * MIRROR, atol=1e-6)
    np.testing.assert_array_equal(left.faces, right.faces[:, ::-1])
    assert right.mirrored().mirrored().vertices.tobytes() == right.vertices.tobytes()
    np.testing.assert_array_equal(right.mirrored().mirrored().pose_basis, right.pose_basis)


def test_fault_of_the_left_shape_directions(folder, tmp_path, monkeypatch):
    data = mano_arrays('left')
    mended = {**data, 'shapedirs': data['shapedirs'] * MIRROR[:, None]}
    expected = mended['shapedirs'].astype(np.float32)
    alone = write_mano(tmp_path / 'MANO_LEFT.pkl', data, monkeypatch)
    np.testing.assert_array_equal(load_mano(alone).vertex_basis, expected)
    np.testing.assert_array_equal(
        load_mano(alone, mirror_left_shape=False).vertex_basis, data['shapedirs'].astype(np.float32)
    )
    # Beside the right hand's file, one that somebody has put right is left as it is.
    (tmp_path / 'MANO_RIGHT.pkl').write_bytes((folder / 'MANO_RIGHT.pkl').read_bytes())
    write_mano(alone, mended, monkeypatch)
    np.testing.assert_array_equal(load_mano(alone).vertex_basis, expected)


def test_npz_and_a_pickle_of_python_3_hold_the_same(models, tmp_path):
    data = mano_arrays('right')
    np.savez(tmp_path / 'MANO_RIGHT.npz', **data)
    with (tmp_path / 'mine_right.pkl').open('wb') as stream:
        pickle.dump(data, stream, protocol=2)
    for path in (tmp_path / 'MANO_RIGHT.npz', tmp_path / 'mine_right.pkl'):
        for name in ('vertices', 'vertex_basis', 'joints', 'weights', 'pose_basis', 'axes'):
            np.testing.assert_allclose(getattr(load_mano(path), name), getattr(models['right'], name), atol=1e-9)
    assert load_hand_models(tmp_path / 'MANO_RIGHT.npz')[0].vertices.shape == (778, 3)


class _Call:
    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize('where', ['alone', 'key', 'inside chumpy', 'state'])
def test_a_pickle_that_wants_to_run_something_is_refused(where, tmp_path, monkeypatch):
    ran = tmp_path / 'ran'
    call = _Call(os.system, f'touch {ran}')
    path = tmp_path / 'MANO_RIGHT.pkl'
    data = mano_arrays('right')
    if where == 'alone':
        path.write_bytes(pickle.dumps(call, protocol=2))
    elif where == 'key':
        write_mano(path, {**data, 'bonus': call}, monkeypatch)
    elif where == 'inside chumpy':
        write_mano(path, {**data, 'weights': [call]}, monkeypatch)
    else:
        path.write_bytes(b'cbuiltins\nset\n' + pickled(data, monkeypatch)[2:-1] + b'0cos\nsystem\n(S"true"\ntR.')
    with pytest.raises(HandModelError, match=rf'{path.name}: refused, as it names (posix|os|nt)\.system'):
        load_mano(path)
    assert not ran.exists()


@pytest.mark.parametrize(
    'name',
    [
        ('builtins', 'eval'),
        ('builtins', 'getattr'),
        ('numpy', 'load'),
        ('numpy.core.multiarray', 'fromstring'),
        ('scipy.sparse.linalg', 'eigs'),
        ('chumpy.ch', 'ChLambda'),
        ('hand_pose_ros.hand_model.mano', 'load_mano'),
    ],
)
def test_other_names_are_refused_by_name(name, tmp_path):
    path = tmp_path / 'MANO_LEFT.pkl'
    path.write_bytes('\x80\x02c{}\n{}\n.'.format(*name).encode('latin1'))
    with pytest.raises(HandModelError, match=r'MANO_LEFT\.pkl: refused, as it names ' + r'\.'.join(name)):
        load_mano(path)


def test_reconstruction_of_plain_objects_makes_none(tmp_path):
    path = tmp_path / 'MANO_LEFT.pkl'
    path.write_bytes(b'ccopy_reg\n_reconstructor\n(c__builtin__\nset\nc__builtin__\nobject\nNtR.')
    with pytest.raises(HandModelError, match='it holds a Record_plain, not a dictionary'):
        load_mano(path)


_DTYPE = b'cnumpy\ndtype\n(S"f8"\nI0\nI1\ntR'
_ARRAY = b'cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I0\ntS"b"\ntR'


@pytest.mark.parametrize(
    ('array', 'words'),
    [
        (_DTYPE + b'(I3\nS"|"\n(S"x"\ntN(dI0\nI8\ntb', 'it is a dtype'),
        (_ARRAY + b'(I1\n(I2000000\nt' + _DTYPE + b'I00\nS"12345678"\ntb', 'it holds 1 numbers for the shape'),
        (_ARRAY + b'(I1\n(I9999999999\nt' + _DTYPE + b'I00\nS"12345678"\ntb', 'or one not from 0 to 2000000'),
        (_ARRAY + b'(I1\n(I2000\nI2000\nt' + _DTYPE + b'I00\nS"12345678"\ntb', 'more than 2000000 numbers'),
        (_ARRAY + b'(I1\n(I1\nt' + _DTYPE + b'(I3\nS"<"\nN(S"a"\ntN(dI8\ntbI00\nS"12345678"\ntb', 'compound'),
        (_ARRAY + b'(I1\n(I1\ntcnumpy\ndtype\n(S"O8"\ntRI00\nS"12345678"\ntb', 'none of numbers'),
        (b'((I1\nI2\nt(I1\nI2\ntt', 'it is a tuple'),
    ],
    ids=['fields', 'shape beyond its numbers', 'long side', 'many numbers', 'compound numbers', 'objects', 'nested'],
)
def test_crafted_arrays_are_refused_as_data(array, words, tmp_path):
    path = tmp_path / 'MANO_RIGHT.pkl'
    path.write_bytes(b'(dS"v_template"\n' + array + b's.')
    with pytest.raises(HandModelError, match=f'v_template cannot be read .*{words}'):
        load_mano(path)


@pytest.mark.parametrize(
    ('content', 'words'),
    [
        (b'cnumpy\ndtype\n(dS"x"\nI1\nsb.', 'changes a type'),
        (b'(lI1\na(tR.', 'calls a list with a tuple'),
        (b'cnumpy\nndarray\nS"ab"\n\x81.', 'calls a type with a str'),
        (b'(d(I1\ntI2\ns.', 'keys that are no names'),
        (b'(dI1\nI2\ns.', 'keys that are no names'),
        (b'(dS"' + b'a' * 81 + b'"\nI2\ns.', 'keys that are no names'),
        (b'\x80\x04\x8f(K\x01\x90.', 'opcodes of sets'),
        (b'(icopy_reg\n_reconstructor\n.', 'other ways to make objects'),
        (b'I1\np%d\n.' % (2**61 - 1), 'numbers its parts beyond all of them'),
        (b'cos\n' + b'a' * 5000 + b'\n.', r'names os\.a{80}:'),
    ],
    ids=[
        'build of a class',
        'call of a list',
        'text',
        'tuple key',
        'number',
        'long key',
        'set',
        'inst',
        'memo',
        'name',
    ],
)
def test_a_pickle_changes_and_calls_nothing(content, words, tmp_path):
    path = tmp_path / 'MANO_RIGHT.pkl'
    path.write_bytes(content)
    with pytest.raises(HandModelError, match=words):
        load_mano(path)


def _doubled(levels: int, leaf: bytes = b'I1\n') -> bytes:
    """A tuple of twice the same tuple, and so on: short in a pickle, endless when it is written out or hashed."""
    return leaf + b'q\0' + b''.join(b'0h%ch%c\x86q%c' % (n, n, n + 1) for n in range(levels))


def _integers(*numbers: int) -> bytes:
    raw = struct.pack(f'<{len(numbers)}q', *numbers)
    dtype = _DTYPE.replace(b'f8', b'i8')
    return _ARRAY + b'(I1\n(I%d\nt' % len(numbers) + dtype + b'I00\nT' + struct.pack('<i', len(raw)) + raw + b'tb'


def _sparse(pointers: tuple[int, ...], inner: tuple[int, ...]) -> bytes:
    parts = zip((b'indptr', b'indices', b'data'), (pointers, inner, inner))
    state = b''.join(b'S"%s"\n' % name + _integers(*numbers) + b's' for name, numbers in parts)
    return b'cscipy.sparse\ncsc_matrix\n)\x81(dS"shape"\n(I3\nI4\nts' + state + b'b'


def _selects(levels: int) -> bytes:
    step = b'0cchumpy.reordering\nSelect\n)\x81(dS"a"\nh%csS"idxs"\nh%csbq%c'
    return _integers(0) + b'q\0' + b''.join(step % (n, n, n + 1) for n in range(levels))


_WRAPPED = 1 << 62


@pytest.mark.parametrize(
    ('value', 'words'),
    [
        # Steps of 2^62 add up to nothing in 64 bits.
        (_sparse((0, _WRAPPED, -2 * _WRAPPED, -_WRAPPED, 0), ()), 'does not fit together'),
        (_sparse((0, 1, 1), (0,)), 'does not fit together'),
        (_sparse((1, 1, 1, 1, 1), (0,)), 'does not fit together'),
        (_sparse((0, 2, 1, 1, 1), (0,)), 'does not fit together'),
        (_sparse((0, 1, 1, 1, 1), (3,)), 'does not fit together'),
        (_sparse((0, 1, 1, 1, 1), (-1,)), 'does not fit together'),
        (_sparse((0, 1, 1, 1, 1), (2,)), r'v_template has shape \(3, 4\)'),
        (_selects(26), 'more than 5 records within one another'),
        (_doubled(28) + b')R', 'calls a tuple with a tuple'),
        (_ARRAY + b'(I1\n' + _doubled(28) + b'NI00\nS""\ntb', 'its shape is no tuple of whole numbers'),
        (
            _ARRAY + b'(I1\n(I1\nt' + b'cnumpy\ndtype\n' + _doubled(28) + b'\x85RI00\nS""\ntb',
            'its type is none of numbers',
        ),
        (_ARRAY + b'(I1\n(I1\nt' + _DTYPE + b'(I3\n' + _doubled(28) + b'NNNtbI00\nS""\ntb', 'no byte order'),
        (_ARRAY + b'(I1\n(' + b'I%d\n' % 10**4000 * 8 + b't' + _DTYPE + b'I00\nS""\ntb', 'not from 0 to'),
        (b'\x96' + struct.pack('<Q', 3 << 30), 'of other memory'),
        # Every call would copy the tuple.
        (b'(' + b'N' * 1000 + b'tq\x010(' + b'cnumpy\nndarray\nh\1R' * 9000 + b't', 'it is a tuple'),
        (b'(' + b'N' * 200_000 + b't', 'more than 200000 opcodes'),
    ],
    ids=[
        *('steps that wrap', 'few pointers', 'first pointer', 'steps backwards', 'index', 'negative index', 'whole'),
        *('selects', 'call', 'shape', 'type', 'byte order', 'large shape', 'bytearray', 'copies', 'opcodes'),
    ],
)
def test_small_pickles_take_little_time_and_memory(value, words, tmp_path):
    path = tmp_path / 'MANO_RIGHT.pkl'
    path.write_bytes(b'(dS"v_template"\n' + value + b's.')
    tracemalloc.start()
    try:
        with pytest.raises(HandModelError, match=words) as caught:
            load_mano(path)
        assert tracemalloc.get_traced_memory()[1] < 20e6
    finally:
        tracemalloc.stop()
    assert len(str(caught.value)) < 1000


def test_a_pickle_has_no_more_bytes_than_a_hand(tmp_path, monkeypatch):
    monkeypatch.setattr(mano_file, '_MAX_BYTES', 2_000_000)
    path = tmp_path / 'MANO_RIGHT.pkl'
    path.write_bytes(bytes(2_000_001))
    with pytest.raises(HandModelError, match='it has more than 2 MB'):
        load_mano(path)


@pytest.mark.parametrize('load', [load_mano, load_hand_model], ids=['mano', 'ours'])
@pytest.mark.parametrize(
    ('array', 'words'),
    [
        (np.zeros((80_000, 3, 100), bool), 'in double precision its arrays take more than 128 MB'),
        (np.zeros((100_001, 3), bool), 'no side may be longer than 100000'),
        (np.zeros((10, 3), complex), 'neither real numbers nor text'),
    ],
    ids=['bytes', 'rows', 'complex'],
)
def test_an_archive_that_becomes_more_than_a_hand_model_is_refused(load, array, words, tmp_path):
    path = tmp_path / 'MANO_RIGHT.npz'
    np.savez_compressed(path, f=array)
    assert path.stat().st_size < 50_000
    with pytest.raises(HandModelError, match=words):
        load(path)


@pytest.mark.parametrize(
    'change, words',
    [
        ({'weights': None}, 'weights is missing'),
        ({'v_template': np.zeros((6890, 3))}, r'v_template has shape \(6890, 3\)'),
        ({'posedirs': np.full((778, 3, 135), np.nan)}, 'posedirs holds values that are not finite'),
        ({'shapedirs': np.zeros((778, 3, 4))}, 'shapedirs has 4 shape parameters'),
        ({'kintree_table': np.zeros((2, 16))}, 'kintree_table'),
        ({'f': np.full((4, 3), 778)}, 'f names vertices beyond'),
        ({'hands_mean': np.array(['1'] * 45)}, 'hands_mean cannot be read'),
    ],
)
def test_incomplete_files_say_what_is_wrong(change, words, tmp_path):
    data = {**mano_arrays('right'), **change}
    np.savez(tmp_path / 'MANO_RIGHT.npz', **{key: value for key, value in data.items() if value is not None})
    with pytest.raises(HandModelError, match=words) as caught:
        load_mano(tmp_path / 'MANO_RIGHT.npz')
    assert str(tmp_path / 'MANO_RIGHT.npz') in str(caught.value)


def test_unreadable_files_are_named(folder, tmp_path):
    whole = (folder / 'MANO_RIGHT.pkl').read_bytes()
    rng = np.random.default_rng(2)
    for content in (b'', b'not a pickle', whole[:1000], whole[:-10], pickle.dumps([1, 2])):
        (tmp_path / 'MANO_RIGHT.pkl').write_bytes(content)
        with pytest.raises(HandModelError, match='MANO_RIGHT.pkl'):
            load_mano(tmp_path / 'MANO_RIGHT.pkl')
    for _ in range(40):
        damaged = bytearray(whole[:4000])
        damaged[rng.integers(4000)] = rng.integers(256)
        (tmp_path / 'MANO_RIGHT.pkl').write_bytes(bytes(damaged))
        with pytest.raises(HandModelError, match='MANO_RIGHT.pkl'):
            load_mano(tmp_path / 'MANO_RIGHT.pkl')
    with pytest.raises(HandModelError, match='no such file'):
        load_mano(tmp_path / 'MANO_LEFT.pkl')
    with pytest.raises(HandModelError, match='does not say its side'):
        load_mano(tmp_path / 'hand.pkl')
    with pytest.raises(HandModelError, match='no MANO_RIGHT.pkl'):
        load_hand_models(tmp_path / '..')


def test_fitting_mano_both_sides(folder, models):
    rng = np.random.default_rng(4)
    fitter = InverseKinematics(*load_hand_models(folder))
    for side in SIDES:
        model = models[side]
        angles = np.clip(np.radians(rng.uniform(0, 60, len(LOWER))), 0.6 * LOWER, 0.6 * UPPER)
        angles[DOF_INDEX['index_pip_flexion']] = 1.2
        truth = model.pose(angles, rng.normal(0, 0.7, 10), rotation_vector_to_matrix(rng.normal(size=3)), [0, 0.1, 0.5])
        fit = fitter.fit(truth.joints, side)
        assert fit.residual < 0.003
        assert fit.vertices.shape == (778, 3)
        assert np.linalg.norm(fit.vertices - truth.vertices, axis=1).mean() < 0.004
        assert fit.angles['index_pip_flexion'] == pytest.approx(1.2, abs=0.12)
        np.testing.assert_array_equal(fit.faces, model.faces)
