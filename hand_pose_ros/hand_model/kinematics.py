"""Degrees of freedom of a hand: their names, anatomical limits and how they turn the bones.

A bone starts at each joint that is not a tip: 16 bones, the wrist's first. Each finger joint turns about a
flexion axis fixed to the bone before it; knuckles and the thumb's base turn about an abduction axis too,
which moves with the flexion; the thumb's base also rolls about its own length. Angles are anatomical: zero is a
finger in line with the hand. Flexion is positive towards the palm; abduction is positive away from the middle
finger (the middle finger's own: towards the thumb). Right hand; a left one is its mirror image.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hand_pose_ros.geometry.joints import FINGER_JOINTS, JOINTS, PARENTS
from hand_pose_ros.geometry.rotations import axis_angle_to_matrix

#: Joints where a bone starts, in tree order (a parent before its children).
BONE_JOINTS = tuple(j for j in range(len(JOINTS)) if not JOINTS[j].endswith('_tip'))
#: Index of the parent bone of each of the 16 bones; -1 for the wrist.
BONE_PARENTS = tuple(BONE_JOINTS.index(PARENTS[j]) if j else -1 for j in BONE_JOINTS)
#: Bone that carries each of the 21 joints: its own, or for a tip the last of its finger.
JOINT_CARRIERS = tuple(BONE_JOINTS.index(j if j in BONE_JOINTS else PARENTS[j]) for j in range(len(JOINTS)))


@dataclass(frozen=True)
class DegreeOfFreedom:
    """One angle of the hand.

    Attributes:
        name: ``<joint>_<kind>``, e.g. ``index_mcp_flexion``.
        bone: index of the bone that it turns.
        kind: ``flexion``, ``abduction`` or ``roll``.
        low: anatomical limit, radians.
        high: anatomical limit, radians.

    """

    name: str
    bone: int
    kind: str
    low: float
    high: float


def _degrees_of_freedom() -> tuple[DegreeOfFreedom, ...]:
    # Active ranges of motion of healthy hands with some passive reserve, degrees.
    abduction = {'index': (-18, 35), 'middle': (-20, 20), 'ring': (-15, 32), 'pinky': (-12, 52)}
    fingers = {
        finger: {
            'mcp': {'flexion': (-35, 95), 'abduction': abduction[finger]},
            'pip': {'flexion': (-8, 115)},
            'dip': {'flexion': (-15, 85)},
        }
        for finger in abduction
    }
    thumb = {
        'cmc': {'flexion': (-30, 50), 'abduction': (-30, 50), 'roll': (-25, 45)},
        'mcp': {'flexion': (-20, 65), 'abduction': (-15, 15)},
        'ip': {'flexion': (-35, 85)},
    }
    table = []
    for finger in FINGER_JOINTS:
        for joint, kinds in (thumb if finger == 'thumb' else fingers[finger]).items():
            bone = BONE_JOINTS.index(JOINTS.index(f'{finger}_{joint}'))
            for kind, (low, high) in kinds.items():
                table.append(
                    DegreeOfFreedom(
                        f'{finger}_{joint}_{kind}', bone, kind, float(np.radians(low)), float(np.radians(high))
                    )
                )
    return tuple(table)


DEGREES_OF_FREEDOM = _degrees_of_freedom()
DOF_NAMES = tuple(dof.name for dof in DEGREES_OF_FREEDOM)
DOF_INDEX = {name: i for i, name in enumerate(DOF_NAMES)}
LOWER = np.array([dof.low for dof in DEGREES_OF_FREEDOM])
UPPER = np.array([dof.high for dof in DEGREES_OF_FREEDOM])

_BONE = np.array([dof.bone for dof in DEGREES_OF_FREEDOM])
_KIND = np.array([('flexion', 'abduction', 'roll').index(dof.kind) for dof in DEGREES_OF_FREEDOM])


def flexion_axes(rest_joints: np.ndarray, thumb_end: np.ndarray) -> np.ndarray:
    """Axis of flexion of each bone at rest: turning about it by a positive angle bends towards the palm.

    Fingers bend about the direction across the palm, made perpendicular to the finger; the thumb about the
    width of its own last segment, which is where the nail's plane lies; the wrist as the middle finger does.

    Args:
        rest_joints: (21, 3) right hand at rest.
        thumb_end: (N, 3) vertices of the thumb's last segment.

    Returns:
        (16, 3) unit axes.

    """

    def unit(v: np.ndarray) -> np.ndarray:
        return v / np.linalg.norm(v, axis=-1, keepdims=True)

    axes = np.zeros((len(BONE_JOINTS), 3))
    across = rest_joints[5] - rest_joints[17]  # from the little finger's knuckle to the index's
    normal = unit(np.cross(across, unit(rest_joints[9] - rest_joints[0])))  # out of the palm's face
    for finger, (a, _, _, tip) in FINGER_JOINTS.items():
        bones = [BONE_JOINTS.index(joint) for joint in (a, a + 1, a + 2)]
        if finger != 'thumb':
            axes[bones] = unit(np.cross(unit(rest_joints[tip] - rest_joints[a]), normal))
            continue
        direction = unit(rest_joints[tip] - rest_joints[tip - 1])
        flat = thumb_end - thumb_end.mean(0)
        flat -= (flat @ direction)[:, None] * direction
        width = np.linalg.svd(flat, full_matrices=False)[2][0]
        inward = (rest_joints[9] + rest_joints[13]) / 2 - rest_joints[tip - 1]
        axes[bones] = -width if np.cross(width, direction) @ inward < 0 else width
    axes[0] = axes[BONE_JOINTS.index(9)]
    return axes


def bone_axes(rest_joints: np.ndarray, flexion_axes: np.ndarray) -> np.ndarray:
    """Axes (16, 3, 3) of each bone at rest, rows flexion, abduction, roll, right-handed up to sign.

    Args:
        rest_joints: (21, 3) right hand at rest.
        flexion_axes: (16, 3) unit axis of flexion of each bone; the wrist's is not used.

    Returns:
        Unit axes; positive angles as in this module's description. The wrist's are those of the hand itself.

    """
    axes = np.zeros((len(BONE_JOINTS), 3, 3))
    for bone, joint in enumerate(BONE_JOINTS):
        flexion = flexion_axes[bone]
        along = rest_joints[joint + 1 if joint else 9] - rest_joints[joint]
        along = along / np.linalg.norm(along)
        flexion = flexion - along * (flexion @ along)
        flexion = flexion / np.linalg.norm(flexion)
        towards_thumb = np.cross(along, flexion)  # turning the bone about this moves it along +flexion
        sign = -1.0 if JOINTS[joint].startswith(('ring', 'pinky')) else 1.0
        axes[bone] = flexion, sign * towards_thumb, along
    return axes


def local_rotations(angles: np.ndarray, axes: np.ndarray, rest_angles: np.ndarray) -> np.ndarray:
    """Turn joint angles into the rotation of each bone relative to rest, in the frame of the bone before it.

    Args:
        angles: (..., D) radians, ordered as ``DOF_NAMES``.
        axes: (16, 3, 3) from :func:`bone_axes`.
        rest_angles: (D,) the angles at rest, where every rotation is the identity.

    Returns:
        (..., 16, 3, 3) flexion after abduction after roll; the wrist's is the identity.

    """
    turned = np.zeros((*np.shape(angles)[:-1], len(BONE_JOINTS), 3))
    turned[..., _BONE, _KIND] = np.asarray(angles) - rest_angles
    single = axis_angle_to_matrix(np.broadcast_to(axes, (*turned.shape, 3)), turned)
    return single[..., 0, :, :] @ single[..., 1, :, :] @ single[..., 2, :, :]


def measure_rest_angles(rest_joints: np.ndarray, axes: np.ndarray) -> np.ndarray:
    """Anatomical angles (D,) in radians of the rest pose, by its joints (21, 3) and ``axes`` (16, 3, 3)."""
    forward = rest_joints[9] - rest_joints[0]
    angles = np.zeros(len(DEGREES_OF_FREEDOM))
    for i, dof in enumerate(DEGREES_OF_FREEDOM):
        joint = BONE_JOINTS[dof.bone]
        if dof.kind == 'roll' or JOINTS[joint] in ('thumb_cmc',):
            continue
        along = rest_joints[joint + 1] - rest_joints[joint]
        before = rest_joints[joint] - rest_joints[PARENTS[joint]]
        if JOINTS[joint].endswith('_mcp') and not JOINTS[joint].startswith('thumb'):
            before = forward
        elif dof.kind == 'abduction':
            continue
        axis = axes[dof.bone, 0 if dof.kind == 'flexion' else 1]
        before, along = (v - axis * (v @ axis) for v in (before, along))
        angles[i] = np.arctan2(np.cross(before, along) @ axis, before @ along)
    return angles


def forward_kinematics(rest_joints: np.ndarray, rotations: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pose the skeleton with the wrist at its rest position.

    Args:
        rest_joints: (21, 3) joints at rest.
        rotations: (..., 16, 3, 3) of :func:`local_rotations`; the wrist's turns the whole hand.

    Returns:
        (..., 16, 3, 3) orientation of each bone relative to rest, and (..., 21, 3) posed joints.

    """
    world = np.empty_like(rotations)
    joints = np.empty((*rotations.shape[:-3], len(JOINTS), 3))
    joints[..., 0, :] = rest_joints[0]
    for bone, parent in enumerate(BONE_PARENTS):
        turn = rotations[..., bone, :, :]
        world[..., bone, :, :] = turn if parent < 0 else world[..., parent, :, :] @ turn
    for joint in range(1, len(JOINTS)):
        parent = PARENTS[joint]
        joints[..., joint, :] = joints[..., parent, :] + world[..., JOINT_CARRIERS[parent], :, :] @ (
            rest_joints[joint] - rest_joints[parent]
        )
    return world, joints
