"""Arrays in files, whose sizes are looked at before memory is given to them."""

from __future__ import annotations

import math
import zipfile
from pathlib import Path
from typing import IO

import numpy as np

#: Bytes that a file, and all of its arrays together, may take: the shipped hand model and MANO's own have 4 MB at most.
MAX_BYTES = 256_000_000


def read_npz(path: Path) -> dict[str, np.ndarray]:
    """Read an ``.npz`` whose sizes are looked at before anything is unpacked.

    Raises:
        ValueError: an array holds objects, or all of them take more than ``MAX_BYTES``.
        OSError, zipfile.BadZipFile, zlib.error: the file cannot be read, or is damaged.

    """
    left = MAX_BYTES
    with zipfile.ZipFile(path) as archive:
        for member in archive.infolist():
            with archive.open(member) as stream:
                left -= max(member.file_size, _bytes_by_header(stream))
            if left < 0:
                raise ValueError(f'its arrays take more than {MAX_BYTES // 10**6} MB')
    with np.load(path, allow_pickle=False) as data:
        return {name: data[name] for name in data.files}


def read_npy(path: Path) -> np.ndarray:
    """Read an ``.npy`` whose header promises no more than the file has.

    Raises:
        ValueError: it holds objects, or less than its header says.
        OSError: the file cannot be read.

    """
    with path.open('rb') as stream:
        promised, held = _bytes_by_header(stream), path.stat().st_size - stream.tell()
    if promised > held:
        raise ValueError(f'its header promises {promised} bytes, and {held} are there')
    array: np.ndarray = np.load(path, allow_pickle=False)
    return array


def _bytes_by_header(stream: IO[bytes]) -> int:
    """Bytes that the header of an array promises; the stream is behind it then."""
    version = np.lib.format.read_magic(stream)
    header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = header(stream)
    if min(shape, default=0) < 0:
        raise ValueError(f'an array has the shape {shape}')
    return math.prod(shape) * dtype.itemsize
