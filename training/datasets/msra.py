"""MSRA Hand Gesture database (Sun et al., "Cascaded Hand Pose Regression", CVPR 2015).

``P0`` to ``P8`` are subjects, each with a folder for each of 17 gestures. A folder holds ``joint.txt``, the number of
frames and then x y z (millimeters; y up, z towards the viewer) of 21 joints a line, and ``000000_depth.bin`` onwards:
width, height, left, top, right, bottom as int32, then the hand's box as rows of float32 millimeters, 0 beside the hand.
"""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np

from hand_pose_ros.io.benchmarks import find_benchmark
from training.datasets.frames import Dataset, DatasetError, check_known, read_centers, read_file, read_rows

BENCHMARK = find_benchmark('msra')

SOURCE = f'{BENCHMARK.title}, {BENCHMARK.home}'

SUBJECTS = tuple(f'P{i}' for i in range(9))

GESTURES = ('1', '2', '3', '4', '5', '6', '7', '8', '9', 'I', 'IP', 'L', 'MP', 'RP', 'T', 'TIP', 'Y')

_HEADER = struct.Struct('<6i')


def read_depth(path: Path) -> np.ndarray:
    """Read an image: (240, 320) millimeters, 0 outside the hand.

    Raises:
        DatasetError: the file is missing, cut off, or its header makes no sense.

    """
    data = read_file(path, SOURCE)
    if len(data) < _HEADER.size:
        raise DatasetError(
            f'{path} is cut off: {len(data)} bytes, its header alone has {_HEADER.size}; unpack it again from {SOURCE}'
        )
    width, height, left, top, right, bottom = _HEADER.unpack_from(data)
    if not (0 <= left < right <= width <= 4096 and 0 <= top < bottom <= height <= 4096):
        raise DatasetError(
            f'{path}: a box from ({left}, {top}) to ({right}, {bottom}) does not lie in an image of '
            f'{width}x{height}; this is no image of the database, unpack it again from {SOURCE}'
        )
    expected = _HEADER.size + 4 * (right - left) * (bottom - top)
    if len(data) != expected:
        raise DatasetError(
            f'{path} has {len(data)} bytes, but its header tells of {expected}: it is cut off; '
            f'unpack it again from {SOURCE}'
        )
    depth = np.zeros((height, width), np.float32)
    depth[top:bottom, left:right] = np.frombuffer(data, '<f4', offset=_HEADER.size).reshape(bottom - top, right - left)
    return depth


def _read_joints(path: Path) -> np.ndarray:
    first = read_file(path, SOURCE).split(b'\n', 1)[0].strip()
    if not first.isdigit():
        raise DatasetError(
            f'{path} begins with {first[:40]!r} instead of the number of frames; get it again from {SOURCE}'
        )
    _, labels = read_rows(path, 3 * len(BENCHMARK.joints), SOURCE, named=False, skip=1)
    if len(labels) != int(first):
        raise DatasetError(
            f'{path} tells of {int(first)} frames and holds {len(labels)}: it is cut off; get it again from {SOURCE}'
        )
    return labels


def open_msra(folder: Path, split: str, centers: bool = False, subject: int = 0) -> Dataset:
    """Open a split: the database has none of its own, papers leave one subject out and average over all nine.

    Args:
        folder: holds ``P0`` to ``P8``.
        split: ``train`` for eight subjects or ``test`` for the one left out.
        centers: read the hand centers that V2V-PoseNet's authors publish.
        subject: the one left out.

    Raises:
        DatasetError: there is no such subject, or a file is missing or damaged.

    """
    check_known('split', split, ('train', 'test'))
    check_known('subject', subject, range(len(SUBJECTS)))
    names, subjects, labels = [], [], []
    for person in SUBJECTS:
        if (person == SUBJECTS[subject]) != (split == 'test'):
            continue
        for gesture in GESTURES:
            numbers = _read_joints(folder / person / gesture / 'joint.txt')
            labels.append(numbers)
            names += [f'{person}/{gesture}/{frame:06d}_depth.bin' for frame in range(len(numbers))]
            subjects += [person] * len(numbers)
    joints = np.concatenate(labels).reshape(-1, len(BENCHMARK.joints), 3) * np.float32(BENCHMARK.axes) / 1000
    file = folder / f'center_{split}_{subject}_refined.txt'
    found = read_centers(file, BENCHMARK, len(names)) if centers else None
    return Dataset(BENCHMARK, folder, np.array(names), np.array(subjects), read_depth, joints, centers=found)
