"""The one rasterizer: triangles into a z-buffer, compiled with numba. A crop of an arm takes well under a millisecond.

Whatever is drawn without gradients is drawn by :class:`ZBuffer`: depth images and labels, color pictures and their
shadow maps, masks, and the shares of a pixel's triangle. Where a loss needs gradients of an outline,
:mod:`training.silhouette` has them, on a GPU too; what a triangle covers is decided there by the same
:func:`doubled_area` and :func:`is_inside`. The tests check both against Embree's ray casting, and against one another.
"""

from __future__ import annotations

from dataclasses import dataclass

import numba
import numpy as np
from numba.extending import register_jitable

#: Depth of a pixel that shows nothing, meters.
EMPTY = np.float32(1e9)
#: Nearest depth that a perspective picture shows, meters: triangles that reach before it are left out, not clipped.
NEAR = 0.05
#: Share by which a pixel's center may lie outside a triangle, so that none falls between two that share an edge.
TOLERANCE = 1e-6
#: Twice the area in square pixels below which a triangle covers nothing.
LEAST_AREA = 1e-9


@register_jitable(fastmath=True)
def doubled_area(ua, va, ub, vb, uc, vc):
    """Twice the signed area of triangles a, b, c in the image; of numbers in numba, and of arrays or tensors."""
    return (ub - ua) * (vc - va) - (uc - ua) * (vb - va)


@register_jitable(fastmath=True)
def is_inside(share_b, share_c):
    """Whether a point lies in a triangle, given how much of the second and third corner it is."""
    return (share_b >= -TOLERANCE) & (share_c >= -TOLERANCE) & (share_b + share_c <= 1 + TOLERANCE)


@numba.njit(cache=True, fastmath=True)
def _draw(points, faces, face_ids, label, perspective, fx, fy, cx, cy, depth, labels, face, shares):
    height, width = depth.shape
    for n in range(face_ids.shape[0]):
        f = face_ids[n]
        a, b, c = faces[f, 0], faces[f, 1], faces[f, 2]
        za, zb, zc = points[a, 2], points[b, 2], points[c, 2]
        if perspective:
            if za < NEAR or zb < NEAR or zc < NEAR:
                continue
            ia, ib, ic = 1 / za, 1 / zb, 1 / zc
        else:
            ia = ib = ic = 1.0
        ua, va = fx * points[a, 0] * ia + cx, fy * points[a, 1] * ia + cy
        ub, vb = fx * points[b, 0] * ib + cx, fy * points[b, 1] * ib + cy
        uc, vc = fx * points[c, 0] * ic + cx, fy * points[c, 1] * ic + cy
        left = max(0, int(np.ceil(min(ua, ub, uc))))
        right = min(width - 1, int(np.floor(max(ua, ub, uc))))
        top = max(0, int(np.ceil(min(va, vb, vc))))
        bottom = min(height - 1, int(np.floor(max(va, vb, vc))))
        if left > right or top > bottom:
            continue
        area = doubled_area(ua, va, ub, vb, uc, vc)
        if abs(area) < LEAST_AREA:
            continue
        inverse = 1 / area
        for v in range(top, bottom + 1):
            for u in range(left, right + 1):
                wb = doubled_area(ua, va, u, v, uc, vc) * inverse
                wc = doubled_area(ua, va, ub, vb, u, v) * inverse
                if not is_inside(wb, wc):
                    continue
                if perspective:
                    z = 1 / (ia + wb * (ib - ia) + wc * (ic - ia))
                    wb, wc = wb * ib * z, wc * ic * z
                else:
                    z = za + wb * (zb - za) + wc * (zc - za)
                if z < depth[v, u]:
                    depth[v, u] = z
                    labels[v, u] = label
                    face[v, u] = f
                    shares[v, u, 0], shares[v, u, 1] = wb, wc


@dataclass(frozen=True)
class ZBuffer:
    """What a camera sees of triangles; meshes are drawn into it one after the other.

    Attributes:
        depth: (H, W) float32, in the unit of the points, ``EMPTY`` where nothing is.
        labels: (H, W) int16, the label of the nearest mesh; -1 where nothing is.
        faces: (H, W) int32, its triangle.
        shares: (H, W, 2) float32, how much of the triangle's second and third corner a pixel's point is.

    """

    depth: np.ndarray
    labels: np.ndarray
    faces: np.ndarray
    shares: np.ndarray

    @classmethod
    def empty(cls, height: int, width: int) -> ZBuffer:
        """A buffer of that many pixels without anything in it."""
        return cls(
            np.full((height, width), EMPTY, np.float32),
            np.full((height, width), -1, np.int16),
            np.full((height, width), -1, np.int32),
            np.zeros((height, width, 2), np.float32),
        )

    def draw(
        self,
        points: np.ndarray,
        faces: np.ndarray,
        face_ids: np.ndarray,
        pinhole: tuple[float, float, float, float],
        label: int = 0,
        perspective: bool = True,
    ) -> None:
        """Draw a mesh.

        Args:
            points: (V, 3) float32, camera optical frame, meters.
            faces: (F, 3) int32 indices of ``points``.
            face_ids: (M,) int32, the faces to draw.
            pinhole: fx, fy, cx, cy in pixels, with pixels' centers at whole numbers.
            label: 0 to 32767, of this mesh.
            perspective: else x and y are not divided by the depth, which may then be in any unit and of any sign.

        """
        camera = (np.float32(number) for number in pinhole)
        _draw(points, faces, face_ids, label, perspective, *camera, self.depth, self.labels, self.faces, self.shares)
