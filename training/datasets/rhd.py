"""Rendered Handpose Dataset (Zimmermann and Brox, "Learning to Estimate 3D Hand Pose from Single RGB Images", ICCV
2017).

``training/anno_training.pickle`` holds a dictionary of frames, each with ``xyz`` (42, 3) in meters, ``uv_vis`` (42, 3)
pixels and visibility, and ``K``; joints 0 to 20 are the left hand's, 21 to 41 the right's, thumb first, from tip to
palm. ``training/color/%05d.png`` is 320 x 320. In ``training/mask/%05d.png`` 2 to 17 are the left hand, 18 to 33 the
right. ``evaluation`` is alike. Of a frame's two hands the one with more visible joints is taken, the left one of
equals.
"""

from __future__ import annotations

import io
import pickle
from pathlib import Path
from typing import Any

import numpy as np

from hand_pose_ros.geometry.joints import SIDES
from hand_pose_ros.io.benchmarks import find_benchmark
from training.datasets.color_frames import ColorDataset, decode_image
from training.datasets.frames import DatasetError, check_known, read_file, read_image

BENCHMARK = find_benchmark('rhd')

SOURCE = f'{BENCHMARK.title}, {BENCHMARK.home}'

#: The dataset's names of splits, by ours.
SPLITS = {'train': 'training', 'test': 'evaluation'}

SIZE = 320

#: First and last number of a side's hand in a mask.
MASKS = {'left': (2, 17), 'right': (18, 33)}

_RECONSTRUCT, _SCALAR = np.zeros(0).__reduce__()[0], np.float64(0).__reduce__()[0]


def _encode(text: str, encoding: str) -> bytes:
    """What Python 3 calls for an array's bytes in a pickle that Python 2 could read."""
    return str.encode(text, encoding)


#: All that a pickle of arrays and numbers names.
_ALLOWED: dict[tuple[str, str], Any] = {
    ('numpy', 'ndarray'): np.ndarray,
    ('numpy', 'dtype'): np.dtype,
    ('_codecs', 'encode'): _encode,
    **{
        (f'numpy.{core}.multiarray', name): made
        for core in ('core', '_core')
        for name, made in (('_reconstruct', _RECONSTRUCT), ('scalar', _SCALAR))
    },
}


class _ArrayUnpickler(pickle.Unpickler):
    """Makes arrays, numbers and containers, and imports nothing."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _ALLOWED:
            raise pickle.UnpicklingError(f'it names {module}.{name}, which no file of annotations does')
        return _ALLOWED[module, name]


def _read_annotations(path: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Numbers of the frames (N,), xyz (N, 42, 3), uv_vis (N, 42, 3) and K (N, 3, 3)."""
    data = read_file(path, SOURCE)
    try:
        frames = _ArrayUnpickler(io.BytesIO(data), encoding='latin1').load()
        numbers = np.array(sorted(frames), int)
        arrays = [
            np.array([frames[number][key] for number in numbers.tolist()], np.float32) for key in ('xyz', 'uv_vis', 'K')
        ]
    # A damaged pickle raises nearly anything: its opcodes have become others.
    except Exception as error:
        raise DatasetError(
            f'{path} is refused: cut off, damaged or no annotations ({type(error).__name__}: {error}); '
            f'get it again from {SOURCE}'
        ) from error
    for array, shape in zip(arrays, ((42, 3), (42, 3), (3, 3))):
        if array.shape[1:] != shape:
            raise DatasetError(
                f'{path} holds an array of shape {array.shape} instead of (frames, '
                f'{", ".join(map(str, shape))}); get it again from {SOURCE}'
            )
    return numbers, *arrays


def read_mask(path: Path, side: str) -> np.ndarray:
    """Read the mask (320, 320), bool, of a side's hand; raises DatasetError where it is missing or damaged."""
    low, high = MASKS[side]
    image = read_image(path, SOURCE, decode_image)[..., 0]
    return (image >= low) & (image <= high)


def open_rhd(folder: Path, split: str) -> ColorDataset:
    """Open a split.

    Args:
        folder: holds ``training/`` and ``evaluation/``.
        split: ``train`` or ``test``.

    Raises:
        DatasetError: a file is missing or damaged, or a pickle names anything but arrays.

    """
    check_known('split', split, SPLITS)
    name = SPLITS[split]
    numbers, xyz, uv_vis, matrices = _read_annotations(folder / name / f'anno_{name}.pickle')
    visible = uv_vis[..., 2].reshape(-1, 2, 21) > 0.5
    which = (visible[:, 1].sum(1) > visible[:, 0].sum(1)).astype(int)
    each = np.arange(len(numbers))
    return ColorDataset(
        BENCHMARK,
        folder,
        SOURCE,
        SIZE,
        SIZE,
        np.array([f'{name}/color/{number:05d}.png' for number in numbers]),
        np.array(SIDES)[which],
        matrices[:, [0, 1, 0, 1], [0, 1, 2, 2]],
        xyz.reshape(-1, 2, 21, 3)[each, which],
        points=uv_vis[..., :2].reshape(-1, 2, 21, 2)[each, which],
        visible=visible[each, which],
        masks=np.array([f'{name}/mask/{number:05d}.png' for number in numbers]),
        read_mask=read_mask,
    )
