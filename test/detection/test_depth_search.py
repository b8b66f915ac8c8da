"""Proposals of where a hand may be, and how the refinement's output is read."""

import numpy as np
import pytest

from hand_pose_ros.detection.center_refinement import REFINER_HALF, read_output, refine
from hand_pose_ros.detection.depth_search import propose_centers
from hand_pose_ros.geometry.camera import Camera

CAMERA = Camera(640, 480, 500, 500, 319.5, 239.5)


def scene(*blobs):
    """Flat discs (x, y, z, radius in meters) before nothing."""
    depth = np.zeros((480, 640), np.float32)
    v, u = np.mgrid[:480, :640]
    for x, y, z, radius in sorted(blobs, key=lambda b: -b[2]):
        cu, cv = CAMERA.project(np.array([x, y, z]))
        depth[(u - cu) ** 2 + (v - cv) ** 2 < (500 * radius / z) ** 2] = z
    return depth


def test_every_object_near_the_closest_is_proposed_and_none_far_behind():
    found = propose_centers(scene((0.1, 0, 0.4, 0.05), (-0.15, 0.1, 0.6, 0.06), (0.2, -0.2, 1.4, 0.1)), CAMERA)
    for x, y, z in ((0.1, 0, 0.4), (-0.15, 0.1, 0.6)):
        assert np.linalg.norm(found - (x, y, z), axis=1).min() < 0.06
    assert found[:, 2].max() < 1.2 and (np.diff(found[:, 2]) >= 0).all()


def test_nothing_is_proposed_near_a_known_hand_nor_in_an_empty_image():
    depth = scene((0.1, 0, 0.4, 0.05), (-0.15, 0.1, 0.6, 0.06))
    found = propose_centers(depth, CAMERA, known=[np.array([0.1, 0, 0.41])])
    assert len(found) and np.linalg.norm(found - (0.1, 0, 0.4), axis=1).min() > 0.1
    assert propose_centers(np.zeros((480, 640), np.float32), CAMERA).shape == (0, 3)
    assert len(propose_centers(depth, CAMERA, most=2)) == 2


def test_refinement_is_read_in_meters_and_seen_through_the_crop():
    output = np.array([[0.5, 0, -0.25, np.log(0.5), 2.0], [0, 0, 0, 0, -40.0]])
    read = read_output(output, np.array([[0.1, 0, 0.5], [0, 0, 0.4]]))
    assert read.centers[0] == pytest.approx([0.1 + 0.5 * REFINER_HALF, 0, 0.5 - 0.25 * REFINER_HALF])
    assert read.sizes[0] == pytest.approx(0.5 * REFINER_HALF)
    assert read.presence == pytest.approx([1 / (1 + np.exp(-2)), 0], abs=1e-6)

    shapes = []
    refine(
        scene((0, 0, 0.5, 0.05)),
        CAMERA,
        np.array([[0, 0, 0.5]]),
        lambda crops: shapes.append((crops.shape, crops.min())) or [np.zeros((1, 5))],
    )
    assert shapes == [((1, 1, 64, 64), 0.0)]
