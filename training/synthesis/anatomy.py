"""Anny's body with an anatomical right hand: joints where bones meet, flexion axes, skinning to match.

Anny (Apache-2.0, its MakeHuman assets CC0) puts the knuckles at the webs of the fingers and the base of
the thumb in the middle of its ball, and its bone frames are not anatomical axes. Here the joints are moved
to where anatomy has them, and the palm's skinning follows. Lengths in meters.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from hand_pose_ros.geometry.joints import FINGER_JOINTS, JOINTS

SIDE = 'R'
#: Anny's bone that starts at each of our joints (tips end a bone and start none).
JOINT_BONES = {
    0: f'wrist.{SIDE}',
    **{4 * f + j + 1: f'finger{f + 1}-{j + 1}.{SIDE}' for f in range(5) for j in range(3)},
}
METACARPALS = tuple(f'metacarpal{k}.{SIDE}' for k in range(1, 5))

#: How far the knuckles move back along their metacarpal, and the thumb's base towards the wrist. With these,
#: a hand of 190 mm has a middle proximal phalanx of 47 mm and a thumb metacarpal of 44 mm, as anatomy has.
KNUCKLE_SHIFT = 0.18
THUMB_BASE_SHIFT = 0.32

#: Depth of a tip under the skin at the finger's end for an adult's hand, as the joint convention defines it.
TIP_DEPTH = 0.004


@dataclass(frozen=True)
class Body:
    """A person at rest, with the bones and skinning that pose it.

    Attributes:
        vertices: (V, 3) rest positions.
        faces: (F, 3) vertex indices, outward by the right-hand rule.
        heads: (B, 3) where each bone starts.
        parents: (B,) parent bone of each bone, -1 for the root.
        bone_names: Anny's names.
        weight_bones: (V, K) bones that move a vertex, and ``weights`` (V, K) by how much.
        joints: (21, 3) right hand's joints at rest.
        arm_faces: indices into ``faces`` of the right arm from the middle of the upper arm down.
        hand_faces: indices into ``faces`` of the right hand, from the wrist down.

    """

    vertices: np.ndarray
    faces: np.ndarray
    heads: np.ndarray
    parents: np.ndarray
    bone_names: tuple[str, ...]
    weight_bones: np.ndarray
    weights: np.ndarray
    joints: np.ndarray
    arm_faces: np.ndarray
    hand_faces: np.ndarray

    def bone(self, name: str) -> int:
        """Index of the bone called ``name``."""
        return self.bone_names.index(name)


@lru_cache(maxsize=1)
def _anny():
    import anny

    return anny.Anny()


def smoothstep(x: np.ndarray) -> np.ndarray:
    """From 0 to 1 as ``x`` does, smoothly, and no further on either side."""
    x = np.clip(x, 0, 1)
    return x * x * (3 - 2 * x)


def _unit(v: np.ndarray) -> np.ndarray:
    return v / np.linalg.norm(v, axis=-1, keepdims=True)


def _distance_to_segment(points: np.ndarray, start: np.ndarray, end: np.ndarray) -> np.ndarray:
    along = end - start
    t = np.clip((points - start) @ along / (along @ along), 0, 1)
    return np.linalg.norm(points - start - t[:, None] * along, axis=1)


def _anatomical_heads(heads: np.ndarray, names: list[str]) -> np.ndarray:
    """Move the knuckles and the thumb's base of (B, 3) bone starts to where anatomy has them."""
    heads = heads.copy()
    for metacarpal, finger in zip(METACARPALS, range(2, 6)):
        knuckle = names.index(f'finger{finger}-1.{SIDE}')
        heads[knuckle] += KNUCKLE_SHIFT * (heads[names.index(metacarpal)] - heads[knuckle])
    thumb = names.index(f'finger1-1.{SIDE}')
    heads[thumb] += THUMB_BASE_SHIFT * (heads[names.index(f'wrist.{SIDE}')] - heads[thumb])
    return heads


def _tips(vertices: np.ndarray, heads: np.ndarray, dense: np.ndarray, names: list[str]) -> np.ndarray:
    """(5, 3) fingertips: on the axis of the last bone, ``TIP_DEPTH`` (scaled by the finger) under its end."""
    tips = []
    for finger in range(1, 6):
        bone = names.index(f'finger{finger}-3.{SIDE}')
        head = heads[bone]
        cloud = vertices[dense[:, bone] > 0.7]
        axis = _unit(cloud.mean(0) - head)
        for _ in range(3):
            along = (cloud - head) @ axis
            end = cloud[along > np.quantile(along, 0.7)]
            # Aim at the middle of the end's extent, not at its mean: the nail has more vertices than the pad.
            sideways = end - head - ((end - head) @ axis)[:, None] * axis
            axis = _unit(axis * along.max() + 0.5 * (sideways.min(0) + sideways.max(0)))
        length = ((cloud - head) @ axis).max()
        tips.append(head + axis * length * (1 - TIP_DEPTH / 0.027))
    return np.array(tips)


def _palm_skinning(vertices: np.ndarray, heads: np.ndarray, dense: np.ndarray, names: list[str]) -> np.ndarray:
    """Move skinning weights (V, B) of the palm so that it bends at the moved knuckles and thumb base."""
    dense = dense.copy()
    at = {name: names.index(name) for name in names}
    wrist = at[f'wrist.{SIDE}']
    thumb, thumb_next = at[f'finger1-1.{SIDE}'], at[f'finger1-2.{SIDE}']
    palm = [wrist, *(at[m] for m in METACARPALS)]
    scale = np.linalg.norm(heads[at[f'finger3-1.{SIDE}']] - heads[wrist]) / 0.09

    # The ball of the thumb follows the thumb's metacarpal, the closer to it the more.
    to_thumb = _distance_to_segment(vertices, heads[thumb], heads[thumb_next])
    to_palm = np.min(
        [
            _distance_to_segment(
                vertices,
                heads[wrist] * 0.75 + heads[at[f'finger{f}-1.{SIDE}']] * 0.25,
                heads[at[f'finger{f}-1.{SIDE}']],
            )
            for f in (2, 3, 4, 5)
        ],
        axis=0,
    )
    axis = _unit(heads[thumb_next] - heads[thumb])
    beyond = smoothstep(((vertices - heads[thumb]) @ axis) / (0.016 * scale) + 0.3)
    share = beyond * smoothstep((to_palm / (to_palm + to_thumb) - 0.38) / 0.26)
    moved = dense[:, palm] * share[:, None]
    dense[:, palm] -= moved
    dense[:, thumb] += moved.sum(1)

    # Past a knuckle, what followed the metacarpal follows the finger.
    for finger in range(2, 6):
        knuckle, following = at[f'finger{finger}-1.{SIDE}'], at[f'finger{finger}-2.{SIDE}']
        axis = _unit(heads[following] - heads[knuckle])
        offset = vertices - heads[knuckle]
        along = offset @ axis
        aside = np.linalg.norm(offset - along[:, None] * axis, axis=1)
        near = 1 - smoothstep((aside - 0.011 * scale) / (0.008 * scale))
        share = near * smoothstep(along / (0.014 * scale) + 0.35)
        moved = dense[:, palm] * share[:, None]
        dense[:, palm] -= moved
        dense[:, knuckle] += moved.sum(1)
    return dense / dense.sum(1, keepdims=True)


def _sparse(dense: np.ndarray, count: int = 8) -> tuple[np.ndarray, np.ndarray]:
    bones = np.argsort(-dense, axis=1)[:, :count]
    weights = np.take_along_axis(dense, bones, 1)
    return bones.astype(np.int32), (weights / weights.sum(1, keepdims=True)).astype(np.float32)


@lru_cache(maxsize=1)
def template() -> dict:
    """What every body shares: the skinning, computed once on the average adult, and the parts of the mesh."""
    model = _anny()
    names = list(model.bone_labels)
    vertices, heads = _rest_shape(dict.fromkeys(model.phenotype_labels, 0.5))
    dense = np.zeros((len(vertices), len(names)))
    for column in range(model.vertex_bone_indices.shape[1]):
        np.add.at(
            dense,
            (np.arange(len(vertices)), model.vertex_bone_indices[:, column].numpy()),
            model.vertex_bone_weights[:, column].numpy(),
        )
    original = dense
    dense = _palm_skinning(vertices, heads, dense, names)
    faces = model.faces.numpy().astype(np.int32)
    hand = [
        i for i, n in enumerate(names) if n.endswith(f'.{SIDE}') and n.startswith(('wrist', 'finger', 'metacarpal'))
    ]
    arm = hand + [names.index(f'{n}.{SIDE}') for n in ('lowerarm01', 'lowerarm02', 'upperarm02')]
    return {
        'dense': dense,
        'original': original,
        'sparse': _sparse(dense),
        'faces': faces,
        'names': names,
        'hand_faces': np.flatnonzero((original[:, hand].sum(1) > 0.5)[faces].all(1)),
        'arm_faces': np.flatnonzero((original[:, arm].sum(1) > 0.5)[faces].all(1)),
    }


def _rest_shape(phenotype: dict[str, float]) -> tuple[np.ndarray, np.ndarray]:
    import torch

    model = _anny()
    with torch.no_grad():
        out = model(phenotype_kwargs={k: torch.tensor([v], dtype=torch.float64) for k, v in phenotype.items()})
    heads = out['rest_bone_heads'][0].numpy()
    return out['rest_vertices'][0].numpy(), _anatomical_heads(heads, list(model.bone_labels))


def make_body(phenotype: dict[str, float]) -> Body:
    """Make the person of Anny's ``phenotype`` (gender, age, muscle, weight, height, proportions in 0 to 1)."""
    shared = template()
    vertices, heads = _rest_shape(phenotype)
    names = shared['names']
    joints = np.zeros((len(JOINTS), 3))
    for joint, bone in JOINT_BONES.items():
        joints[joint] = heads[names.index(bone)]
    joints[[j[-1] for j in FINGER_JOINTS.values()]] = _tips(vertices, heads, shared['original'], names)
    return Body(
        vertices,
        shared['faces'],
        heads,
        np.array(_anny().bone_parents),
        tuple(names),
        *shared['sparse'],
        joints,
        shared['arm_faces'],
        shared['hand_faces'],
    )


def reshape_hand(body: Body, stretch: dict[int, tuple[float, float]], palm: tuple[float, float, float]) -> Body:
    """Change the proportions of the right hand.

    Args:
        body: a person at rest.
        stretch: for the bone that starts at a joint, its factors in length and in thickness.
        palm: factors of the palm's length, width and thickness.

    Returns:
        The person with that hand; forearm and body are as before.

    """
    wrist = body.bone(JOINT_BONES[0])
    along = _unit(body.joints[9] - body.joints[0])
    across = body.joints[5] - body.joints[17]
    across = _unit(across - along * (across @ along))
    frame = np.stack([along, across, np.cross(along, across)], 1)
    linear = np.tile(np.eye(3), (len(body.heads), 1, 1))
    palm_linear = frame @ np.diag(palm) @ frame.T
    for name in (JOINT_BONES[0], *METACARPALS):
        linear[body.bone(name)] = palm_linear
    shift = np.zeros((len(body.heads), 3))
    tip_of = {}
    for joint, name in JOINT_BONES.items():
        if joint == 0:
            shift[wrist] = body.heads[wrist] - palm_linear @ body.heads[wrist]
            for metacarpal in METACARPALS:
                shift[body.bone(metacarpal)] = shift[wrist]
            continue
        bone = body.bone(name)
        length, thickness = stretch.get(joint, (1.0, 1.0))
        axis = _unit(body.joints[joint + 1] - body.joints[joint])
        linear[bone] = thickness * np.eye(3) + (length - thickness) * np.outer(axis, axis)
        before = wrist if (joint - 1) % 4 == 0 else body.bone(JOINT_BONES[joint - 1])
        head = linear[before] @ body.heads[bone] + shift[before]
        shift[bone] = head - linear[bone] @ body.heads[bone]
        tip_of[joint + 1] = bone
    blend = np.einsum('vk,vkij->vij', body.weights, linear[body.weight_bones])
    offset = np.einsum('vk,vki->vi', body.weights, shift[body.weight_bones])
    vertices = np.einsum('vij,vj->vi', blend, body.vertices) + offset
    heads = np.einsum('bij,bj->bi', linear, body.heads) + shift
    joints = body.joints.copy()
    for joint in range(1, len(JOINTS)):
        bone = body.bone(JOINT_BONES[joint]) if joint in JOINT_BONES else tip_of[joint]
        joints[joint] = linear[bone] @ body.joints[joint] + shift[bone]
    return replace(body, vertices=vertices, heads=heads, joints=joints)
