"""Losses that networks share: of joints, their sigma, and of what cells show of a hand's surface."""

from __future__ import annotations

import torch
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


def sigma_loss(sigma: Tensor, errors: Tensor) -> Tensor:
    """Mean negative log likelihood, but for a constant, of errors (B, J) under a Laplace distribution of size sigma.

    Where an error is not known (NaN), it does not count.
    """
    known = errors.isfinite()
    value = (sigma.log() + torch.where(known, errors, sigma) / sigma)[known]
    return value.mean() if value.numel() else sigma.new_zeros(())


def mirror_some(image: Tensor, share: float) -> tuple[Tensor, Tensor]:
    """Mirror about ``share`` of images (B, C, S, S), at random; and which were left as they are (B,), bool."""
    right = torch.rand(len(image), device=image.device) >= share
    right[0] = True  # a batch always has something to learn the pose from
    return torch.where(right[:, None, None, None], image, image.flip(3)), right


def known_only(values: Tensor, known: Tensor) -> Tensor:
    """Values (B, J, D) with those of unknown joints (B, J) out of the way: NaN becomes 0."""
    return torch.where(known[..., None], values, torch.zeros_like(values))


def aligned_loss(joints: Tensor, truth: Tensor) -> Tensor:
    """Mean distance over joints after every hand's best similarity (rotation, scale, translation; no reflection).

    It is what PA-MPJPE measures (``hand_pose_ros.evaluation.scoring.align``). Rotation and scale of the similarity of
    least squares (Umeyama 1991, eq. 40 to 42) count as fixed in the gradient, since small changes of them change no sum
    of squares.

    Args:
        joints: (B, J, 3) estimated.
        truth: (B, J, 3) true, in the same unit; NaN where a joint is not known. A hand with less than three counts 0.

    Returns:
        Of all B x J joints; those that are not known have the distance 0.

    """
    known = truth.isfinite().all(2)
    known = known & (known.sum(1, keepdim=True) >= 3)
    share = (known / known.sum(1, keepdim=True).clamp_min(1))[..., None].float()
    joints, truth = joints.float(), torch.where(known[..., None], truth, torch.zeros_like(truth)).float()
    with torch.autocast(joints.device.type, enabled=False):  # eight bits are too few for a rotation
        a, b = (points - (share * points).sum(1, keepdim=True) for points in (joints, truth))
        with torch.no_grad():
            u, s, vt = torch.linalg.svd((share * a).transpose(1, 2) @ b)
            sign = torch.ones_like(s)
            sign[:, 2] = torch.det(u @ vt).sign()  # a reflection: the least of the three directions turns round
            turn = (u * sign[:, None]) @ vt
            scale = (s * sign).sum(1) / (share * a.square()).sum((1, 2)).clamp_min(1e-9)
        left = scale[:, None, None] * a @ turn - b
        return torch.where(known, (left.square().sum(2) + 1e-12).sqrt(), torch.zeros_like(left[..., 0])).mean()


def image_loss(joints: Tensor, points: Tensor, counts: Tensor) -> Tensor:
    """Mean distance in the image between joints, as a distant camera sees them, and points.

    The camera is placed and scaled so that both have one middle and one size, which counts as fixed in the gradient.

    Args:
        joints: (B, J, 3) estimated.
        points: (B, J, 2) true, in crop coordinates; NaN where one is not known.
        counts: (B, J) bool, those that count. A hand with less than three counts 0.

    Returns:
        Of all B x J joints, in the joints' unit; those that do not count have the distance 0.

    """
    counts = counts & (counts.sum(1, keepdim=True) >= 3)
    share = (counts / counts.sum(1, keepdim=True).clamp_min(1))[..., None].float()
    flat, truth = joints[..., :2].float(), torch.where(counts[..., None], points, torch.zeros_like(points)).float()
    seen, wanted = (part - (share * part).sum(1, keepdim=True) for part in (flat, truth))
    with torch.no_grad():
        extents = [(share * part.square()).sum((1, 2)).clamp_min(1e-9).sqrt() for part in (seen, wanted)]
        scale = extents[0] / extents[1]
    off = seen - scale[:, None, None] * wanted
    return torch.where(counts, (off.square().sum(2) + 1e-12).sqrt(), torch.zeros_like(off[..., 0])).mean()


def surface_loss(estimate: Tensor, surface: Tensor, counts: Tensor) -> Tensor:
    """How wrong a network is about which cells show something, and what of it.

    Args:
        estimate: (B, C, H, W) logits that it is shown, then the C - 1 numbers that tell what of it.
        surface: (B, H, W, C) uint8, see :func:`training.synthesis.color_scenes.draw_surface`.
        counts: (B,) bool, images that count.

    Returns:
        Cross entropy of the first, plus the mean L1 distance of the others over what shows it.

    """
    truth = surface.permute(0, 3, 1, 2).float() / 255
    share = truth[:, :1]
    shows = F.binary_cross_entropy_with_logits(estimate[:, :1], share, reduction='none').mean((1, 2, 3))
    seen = share * counts[:, None, None, None]
    places = torch.where(share > 0.02, 2 * truth[:, 1:] / share.clamp_min(0.02) - 1, torch.zeros_like(share))
    off = ((estimate[:, 1:] - places).abs() * seen).sum() / (places.shape[1] * seen.sum()).clamp_min(1)
    return (shows * counts).sum() / counts.sum().clamp_min(1) + off
