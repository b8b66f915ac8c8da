"""Arrays in files, whose sizes are looked at before memory is given to them."""

from __future__ import annotations

import math
import zipfile
from pathlib import Path

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
                version = np.lib.format.read_magic(stream)
                header = (
                    np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
                )
                shape, _, dtype = header(stream)
            left -= max(member.file_size, math.prod(shape) * dtype.itemsize)
            if left < 0 or min(shape, default=0) < 0:
                raise ValueError(f'its arrays take more than {MAX_BYTES // 10**6} MB')
    with np.load(path, allow_pickle=False) as data:
        return {name: data[name] for name in data.files}
