"""Readers of the depth and colour benchmarks' official files, and the crops that they feed to training."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from training.datasets.color_frames import ColorDataset
from training.datasets.dexter import open_dexter
from training.datasets.frames import Dataset, DatasetError, check_known
from training.datasets.freihand import open_freihand
from training.datasets.hands17 import open_hands17
from training.datasets.icvl import open_icvl
from training.datasets.msra import open_msra
from training.datasets.nyu import open_nyu
from training.datasets.rhd import open_rhd
from training.datasets.stb import open_stb

OPENERS = {'nyu': open_nyu, 'icvl': open_icvl, 'msra': open_msra, 'hands17': open_hands17}
COLOR_OPENERS = {'freihand': open_freihand, 'rhd': open_rhd, 'stb': open_stb, 'dexter': open_dexter}

#: Environment variable of the folder that holds the datasets, each in a folder of its name; ``datasets`` without it.
FOLDER = 'HAND_POSE_DATASETS'


def open_dataset(name: str, split: str, folder: str | Path | None = None, **options: Any) -> Dataset:
    """Open a split of a dataset.

    Args:
        name: a key of ``OPENERS``.
        split: ``train``, ``test``, and for HANDS17 ``validation``.
        folder: the dataset's own folder; by default the one of its name, see ``FOLDER``.
        options: what the dataset's opener takes beside.

    Raises:
        DatasetError: there is no such dataset, folder or split, or a file of it is missing or damaged.

    """
    return _open(OPENERS, name, split, folder, options)


def open_color_dataset(name: str, split: str, folder: str | Path | None = None, **options: Any) -> ColorDataset:
    """Open a split of a colour dataset, a key of ``COLOR_OPENERS``; see :func:`open_dataset`."""
    return _open(COLOR_OPENERS, name, split, folder, options)


def _open(openers: Mapping[str, Callable[..., Any]], name: str, split: str, folder: str | Path | None,
          options: dict[str, Any]) -> Any:
    check_known('dataset', name, openers)
    folder = Path(folder) if folder else Path(os.environ.get(FOLDER, 'datasets')) / name
    if not folder.is_dir():
        raise DatasetError(f'no folder {folder} for dataset {name}: training/datasets/README.md says where to get it '
                           f'and how to lay it out; ${FOLDER} names the folder that holds all of them')
    return openers[name](folder, split, **options)
