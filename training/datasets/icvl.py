"""ICVL Hand Posture Dataset (Tang et al., "Latent Regression Forest: Structured Estimation of 3D Articulated Hand
Posture", CVPR 2014).

``Training/labels.txt``, ``Testing/test_seq_1.txt`` and ``Testing/test_seq_2.txt`` hold a line a frame: the image under
``Depth/`` beside the file, then u v (pixels) d (millimeters) of 16 joints. An image is a 16-bit PNG of millimeters.
The training images are 22,000 original ones, in folders named by date, and rotated copies, in folders named by angle.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from hand_pose_ros.imaging.compressed import decode_depth_png
from hand_pose_ros.io.benchmarks import find_benchmark
from training.datasets.frames import Dataset, check_known, read_centers, read_image, read_rows

BENCHMARK = find_benchmark('icvl')

SOURCE = f'{BENCHMARK.title}, {BENCHMARK.home}'

LABELS = {'train': ('Training/labels.txt',), 'test': ('Testing/test_seq_1.txt', 'Testing/test_seq_2.txt')}


def read_depth(path: Path) -> np.ndarray:
    """Read an image: (240, 320) millimeters; raises DatasetError where it is missing or damaged."""
    return read_image(path, SOURCE, decode_depth_png)


def open_icvl(folder: Path, split: str, centers: bool = False, rotated: bool = False) -> Dataset:
    """Open a split.

    Args:
        folder: holds ``Training/`` and ``Testing/``.
        split: ``train`` or ``test``.
        centers: read the hand centers that V2V-PoseNet's authors publish.
        rotated: train on the rotated copies too.

    Raises:
        DatasetError: a file is missing or damaged.

    """
    check_known('split', split, LABELS)
    names, subjects, labels = [], [], []
    for file in LABELS[split]:
        images, numbers = read_rows(folder / file, 3 * len(BENCHMARK.joints), SOURCE)
        names += [f'{Path(file).parent}/Depth/{image}' for image in images]
        subjects += [Path(image).parent.name for image in images]
        labels.append(numbers)
    uvd = np.concatenate(labels).reshape(-1, len(BENCHMARK.joints), 3)
    joints = BENCHMARK.camera.unproject(uvd[..., :2], uvd[..., 2] / 1000).astype(np.float32)
    found = read_centers(folder / f'center_{split}_refined.txt', BENCHMARK, len(names)) if centers else None
    dataset = Dataset(BENCHMARK, folder, np.array(names), np.array(subjects), read_depth, joints, centers=found)
    if split == 'test' or rotated:
        return dataset
    # Folders of original images have a date for a name, twelve digits; those of copies an angle.
    return dataset.select(np.array([len(name.split('/')[2]) > 6 for name in names]))
