"""A hand in a depth image: which points are its, what lies outside its silhouette, what stands in front of it."""

import numpy as np
import pytest
from synthetic_hand import open_hand

from hand_pose_ros.geometry.camera import Camera
from hand_pose_ros.hand_model.observation import HandObservation, distance_to_bones, nearest_neighbors

CAMERA = Camera(64, 48, 60.0, 60.0, 31.5, 23.5)
JOINTS = open_hand('right', (0.0, 0.0, 0.5))


def observe(depth: np.ndarray, max_points: int = 800) -> HandObservation:
    return HandObservation(JOINTS, depth, CAMERA, bone_radius=0.3, max_points=max_points)


def image() -> np.ndarray:
    """A hand as a plate at its joints' depth before a wall."""
    rows, columns = np.mgrid[0 : CAMERA.height, 0 : CAMERA.width]
    plate = CAMERA.unproject(np.stack([columns, rows], -1), np.full(rows.shape, 0.5))
    on_hand = distance_to_bones(plate.reshape(-1, 3), JOINTS).reshape(rows.shape) < 0.01
    return np.where(on_hand, 0.5, 0.9).astype(np.float32)


def test_only_points_near_bones_are_the_hands():
    depth = image()
    points = observe(depth).points
    assert len(points) == (depth == np.float32(0.5)).sum() and points[:, 2] == pytest.approx(0.5)
    assert len(observe(depth, max_points=20).points) == 20


def test_vertices_outside_the_silhouette_are_drawn_to_its_nearest_pixel():
    depth = image()
    row, column = (int(middle[0]) for middle in np.nonzero(depth == np.float32(0.5)))
    left = CAMERA.unproject(np.array([[column - 2, row], [column, row]]), np.array([0.5, 0.5]))
    index, offsets = observe(depth).silhouette_residuals(left, margin=0.02, low=0.004, high=0.05)
    assert index.tolist() == [0] and offsets[0, 0] > 0.008
    behind = left + (0.0, 0.0, 0.5)
    assert not len(observe(depth).silhouette_residuals(behind, 0.02, 0.004, 0.05)[0]), 'the camera does not see past it'


def test_what_stands_in_front_of_the_measured_depth_is_reported_but_not_in_holes():
    depth = image()
    vertices = CAMERA.unproject(np.array([[2.0, 2.0], [60.0, 2.0]]), np.array([0.6, 0.6]))
    depth[2, 60] = 0
    assert observe(depth).depth_in_front(vertices) == pytest.approx([0.3, 0.0])


def test_nearest_neighbors_are_those_of_all_distances():
    rng = np.random.default_rng(0)
    points, targets = rng.normal(size=(50, 3)), rng.normal(size=(70, 3))
    index, distances = nearest_neighbors(points, targets)
    every = np.linalg.norm(points[:, None] - targets, axis=2)
    assert (index == every.argmin(1)).all() and distances == pytest.approx(every.min(1))
