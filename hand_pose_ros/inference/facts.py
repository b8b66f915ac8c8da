"""What an ONNX file says of itself, read without any library for it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

#: Key of a file's metadata of its task and calibration, as JSON; ``python -m training export`` writes it.
FACTS = 'hand_pose_ros'

#: Fields of ONNX's ModelProto and StringStringEntryProto (onnx.proto3).
_METADATA, _KEY, _VALUE = 14, 1, 2
#: The facts take a hundred bytes.
_MAX_BYTES = 1_000_000


def read_facts(path: Path) -> dict[str, Any]:
    """Return the facts that a file's metadata hold: ``task``, ``confidence``, ``presence``; none where it has none.

    Raises:
        ValueError, RecursionError: the metadata are damaged.
        OSError: the file cannot be read.

    """
    for field, value in _fields(path.read_bytes()):
        if field == _METADATA and len(value) < _MAX_BYTES:
            entry = {number: bytes(part) for number, part in _fields(value)}
            if entry.get(_KEY) == FACTS.encode():
                facts = json.loads(entry.get(_VALUE, b''))
                if not isinstance(facts, dict):
                    raise ValueError('its metadata are damaged')
                return facts
    return {}


def _fields(data: bytes | memoryview) -> Iterator[tuple[int, memoryview]]:
    """Yield number and content of those fields of a protobuf message that have a length; ends where it is damaged."""
    view, at = memoryview(data), 0
    while at < len(view):
        tag, at = _varint(view, at)
        kind = tag & 7
        if kind == 0:
            _, at = _varint(view, at)
        elif kind == 1 or kind == 5:
            at += 8 if kind == 1 else 4
        elif kind == 2:
            size, at = _varint(view, at)
            if at + size > len(view):
                return
            yield tag >> 3, view[at : at + size]
            at += size
        else:
            return


def _varint(view: memoryview, at: int) -> tuple[int, int]:
    """A number, and where the next thing begins; beyond the end where the data are cut short."""
    number = shift = 0
    while at < len(view) and shift < 64:
        number |= (view[at] & 0x7F) << shift
        shift += 7
        at += 1
        if view[at - 1] < 0x80:
            return number, at
    return number, len(view)
