"""NVIDIA's GPU: whether there is one, and memory on it, through the driver and NVIDIA's ``cuda-python``."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from contextlib import ExitStack
from functools import lru_cache
from typing import Any

import numpy as np

from hand_pose_ros.estimation.engines.base import EngineError


@lru_cache(maxsize=1)
def gpu_name() -> str:
    """Return the name of the first GPU that CUDA's driver shows to this process, or an empty string.

    The driver's library is asked itself: it comes with the driver, needs no package, and where it is missing nothing
    else of CUDA may be touched (TensorRT's runtime ends the process then).
    """
    try:
        driver = ctypes.CDLL('libcuda.so.1')
    except OSError:
        return ''
    count, device, name = ctypes.c_int(), ctypes.c_int(), ctypes.create_string_buffer(256)
    if driver.cuInit(0) or driver.cuDeviceGetCount(ctypes.byref(count)) or not count.value:
        return ''
    if driver.cuDeviceGet(ctypes.byref(device), 0) or driver.cuDeviceGetName(name, len(name), device):
        return ''
    return name.value.decode()


def require_gpu() -> str:
    """Return the GPU's name.

    Raises:
        EngineError: there is none, or no driver for it.

    """
    name = gpu_name()
    if not name:
        raise EngineError('there is no NVIDIA GPU here, or no driver for it (`nvidia-smi` shows both); the other '
                          'engines need none: set the parameter engine to auto', 'no NVIDIA GPU')
    return name


def call(function: Callable[..., tuple], *arguments: Any) -> Any:
    """Call a function of ``cuda.bindings.runtime``: its result without the error code that comes first.

    Raises:
        EngineError: CUDA reports an error.

    """
    error, *results = function(*arguments)
    if int(error):
        raise EngineError(f'CUDA: {function.__name__} failed with {error.name}; `nvidia-smi` tells whether the GPU '
                          'works and has memory left', f'CUDA reports {error.name}')
    return results[0] if results else None


class Buffer:
    """A tensor's memory on the GPU and, pinned for copies beside the processor's work, on the host.

    Attributes:
        host: the array on the host, of the largest shape.
        device: address on the GPU.

    """

    def __init__(self, runtime: Any, shape: tuple[int, ...], dtype: np.dtype, resources: ExitStack) -> None:
        dtype = np.dtype(dtype)
        size = int(np.prod(shape)) * dtype.itemsize
        address = int(call(runtime.cudaMallocHost, size))
        resources.callback(runtime.cudaFreeHost, address)
        self.device = int(call(runtime.cudaMalloc, size))
        resources.callback(runtime.cudaFree, self.device)
        self.host = np.frombuffer((ctypes.c_byte * size).from_address(address), dtype).reshape(shape)

    def bytes_of(self, count: int) -> int:
        """Return the size of the first ``count`` entries along the batch."""
        return self.host[:count].nbytes
