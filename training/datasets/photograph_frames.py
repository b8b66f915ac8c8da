"""Whole photographs for the hand detector, shown larger, turned and in other light; and mixed with renders.

Nothing is known of surfaces in photographs: those are ``UNKNOWN`` all over.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from hand_pose_ros.detection.color import DETECTOR_INPUT, letterbox
from hand_pose_ros.geometry.joints import JOINTS
from hand_pose_ros.regions.cube import CUBE_PER_HAND
from training.datasets.photograph_crops import hand_groups, photographed
from training.datasets.photographs import Photograph, read_photographs
from training.synthesis.detector_frames import doubt_unseen, frame_batches, mirror_labels
from training.synthesis.people import Person

#: Rows of a photograph's labels: hands beyond them are left out with the photograph.
HANDS = 6
#: Of surfaces that nobody knows.
UNKNOWN = 255


@dataclass(frozen=True)
class FrameShares:
    """How whole photographs are shown; shares of all."""

    #: Shown as they are, but for light and mirror image.
    whole: float = 0.3
    #: Smallest and largest size of the others, and standard deviation of their turn, degrees.
    smallest: float = 0.5
    largest: float = 2.5
    turn_deg: float = 12.0
    #: Standard deviation of the logarithm of the stretch.
    stretch_log: float = 0.08


SHARES = FrameShares()


def labels_of(photograph: Photograph) -> np.ndarray:
    """The hands' labels (N, 7) as :func:`training.synthesis.detector_frames.frame_batches` has them, but in pixels.

    Boxes in which nobody labeled a hand have the weight 0, as hands that are not sure.
    """
    rows = [
        [*hand.center, CUBE_PER_HAND * hand.size, *hand.direction, float(hand.side == 'right'), 1.0]
        for hand in photograph.hands
    ]
    for x0, y0, x1, y1 in photograph.occupied:
        inside = [x0 <= row[0] <= x1 and y0 <= row[1] <= y1 for row in rows if row[6] > 0]
        if not any(inside):
            rows.append([(x0 + x1) / 2, (y0 + y1) / 2, max(x1 - x0, y1 - y0) / 2, 0.0, -1.0, 0.0, 0.0])
    return np.array(rows, np.float32).reshape(-1, 7)


def is_usable(photograph: Photograph) -> bool:
    """Whether the detector can learn from a photograph: it shows no hand, or it shows some, and not too many."""
    return photograph.empty or (bool(photograph.hands) and len(labels_of(photograph)) <= HANDS)


def _draw_linear(rng: np.random.Generator, shares: FrameShares) -> np.ndarray:
    """Draw how a photograph is shown: (2, 2), times the scale that fits it into the network's image."""
    if rng.uniform() < shares.whole:
        return np.eye(2)
    zoom = np.exp(rng.uniform(np.log(shares.smallest), np.log(shares.largest)))
    turn, stretch = np.radians(rng.normal(0, shares.turn_deg)), np.exp(rng.normal(0, shares.stretch_log))
    cos, sin = np.cos(turn), np.sin(turn)
    return zoom * np.array([[cos, -sin], [sin, cos]]) @ np.diag([stretch, 1 / stretch])


def draw_frame(
    photograph: Photograph, rng: np.random.Generator, shares: FrameShares = SHARES
) -> tuple[np.ndarray, np.ndarray]:
    """Draw how the detector may see a photograph.

    Returns:
        Image (DETECTOR_INPUT, DETECTOR_INPUT, 3) uint8, and its labels (HANDS, 7), see
        :func:`training.synthesis.detector_frames.frame_batches`.

    """
    image, labels = photograph.read(), labels_of(photograph)
    height, width = image.shape[:2]
    middle = (np.array([width, height]) - 1) / 2
    fit = DETECTOR_INPUT / max(width, height)
    linear = _draw_linear(rng, shares)
    # Larger than the image, one of the hands stays in it, anywhere; smaller, the photograph does.
    zoom = float(np.sqrt(np.linalg.det(linear)))
    about = labels[rng.integers(len(labels)), :2] if len(labels) and zoom > 1 else middle
    room = DETECTOR_INPUT / 2 * (0.7 if zoom > 1 else max(1 - zoom, 0))
    to = (DETECTOR_INPUT - 1) / 2 + rng.uniform(-room, room, 2)
    move = np.column_stack([fit * linear, to - fit * linear @ about])
    source, scale = image, np.ones(2)
    if fit * zoom < 0.8:  # interpolation would skip pixels
        source = cv2.resize(image, None, fx=fit * zoom, fy=fit * zoom, interpolation=cv2.INTER_AREA)
        scale = np.array(source.shape[1::-1]) / (width, height)
    # From pixels of the source, whose centers lie half a pixel in, to those of the network's image.
    matrix = move @ np.vstack([np.column_stack([np.diag(1 / scale), 0.5 / scale - 0.5]), [0, 0, 1]])
    shown, inside = (
        cv2.warpAffine(one, matrix, (DETECTOR_INPUT, DETECTOR_INPUT))
        for one in (source, np.ones(source.shape[:2], np.uint8))
    )
    shown = photographed(shown, np.full((len(JOINTS), 2), np.nan), rng) * inside[..., None]
    rows = _moved(labels, move, zoom * fit)
    if rng.uniform() < 0.5:
        mirror_labels(rows)
        shown = np.ascontiguousarray(shown[:, ::-1])
    return shown, rows


def _moved(labels: np.ndarray, move: np.ndarray, scale: float) -> np.ndarray:
    """Labels (N, 7) in pixels of a photograph as (HANDS, 7) of the network's image."""
    rows = np.full((HANDS, 7), -1, np.float32)
    moved = labels.copy()
    moved[:, :2] = (labels[:, :2] @ move[:, :2].T + move[:, 2] + 0.5) / DETECTOR_INPUT * 2 - 1
    moved[:, 2] *= scale / DETECTOR_INPUT * 2
    moved[:, 3:5] = labels[:, 3:5] @ move[:, :2].T
    moved[:, 3:5] /= np.maximum(np.linalg.norm(moved[:, 3:5], axis=1, keepdims=True), 1e-6)
    doubt_unseen(moved)
    rows[: len(moved)] = moved
    return rows


def validation_frames(photographs: Sequence[Photograph]) -> tuple[np.ndarray, np.ndarray]:
    """Photographs as the detector sees them, and their labels: (N, S, S, 3) and (N, HANDS, 7)."""
    images, labels = [], []
    for photograph in photographs:
        square, scale, start = letterbox(photograph.read())
        move = np.column_stack([np.eye(2) / scale, start + (0.5 / scale - 0.5)])
        images.append(square)
        labels.append(_moved(labels_of(photograph), move, 1 / scale))
    return np.stack(images), np.stack(labels)


def mixed_batches(
    crowd: Sequence[Person],
    folder: Path,
    seed: int,
    batch: int,
    real: float,
    negatives: float,
    held_out: Collection[str],
    **rendered: float,
) -> Iterator[tuple[np.ndarray, ...]]:
    """Yield endless batches of renders and photographs.

    Args:
        crowd: people in the renders.
        folder: of photographs, see :mod:`training.datasets.photographs`.
        seed: the same one gives the same batches.
        batch: images in a batch.
        real: share of photographs in every batch.
        negatives: share of them that show no hand.
        held_out: sets that are not learnt from.
        rendered: what :func:`training.synthesis.detector_frames.frame_batches` takes beside.

    Raises:
        DatasetError: something cannot be read.

    """
    cv2.setNumThreads(1)
    rng = np.random.default_rng(seed)
    photographs = [one for one in read_photographs(folder, held_out) if is_usable(one)]
    empty = [one for one in photographs if one.empty]
    groups, weights = hand_groups(photographs)
    count = round(batch * real)
    for images, labels, surfaces in frame_batches(crowd, seed, batch - count, **rendered):
        shown, seen = [], []
        for _ in range(count):
            if empty and rng.uniform() < negatives:
                photograph = empty[rng.integers(len(empty))]
            else:
                group = groups[rng.choice(len(groups), p=weights)]
                photograph = group[rng.integers(len(group))][0]
            image, rows = draw_frame(photograph, rng)
            shown.append(image)
            seen.append(rows)
        drawn = np.full((len(labels), HANDS, 7), -1, np.float32)
        drawn[:, : labels.shape[1]] = labels
        unknown = np.full((count, *surfaces.shape[1:]), UNKNOWN, np.uint8)
        yield (
            np.concatenate([images, np.stack(shown)]),
            np.concatenate([drawn, np.stack(seen)]),
            np.concatenate([surfaces, unknown]),
        )
