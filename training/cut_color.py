"""Crops cut out of many color views at once, on the device that a network is trained on (``training.view_cache``).

As ``training.synthesis.color_crops.draw_color_crop`` cuts them one by one: with the errors that localization makes,
before another background each time, as another camera takes it (``training.photography``).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from hand_pose_ros.geometry.joints import KNUCKLES, WRIST
from hand_pose_ros.regions.cube import CUBE_PER_HAND
from hand_pose_ros.regions.perspective import CLOSER
from training.networks.color_regression import pixel_grid
from training.photography import augment, choose, draw_augmentation, draw_styles, restyled
from training.synthesis.color_crops import ANY_WAY_UP, FARTHER_OFF, FOLLOWED_OFF, OFF, PLAIN, ROUGH_OFF, CropShares
from training.synthesis.color_scenes import PIXELS

#: Samples along a side of a cell of the surfaces' maps.
FINER = 3


def look_at(centers: Tensor, halves: Tensor) -> tuple[Tensor, Tensor]:
    """Rotations (B, 3, 3) and reaches (B,) of cameras, see :meth:`PerspectiveRegion.looking_at`.

    Args:
        centers: (B, 3) camera optical frame, meters.
        halves: (B,) meters.

    """
    distance = centers.norm(dim=1, keepdim=True)
    forward = centers / distance
    right = centers.new_tensor([1.0, 0, 0]) - forward[:, :1] * forward
    right = right / right.norm(dim=1, keepdim=True)
    return torch.stack([right, torch.linalg.cross(forward, right), forward], 1), halves / distance[:, 0]


def turned_up(rotations: Tensor, directions: Tensor) -> Tensor:
    """Turn cameras about their lines of sight, so that directions (B, 2) in their crops point up."""
    across, down = (-directions / directions.norm(dim=1, keepdim=True).clamp_min(1e-6)).unbind(1)
    zero, one = torch.zeros_like(across), torch.ones_like(across)
    turns = torch.stack([down, -across, zero, across, down, zero, zero, zero, one], 1).view(-1, 3, 3)
    return turns @ rotations


def project(points: Tensor, rotations: Tensor, reaches: Tensor) -> Tensor:
    """Crop coordinates (B, N, 2) of points (B, N, 3) in the camera optical frame."""
    points = points @ rotations.transpose(1, 2)
    return points[..., :2] / (reaches[:, None, None] * points[..., 2:])


def _crop_places(size: int, device: torch.device) -> Tensor:
    """Crop coordinates (size, size, 2) of a crop's pixels."""
    return pixel_grid(size).to(device).permute(1, 2, 0)


def crop_rays(size: int, rotations: Tensor, reaches: Tensor) -> Tensor:
    """Rays (B, size, size, 3) through a crop's pixels, in the camera optical frame."""
    grid = _crop_places(size, reaches.device) * reaches[:, None, None, None]
    return torch.cat([grid, torch.ones_like(grid[..., :1])], -1) @ rotations[:, None]


def to_view(rays: Tensor, pinholes: Tensor) -> Tensor:
    """Where in the square picture of ``PIXELS`` pixels rays (B, S, S, 3) are seen: (B, S, S, 2), -1 to 1 over it."""
    focal, middle = pinholes[:, :1, None, None], pinholes[:, 1:, None, None].movedim(1, -1)
    ahead = rays[..., 2:] > 1e-3
    places = rays[..., :2] / rays[..., 2:].clamp_min(1e-3) * focal + middle
    return torch.where(ahead, (places + 0.5) / PIXELS * 2 - 1, torch.full_like(places, -9))


def sample(layers: Tensor, places: Tensor, shrunk: Tensor | None = None) -> Tensor:
    """Sample layers (B, C, H, W) at places (B, S, S, 2), black beyond; where ``shrunk`` (B,), from half their size."""
    found = F.grid_sample(layers, places, align_corners=False)
    if shrunk is None:
        return found
    halved = F.grid_sample(F.avg_pool2d(layers, 2), places, align_corners=False)
    return torch.where(shrunk[:, None, None, None], halved, found)


def draw_edges(joints: Tensor, pinholes: Tensor) -> tuple[Tensor, Tensor]:
    """Draw where images end about hands: lowest and highest places (B, 2), -1 to 1 over the view.

    Args:
        joints: (B, 21, 3) camera optical frame, meters; NaN where there is no hand.
        pinholes: (B, 3) of the views.

    """
    points = to_view(joints[:, None], pinholes)[:, 0]
    known = joints[:, :1, 0].isfinite()
    low, high = (
        torch.where(known, most, torch.full_like(most, otherwise))
        for most, otherwise in ((points.amin(1), -0.5), (points.amax(1), 0.5))
    )
    # From a fifth of the hand cut off to no edge in sight.
    room = (high - low).amax(1)[:, None, None] * (torch.rand(len(joints), 2, 2, device=joints.device) * 1.2 - 0.2)
    pixel = 1 / PIXELS
    low = (low - room[:, 0]).clamp(-1 + pixel, 1 - 65 * pixel)
    return low, (high + room[:, 1]).minimum(torch.full_like(high, 1 - pixel)).maximum(low + 64 * pixel)


def draw_behind(backgrounds: Tensor, places: Tensor) -> Tensor:
    """Cut windows (B, 3, S, S) out of backgrounds (N, H, W, 3) uint8 for places (B, S, S, 2), -1 to 1 over a window."""
    count, device = len(places), places.device
    chosen = backgrounds[torch.randint(len(backgrounds), (count,), device=device)].permute(0, 3, 1, 2).float()
    share = 0.6 + 0.4 * torch.rand(count, 1, 1, 1, device=device)
    middle = (torch.rand(count, 1, 1, 2, device=device) * 2 - 1) * (1 - share)
    flips = torch.rand(count, 1, 1, 2, device=device) < torch.tensor([0.5, 0.15], device=device)
    return F.grid_sample(
        chosen, middle + share * torch.where(flips, -places, places), align_corners=False, padding_mode='border'
    )


@dataclass(frozen=True)
class Cameras:
    """Cameras of B crops: rotations (B, 3, 3) and reaches (B,), see :class:`PerspectiveRegion`."""

    rotations: Tensor
    reaches: Tensor


def draw_cameras(joints: Tensor, centers: Tensor, sizes: Tensor, shares: CropShares) -> Cameras:
    """Draw cameras that look at hands with the errors in place, size and turn that localization makes.

    Args:
        joints: (B, 21, 3) camera optical frame, meters; NaN where there is no hand.
        centers: (B, 3) meters, what is looked at.
        sizes: (B,) of the hands, meters.
        shares: of crops that are cut otherwise than most.

    """
    count, device = len(joints), joints.device

    def uniform() -> Tensor:
        return torch.rand(count, device=device)

    first = uniform() < shares.rough
    known = ~first & (uniform() < shares.followed)
    off, extent, least, most, turn = (
        torch.where(first, far, torch.where(known, nearest, near))
        for far, nearest, near in zip(ROUGH_OFF, FOLLOWED_OFF, OFF)
    )
    off = torch.where(~first & (uniform() < FARTHER_OFF), 2 * off, off)
    shift = torch.randn(count, 3, device=device) * off[:, None] * sizes[:, None] * centers.new_tensor([1.0, 1, 0])
    wrong = (extent * torch.randn(count, device=device)).maximum(least).minimum(most)
    rotations, reaches = look_at(centers + shift, CUBE_PER_HAND / CLOSER * sizes * wrong.exp())
    points = project(joints, rotations, reaches)
    pointing = points[:, list(KNUCKLES)].mean(1) - points[:, WRIST]
    up = torch.atan2(pointing[:, 1], pointing[:, 0]) + torch.deg2rad(turn) * torch.randn(count, device=device)
    aligned = joints[:, 0, 0].isfinite() & (known | (uniform() > ANY_WAY_UP))
    angles = torch.where(aligned, up, (uniform() * 2 - 1) * math.pi)
    return Cameras(turned_up(rotations, torch.stack([angles.cos(), angles.sin()], 1)), reaches)


def draw_images(
    shown: Tensor, places: Tensor, shrunk: Tensor, ends: tuple[Tensor, Tensor], behind: Tensor, shares: CropShares
) -> Tensor:
    """Draw crops' images (B, 3, S, S), whole numbers 0 to 255.

    Args:
        shown: (B, 4, H, W) views' colors, and 255 where something is.
        places: (B, S, S, 2) of the crops' pixels in the views.
        shrunk: (B,) whether crops are coarser than views.
        ends: lowest and highest places (B, 2) of images that end.
        behind: (N, H, W, 3) uint8 backgrounds.
        shares: of crops whose image is changed otherwise than most.

    """
    count, size, device = len(places), places.shape[1], places.device
    ended = (torch.rand(count, device=device) < shares.edges)[:, None, None, None]
    low, high = (part[:, None, None] for part in ends)
    inside = torch.where(ended, places.maximum(low).minimum(high), places)
    # Only some images end in the crop; the others' backgrounds are the crop's own.
    background = draw_behind(behind, torch.where(ended, inside, _crop_places(size, device)))
    image = sample(shown, inside, shrunk)
    image = (image[:, :3] + (1 - image[:, 3:] / 255) * background).clamp(0, 255)
    if shares.styles:
        which = choose(count, shares.styles, device)
        image[which] = restyled(image[which], draw_styles(len(which), device))
    return augment(image, draw_augmentation(image))


def cut(views: list[Tensor], slots: Tensor, size: int = 128, shares: CropShares = PLAIN) -> list[Tensor]:
    """Cut a crop out of each of some views.

    Args:
        views: what :func:`training.synthesis.color_crops.view_batches` yields.
        slots: (B,) which of the views each crop is cut from.
        size: pixels along a side of a crop.
        shares: of crops that are cut or changed otherwise than most.

    Returns:
        A batch as ``training.tasks.color_pose`` describes it.

    """
    layers, surfaces, pinholes, joints, centers, sizes, backgrounds = views
    pinholes, joints, centers, sizes = (part[slots] for part in (pinholes, joints, centers, sizes))
    cameras = draw_cameras(joints, centers, sizes, shares)
    rotations, reaches = cameras.rotations, cameras.reaches
    places = to_view(crop_rays(size, rotations, reaches), pinholes)
    shrunk = reaches * pinholes[:, 0] >= size
    shown = layers[slots].permute(0, 3, 1, 2).float()
    image = draw_images(shown[:, :4], places, shrunk, draw_edges(joints, pinholes), backgrounds, shares)
    finer = to_view(crop_rays(size // 8 * FINER, rotations, reaches), pinholes)
    surface = F.avg_pool2d(sample(surfaces[slots].permute(0, 3, 1, 2).float(), finer), FINER)
    hands = joints[:, 0, 0].isfinite()
    mask = sample(shown[:, 4:], places, shrunk)[:, 0] / 255 * hands[:, None, None]
    return [
        image.to(torch.uint8).permute(0, 2, 3, 1),
        (joints - joints[:, WRIST, None]) @ rotations.transpose(1, 2) / sizes[:, None, None],
        project(joints, rotations, reaches),
        mask,
        torch.where(hands, sizes, math.nan),
        surface.to(torch.uint8).permute(0, 2, 3, 1),
    ]
