"""HANDS 2017 challenge, single frame task (Yuan et al., "The 2017 Hands in the Million Challenge on 3D Hand Pose
Estimation", 2017; frames of BigHand2.2M and First-Person Hand Action).

``training/Training_Annotation.txt`` holds a line a frame: the image in ``training/images/``, then x y z (millimeters,
camera optical frame) of 21 joints. The labels of the test frames are kept by the organizers: ``frame/BoundingBox.txt``
holds the image in ``frame/images/`` and left, top, right, bottom of the hand. Images are 16-bit PNGs of millimeters.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from hand_pose_ros.imaging.compressed import decode_depth_png
from hand_pose_ros.io.benchmarks import find_benchmark
from training.datasets.frames import Dataset, check_known, read_centers, read_image, read_rows

BENCHMARK = find_benchmark('hands17')

SOURCE = f'{BENCHMARK.title}, {BENCHMARK.home}'

#: Every so many labeled frames, one is kept from training and validated on.
VALIDATION_EVERY = 100


def read_depth(path: Path) -> np.ndarray:
    """Read an image: (480, 640) millimeters; raises DatasetError where it is missing or damaged."""
    return read_image(path, SOURCE, decode_depth_png)


def open_hands17(folder: Path, split: str, centers: bool = False) -> Dataset:
    """Open a split.

    Args:
        folder: holds ``training/`` and ``frame/``.
        split: ``train``; ``validation``, labeled frames that are not among those; or ``test``, which has boxes and
            no joints.
        centers: read the hand centers that V2V-PoseNet's authors publish.

    Raises:
        DatasetError: a file is missing or damaged.

    """
    check_known('split', split, ('train', 'validation', 'test'))
    if split == 'test':
        images, boxes = read_rows(folder / 'frame/BoundingBox.txt', 4, SOURCE)
        files, joints = [f'frame/images/{image}' for image in images], None
    else:
        images, numbers = read_rows(folder / 'training/Training_Annotation.txt', 3 * len(BENCHMARK.joints), SOURCE)
        files, boxes = [f'training/images/{image}' for image in images], None
        joints = numbers.reshape(-1, len(BENCHMARK.joints), 3) * np.float32(BENCHMARK.axes) / 1000
    file = folder / f'center_{"test" if split == "test" else "train"}_refined.txt'
    found = read_centers(file, BENCHMARK, len(files)) if centers else None
    dataset = Dataset(BENCHMARK, folder, np.array(files), np.full(len(files), ''), read_depth, joints, boxes, found)
    if split == 'test':
        return dataset
    kept = np.arange(len(files)) % VALIDATION_EVERY == VALIDATION_EVERY - 1
    return dataset.select(kept if split == 'validation' else ~kept)
