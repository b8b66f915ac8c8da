"""One person with one posed right hand before a camera, with what else may stand in its view."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from hand_pose_ros.geometry.rotations import axis_angle_to_matrix, random_rotations, rotation_vector_to_matrix
from hand_pose_ros.hand_model.kinematics import BONE_JOINTS, forward_kinematics, local_rotations
from training.rasterizer import ZBuffer
from training.synthesis.anatomy import JOINT_BONES, METACARPALS, SIDE
from training.synthesis.people import Person
from training.synthesis.skinning import skin

HAND, PERSON, CLUTTER = 1, 2, 3
#: The first meshes of a scene are the arm's: hand and arm.
ARM_MESHES = 2


@dataclass(frozen=True)
class ArmPose:
    """Posture of the arm relative to rest.

    Attributes:
        shoulder: (3, 3) rotation in the body's axes.
        elbow: flexion, radians.
        twist: of the forearm about its length, radians.
        wrist: (3,) flexion, deviation and twist of the hand on the forearm, radians.

    """

    shoulder: np.ndarray
    elbow: float
    twist: float
    wrist: np.ndarray


@dataclass
class Scene:
    """Meshes in the camera's optical frame: (points, faces, face ids, label) each; the hand's joints (21, 3)."""

    joints: np.ndarray
    meshes: list[tuple[np.ndarray, np.ndarray, np.ndarray, int]] = field(default_factory=list)

    def render(
        self, width: int, height: int, fx: float, fy: float, cx: float, cy: float, only: int | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Render ideal depth (H, W) float32 meters, ``EMPTY`` where nothing is, and labels (H, W) uint8."""
        buffer = ZBuffer.empty(height, width)
        for points, faces, ids, label in self.meshes:
            if only is None or label == only:
                buffer.draw(points, faces, ids, (fx, fy, cx, cy), label)
        return buffer.depth, np.maximum(buffer.labels, 0).astype(np.uint8)

    def apart(self) -> tuple[Scene, Scene]:
        """The arm with its hand, and everything else."""
        return Scene(self.joints, self.meshes[:ARM_MESHES]), Scene(self.joints, self.meshes[ARM_MESHES:])


@dataclass
class _Bones:
    """Transforms of a person's bones, (B, 3, 3) and (B, 3), relative to rest, and the hand's joints (21, 3)."""

    rotations: np.ndarray
    translations: np.ndarray
    joints: np.ndarray

    def turn(self, bones: list[int], turn: np.ndarray, pivot: np.ndarray, joints: bool = True) -> None:
        """Turn some bones, and the hand's joints with them, about a point."""
        self.rotations[bones] = turn @ self.rotations[bones]
        self.translations[bones] = self.translations[bones] @ turn.T + pivot - turn @ pivot
        if joints:
            self.joints = self.joints @ turn.T + pivot - turn @ pivot


class Poser:
    """Poses people's right arms and hands; keeps the buffers and index tables that this takes.

    Args:
        people: who may be posed; all share one mesh.
        other_hand: show the left forearm and hand too, at rest, when the whole body is shown.

    """

    def __init__(self, people: Sequence[Person], other_hand: bool = True) -> None:
        body = people[0].body
        self.people = people
        self.faces = body.faces
        every = np.arange(len(body.faces), dtype=np.int32)
        self.hand_faces = body.hand_faces.astype(np.int32)
        self.arm_faces = np.setdiff1d(body.arm_faces, body.hand_faces).astype(np.int32)
        self.rest_faces = np.setdiff1d(every, body.arm_faces).astype(np.int32)
        if not other_hand:
            left = [
                i
                for i, n in enumerate(body.bone_names)
                if n.endswith('.L') and n.startswith(('lowerarm', 'wrist', 'finger', 'metacarpal'))
            ]
            shown = ~np.isin(body.weight_bones[:, 0], left)[body.faces[self.rest_faces]].any(1)
            self.rest_faces = self.rest_faces[shown]
        self.arm_vertices = np.unique(body.faces[body.arm_faces]).astype(np.int32)
        self.all_vertices = np.arange(len(body.vertices), dtype=np.int32)
        self.bone = {name: i for i, name in enumerate(body.bone_names)}
        sleeve_bones = [self.bone[f'{n}.{SIDE}'] for n in ('lowerarm01', 'lowerarm02', 'upperarm01', 'upperarm02')]
        self.sleeve_share = (np.isin(body.weight_bones, sleeve_bones) * body.weights).sum(1)

    def pose(
        self,
        person: Person,
        angles: np.ndarray,
        arm: ArmPose,
        whole_body: bool,
        cupping: tuple[float, float] = (0.0, 0.0),
        sleeve: tuple[float, float] | None = None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Pose a person, in the axes of their rest pose.

        Args:
            person: one of the people.
            angles: (D,) hand angles, radians.
            arm: the rest of the arm.
            whole_body: pose every vertex, not only the arm's.
            cupping: flexion of the ring's and the little finger's metacarpals, radians.
            sleeve: where on the forearm a sleeve begins, meters from the wrist, and how far it stands off.

        Returns:
            Posed vertices (V, 3) float32 and joints (21, 3).

        """
        bones = self._hand_bones(person, angles, cupping)
        forearm = self._turn_arm(person, arm, bones)
        vertices = person.vertices
        used = self.all_vertices if whole_body else self.arm_vertices
        if sleeve is not None:
            vertices = self._with_sleeve(person, used, forearm, *sleeve)
        posed = np.zeros_like(person.vertices)
        skin(
            vertices,
            person.body.weight_bones,
            person.body.weights,
            bones.rotations.astype(np.float32),
            bones.translations.astype(np.float32),
            used,
            posed,
        )
        return posed, bones.joints

    def _hand_bones(self, person: Person, angles: np.ndarray, cupping: tuple[float, float]) -> _Bones:
        """Bones of a hand that is posed, with its wrist and everything else as at rest."""
        body = person.body
        world, joints = forward_kinematics(body.joints, local_rotations(angles, person.axes, person.rest_angles))
        rotations = np.tile(np.eye(3), (len(body.heads), 1, 1))
        translations = np.zeros((len(body.heads), 3))
        for number, joint in enumerate(BONE_JOINTS):
            bone = self.bone[JOINT_BONES[joint]]
            rotations[bone] = world[number]
            translations[bone] = joints[joint] - world[number] @ body.joints[joint]
        for metacarpal, finger, angle in zip(METACARPALS[2:], (3, 4), cupping):
            head = body.heads[self.bone[metacarpal]]
            turn = axis_angle_to_matrix(person.axes[1 + 3 * finger, 0], angle)
            move = head - turn @ head
            for name in (metacarpal, *(JOINT_BONES[4 * finger + 1 + j] for j in range(3))):
                bone = self.bone[name]
                translations[bone] = turn @ translations[bone] + move
                rotations[bone] = turn @ rotations[bone]
            span = slice(4 * finger + 1, 4 * finger + 5)
            joints[span] = joints[span] @ turn.T + move
        return _Bones(rotations, translations, joints)

    def _turn_arm(self, person: Person, arm: ArmPose, bones: _Bones) -> np.ndarray:
        """Turn a hand's bones and the arm's, in place; returns the unit vector along the forearm at rest (3,)."""
        heads = person.body.heads
        hand = [self.bone[n] for n in (*JOINT_BONES.values(), *METACARPALS)]
        lower1, lower2 = self.bone[f'lowerarm01.{SIDE}'], self.bone[f'lowerarm02.{SIDE}']
        upper = [self.bone[f'{n}.{SIDE}'] for n in ('upperarm01', 'upperarm02')]
        wrist = heads[self.bone[JOINT_BONES[0]]]
        forearm = wrist - heads[lower1]
        forearm = forearm / np.linalg.norm(forearm)
        upper_arm = heads[lower1] - heads[upper[0]]
        hinge = np.cross(upper_arm, forearm)
        hinge = hinge / np.linalg.norm(hinge)
        bones.turn(hand, _wrist_rotation(person, arm.wrist), wrist)
        bones.turn(hand, axis_angle_to_matrix(forearm, arm.twist), wrist)
        bones.turn([lower2], axis_angle_to_matrix(forearm, 0.6 * arm.twist), wrist, joints=False)
        bones.turn([*hand, lower1, lower2], axis_angle_to_matrix(hinge, arm.elbow), heads[lower1])
        bones.turn([*hand, lower1, lower2, *upper], arm.shoulder, heads[upper[0]])
        return forearm

    def _with_sleeve(
        self, person: Person, used: np.ndarray, forearm: np.ndarray, start: float, thickness: float
    ) -> np.ndarray:
        """Vertices (V, 3) at rest with a sleeve from ``start`` meters up the wrist on, ``thickness`` off the skin."""
        vertices = person.vertices.copy()
        up = (person.body.heads[self.bone[JOINT_BONES[0]]] - vertices[used]) @ forearm
        covered = self.sleeve_share[used] * np.clip((up - start) / 0.004, 0, 1)
        wave = 1 + 0.3 * np.sin(up * 90) * np.sin(vertices[used, 0] * 140)
        vertices[used] += (covered * thickness * wave)[:, None].astype(np.float32) * person.normals[used]
        return vertices

    def meshes(self, posed: np.ndarray, whole_body: bool) -> list[tuple[np.ndarray, np.ndarray, np.ndarray, int]]:
        """Parts of a posed person for a scene: hand, arm and, if asked for, the rest of the body."""
        parts = [(posed, self.faces, self.hand_faces, HAND), (posed, self.faces, self.arm_faces, PERSON)]
        return parts + ([(posed, self.faces, self.rest_faces, PERSON)] if whole_body else [])


def draw_arm(rng: np.random.Generator, away: float = 1.0) -> ArmPose:
    """Draw a posture of the arm; ``away`` scales how far the shoulder strays from rest."""
    flex, deviate = np.clip(rng.normal(-5, 27), -65, 60), np.clip(rng.normal(5, 13), -20, 32)
    wrist = (flex, deviate, rng.normal(0, 6))
    return ArmPose(
        shoulder=rotation_vector_to_matrix(rng.normal(0, 0.75 * away, 3)),
        elbow=rng.uniform(-0.2, 2.0),
        twist=np.clip(rng.normal(0, 0.6), -1.4, 1.4),
        wrist=np.radians(wrist),
    )


def _wrist_rotation(person: Person, bend: np.ndarray) -> np.ndarray:
    flexion, deviation, along = person.axes[0]
    return (
        axis_angle_to_matrix(flexion, bend[0])
        @ axis_angle_to_matrix(deviation, bend[1])
        @ axis_angle_to_matrix(along, bend[2])
    )


# ---- things that stand about ----


def _box() -> tuple[np.ndarray, np.ndarray]:
    corners = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)], np.float32)
    faces = np.array(
        [
            [0, 1, 3],
            [0, 3, 2],
            [4, 6, 7],
            [4, 7, 5],
            [0, 4, 5],
            [0, 5, 1],
            [2, 3, 7],
            [2, 7, 6],
            [0, 2, 6],
            [0, 6, 4],
            [1, 5, 7],
            [1, 7, 3],
        ],
        np.int32,
    )
    return corners, faces


def _tube(taper: bool, rings: int = 9, around: int = 20) -> tuple[np.ndarray, np.ndarray]:
    """A closed cylinder (or, tapered, a ball) along y, within the unit cube."""
    t = np.linspace(-1, 1, rings)
    radius = np.sqrt(np.maximum(1 - t * t, 0)) if taper else np.where(np.abs(t) == 1, 0, 1)
    height = np.clip(t * (1 if taper else rings / (rings - 2)), -1, 1)
    turn = np.linspace(0, 2 * np.pi, around, endpoint=False)
    points = np.stack(
        [radius[:, None] * np.cos(turn), np.repeat(height[:, None], around, 1), radius[:, None] * np.sin(turn)], -1
    ).reshape(-1, 3)
    faces = []
    for r in range(rings - 1):
        for a in range(around):
            i, j = r * around + a, r * around + (a + 1) % around
            faces += [[i, j, j + around], [i, j + around, i + around]]
    return points.astype(np.float32), np.array(faces, np.int32)


PRIMITIVES = {'box': _box(), 'cylinder': _tube(False), 'ball': _tube(True)}


def primitive(name: str, rotation: np.ndarray, scale: np.ndarray, position: np.ndarray):
    """A scaled, turned and placed primitive, as an entry of ``Scene.meshes``."""
    points, faces = PRIMITIVES[name]
    placed = (points * scale) @ rotation.T + position
    return (np.ascontiguousarray(placed, np.float32), faces, np.arange(len(faces), dtype=np.int32), CLUTTER)


def plane(point: np.ndarray, normal: np.ndarray, extent: float):
    """A large square through ``point``, as an entry of ``Scene.meshes``; split so that no corner lies behind the
    camera's near plane for want of clipping.
    """
    helper = np.eye(3)[np.argmin(np.abs(normal))]
    a = np.cross(normal, helper)
    a /= np.linalg.norm(a)
    b = np.cross(normal, a)
    grid = np.linspace(-extent, extent, 9)
    points = point + grid[:, None, None] * a + grid[None, :, None] * b
    index = np.arange(81).reshape(9, 9)
    quads = np.stack([index[:-1, :-1], index[1:, :-1], index[1:, 1:], index[:-1, 1:]], -1).reshape(-1, 4)
    faces = np.concatenate([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]]).astype(np.int32)
    return (points.reshape(-1, 3).astype(np.float32), faces, np.arange(len(faces), dtype=np.int32), CLUTTER)


def before_camera(
    posed: np.ndarray, joints: np.ndarray, rotation: np.ndarray, center: np.ndarray, position: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Move a posed person so that ``center`` comes to ``position`` before the camera, turned by ``rotation``."""
    turned = (posed - center.astype(np.float32)) @ rotation.T.astype(np.float32) + position.astype(np.float32)
    return np.ascontiguousarray(turned, np.float32), (joints - center) @ rotation.T + position


def draw_view(rng: np.random.Generator, forearm: np.ndarray) -> np.ndarray:
    """Draw the rotation of a camera about the hand: every direction, but seldom from the elbow's side, where the
    arm hides the hand.

    Args:
        rng: source of randomness.
        forearm: (3,) unit vector from the hand to the elbow.

    Returns:
        (3, 3) rotation from the body's axes to the camera's.

    """
    while True:
        rotation = random_rotations(rng, 1)[0]
        towards_camera = -rotation[2]
        if towards_camera @ forearm < 0.55 or rng.uniform() < 0.12:
            return rotation
