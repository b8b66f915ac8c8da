"""What is looked at before a recording is read, by rosbags as well: that it is files, that its databases hold nothing
but tables, and how much its chunks become.

A view or a generated column is a program: a hundred bytes of it can run for ever, or fill the memory.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextvars import Context, ContextVar, copy_context
from functools import lru_cache, partial, wraps
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from hand_pose_ros.files import check_regular
from hand_pose_ros.io.frame import RecordingError
from hand_pose_ros.io.packing import MOST_BYTES, Allowance, PackedFile, unpack

#: What SQLite stores of plain tables and of what belongs to them, in these very letters.
_PLAIN = ('CREATE TABLE ', 'CREATE INDEX ', 'CREATE UNIQUE INDEX ', 'CREATE TRIGGER ')
#: Tables that are read.
_READ = ('schema', 'topics', 'messages', 'message_definitions')
#: Steps of SQLite's machine that all queries of a connection may take, or so many for a byte of the file: a row takes
#: some ten. Damaged pages that point at one another would take steps for ever.
ALWAYS_STEPS, STEPS_PER_BYTE = 200_000_000, 50
_STEPS_AT_ONCE = 1_000_000
#: SQLITE_LIMIT_LENGTH, which Python names from 3.11 on.
_LENGTH = 0


def check_files(path: Path) -> None:
    """Raise OSError where a recording, or what lies in its folder, is a pipe or a device."""
    for file in path.iterdir() if path.is_dir() else (path,):
        if file.exists():
            check_regular(file)


def open_database(path: Path) -> sqlite3.Connection:
    """Open a database by :func:`protect`; raises RecordingError where it holds more than plain tables."""
    connection = sqlite3.connect(path)
    return _protected(connection, getattr(connection, 'setlimit', None))


def _protected(connection: Any, set_limit: Callable[[int, int], object] | None) -> Any:
    try:
        protect(connection, set_limit)
    except BaseException:
        connection.close()
        raise
    return connection


def protect(connection: Any, set_limit: Callable[[int, int], object] | None) -> None:
    """Limit what the queries of a connection, of sqlite3 or apsw, may take, and look at its tables.

    Args:
        connection: just opened.
        set_limit: its method for SQLite's limits, where there is one.

    Raises:
        RecordingError: it holds more than plain tables.

    """
    if set_limit:
        set_limit(_LENGTH, MOST_BYTES)
    ((pages,),) = connection.execute('PRAGMA page_count')
    ((page_bytes,),) = connection.execute('PRAGMA page_size')
    left = max(ALWAYS_STEPS, STEPS_PER_BYTE * pages * page_bytes)

    def is_enough() -> bool:
        nonlocal left
        left -= _STEPS_AT_ONCE
        return left < 0

    connection.set_progress_handler(is_enough, _STEPS_AT_ONCE)
    _check_tables(connection)


def _check_tables(connection: Any) -> None:
    """Look at the definitions, which runs none of them. Their text counts: the kind beside it may say otherwise."""
    for name, definition in connection.execute('SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL'):
        if not str(definition).startswith(_PLAIN):
            raise RecordingError(
                f'its {str(name)[:100]!r} is a view or a virtual table, which can run for ever and which no recorder '
                'writes; copy the messages to a recording without it'
            )
    for table in _READ:
        for _, column, *_, hidden in connection.execute(f'PRAGMA table_xinfo({table})'):
            if hidden:
                raise RecordingError(
                    f'the column {column[:100]!r} of its table {table!r} is computed, which can fill the memory and '
                    'which no recorder writes; copy the messages to a recording without it'
                )


@lru_cache(maxsize=1)
def limit_rosbags() -> None:
    """Have rosbags keep to the limits that hold here: its own functions have none."""
    ros1: Any = import_module('rosbags.rosbag1.reader')
    ros2: Any = import_module('rosbags.rosbag2.reader')
    mcap: Any = import_module('rosbags.rosbag2.storage_mcap')
    sqlite: Any = import_module('rosbags.rosbag2.storage_sqlite3')
    for packing in ('lz4', 'bz2'):
        ros1.decompressors[packing] = partial(unpack, packing)
    for packing in ('', 'lz4', 'zstd'):
        mcap.DECOMPRESSORS[packing] = partial(_unpack_chunk, packing)
    ros2.zstd = SimpleNamespace(decompress=partial(unpack, 'zstd'), open=PackedFile)
    for module in (ros2, mcap, sqlite):
        module.parse_qos = _no_profiles
    _limit_mcap(mcap.McapReader)
    connect = sqlite.apsw.Connection

    def protected(*args: Any, **kwargs: Any) -> Any:
        connection = connect(*args, **kwargs)
        return _protected(connection, connection.limit)

    sqlite.apsw = SimpleNamespace(**{**vars(sqlite.apsw), 'Connection': protected})


def _no_profiles(_: object) -> list[Any]:
    """How topics were sent is asked by nobody here, and is YAML, a line of which can fill the memory."""
    return []


#: Of the file that rosbags is going through: its functions that unpack do not know which it is.
_ALLOWANCE: ContextVar[Allowance] = ContextVar('allowance')


def _unpack_chunk(packing: str, data: bytes, size: int) -> bytes:
    return _ALLOWANCE.get().unpack_chunk(packing, data, size)


def _context(path: Path) -> Context:
    """A context in which the chunks of a file are unpacked once."""
    context = copy_context()
    context.run(_ALLOWANCE.set, Allowance.of(path))
    return context


def _limit_mcap(reader: Any) -> None:
    """Have rosbags' reader of MCAP files keep to an allowance each time that it goes through a file."""
    read_index, meta_scan, messages = reader.read_index, reader.meta_scan, reader.messages

    @wraps(read_index)
    def checked_index(self: Any) -> None:
        read_index(self)
        if len({chunk.chunk_start_offset for chunk in self.chunks}) < len(self.chunks):
            raise RecordingError('its index names a chunk twice')

    @wraps(meta_scan)
    def limited_scan(self: Any) -> None:
        _context(self.path).run(meta_scan, self)

    @wraps(messages)
    def limited_messages(self: Any, *args: Any, **kwargs: Any) -> Iterator[Any]:
        context, found = _context(self.path), messages(self, *args, **kwargs)
        while (message := context.run(next, found, None)) is not None:
            yield message

    reader.read_index, reader.meta_scan, reader.messages = checked_index, limited_scan, limited_messages
