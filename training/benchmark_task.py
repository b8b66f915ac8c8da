"""Training of a pose network on a benchmark: crops of its frames, and the papers' measure on its test frames."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Iterator

import numpy as np
from torch import nn

from training import pose_task
from training.datasets import open_dataset
from training.datasets.crops import Augmentation, Cube, draw_batches, hand_centre, with_centre
from training.datasets.frames import Dataset

#: What the manifest says of the network; the tracker takes no model of this task, its joints are the benchmark's.
TASK = 'benchmark'
INPUT = 'the cube around a hand as the benchmark\'s papers cut it; depth in [-1, 1], background and holes 1'
OUTPUT = {'joints': '(batch, J, 3) cube coordinates u, v, z of the benchmark\'s joints, in its order',
          'spread': '(batch, J) spread or expected error of a joint, in half sides of the cube',
          'right': '(batch,) not trained'}
DATA = 'a benchmark\'s training frames, see the recipe; their terms are in training/datasets/README.md'

#: What the loss takes, from a batch of data.
network_input = pose_task.network_input

#: Split that a dataset is evaluated on where that is not ``test``: HANDS17 keeps the labels of its own.
EVALUATED = {'hands17': 'validation'}


@dataclass(frozen=True)
class Validation:
    """Test frames, cut out.

    Attributes:
        crops: (N, S, S) float32.
        joints: (N, J, 3) metres, camera optical frame.
        cubes: N cubes that the crops are of.

    """

    crops: np.ndarray
    joints: np.ndarray
    cubes: tuple[Cube, ...]


def _open(split: str, dataset: str, folder: str | None, centre: str, options: dict[str, Any] | None) -> Dataset:
    return with_centre(open_dataset(dataset, split, folder, centres=centre == 'published', **options or {}))


def crops(seed: int, batch: int, dataset: str, size: int, centre: str, folder: str | None = None,
          augmentation: dict[str, Any] | None = None, options: dict[str, Any] | None = None
          ) -> Iterator[tuple[np.ndarray, ...]]:
    """Endless training batches of a dataset.

    Args:
        seed: the same one gives the same batches.
        batch: frames in a batch.
        dataset: its name, see :func:`training.datasets.open_dataset`.
        size: pixels along a side of a crop.
        centre: how a hand's centre is found, see :func:`training.datasets.crops.hand_centre`.
        folder: the dataset's own folder, where it is not in the usual place.
        augmentation: random changes, see :class:`training.datasets.crops.Augmentation`; none by default.
        options: what the dataset's reader takes beside, as ``subject`` for MSRA.

    Raises:
        DatasetError: the dataset cannot be read.

    """
    frames = _open('train', dataset, folder, centre, options)
    return draw_batches(frames, seed, batch, size, centre, Augmentation(**augmentation or {}))


def validation_data(recipe: dict[str, Any]) -> Validation:
    """Cut out the frames that the recipe's dataset is tested on, without augmentation."""
    data = recipe['data_options']
    size, centre = data['size'], data['centre']
    frames = _open(EVALUATED.get(data['dataset'], 'test'), data['dataset'], data.get('folder'), centre,
                   data.get('options'))
    cut, cubes = np.empty((len(frames), size, size), np.float32), []
    for crop, frame in zip(cut, frames):
        cube = Cube(hand_centre(frame, centre), frame.half)
        crop[:] = cube.cut(frame.depth, frame.camera, size)
        cubes.append(cube)
    return Validation(cut, frames.joints, tuple(cubes))


def validate(network: nn.Module, data: Validation) -> dict[str, float]:
    """Mean joint error in mm, and the share of frames whose worst joint is within 20 mm, as papers have it."""
    estimates, _ = pose_task.estimate(network, data.crops)
    found = np.stack([cube.to_camera(joints) for cube, joints in zip(data.cubes, estimates)])
    errors = 1000 * np.linalg.norm(found - data.joints, axis=2)
    return {'mean_mm': round(float(errors.mean()), 3), 'median_mm': round(float(np.median(errors)), 3),
            'within_20mm_percent': round(100 * float((errors.max(1) <= 20).mean()), 2)}


#: Figure by which the best weights are chosen.
CHOOSE_BY = 'mean_mm'


def calibrate(network: nn.Module, recipe: dict[str, Any]) -> dict[str, list[float]]:
    """Nothing is calibrated: a benchmark's network is scored, not shipped to the tracker."""
    return {}
