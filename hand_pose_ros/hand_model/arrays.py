"""Arrays in files, whose sizes are looked at before memory is given to them."""

from __future__ import annotations

import io
import math
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np


@dataclass(frozen=True)
class ArrayLimits:
    """What the arrays of a file may take.

    Attributes:
        bytes: of all arrays together once they are in double precision, whatever they are stored as.
        side: numbers along any side of an array.

    """

    bytes: int
    side: int


#: Vertices and faces come first here; the shipped hand model has 3190 faces and 1 MB.
HAND_MODEL = ArrayLimits(bytes=128_000_000, side=100_000)
#: Labels and meshes of a benchmark; 20,000 meshes of MANO have 380 MB.
LABELS = ArrayLimits(bytes=512_000_000, side=10_000_000)

#: Bytes of an array's header with all that is before it: NumPy takes 10,000 letters.
_MAX_HEADER = 12_000
_DOUBLE = 8
#: Arrays of a file, each of which takes time; hand models have ten.
_MAX_ARRAYS = 1000


def read_npz(path: Path, limits: ArrayLimits = HAND_MODEL) -> dict[str, np.ndarray]:
    """Read an ``.npz`` whose sizes are looked at before anything is unpacked.

    Raises:
        ValueError: an array holds something else than numbers and text, or they take more than the limits.
        OSError, zipfile.BadZipFile, zlib.error: the file cannot be read, or is damaged.

    """
    left = limits.bytes
    with zipfile.ZipFile(path) as archive:
        if len(archive.infolist()) > _MAX_ARRAYS:
            raise ValueError(f'it has more than {_MAX_ARRAYS} arrays')
        for member in archive.infolist():
            with archive.open(member) as stream:
                shape, dtype, _ = _header(stream)
            left -= max(member.file_size, _doubles(shape, dtype, limits))
            if left < 0:
                raise _too_large(limits)
    with np.load(path, allow_pickle=False) as data:
        return {name: data[name] for name in data.files}


def read_npy(path: Path, limits: ArrayLimits = LABELS) -> np.ndarray:
    """Read an ``.npy`` whose header promises no more than the file has.

    Raises:
        ValueError: it holds something else than numbers and text, less than its header says, or more than the limits.
        OSError: the file cannot be read.

    """
    with path.open('rb') as stream:
        shape, dtype, start = _header(stream)
    promised, held = math.prod(shape) * dtype.itemsize, path.stat().st_size - start
    if promised > held:
        raise ValueError(f'its header promises {promised} bytes, and {held} are there')
    if _doubles(shape, dtype, limits) > limits.bytes:
        raise _too_large(limits)
    array: np.ndarray = np.load(path, allow_pickle=False)
    return array


def _header(stream: IO[bytes]) -> tuple[tuple[int, ...], np.dtype, int]:
    """The shape and the type that the header of an array promises, and the header's length."""
    # No more is read than a header may have, as it says itself how long it is.
    start = io.BytesIO(stream.read(_MAX_HEADER))
    version = np.lib.format.read_magic(start)
    header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = header(start)
    return shape, dtype, start.tell()


def _doubles(shape: tuple[int, ...], dtype: np.dtype, limits: ArrayLimits) -> int:
    """Bytes of an array in double precision; an element of text may take more."""
    if dtype.kind not in 'biufUS':
        raise ValueError('an array holds neither real numbers nor text')
    if min(shape, default=0) < 0:
        raise ValueError(f'an array has the shape {shape}')
    if max(shape, default=0) > limits.side:
        raise ValueError(f'an array has the shape {shape}; no side may be longer than {limits.side}')
    return math.prod(shape) * max(dtype.itemsize, _DOUBLE)


def _too_large(limits: ArrayLimits) -> ValueError:
    return ValueError(f'in double precision its arrays take more than {limits.bytes // 10**6} MB')
