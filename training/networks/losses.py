"""Losses of joints in cube coordinates."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F


def joint_loss(joints: Tensor, truth: Tensor, kind: str = 'smooth_l1', delta: float = 0.01) -> Tensor:
    """Mean over joints (B, J, 3) of the coordinates' loss.

    Args:
        joints: estimated, in cube coordinates.
        truth: true, in cube coordinates.
        kind: ``smooth_l1``, ``l1`` or ``l2``.
        delta: error where smooth L1 turns from quadratic to linear; it is scaled to have slope 1 beyond.

    Raises:
        ValueError: there is no loss of that kind.

    """
    if kind == 'smooth_l1':
        return F.huber_loss(joints, truth, delta=delta) / delta
    if kind == 'l1':
        return F.l1_loss(joints, truth)
    if kind == 'l2':
        return F.mse_loss(joints, truth)
    raise ValueError(f'loss {kind!r} is not one of smooth_l1, l1, l2')
