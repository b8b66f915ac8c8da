"""Training of the centre refinement network: its data, validation set and measures."""

from __future__ import annotations

from typing import Any, Iterator

import numpy as np
import torch
from torch import Tensor, nn

from hand_pose_ros.localization.refiner import REFINER_HALF
from training.pose_task import DATA, VALIDATION_SEED

VALIDATION_CROPS = 4096

#: What the manifest says of the network.
TASK = 'centre'
INPUT = 'a cube of 0.32 m around a rough centre; depth in [-1, 1], background and holes 1'
OUTPUT = {'refinement': '(batch, 5) offset u, v, z to the hand\'s centre in half sides, logarithm of the hand\'s size '
                        'in half sides, log odds that a hand is there'}


def crops(seed: int, batch: int, people: int = 256, people_seed: int = 11, **options: Any) -> Iterator[tuple[np.ndarray, ...]]:
    """Endless batches: see :func:`training.synthesis.surroundings.refiner_batches`, which takes the options."""
    from training.synthesis.people import draw_people
    from training.synthesis.surroundings import refiner_batches
    return refiner_batches(draw_people(people, np.random.default_rng(people_seed)), seed, batch, **options)


def network_input(data: list[Tensor]) -> tuple[Tensor, Tensor]:
    """What the loss takes, from a batch of data."""
    return data[0][:, None].contiguous(memory_format=torch.channels_last), data[1]


def validation_data(recipe: dict[str, Any]) -> list[tuple[np.ndarray, np.ndarray]]:
    """Two fixed sets of crops of people that training never sees: mostly about hands, and where hands are searched for.

    Half of the second one's pictures show a person and seldom a hand.
    """
    return [next(crops(VALIDATION_SEED + 1, VALIDATION_CROPS, people=48, people_seed=VALIDATION_SEED + 1, **options))
            for options in ({}, {'elsewhere': 0.5, 'proposed': 1.0})]


def presence_wrong(output: np.ndarray, labels: np.ndarray) -> float:
    """Percentage of crops with a label of presence whose presence is told wrongly."""
    known = labels[:, 4] >= 0
    return round(100 * float(((output[:, 4] > 0) != (labels[:, 4] > 0))[known].mean()), 2)


@torch.no_grad()
def validate(network: nn.Module, data: list[tuple[np.ndarray, np.ndarray]]) -> dict[str, float]:
    """Centre error in mm and size error on hands; share of wrong presence on both sets."""
    out, searched = (network(torch.from_numpy(crop[:, None])).numpy() for crop, _ in data)
    labels = data[0][1]
    hand = labels[:, 4] == 1
    off = 1000 * REFINER_HALF * np.linalg.norm(out[hand, :3] - labels[hand, :3], axis=1)
    return {'centre_mm': round(float(off.mean()), 2), 'centre_median_mm': round(float(np.median(off)), 2),
            'size_percent': round(100 * float(np.abs(out[hand, 3] - labels[hand, 3]).mean()), 2),
            'presence_wrong_percent': presence_wrong(out, labels),
            'searched_wrong_percent': presence_wrong(searched, data[1][1])}


#: Figure by which the best weights are chosen.
CHOOSE_BY = 'centre_mm'


def calibrate(network: nn.Module, recipe: dict[str, Any]) -> dict[str, float]:
    """This network's outputs need no calibration."""
    return {}
