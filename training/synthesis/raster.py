"""Skinning and depth rasterising, compiled with numba: a crop of an arm takes well under a millisecond.

The rasteriser is checked against Embree's ray casting in the tests.
"""

from __future__ import annotations

import numba
import numpy as np

#: Depth of a pixel that shows nothing, metres.
EMPTY = np.float32(1e9)


@numba.njit(cache=True, fastmath=True)
def skin(vertices, weight_bones, weights, rotations, translations, used, out):
    """Linear blend skinning.

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


@numba.njit(cache=True, fastmath=True)
def rasterise(points, faces, face_ids, fx, fy, cx, cy, depth, labels, label):
    """Draw triangles into a z-buffer.

    Args:
        points: (V, 3) float32, camera optical frame, metres.
        faces: (F, 3) int32.
        face_ids: (M,) int32, the faces to draw.
        fx, fy, cx, cy: pinhole of the window that ``depth`` is; pixel centres at whole numbers.
        depth: (H, W) float32 z-buffer, changed in place; start it at ``EMPTY``.
        labels: (H, W) uint8, set to ``label`` where this mesh is nearest.
        label: number of this mesh.

    """
    height, width = depth.shape
    for n in range(face_ids.shape[0]):
        f = face_ids[n]
        a, b, c = faces[f, 0], faces[f, 1], faces[f, 2]
        za, zb, zc = points[a, 2], points[b, 2], points[c, 2]
        if za < 0.05 or zb < 0.05 or zc < 0.05:
            continue
        ia, ib, ic = 1 / za, 1 / zb, 1 / zc
        ua, va = fx * points[a, 0] * ia + cx, fy * points[a, 1] * ia + cy
        ub, vb = fx * points[b, 0] * ib + cx, fy * points[b, 1] * ib + cy
        uc, vc = fx * points[c, 0] * ic + cx, fy * points[c, 1] * ic + cy
        left = max(0, int(np.ceil(min(ua, ub, uc))))
        right = min(width - 1, int(np.floor(max(ua, ub, uc))))
        top = max(0, int(np.ceil(min(va, vb, vc))))
        bottom = min(height - 1, int(np.floor(max(va, vb, vc))))
        if left > right or top > bottom:
            continue
        area = (ub - ua) * (vc - va) - (uc - ua) * (vb - va)
        if abs(area) < 1e-9:
            continue
        inverse = 1 / area
        for v in range(top, bottom + 1):
            for u in range(left, right + 1):
                wb = ((u - ua) * (vc - va) - (uc - ua) * (v - va)) * inverse
                wc = ((ub - ua) * (v - va) - (u - ua) * (vb - va)) * inverse
                if wb < -1e-6 or wc < -1e-6 or wb + wc > 1 + 1e-6:
                    continue
                z = 1 / (ia + wb * (ib - ia) + wc * (ic - ia))
                if z < depth[v, u]:
                    depth[v, u] = z
                    labels[v, u] = label
