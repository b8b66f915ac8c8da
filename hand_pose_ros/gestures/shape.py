"""What gestures are recognized by: numbers of a hand's 21 joints that neither its size nor its place changes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from operator import mul

import numpy as np

from hand_pose_ros.geometry.joints import FINGER_JOINTS, FINGERS, KNUCKLES, WRIST

# Plain numbers here: on arrays this small each of numpy's calls costs more than all the arithmetic.
Point = Sequence[float]

#: Where up is in a camera that stands upright (camera optical frame).
CAMERA_UP = (0.0, -1.0, 0.0)
#: Angles of a recorded form, by name: 4 a finger, measured on the joints.
ANGLE_NAMES = (
    'thumb_cmc_flexion',
    'thumb_cmc_abduction',
    'thumb_mcp_flexion',
    'thumb_ip_flexion',
    *(
        f'{finger}_{angle}'
        for finger in FINGERS[1:]
        for angle in ('mcp_flexion', 'mcp_abduction', 'pip_flexion', 'dip_flexion')
    ),
)
#: A palm that faces within this of the camera, or away from it, no longer counts as seen from the side; cosine.
_FACING_COSINE = 0.5


@dataclass(frozen=True)
class HandShape:
    """The form of a hand, in numbers.

    Attributes:
        straightness: of the index to the little finger, see :func:`straightness`.
        knuckle_bends_deg: of the same fingers, see :func:`knuckle_bend`.
        spread_deg: mean angle between neighbors of the same fingers.
        thumb_place: how far the thumb's tip is outside the index knuckle, across the palm, in palm widths.
        thumb_height: of its tip over the palm's face, in palm lengths.
        gaps: between the thumb's tip and those of the four fingers, in palm lengths.
        thumb_direction: from its second joint to its tip.

    """

    straightness: tuple[float, ...]
    knuckle_bends_deg: tuple[float, ...]
    spread_deg: float
    thumb_place: float
    thumb_height: float
    gaps: tuple[float, ...]
    thumb_direction: Point


def minus(a: Point, b: Point) -> list[float]:
    """The vector from b to a."""
    return [x - y for x, y in zip(a, b)]


def dot(a: Point, b: Point) -> float:
    """Scalar product."""
    return sum(map(mul, a, b))


def cross(a: Point, b: Point) -> list[float]:
    """Vector product of vectors of three numbers."""
    return [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]]


def cosine(a: Point, b: Point) -> float:
    """Cosine of the angle between two directions; 0 where one has no length."""
    return max(-1.0, min(1.0, dot(a, b) / max(math.hypot(*a) * math.hypot(*b), 1e-12)))


def angle_deg(a: Point, b: Point) -> float:
    """Angle between two directions, degrees."""
    return math.degrees(math.acos(cosine(a, b)))


def straightness(finger: Sequence[Point]) -> float:
    """Distance of a finger's tip from its knuckle, as a share of the bones between: 1 for a straight one.

    Args:
        finger: its four joints from the palm to the tip, in any unit.

    """
    return math.dist(finger[0], finger[3]) / max(sum(map(math.dist, finger, finger[1:])), 1e-9)


def knuckle_bend(wrist: Point, finger: Sequence[Point]) -> float:
    """Bend at a finger's knuckle, between the line from the wrist and that to the finger's tip; degrees."""
    return angle_deg(minus(finger[0], wrist), minus(finger[3], finger[0]))


def palm_normal(joints: np.ndarray, side: str) -> list[float]:
    """Direction (3,) that the palm faces, not normalized; zeros where the palm is a line."""
    wrist, index, middle, pinky = joints[[WRIST, KNUCKLES[0], KNUCKLES[1], KNUCKLES[-1]]].tolist()
    normal = cross(minus(index, pinky), minus(middle, wrist))
    return normal if side == 'right' else [-value for value in normal]


def facing(joints: np.ndarray, side: str) -> str:
    """Which side of a hand (21, 3) in the camera optical frame the camera sees: ``palm``, ``back`` or ``side``."""
    towards = cosine(palm_normal(joints, side), (-joints.mean(0)).tolist())
    return 'palm' if towards > _FACING_COSINE else 'back' if towards < -_FACING_COSINE else 'side'


def measure(joints: np.ndarray, side: str) -> HandShape:
    """Measure the form of a hand (21, 3) in any frame and unit."""
    points = joints.tolist()
    wrist = points[WRIST]
    thumb, *fingers = ([points[i] for i in finger] for finger in FINGER_JOINTS.values())
    knuckles = [finger[0] for finger in fingers]
    length = max(sum(math.dist(knuckle, wrist) for knuckle in knuckles) / len(knuckles), 1e-12)
    across = minus(knuckles[0], knuckles[-1])
    normal = palm_normal(joints, side)
    ways = [minus(finger[3], finger[0]) for finger in fingers]
    return HandShape(
        straightness=tuple(straightness(finger) for finger in fingers),
        knuckle_bends_deg=tuple(knuckle_bend(wrist, finger) for finger in fingers),
        spread_deg=sum(map(angle_deg, ways, ways[1:])) / (len(ways) - 1),
        thumb_place=dot(minus(thumb[3], knuckles[0]), across) / max(dot(across, across), 1e-12),
        thumb_height=dot(minus(thumb[3], wrist), normal) / (max(math.hypot(*normal), 1e-12) * length),
        gaps=tuple(math.dist(thumb[3], finger[3]) / length for finger in fingers),
        thumb_direction=minus(thumb[3], thumb[1]),
    )


def measure_angles(joints: np.ndarray, side: str) -> dict[str, float]:
    """Angles of a hand (21, 3) by ``ANGLE_NAMES``, degrees; the same for a hand and its mirror image.

    They follow from the joints alone, without the hand model, whose angles differ by a few degrees.
    """
    points = joints.tolist()
    wrist = points[WRIST]
    thumb, *fingers = ([points[i] for i in finger] for finger in FINGER_JOINTS.values())
    normal = palm_normal(joints, side)
    forward = minus(fingers[1][0], wrist)
    # Towards the thumb's side, square to the palm's face and its length.
    aside = cross(normal, forward) if side == 'left' else cross(forward, normal)

    def towards(way: Point) -> tuple[float, float]:
        """Angles of a bone towards the palm's face, and towards the thumb."""
        along, down, thumbwards = (dot(way, axis) / max(math.hypot(*axis), 1e-12) for axis in (forward, normal, aside))
        return (
            math.degrees(math.atan2(down, along)),
            math.degrees(math.atan2(thumbwards, max(math.hypot(along, down), 1e-12))),
        )

    def bends(finger: Sequence[Point]) -> list[float]:
        bones = [minus(b, a) for a, b in zip(finger, finger[1:])]
        return [angle_deg(a, b) for a, b in zip(bones, bones[1:])]

    values = [*towards(minus(thumb[1], thumb[0])), *bends(thumb)]
    for finger in fingers:
        values += [*towards(minus(finger[1], finger[0])), *bends(finger)]
    return dict(zip(ANGLE_NAMES, values))
