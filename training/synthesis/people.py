"""A crowd of people from four years old to elderly, with hands of many proportions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hand_pose_ros.hand_model.kinematics import BONE_JOINTS, bone_axes, flexion_axes, measure_rest_angles
from training.synthesis.anatomy import SIDE, Body, make_body, reshape_hand, template

#: Anny's age of a child of about four, and of an elder.
YOUNGEST, OLDEST = 0.10, 1.0


@dataclass(frozen=True)
class Person:
    """A body ready to be posed: float32 arrays, axes and rest angles of the right hand, outward normals."""

    body: Body
    vertices: np.ndarray
    normals: np.ndarray
    weights: np.ndarray
    axes: np.ndarray
    rest_angles: np.ndarray


def draw_phenotype(rng: np.random.Generator) -> dict[str, float]:
    """Draw Anny's parameters: a third of the people are children."""
    age = rng.uniform(YOUNGEST, 0.5) if rng.uniform() < 0.33 else rng.uniform(0.5, OLDEST)
    return {
        'gender': rng.uniform(),
        'age': age,
        'muscle': rng.beta(2.5, 2.5),
        'weight': rng.beta(2.2, 2.2),
        'height': rng.beta(2.5, 2.5),
        'proportions': rng.uniform(0.1, 0.9),
    }


def draw_stretch(rng: np.random.Generator) -> tuple[dict[int, tuple[float, float]], tuple[float, float, float]]:
    """Draw the arguments of :func:`anatomy.reshape_hand`: hands differ more than Anny's parameters make them."""
    fingers, thickness = rng.uniform(0.90, 1.12), rng.uniform(0.84, 1.12)
    stretch = {}
    for joint in BONE_JOINTS[1:]:
        if (joint - 1) % 4 == 0:
            finger = fingers * rng.normal(1, 0.035)
            thick = thickness * rng.normal(1, 0.03)
        stretch[joint] = (float(finger * rng.normal(1, 0.045)), float(thick))
    return stretch, (float(rng.normal(1, 0.05)), float(rng.normal(1, 0.06)), float(rng.normal(1, 0.08)))


def _vertex_normals(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    a, b, c = (vertices[faces[:, i]] for i in range(3))
    normal = np.cross(b - a, c - a)
    total = np.zeros_like(vertices)
    for i in range(3):
        np.add.at(total, faces[:, i], normal)
    return total / np.maximum(np.linalg.norm(total, axis=1, keepdims=True), 1e-12)


def make_person(body: Body) -> Person:
    """Prepare a body for posing."""
    shared = template()
    thumb_end = body.vertices[shared['original'][:, shared['names'].index(f'finger1-3.{SIDE}')] > 0.7]
    axes = bone_axes(body.joints, flexion_axes(body.joints, thumb_end))
    return Person(
        body,
        body.vertices.astype(np.float32),
        _vertex_normals(body.vertices, body.faces).astype(np.float32),
        body.weights,
        axes,
        measure_rest_angles(body.joints, axes),
    )


class Crowd(Sequence[Person]):
    """People who are drawn at once and made when they are first asked for: making one takes a while."""

    def __init__(self, count: int, rng: np.random.Generator) -> None:
        self._drawn = [(draw_phenotype(rng), *draw_stretch(rng)) for _ in range(count)]
        self._made: dict[int, Person] = {}

    def __len__(self) -> int:
        return len(self._drawn)

    def __getitem__(self, number: int) -> Person:
        number = range(len(self))[number]
        if number not in self._made:
            phenotype, stretch, palm = self._drawn[number]
            self._made[number] = make_person(reshape_hand(make_body(phenotype), stretch, palm))
        return self._made[number]


def draw_people(count: int, rng: np.random.Generator) -> Crowd:
    """Draw ``count`` people, each with a hand of their own."""
    return Crowd(count, rng)


def draw_crowd(count: int, people_seed: int | None, seed: int) -> Crowd:
    """Draw the people of a training: the same in every process, or where ``people_seed`` is None each one's own, of the
    ``seed`` that it draws data from.
    """
    return draw_people(count, np.random.default_rng(seed if people_seed is None else people_seed))
