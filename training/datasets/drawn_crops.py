"""Color crops that were drawn beforehand: renders are dear, and a short training learns from them as fast as it reads.

A folder holds an array a part of the batch that ``training.tasks.color_pose`` describes, but for the masks, which no
loss asks for: ``images.npy``, ``joints.npy``, ``points.npy``, ``sizes.npy``, ``surfaces.npy``. ``python -m training
draw`` writes it.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.lib.format import open_memmap

from training.datasets.frames import DatasetError

#: The arrays, and which parts of a batch they are.
PARTS = {'images': 0, 'joints': 1, 'points': 2, 'sizes': 4, 'surfaces': 5}


def write_crops(folder: Path, batches: Iterator[tuple[np.ndarray, ...]], count: int) -> Iterator[int]:
    """Write ``count`` crops of batches into a folder; yields how many are written so far."""
    folder.mkdir(parents=True, exist_ok=True)
    arrays: dict[str, np.ndarray] = {}
    done = 0
    while done < count:
        batch = next(batches)
        if not arrays:
            arrays = {
                name: open_memmap(folder / f'{name}.npy', 'w+', batch[part].dtype, (count, *batch[part].shape[1:]))
                for name, part in PARTS.items()
            }
        taken = min(len(batch[0]), count - done)
        for name, part in PARTS.items():
            arrays[name][done : done + taken] = batch[part][:taken]
        done += taken
        yield done


def read_crops(folder: Path) -> dict[str, np.ndarray]:
    """Open the arrays of a folder, which stay on disk; raises DatasetError where one is missing or damaged."""
    try:
        arrays = {name: np.load(folder / f'{name}.npy', mmap_mode='r') for name in PARTS}
    except (OSError, ValueError) as error:
        raise DatasetError(
            f'{folder} holds no drawn crops ({error}): python -m training draw RECIPE {folder}'
        ) from error
    if len({len(array) for array in arrays.values()}) > 1:
        raise DatasetError(f'the arrays in {folder} are of different lengths; draw them again')
    return arrays
