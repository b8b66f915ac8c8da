"""Validation sets of renders, drawn once and then frozen: ``python -m training.validation_sets [NAME ...] [--record]``.

A set is drawn from seeds that no training draws from, and cached in ``runs/validation``; it can be drawn again at any
time. Figures of different days are comparable only while it stays what it was, so ``validation_sets.yaml`` has the hash
of each one's first items. Those differ from one kind of processor to another, for which numba compiles and OpenCV
chooses other instructions: they are recorded by processor, and a set is taken as it is where there is no record.

The command draws the sets that are missing and checks all; with ``--record`` it writes their hashes, after a change of
what is drawn. Before that, measure the shipped networks on both: they should stay within 0.05 mm.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import yaml

from training.registry import TrainingError

if TYPE_CHECKING:
    from training.synthesis.crops import CropSource

Arrays = tuple[np.ndarray, ...]

#: Where drawn sets are cached, not committed.
FOLDER = Path('runs/validation')
#: Processor -> set -> hash of its first items.
RECORD = Path(__file__).with_suffix('.yaml')
#: Items that are hashed: they are drawn in seconds, and are the first of the whole set.
HASHED = 8

#: Pixels along a side of the color crops as which that set was first drawn: others show the same hands, cut alike.
COLOR_SIZE = 128


class ValidationSetError(TrainingError):
    """A validation set is not what is recorded, or there is none of that name; the message says what to do."""


@dataclass(frozen=True)
class ValidationSet:
    """A set that can be drawn.

    Attributes:
        name: of its file and in the record.
        count: items.
        fields: names of its arrays, (count, ...) each.
        draw: draws the first so many items.

    """

    name: str
    count: int
    fields: tuple[str, ...]
    draw: Callable[[int], Arrays]


def depth_source(size: int = 96) -> CropSource:
    """What the set of :func:`depth_pose` is drawn from."""
    from training.synthesis.crops import CropSource
    from training.synthesis.people import draw_people

    seed = 20_000_003
    return CropSource(draw_people(96, np.random.default_rng(seed)), seed, size)


def counting_source(size: int = 96) -> CropSource:
    """Crops of hands that count, pinch and grasp: forms that :func:`depth_source` seldom has."""
    from training.synthesis.crops import CropSource
    from training.synthesis.people import draw_people

    seed = 20_000_007
    kinds = {'count': 0.62, 'fist': 0.12, 'pinch': 0.12, 'grasp': 0.14}
    return CropSource(draw_people(96, np.random.default_rng(seed)), seed, size, poses=kinds)


def depth_pose(size: int = 96) -> ValidationSet:
    """Crops (N, S, S) float16 in [-1, 1], joints (N, 21, 3) in cube coordinates and half sides (N,) in meters."""

    def draw(count: int) -> Arrays:
        crops, *labels = next(depth_source(size).batches(count))
        # Half precision resolves the cube to about 0.05 mm, and is what the set is.
        return crops.astype(np.float16), *labels

    return ValidationSet(f'depth_pose-{size}', 4096, ('crops', 'joints', 'halves'), draw)


def center(searched: bool = False) -> ValidationSet:
    """Crops (N, 64, 64) and labels (N, 6), see :func:`training.synthesis.surroundings.refiner_batches`.

    Mostly about hands or, of ``searched``, where hands are searched for: half of its pictures seldom show one.
    """

    def draw(count: int) -> Arrays:
        from training.synthesis.people import draw_people
        from training.synthesis.surroundings import refiner_batches

        seed = 20_000_004
        options = {'elsewhere': 0.5, 'proposed': 1.0} if searched else {}
        return next(refiner_batches(draw_people(48, np.random.default_rng(seed)), seed, count, **options))

    return ValidationSet('center_searched' if searched else 'center', 4096, ('crops', 'labels'), draw)


def color_pose(size: int = COLOR_SIZE, room: float = 1.0) -> ValidationSet:
    """Crops that all show a hand, as :mod:`training.datasets.color_crops` describes them.

    With ``room`` the same hands, cut alike, in images that show so much more; see
    :func:`training.synthesis.color_crops.draw_color_crop`.
    """

    def draw(count: int) -> Arrays:
        from training.synthesis.color_crops import crop_batches
        from training.synthesis.people import draw_people

        seed = 20_000_011
        people = draw_people(64, np.random.default_rng(seed))
        return next(crop_batches(people, seed, count, size, 1, empty=0, as_of=COLOR_SIZE, room=room))[:5]

    name = f'color_pose-{size}' + (f'-{room}' if room != 1 else '')
    return ValidationSet(name, 2048, ('images', 'joints', 'points', 'masks', 'sizes'), draw)


def detector() -> ValidationSet:
    """Images (N, S, S, 3) uint8 and labels (N, 2, 7), see :func:`training.synthesis.detector_frames.frame_batches`."""

    def draw(count: int) -> Arrays:
        from training.synthesis.detector_frames import frame_batches
        from training.synthesis.people import draw_people

        seed = 20_000_017
        return next(frame_batches(draw_people(64, np.random.default_rng(seed)), seed, count))[:2]

    return ValidationSet('detector', 1024, ('images', 'labels'), draw)


#: The sets whose hashes are recorded: those of the shipped networks.
RECORDED = (depth_pose(), center(), center(searched=True), color_pose(), color_pose(160), detector())


def processor() -> str:
    """The kind of this processor, as LLVM names it: what numba compiles for."""
    from llvmlite.binding import get_host_cpu_name

    return get_host_cpu_name()


def digest(arrays: Arrays) -> str:
    """SHA-256 of the first items of arrays, their types and shapes."""
    found = hashlib.sha256()
    for array in arrays:
        first = np.ascontiguousarray(array[:HASHED])
        found.update(f'{first.dtype} {first.shape} '.encode())
        found.update(first.tobytes())
    return found.hexdigest()


def recorded_hash(wanted: ValidationSet, record: Path = RECORD) -> str | None:
    """The recorded hash of a set on this kind of processor; None where there is none."""
    records = yaml.safe_load(record.read_text()) if record.is_file() else {}
    return records.get(processor(), {}).get(wanted.name)


def draw_first(wanted: ValidationSet) -> Arrays:
    """Draw the items of a set that are hashed."""
    return wanted.draw(HASHED)


def load(wanted: ValidationSet, folder: Path = FOLDER, record: Path = RECORD) -> Arrays:
    """Load a set, which is drawn where it has not been yet.

    Raises:
        ValidationSetError: the file, or what is drawn, is not the recorded set.

    """
    path = folder / f'{wanted.name}.npz'
    if path.is_file():
        with np.load(path) as stored:
            if set(stored.files) != set(wanted.fields):
                raise ValidationSetError(f'{path} is no set {wanted.name}: delete it, and it is drawn anew')
            arrays = tuple(stored[name] for name in wanted.fields)
    else:
        print(f'drawing the {wanted.count} items of the validation set {wanted.name}, once: minutes', file=sys.stderr)
        arrays = wanted.draw(wanted.count)
        folder.mkdir(parents=True, exist_ok=True)
        temporary = path.with_suffix(f'.{os.getpid()}.tmp.npz')
        np.savez_compressed(temporary, **dict(zip(wanted.fields, arrays)))
        temporary.replace(path)
    expected, found = recorded_hash(wanted, record), digest(arrays)
    if expected not in (None, found):
        raise ValidationSetError(
            f'{path} is not the recorded set: its first {HASHED} items have the hash {found[:12]} and not '
            f'{expected[:12]}. If the file is old, delete it; if what is drawn has changed, measure the shipped '
            f'networks on both, then python -m training.validation_sets {wanted.name} --record'
        )
    return arrays


def write_hashes(sets: list[ValidationSet], record: Path = RECORD) -> None:
    """Record the hashes of sets, drawn anew, for this kind of processor."""
    records = yaml.safe_load(record.read_text()) if record.is_file() else {}
    records.setdefault(processor(), {}).update({one.name: digest(draw_first(one)) for one in sets})
    note = '# Hashes of the validation sets by processor: written by python -m training.validation_sets --record\n'
    record.write_text(note + yaml.safe_dump(records))


def main() -> None:
    """Run from the command line."""
    names = {one.name: one for one in RECORDED}
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('names', nargs='*', metavar='NAME', help=f'by default all: {", ".join(names)}')
    parser.add_argument('--record', action='store_true', help='write the hashes of what is drawn now')
    arguments = parser.parse_args()
    unknown = [name for name in arguments.names if name not in names]
    if unknown:
        parser.error(f'no validation set is called {", ".join(unknown)}; there are {", ".join(names)}')
    chosen = [names[name] for name in arguments.names or names]
    if arguments.record:
        write_hashes(chosen)
    for one in chosen:
        try:
            load(one)
        except ValidationSetError as error:
            parser.error(str(error))
        known = 'as recorded' if recorded_hash(one) else f'none is recorded for the processor {processor()}'
        print(f'{one.name}: {one.count} items, {known}')


if __name__ == '__main__':
    main()
