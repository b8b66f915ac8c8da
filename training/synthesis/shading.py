"""Colour pictures of triangle meshes: a z-buffer that keeps surfaces, one shadow map, and shading; compiled with numba.

Shading works in linear light. A surface scatters light from an ambient hemisphere and from lamps, one of which casts
shadows; skin lets light creep around its edge. Surfaces have noise in their colour and in their normals, and a second
layer (cloth over skin) where a number that vertices carry is positive, so that its edge is sharp between vertices.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numba
import numpy as np

from training.synthesis.raster import EMPTY

#: Side of the table that noise is read from; a power of two.
_TABLE = 32
_NOISE = np.random.default_rng(7).uniform(-1, 1, (_TABLE, _TABLE, _TABLE)).astype(np.float32)
#: Pixels along a side of the shadow map, and how much nearer to the lamp a thing must be to cast a shadow, metres.
SHADOW_PIXELS = 220
_BIAS = np.float32(0.006)

_AROUND = np.array([(np.cos(t), np.sin(t)) for t in np.arange(8) * np.pi * 0.75], np.float32)

PLAIN, STRIPES, CHECKS, DOTS = range(4)


@dataclass(frozen=True)
class Material:
    """How a surface looks. Colours are linear red, green, blue, 0 to 1.

    Attributes:
        colour: of the surface; where a mesh gives its vertices' colours, it multiplies them.
        mottle: strength of the noise in the colour, and ``mottle_size`` its size in metres.
        bump: strength of the noise in the normals, and ``bump_size`` its size in metres.
        shine: share of light that is mirrored, and ``sharpness`` of the highlight.
        soft: how far light creeps around to the dark side, 0 to 0.5.
        pattern: ``PLAIN``, ``STRIPES``, ``CHECKS`` or ``DOTS`` in ``second`` colour, ``period`` metres apart.

    """

    colour: tuple[float, float, float] = (1.0, 1.0, 1.0)
    mottle: float = 0.1
    mottle_size: float = 0.01
    bump: float = 0.0
    bump_size: float = 0.003
    shine: float = 0.0
    sharpness: float = 10.0
    soft: float = 0.0
    pattern: int = PLAIN
    second: tuple[float, float, float] = (0.0, 0.0, 0.0)
    period: float = 0.02

    def row(self) -> list[float]:
        """What the shading reads."""
        return [*self.colour, self.mottle, 1 / self.mottle_size, self.bump, 1 / self.bump_size, self.shine,
                self.sharpness, self.soft, self.pattern, *self.second, 1 / self.period]


@dataclass
class Surface:
    """A mesh that can be shaded.

    Attributes:
        points: (V, 3) float32 metres, camera optical frame.
        faces: (F, 3) int32 indices of ``points``, and ``face_ids`` (M,) those to draw.
        label: what a pixel that shows it is called.
        texture: (V, 3) float32 metres, places that noise and patterns stick to.
        material: of the surface.
        colours: (V, 3) float32 of the vertices; None for white.
        cover: (V,) float32, the second layer shows where it is positive; None for nowhere.
        cover_material: of the second layer.

    """

    points: np.ndarray
    faces: np.ndarray
    face_ids: np.ndarray
    label: int
    texture: np.ndarray
    material: Material
    colours: np.ndarray | None = None
    cover: np.ndarray | None = None
    cover_material: Material = field(default_factory=Material)


@dataclass(frozen=True)
class Lighting:
    """Light in a scene, linear.

    Attributes:
        above: (3,) colour of the light from ``up``, and ``below`` from the other side.
        up: (3,) unit vector.
        directions: (L, 3) unit vectors towards the lamps, the first of which casts shadows.
        colours: (L, 3) of the lamps.
        shadow: how dark the shadow is, 0 to 1.

    """

    above: np.ndarray
    below: np.ndarray
    up: np.ndarray
    directions: np.ndarray
    colours: np.ndarray
    shadow: float


@dataclass(frozen=True)
class Picture:
    """A shaded scene.

    Attributes:
        colour: (H, W, 3) float32, linear; black where nothing is.
        depth: (H, W) float32 metres, ``EMPTY`` where nothing is.
        labels: (H, W) uint8, 0 where nothing is.
        texture: (H, W, 3) float32 metres, the surface's own places, see :class:`Surface`; 0 where nothing is.

    """

    colour: np.ndarray
    depth: np.ndarray
    labels: np.ndarray
    texture: np.ndarray


@numba.njit(cache=True, fastmath=True)
def _normals(points, faces, face_ids, out):
    for n in range(face_ids.shape[0]):
        a, b, c = faces[face_ids[n]]
        ux, uy, uz = points[b, 0] - points[a, 0], points[b, 1] - points[a, 1], points[b, 2] - points[a, 2]
        vx, vy, vz = points[c, 0] - points[a, 0], points[c, 1] - points[a, 1], points[c, 2] - points[a, 2]
        x, y, z = uy * vz - uz * vy, uz * vx - ux * vz, ux * vy - uy * vx
        for v in (a, b, c):
            out[v, 0] += x
            out[v, 1] += y
            out[v, 2] += z


@numba.njit(cache=True, fastmath=True)
def _draw(points, faces, face_ids, owners, perspective, fx, fy, cx, cy, depth, owner, face, weight):
    """Draw triangles into a z-buffer that remembers mesh, face and (H, W, 2) shares of its second and third corner."""
    height, width = depth.shape
    for n in range(face_ids.shape[0]):
        f = face_ids[n]
        a, b, c = faces[f, 0], faces[f, 1], faces[f, 2]
        za, zb, zc = points[a, 2], points[b, 2], points[c, 2]
        if perspective:
            if za < 0.05 or zb < 0.05 or zc < 0.05:
                continue
            ia, ib, ic = 1 / za, 1 / zb, 1 / zc
        else:
            ia = ib = ic = np.float32(1)
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
                if perspective:
                    z = 1 / (ia + wb * (ib - ia) + wc * (ic - ia))
                    wb, wc = wb * ib * z, wc * ic * z
                else:
                    z = za + wb * (zb - za) + wc * (zc - za)
                if z < depth[v, u]:
                    depth[v, u] = z
                    owner[v, u] = owners[n]
                    face[v, u] = f
                    weight[v, u, 0], weight[v, u, 1] = wb, wc


@numba.njit(cache=True, fastmath=True)
def _noise(table, x, y, z):
    """Smooth noise in -1 to 1 that repeats after ``_TABLE``."""
    mask = _TABLE - 1
    fx, fy, fz = np.floor(x), np.floor(y), np.floor(z)
    i, j, k = int(fx) & mask, int(fy) & mask, int(fz) & mask
    i1, j1, k1 = (i + 1) & mask, (j + 1) & mask, (k + 1) & mask
    x, y, z = x - fx, y - fy, z - fz
    low = ((table[i, j, k] * (1 - x) + table[i1, j, k] * x) * (1 - y)
           + (table[i, j1, k] * (1 - x) + table[i1, j1, k] * x) * y)
    high = ((table[i, j, k1] * (1 - x) + table[i1, j, k1] * x) * (1 - y)
            + (table[i, j1, k1] * (1 - x) + table[i1, j1, k1] * x) * y)
    return low * (1 - z) + high * z


@numba.njit(cache=True, fastmath=True)
def _enclosed(depth, v, u, focal):
    """Share of the surroundings' light that what stands nearer beside a pixel keeps from it."""
    height, width = depth.shape
    own = depth[v, u]
    kept = np.float32(0)
    for n in range(8):
        reach = np.float32(0.01) if n % 2 == 0 else np.float32(0.03)
        q = v + int(_AROUND[n, 0] * reach * focal / own)
        p = u + int(_AROUND[n, 1] * reach * focal / own)
        if 0 <= q < height and 0 <= p < width:
            behind = (own - depth[q, p]) / reach
            # What stands far before a surface takes no light from it.
            if 0 < behind < 3:
                kept += min(behind, np.float32(1)) * (3 - behind) / 3
    return np.float32(0.9) * kept / 8


@numba.njit(cache=True, fastmath=True)
def _shade(owner, face, weight, faces, points, normals, texture, colours, cover, materials, covers, table, above, below,
           up, directions, lamps, shadow, shadow_map, frame, scale, depth, focal, out, places):
    height, width = owner.shape
    normal = np.zeros(3, np.float32)
    for v in range(height):
        for u in range(width):
            o = owner[v, u]
            if o < 0:
                continue
            a, b, c = faces[face[v, u]]
            wb, wc = weight[v, u, 0], weight[v, u, 1]
            wa = 1 - wb - wc
            px = wa * points[a, 0] + wb * points[b, 0] + wc * points[c, 0]
            py = wa * points[a, 1] + wb * points[b, 1] + wc * points[c, 1]
            pz = wa * points[a, 2] + wb * points[b, 2] + wc * points[c, 2]
            tx = wa * texture[a, 0] + wb * texture[b, 0] + wc * texture[c, 0]
            ty = wa * texture[a, 1] + wb * texture[b, 1] + wc * texture[c, 1]
            tz = wa * texture[a, 2] + wb * texture[b, 2] + wc * texture[c, 2]
            places[v, u, 0], places[v, u, 1], places[v, u, 2] = tx, ty, tz
            red = wa * colours[a, 0] + wb * colours[b, 0] + wc * colours[c, 0]
            green = wa * colours[a, 1] + wb * colours[b, 1] + wc * colours[c, 1]
            blue = wa * colours[a, 2] + wb * colours[b, 2] + wc * colours[c, 2]
            m = materials[o]
            if wa * cover[a] + wb * cover[b] + wc * cover[c] > 0:
                m = covers[o]
                red = green = blue = np.float32(1)
            first = True
            if m[10] > 0:
                rate = m[14]
                s, t = np.floor(tx * rate + tz * rate), np.floor(ty * rate - tz * rate * 0.5)
                if m[10] == STRIPES:
                    first = int(s) % 2 == 0
                elif m[10] == CHECKS:
                    first = (int(s) + int(t)) % 2 == 0
                else:
                    ds, dt = tx * rate + tz * rate - s - 0.5, ty * rate - tz * rate * 0.5 - t - 0.5
                    first = ds * ds + dt * dt > 0.09
            if first:
                red, green, blue = red * m[0], green * m[1], blue * m[2]
            else:
                red, green, blue = m[11], m[12], m[13]
            f = m[4]
            grain = 1 + m[3] * (0.65 * _noise(table, tx * f, ty * f, tz * f)
                                + 0.35 * _noise(table, tx * f * 3.1, ty * f * 3.1, tz * f * 3.1))
            red, green, blue = red * grain, green * (0.5 + 0.5 * grain) * grain ** 0.5, blue * grain
            nx = wa * normals[a, 0] + wb * normals[b, 0] + wc * normals[c, 0]
            ny = wa * normals[a, 1] + wb * normals[b, 1] + wc * normals[c, 1]
            nz = wa * normals[a, 2] + wb * normals[b, 2] + wc * normals[c, 2]
            if m[5] > 0:
                f = m[6]
                nx += m[5] * _noise(table, tx * f, ty * f, tz * f)
                ny += m[5] * _noise(table, ty * f + 9, tz * f, tx * f)
                nz += m[5] * _noise(table, tz * f, tx * f + 5, ty * f)
            length = 1 / np.sqrt(nx * nx + ny * ny + nz * nz + 1e-12)
            nx, ny, nz = nx * length, ny * length, nz * length
            far = 1 / np.sqrt(px * px + py * py + pz * pz)
            ex, ey, ez = -px * far, -py * far, -pz * far
            if nx * ex + ny * ey + nz * ez < 0:
                nx, ny, nz = -nx, -ny, -nz
            normal[0], normal[1], normal[2] = nx, ny, nz
            height_share = 0.5 + 0.5 * (nx * up[0] + ny * up[1] + nz * up[2])
            open_share = 1 - _enclosed(depth, v, u, focal)
            lr = open_share * (below[0] + height_share * (above[0] - below[0]))
            lg = open_share * (below[1] + height_share * (above[1] - below[1]))
            lb = open_share * (below[2] + height_share * (above[2] - below[2]))
            gr = gg = gb = np.float32(0)
            for n in range(directions.shape[0]):
                dx, dy, dz = directions[n, 0], directions[n, 1], directions[n, 2]
                falls = (nx * dx + ny * dy + nz * dz + m[9]) / (1 + m[9])
                if falls <= 0:
                    continue
                if n == 0 and shadow > 0:
                    rx, ry, rz = px - frame[3, 0], py - frame[3, 1], pz - frame[3, 2]
                    sx = rx * frame[0, 0] + ry * frame[0, 1] + rz * frame[0, 2]
                    sy = rx * frame[1, 0] + ry * frame[1, 1] + rz * frame[1, 2]
                    sz = rx * frame[2, 0] + ry * frame[2, 1] + rz * frame[2, 2]
                    i, j = int(sx * scale + SHADOW_PIXELS / 2), int(sy * scale + SHADOW_PIXELS / 2)
                    if 1 <= i < SHADOW_PIXELS - 2 and 1 <= j < SHADOW_PIXELS - 2:
                        dark = np.float32(0)
                        for q in range(-1, 2):
                            for p in range(-1, 2):
                                if shadow_map[j + q, i + p] < sz - _BIAS:
                                    dark += 1
                        falls *= 1 - shadow * dark / 9
                lr += falls * lamps[n, 0]
                lg += falls * lamps[n, 1]
                lb += falls * lamps[n, 2]
                if m[7] > 0:
                    hx, hy, hz = dx + ex, dy + ey, dz + ez
                    along = (nx * hx + ny * hy + nz * hz) / np.sqrt(hx * hx + hy * hy + hz * hz + 1e-12)
                    if along > 0:
                        mirrored = m[7] * falls * along ** m[8] * (m[8] + 8) / 25
                        gr += mirrored * lamps[n, 0]
                        gg += mirrored * lamps[n, 1]
                        gb += mirrored * lamps[n, 2]
            out[v, u, 0] = red * lr + gr
            out[v, u, 1] = green * lg + gg
            out[v, u, 2] = blue * lb + gb


def render(surfaces: list[Surface], lighting: Lighting, width: int, height: int, fx: float, fy: float, cx: float,
           cy: float, centre: np.ndarray, extent: float = 0.4) -> Picture:
    """Picture surfaces.

    Args:
        surfaces: what is there.
        lighting: the light.
        width, height: of the picture, pixels.
        fx, fy, cx, cy: its pinhole; pixel centres at whole numbers.
        centre: (3,) metres; things within ``extent`` of it cast shadows.
        extent: metres.

    """
    starts = np.cumsum([0, *(len(s.points) for s in surfaces)])[:-1]
    face_starts = np.cumsum([0, *(len(s.faces) for s in surfaces)])[:-1]
    points = np.concatenate([s.points for s in surfaces]).astype(np.float32, copy=False)
    faces = np.concatenate([s.faces + np.int32(at) for s, at in zip(surfaces, starts)])
    ids = np.concatenate([s.face_ids + np.int32(at) for s, at in zip(surfaces, face_starts)])
    owners = np.repeat(np.arange(len(surfaces), dtype=np.int16), [len(s.face_ids) for s in surfaces])
    texture = np.concatenate([s.texture for s in surfaces]).astype(np.float32, copy=False)
    colours = np.concatenate([np.ones_like(s.points) if s.colours is None else s.colours for s in surfaces])
    cover = np.concatenate([np.full(len(s.points), -1, np.float32) if s.cover is None else s.cover for s in surfaces])
    materials = np.array([s.material.row() for s in surfaces], np.float32)
    covers = np.array([s.cover_material.row() for s in surfaces], np.float32)
    normals = np.zeros_like(points)
    _normals(points, faces, ids, normals)
    normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12)

    def buffers(height: int, width: int):
        return (np.full((height, width), EMPTY, np.float32), np.full((height, width), -1, np.int16),
                np.zeros((height, width), np.int32), np.zeros((height, width, 2), np.float32))

    depth, owner, face, weight = buffers(height, width)
    _draw(points, faces, ids, owners, True, *map(np.float32, (fx, fy, cx, cy)), depth, owner, face, weight)
    # The shadow map: an orthographic picture from the first lamp. Rows of ``frame``: right, down, away; then the centre.
    away = -lighting.directions[0]
    right = np.cross(away, np.eye(3)[np.argmin(np.abs(away))])
    right /= np.linalg.norm(right)
    frame = np.stack([right, np.cross(away, right), away, centre]).astype(np.float32)
    scale = np.float32(SHADOW_PIXELS / 2 / extent)
    shadow_map = buffers(SHADOW_PIXELS, SHADOW_PIXELS)
    if lighting.shadow > 0:
        turned = ((points - frame[3]) @ frame[:3].T).astype(np.float32)
        middle = np.float32(SHADOW_PIXELS / 2)
        _draw(turned, faces, ids, owners, False, scale, scale, middle, middle, *shadow_map)
    out, places = np.zeros((2, height, width, 3), np.float32)
    _shade(owner, face, weight, faces, points, normals.astype(np.float32), texture, colours.astype(np.float32),
           cover.astype(np.float32), materials, covers, _NOISE, *(np.asarray(x, np.float32) for x in (
               lighting.above, lighting.below, lighting.up, lighting.directions, lighting.colours)),
           np.float32(lighting.shadow), shadow_map[0], frame, scale, depth, np.float32(fx), out, places)
    labels = np.where(owner >= 0, np.array([s.label for s in surfaces], np.uint8)[owner], 0).astype(np.uint8)
    return Picture(out, depth, labels, places)
