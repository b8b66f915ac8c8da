"""Sizes of an MCAP file's compressed chunks, looked at before they are unpacked."""

from __future__ import annotations

import struct
from functools import lru_cache
from pathlib import Path

#: Bytes that a chunk may hold: recorders write one about every megabyte, and a 4K image takes 33 MB.
MAX_CHUNK_BYTES = 256_000_000

_MAGIC, _CHUNK = b'\x89MCAP', 6
_RECORD = struct.Struct('<BQ')
#: Of a chunk: first and last time, size unpacked, checksum, length of the compression's name.
_HEAD = struct.Struct('<QQQII')
_ZSTD, _ZSTD_MAGIC = b'zstd', b'\x28\xb5\x2f\xfd'


def check_chunks(path: Path) -> None:
    """Raise ValueError where a chunk of an MCAP file says that it takes too much memory; of other files nothing."""
    stat = path.stat()
    _check(path, stat.st_size, stat.st_mtime_ns)


@lru_cache(maxsize=16)
def _check(path: Path, size: int, _: int) -> None:
    with path.open('rb') as stream:
        if not stream.read(8).startswith(_MAGIC):
            return
        at = 8
        while at + _RECORD.size <= size:
            stream.seek(at)
            kind, length = _RECORD.unpack(stream.read(_RECORD.size))
            if kind == _CHUNK and length >= _HEAD.size:
                head = stream.read(_HEAD.size + 64)
                _, _, unpacked, _, name = _HEAD.unpack_from(head)
                data = head[_HEAD.size + name + 8 :]  # behind the name and the length of the data
                if head[_HEAD.size : _HEAD.size + name] == _ZSTD:
                    unpacked = max(unpacked, _zstd_size(data))
                if unpacked > MAX_CHUNK_BYTES:
                    raise ValueError(
                        f'a chunk of it takes {unpacked / 1e6:.0f} MB unpacked; at most {MAX_CHUNK_BYTES // 10**6} MB '
                        'are read'
                    )
            at += _RECORD.size + length


def _zstd_size(data: bytes) -> int:
    """The size that a zstd frame's header promises; 0 where it promises none (RFC 8878, 3.1.1.1)."""
    if data[:4] != _ZSTD_MAGIC or len(data) < 18:
        return 0
    flags = data[4]
    single = flags >> 5 & 1
    width = (single, 2, 4, 8)[flags >> 6]
    start = 5 + (0 if single else 1) + (0, 1, 2, 4)[flags & 3]
    return int.from_bytes(data[start : start + width], 'little') + (256 if width == 2 else 0)
