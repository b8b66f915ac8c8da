"""Labelled crops for the network that refines a hand's centre: near hands, beside them and on everything else."""

from __future__ import annotations

from typing import Iterator

import numpy as np

from hand_pose_ros.localization.crop import cut_cube, hand_centre, hand_size
from hand_pose_ros.localization.refiner import PRESENT_WITHIN, REFINER_HALF, REFINER_INPUT
from training.synthesis.crops import FARTHEST, NEAREST, draw_scene, photograph
from training.synthesis.people import Person
from training.synthesis.poses import draw_poses
from training.synthesis.scene import HAND, Poser
from training.synthesis.sensors import SENSORS

#: Half side of the rendered surroundings, metres, and the finest that they are rendered, metres a pixel.
SURROUNDINGS = 0.42
FINEST_PITCH = 0.0030
CROPS_PER_VIEW = 8
#: A crop's centre this far from a hand's is not on it, metres; between PRESENT_WITHIN and this, no label.
ABSENT_BEYOND = 0.145


def draw_surroundings(poser: Poser, angles: np.ndarray, rng: np.random.Generator):
    """Draw a picture of a person around their right hand.

    Returns:
        Depth (H, W) as a sensor gives it, its camera, labels (H, W) of the ideal picture, joints (21, 3).

    """
    while True:
        person = poser.people[rng.integers(len(poser.people))]
        sensor = SENSORS[rng.choice(list(SENSORS))]
        z = np.exp(rng.uniform(np.log(NEAREST), np.log(FARTHEST)))
        position = np.array([rng.uniform(-0.3, 0.3), rng.uniform(-0.3, 0.3), 1]) * z
        scene, covered = draw_scene(poser, person, angles, rng, position, body_chance=0.65)
        focal = min(sensor.focal, z / FINEST_PITCH)
        pixels = int(np.ceil(2 * SURROUNDINGS / z * focal))
        seen = photograph(scene, covered, sensor, focal, pixels, position, rng)
        if seen is not None:
            return *seen, scene.joints


def _crop_centre(kind: float, depth, camera, labels, truth, rng) -> np.ndarray | None:
    """Centre of one crop: near the truth, at a surface of the hand or anywhere on a surface."""
    if kind < 0.45:
        return truth + rng.normal(0, rng.choice([0.012, 0.03, 0.055]), 3)
    surface = (depth > 0) & ((labels == HAND) if kind < 0.6 else (labels != HAND))
    rows, columns = np.nonzero(surface)
    if not len(rows):
        return None
    pick = rng.integers(len(rows))
    point = camera.unproject(np.array([columns[pick], rows[pick]]), depth[rows[pick], columns[pick]])
    return point + np.array([0, 0, rng.uniform(-0.01, 0.06)]) + rng.normal(0, 0.012, 3)


def refiner_batches(people: list[Person], seed: int, batch: int) -> Iterator[tuple[np.ndarray, ...]]:
    """Yield endless (batch, S, S) crops and (batch, 6) labels.

    A label holds the offset to the hand's centre in half sides (3), the logarithm of the hand's size over the crop's
    half side, whether a hand is there (1, 0, or -1 for no label), and how much the offset counts.
    """
    poser = Poser(people, other_hand=False)
    rng = np.random.default_rng(seed)
    poses: list[np.ndarray] = []
    crops, labels_out = [], []
    while True:
        if not poses:
            person = people[0]
            poses = list(draw_poses(512, rng, person.axes, person.rest_angles, person.body.joints))
        depth, camera, labels, joints = draw_surroundings(poser, poses.pop(), rng)
        truth, size = hand_centre(joints), hand_size(joints)
        for _ in range(CROPS_PER_VIEW):
            centre = _crop_centre(rng.uniform(), depth, camera, labels, truth, rng)
            if centre is None or centre[2] < 0.12:
                continue
            left = rng.uniform() < 0.5
            crop = cut_cube(depth, camera, centre, REFINER_HALF, REFINER_INPUT, mirror=left)
            offset = (truth - centre) / REFINER_HALF
            if left:
                offset[0] = -offset[0]
            distance = float(np.linalg.norm(truth - centre))
            present = 1.0 if distance < PRESENT_WITHIN else 0.0 if distance > ABSENT_BEYOND else -1.0
            weight = 1.0 if distance < PRESENT_WITHIN else 0.3 if distance < ABSENT_BEYOND else 0.0
            crops.append(crop)
            labels_out.append([*offset, np.log(size / REFINER_HALF), present, weight])
            if len(crops) == batch:
                yield np.stack(crops), np.array(labels_out, np.float32)
                crops, labels_out = [], []
