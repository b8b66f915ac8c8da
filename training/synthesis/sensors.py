"""Depth sensors: what time of flight, structured light and active stereo make of an ideal depth image.

Each real sensor is an entry of ``SENSORS``; its weaknesses are drawn anew for every image around its kind's
figures, so that a network sees good and bad units, surfaces and settings.
"""

from __future__ import annotations

from dataclasses import dataclass

import numba
import numpy as np

from training.synthesis.raster import EMPTY

TIME_OF_FLIGHT, STRUCTURED_LIGHT, ACTIVE_STEREO = range(3)


@dataclass(frozen=True)
class Sensor:
    """A depth camera model: image size, focal length in pixels, kind, baseline in metres (0 where there is none)."""

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


@dataclass(frozen=True)
class Weaknesses:
    """How one image is spoilt. Lengths in metres, shares in 0 to 1, ``*_pixels`` in pixels of the sensor."""

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
    chance = rng.uniform
    severity = chance(0.3, 1.6)
    kind = sensor.kind
    return Weaknesses(
        white_noise=severity * {TIME_OF_FLIGHT: 0.0012, STRUCTURED_LIGHT: 0.0006, ACTIVE_STEREO: 0.0006}[kind],
        noise_growth=severity * {TIME_OF_FLIGHT: 0.0015, STRUCTURED_LIGHT: 0.0012, ACTIVE_STEREO: 0.0025}[kind],
        smooth_noise=severity * {TIME_OF_FLIGHT: 0.0018, STRUCTURED_LIGHT: 0.0010, ACTIVE_STEREO: 0.0030}[kind],
        edge_wander_pixels=severity * {TIME_OF_FLIGHT: 0.3, STRUCTURED_LIGHT: 0.6, ACTIVE_STEREO: 0.7}[kind],
        flying=chance(0, 0.6) if kind == TIME_OF_FLIGHT else chance(0, 0.1),
        edge_holes=chance(0, 0.9) if kind == TIME_OF_FLIGHT else chance(0, 0.5),
        speckle_holes=chance(0, 0.02) if chance() < 0.3 else 0.0,
        slant_holes=chance(0, 1) if chance() < 0.5 else 0.0,
        shadow=0.0 if kind == TIME_OF_FLIGHT else float(chance() < 0.85),
        shadow_side=rng.choice([-1.0, 1.0]),
        quantum=rng.choice([0.0, 0.000125, 0.001, 0.001]),
        disparity_quantum={TIME_OF_FLIGHT: 0.0, STRUCTURED_LIGHT: chance(0, 0.12), ACTIVE_STEREO: chance(0, 0.12)}[kind],
        fatten=float(chance() < (0.4 if kind == ACTIVE_STEREO else 0.12)),
        erode=float(chance() < (0.25 if kind != ACTIVE_STEREO else 0.1)),
        blind_patches=float(rng.integers(1, 4)) if chance() < 0.08 else 0.0)


@numba.njit(cache=True)
def _range(image, v, u):
    """Least and greatest value among a pixel and its eight neighbours."""
    height, width = image.shape
    nearest = image[v, u]
    farthest = nearest
    for vv in range(max(0, v - 1), min(height, v + 2)):
        for uu in range(max(0, u - 1), min(width, u + 2)):
            nearest = min(nearest, image[vv, uu])
            farthest = max(farthest, image[vv, uu])
    return nearest, farthest


@numba.njit(cache=True)
def _sense(ideal, focal, baseline, seed, white, growth, smooth, wander, flying, edge_holes, speckle, slant_holes,
           shadow, shadow_side, quantum, disparity_quantum, fatten, erode, patches):
    np.random.seed(seed)
    height, width = ideal.shape
    # Only what lies near a jump in depth needs a look at its neighbours: mark it once.
    near_jump = np.zeros((height, width), np.uint8)
    for v in range(height):
        for u in range(width):
            z = ideal[v, u]
            if (u + 1 < width and abs(ideal[v, u + 1] - z) > 0.01) or (
                    v + 1 < height and abs(ideal[v + 1, u] - z) > 0.01):
                for vv in range(max(0, v - 2), min(height, v + 4)):
                    for uu in range(max(0, u - 2), min(width, u + 4)):
                        near_jump[vv, uu] = 1
    seen = ideal.copy()
    if wander > 0:
        # Edges wander: a pixel looks at a neighbour of where it should look.
        for v in range(height):
            for u in range(width):
                if near_jump[v, u]:
                    uu = min(max(int(round(u + np.random.normal() * wander)), 0), width - 1)
                    vv = min(max(int(round(v + np.random.normal() * wander)), 0), height - 1)
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
    cell = 6
    rows, columns = height // cell + 2, width // cell + 2
    field = np.empty((rows, columns), np.float32)
    for r in range(rows):
        for c in range(columns):
            field[r, c] = np.random.normal()
    out = np.zeros_like(ideal)
    side = int(shadow_side)
    for v in range(height):
        # Where the projector's or second camera's view of this row has come to; what maps behind it is hidden.
        reached = np.float32(-1e9)
        for n in range(width):
            u = width - 1 - n if side > 0 else n
            z = seen[v, u]
            hidden = False
            if shadow > 0:
                other = n + focal * baseline / z
                hidden = other < reached - 0.5
                reached = max(reached, other)
            if near_jump[v, u]:
                nearest, farthest = _range(seen, v, u)
                step = farthest - nearest
                if step > 0.025:
                    if np.random.random() < edge_holes:
                        continue
                    if np.random.random() < flying:
                        # A mixture of two surfaces: anywhere between, as a rule closer to one of them.
                        beyond = min(farthest, nearest + 0.5)
                        share = np.random.random()
                        z = nearest + (beyond - nearest) * share * share
                elif slant_holes > 0:
                    # Metres in depth for each metre sideways; beyond four the surface is all but edge-on.
                    slope = step * focal / (2 * z + 1e-6)
                    if slope > 2.5 and np.random.random() < slant_holes * min((slope - 2.5) / 3, 1.0):
                        continue
            if z >= 100.0 or hidden:
                continue
            if speckle > 0 and np.random.random() < speckle:
                continue
            fr, fc = v / cell, u / cell
            r, c = int(fr), int(fc)
            fr -= r
            fc -= c
            bump = ((field[r, c] * (1 - fc) + field[r, c + 1] * fc) * (1 - fr)
                    + (field[r + 1, c] * (1 - fc) + field[r + 1, c + 1] * fc) * fr)
            scale = 0.6 + 0.8 * z * z
            z = z + (white + growth * z * z) * np.random.normal() + smooth * scale * bump
            if disparity_quantum > 0:
                disparity = focal * baseline / z
                z = focal * baseline / max(round(disparity / disparity_quantum) * disparity_quantum, 1e-3)
            if quantum > 0:
                z = round(z / quantum) * quantum
            out[v, u] = z
    for _ in range(int(patches)):
        cu, cv = np.random.random() * width, np.random.random() * height
        ru, rv = (0.01 + 0.05 * np.random.random()) * width, (0.01 + 0.05 * np.random.random()) * height
        for v in range(max(0, int(cv - rv)), min(height, int(cv + rv) + 1)):
            for u in range(max(0, int(cu - ru)), min(width, int(cu + ru) + 1)):
                if ((u - cu) / ru) ** 2 + ((v - cv) / rv) ** 2 < 1:
                    out[v, u] = 0
    return out


def sense(ideal: np.ndarray, sensor: Sensor, focal: float, weaknesses: Weaknesses, seed: int) -> np.ndarray:
    """Spoil an ideal depth image as a sensor does.

    Args:
        ideal: (H, W) float32 metres, ``EMPTY`` where nothing is hit.
        sensor: whose image this is.
        focal: focal length of ``ideal`` in pixels.
        weaknesses: from :func:`draw_weaknesses`.
        seed: the same seed gives the same image.

    Returns:
        (H, W) float32 metres, 0 for holes.

    """
    w = weaknesses
    return _sense(np.minimum(ideal, EMPTY), np.float32(focal), np.float32(sensor.baseline), seed, w.white_noise,
                  w.noise_growth, w.smooth_noise, w.edge_wander_pixels, w.flying, w.edge_holes, w.speckle_holes,
                  w.slant_holes, w.shadow, w.shadow_side, w.quantum, w.disparity_quantum, w.fatten, w.erode,
                  w.blind_patches)
