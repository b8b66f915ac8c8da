"""Color pictures of triangle meshes: shading of what a z-buffer holds, with one shadow map; compiled with numba.

Shading works in linear light. A surface scatters light from an ambient hemisphere and from lamps, one of which casts
shadows; skin lets light creep around its edge. Surfaces have noise in their color and in their normals, and a second
layer (cloth over skin) where a number that vertices carry is positive, so that its edge is sharp between vertices.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import numba
import numpy as np

from hand_pose_ros.geometry.camera import Camera
from training.rasterizer import ZBuffer

#: Side of the table that noise is read from; a power of two.
_TABLE = 32
_NOISE = np.random.default_rng(7).uniform(-1, 1, (_TABLE, _TABLE, _TABLE)).astype(np.float32)
#: Pixels along a side of the shadow map, and how much nearer to the lamp a thing must be to cast a shadow, meters.
SHADOW_PIXELS = 220
_BIAS = np.float32(0.006)

_AROUND = np.array([(np.cos(t), np.sin(t)) for t in np.arange(8) * np.pi * 0.75], np.float32)

PLAIN, STRIPES, CHECKS, DOTS = range(4)


@dataclass(frozen=True)
class Material:
    """Appearance of a surface. Colors are linear red, green, blue, 0 to 1.

    Attributes:
        color: of the surface; where a mesh gives its vertices' colors, it multiplies them.
        mottle: strength of the noise in the color, and ``mottle_size`` its size in meters.
        bump: strength of the noise in the normals, and ``bump_size`` its size in meters.
        shine: share of light that is mirrored, and ``sharpness`` of the highlight.
        soft: how far light creeps around to the dark side, 0 to 0.5.
        pattern: ``PLAIN``, ``STRIPES``, ``CHECKS`` or ``DOTS`` in ``second`` color, ``period`` meters apart.

    """

    color: tuple[float, float, float] = (1.0, 1.0, 1.0)
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
        """What the shading reads, at the places ``_MOTTLE`` and on."""
        return [
            *self.color,
            self.mottle,
            1 / self.mottle_size,
            self.bump,
            1 / self.bump_size,
            self.shine,
            self.sharpness,
            self.soft,
            self.pattern,
            *self.second,
            1 / self.period,
        ]


#: Places in ``Material.row``; the color is in the first three, the second color in the three from ``_SECOND`` on.
_MOTTLE, _MOTTLE_RATE, _BUMP, _BUMP_RATE, _SHINE, _SHARPNESS, _SOFT, _PATTERN, _SECOND, _PERIOD_RATE = *range(3, 12), 14


@dataclass
class Surface:
    """A mesh that can be shaded.

    Attributes:
        points: (V, 3) float32 meters, camera optical frame.
        faces: (F, 3) int32 indices of ``points``, and ``face_ids`` (M,) those to draw.
        label: what a pixel that shows it is called.
        texture: (V, 3) float32 meters, places that noise and patterns stick to.
        material: of the surface.
        colors: (V, 3) float32 of the vertices; None for white.
        cover: (V,) float32, the second layer shows where it is positive; None for nowhere.
        cover_material: of the second layer.

    """

    points: np.ndarray
    faces: np.ndarray
    face_ids: np.ndarray
    label: int
    texture: np.ndarray
    material: Material
    colors: np.ndarray | None = None
    cover: np.ndarray | None = None
    cover_material: Material = field(default_factory=Material)


@dataclass(frozen=True)
class Lighting:
    """Light in a scene, linear.

    Attributes:
        above: (3,) color of the light from ``up``, and ``below`` from the other side.
        up: (3,) unit vector.
        directions: (L, 3) unit vectors towards the lamps, the first of which casts shadows.
        colors: (L, 3) of the lamps.
        shadow: how dark the shadow is, 0 to 1.

    """

    above: np.ndarray
    below: np.ndarray
    up: np.ndarray
    directions: np.ndarray
    colors: np.ndarray
    shadow: float


@dataclass(frozen=True)
class Picture:
    """A shaded scene.

    Attributes:
        color: (H, W, 3) float32, linear; black where nothing is.
        depth: (H, W) float32 meters, ``EMPTY`` where nothing is.
        labels: (H, W) uint8, 0 where nothing is.
        texture: (H, W, 3) float32 meters, the surface's own places, see :class:`Surface`; 0 where nothing is.

    """

    color: np.ndarray
    depth: np.ndarray
    labels: np.ndarray
    texture: np.ndarray


class _Mesh(NamedTuple):
    """All surfaces as one mesh, of V vertices and F triangles, with a row of either material for each surface."""

    points: np.ndarray
    faces: np.ndarray
    normals: np.ndarray
    texture: np.ndarray
    colors: np.ndarray
    cover: np.ndarray
    materials: np.ndarray
    cover_materials: np.ndarray


class _Light(NamedTuple):
    """:class:`Lighting` in float32."""

    above: np.ndarray
    below: np.ndarray
    up: np.ndarray
    directions: np.ndarray
    colors: np.ndarray
    shadow: float


class _ShadowMap(NamedTuple):
    """An orthographic depth picture from the first lamp.

    Attributes:
        depth: (SHADOW_PIXELS, SHADOW_PIXELS).
        frame: (4, 3) right, down, away from the lamp; the center.
        scale: pixels a meter.

    """

    depth: np.ndarray
    frame: np.ndarray
    scale: float


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
def _noise(table, x, y, z):
    """Smooth noise in -1 to 1 that repeats after ``_TABLE``."""
    mask = _TABLE - 1
    fx, fy, fz = np.floor(x), np.floor(y), np.floor(z)
    i, j, k = int(fx) & mask, int(fy) & mask, int(fz) & mask
    i1, j1, k1 = (i + 1) & mask, (j + 1) & mask, (k + 1) & mask
    x, y, z = x - fx, y - fy, z - fz
    low = (table[i, j, k] * (1 - x) + table[i1, j, k] * x) * (1 - y) + (
        table[i, j1, k] * (1 - x) + table[i1, j1, k] * x
    ) * y
    high = (table[i, j, k1] * (1 - x) + table[i1, j, k1] * x) * (1 - y) + (
        table[i, j1, k1] * (1 - x) + table[i1, j1, k1] * x
    ) * y
    return low * (1 - z) + high * z


@numba.njit(cache=True, fastmath=True)
def _enclosed(depth, v, u, focal):
    """Share of the surroundings' light that nearer things about a pixel keep from it: ambient occlusion."""
    height, width = depth.shape
    own = depth[v, u]
    dark = np.float32(0)
    for n in range(8):
        reach = np.float32(0.01) if n % 2 == 0 else np.float32(0.03)
        q = v + int(_AROUND[n, 0] * reach * focal / own)
        p = u + int(_AROUND[n, 1] * reach * focal / own)
        if 0 <= q < height and 0 <= p < width:
            behind = (own - depth[q, p]) / reach
            # What stands far before a surface takes no light from it.
            if 0 < behind < 3:
                dark += min(behind, np.float32(1)) * (3 - behind) / 3
    return np.float32(0.9) * dark / 8


@numba.njit(cache=True, fastmath=True)
def _mean(values, a, b, c, wb, wc):
    """Values (V, 3) of a triangle's corners, at a point of it."""
    wa = 1 - wb - wc
    return (
        wa * values[a, 0] + wb * values[b, 0] + wc * values[c, 0],
        wa * values[a, 1] + wb * values[b, 1] + wc * values[c, 1],
        wa * values[a, 2] + wb * values[b, 2] + wc * values[c, 2],
    )


@numba.njit(cache=True, fastmath=True)
def _is_first(m, tx, ty, tz):
    """Whether a pattern shows its first color at a place."""
    if m[_PATTERN] <= 0:
        return True
    rate = m[_PERIOD_RATE]
    s, t = np.floor(tx * rate + tz * rate), np.floor(ty * rate - tz * rate * 0.5)
    if m[_PATTERN] == STRIPES:
        return int(s) % 2 == 0
    if m[_PATTERN] == CHECKS:
        return (int(s) + int(t)) % 2 == 0
    ds, dt = tx * rate + tz * rate - s - 0.5, ty * rate - tz * rate * 0.5 - t - 0.5
    return ds * ds + dt * dt > 0.09


@numba.njit(cache=True, fastmath=True)
def _surface_color(m, table, tx, ty, tz, red, green, blue):
    """A vertex color, 0 to 1, with the material's pattern and mottle."""
    if _is_first(m, tx, ty, tz):
        red, green, blue = red * m[0], green * m[1], blue * m[2]
    else:
        red, green, blue = m[_SECOND], m[_SECOND + 1], m[_SECOND + 2]
    f = m[_MOTTLE_RATE]
    grain = 1 + m[_MOTTLE] * (
        0.65 * _noise(table, tx * f, ty * f, tz * f) + 0.35 * _noise(table, tx * f * 3.1, ty * f * 3.1, tz * f * 3.1)
    )
    return red * grain, green * (0.5 + 0.5 * grain) * grain**0.5, blue * grain


@numba.njit(cache=True, fastmath=True)
def _bumped(m, table, tx, ty, tz, nx, ny, nz, ex, ey, ez):
    """A unit normal with the material's bumps, turned to the eye e."""
    if m[_BUMP] > 0:
        f = m[_BUMP_RATE]
        nx += m[_BUMP] * _noise(table, tx * f, ty * f, tz * f)
        ny += m[_BUMP] * _noise(table, ty * f + 9, tz * f, tx * f)
        nz += m[_BUMP] * _noise(table, tz * f, tx * f + 5, ty * f)
    length = 1 / np.sqrt(nx * nx + ny * ny + nz * nz + 1e-12)
    nx, ny, nz = nx * length, ny * length, nz * length
    if nx * ex + ny * ey + nz * ez < 0:
        nx, ny, nz = -nx, -ny, -nz
    return nx, ny, nz


@numba.njit(cache=True, fastmath=True)
def _shadowed(shadows, px, py, pz):
    """Share of a lamp's light, 0 to 1, that does not reach a point."""
    frame, scale = shadows.frame, shadows.scale
    rx, ry, rz = px - frame[3, 0], py - frame[3, 1], pz - frame[3, 2]
    sx = rx * frame[0, 0] + ry * frame[0, 1] + rz * frame[0, 2]
    sy = rx * frame[1, 0] + ry * frame[1, 1] + rz * frame[1, 2]
    sz = rx * frame[2, 0] + ry * frame[2, 1] + rz * frame[2, 2]
    i, j = int(sx * scale + SHADOW_PIXELS / 2), int(sy * scale + SHADOW_PIXELS / 2)
    dark = np.float32(0)
    if 1 <= i < SHADOW_PIXELS - 2 and 1 <= j < SHADOW_PIXELS - 2:
        for q in range(-1, 2):
            for p in range(-1, 2):
                if shadows.depth[j + q, i + p] < sz - _BIAS:
                    dark += 1
    return dark / 9


@numba.njit(cache=True, fastmath=True)
def _lamplight(m, light, shadows, px, py, pz, nx, ny, nz, ex, ey, ez):
    """What lamps send to a point with a normal and, mirrored, on to the eye: red, green, blue, twice."""
    lr = lg = lb = gr = gg = gb = 0.0
    for n in range(light.directions.shape[0]):
        dx, dy, dz = light.directions[n, 0], light.directions[n, 1], light.directions[n, 2]
        falls = (nx * dx + ny * dy + nz * dz + m[_SOFT]) / (1 + m[_SOFT])
        if falls <= 0:
            continue
        if n == 0 and light.shadow > 0:
            falls *= 1 - light.shadow * _shadowed(shadows, px, py, pz)
        lr += falls * light.colors[n, 0]
        lg += falls * light.colors[n, 1]
        lb += falls * light.colors[n, 2]
        if m[_SHINE] > 0:
            hx, hy, hz = dx + ex, dy + ey, dz + ez
            along = (nx * hx + ny * hy + nz * hz) / np.sqrt(hx * hx + hy * hy + hz * hz + 1e-12)
            if along > 0:
                mirrored = m[_SHINE] * falls * along ** m[_SHARPNESS] * (m[_SHARPNESS] + 8) / 25
                gr += mirrored * light.colors[n, 0]
                gg += mirrored * light.colors[n, 1]
                gb += mirrored * light.colors[n, 2]
    return lr, lg, lb, gr, gg, gb


@numba.njit(cache=True, fastmath=True)
def _shade(owners, faces, shares, depth, focal, mesh, light, shadows, table, out, places):
    height, width = owners.shape
    above, below, up = light.above, light.below, light.up
    for v in range(height):
        for u in range(width):
            o = owners[v, u]
            if o < 0:
                continue
            a, b, c = mesh.faces[faces[v, u]]
            wb, wc = shares[v, u, 0], shares[v, u, 1]
            px, py, pz = _mean(mesh.points, a, b, c, wb, wc)
            tx, ty, tz = _mean(mesh.texture, a, b, c, wb, wc)
            places[v, u, 0], places[v, u, 1], places[v, u, 2] = tx, ty, tz
            red, green, blue = _mean(mesh.colors, a, b, c, wb, wc)
            m = mesh.materials[o]
            if (1 - wb - wc) * mesh.cover[a] + wb * mesh.cover[b] + wc * mesh.cover[c] > 0:
                m = mesh.cover_materials[o]
                red = green = blue = 1.0
            red, green, blue = _surface_color(m, table, tx, ty, tz, red, green, blue)
            far = 1 / np.sqrt(px * px + py * py + pz * pz)
            ex, ey, ez = -px * far, -py * far, -pz * far
            nx, ny, nz = _mean(mesh.normals, a, b, c, wb, wc)
            nx, ny, nz = _bumped(m, table, tx, ty, tz, nx, ny, nz, ex, ey, ez)
            sky = 0.5 + 0.5 * (nx * up[0] + ny * up[1] + nz * up[2])
            open_share = 1 - _enclosed(depth, v, u, focal)
            lr, lg, lb, gr, gg, gb = _lamplight(m, light, shadows, px, py, pz, nx, ny, nz, ex, ey, ez)
            out[v, u, 0] = red * (lr + open_share * (below[0] + sky * (above[0] - below[0]))) + gr
            out[v, u, 1] = green * (lg + open_share * (below[1] + sky * (above[1] - below[1]))) + gg
            out[v, u, 2] = blue * (lb + open_share * (below[2] + sky * (above[2] - below[2]))) + gb


def _float32(array: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(array, np.float32)


def _joined(surfaces: list[Surface]) -> tuple[_Mesh, list[np.ndarray]]:
    """Surfaces as one mesh, and which of its triangles are each one's."""
    starts = np.cumsum([0, *(len(s.points) for s in surfaces)])[:-1]
    face_starts = np.cumsum([0, *(len(s.faces) for s in surfaces)])[:-1]
    ids = [s.face_ids + np.int32(at) for s, at in zip(surfaces, face_starts)]
    points = _float32(np.concatenate([s.points for s in surfaces]))
    faces = np.concatenate([s.faces + np.int32(at) for s, at in zip(surfaces, starts)])
    normals = np.zeros_like(points)
    _normals(points, faces, np.concatenate(ids), normals)
    normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12)
    mesh = _Mesh(
        points,
        faces,
        _float32(normals),
        _float32(np.concatenate([s.texture for s in surfaces])),
        _float32(np.concatenate([np.ones_like(s.points) if s.colors is None else s.colors for s in surfaces])),
        _float32(np.concatenate([np.full(len(s.points), -1.0) if s.cover is None else s.cover for s in surfaces])),
        np.array([s.material.row() for s in surfaces], np.float32),
        np.array([s.cover_material.row() for s in surfaces], np.float32),
    )
    return mesh, ids


def _draw_shadow_map(
    mesh: _Mesh, ids: list[np.ndarray], lighting: Lighting, center: np.ndarray, extent: float
) -> _ShadowMap:
    """Draw what the first lamp sees within ``extent`` of the center; nothing where it casts no shadow."""
    away = -lighting.directions[0]
    right = np.cross(away, np.eye(3)[np.argmin(np.abs(away))])
    right /= np.linalg.norm(right)
    frame = np.stack([right, np.cross(away, right), away, center]).astype(np.float32)
    scale, middle = np.float32(SHADOW_PIXELS / 2 / extent), SHADOW_PIXELS / 2
    buffer = ZBuffer.empty(SHADOW_PIXELS, SHADOW_PIXELS)
    if lighting.shadow > 0:
        turned = _float32((mesh.points - frame[3]) @ frame[:3].T)
        buffer.draw(turned, mesh.faces, np.concatenate(ids), (scale, scale, middle, middle), perspective=False)
    return _ShadowMap(buffer.depth, frame, scale)


def render(
    surfaces: list[Surface],
    lighting: Lighting,
    camera: Camera,
    center: np.ndarray,
    extent: float = 0.4,
) -> Picture:
    """Picture surfaces.

    Args:
        surfaces: what is there.
        lighting: the light.
        camera: pinhole of the picture; pixel centers at whole numbers.
        center: (3,) meters; things within ``extent`` of it cast shadows.
        extent: meters.

    """
    mesh, ids = _joined(surfaces)
    buffer = ZBuffer.empty(camera.height, camera.width)
    for number, own in enumerate(ids):
        buffer.draw(mesh.points, mesh.faces, own, (camera.fx, camera.fy, camera.cx, camera.cy), number)
    light = _Light(
        *map(_float32, (lighting.above, lighting.below, lighting.up, lighting.directions, lighting.colors)),
        np.float32(lighting.shadow),
    )
    out, places = np.zeros((2, camera.height, camera.width, 3), np.float32)
    _shade(
        buffer.labels,
        buffer.faces,
        buffer.shares,
        buffer.depth,
        np.float32(camera.fx),
        mesh,
        light,
        _draw_shadow_map(mesh, ids, lighting, center, extent),
        _NOISE,
        out,
        places,
    )
    labels = np.where(buffer.labels >= 0, np.array([s.label for s in surfaces], np.uint8)[buffer.labels], 0)
    return Picture(out, buffer.depth, labels.astype(np.uint8), places)
