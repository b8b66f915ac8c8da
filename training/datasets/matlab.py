"""MATLAB's files of labels, which may be damaged."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import scipy.io

from training.datasets.frames import DatasetError, read_file


def read_variable(path: Path, variable: str, source: str) -> np.ndarray:
    """Read one variable of a file.

    Args:
        path: the file.
        variable: its name.
        source: what the file is part of, and where to get that.

    Raises:
        DatasetError: the file is missing or damaged, or holds no such variable.

    """
    data = read_file(path, source)
    try:
        return scipy.io.loadmat(io.BytesIO(data), variable_names=[variable])[variable]
    except Exception as error:  # scipy raises whatever a damaged file leads it to, down to zlib.error
        raise DatasetError(
            f'{path} is damaged or no MATLAB file with {variable} ({type(error).__name__}: {error}); '
            f'get it again from {source}'
        ) from error
