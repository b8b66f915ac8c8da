"""Views of hands that are kept where a network is trained, and cut anew for every batch.

A GPU learns from more crops than processors draw. With ``keep: N`` in its recipe, a training keeps the last N views in
the memory of its device (95 kB each) and cuts every crop there, with another error in centre and size and turned another
way, as ``training.synthesis.crops.draw_crop`` cuts them one by one.
"""

from __future__ import annotations

import importlib
import math
from typing import Any

import torch
from torch import Tensor

from hand_pose_ros.geometry.joints import KNUCKLES, WRIST
from hand_pose_ros.localization.crop import CUBE_PER_HAND
from training.synthesis.crops import (CENTRE_ERROR, GREATEST_SIZE_ERROR, PACKED_UNIT, ROUGH, ROUGH_CENTRE_ERROR,
                                      SIZE_ERROR)
from training.train import Feeder

#: Share of the crops that are turned about the line of sight, by any angle.
TURNED = 0.6
#: Views that a process sends at once; how many such batches may wait, 3 MB each, as while a network is compiled; and how
#: many are taken before a batch of crops, at most.
SENT, WAITING, TAKEN = 32, 2048, 64


def cut_cubes(depth: Tensor, slots: Tensor, pinholes: Tensor, centres: Tensor, halves: Tensor, turns: Tensor,
              size: int) -> Tensor:
    """Cut cubes out of depth images, as :func:`hand_pose_ros.localization.crop.cut_cube` does with one.

    Args:
        depth: (N, S, S) int16, see :func:`training.synthesis.crops.pack`.
        slots: (B,) which of the images each cube is cut from.
        pinholes: (B, 3) their focal lengths, cx and cy.
        centres: (B, 3) metres, camera optical frame.
        halves: (B,) half sides, metres.
        turns: (B,) radians.
        size: pixels along a side of the result.

    Returns:
        (B, size, size) float32 in [-1, 1].

    """
    side = depth.shape[-1]
    focal, cx, cy = (column[:, None, None] for column in pinholes.unbind(1))
    x, y, z = (column[:, None, None] for column in centres.unbind(1))
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


def to_cubes(joints: Tensor, centres: Tensor, halves: Tensor, turns: Tensor) -> Tensor:
    """Turn joints (B, J, 3) in metres into the coordinates of cubes like :func:`cut_cubes`'s."""
    centres, halves, turns = centres[:, None], halves[:, None], turns[:, None]
    u, v = ((joints[..., :2] / joints[..., 2:] * centres[..., 2:] - centres[..., :2]) / halves[..., None]).unbind(-1)
    cos, sin = turns.cos(), turns.sin()
    return torch.stack([cos * u + sin * v, cos * v - sin * u, (joints[..., 2] - centres[..., 2]) / halves], -1)


class KeptViews:
    """Batches of crops from views that are kept; takes the place of :class:`training.train.Feeder`.

    Args:
        recipe: of the training; ``data`` names a function beside which there is ``views``.
        seed: of what the workers draw.
        workers: processes that draw views.
        batch: crops in a batch.
        device: where views are kept and cut.

    Raises:
        ValueError: there is no such function.

    """

    def __init__(self, recipe: dict[str, Any], seed: int, workers: int, batch: int, device: str) -> None:
        module = recipe['data'].split(':')[0]
        if not hasattr(importlib.import_module(module), 'views'):
            raise ValueError(f'{module} draws no views: this recipe cannot keep any')
        self.batch = batch
        self.size = recipe['data_options'].get('size', 96)
        self.capacity = recipe['keep']
        self.device = device
        self.count = 0
        self.feeder = Feeder(recipe | {'data': f'{module}:views'}, seed, workers, SENT, WAITING)

    def _take(self) -> None:
        """Put the workers' next views in the place of the oldest."""
        depth, pinholes, joints = self.feeder.next()
        if not self.count:
            self.depth, self.pinholes, self.joints = (
                part.new_zeros(self.capacity, *part.shape[1:], device=self.device) for part in (depth, pinholes, joints))
        slots = (self.count + torch.arange(len(depth))).remainder(self.capacity).to(self.device)
        for kept, part in (self.depth, depth), (self.pinholes, pinholes), (self.joints, joints):
            kept[slots] = part.to(self.device)
        self.count += len(depth)

    def next(self) -> list[Tensor]:
        """Crops (batch, size, size), joints (batch, 21, 3) in cube coordinates, and half sides (batch,) in metres."""
        while self.count < min(self.batch, self.capacity):
            self._take()
        for _ in range(TAKEN):
            if not self.feeder.ready():
                break
            self._take()
        return self._cut()

    def _cut(self) -> list[Tensor]:
        def normal(*shape: int) -> Tensor:
            return torch.randn(self.batch, *shape, device=self.device)

        def chance() -> Tensor:
            return torch.rand(self.batch, device=self.device)

        kept = min(self.count, self.capacity)
        # The newest are drawn the more often, as all others were drawn before.
        age = (1 - chance().sqrt()) * kept
        slots = (self.count - 1 - age.long().clamp(max=kept - 1)).remainder(self.capacity)
        joints = self.joints[slots]
        sizes = (joints[:, list(KNUCKLES)] - joints[:, WRIST, None]).norm(dim=2).mean(1)
        off = torch.where(chance() < ROUGH, ROUGH_CENTRE_ERROR, CENTRE_ERROR)[:, None] * normal(3)
        centres = joints.mean(1) + off * sizes[:, None]
        wrong = (SIZE_ERROR * normal()).clamp(-GREATEST_SIZE_ERROR, GREATEST_SIZE_ERROR)
        halves = CUBE_PER_HAND * sizes * wrong.exp()
        turns = 2 * math.pi * chance() * (chance() < TURNED)
        crops = cut_cubes(self.depth, slots, self.pinholes[slots], centres, halves, turns, self.size)
        return [crops, to_cubes(joints, centres, halves, turns), halves]

    def close(self) -> None:
        """End the workers."""
        self.feeder.close()
