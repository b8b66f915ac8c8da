"""Files in exactly the format of MANO's, with a made-up hand in them: MANO itself is licensed and not here.

The pickles are what Python 2 wrote: protocol 2, every string a byte string, classes of chumpy and scipy by their old
module names.
"""

from __future__ import annotations

import io
import pickle
import struct
import sys
import types
from pathlib import Path

import numpy as np

from hand_pose_ros.geometry.joints import TIPS
from hand_pose_ros.geometry.rotations import random_rotations
from hand_pose_ros.hand_model.model import load_hand_model

MIRROR = np.array([-1.0, 1.0, 1.0])
#: Our bones in MANO's order (wrist, index, middle, pinky, ring, thumb): the inverse of what the reader has to do.
BONES = [0, 4, 5, 6, 7, 8, 9, 13, 14, 15, 10, 11, 12, 1, 2, 3]
PARENTS = [-1, 0, 1, 2, 0, 4, 5, 0, 7, 8, 0, 10, 11, 0, 13, 14]
TIP_VERTICES = {'left': [745, 317, 445, 556, 673], 'right': [745, 317, 444, 556, 673]}


def mano_arrays(side: str) -> dict[str, np.ndarray]:
    """MANO's arrays, of a hand that the shipped model's vertices make up; a left one has MANO_LEFT's known fault."""
    rng = np.random.default_rng(3)
    model = load_hand_model()
    turn, shift = random_rotations(rng, 1)[0], np.array([0.09, 0.01, -0.02])
    bones = [joint for joint in range(21) if joint not in TIPS]
    joints = (model.joints[bones] @ turn.T + shift)[BONES]
    chosen = rng.permutation(len(model.vertices))[:778]
    for left, right, tip in zip(*TIP_VERTICES.values(), TIPS):
        chosen[[left, right]] = np.argmin(
            np.linalg.norm(
                model.vertices - model.joints[tip] - 0.2 * (model.joints[tip] - model.joints[tip - 1]), axis=1
            )
        )
    template = model.vertices[chosen].astype(float) @ turn.T + shift
    regressor = np.zeros((16, 778))
    for row, joint in zip(regressor, joints):
        # The smallest weights on the nearest vertices that sum to one and meet in the joint.
        near = np.argsort(np.linalg.norm(template - joint, axis=1))[:40]
        row[near] = np.linalg.pinv(np.vstack([template[near].T, np.ones(40)])) @ [*joint, 1]
    shapes = np.einsum('ij,vjs->vis', turn, model.vertex_basis[chosen].astype(float))
    components = np.linalg.qr(rng.normal(size=(45, 45)))[0]
    data = {
        'v_template': template,
        'shapedirs': shapes,
        'posedirs': rng.normal(0, 4e-4, (778, 3, 135)),
        'J_regressor': regressor,
        'weights': model.weights[chosen][:, BONES].astype(float),
        'kintree_table': np.array([[4294967295, *PARENTS[1:]], range(16)]),
        'f': rng.integers(0, 778, (1538, 3)).astype(np.uint32),
        'hands_components': components,
        'hands_mean': rng.normal(0, 0.2, 45),
    }
    if side == 'right':
        return data
    turned = np.tile([1.0, -1.0, -1.0], 15)
    return {
        **data,
        'v_template': template * MIRROR,
        'f': data['f'][:, ::-1],
        'posedirs': data['posedirs'] * MIRROR[:, None] * np.tile(np.outer(MIRROR, MIRROR).ravel(), 15),
        'hands_components': components * turned,
        'hands_mean': data['hands_mean'] * turned,
    }


class _Python2Pickler(pickle._Pickler):
    """Writes text and bytes as Python 2's ``str``."""

    dispatch = dict(pickle._Pickler.dispatch)

    def _save_string(self, value: str | bytes) -> None:
        raw = value.encode('latin1') if isinstance(value, str) else value
        self.write(pickle.BINSTRING + struct.pack('<i', len(raw)) + raw)
        self.memoize(value)

    dispatch[str] = dispatch[bytes] = _save_string


def _class(module: str, name: str) -> type:
    """Make an empty class that pickle finds under a foreign name."""
    made = type(name, (), {'__module__': module})
    for depth in range(1, module.count('.') + 2):
        sys.modules.setdefault('.'.join(module.split('.')[:depth]), types.ModuleType(module))
    setattr(sys.modules[module], name, made)
    return made


def _instance(kind: type, **state: object) -> object:
    made = kind()
    made.__dict__.update(state)
    return made


def pickled(data: dict, monkeypatch) -> bytes:
    """Pickle MANO's arrays as its authors did: the regressor sparse, the shape directions a part of more."""
    for name in ('chumpy', 'chumpy.ch', 'chumpy.reordering', 'scipy', 'scipy.sparse', 'scipy.sparse.csc'):
        # Real ones, should they be here, come back after the test.
        monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    ch, select = _class('chumpy.ch', 'Ch'), _class('chumpy.reordering', 'Select')
    matrix = _class('scipy.sparse.csc', 'csc_matrix')
    regressor, shapes = data['J_regressor'], data['shapedirs']
    columns, rows = np.nonzero(regressor.T)
    all_shapes = np.concatenate([shapes, shapes[:, :, :10] + 1], 2)
    kept = np.arange(all_shapes.size).reshape(all_shapes.shape)[:, :, :10].ravel()
    common = {'_dirty_vars': set(), '_itr': None, '_depends_on_deps': {}, '_make_dense': False, '_make_sparse': False}
    content = {
        **data,
        'bs_style': 'lbs',
        'bs_type': 'lrotmin',
        'hands_coeffs': np.zeros((3, 45)),
        'J_regressor': _instance(
            matrix,
            data=regressor[rows, columns],
            indices=rows.astype(np.int32),
            indptr=np.searchsorted(columns, np.arange(779)).astype(np.int32),
            _shape=regressor.shape,
            maxprint=50,
        ),
        'shapedirs': _instance(
            select,
            **common,
            a=_instance(ch, **{**common, '_dirty_vars': {'x'}}, x=all_shapes),
            idxs=kept,
            preferred_shape=(778, 3, 10),
        ),
    }
    stream = io.BytesIO()
    _Python2Pickler(stream, protocol=2).dump(content)
    raw = stream.getvalue().replace(b'cnumpy._core.multiarray\n', b'cnumpy.core.multiarray\n')
    assert b'c__builtin__\nset\n' in raw and b'cchumpy.reordering\nSelect\n' in raw and raw[:2] == b'\x80\x02'
    return raw


def write_mano(path: Path, data: dict, monkeypatch) -> Path:
    """Write MANO's arrays as a pickle of Python 2."""
    path.write_bytes(pickled(data, monkeypatch))
    return path
