"""Readers of the depth and color benchmarks' official files, and the crops that they feed to training.

A reader is a function ``open_NAME(folder, split, **options)`` that gives a :class:`training.datasets.frames.Dataset`
(depth) or a :class:`training.datasets.color_frames.ColorDataset`.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from training.datasets.color_frames import ColorDataset
from training.datasets.frames import Dataset, DatasetError, check_known
from training.options import check_options, parameters_of
from training.recipe import Options
from training.registry import Registry

DATASETS: Registry[Callable[..., Dataset]] = Registry(
    'depth dataset',
    {
        'nyu': 'training.datasets.nyu:open_nyu',
        'icvl': 'training.datasets.icvl:open_icvl',
        'msra': 'training.datasets.msra:open_msra',
        'hands17': 'training.datasets.hands17:open_hands17',
    },
)
COLOR_DATASETS: Registry[Callable[..., ColorDataset]] = Registry(
    'color dataset',
    {
        'freihand': 'training.datasets.freihand:open_freihand',
        'rhd': 'training.datasets.rhd:open_rhd',
        'stb': 'training.datasets.stb:open_stb',
        'dexter': 'training.datasets.dexter:open_dexter',
    },
)

#: Environment variable of the folder that holds the datasets, each in a folder of its name; ``datasets`` without it.
FOLDER = 'HAND_POSE_DATASETS'


def open_dataset(name: str, split: str, folder: str | Path | None = None, **options: object) -> Dataset:
    """Open a split of a dataset.

    Args:
        name: of ``DATASETS``, or the place of a reader of one's own, ``package.module:open_mine``, whose dataset is
            called ``mine``.
        split: ``train``, ``test``, and for HANDS17 ``validation``.
        folder: the dataset's own folder; by default the one of its name, see ``FOLDER``.
        options: what the dataset's reader takes besides.

    Raises:
        DatasetError: there is no such dataset, folder or split, or a file of it is missing or damaged.

    """
    return _reader(DATASETS, name)(dataset_folder(name, folder), split, **options)


def open_color_dataset(name: str, split: str, folder: str | Path | None = None, **options: object) -> ColorDataset:
    """Open a split of a color dataset, of ``COLOR_DATASETS``; see :func:`open_dataset`."""
    return _reader(COLOR_DATASETS, name)(dataset_folder(name, folder), split, **options)


def check_dataset_options(datasets: Registry, name: str, options: Options, where: str) -> None:
    """Refuse a dataset that there is not, and options that its reader does not take; raises TrainingError."""
    known = parameters_of([datasets.load(name)])
    check_options(options, {key: value for key, value in known.items() if key not in ('folder', 'split')}, where)


def _reader(datasets: Registry, name: str) -> Callable:
    if ':' not in name:
        check_known('dataset', name, datasets)
    return datasets.load(name)


def dataset_folder(name: str, folder: str | Path | None = None) -> Path:
    """The folder of a dataset: the one that is given, or the one of its name, see ``FOLDER``; raises DatasetError."""
    short = name.rpartition(':')[2].removeprefix('open_')
    folder = Path(folder) if folder else Path(os.environ.get(FOLDER, 'datasets')) / short
    if not folder.is_dir():
        raise DatasetError(
            f'no folder {folder} for dataset {name}: training/datasets/README.md says where to get it '
            f'and how to lay it out; ${FOLDER} names the folder that holds all of them'
        )
    return folder
