"""What the hand detector has in training: whole images with hands, and how well these are found."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from hand_pose_ros.detection.color import read_cells
from training import validation_sets
from training.datasets import dataset_folder
from training.recipe import Recipe
from training.tasks.color_pose import RENDERS_BESIDE, to_input
from training.tasks.pose_kinds import PoseShares, check_pose_shares
from training.tasks.protocol import Batch, DataSource

KIND = 'detector'
INPUT = 'image: a color image made to fit the square, black beside it; red, green, blue in [-1, 1]'
OUTPUTS = {
    'cells': "(batch, 7, 32, 32) log odds of a hand's center, and of a right hand where one is, place in the cell u, "
    "v, logarithm of half the square's side in half sides of the image, where the hand points u, v"
}
DATA = "renders of Anny (CC0 assets) by training/synthesis, and photographs: see the recipe and the model's card"
BEST_BY = 'missed_or_false_percent'

#: Score from which on a hand counts as found in validation.
LEAST = 0.3


@dataclass(frozen=True)
class PhotographValidation:
    """Photographs that are not learnt from, and renders: images (N, S, S, 3) and labels (N, hands, 7) of each."""

    photographs: tuple[np.ndarray, np.ndarray]
    renders: tuple[np.ndarray, np.ndarray]


def frames(
    seed: int,
    batch: int,
    people: int = 256,
    people_seed: int = 11,
    poses: PoseShares | None = None,
    elsewhere: float = 0.0,
    styles: float = 0.0,
) -> Iterator[Batch]:
    """Endless training batches: see :func:`training.synthesis.detector_frames.frame_batches`."""
    from training.synthesis.detector_frames import frame_batches
    from training.synthesis.people import draw_people
    from training.synthesis.poses import KINDS

    crowd = draw_people(people, np.random.default_rng(people_seed))
    return frame_batches(crowd, seed, batch, poses or KINDS, elsewhere=elsewhere, styles=styles)


def photographs(
    seed: int,
    batch: int,
    people: int = 256,
    people_seed: int = 11,
    folder: str | None = None,
    real: float = 0.5,
    negatives: float = 0.3,
    held_out: list[str] | None = None,
    elsewhere: float = 0.0,
    styles: float = 0.0,
) -> Iterator[Batch]:
    """Endless training batches of photographs and renders: see
    :func:`training.datasets.photograph_frames.mixed_batches`.
    """
    from training.datasets.photograph_frames import mixed_batches
    from training.synthesis.people import draw_people

    crowd = draw_people(people, np.random.default_rng(people_seed))
    where = dataset_folder('photographs', folder)
    rendered = {'elsewhere': elsewhere, 'styles': styles}
    return mixed_batches(crowd, where, seed, batch, real, negatives, held_out or [], **rendered)


SOURCES = {
    'renders': DataSource(frames, check=check_pose_shares),
    'photographs': DataSource(photographs),
}


@lru_cache(maxsize=1)
def validation_frames() -> tuple[np.ndarray, np.ndarray]:
    """Validation images and labels."""
    return validation_sets.load(validation_sets.detector())


@lru_cache(maxsize=1)
def validation_photographs(folder: Path, held_out: tuple[str, ...]) -> PhotographValidation:
    """The sets and collections that are held out, and the first of the validation renders."""
    from training.datasets import photograph_frames
    from training.datasets.photographs import read_photographs

    chosen = [one for one in read_photographs(folder, held_out, testing=True) if photograph_frames.is_usable(one)]
    images, labels = validation_frames()
    renders = images[:RENDERS_BESIDE], labels[:RENDERS_BESIDE]
    return PhotographValidation(photograph_frames.validation_frames(chosen), renders)


def validation_data(recipe: Recipe) -> tuple[np.ndarray, np.ndarray] | PhotographValidation:
    """The fixed validation set of renders; with photographs both."""
    if recipe.data == 'photographs':
        options = recipe.data_options
        return validation_photographs(
            dataset_folder('photographs', options.get('folder')), tuple(options.get('held_out') or ())
        )
    return validation_frames()


def network_input(data: list[Tensor]) -> tuple[Tensor, Tensor, Tensor]:
    """What the loss takes, from a batch of data: images, labels and surfaces."""
    return to_input(data[0]), *data[1:]


def compare(found: list[list[tuple]], labels: np.ndarray, least: float = LEAST) -> dict[str, float]:
    """Measure detections (a list for each image, as :func:`read_cells` gives them) by labels (B, N, 7).

    Returns:
        Hands missed and false ones in percent of all, the errors of side in percent, of center and size in percent of
        the hand's half side, of direction in degrees, and the mean of missed and false (``missed_or_false_percent``).

    """
    hands = missed = false = wrong = 0
    center_errors, size_errors, turns = [], [], []
    for detections, rows in zip(found, labels):
        seen = [one for one in detections if one[4] >= least]
        taken: set[int] = set()
        for u, v, half, x, y, right, weight in rows:
            near = [i for i, one in enumerate(seen) if i not in taken and np.hypot(*(one[0] - (u, v))) < 0.6 * half]
            if weight < 0:
                continue
            taken.update(near[:1])
            if weight == 0:
                continue
            hands += 1
            if not near:
                missed += 1
                continue
            one = seen[near[0]]
            wrong += (one[3] == 'right') != bool(right)
            center_errors.append(np.hypot(*(one[0] - (u, v))) / half)
            size_errors.append(abs(np.log(one[1] / half)))
            turns.append(abs(np.arctan2(x * one[2][1] - y * one[2][0], one[2] @ (x, y))))
        false += len(seen) - len(taken)
    found_hands = max(hands - missed, 1)
    figures = {
        'missed_percent': missed / hands,
        'false_percent': false / hands,
        'side_wrong_percent': wrong / found_hands,
        'center_percent': float(np.mean(center_errors)) if center_errors else 1.0,
        'size_percent': float(np.mean(size_errors)) if size_errors else 1.0,
        BEST_BY: (missed + false) / 2 / hands,
    }
    turn = float(np.degrees(np.median(turns))) if turns else 180.0
    return {
        **{name: round(100 * figure, 2) for name, figure in figures.items()},
        'direction_median_deg': round(turn, 2),
    }


@torch.no_grad()
def validate(
    network: nn.Module, data: tuple[np.ndarray, np.ndarray] | PhotographValidation, batch: int = 64
) -> dict[str, float]:
    """Measure on the validation images, see :func:`compare`; on photographs too where there are some, as
    ``photographs_...``.
    """
    if isinstance(data, PhotographValidation):
        seen = validate(network, data.photographs, batch)
        return {
            **{f'photographs_{name}': value for name, value in seen.items()},
            **validate(network, data.renders, batch),
        }
    images, labels = data
    device = next(network.parameters()).device
    found = []
    for i in range(0, len(images), batch):
        cells = network(to_input(torch.from_numpy(images[i : i + batch]).to(device))).cpu().numpy()
        found += [read_cells(one, LEAST) for one in cells]
    return compare(found, labels)


def calibrate(network: nn.Module, recipe: Recipe) -> dict[str, list[float]]:
    """Nothing: scores are probabilities as they are."""
    return {}
