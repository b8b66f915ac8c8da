"""FreiHAND (Zimmermann et al., "FreiHAND: A Dataset for Markerless Capture of Hand Pose and Shape from Single RGB
Images", ICCV 2019), version 2.

``training_K.json``, ``training_xyz.json``, ``training_verts.json`` and ``training_mano.json`` hold a list entry for
each of 32,560 hands: camera matrix, 21 joints and 778 vertices in meters, camera optical frame, and MANO's 61 numbers.
``training/rgb/%08d.jpg`` holds every hand four times, first all before the green screen, then all with each of three
kinds of other backgrounds; ``training/mask/%08d.jpg`` once. ``evaluation`` is the same without other backgrounds and
without masks. Hands are right ones; images 224 x 224.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from hand_pose_ros.io.benchmarks import find_benchmark
from training.datasets.color_frames import ColorDataset, decode_image
from training.datasets.frames import DatasetError, check_known, read_file, read_image

BENCHMARK = find_benchmark('freihand')

SOURCE = f'{BENCHMARK.title}, {BENCHMARK.home}'

#: The dataset's names of splits, by ours.
SPLITS = {'train': 'training', 'test': 'evaluation'}

#: Kinds of backgrounds in the order of the files: green screen, and three that were put in its place.
BACKGROUNDS = ('gs', 'hom', 'sample', 'auto')

#: Vertices of MANO.
VERTICES = 778


def read_mask(path: Path, side: str) -> np.ndarray:
    """Read a mask: (224, 224) bool; raises DatasetError where it is missing or damaged."""
    # JPEG leaves neither 0 nor 255 as they were.
    return read_image(path, SOURCE, decode_image)[..., 0] > 127


def _read_list(path: Path, shape: tuple[int, ...]) -> np.ndarray:
    """Read a file of one array of ``shape`` for each hand: (N, *shape) float32."""
    try:
        values = np.array(json.loads(read_file(path, SOURCE)), np.float32)
    except (ValueError, TypeError) as error:
        raise DatasetError(f'{path} is damaged or cut off ({error}); get it again from {SOURCE}') from error
    if values.shape[1:] != shape or not len(values):
        raise DatasetError(
            f'{path} holds an array of shape {values.shape} instead of (hands, '
            f'{", ".join(map(str, shape))}); get it again from {SOURCE}'
        )
    return values


def open_freihand(
    folder: Path, split: str, backgrounds: tuple[str, ...] = ('gs',), vertices: bool = False
) -> ColorDataset:
    """Open a split.

    Args:
        folder: holds ``training/`` and ``evaluation/`` and the JSON files.
        split: ``train`` or ``test``.
        backgrounds: kinds of ``BACKGROUNDS``, one after the other; ``test`` has ``gs`` alone (and is no green screen).
        vertices: read the meshes too; they take about 300 MB.

    Raises:
        DatasetError: a file is missing or damaged.

    """
    check_known('split', split, SPLITS)
    name = SPLITS[split]
    for kind in backgrounds:
        check_known('background', kind, BACKGROUNDS if split == 'train' else BACKGROUNDS[:1])
    matrices = _read_list(folder / f'{name}_K.json', (3, 3))
    joints = _read_list(folder / f'{name}_xyz.json', (len(BENCHMARK.joints), 3))
    meshes = _read_list(folder / f'{name}_verts.json', (VERTICES, 3)) if vertices else None
    count = len(joints)
    for what, values in (('K', matrices), ('verts', meshes)):
        if values is not None and len(values) != count:
            raise DatasetError(
                f'{folder / f"{name}_{what}.json"} tells of {len(values)} hands, {name}_xyz.json of '
                f'{count}; get them again from {SOURCE}'
            )
    copies = [BACKGROUNDS.index(kind) for kind in backgrounds]
    images = [f'{name}/rgb/{copy * count + hand:08d}.jpg' for copy in copies for hand in range(count)]
    masks = None
    if split == 'train':
        masks = np.array([f'{name}/mask/{hand:08d}.jpg' for _ in copies for hand in range(count)])
    cameras = matrices[:, [0, 1, 0, 1], [0, 1, 2, 2]]

    def repeated(values: np.ndarray) -> np.ndarray:
        return np.concatenate([values] * len(copies))

    return ColorDataset(
        BENCHMARK,
        folder,
        SOURCE,
        224,
        224,
        np.array(images),
        np.full(len(images), 'right'),
        repeated(cameras),
        repeated(joints),
        masks=masks,
        read_mask=read_mask,
        vertices=None if meshes is None else repeated(meshes),
    )
