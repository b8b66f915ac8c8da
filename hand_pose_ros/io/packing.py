"""Unpacking what recordings are packed by, in memory and on the disk, with a limit.

A few kilobytes can unpack to any size, and a header may promise less or nothing: what comes out is counted.
"""

from __future__ import annotations

import bz2
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, BinaryIO

from hand_pose_ros.io.frame import RecordingError

#: Bytes that a chunk or a message may hold: recorders write a chunk about every megabyte, and a 4K image takes 33 MB.
MOST_BYTES = 128_000_000
#: A whole file may become so many times as large, or so large: depth, with holes, packs to a tenth.
MOST_UNPACKED, ALWAYS_UNPACKED_BYTES = 50, 1_000_000_000
#: The chunks of a file may hold so many records in all, or one for so many of its bytes: what tells a message from the
#: one before it takes as many, however well it packs.
ALWAYS_RECORDS, BYTES_PER_RECORD = 2_000_000, 5
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


def _most_unpacked(size: int) -> int:
    """Bytes that a file of so many may become."""
    return max(MOST_UNPACKED * size, ALWAYS_UNPACKED_BYTES)


@dataclass
class Allowance:
    """What the chunks of an MCAP file may hold in all, as far as it is not used up.

    Attributes:
        unpacked: bytes.
        records: of any kind.

    """

    unpacked: int
    records: int

    @classmethod
    def of(cls, path: Path) -> Allowance:
        """What one reading of a file may take."""
        size = path.stat().st_size
        return cls(_most_unpacked(size), max(size // BYTES_PER_RECORD, ALWAYS_RECORDS))

    def unpack_chunk(self, packing: str, data: bytes, size: int) -> bytes:
        """Unpack a chunk that promises to hold ``size`` bytes; what no packing is named for stays as it is.

        Raises:
            TooLargeError: it promises more than a part may hold, or holds more than it promises or than is left.
            RecordingError: the data end too early.

        """
        if size > MOST_BYTES:
            raise TooLargeError(
                f'a chunk of it takes {size / 1e6:.0f} MB unpacked; at most {MOST_BYTES // 10**6} MB are read'
            )
        records = unpack(packing, data, size) if packing in PACKINGS else data
        self.unpacked -= len(records)
        if self.unpacked < 0:
            raise TooLargeError('its chunks become too large when they are unpacked; so much is not read')
        self._count(records)
        return records

    def _count(self, records: bytes) -> None:
        at = 0
        while at < len(records):
            self.records -= 1
            if self.records < 0:
                raise TooLargeError('its chunks hold more records than a recording of its size; so many are not read')
            at += 9 + int.from_bytes(records[at + 1 : at + 9], 'little')


class PackedFile:
    """A file packed by zstd; to read more of it than a file of its size may hold raises TooLargeError."""

    def __init__(self, packed: BinaryIO, mode: str = 'rb') -> None:
        assert mode == 'rb'
        size = packed.seek(0, 2)
        packed.seek(0)
        self._stream = _zstd().open(packed, 'rb')
        self._left = _most_unpacked(size)

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
