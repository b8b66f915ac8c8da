"""NYU Hand Pose Dataset (Tompson et al., "Real-Time Continuous Pose Recovery of Human Hands Using Convolutional
Networks", ACM Transactions on Graphics 2014).

``train/`` and ``test/`` hold ``joint_data.mat`` and ``depth_<view>_<frame>.png``, views 1 to 3 and frames from 1. A PNG
holds millimeters, the high byte in green and the low byte in blue. In ``joint_xyz`` (view, frame, 36, 3) y points up.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from hand_pose_ros.imaging.compressed import decode_color
from hand_pose_ros.io.benchmarks import find_benchmark
from training.datasets.frames import Dataset, DatasetError, check_known, read_centers, read_image
from training.datasets.matlab import read_variable

BENCHMARK = find_benchmark('nyu')

SOURCE = f'{BENCHMARK.title}, {BENCHMARK.home}'

VIEWS = (1, 2, 3)

#: Test frames of the first of the two test subjects.
FIRST_SUBJECT = 2440


def read_depth(path: Path) -> np.ndarray:
    """Read an image: (480, 640) millimeters; raises DatasetError where it is missing or damaged."""
    image = read_image(path, SOURCE, decode_color).astype(np.int32)
    return image[..., 1] << 8 | image[..., 0]


def _read_joints(path: Path) -> np.ndarray:
    joints = read_variable(path, 'joint_xyz', SOURCE)
    if joints.ndim != 4 or joints.shape[0] != len(VIEWS) or joints.shape[2:] != (BENCHMARK.annotated, 3):
        raise DatasetError(
            f'{path}: joint_xyz has shape {joints.shape} instead of ({len(VIEWS)}, frames, '
            f'{BENCHMARK.annotated}, 3); get it again from {SOURCE}'
        )
    return joints


def open_nyu(folder: Path, split: str, centers: bool = False, views: tuple[int, ...] = (1,)) -> Dataset:
    """Open a split.

    Args:
        folder: holds ``train/`` and ``test/``.
        split: ``train`` (one subject) or ``test`` (two).
        centers: read the hand centers that V2V-PoseNet's authors publish; they exist for view 1 alone.
        views: cameras to take; papers use the first one alone, which sees the hand from the front.

    Raises:
        DatasetError: a file is missing or damaged.

    """
    check_known('split', split, ('train', 'test'))
    for view in views:
        check_known('view', view, VIEWS)
    every = _read_joints(folder / split / 'joint_data.mat')
    frames = range(1, every.shape[1] + 1)
    names = [f'{split}/depth_{view}_{frame:07d}.png' for view in views for frame in frames]
    subjects = ['train' if split == 'train' else f'test_{1 if frame <= FIRST_SUBJECT else 2}' for frame in frames]
    chosen = every[[view - 1 for view in views]][:, :, BENCHMARK.source].reshape(-1, len(BENCHMARK.joints), 3)
    joints = (chosen * BENCHMARK.axes / 1000).astype(np.float32)
    found = None
    if centers:
        if tuple(views) != VIEWS[:1]:
            raise DatasetError(f'centers of NYU are published for view 1 alone, not for views {views}')
        found = read_centers(folder / f'center_{split}_refined.txt', BENCHMARK, len(names))
    return Dataset(
        BENCHMARK, folder, np.array(names), np.array(subjects * len(views)), read_depth, joints, centers=found
    )
