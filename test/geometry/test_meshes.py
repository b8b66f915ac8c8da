"""Triangle meshes: normals point outwards and weigh faces by their area."""

import numpy as np
import pytest

from hand_pose_ros.geometry.meshes import face_normals, vertex_normals

#: A tetrahedron, faces counter-clockwise seen from outside.
VERTICES = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]], np.float32)
FACES = np.array([[0, 2, 1], [0, 1, 3], [0, 3, 2], [1, 2, 3]])


def test_face_normals_point_outwards_and_are_twice_the_area_long():
    normals = face_normals(VERTICES, FACES)
    assert normals[0] == pytest.approx([0, 0, -1]) and normals[3] == pytest.approx([1, 1, 1])


def test_vertex_normals_are_unit_and_the_mean_of_their_faces():
    normals = vertex_normals(VERTICES, FACES)
    assert np.linalg.norm(normals, axis=1) == pytest.approx(np.ones(4))
    assert normals[0] == pytest.approx(-np.ones(3) / 3**0.5), 'three faces of one area'
    assert normals[1] == pytest.approx([1, 0, 0]), 'what the others add cancels out'


def test_a_vertex_without_a_face_has_no_normal():
    assert not vertex_normals(np.vstack([VERTICES, [[5, 5, 5]]]), FACES)[4].any()
