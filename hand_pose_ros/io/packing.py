"""Unpacking what recordings are packed by, in memory and on the disk, with a limit.

A few kilobytes can unpack to any size, and a header may promise less or nothing: what comes out is counted.
"""

from __future__ import annotations

import bz2
import sys
from collections.abc import Callable
from functools import partial
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any, BinaryIO

from hand_pose_ros.io.frame import RecordingError

#: Bytes that a chunk or a message may hold: recorders write a chunk about every megabyte, and a 4K image takes 33 MB.
MOST_BYTES = 128_000_000
#: A whole file may become so many times as large, or so large: depth, with holes, packs to a tenth.
MOST_UNPACKED, ALWAYS_UNPACKED_BYTES = 50, 1_000_000_000
_PART_BYTES = 1 << 20


class TooLargeError(RecordingError):
    """A part of a recording takes more memory, or room on the disk, than it gets."""


def _zstd() -> Any:
    return import_module('compression.zstd' if sys.version_info >= (3, 14) else 'backports.zstd')


#: What makes a decompressor of one frame or stream, by the packing's name.
_DECOMPRESSORS: dict[str, Callable[[], Any]] = {
    'zstd': lambda: _zstd().ZstdDecompressor(),
    'lz4': lambda: import_module('lz4.frame').LZ4FrameDecompressor(),
    'bz2': bz2.BZ2Decompressor,
}
PACKINGS = tuple(_DECOMPRESSORS)


def unpack(packing: str, data: bytes, most: int = MOST_BYTES) -> bytes:
    """Unpack all frames of ``data``.

    Args:
        packing: one of ``PACKINGS``.
        data: packed by it.
        most: bytes that may come out.

    Raises:
        TooLargeError: more would come out.
        RecordingError: the data end too early.

    """
    parts: list[bytes] = []
    left = most
    while data:
        decompressor = _DECOMPRESSORS[packing]()
        parts.append(decompressor.decompress(data, max_length=left + 1))
        left -= len(parts[-1])
        if left < 0:
            raise TooLargeError(f'a part of it takes more than {most} bytes unpacked; so much is not read')
        if not decompressor.eof:
            raise RecordingError('the packed data end too early')
        data = decompressor.unused_data or b''
    return b''.join(parts)


def unpack_chunk(packing: str, data: bytes, size: int) -> bytes:
    """Unpack a chunk of an MCAP file that promises to hold ``size`` bytes; what no packing is named for stays as it is.

    Raises:
        TooLargeError: it promises more than a part may hold, or holds more than it promises.
        RecordingError: the data end too early.

    """
    if size > MOST_BYTES:
        raise TooLargeError(
            f'a chunk of it takes {size / 1e6:.0f} MB unpacked; at most {MOST_BYTES // 10**6} MB are read'
        )
    return unpack(packing, data, size) if packing in PACKINGS else data


class PackedFile:
    """A file packed by zstd; to read more of it than a file of its size may hold raises TooLargeError."""

    def __init__(self, packed: BinaryIO, mode: str = 'rb') -> None:
        assert mode == 'rb'
        size = packed.seek(0, 2)
        packed.seek(0)
        self._stream = _zstd().open(packed, 'rb')
        self._left = max(MOST_UNPACKED * size, ALWAYS_UNPACKED_BYTES)

    def __enter__(self) -> PackedFile:
        return self

    def __exit__(self, *_: object) -> None:
        self._stream.close()

    def read(self, size: int = _PART_BYTES) -> bytes:
        """Return up to ``size`` bytes more."""
        part: bytes = self._stream.read(size)
        self._left -= len(part)
        if self._left < 0:
            raise TooLargeError('it becomes too large when it is unpacked; unpack it with "zstd -d"')
        return part


def unpacked(path: Path, folder: Path) -> Path:
    """Unpack a file of a recording that is packed by zstd, into a folder; returns the unpacked one."""
    out = folder / path.stem
    with path.open('rb') as packed, PackedFile(packed) as whole, out.open('wb') as stream:
        while part := whole.read():
            stream.write(part)
    return out


def limit_rosbags() -> None:
    """Have rosbags unpack by this module: its own functions have no limit."""
    ros1: Any = import_module('rosbags.rosbag1.reader')
    ros2: Any = import_module('rosbags.rosbag2.reader')
    mcap: Any = import_module('rosbags.rosbag2.storage_mcap')
    for packing in ('lz4', 'bz2'):
        ros1.decompressors[packing] = partial(unpack, packing)
    for packing in ('lz4', 'zstd'):
        mcap.DECOMPRESSORS[packing] = partial(unpack_chunk, packing)
    ros2.zstd = SimpleNamespace(decompress=partial(unpack, 'zstd'), open=PackedFile)
