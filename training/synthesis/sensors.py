"""Depth sensors: what time of flight, structured light and active stereo make of an ideal depth image.

Each real sensor is an entry of ``SENSORS``; its weaknesses are drawn anew for every image around its kind's
figures, so that a network sees good and bad units, surfaces and settings.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numba
import numpy as np

from training.rasterizer import EMPTY

#: Pixels between two numbers of the smooth noise.
_CELL = 6
TIME_OF_FLIGHT, STRUCTURED_LIGHT, ACTIVE_STEREO = range(3)


@dataclass(frozen=True)
class Sensor:
    """A depth camera model: image size, focal length in pixels, kind, baseline in meters (0 where there is none)."""

    width: int
    height: int
    focal: float
    kind: int
    baseline: float = 0.0


#: Depth modes of common cameras.
SENSORS = {
    'kinect_v2': Sensor(512, 424, 365, TIME_OF_FLIGHT),
    'azure_kinect_nfov': Sensor(640, 576, 504, TIME_OF_FLIGHT),
    'pico_flexx': Sensor(224, 172, 212, TIME_OF_FLIGHT),
    'sr305': Sensor(640, 480, 476, STRUCTURED_LIGHT, 0.026),
    'xtion': Sensor(640, 480, 570, STRUCTURED_LIGHT, 0.075),
    'd435': Sensor(640, 480, 385, ACTIVE_STEREO, 0.050),
    'd405': Sensor(640, 480, 385, ACTIVE_STEREO, 0.018),
    'd415': Sensor(640, 480, 610, ACTIVE_STEREO, 0.055),
}


class Weaknesses(NamedTuple):
    """How an image differs from the ideal one. Lengths in meters, shares 0 to 1, ``*_pixels`` of the sensor."""

    white_noise: float
    noise_growth: float
    smooth_noise: float
    edge_wander_pixels: float
    flying: float
    edge_holes: float
    speckle_holes: float
    slant_holes: float
    shadow: float
    shadow_side: float
    quantum: float
    disparity_quantum: float
    fatten: float
    erode: float
    blind_patches: float


def draw_weaknesses(sensor: Sensor, rng: np.random.Generator) -> Weaknesses:
    """Draw the weaknesses of one image of ``sensor``."""
    uniform = rng.uniform
    severity = uniform(0.3, 1.6)
    kind = sensor.kind
    return Weaknesses(
        white_noise=severity * {TIME_OF_FLIGHT: 0.0012, STRUCTURED_LIGHT: 0.0006, ACTIVE_STEREO: 0.0006}[kind],
        noise_growth=severity * {TIME_OF_FLIGHT: 0.0015, STRUCTURED_LIGHT: 0.0012, ACTIVE_STEREO: 0.0025}[kind],
        smooth_noise=severity * {TIME_OF_FLIGHT: 0.0018, STRUCTURED_LIGHT: 0.0010, ACTIVE_STEREO: 0.0030}[kind],
        edge_wander_pixels=severity * {TIME_OF_FLIGHT: 0.3, STRUCTURED_LIGHT: 0.6, ACTIVE_STEREO: 0.7}[kind],
        flying=uniform(0, 0.6) if kind == TIME_OF_FLIGHT else uniform(0, 0.1),
        edge_holes=uniform(0, 0.9) if kind == TIME_OF_FLIGHT else uniform(0, 0.5),
        speckle_holes=uniform(0, 0.02) if uniform() < 0.3 else 0.0,
        slant_holes=uniform(0, 1) if uniform() < 0.5 else 0.0,
        shadow=0.0 if kind == TIME_OF_FLIGHT else float(uniform() < 0.85),
        shadow_side=rng.choice([-1.0, 1.0]),
        quantum=rng.choice([0.0, 0.000125, 0.001, 0.001]),
        disparity_quantum={TIME_OF_FLIGHT: 0.0, STRUCTURED_LIGHT: uniform(0, 0.12), ACTIVE_STEREO: uniform(0, 0.12)}[
            kind
        ],
        fatten=float(uniform() < (0.4 if kind == ACTIVE_STEREO else 0.12)),
        erode=float(uniform() < (0.25 if kind != ACTIVE_STEREO else 0.1)),
        blind_patches=float(rng.integers(1, 4)) if uniform() < 0.08 else 0.0,
    )


@numba.njit(cache=True)
def _range(image, v, u):
    """Least and greatest value among a pixel and its eight neighbors."""
    height, width = image.shape
    nearest = image[v, u]
    farthest = nearest
    for vv in range(max(0, v - 1), min(height, v + 2)):
        for uu in range(max(0, u - 1), min(width, u + 2)):
            nearest = min(nearest, image[vv, uu])
            farthest = max(farthest, image[vv, uu])
    return nearest, farthest


@numba.njit(cache=True)
def _near_jumps(ideal):
    """Mark (H, W) uint8 what lies near a jump in depth: only that needs a look at its neighbors."""
    height, width = ideal.shape
    near_jump = np.zeros((height, width), np.uint8)
    for v in range(height):
        for u in range(width):
            z = ideal[v, u]
            if (u + 1 < width and abs(ideal[v, u + 1] - z) > 0.01) or (
                v + 1 < height and abs(ideal[v + 1, u] - z) > 0.01
            ):
                for vv in range(max(0, v - 2), min(height, v + 4)):
                    for uu in range(max(0, u - 2), min(width, u + 4)):
                        near_jump[vv, uu] = 1
    return near_jump


@numba.njit(cache=True)
def _moved_edges(ideal, near_jump, wander, fatten, erode):
    """Ideal depth whose edges wander, a pixel showing a neighbor of what it should, and are fattened or eroded."""
    height, width = ideal.shape
    seen = ideal.copy()
    if wander > 0:
        for v in range(height):
            for u in range(width):
                if near_jump[v, u]:
                    uu = min(max(round(u + np.random.normal() * wander), 0), width - 1)
                    vv = min(max(round(v + np.random.normal() * wander), 0), height - 1)
                    seen[v, u] = ideal[vv, uu]
    if fatten > 0 or erode > 0:
        grown = seen.copy()
        for v in range(1, height - 1):
            for u in range(1, width - 1):
                if near_jump[v, u]:
                    nearest, farthest = _range(seen, v, u)
                    if farthest - nearest > 0.03:
                        grown[v, u] = nearest if fatten > 0 else farthest
        seen = grown
    return seen


@numba.njit(cache=True)
def _at_jump(z, nearest, farthest, focal, flying, edge_holes, slant_holes):
    """What a pixel near a jump measures: 0 for nothing, at an edge anything between surfaces, else its own ``z``."""
    step = farthest - nearest
    if step > 0.025:
        if np.random.random() < edge_holes:
            return np.float32(0)
        if np.random.random() < flying:
            # A mixture of two surfaces: anywhere between, as a rule closer to one of them.
            beyond = min(farthest, nearest + 0.5)
            share = np.random.random()
            return nearest + (beyond - nearest) * share * share
    elif slant_holes > 0:
        # Meters in depth for each meter sideways; beyond four the surface is all but edge-on.
        slope = step * focal / (2 * z + 1e-6)
        if slope > 2.5 and np.random.random() < slant_holes * min((slope - 2.5) / 3, 1.0):
            return np.float32(0)
    return z


@numba.njit(cache=True)
def _smooth_noise(height, width):
    """Coarse noise, a number every ``_CELL`` pixels."""
    rows, columns = height // _CELL + 2, width // _CELL + 2
    field = np.empty((rows, columns), np.float32)
    for r in range(rows):
        for c in range(columns):
            field[r, c] = np.random.normal()
    return field


@numba.njit(cache=True)
def _between(field, v, u):
    """Value of coarse noise at a pixel."""
    fr, fc = v / _CELL, u / _CELL
    r, c = int(fr), int(fc)
    fr -= r
    fc -= c
    return (field[r, c] * (1 - fc) + field[r, c + 1] * fc) * (1 - fr) + (
        field[r + 1, c] * (1 - fc) + field[r + 1, c + 1] * fc
    ) * fr


@numba.njit(cache=True)
def _blind(depth, patches):
    """Make holes, in place, of a few ellipses."""
    height, width = depth.shape
    for _ in range(int(patches)):
        cu, cv = np.random.random() * width, np.random.random() * height
        ru, rv = (0.01 + 0.05 * np.random.random()) * width, (0.01 + 0.05 * np.random.random()) * height
        for v in range(max(0, int(cv - rv)), min(height, int(cv + rv) + 1)):
            for u in range(max(0, int(cu - ru)), min(width, int(cu + ru) + 1)):
                if ((u - cu) / ru) ** 2 + ((v - cv) / rv) ** 2 < 1:
                    depth[v, u] = 0


@numba.njit(cache=True)
def _sense(ideal, focal, baseline, seed, w):
    np.random.seed(seed)
    height, width = ideal.shape
    near_jump = _near_jumps(ideal)
    seen = _moved_edges(ideal, near_jump, w.edge_wander_pixels, w.fatten, w.erode)
    field = _smooth_noise(height, width)
    out = np.zeros_like(ideal)
    side = int(w.shadow_side)
    for v in range(height):
        # Where the projector's or second camera's view of this row has come to; what maps behind it is hidden.
        reached = np.float32(-1e9)
        for n in range(width):
            u = width - 1 - n if side > 0 else n
            z = seen[v, u]
            hidden = False
            if w.shadow > 0:
                other = n + focal * baseline / z
                hidden = other < reached - 0.5
                reached = max(reached, other)
            if near_jump[v, u]:
                nearest, farthest = _range(seen, v, u)
                z = _at_jump(z, nearest, farthest, focal, w.flying, w.edge_holes, w.slant_holes)
            if z == 0 or z >= 100.0 or hidden:
                continue
            if w.speckle_holes > 0 and np.random.random() < w.speckle_holes:
                continue
            bump = _between(field, v, u)
            scale = 0.6 + 0.8 * z * z
            z = z + (w.white_noise + w.noise_growth * z * z) * np.random.normal() + w.smooth_noise * scale * bump
            if w.disparity_quantum > 0:
                disparity = focal * baseline / z
                z = focal * baseline / max(round(disparity / w.disparity_quantum) * w.disparity_quantum, 1e-3)
            if w.quantum > 0:
                z = round(z / w.quantum) * w.quantum
            out[v, u] = z
    _blind(out, w.blind_patches)
    return out


def sense(ideal: np.ndarray, sensor: Sensor, focal: float, weaknesses: Weaknesses, seed: int) -> np.ndarray:
    """Make of an ideal depth image what a sensor measures.

    Args:
        ideal: (H, W) float32 meters, ``EMPTY`` where nothing is hit.
        sensor: whose image this is.
        focal: focal length of ``ideal`` in pixels.
        weaknesses: from :func:`draw_weaknesses`.
        seed: the same seed gives the same image.

    Returns:
        (H, W) float32 meters, 0 for holes.

    """
    return _sense(np.minimum(ideal, EMPTY), np.float32(focal), np.float32(sensor.baseline), seed, weaknesses)
