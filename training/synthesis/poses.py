"""Articulations of a hand: open, fist, count, point, pinch, grasps, relaxed, and everything between."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from hand_pose_ros.geometry.joints import BONES, FINGERS, TIPS
from hand_pose_ros.hand_model.kinematics import DOF_INDEX, DOF_NAMES, LOWER, UPPER, forward_kinematics, local_rotations

LONG_FINGERS = FINGERS[1:]

#: Kind of pose -> how often it is drawn; a recipe may say otherwise. ``wide``, fingers spread as far as they go and
#: each bent on its own, came after the validation set and is in none of its poses.
KINDS = {'open': 0.20, 'fist': 0.07, 'count': 0.24, 'pinch': 0.10, 'grasp': 0.13, 'relaxed': 0.08, 'any': 0.18}
#: Share of poses that are a blend of two others.
BLENDED = 0.20

#: Radius of a finger relative to the length from wrist to middle knuckle, per bone of ``BONES``.
_RADII = np.array([0.12, 0.115, 0.095, 0.085] + 4 * [0.10, 0.082, 0.073, 0.066])


def _set(angles: np.ndarray, rows: np.ndarray, name: str, values: np.ndarray) -> None:
    angles[rows, DOF_INDEX[name]] = np.radians(values)


def _thumb(rng: np.random.Generator, count: int) -> dict[str, np.ndarray]:
    return {
        'thumb_cmc_flexion': rng.uniform(-28, 48, count),
        'thumb_cmc_abduction': rng.uniform(-28, 40, count),
        'thumb_cmc_roll': rng.normal(5, 12, count),
        'thumb_mcp_flexion': rng.uniform(-12, 58, count),
        'thumb_mcp_abduction': rng.normal(0, 5, count),
        'thumb_ip_flexion': rng.uniform(-20, 75, count),
    }


def _finger(angles, rows, rng, finger, mcp, pip, abduction):
    count = len(rows)
    _set(angles, rows, f'{finger}_mcp_flexion', mcp)
    _set(angles, rows, f'{finger}_pip_flexion', pip)
    # The end joint follows the middle one through a shared tendon, loosely.
    _set(angles, rows, f'{finger}_dip_flexion', pip * rng.uniform(0.35, 0.85, count) + rng.normal(0, 6, count))
    _set(angles, rows, f'{finger}_mcp_abduction', abduction * np.cos(np.radians(np.clip(mcp, 0, 85))))


_SPREAD = {'index': 18.0, 'middle': 0.0, 'ring': 15.0, 'pinky': 30.0}


def _draw_kind(
    kind: str, count: int, rng: np.random.Generator, axes: np.ndarray, rest_angles: np.ndarray, rest_joints: np.ndarray
) -> np.ndarray:
    angles = np.zeros((count, len(DOF_NAMES)))
    rows = np.arange(count)
    thumb = _thumb(rng, count)
    spread = rng.uniform(-0.25, 1.35, count)
    common = rng.uniform(0, 1, count)
    for finger in LONG_FINGERS:
        aside = _SPREAD[finger] * spread + rng.normal(0, 5, count)
        if kind == 'wide':
            mcp, pip = rng.normal(-3, 17, count), np.abs(rng.normal(4, 9, count))
            aside = _SPREAD[finger] * (1.4 + 0.4 * spread) + rng.normal(0, 5, count)
        elif kind == 'open':
            mcp, pip = rng.normal(0, 11, count) + 14 * (common - 0.4), np.abs(rng.normal(4, 9, count))
        elif kind == 'fist':
            mcp, pip = rng.normal(72, 13, count), rng.normal(97, 12, count)
            aside *= 0.4
        elif kind in ('count', 'pinch'):
            curled = rng.uniform(size=count) < 0.5
            mcp = np.where(curled, rng.normal(66, 16, count), rng.normal(3, 14, count))
            pip = np.where(curled, rng.normal(92, 14, count), np.abs(rng.normal(6, 9, count)))
        elif kind == 'grasp':
            mcp = 15 + 55 * common + rng.normal(0, 9, count)
            pip = 20 + 60 * common + rng.normal(0, 12, count)
        elif kind == 'relaxed':
            mcp, pip = rng.normal(22, 12, count), rng.normal(30, 14, count)
            aside *= 0.5
        else:
            mcp, pip = rng.uniform(-20, 90, count), rng.uniform(0, 108, count)
            aside = rng.uniform(-1, 1, count) * 20 + _SPREAD[finger] * 0.5
        _finger(angles, rows, rng, finger, mcp, pip, aside)
    if kind == 'fist':
        over = rng.uniform(size=count) < 0.75
        thumb['thumb_cmc_flexion'] = np.where(over, rng.normal(28, 10, count), rng.normal(0, 10, count))
        thumb['thumb_mcp_flexion'] = np.where(over, rng.normal(38, 12, count), rng.normal(15, 12, count))
        thumb['thumb_ip_flexion'] = rng.normal(35, 20, count)
    elif kind == 'open':
        folded = rng.uniform(size=count) < 0.2
        thumb['thumb_cmc_flexion'] = np.where(folded, rng.normal(32, 10, count), rng.normal(-8, 12, count))
        thumb['thumb_mcp_flexion'] = np.where(folded, rng.normal(40, 12, count), rng.normal(8, 11, count))
        thumb['thumb_ip_flexion'] = np.where(folded, rng.normal(40, 20, count), rng.normal(5, 13, count))
    elif kind == 'wide':
        thumb['thumb_cmc_flexion'] = rng.uniform(-30, 15, count)
        thumb['thumb_cmc_abduction'] = rng.uniform(0, 48, count)
        thumb['thumb_mcp_flexion'] = rng.normal(0, 12, count)
        thumb['thumb_ip_flexion'] = rng.normal(-3, 15, count)
    elif kind == 'grasp':
        thumb['thumb_cmc_flexion'] = rng.normal(15, 14, count)
        thumb['thumb_cmc_abduction'] = rng.normal(18, 12, count)
        thumb['thumb_cmc_roll'] = rng.normal(15, 10, count)
    for name, values in thumb.items():
        _set(angles, rows, name, values)
    if kind == 'pinch':
        angles = _close_pinch(angles, rng, axes, rest_angles, rest_joints)
    return np.clip(angles, LOWER, UPPER)


def _close_pinch(
    angles: np.ndarray, rng: np.random.Generator, axes: np.ndarray, rest_angles: np.ndarray, rest_joints: np.ndarray
) -> np.ndarray:
    """Bring the thumb's tip to a fingertip by drawing many thumbs and fingers and keeping the closest."""
    tries = 48
    target = rng.choice([1, 2, 3, 4], p=[0.6, 0.2, 0.12, 0.08], size=len(angles))
    for row, finger in enumerate(target):
        name = FINGERS[finger]
        candidates = np.repeat(angles[row : row + 1], tries, 0)
        every = np.arange(tries)
        for key, values in _thumb(rng, tries).items():
            _set(candidates, every, key, values)
        _set(candidates, every, 'thumb_cmc_roll', rng.uniform(0, 40, tries))
        _finger(
            candidates,
            every,
            rng,
            name,
            rng.uniform(20, 70, tries),
            rng.uniform(20, 75, tries),
            rng.normal(0, 6, tries),
        )
        candidates = np.clip(candidates, LOWER, UPPER)
        _, joints = forward_kinematics(rest_joints, local_rotations(candidates, axes, rest_angles))
        gap = np.linalg.norm(joints[:, TIPS[0]] - joints[:, TIPS[finger]], axis=1)
        angles[row] = candidates[np.argmin(np.abs(gap - 0.012))]
    return angles


def penetration(joints: np.ndarray) -> np.ndarray:
    """How deep fingers are inside one another: (N,) worst overlap of two bones' capsules, as a share of their
    radii, for joints (N, 21, 3). Bones that touch in the tree are not compared.
    """
    start, end = joints[:, [a for a, _ in BONES]], joints[:, [b for _, b in BONES]]
    scale = np.linalg.norm(joints[:, 9] - joints[:, 0], axis=1)
    steps = np.linspace(0.1, 0.9, 4)
    samples = start[:, :, None] + (end - start)[:, :, None] * steps[:, None]  # (N, 20, 4, 3)
    worst = np.zeros(len(joints))
    for i, (a, b) in enumerate(BONES):
        for k in range(i + 1, len(BONES)):
            if {a, b} & set(BONES[k]) or (i % 4 <= 1 and k % 4 <= 1):
                continue  # joined, or roots of fingers, which share the palm's flesh
            gap = np.linalg.norm(samples[:, i, :, None] - samples[:, k, None], axis=-1).min((1, 2))
            worst = np.maximum(worst, 1 - gap / ((_RADII[i] + _RADII[k]) * scale))
    return worst


def draw_poses(
    count: int,
    rng: np.random.Generator,
    axes: np.ndarray,
    rest_angles: np.ndarray,
    rest_joints: np.ndarray,
    limit: float = 0.42,
    kinds: Mapping[str, float] = KINDS,
) -> np.ndarray:
    """Draw hand poses.

    Args:
        count: how many.
        rng: source of randomness.
        axes: (16, 3, 3) axes of the bones.
        rest_angles: (D,) angles at rest.
        rest_joints: (21, 3) joints at rest.
        limit: deepest overlap of two fingers that is let through, see :func:`penetration`.
        kinds: kind of pose -> share of the poses drawn.

    Returns:
        (count, D) angles in radians, within the anatomical limits.

    """
    drawn: list[np.ndarray] = []
    while sum(map(len, drawn)) < count:
        names = rng.choice(list(kinds), p=list(kinds.values()), size=2 * count)
        batch = np.concatenate(
            [_draw_kind(kind, int(np.sum(names == kind)), rng, axes, rest_angles, rest_joints) for kind in kinds]
        )
        rng.shuffle(batch)
        blended = int(BLENDED * len(batch))
        share = rng.uniform(0.2, 0.8, (blended, 1))
        batch[:blended] = batch[:blended] * share + batch[-blended:] * (1 - share)
        _, joints = forward_kinematics(rest_joints, local_rotations(batch, axes, rest_angles))
        drawn.append(batch[penetration(joints) < limit])
    return np.concatenate(drawn)[:count]
