"""The hand's mesh: a template that a shape basis changes and sixteen bones pose, by linear blend skinning.

Every model has the tree and the angles of :mod:`kinematics`, whether it is the one shipped or MANO's. The shipped
right hand lies at rest in the frame of its wrist, as defined below; a left hand is the mirror image in x = 0.

Joint frames are right-handed, as REP 103 has them: x along the bone towards the tip (a tip's is that of the bone
before it; the wrist's points to the middle knuckle), y the axis of flexion, so that a positive turn about y bends the
joint towards the palm, z out of the back of the hand. Both sides follow the same rule.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from functools import cached_property
from pathlib import Path
from typing import TypeVar

import numpy as np

from hand_pose_ros.files import reading
from hand_pose_ros.geometry.joints import JOINTS, SIDES, hand_size, other_side
from hand_pose_ros.hand_model.arrays import read_npz
from hand_pose_ros.hand_model.kinematics import (
    BONE_JOINTS,
    BONE_PARENTS,
    DEGREES_OF_FREEDOM,
    JOINT_CARRIERS,
    forward_kinematics,
    local_rotations,
)
from hand_pose_ros.resources import resource_path

#: Version of the file format that :func:`load_hand_model` reads and ``python -m training make-hand-model`` writes.
FORMAT = 1
#: Key of the license in such a file.
_LICENSE_KEY = 'licence'

_MIRROR = np.array([-1.0, 1.0, 1.0])
_BONES = len(BONE_JOINTS)
_BONE_JOINTS = list(BONE_JOINTS)
_CARRIERS = list(JOINT_CARRIERS)


AnyHandModel = TypeVar('AnyHandModel', bound='HandModel')


class HandModelError(ValueError):
    """A hand model file that cannot be used; the message names it and says what is wrong with it."""


@dataclass(frozen=True)
class PosedHand:
    """A posed hand.

    Attributes:
        vertices: (V, 3) meters, float32.
        joints: (21, 3) meters.
        rotations: (21, 3, 3) orientation of each joint's frame, see this module's description.

    """

    vertices: np.ndarray
    joints: np.ndarray
    rotations: np.ndarray


@dataclass(frozen=True)
class HandModel:
    """A hand of one side, at rest in its own frame; lengths in meters.

    Attributes:
        side: ``left`` or ``right``.
        vertices: (V, 3) float32 of the average hand.
        vertex_basis: (V, 3, S) float32, what one unit of each shape parameter adds; a unit is the standard deviation
            among the people that the model was made from.
        joints: (21, 3) of the average hand.
        joint_basis: (21, 3, S) what the shape parameters add to the joints.
        weights: (V, 16) float32 skinning weights, bones as in ``kinematics.BONE_JOINTS``.
        axes: (16, 3, 3) axes that flexion, abduction and roll turn about at rest, see ``kinematics.bone_axes``.
        rest_angles: (D,) joint angles of the rest pose, radians.
        faces: (F, 3) int32, counter-clockwise seen from outside.
        license: under what terms the model may be used.
        provenance: where it comes from.
        pose_basis: (V, 3, 15, 3, 3) float32, what each element of every bone's rotation less the identity adds to
            the rest vertices (the wrist has none); None for a model without pose blend shapes.

    """

    side: str
    vertices: np.ndarray
    vertex_basis: np.ndarray
    joints: np.ndarray
    joint_basis: np.ndarray
    weights: np.ndarray
    axes: np.ndarray
    rest_angles: np.ndarray
    faces: np.ndarray
    license: str
    provenance: str
    pose_basis: np.ndarray | None = None

    @property
    def shape_size(self) -> int:
        """How many shape parameters there are."""
        return self.joint_basis.shape[-1]

    @cached_property
    def frames(self) -> np.ndarray:
        """(16, 3, 3) orientation of each bone's frame at rest, columns x y z."""
        # Axes of rotation turn the other way round in a mirror; directions do not.
        along = self.axes[:, 2] * (1.0 if self.side == 'right' else -1.0)
        return np.stack([along, self.axes[:, 0], np.cross(along, self.axes[:, 0])], -1)

    def mirrored(self: AnyHandModel) -> AnyHandModel:
        """Return the exact mirror image in x = 0: the other side's hand, with the same angles and shape parameters."""
        pose_basis = self.pose_basis
        if pose_basis is not None:
            # A mirrored rotation is M R M: its element i, j changes sign with both axes.
            pose_basis = (pose_basis * (_MIRROR[:, None, None, None] * np.outer(_MIRROR, _MIRROR))).astype(np.float32)
        return replace(
            self,
            side=other_side(self.side),
            vertices=self.vertices * _MIRROR.astype(np.float32),
            vertex_basis=self.vertex_basis * _MIRROR.astype(np.float32)[:, None],
            joints=self.joints * _MIRROR,
            joint_basis=self.joint_basis * _MIRROR[:, None],
            axes=-self.axes * _MIRROR,
            faces=np.ascontiguousarray(self.faces[:, ::-1]),
            pose_basis=pose_basis,
        )

    def rest_joints(self, shape: np.ndarray) -> np.ndarray:
        """Joints (21, 3) at rest of the hand with the given shape parameters (S,)."""
        return self.joints + self.joint_basis @ shape

    def pose(
        self,
        angles: np.ndarray,
        shape: np.ndarray | None = None,
        rotation: np.ndarray | None = None,
        translation: np.ndarray | None = None,
    ) -> PosedHand:
        """Pose the hand by its joint angles.

        Args:
            angles: (D,) radians, ordered as ``kinematics.DOF_NAMES``.
            shape: (S,) shape parameters; the average hand by default.
            rotation: (3, 3) turn of the whole hand about its wrist.
            translation: (3,) shift of the whole hand after that, meters.

        """
        return self.pose_bones(local_rotations(angles, self.axes, self.rest_angles), shape, rotation, translation)

    def pose_bones(
        self,
        rotations: np.ndarray,
        shape: np.ndarray | None = None,
        rotation: np.ndarray | None = None,
        translation: np.ndarray | None = None,
    ) -> PosedHand:
        """Pose the hand by the rotation (16, 3, 3) of each bone, relative to rest in the frame of the bone before it.

        The other arguments are those of :meth:`pose`; ``rotation`` comes after the wrist's own.
        """
        shape = np.zeros(self.shape_size) if shape is None else np.asarray(shape, dtype=float)
        if rotation is not None:
            rotations = np.concatenate([(rotation @ rotations[0])[None], rotations[1:]])
        rest = self.rest_joints(shape)
        world, joints = forward_kinematics(rest, rotations)
        if translation is not None:
            joints = joints + translation
        return PosedHand(self.skin(world, joints, shape, rest), joints, self.joint_frames(world))

    def joint_frames(self, world: np.ndarray) -> np.ndarray:
        """Orientation (21, 3, 3) of every joint's frame when bones are turned by ``world`` (16, 3, 3)."""
        return (world @ self.frames)[_CARRIERS]

    def turn(self, directions: np.ndarray, world: np.ndarray) -> np.ndarray:
        """Turn directions (V, 3) at the vertices at rest, such as normals, with bones turned by (16, 3, 3)."""
        blended = (self.weights @ world.reshape(_BONES, 9).astype(np.float32)).reshape(-1, 3, 3)
        return np.einsum('vij,vj->vi', blended, directions.astype(np.float32))

    def skin(
        self,
        world: np.ndarray,
        joints: np.ndarray,
        shape: np.ndarray,
        rest: np.ndarray,
        stretch: np.ndarray | None = None,
    ) -> np.ndarray:
        """Move the vertices with the bones.

        Args:
            world: (16, 3, 3) turn of each bone from rest.
            joints: (21, 3) where the joints are now.
            shape: (S,) shape parameters.
            rest: (21, 3) joints at rest with that shape.
            stretch: (16,) factor that lengthens each bone along itself; none by default.

        Returns:
            (V, 3) float32.

        """
        vertices = self.vertices.ravel() + self.vertex_basis.reshape(-1, self.shape_size) @ shape.astype(np.float32)
        if self.pose_basis is not None:
            local = np.swapaxes(world[list(BONE_PARENTS[1:])], 1, 2) @ world[1:] - np.eye(3)
            vertices = vertices + self.pose_basis.reshape(len(vertices), -1) @ local.ravel().astype(np.float32)
        if stretch is not None:
            along = self.axes[:, 2]
            world = world + (world @ along[:, :, None]) * along[:, None, :] * (stretch - 1)[:, None, None]
        transforms = np.empty((_BONES, 3, 4), np.float32)
        transforms[:, :, :3] = world
        transforms[:, :, 3] = joints[_BONE_JOINTS] - (world @ rest[_BONE_JOINTS, :, None])[:, :, 0]
        blended = (self.weights @ transforms.reshape(_BONES, 12)).reshape(-1, 3, 4)
        return np.einsum('vij,vj->vi', blended[:, :, :3], vertices.reshape(-1, 3)) + blended[:, :, 3]


def load_hand_model(path: str | Path | None = None) -> HandModel:
    """Read a hand model of this package's own format: by default the right hand that is shipped.

    Raises:
        HandModelError: the file is missing, damaged or of another format; the message names it.

    """
    try:
        path = Path(path) if path else resource_path('models', 'hand_model.npz')
    except FileNotFoundError as error:
        raise HandModelError(str(error)) from error
    with reading(path, HandModelError, 'a readable hand model; restore the file from the package'):
        arrays = read_npz(path)
        with np.errstate(all='ignore'):  # of what a damaged file makes; the hand that comes out is checked
            return checked_by_posing(_model_of(arrays, path), path)


def checked_by_posing(model: AnyHandModel, path: Path) -> AnyHandModel:
    """Return the model; raises HandModelError where its poses are not finite or not of a hand's size."""
    with np.errstate(all='ignore'):
        for angles in (model.rest_angles, np.full_like(model.rest_angles, 0.2)):
            posed = model.pose(angles, np.ones(model.shape_size))
            if not (np.isfinite(posed.vertices).all() and np.isfinite(posed.joints).all()):
                raise HandModelError(f'{path}: its poses are not finite; the file is damaged')
            size, extent = hand_size(posed.joints), np.abs(posed.vertices - posed.joints.mean(0)).max(initial=0.0)
            if not (0.02 < size < 0.5 and extent < 1.0):
                raise HandModelError(
                    f'{path}: its palm is {size:.3g} m long, its skin {extent:.3g} m away; a hand model is in meters'
                )
    return model


def _model_of(arrays: dict[str, np.ndarray], path: Path) -> HandModel:
    """Check the format of a file's arrays, and make a model of them."""
    if 'format' not in arrays or int(arrays['format']) != FORMAT:
        raise HandModelError(f'{path}: not a hand model of format {FORMAT}; it holds {", ".join(sorted(arrays))}')
    return _checked(arrays, path)


def save_hand_model(path: str | Path, model: HandModel) -> None:
    """Write ``model`` as :func:`load_hand_model` reads it; the same model gives the same bytes."""
    arrays = {
        _LICENSE_KEY if field.name == 'license' else field.name: np.asarray(getattr(model, field.name))
        for field in fields(HandModel)
        if getattr(model, field.name) is not None
    }
    np.savez_compressed(path, format=np.asarray(FORMAT), **arrays)  # type: ignore[arg-type]


def _checked(arrays: dict[str, np.ndarray], path: Path) -> HandModel:
    """Make a model of a file's arrays after checking that they fit one another."""
    try:
        count, size = len(arrays['vertices']), arrays['joint_basis'].shape[-1]
        expected = {
            'vertices': (count, 3),
            'vertex_basis': (count, 3, size),
            'joints': (len(JOINTS), 3),
            'joint_basis': (len(JOINTS), 3, size),
            'weights': (count, _BONES),
            'axes': (_BONES, 3, 3),
            'rest_angles': (len(DEGREES_OF_FREEDOM),),
            'faces': (len(arrays['faces']), 3),
        }
        if 'pose_basis' in arrays:
            expected['pose_basis'] = (count, 3, _BONES - 1, 3, 3)
        for name, shape in expected.items():
            if arrays[name].shape != shape:
                raise HandModelError(f'{path}: {name} has shape {arrays[name].shape}; it needs {shape}')
            if not np.isfinite(arrays[name]).all():
                raise HandModelError(f'{path}: {name} holds values that are not finite; the file is damaged')
        side, license, provenance = (str(arrays[name]) for name in ('side', _LICENSE_KEY, 'provenance'))
    except (KeyError, IndexError, TypeError) as error:
        raise HandModelError(f'{path}: the hand model lacks {error}; restore the file from the package') from error
    if side not in SIDES:
        raise HandModelError(f'{path}: side is {side!r}; it must be one of {", ".join(SIDES)}')
    faces = arrays['faces'].astype(np.int32)
    if faces.min(initial=0) < 0 or faces.max(initial=0) >= count:
        raise HandModelError(f'{path}: a face names a vertex beyond the {count} that there are')
    single = {
        name: arrays[name].astype(np.float32)
        for name in ('vertices', 'vertex_basis', 'weights', 'pose_basis')
        if name in arrays
    }
    double = {name: arrays[name].astype(float) for name in ('joints', 'joint_basis', 'axes', 'rest_angles')}
    return HandModel(side=side, faces=faces, license=license, provenance=provenance, **single, **double)
