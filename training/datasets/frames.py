"""What the readers of all datasets share: frames that are read when asked for, and files that may be damaged."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from hand_pose_ros.geometry.camera import Camera
from hand_pose_ros.imaging.images import ImageError
from hand_pose_ros.io.benchmarks import Benchmark
from training.registry import TrainingError

#: Depths in millimeters from here on are no depths: cameras write 32001 where they saw nothing.
NOTHING_SEEN = 32_000


class DatasetError(TrainingError):
    """A dataset that cannot be read; one line that names the file, what is wrong, and where to get it."""


@dataclass(frozen=True)
class Frame:
    """One frame of a dataset.

    Attributes:
        name: the image's file, relative to the dataset's folder.
        subject: who or which sequence is seen, as the dataset tells them apart; empty where it does not.
        depth: (H, W) float32 meters, 0 for holes.
        camera: the camera that took it.
        joints: (J, 3) meters, camera optical frame, in the dataset's own order; None where they are kept secret.
        half: half side in meters of the cube that papers cut out around the hand.
        box: (left, top, right, bottom) pixels around the hand; None where the dataset has none.
        center: (3,) meters, the hand's center by a published file; None where none was read.
        side: ``right`` or ``left`` hand.

    """

    name: str
    subject: str
    depth: np.ndarray
    camera: Camera
    joints: np.ndarray | None
    half: float
    box: np.ndarray | None
    center: np.ndarray | None
    side: str = 'right'


@dataclass(frozen=True)
class Dataset:
    """Frames of a dataset; an image is read when its frame is asked for.

    Attributes:
        benchmark: joint order, camera and other facts.
        folder: the dataset's folder.
        names: (N,) image files, relative to the folder.
        subjects: (N,) see :class:`Frame`.
        read_depth: reads an image file: (H, W) depth in millimeters.
        joints: (N, J, 3) meters, or None.
        boxes: (N, 4) pixels, or None.
        centers: (N, 3) meters, or None.
        sides: (N,) ``right`` or ``left``; None where all are right hands, or the dataset does not say.

    """

    benchmark: Benchmark
    folder: Path
    names: np.ndarray
    subjects: np.ndarray
    read_depth: Callable[[Path], np.ndarray]
    joints: np.ndarray | None = None
    boxes: np.ndarray | None = None
    centers: np.ndarray | None = None
    sides: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> Frame:
        """Read a frame; raises DatasetError where its image is missing or damaged."""
        name, subject = str(self.names[index]), str(self.subjects[index])
        camera = self.benchmark.camera
        depth = self.read_depth(self.folder / name)
        if depth.shape != (camera.height, camera.width):
            raise DatasetError(
                f'{self.folder / name} has {depth.shape[1]}x{depth.shape[0]} pixels; images of '
                f'{self.benchmark.name} have {camera.width}x{camera.height}'
            )
        depth = np.where(depth < NOTHING_SEEN, depth, 0).astype(np.float32) * np.float32(0.001)

        def own(values: np.ndarray | None) -> np.ndarray | None:
            return None if values is None else values[index]

        return Frame(
            name,
            subject,
            depth,
            camera,
            own(self.joints),
            self.benchmark.half(subject),
            own(self.boxes),
            own(self.centers),
            'right' if self.sides is None else str(self.sides[index]),
        )

    def __iter__(self) -> Iterator[Frame]:
        """Read one frame after the other."""
        return (self[index] for index in range(len(self)))

    def select(self, keep: np.ndarray) -> Dataset:
        """Return the frames that a mask (N,) or a list of indices keeps."""
        arrays = ('names', 'subjects', 'joints', 'boxes', 'centers', 'sides')
        return replace(self, **{name: getattr(self, name)[keep] for name in arrays if getattr(self, name) is not None})


def check_known(what: str, value: object, known: Collection[object]) -> None:
    """Refuse a value that is not among those known; raises DatasetError."""
    if value not in known:
        raise DatasetError(f'{what} {value!r} is not one of {", ".join(map(str, known))}')


def _unreadable(path: Path, source: str, error: OSError) -> DatasetError:
    if isinstance(error, FileNotFoundError):
        return DatasetError(f'{path} is missing; it is part of {source}')
    return DatasetError(f'{path}: {error.strerror}')


def read_file(path: Path, source: str) -> bytes:
    """Read a file.

    Args:
        path: the file.
        source: what it is part of, and where to get that.

    Raises:
        DatasetError: it cannot be read.

    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise _unreadable(path, source, error) from None


def read_image(path: Path, source: str, decode: Callable[[bytes], np.ndarray]) -> np.ndarray:
    """Read an image file with one of the decoders of :mod:`hand_pose_ros.imaging.compressed`.

    Raises:
        DatasetError: it is missing or damaged.

    """
    data = read_file(path, source)
    try:
        return decode(data)
    except ImageError as error:
        raise DatasetError(f'{path}: {error}; unpack it again from {source}') from error


def read_rows(
    path: Path, numbers: int, source: str, named: bool = True, skip: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Read a text file of labels: lines of a name and numbers, separated by spaces or tabs; empty lines do not count.

    Args:
        path: the file.
        numbers: how many numbers a line has; the word ``invalid`` stands for as many NaN.
        source: what the file is part of, and where to get that.
        named: whether a line begins with a name.
        skip: lines at the file's beginning that are something else.

    Returns:
        Names (N,), empty where lines have none, and numbers (N, numbers) float32.

    Raises:
        DatasetError: the file is missing, empty or cut off, or a line holds something else.

    """
    # One flat array: a list of rows would take gigabytes for the largest dataset.
    names, values = [], array('f')
    try:
        with path.open(encoding='ascii', errors='replace') as file:
            for line, text in enumerate(file, 1):
                fields = text.split()
                if line <= skip or not fields:
                    continue
                names.append(fields.pop(0) if named else '')
                if fields == ['invalid']:
                    fields = ['nan'] * numbers
                if len(fields) != numbers:
                    raise DatasetError(
                        f'{path}, line {line}: {len(fields)} numbers instead of {numbers}; the file is '
                        f'cut off or another one, get it again from {source}'
                    )
                try:
                    values.extend(map(float, fields))
                except ValueError as error:
                    raise DatasetError(f'{path}, line {line}: {error}; get it again from {source}') from None
    except OSError as error:
        raise _unreadable(path, source, error) from None
    if not names:
        raise DatasetError(f'{path} holds no labels; get it again from {source}')
    return np.array(names), np.frombuffer(values, np.float32).reshape(-1, numbers)


def read_centers(path: Path, benchmark: Benchmark, count: int) -> np.ndarray:
    """Read hand centers as the authors of V2V-PoseNet publish them, a line a frame; many papers start from these.

    Args:
        path: the file.
        benchmark: the dataset, whose x and y the centers have; their z points forward in every file.
        count: frames that the file must be of.

    Returns:
        (N, 3) meters, camera optical frame; NaN for frames that the authors leave out.

    Raises:
        DatasetError: the file is missing, damaged, or of other frames.

    """
    source = 'the hand centers of V2V-PoseNet, https://github.com/mks0601/V2V-PoseNet_RELEASE'
    _, millimeters = read_rows(path, 3, source, named=False)
    if len(millimeters) != count:
        raise DatasetError(
            f'{path} holds {len(millimeters)} centers, but there are {count} frames; take the file of '
            f'this split from {source}'
        )
    return millimeters * np.float32([*benchmark.axes[:2], 1]) / 1000
