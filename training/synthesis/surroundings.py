"""Labeled crops for the network that refines a hand's center: on hands, next to them and on everything else."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import cv2
import numpy as np

from hand_pose_ros.detection.center_refinement import PRESENT_WITHIN, REFINER_HALF, REFINER_INPUT
from hand_pose_ros.detection.depth_search import propose_centers
from hand_pose_ros.geometry.camera import Camera
from hand_pose_ros.geometry.joints import hand_center, hand_size
from hand_pose_ros.geometry.rotations import random_rotations, rotation_vector_to_matrix
from hand_pose_ros.regions.cube import cut_cube
from training.synthesis.crops import FARTHEST, NEAREST, capture, draw_scene, draw_sleeve
from training.synthesis.people import Person
from training.synthesis.poses import KINDS, draw_poses
from training.synthesis.scene import HAND, Poser, Scene, before_camera, draw_arm
from training.synthesis.sensors import SENSORS

#: Half side of the rendered surroundings, meters, and the finest that they are rendered, meters a pixel.
SURROUNDINGS = 0.42
FINEST_PITCH = 0.0030
CROPS_PER_VIEW = 8
#: Share of the pictures in which what is no hand has holes of its own.
ABSORBED = 0.5
#: Share of a hand's joints that the picture must hold for the hand to count as seen.
LEAST_INSIDE = 0.6
#: A crop's center this far from a hand's is not on it, meters; between PRESENT_WITHIN and this, no label.
ABSENT_BEYOND = 0.145


def draw_elsewhere(
    poser: Poser, person: Person, angles: np.ndarray, rng: np.random.Generator, position: np.ndarray
) -> Scene:
    """Pose a person with another part than the hand at ``position`` (3,) meters: the head, half of the time.

    The person is upright before the camera, more or less; the hand is where the arm happens to have it.
    """
    posed, joints = poser.pose(person, angles, draw_arm(rng), True, tuple(rng.normal(0.05, 0.10, 2)), draw_sleeve(rng))
    body = person.body
    if rng.uniform() < 0.5:
        vertices = np.flatnonzero(body.weight_bones[:, 0] == poser.bone['head'])
    else:
        vertices = poser.faces[poser.rest_faces].ravel()
    center = posed[rng.choice(vertices)].astype(float)
    up = body.heads[poser.bone['head']] - body.heads[poser.bone['root']]
    up = up / np.linalg.norm(up)
    aside = np.cross(up, random_rotations(rng, 1)[0][0])
    aside = aside / np.linalg.norm(aside)
    tilt = rotation_vector_to_matrix(rng.normal(0, 0.35, 3))
    rotation = tilt @ np.stack([aside, -up, np.cross(aside, -up)])
    posed, joints = before_camera(posed, joints, rotation, center, position)
    return Scene(joints, poser.meshes(posed, True))


def absorb(depth: np.ndarray, camera: Camera, labels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Make holes of patches of what is no hand: hair, brows, eyes, dark and shiny clothes send a sensor nothing back.

    Args:
        depth: (H, W) meters, 0 for holes.
        camera: of ``depth``.
        labels: (H, W) of what is seen.
        rng: source of randomness.

    """
    rows, columns = np.nonzero((depth > 0) & (labels != HAND))
    if not len(rows):
        return depth
    points = camera.unproject(np.stack([columns, rows], 1).astype(float), depth[rows, columns])
    lost = np.zeros(len(points), bool)
    for _ in range(rng.integers(1, 9)):
        # Patches are longer than wide, in any direction.
        stretch = 1 + rng.uniform(0, 2) * np.abs(random_rotations(rng, 1)[0][0])
        reach = np.exp(rng.uniform(np.log(0.008), np.log(0.05)))
        lost |= np.linalg.norm((points - points[rng.integers(len(points))]) / stretch, axis=1) < reach
    depth = depth.copy()
    depth[rows[lost], columns[lost]] = 0
    return depth


def scatter(depth: np.ndarray, labels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Make noise of patches of what is no hand or is nothing: dark, far and slanted surfaces send back too little.

    Args:
        depth: (H, W) meters, 0 for holes.
        labels: (H, W) of what is seen.
        rng: source of randomness.

    """
    depth = depth.copy()
    height, width = depth.shape
    rows, columns = np.mgrid[:height, :width]
    seen = depth[depth > 0]
    if not len(seen):
        return depth
    for _ in range(rng.integers(1, 4)):
        middle = rng.uniform(0, 1, 2) * (height, width)
        angle, reach = rng.uniform(0, np.pi), np.exp(rng.uniform(np.log(0.04), np.log(0.5), 2)) * width
        along = (columns - middle[1]) * np.cos(angle) + (rows - middle[0]) * np.sin(angle)
        across = (rows - middle[0]) * np.cos(angle) - (columns - middle[1]) * np.sin(angle)
        patch = (np.abs(along) < reach[0]) & (np.abs(across) < reach[1]) & (labels != HAND)
        if rng.uniform() < 0.6:
            # Next to something, in the void; else on a surface.
            base = np.where(depth > 0, 0, rng.choice(seen) + rng.uniform(-0.05, 0.3))
        else:
            base = depth.copy()
        dense = cv2.resize(rng.uniform(-0.5, 1, rng.integers(2, 9, 2)), (width, height)) * np.exp(rng.uniform(-3, 0.5))
        noisy = patch & (base > 0.1) & (rng.uniform(size=depth.shape) < dense)
        noise = np.exp(rng.uniform(np.log(0.004), np.log(0.15))) * rng.standard_normal(np.count_nonzero(noisy))
        if rng.uniform() < 0.5:
            depth[patch & (base > 0)] = 0
        depth[noisy] = np.maximum(base[noisy] + noise, 0.1)
    return depth


def draw_surroundings(
    poser: Poser, angles: np.ndarray, rng: np.random.Generator, elsewhere: float = 0.0, scattered: float = 0.0
):
    """Draw a picture of a person around their right hand, or ``elsewhere`` often around another part of them.

    Of the pictures, ``scattered`` have noise in what is no hand.

    Returns:
        Depth (H, W) as a sensor gives it, its camera, labels (H, W) of the ideal picture, joints (21, 3).

    """
    while True:
        person = poser.people[rng.integers(len(poser.people))]
        sensor = SENSORS[rng.choice(list(SENSORS))]
        z = np.exp(rng.uniform(np.log(NEAREST), np.log(FARTHEST)))
        position = np.array([rng.uniform(-0.3, 0.3), rng.uniform(-0.3, 0.3), 1]) * z
        if elsewhere and rng.uniform() < elsewhere:
            scene, covered = draw_elsewhere(poser, person, angles, rng, position), True
        else:
            scene, covered = draw_scene(poser, person, angles, rng, position, body_probability=0.65)
        focal = min(sensor.focal, z / FINEST_PITCH)
        pixels = int(np.ceil(2 * SURROUNDINGS / z * focal))
        seen = capture(scene, covered, sensor, focal, pixels, position, rng)
        if seen is not None:
            depth, camera, labels = seen
            if elsewhere and rng.uniform() < ABSORBED:
                depth = absorb(depth, camera, labels, rng)
            if scattered and rng.uniform() < scattered:
                depth = scatter(depth, labels, rng)
            return depth, camera, labels, scene.joints


def _crop_center(kind: float, depth, camera, labels, truth, rng) -> np.ndarray | None:
    """Center of one crop: near the truth, at a surface of the hand or anywhere on a surface."""
    if kind < 0.45:
        return truth + rng.normal(0, rng.choice([0.012, 0.03, 0.055]), 3)
    surface = (depth > 0) & ((labels == HAND) if kind < 0.6 else (labels != HAND))
    rows, columns = np.nonzero(surface)
    if not len(rows):
        return None
    pick = rng.integers(len(rows))
    point = camera.unproject(np.array([columns[pick], rows[pick]]), depth[rows[pick], columns[pick]])
    return point + np.array([0, 0, rng.uniform(-0.01, 0.06)]) + rng.normal(0, 0.012, 3)


def refiner_batches(
    people: Sequence[Person],
    seed: int,
    batch: int,
    elsewhere: float = 0.0,
    proposed: float = 0.0,
    scattered: float = 0.0,
    kinds: Mapping[str, float] = KINDS,
) -> Iterator[tuple[np.ndarray, ...]]:
    """Yield endless (batch, S, S) crops and (batch, 6) labels.

    Args:
        people: who may be seen.
        seed: the same one gives the same batches.
        batch: crops in a batch.
        elsewhere: share of the pictures that show another part of a person than the hand.
        proposed: share of the crops cut where the run time would look for a hand first, whatever is there.
        scattered: share of the pictures in which what is no hand is noise in places, where there was nothing too.
        kinds: kind of pose -> share, see ``training.synthesis.poses``.

    A label holds the offset to the hand's center in half sides (3), the logarithm of the hand's size over the crop's
    half side, whether a hand is there (1, 0, or -1 for no label), and how much the offset counts.
    """
    poser = Poser(people, other_hand=False)
    rng = np.random.default_rng(seed)
    poses: list[np.ndarray] = []
    crops, labels_out = [], []
    while True:
        if not poses:
            person = people[0]
            poses = list(draw_poses(512, rng, person.axes, person.rest_angles, person.body.joints, kinds=kinds))
        depth, camera, labels, joints = draw_surroundings(poser, poses.pop(), rng, elsewhere, scattered)
        truth, size = hand_center(joints), hand_size(joints)
        # Where another part is looked at, the hand may be beyond the picture, in part or wholly.
        inside = (np.abs(camera.project(joints) - (camera.width - 1) / 2) < camera.width / 2).all(1).mean()
        shows = -1.0 if np.any(labels == HAND) else 0.0
        proposals = propose_centers(depth, camera) if proposed else ()
        for _ in range(CROPS_PER_VIEW):
            if len(proposals) and rng.uniform() < proposed:
                center = proposals[rng.integers(len(proposals))]
            else:
                center = _crop_center(rng.uniform(), depth, camera, labels, truth, rng)
            if center is None or center[2] < 0.12:
                continue
            left = rng.uniform() < 0.5
            crop = cut_cube(depth, camera, center, REFINER_HALF, REFINER_INPUT, mirror=left)
            offset = (truth - center) / REFINER_HALF
            if left:
                offset[0] = -offset[0]
            distance = float(np.linalg.norm(truth - center))
            present = 1.0 if distance < PRESENT_WITHIN else 0.0 if distance > ABSENT_BEYOND else -1.0
            weight = 1.0 if distance < PRESENT_WITHIN else 0.3 if distance < ABSENT_BEYOND else 0.0
            if inside < LEAST_INSIDE and present != 0:
                present, weight = shows, 0.0
            crops.append(crop)
            labels_out.append([*offset, np.log(size / REFINER_HALF), present, weight])
            if len(crops) == batch:
                yield np.stack(crops), np.array(labels_out, np.float32)
                crops, labels_out = [], []
