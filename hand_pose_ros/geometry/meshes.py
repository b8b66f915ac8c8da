"""Triangle meshes."""

from __future__ import annotations

import numpy as np


def face_normals(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Normals (F, 3) of faces (F, 3), counter-clockwise seen from outside: outwards, twice the area long.

    Args:
        vertices: (V, 3) in any unit.
        faces: (F, 3) vertex indices.

    """
    a, b, c = (vertices[faces[:, corner]].astype(float) for corner in range(3))
    return np.cross(b - a, c - a)


def vertex_normals(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Unit normals (V, 3) of vertices (V, 3): the mean of their faces' (F, 3), weighted by area; 0 without a face."""
    repeated = np.repeat(face_normals(vertices, faces), 3, axis=0)
    normals = np.stack([np.bincount(faces.ravel(), repeated[:, axis], len(vertices)) for axis in range(3)], axis=-1)
    return normals / np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12)
