"""MANO's own files (Romero, Tzionas and Black, "Embodied Hands", 2017) as a :class:`model.HandModel`.

The files are licensed by their authors and are not part of this package. A pickle of theirs was written by Python 2
and names classes of chumpy and scipy; it is read as data, without either (:mod:`mano_file`). An ``.npz`` with the same
keys (the joint regressor dense) is read without pickle.

What becomes of MANO's conventions:

- Its bones come as wrist, index, middle, pinky, ring, thumb; here they are put in the order of ``geometry.joints``.
- Its 16 joints have no fingertips. The usual vertices at the fingers' ends (those of manopth and its followers) are
  moved 4 mm towards the finger's last joint, which is what this package calls a tip, and follow the last bone.
- In the released ``MANO_LEFT.pkl`` the shape directions are those of the right hand, x not mirrored
  (vchoutas/smplx#48), so that one shape gives two different hands. :func:`load_mano` mirrors them.
- Flexion and abduction axes come from the geometry of the average hand, as for the shipped model.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from hand_pose_ros.files import printable, reading, reason
from hand_pose_ros.geometry.joint_orders import MANO
from hand_pose_ros.geometry.joints import JOINTS, SIDES, TIPS
from hand_pose_ros.geometry.rotations import rotation_vector_to_matrix
from hand_pose_ros.hand_model.arrays import HAND_MODEL, read_npz
from hand_pose_ros.hand_model.kinematics import BONE_JOINTS, bone_axes, flexion_axes, measure_rest_angles
from hand_pose_ros.hand_model.mano_file import RefusedError, read_pickle, to_array
from hand_pose_ros.hand_model.model import HandModel, HandModelError, checked_by_posing

#: MANO's number of each bone of ``kinematics.BONE_JOINTS``.
MANO_BONES = tuple(MANO.index(JOINTS[joint]) for joint in BONE_JOINTS)
#: MANO's parent of each of its own bones.
MANO_PARENTS = (-1, 0, 1, 2, 0, 4, 5, 0, 7, 8, 0, 10, 11, 0, 13, 14)
#: Vertices at the fingers' ends, thumb first.
TIP_VERTICES = {'right': (745, 317, 444, 556, 673), 'left': (745, 317, 445, 556, 673)}
#: How far a tip lies under the skin, meters.
TIP_DEPTH = 0.004

VERTICES, SHAPES, POSE = 778, 10, 45

_ARRAYS = {
    'v_template': (VERTICES, 3),
    'shapedirs': (VERTICES, 3, None),
    'posedirs': (VERTICES, 3, 135),
    'J_regressor': (16, VERTICES),
    'weights': (VERTICES, 16),
    'kintree_table': (2, 16),
    'f': (None, 3),
    'hands_components': (POSE, POSE),
    'hands_mean': (POSE,),
}
_LICENSE = 'MANO license, mano.is.tue.mpg.de/license: research use only unless agreed otherwise with its authors.'


@dataclass(frozen=True, kw_only=True)
class ManoModel(HandModel):
    """A hand of MANO: 778 vertices, 10 shape and 45 pose parameters, pose blend shapes.

    Attributes:
        hands_components: (45, 45) principal components of the pose, one a row.
        hands_mean: (45,) average pose.

    """

    hands_components: np.ndarray
    hands_mean: np.ndarray

    def mirrored(self) -> ManoModel:
        """Return the exact mirror image, see :meth:`HandModel.mirrored`; its pose parameters are mirrored too."""
        sign = np.tile([1.0, -1.0, -1.0], POSE // 3)
        return replace(
            super().mirrored(), hands_components=self.hands_components * sign, hands_mean=self.hands_mean * sign
        )

    def pose_of_components(self, coefficients: np.ndarray) -> np.ndarray:
        """Pose (45,) of the first n components' coefficients (n,) about the average pose."""
        coefficients = np.asarray(coefficients, dtype=float)
        return self.hands_mean + coefficients @ self.hands_components[: len(coefficients)]

    def bone_rotations(self, pose: np.ndarray) -> np.ndarray:
        """Rotations (16, 3, 3) for :meth:`HandModel.pose_bones` of MANO's pose (45,): rotation vectors of its bones
        1 to 15, in its order, relative to its flat rest pose.
        """
        vectors = np.zeros((len(MANO_BONES), 3))
        vectors[1:] = np.reshape(pose, (-1, 3))
        return rotation_vector_to_matrix(vectors[list(MANO_BONES)])


def load_mano(path: str | Path, mirror_left_shape: bool | None = None) -> ManoModel:
    """Read ``MANO_RIGHT.pkl``, ``MANO_LEFT.pkl`` or an ``.npz`` with the same keys; the side is in the name.

    Args:
        path: the file.
        mirror_left_shape: whether a left hand's shape directions are the right's and need mirroring. By default they
            are compared with those of the right hand's file beside it; without one they are mirrored, as every
            released left file needs.

    Raises:
        HandModelError: the file is missing, damaged, incomplete or names a class that no MANO file needs; the
            message names the file.

    """
    path = Path(path)
    sides = [side for side in SIDES if side in path.stem.lower()]
    if len(sides) != 1:
        raise HandModelError(
            f'{path}: the name of this MANO file does not say its side; '
            f'name it MANO_LEFT{path.suffix} or MANO_RIGHT{path.suffix}'
        )
    with reading(path, HandModelError, 'a hand of MANO; download it again'):
        return checked_by_posing(_load(path, sides[0], mirror_left_shape), path)


def _load(path: Path, side: str, mirror_left_shape: bool | None) -> ManoModel:
    data = _read(path)
    shapes = data['shapedirs'][:, :, :SHAPES].copy()
    if side == 'left':
        if mirror_left_shape is None:
            mirror_left_shape = _same_as_right(path, shapes)
        if mirror_left_shape:
            shapes[:, 0] *= -1
    with np.errstate(all='ignore'):  # of what a damaged file makes; the hand that comes out is checked
        return _model(side, data, shapes, path)


def _same_as_right(path: Path, shapes: np.ndarray) -> bool:
    for old, new in (('LEFT', 'RIGHT'), ('left', 'right'), ('Left', 'Right')):
        right = path.with_name(path.name.replace(old, new))
        if right != path and right.is_file():
            other = _read(right)['shapedirs'][:, 0, :SHAPES]
            return bool(np.abs(other - shapes[:, 0]).sum() < np.abs(other + shapes[:, 0]).sum())
    return True


def _model(side: str, data: dict[str, np.ndarray], shapes: np.ndarray, path: Path) -> ManoModel:
    order = list(MANO_BONES)
    template, regressor = data['v_template'], data['J_regressor'][order]
    weights = data['weights'][:, order]
    ends = list(TIP_VERTICES[side])
    tips = list(TIPS)
    bones = [joint for joint in range(21) if joint not in tips]
    joints, joint_basis = np.zeros((21, 3)), np.zeros((21, 3, SHAPES))
    joints[bones], joint_basis[bones] = regressor @ template, np.einsum('bv,vis->bis', regressor, shapes)
    joint_basis[tips] = shapes[ends]
    along = template[ends] - joints[[tip - 1 for tip in tips]]
    joints[tips] = template[ends] - TIP_DEPTH * along / np.linalg.norm(along, axis=1, keepdims=True)

    # The axes of a left hand are those of its mirror image.
    mirror = np.array([1.0 if side == 'right' else -1.0, 1.0, 1.0])
    right = joints * mirror
    thumb_end = (template * mirror)[weights[:, 3] > 0.7]
    if len(thumb_end) < 3:
        raise HandModelError(
            f"{path}: weights give the thumb's last bone {len(thumb_end)} vertices; download the file again"
        )
    axes = bone_axes(right, flexion_axes(right, thumb_end))
    pose_basis = data['posedirs'].reshape(VERTICES, 3, 15, 3, 3)[:, :, [bone - 1 for bone in order[1:]]]
    return ManoModel(
        side=side,
        vertices=template.astype(np.float32),
        vertex_basis=shapes.astype(np.float32),
        joints=joints,
        joint_basis=joint_basis,
        weights=weights.astype(np.float32),
        axes=axes if side == 'right' else -axes * mirror,
        rest_angles=measure_rest_angles(right, axes),
        faces=data['f'].astype(np.int32),
        license=_LICENSE,
        provenance=f'MANO, {path.name}',
        pose_basis=np.ascontiguousarray(pose_basis, np.float32),
        hands_components=data['hands_components'],
        hands_mean=data['hands_mean'],
    )


# ---- reading ----


def _read(path: Path) -> dict[str, np.ndarray]:
    """Arrays of ``_ARRAYS`` in double precision, checked for shape."""
    try:
        data = read_npz(path) if path.suffix == '.npz' else read_pickle(path)
    except FileNotFoundError as error:
        raise HandModelError(f'{path}: no such file; MANO is had from its authors, mano.is.tue.mpg.de') from error
    except RefusedError as error:
        raise HandModelError(
            f'{path}: refused, as {printable(str(error))}: no MANO file of its authors does'
        ) from error
    # A damaged pickle raises nearly anything: its opcodes have become others.
    except Exception as error:
        raise HandModelError(f'{path}: not a readable MANO file ({reason(error)}); download it again') from error
    if not isinstance(data, dict):
        raise HandModelError(f'{path}: not a MANO file: it holds a {type(data).__name__}, not a dictionary')
    return {name: _array(path, data, name, shape) for name, shape in _ARRAYS.items()}


def _array(path: Path, data: dict, name: str, shape: tuple[int | None, ...]) -> np.ndarray:
    if name not in data:
        raise HandModelError(f'{path}: not a MANO file: {name} is missing')
    try:
        array = to_array(data[name]).astype(float)
    except Exception as error:
        raise HandModelError(f'{path}: {name} cannot be read ({reason(error)})') from error
    if array.ndim != len(shape) or any(want not in (None, have) for want, have in zip(shape, array.shape)):
        wanted = ', '.join('any' if want is None else str(want) for want in shape)
        raise HandModelError(f'{path}: {name} has shape {array.shape}; MANO has ({wanted})')
    if len(array) > HAND_MODEL.side:
        raise HandModelError(f'{path}: {name} has {len(array)} rows; a hand model has {HAND_MODEL.side} at most')
    if not np.isfinite(array).all():
        raise HandModelError(f'{path}: {name} holds values that are not finite; download the file again')
    if name == 'shapedirs' and array.shape[2] < SHAPES:
        raise HandModelError(f'{path}: shapedirs has {array.shape[2]} shape parameters; MANO has {SHAPES}')
    if name == 'f' and not (0 <= array.min() and array.max() < VERTICES):
        raise HandModelError(f'{path}: f names vertices beyond the {VERTICES} that there are')
    # The wrist's parent is written as 2^32 - 1.
    if name == 'kintree_table' and tuple(array[0, 1:]) != MANO_PARENTS[1:]:
        raise HandModelError(f'{path}: kintree_table is not the tree of MANO: {array[0].tolist()}')
    return array
