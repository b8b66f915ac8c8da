"""What a time-of-flight camera makes of a hand that moves.

Such a camera takes several exposures for one depth image, at two modulation frequencies and three phases each (Hansard
et al., "Time-of-Flight Cameras: Principles, Methods and Applications", 2012, section 1.2), and reads depth from what
differs between them. A hand that moves on in the meantime differs too. A finger is darker to its sides, so each of its
pixels grows darker or brighter from one exposure to the next, and depth slopes by centimeters from one side to the
other; at its edges some exposures see the finger and some what is behind it, and depth is anything, or nothing where
the two frequencies do not agree.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numba
import numpy as np

from training.rasterizer import EMPTY

#: Meters of depth to a radian of phase at one hertz: c / (4 pi).
METERS_PER_RADIAN = 299_792_458 / (4 * np.pi)
#: Exposures of each frequency, and samples that stand for each exposure's length.
PHASES, SAMPLES = 3, 2


@dataclass(frozen=True)
class Motion:
    """How a hand moves through one image, and how the camera exposes meanwhile.

    Attributes:
        pivot: (2,) pixels, about which the hand turns.
        turn: radians in the image over all exposures.
        shift: (2,) pixels over all exposures.
        approach: meters of depth over all exposures.
        frequencies: (2,) hertz.
        starts: (2,) when each frequency's first exposure begins; all of them fill the time from -0.5 to 0.5.
        exposure: how long one exposure is, in the same measure.
        offset: phase of the first exposure, radians.
        behind: how bright what does not move is, of the hand's brightness.
        rough: brightness of the hand where it is seen edge-on, of that where it faces the camera.
        first: how much the first frequency counts, 0 to 1.
        tolerance: meters that the frequencies may differ by.

    """

    pivot: tuple[float, float]
    turn: float
    shift: tuple[float, float]
    approach: float
    frequencies: tuple[float, float]
    starts: tuple[float, float]
    exposure: float
    offset: float
    behind: float
    rough: float
    first: float
    tolerance: float


def draw_motion(joints: np.ndarray, rng: np.random.Generator) -> Motion:
    """Draw the motion of a hand whose joints are at (21, 2) pixels."""
    wrist, hand = joints[0], joints[1:]
    span = np.linalg.norm(hand - wrist, axis=1).max()
    # The fastest point comes as far as a finger is wide, more or less; a hand in the image spans about nine of those.
    fastest = span * np.exp(rng.uniform(np.log(0.02), np.log(0.17)))
    turning = rng.uniform() < 0.6
    # A hand that turns does so about its wrist or something on the elbow's side of it.
    back = wrist - hand.mean(0)
    back = back / max(np.linalg.norm(back), 1e-6)
    pivot = wrist + back * span * rng.uniform(0, 1.5) + rng.normal(0, 0.15 * span, 2)
    reach = np.linalg.norm(hand - pivot, axis=1).max()
    direction = rng.uniform(0, 2 * np.pi)
    shift = fastest * (0.25 * rng.uniform() if turning else 1.0)
    gap = rng.uniform(0, 0.5)
    exposure = (1 - gap) / (2 * PHASES)
    return Motion(
        pivot=tuple(pivot),
        turn=rng.choice([-1, 1]) * fastest / max(reach, 1.0) if turning else 0.0,
        shift=(shift * np.cos(direction), shift * np.sin(direction)),
        approach=rng.normal(0, 0.004),
        frequencies=tuple(1e6 * rng.uniform(60, 130, 2)),
        starts=(-0.5, -0.5 + PHASES * exposure + gap),
        exposure=exposure,
        offset=rng.uniform(0, 2 * np.pi),
        behind=rng.uniform(0.1, 1.2),
        rough=rng.uniform(0.05, 0.6),
        first=rng.uniform(0.3, 0.7),
        tolerance=np.exp(rng.uniform(np.log(0.05), np.log(0.4))),
    )


@numba.njit(cache=True)
def _shade(depth, focal, empty, rough):
    """Brightness of a surface lit from the camera, by how it is slanted, at one meter."""
    height, width = depth.shape
    shade = np.zeros_like(depth)
    for v in range(height):
        for u in range(width):
            z = depth[v, u]
            if z >= empty:
                continue
            slopes = 0.0
            for axis in range(2):
                # The gentler side: the other may lead over an edge.
                steepest = 1.0
                for side in range(-1, 2, 2):
                    uu = u + side if axis == 0 else u
                    vv = v + side if axis == 1 else v
                    if 0 <= uu < width and 0 <= vv < height and depth[vv, uu] < empty:
                        steepest = min(steepest, abs(depth[vv, uu] - z))
                slopes += (steepest * focal / z) ** 2
            shade[v, u] = rough + (1 - rough) / np.sqrt(1 + slopes)
    return shade


@numba.njit(cache=True)
def _at(image, depth, v, u):
    """Value of an image between four pixels, or of the nearest one where they are not of one surface."""
    height, width = image.shape
    v = min(max(v, 0.0), height - 1.001)
    u = min(max(u, 0.0), width - 1.001)
    r, c = int(v), int(u)
    fr, fc = v - r, u - c
    nearest = min(depth[r, c], depth[r, c + 1], depth[r + 1, c], depth[r + 1, c + 1])
    if max(depth[r, c], depth[r, c + 1], depth[r + 1, c], depth[r + 1, c + 1]) - nearest > 0.02:
        return image[r + (fr > 0.5), c + (fc > 0.5)]
    return (image[r, c] * (1 - fc) + image[r, c + 1] * fc) * (1 - fr) + (
        image[r + 1, c] * (1 - fc) + image[r + 1, c + 1] * fc
    ) * fr


@numba.njit(cache=True)
def _expose(
    moving,
    still,
    shade,
    empty,
    pivot_u,
    pivot_v,
    turn,
    shift_u,
    shift_v,
    approach,
    meters,
    times,
    offset,
    behind,
    first,
    tolerance,
):
    height, width = still.shape
    out = np.empty_like(still)
    samples = times.shape[1]
    depths = np.empty((2, samples), np.float64)
    strengths = np.empty((2, samples), np.float64)
    found = np.empty(2)
    for v in range(height):
        for u in range(width):
            du = shift_u - turn * (v - pivot_v)
            dv = shift_v + turn * (u - pivot_u)
            best, about, passed = 0.0, empty, False
            for f in range(2):
                for n in range(samples):
                    t = times[f, n]
                    z = _at(moving, moving, v - t * dv, u - t * du)
                    if z < still[v, u]:
                        passed = True
                        z += t * approach
                        strength = _at(shade, moving, v - t * dv, u - t * du) / (z * z)
                    else:
                        z = still[v, u]
                        strength = behind / (z * z) if z < empty else 0.0
                    depths[f, n], strengths[f, n] = z, strength
                    if strength > best:
                        best, about = strength, z
            out[v, u] = still[v, u]
            if not passed:
                continue
            for f in range(2):
                real = imaginary = 0.0
                for n in range(samples):
                    # Phases are small, and not ambiguous, beside the depth that most of the light comes from.
                    phase = offset + 2 * np.pi / PHASES * (n // SAMPLES)
                    signal = strengths[f, n] * np.cos((depths[f, n] - about) / meters[f] - phase)
                    real += signal * np.cos(phase)
                    imaginary += signal * np.sin(phase)
                found[f] = about + np.arctan2(imaginary, real) * meters[f]
            out[v, u] = first * found[0] + (1 - first) * found[1]
            if abs(found[0] - found[1]) > tolerance:
                out[v, u] = empty
    return out


def expose(moving: np.ndarray, still: np.ndarray, focal: float, motion: Motion) -> np.ndarray:
    """Picture what moves before what does not.

    Args:
        moving: (H, W) float32 meters, ideal depth of what moves, in the middle of the time; ``EMPTY`` elsewhere.
        still: (H, W) float32 meters, ideal depth of everything else.
        focal: focal length, pixels.
        motion: from :func:`draw_motion`.

    Returns:
        (H, W) float32 meters, ``EMPTY`` where nothing is measured.

    """
    m = motion
    steps = (np.arange(PHASES * SAMPLES) + 0.5) / SAMPLES * m.exposure
    times = np.array(m.starts)[:, None] + steps
    # The meshes' faces are flat, hands are not.
    on_it, shade = (
        cv2.blur(image, (3, 3)) for image in (np.float32(moving < EMPTY), _shade(moving, focal, EMPTY, m.rough))
    )
    shade /= np.maximum(on_it, np.float32(1e-6))
    return _expose(
        moving,
        still,
        shade,
        EMPTY,
        *m.pivot,
        m.turn,
        *m.shift,
        m.approach,
        METERS_PER_RADIAN / np.array(m.frequencies),
        times,
        m.offset,
        m.behind,
        m.first,
        m.tolerance,
    )
