"""Color on labeled photographs.

A folder holds ``<set>.jsonl`` and the photographs that it names: a line a photograph with ``file``, ``boxes`` (drawn by
people, pixels, or null) and ``hands``: ``uv`` (21 joints, pixels), ``side`` and ``sure``. Sets without hands have
neither. Measured for each set: boxes in which a hand is found; hands that are in no box, where people drew all, or in
photographs without any; and of the sure hands those found, whose side is right, and whose joints are off by more than a
share of the hand's diagonal. In sets without boxes a hand that nobody labeled is no false one.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from hand_pose_ros.core.frame import CameraFrame
from hand_pose_ros.core.hand import Hand
from hand_pose_ros.geometry.camera import Camera
from hand_pose_ros.settings import ModelSettings, TrackerSettings, TrackingSettings
from hand_pose_ros.tracking.factory import make_tracker
from hand_pose_ros.tracking.tracker import HandTracker
from training.datasets import dataset_folder
from training.datasets.frames import DatasetError
from training.datasets.photographs import is_held_out
from training.evaluation.figures import Measurement


@dataclass(frozen=True)
class Limits:
    """What counts as found, and as off."""

    #: Share of a hand's joints that must be in a box, which is this much larger on each side than drawn.
    in_box: float = 0.6
    room: float = 0.15
    #: A labeled hand is found where joints are closer than this in the mean, and its joints are off from the second on;
    #: shares of the diagonal of the labels' bounding box.
    found: float = 0.5
    off: float = 0.15
    #: Horizontal field of view that photographs are taken to have, degrees.
    field_of_view_deg: float = 60.0


LIMITS = Limits()
#: Sets of the documents' table, and by what their photographs are chosen. No training of ours learns from ``fingers``,
#: nor from the collections of ``nothing`` that are measured on.
SETS, SEED = ('fingers', 'nothing'), 38


def photographs(
    folder: Path, name: str, count: int, seed: int, held_out: bool = False
) -> Iterator[tuple[dict, CameraFrame]]:
    """Yield labels and frame of ``count`` photographs of a set, drawn at random; 0 for all.

    With ``held_out`` those without hands are of the collections that no training of ours learns from.
    """
    rows = [json.loads(line) for line in (folder / f'{name}.jsonl').read_text().splitlines()]
    if held_out:
        rows = [row for row in rows if 'hands' in row or is_held_out(row)]
    chosen = np.random.default_rng(seed).permutation(len(rows))[: count or None]
    for index in chosen:
        image = cv2.imread(str(folder / rows[index]['file']))
        height, width = image.shape[:2]
        yield rows[index], CameraFrame(Camera.from_field_of_view(width, height, LIMITS.field_of_view_deg), None, image)


def in_box(points: np.ndarray, box: list[float]) -> bool:
    """Whether enough of a hand's joints (21, 2) are in a box, and it is not much larger than the box."""
    low, high = np.array(box[:2]), np.array(box[2:])
    room = LIMITS.room * (high - low)
    inside = ((points > low - room) & (points < high + room)).all(1).mean()
    return bool(inside >= LIMITS.in_box)


def compare(row: dict, hands: list[Hand], camera: Camera) -> Counter:
    """Count what is right and wrong about the hands of one photograph."""
    counts: Counter = Counter(photographs=1, hands=len(hands))
    places = [camera.project(hand.joints) for hand in hands]
    boxes = row.get('boxes')
    if boxes is not None:
        counts['boxes'] = len(boxes)
        counts['found_boxes'] = sum(any(in_box(points, box) for points in places) for box in boxes)
        counts['beside_boxes'] = sum(not any(in_box(points, box) for box in boxes) for points in places)
    for label in row.get('hands') or ():
        if not label['sure']:
            continue
        points = np.array(label['uv'])
        diagonal = np.linalg.norm(np.ptp(points, axis=0))
        errors = [np.linalg.norm(place - points, axis=1).mean() / diagonal for place in places]
        best = int(np.argmin(errors)) if errors else -1
        counts['sure'] += 1
        if best >= 0 and errors[best] < LIMITS.found:
            counts['found_sure'] += 1
            counts['side_right'] += hands[best].side == label['side']
            counts['off'] += errors[best] > LIMITS.off
    return counts


def share(counts: Counter, part: str, whole: str) -> float | None:
    """Percent of what is counted; None where there is nothing."""
    return 100 * counts[part] / counts[whole] if counts[whole] else None


def false_hands(counts: Counter) -> int | None:
    """Hands where there are none; None where nobody says where there are none."""
    if counts['boxes']:
        return counts['beside_boxes']
    return None if counts['sure'] else counts['hands']


def line(name: str, counts: Counter, milliseconds: float) -> str:
    """One line of the table."""

    def cell(part: str, whole: str) -> str:
        value = share(counts, part, whole)
        return '     -' if value is None else f'{value:6.1f}'

    false = false_hands(counts)
    return (
        f'{name:10} {counts["photographs"]:6} {cell("found_boxes", "boxes")} {"-" if false is None else false:>6} '
        f'{cell("found_sure", "sure")} {cell("side_right", "found_sure")} {cell("off", "found_sure")} '
        f'{milliseconds:7.1f}'
    )


def count_set(tracker: HandTracker, chosen: Iterable[tuple[dict, CameraFrame]]) -> tuple[Counter, float]:
    """Track photographs, each on its own: what is right and wrong in all, and the median time, milliseconds."""
    counts: Counter = Counter()
    seconds: list[float] = []
    for row, frame in chosen:
        tracker.reset()
        started = time.perf_counter()
        hands = tracker.process(frame)
        seconds.append(time.perf_counter() - started)
        counts += compare(row, hands, frame.camera)
    return counts, 1000 * float(np.median(seconds))


def measure(
    folder: Path,
    sets: Sequence[str],
    count: int,
    seed: int,
    settings: TrackerSettings,
    independent: bool,
    held_out: bool = False,
) -> Iterator[str]:
    """Track photographs of each set, each on its own; yields the table's lines."""
    tracker = make_tracker(settings, independent=independent)
    yield f'{tracker.description}; {settings.models.detector}, {settings.models.estimator}'
    yield 'set        photos  boxes  false   sure   side    off      ms'
    for name in sets:
        yield line(name, *count_set(tracker, photographs(folder, name, count, seed, held_out)))


def evaluate(subject: str, samples: int) -> Iterator[Measurement]:
    """Figures of pairs of parts on ``SETS``; the subject is ``photographs --detector NAME --estimator NAME``.

    Without the folder ``photographs`` among the datasets nothing is measured, and a line says so.
    """
    parser = argparse.ArgumentParser()
    parser.add_argument('--detector', default='auto')
    parser.add_argument('--estimator', default='auto')
    chosen = parser.parse_args(subject.split()[1:])
    try:
        folder = dataset_folder('photographs')
    except DatasetError as error:
        print(f'nothing is measured on photographs: {error}')
        return
    models = ModelSettings(modality='color', detector=chosen.detector, estimator=chosen.estimator, threads=1)
    tracker = make_tracker(TrackerSettings(models, TrackingSettings(views=1, mesh=False)))
    for name in SETS:
        counts, _ = count_set(tracker, photographs(folder, name, samples, SEED, held_out=True))
        number = counts['photographs']
        for metric, value in (
            ('found', share(counts, 'found_boxes', 'boxes')),
            ('side_right', share(counts, 'side_right', 'found_sure')),
            ('off', share(counts, 'off', 'found_sure')),
        ):
            if value is not None:
                yield Measurement(f'{name}_{metric}', value, '%', number)
        false = false_hands(counts)
        if false is not None:
            yield Measurement(f'{name}_false', 100 * false / number, '%', number)
