"""Photographs of hands with labels in the image, one's own or others': a folder of ``<set>.jsonl`` and images.

A line a photograph, in JSON: ``file`` (relative to the folder) and ``source`` (where it comes from), ``boxes`` (drawn
by people about every hand, [x0, y0, x1, y1] in pixels; null or absent where nobody drew all), and ``hands``. A
photograph without the key ``hands`` shows no hand. A hand: ``uv`` (21 joints in pixels, our order), ``side`` (the
person's own, in a picture that is not mirrored), ``sure`` (true by default; others are not learnt from), and, where
MediaPipe's landmarks are the labels, its ``z`` (in the scale of pixels) and ``world`` (meters): those points come to
our joints by the fixed mapping of ``hand_pose_ros.estimation.mediapipe_mapping``. ``python -m training
label-photographs`` writes such a file.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from hand_pose_ros.estimation.mediapipe_landmarks import Landmarks
from hand_pose_ros.estimation.mediapipe_mapping import joint_offsets
from hand_pose_ros.geometry.joints import JOINTS, hand_center, hand_size
from hand_pose_ros.regions.perspective import pointing
from training.datasets.color_frames import decode_image
from training.datasets.frames import DatasetError, read_image

#: Of so many collections of photographs without hands, one is left to measure on.
COLLECTIONS = 3
#: Hand size over the diagonal of a hand's joints in the image: at least this much, where nothing tells its depth.
LEAST_SIZE_PER_DIAGONAL = 0.45


@dataclass(frozen=True)
class LabeledHand:
    """A hand in a photograph.

    Attributes:
        points: (21, 2) pixels, our joints.
        side: ``left`` or ``right``.
        center: (2,) pixels, of the square that it is cut by.
        size: the hand's size in pixels, as large as it is were it not foreshortened.
        direction: (2,) where it points.

    """

    points: np.ndarray
    side: str
    center: np.ndarray
    size: float
    direction: np.ndarray


@dataclass(frozen=True)
class Photograph:
    """A photograph and what is known of it.

    Attributes:
        path: the image file.
        name: of its set.
        source: where it comes from.
        hands: those that are sure.
        occupied: (N, 4) boxes in pixels, in which there are hands: drawn, or about labeled joints.
        complete: whether there is no other hand in it.

    """

    path: Path
    name: str
    source: str
    hands: tuple[LabeledHand, ...]
    occupied: np.ndarray
    complete: bool

    @property
    def empty(self) -> bool:
        """Whether it shows no hand at all."""
        return self.complete and not len(self.occupied)

    def read(self) -> np.ndarray:
        """The image (H, W, 3) uint8, red green blue; raises DatasetError where it is missing or damaged."""
        return read_image(self.path, f'the set {self.name}', decode_image)


def is_held_out(row: dict) -> bool:
    """Whether a photograph without hands is never learnt from: all of a third of the collections.

    Faces are of another person each: they are parted one by one.
    """
    source = str(row.get('source') or row['file'])
    key = source if row.get('kind') == 'face' else source.partition('/')[0]
    return zlib.crc32(key.encode()) % COLLECTIONS == 1


def read_hand(label: dict) -> LabeledHand:
    """Make a hand of its label; raises ValueError, KeyError or TypeError where it is none."""
    points = np.asarray(label['uv'], dtype=float)
    if points.shape != (len(JOINTS), 2) or not np.isfinite(points).all() or label['side'] not in ('left', 'right'):
        raise ValueError(f'a hand has {len(JOINTS)} points u, v, and the side left or right')
    if 'world' in label:
        depth = np.asarray(label['z'], dtype=float)[:, None]
        marks = Landmarks(np.hstack([points, depth]), np.asarray(label['world'], dtype=float), 1.0, 0.0)
        shape = marks.shape()
        joints = (shape + joint_offsets(shape, label['side'] == 'right')) * marks.scale
        points, size = joints[:, :2], hand_size(joints)
    else:
        diagonal = float(np.linalg.norm(np.ptp(points, axis=0)))
        size = max(hand_size(points), LEAST_SIZE_PER_DIAGONAL * diagonal)
    return LabeledHand(points, label['side'], hand_center(points), max(size, 1.0), pointing(points))


def read_photograph(row: dict, folder: Path, name: str) -> Photograph:
    """Make a photograph of a line; raises ValueError, KeyError or TypeError where it is none."""
    if not isinstance(row, dict):
        raise TypeError('a line is a table of a photograph')
    labels = row.get('hands')
    drawn = row.get('boxes')
    about = [[*np.min(label['uv'], 0), *np.max(label['uv'], 0)] for label in labels or ()]
    hands = tuple(read_hand(label) for label in labels or () if label.get('sure', True))
    occupied = np.asarray([*(drawn or ()), *about], dtype=float).reshape(-1, 4)
    complete = labels is None or drawn is not None
    return Photograph(folder / row['file'], name, str(row.get('source', '')), hands, occupied, complete)


def set_names(folder: Path) -> list[str]:
    """The sets of a folder; raises DatasetError where there is none."""
    names = sorted(path.stem for path in folder.glob('*.jsonl'))
    if not names:
        raise DatasetError(f'{folder} holds no <set>.jsonl: docs/develop/add_photographs.md says what that is')
    return names


def read_rows_of(folder: Path, name: str) -> Iterator[tuple[int, dict]]:
    """Yield the lines of a set, with their numbers; raises DatasetError where it cannot be read."""
    path = folder / f'{name}.jsonl'
    try:
        lines = path.read_text(encoding='utf-8').splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetError(f'{path} cannot be read: {error}') from error
    for number, line in enumerate(lines, 1):
        try:
            row = json.loads(line)
        except ValueError as error:
            raise DatasetError(f'{path}, line {number} is no JSON: {error}') from error
        yield number, row


def read_photographs(folder: Path, held_out: Collection[str] = (), testing: bool = False) -> list[Photograph]:
    """Read the photographs of a folder.

    Args:
        folder: with ``<set>.jsonl`` and images.
        held_out: sets that are not learnt from.
        testing: those that are not learnt from: the sets held out, and the collections without hands that are.

    Raises:
        DatasetError: there are none, or a line is not what this module describes.

    """
    names = set_names(folder)
    unknown = set(held_out) - set(names)
    if unknown:
        raise DatasetError(f'{folder} has no {sorted(unknown)[0]}.jsonl to hold out; it has {", ".join(names)}')
    found = []
    for name in names:
        for number, row in read_rows_of(folder, name):
            try:
                photograph = read_photograph(row, folder, name)
                out = name in held_out or (photograph.empty and is_held_out(row))
            except (ValueError, KeyError, TypeError) as error:
                raise DatasetError(
                    f'{folder / name}.jsonl, line {number}: {type(error).__name__}: {error}; '
                    'docs/develop/add_photographs.md says what a line holds'
                ) from error
            if out == testing:
                found.append(photograph)
    return found


def free_square(photograph: Photograph, shape: tuple[int, ...], rng: np.random.Generator) -> tuple[np.ndarray, float]:
    """Draw the center (2,) and half side of a square in which there is no hand, pixels.

    Args:
        photograph: with all its hands known.
        shape: (H, W, ...) of the image.
        rng: source of randomness.

    Raises:
        DatasetError: hands are everywhere in it.

    """
    height, width = shape[:2]
    for _ in range(100):
        half = max(height, width) * float(np.exp(rng.uniform(np.log(0.05), np.log(0.6))))
        center = rng.uniform((0, 0), (width, height))
        reach = 1.2 * half  # the square may turn, and part of a hand is one
        boxes = photograph.occupied
        apart = (boxes[:, 0] > center[0] + reach) | (boxes[:, 2] < center[0] - reach)
        apart |= (boxes[:, 1] > center[1] + reach) | (boxes[:, 3] < center[1] - reach)
        if apart.all():
            return center, half
    raise DatasetError(f'{photograph.path}: no place without a hand')


def warp(
    image: np.ndarray, center: np.ndarray, axes: np.ndarray, size: int, edges: tuple[np.ndarray, np.ndarray]
) -> np.ndarray:
    """Cut a crop out of an image, going on beyond its edges with the pixels there, as the run time does.

    Args:
        image: (H, W, 3) uint8.
        center: (2,) pixels.
        axes: (2, 2), its columns the pixels from the crop's center to its right and its lower edge.
        size: pixels along a side of the crop.
        edges: pixels at which the image begins and ends, (2,) each.

    """
    low, high = edges
    image = image[low[1] : high[1], low[0] : high[0]]
    step = float(np.sqrt(abs(np.linalg.det(axes)))) * 2 / size
    shrink = max(1.0, step)
    if shrink > 1.2:  # interpolation would skip pixels
        new = tuple(max(1, round(length / shrink)) for length in image.shape[1::-1])
        image = cv2.resize(image, new, interpolation=cv2.INTER_AREA)
    else:
        shrink = 1.0
    matrix = np.zeros((2, 3))
    matrix[:, :2] = axes * 2 / size / shrink
    matrix[:, 2] = (center - low + 0.5) / shrink - 0.5 - matrix[:, :2].sum(1) * (size - 1) / 2
    return cv2.warpAffine(
        np.ascontiguousarray(image),
        matrix,
        (size, size),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REPLICATE,
    )
