"""Training of a pose network on a benchmark: crops of its frames, and the papers' measure on its test frames."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from torch import nn

from training.datasets.crops import Augmentation, Cube, check_frames, draw_batches, hand_center, open_frames
from training.recipe import Recipe
from training.tasks import depth_pose
from training.tasks.protocol import Batch, DataSource

#: What the manifest says of the network; the tracker takes no model of this task, its joints are the benchmark's.
KIND = 'benchmark'
INPUT = "the cube around a hand as the benchmark's papers cut it; depth in [-1, 1], background and holes 1"
OUTPUTS = {
    'joints': "(batch, J, 3) cube coordinates u, v, z of the benchmark's joints, in its order",
    'spread': '(batch, J) spread or expected error of a joint, in half sides of the cube',
    'right': '(batch,) not trained',
}
DATA = "a benchmark's training frames, see the recipe; their terms are in training/datasets/README.md"

#: What the loss takes, from a batch of data.
network_input = depth_pose.network_input


@dataclass(frozen=True)
class Validation:
    """Test frames, cut out.

    Attributes:
        crops: (N, S, S) float32.
        joints: (N, J, 3) meters, camera optical frame.
        cubes: N cubes that the crops are of.

    """

    crops: np.ndarray
    joints: np.ndarray
    cubes: tuple[Cube, ...]


def crops(
    seed: int,
    batch: int,
    dataset: str,
    size: int,
    center: str,
    folder: str | None = None,
    augmentation: Annotated[dict, Augmentation] | None = None,
    options: dict | None = None,
) -> Iterator[Batch]:
    """Endless training batches of a dataset.

    Args:
        seed: the same one gives the same batches.
        batch: frames in a batch.
        dataset: its name, see :func:`training.datasets.open_dataset`.
        size: pixels along a side of a crop.
        center: how a hand's center is found, see :func:`training.datasets.crops.hand_center`.
        folder: the dataset's own folder, where it is not in the usual place.
        augmentation: random changes, see :class:`training.datasets.crops.Augmentation`; none by default.
        options: what the dataset's reader takes beside, as ``subject`` for MSRA.

    Raises:
        DatasetError: the dataset cannot be read.

    """
    frames = open_frames('train', dataset, folder, center, options)
    return draw_batches(frames, seed, batch, size, center, Augmentation(**augmentation or {}))


SOURCES = {'frames': DataSource(crops, check=check_frames)}


def validation_data(recipe: Recipe) -> Validation:
    """Cut out the frames that the recipe's dataset is tested on, without augmentation."""
    data = recipe.data_options
    size, center = data['size'], data['center']
    frames = open_frames('test', data['dataset'], data.get('folder'), center, data.get('options'))
    cut, cubes = np.empty((len(frames), size, size), np.float32), []
    for crop, frame in zip(cut, frames):
        cube = Cube(hand_center(frame, center), frame.half)
        crop[:] = cube.cut(frame.depth, frame.camera, size)
        cubes.append(cube)
    return Validation(cut, frames.joints, tuple(cubes))


def validate(network: nn.Module, data: Validation) -> dict[str, float]:
    """Mean joint error in mm, and the share of frames whose worst joint is within 20 mm, as papers have it."""
    estimates, _ = depth_pose.estimate(network, data.crops)
    found = np.stack([cube.to_camera(joints) for cube, joints in zip(data.cubes, estimates)])
    errors = 1000 * np.linalg.norm(found - data.joints, axis=2)
    return {
        'mean_mm': round(float(errors.mean()), 3),
        'median_mm': round(float(np.median(errors)), 3),
        'within_20mm_percent': round(100 * float((errors.max(1) <= 20).mean()), 2),
    }


#: Figure by which the best weights are chosen.
BEST_BY = 'mean_mm'


def calibrate(network: nn.Module, recipe: Recipe) -> dict[str, list[float]]:
    """Nothing is calibrated: a benchmark's network is scored, not shipped to the tracker."""
    return {}
