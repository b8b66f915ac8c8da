"""Targets from a trained network that looks at every crop four times, for a network that is to look once.

With ``teacher`` in its recipe, a training on depth crops draws each joint's target towards the mean of what another
network, or the same one before, says of the crop's four quarter turns. What a crop hides makes its true joints a noisy
target; the teacher's word is a function of the crop, and its mean over turns is nearer the truth than one look
(distillation: Hinton et al. 2015; over transformed inputs: Radosavovic et al., "Data distillation", CVPR 2018).
"""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor, nn

#: Quarter turns at which the teacher looks, and at which the crop is then learnt.
TURNS = 4
#: Batches that are drawn, looked at, turned and shuffled together.
SHUFFLED = 8


class Source(Protocol):
    """What batches of crops come from: :class:`training.train.Feeder` or what takes its place."""

    def next(self) -> list[Tensor]: ...

    def close(self) -> None: ...


def turn_crops(crops: Tensor, quarters: int) -> Tensor:
    """Turn crops (N, S, S) by quarter turns, counter-clockwise as they are seen."""
    return torch.rot90(crops, quarters, (1, 2))


def turn_joints(joints: Tensor, quarters: int) -> Tensor:
    """Turn cube coordinates (N, J, 3) as :func:`turn_crops` turns the crops that show them."""
    u, v, z = joints.unbind(-1)
    for _ in range(quarters % 4):
        u, v = v, -u
    return torch.stack([u, v, z], -1)


@torch.no_grad()
def look_around(network: nn.Module, crops: Tensor, bfloat16: bool) -> Tensor:
    """Mean (N, J, 3), in cube coordinates, of what a network says of crops (N, S, S) and of their quarter turns."""
    total = 0
    for quarters in range(TURNS):
        turned = turn_crops(crops, quarters)[:, None].contiguous(memory_format=torch.channels_last)
        with torch.autocast(crops.device.type, torch.bfloat16, enabled=bfloat16):
            total = total + turn_joints(network(turned)[0].float(), -quarters)
    return total / TURNS


class Taught:
    """Batches whose joints a teacher has moved; takes the place of the source it draws from.

    Args:
        source: batches of crops (B, S, S), joints (B, J, 3) in cube coordinates, and half sides (B,).
        network: the teacher.
        share: how far towards its word the joints go, 0 to 1.
        bfloat16: let it compute in that.

    """

    def __init__(self, source: Source, network: nn.Module, share: float, bfloat16: bool) -> None:
        self.source = source
        self.network = network.eval().requires_grad_(False)
        self.share = share
        self.bfloat16 = bfloat16
        self.waiting: list[list[Tensor]] = []

    def next(self) -> list[Tensor]:
        """The next batch: every crop comes four times among the batches around it, each time turned another way."""
        if not self.waiting:
            self._draw()
        return self.waiting.pop()

    def _draw(self) -> None:
        device = next(self.network.parameters()).device
        drawn = []
        for _ in range(SHUFFLED):
            crops, joints, halves = (part.to(device) for part in self.source.next())
            joints = joints.lerp(look_around(self.network, crops, self.bfloat16), self.share)
            drawn += [(turn_crops(crops, turn), turn_joints(joints, turn), halves) for turn in range(TURNS)]
        batch = len(drawn[0][2])
        parts = [torch.cat(part) for part in zip(*drawn)]
        for chosen in torch.randperm(len(parts[0])).split(batch):
            self.waiting.append([part[chosen.to(device)] for part in parts])

    def close(self) -> None:
        """End the source."""
        self.source.close()


def load_teacher(path: str | Path, device: str) -> nn.Module:
    """The network that a training wrote to ``path``."""
    from training.train import build, load_weights
    stored = torch.load(path, map_location='cpu', weights_only=True)
    network, _ = build(stored['recipe'])
    load_weights(network, stored['network'])
    return network.to(device, memory_format=torch.channels_last)
