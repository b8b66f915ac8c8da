"""Dexter+Object (Sridhar et al., "Real-time Joint Tracking of a Hand Manipulating an Object from RGB-D Input", ECCV
2016).

``data/`` holds six sequences. A line of ``data/Grasp1/annotations/Grasp13D.txt`` is a frame: five fingertips, thumb
first, ``x, y, z`` in millimeters, separated by semicolons; a tip whose depth is 32001 is not known. They are in the
frame of the depth camera, x to the left and y up. ``data/Grasp1/color/`` holds the frames in the order of their names,
640 x 480, of a color camera beside it; joints here are in that camera's optical frame. There is nothing to train on;
hands are left.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from hand_pose_ros.io.benchmarks import find_benchmark
from training.datasets.color_frames import ColorDataset
from training.datasets.frames import NOTHING_SEEN, DatasetError, check_known, read_file

BENCHMARK = find_benchmark('dexter')

SOURCE = f'{BENCHMARK.title}, {BENCHMARK.home}'

SEQUENCES = ('Grasp1', 'Grasp2', 'Occlusion', 'Rigid', 'Pinch', 'Rotate')

#: fx, fy, cx, cy of the color camera, pixels, by the dataset's calibration.
CAMERA = (587.45209, 600.67456, 325.0, 249.0)

#: From the depth camera's frame to the color camera's: rotation, and translation in meters.
ROTATION = np.array([[0.9999, 0.0034, 0.0161], [-0.0033, 1.0, -0.0079], [-0.0162, 0.0079, 0.9998]])
TRANSLATION = np.array([0.0190473, -0.0018514, -0.0047501])


def _read_tips(path: Path) -> np.ndarray:
    """Fingertips (N, 5, 3) in meters, depth camera's optical frame; NaN where one is not known."""
    tips = []
    for number, line in enumerate(read_file(path, SOURCE).decode('ascii', 'replace').splitlines(), 1):
        if not line.strip():
            continue
        try:
            tips.append(
                np.array(
                    [[float(value) for value in tip.split(',')] for tip in line.strip().rstrip(';').split(';')]
                ).reshape(5, 3)
            )
        except ValueError:
            raise DatasetError(
                f'{path}: line {number} is not five tips of "x, y, z;"; get it again from {SOURCE}'
            ) from None
    if not tips:
        raise DatasetError(f'{path} is empty; get it again from {SOURCE}')
    found = np.stack(tips)
    found[found[..., 2] >= NOTHING_SEEN] = np.nan
    return found * BENCHMARK.axes / 1000


def open_dexter(folder: Path, split: str = 'test', sequences: tuple[str, ...] = SEQUENCES) -> ColorDataset:
    """Open the dataset.

    Args:
        folder: holds ``data/``.
        split: ``test``; there is no other.
        sequences: some of ``SEQUENCES``.

    Raises:
        DatasetError: a file is missing or damaged, or there are not as many images as labels.

    """
    check_known('split', split, ('test',))
    names, joints = [], []
    for sequence in sequences:
        check_known('sequence', sequence, SEQUENCES)
        place = folder / 'data' / sequence
        tips = _read_tips(place / 'annotations' / f'{sequence}3D.txt')
        images = sorted((place / 'color').glob('*.png'))
        if len(images) != len(tips):
            raise DatasetError(
                f'{place / "color"} holds {len(images)} images, {sequence}3D.txt tells of {len(tips)}; '
                f'get them again from {SOURCE}'
            )
        names += [str(image.relative_to(folder)) for image in images]
        joints.append(tips @ ROTATION.T + TRANSLATION)
    return ColorDataset(
        BENCHMARK,
        folder,
        SOURCE,
        640,
        480,
        np.array(names),
        np.full(len(names), 'left'),
        np.tile(CAMERA, (len(names), 1)),
        np.concatenate(joints).astype(np.float32),
    )
