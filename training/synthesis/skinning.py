"""Linear blend skinning, compiled with numba."""

from __future__ import annotations

import numba
import numpy as np


@numba.njit(cache=True, fastmath=True)
def skin(vertices, weight_bones, weights, rotations, translations, used, out):
    """Pose vertices by their bones.

    Args:
        vertices: (V, 3) float32 at rest.
        weight_bones: (V, K) int32.
        weights: (V, K) float32, falling along K.
        rotations: (B, 3, 3) float32.
        translations: (B, 3) float32; a bone maps x to rotation @ x + translation.
        used: (U,) int32, the vertices to pose.
        out: (V, 3) float32, filled at ``used``.

    """
    for n in range(used.shape[0]):
        v = used[n]
        x, y, z = vertices[v, 0], vertices[v, 1], vertices[v, 2]
        px = py = pz = np.float32(0)
        for k in range(weights.shape[1]):
            w = weights[v, k]
            if w < 1e-3:
                break
            b = weight_bones[v, k]
            px += w * (rotations[b, 0, 0] * x + rotations[b, 0, 1] * y + rotations[b, 0, 2] * z + translations[b, 0])
            py += w * (rotations[b, 1, 0] * x + rotations[b, 1, 1] * y + rotations[b, 1, 2] * z + translations[b, 1])
            pz += w * (rotations[b, 2, 0] * x + rotations[b, 2, 1] * y + rotations[b, 2, 2] * z + translations[b, 2])
        out[v, 0], out[v, 1], out[v, 2] = px, py, pz
