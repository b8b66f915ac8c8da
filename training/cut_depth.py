"""Crops cut out of many depth views at once, on the device that a network is trained on (``training.view_cache``).

A crop has another error in center and size and another turn each time, as ``training.synthesis.crops.draw_crop``
cuts them one by one.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from hand_pose_ros.geometry.joints import KNUCKLES, WRIST
from hand_pose_ros.regions.cube import CUBE_PER_HAND
from training.synthesis.crops import (
    CENTER_ERROR,
    GREATEST_SIZE_ERROR,
    PACKED_UNIT,
    ROUGH,
    ROUGH_CENTER_ERROR,
    SIZE_ERROR,
)

#: Share of the crops that are turned about the line of sight, by any angle.
TURNED = 0.6


def cut_cubes(
    depth: Tensor, slots: Tensor, pinholes: Tensor, centers: Tensor, halves: Tensor, turns: Tensor, size: int
) -> Tensor:
    """Cut cubes out of depth images, as :func:`hand_pose_ros.regions.cube.cut_cube` does with one.

    Args:
        depth: (N, S, S) int16, see :func:`training.synthesis.crops.pack`.
        slots: (B,) which of the images each cube is cut from.
        pinholes: (B, 3) their focal lengths, cx and cy.
        centers: (B, 3) meters, camera optical frame.
        halves: (B,) half sides, meters.
        turns: (B,) radians.
        size: pixels along a side of the result.

    Returns:
        (B, size, size) float32 in [-1, 1].

    """
    side = depth.shape[-1]
    focal, cx, cy = (column[:, None, None] for column in pinholes.unbind(1))
    x, y, z = (column[:, None, None] for column in centers.unbind(1))
    halves, turns = halves[:, None, None], turns[:, None, None]
    line = torch.arange(size, device=depth.device) - (size - 1) / 2
    step = 2 * focal * halves / (z * size)
    column = focal * x / z + cx + step * (turns.cos() * line - turns.sin() * line[:, None])
    row = focal * y / z + cy + step * (turns.sin() * line + turns.cos() * line[:, None])
    column, row = column.round().long(), row.round().long()
    inside = (column >= 0) & (column < side) & (row >= 0) & (row < side)
    places = (slots[:, None, None] * side + row.clamp(0, side - 1)) * side + column.clamp(0, side - 1)
    units = depth.flatten()[places].int() & 0xFFFF
    crops = (units * PACKED_UNIT - z) / halves
    return crops.where(inside & (units > 0) & (crops.abs() <= 1), torch.ones_like(crops))


def to_cubes(joints: Tensor, centers: Tensor, halves: Tensor, turns: Tensor) -> Tensor:
    """Turn joints (B, J, 3) in meters into the coordinates of cubes like :func:`cut_cubes`'s."""
    centers, halves, turns = centers[:, None], halves[:, None], turns[:, None]
    u, v = ((joints[..., :2] / joints[..., 2:] * centers[..., 2:] - centers[..., :2]) / halves[..., None]).unbind(-1)
    cos, sin = turns.cos(), turns.sin()
    return torch.stack([cos * u + sin * v, cos * v - sin * u, (joints[..., 2] - centers[..., 2]) / halves], -1)


def cut(views: list[Tensor], slots: Tensor, size: int = 96) -> list[Tensor]:
    """Cut a crop out of each of some views.

    Args:
        views: what :meth:`training.synthesis.crops.CropSource.view_batches` yields.
        slots: (B,) which of the views each crop is cut from.
        size: pixels along a side of a crop.

    Returns:
        Crops (B, size, size), joints (B, 21, 3) in cube coordinates, and half sides (B,) in meters.

    """
    depth, pinholes, joints = views
    count, device = len(slots), depth.device

    def normal(*shape: int) -> Tensor:
        return torch.randn(count, *shape, device=device)

    def uniform() -> Tensor:
        return torch.rand(count, device=device)

    joints = joints[slots]
    sizes = (joints[:, list(KNUCKLES)] - joints[:, WRIST, None]).norm(dim=2).mean(1)
    off = torch.where(uniform() < ROUGH, ROUGH_CENTER_ERROR, CENTER_ERROR)[:, None] * normal(3)
    centers = joints.mean(1) + off * sizes[:, None]
    wrong = (SIZE_ERROR * normal()).clamp(-GREATEST_SIZE_ERROR, GREATEST_SIZE_ERROR)
    halves = CUBE_PER_HAND * sizes * wrong.exp()
    turns = 2 * math.pi * uniform() * (uniform() < TURNED)
    crops = cut_cubes(depth, slots, pinholes[slots], centers, halves, turns, size)
    return [crops, to_cubes(joints, centers, halves, turns), halves]
