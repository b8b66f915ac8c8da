"""Stereo hand pose benchmark, STB (Zhang et al., "A Hand Pose Tracking Benchmark from Stereo Matching", ICIP 2017).

``images/B1Counting/`` to ``images/B6Random/`` hold 1500 frames each of a stereo camera (``BB_left_0.png``,
``BB_right_0.png``) and of a depth camera (``SK_color_0.png``); ``labels/B1Counting_BB.mat`` and ``..._SK.mat`` hold
``handPara`` (3, 21, 1500) in millimeters, in the frame of the left camera and of the depth camera. Images are 640 x
480, all hands left. By custom B1 is tested on, B2 to B6 are trained on (Zimmermann and Brox, 2017).

Joint 0 is the palm's center, not the wrist. Others take the wrist to lie as far beyond it as the ring finger's knuckle
lies before it (Ge et al., "3D Hand Shape and Pose Estimation from a Single RGB Image", CVPR 2019): :func:`with_wrist`.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from hand_pose_ros.geometry.rotations import rotation_vector_to_matrix
from hand_pose_ros.io.benchmarks import find_benchmark
from training.datasets.color_frames import ColorDataset
from training.datasets.frames import DatasetError, check_known
from training.datasets.matlab import read_variable

BENCHMARK = find_benchmark('stb')

SOURCE = f'{BENCHMARK.title}, {BENCHMARK.home}'

#: Backgrounds by split; each has a sequence of counting and one of random poses.
SPLITS = {'train': (2, 3, 4, 5, 6), 'test': (1,)}

#: fx, fy, cx, cy of the cameras, pixels.
CAMERAS = {
    'BB_left': (822.79041, 822.79041, 318.47345, 250.31296),
    'BB_right': (822.79041, 822.79041, 318.47345, 250.31296),
    'SK_color': (607.92271, 607.88192, 314.78337, 236.42484),
}

#: Where a camera lies in its labels' frame: rotation vector in radians and translation in meters; a label is
#: rotation @ point + translation.
PLACES = {
    'BB_left': ((0, 0, 0), (0, 0, 0)),
    'BB_right': ((0, 0, 0), (0.120054, 0, 0)),
    'SK_color': ((0.00531, -0.01196, 0.00301), (-0.0240381, -0.0004563, -0.0012326)),
}


def _read_labels(path: Path) -> np.ndarray:
    """Joints (N, 21, 3) in meters."""
    labels = read_variable(path, 'handPara', SOURCE)
    if labels.ndim != 3 or labels.shape[:2] != (3, len(BENCHMARK.joints)):
        raise DatasetError(
            f'{path}: handPara has shape {labels.shape} instead of (3, {len(BENCHMARK.joints)}, frames); '
            f'get it again from {SOURCE}'
        )
    return labels.transpose(2, 1, 0) / 1000


def open_stb(folder: Path, split: str, camera: str = 'SK_color', wrist: bool = False) -> ColorDataset:
    """Open a split.

    Args:
        folder: holds ``images/`` and ``labels/``.
        split: ``train`` (B2 to B6) or ``test`` (B1).
        camera: ``SK_color``, ``BB_left`` or ``BB_right``.
        wrist: put the wrist in the place of the palm's center, see :func:`with_wrist`.

    Raises:
        DatasetError: a file is missing or damaged.

    """
    check_known('split', split, SPLITS)
    check_known('camera', camera, CAMERAS)
    rotation, translation = rotation_vector_to_matrix(PLACES[camera][0]), np.array(PLACES[camera][1])
    names, joints = [], []
    for background in SPLITS[split]:
        for kind in ('Counting', 'Random'):
            sequence = f'B{background}{kind}'
            labels = _read_labels(folder / 'labels' / f'{sequence}_{camera[:2]}.mat')
            names += [f'images/{sequence}/{camera}_{frame}.png' for frame in range(len(labels))]
            joints.append((labels - translation) @ rotation)
    dataset = ColorDataset(
        BENCHMARK,
        folder,
        SOURCE,
        640,
        480,
        np.array(names),
        np.full(len(names), 'left'),
        np.tile(CAMERAS[camera], (len(names), 1)),
        np.concatenate(joints).astype(np.float32),
    )
    return with_wrist(dataset) if wrist else dataset


def with_wrist(dataset: ColorDataset) -> ColorDataset:
    """Put the wrist in the place of the palm's center, as others do; joints then are all ours, in STB's order."""
    ring = BENCHMARK.joints.index('ring_mcp')
    joints = dataset.joints.copy()
    joints[:, 0] = 2 * joints[:, 0] - joints[:, ring]
    named = replace(dataset.benchmark, joints=('wrist', *BENCHMARK.joints[1:]))
    return replace(dataset, benchmark=named, joints=joints)
