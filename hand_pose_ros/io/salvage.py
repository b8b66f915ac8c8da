"""Recordings that ended badly or were damaged: what is whole in an MCAP file without its end or with bad chunks, or in
a database with its journal.

The formats: https://mcap.dev/spec, and rosbag2's tables ``topics`` and ``messages``.
"""

from __future__ import annotations

import shutil
import sqlite3
import struct
import tempfile
import zlib
from array import array
from collections.abc import Callable, Collection, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hand_pose_ros.io.checks import open_database
from hand_pose_ros.io.frame import RecordingError
from hand_pose_ros.io.packing import MOST_BYTES, Allowance, TooLargeError, unpack

_MAGIC = b'\x89MCAP0\r\n'
#: Opcodes of the records that matter here.
_SCHEMA, _CHANNEL, _MESSAGE, _CHUNK = 3, 4, 5, 6
#: What zstd's data begin with; no serialized message does.
_ZSTD = b'\x28\xb5\x2f\xfd'


@dataclass
class SalvagedTopic:
    """A topic of a recording.

    Attributes:
        id: of the topic in its file.
        topic: name.
        msgtype: such as ``sensor_msgs/msg/Image``.
        msgcount: messages that are there.

    """

    id: int
    topic: str
    msgtype: str
    msgcount: int = 0


@dataclass
class SalvagedFile:
    """One file of a recording, read from its start; messages stay on the disk.

    Attributes:
        topics: by id.
        missing: what is not whole, for people.

    """

    path: Path
    topics: dict[int, SalvagedTopic] = field(default_factory=dict)
    missing: str = ''

    def messages(self) -> Iterator[tuple[SalvagedTopic, int, bytes]]:
        """Yield topic, log time in nanoseconds and message, in the order of the file."""
        raise NotImplementedError

    def scan(self) -> None:
        """Find the topics, and count their messages."""
        for topic, _, _ in self.messages():
            topic.msgcount += 1


@dataclass
class SalvagedMcap(SalvagedFile):
    """An MCAP file read without footer and index: its whole records up to where it is cut."""

    _schemas: dict[int, str] = field(default_factory=dict)

    def messages(self) -> Iterator[tuple[SalvagedTopic, int, bytes]]:
        """See :meth:`SalvagedFile.messages`."""
        allowance = Allowance.of(self.path)
        damaged, ending = 0, 'its end is missing: the recorder did not finish it'
        with open(self.path, 'rb') as stream:
            if stream.read(len(_MAGIC)) != _MAGIC:
                raise RecordingError(f'{self.path}: no MCAP file')
            while head := stream.read(9):
                if head == _MAGIC:  # which ends the file as well
                    ending = ''
                    break
                length = int.from_bytes(head[1:], 'little')
                if len(head) < 9 or length > MOST_BYTES:
                    ending = 'it is cut off or damaged'
                    break
                body = stream.read(length)
                if len(body) < length:
                    break
                try:
                    found = list(self._record(head[0], body, allowance))
                except TooLargeError:
                    raise
                # Whatever error the damaged bytes cause; the records behind them may be whole.
                except Exception:
                    damaged += 1
                    continue
                yield from found
        parts = [f'damaged parts that are left out: {damaged}' if damaged else '', ending]
        self.missing = ', '.join(part for part in parts if part)

    def _record(self, opcode: int, body: bytes, allowance: Allowance) -> Iterator[tuple[SalvagedTopic, int, bytes]]:
        if opcode == _CHUNK:
            records = _unpacked_chunk(body, allowance)
            at = 0
            while at + 9 <= len(records):
                length = int.from_bytes(records[at + 1 : at + 9], 'little')
                if records[at] != _CHUNK:  # no chunk holds another
                    yield from self._record(records[at], records[at + 9 : at + 9 + length], allowance)
                at += 9 + length
        elif opcode == _SCHEMA:
            self._schemas[int.from_bytes(body[:2], 'little')] = _text(body, 2)[0]
        elif opcode == _CHANNEL:
            number, schema = struct.unpack_from('<HH', body)
            topic, _ = _text(body, 4)
            self.topics.setdefault(number, SalvagedTopic(number, topic, self._schemas.get(schema, '')))
        elif opcode == _MESSAGE and (number := int.from_bytes(body[:2], 'little')) in self.topics:
            yield self.topics[number], struct.unpack_from('<Q', body, 6)[0], body[22:]


def _text(body: bytes, at: int) -> tuple[str, int]:
    length = int.from_bytes(body[at : at + 4], 'little')
    return body[at + 4 : at + 4 + length].decode(errors='replace'), at + 4 + length


def _unpacked_chunk(body: bytes, allowance: Allowance) -> bytes:
    size, checksum = struct.unpack_from('<QI', body, 16)
    compression, at = _text(body, 28)
    records = allowance.unpack_chunk(compression, body[at + 8 :], size)
    if checksum and zlib.crc32(records) != checksum:
        raise RecordingError('the checksum of a chunk is another')
    return records


@dataclass
class SalvagedDatabase(SalvagedFile):
    """A database of rosbag2 with whatever journal lies beside it, read from a copy, which SQLite may repair."""

    def messages(self) -> Iterator[tuple[SalvagedTopic, int, bytes]]:
        """See :meth:`SalvagedFile.messages`."""
        with tempfile.TemporaryDirectory() as folder:
            for suffix in ('', '-wal', '-shm'):
                part = Path(f'{self.path}{suffix}')
                if part.is_file():
                    shutil.copy(part, folder)
                    self.missing = 'rows came from its journal (-wal)' if suffix == '-wal' else self.missing
            with closing(open_database(Path(folder) / self.path.name)) as database:
                try:
                    yield from self._rows(database)
                except sqlite3.DatabaseError:
                    if not self.topics:
                        raise
                    self.missing = 'it is cut off or damaged'

    def _rows(self, database: sqlite3.Connection) -> Iterator[tuple[SalvagedTopic, int, bytes]]:
        for number, name, kind in database.execute('SELECT id, name, type FROM topics'):
            self.topics.setdefault(number, SalvagedTopic(number, name, kind))
        rows = database.execute('SELECT topic_id, timestamp, data FROM messages ORDER BY timestamp')
        for number, stamp, data in rows:
            if number in self.topics:
                yield self.topics[number], stamp, data


class SalvagedBag:
    """What can be read of a recording whose own index cannot; the interface of rosbags' reader.

    Args:
        files: of the recording, in order.
        lacking: what is wrong with the recording where its files are whole, for people.

    Raises:
        RecordingError: nothing is left in any of them.

    """

    def __init__(self, files: list[Path], lacking: str) -> None:
        kinds = {'.mcap': SalvagedMcap, '.db3': SalvagedDatabase}
        self._files: list[SalvagedFile] = [kinds[path.suffix.lower()](path) for path in files]
        self._lacking = lacking
        #: A recorder goes on with its topics from file to file.
        self._topics: dict[tuple[str, str], SalvagedTopic] = {}
        for file in self._files:
            file.scan()
            for topic in file.topics.values():
                merged = SalvagedTopic(len(self._topics), topic.topic, topic.msgtype)
                self._topics.setdefault((topic.topic, topic.msgtype), merged).msgcount += topic.msgcount
        self.connections = list(self._topics.values())
        if not any(topic.msgcount for topic in self.connections):  # nor in no files
            raise RecordingError('no message is left in it')

    @property
    def note(self) -> str:
        """What is missing, for people."""
        found = [f'{file.path.name}: {file.missing}' for file in self._files if file.missing]
        count = sum(topic.msgcount for topic in self.connections)
        if not found:
            return f'{self._lacking}; all {count} messages are read from its files'
        return f'the recording ended badly or is damaged; {count} messages are read ({"; ".join(found)})'

    def messages(self, connections: Collection[Any] = ()) -> Iterator[tuple[SalvagedTopic, int, bytes]]:
        """Yield topic, time and message of the topics named; of all where none is."""
        wanted = {(topic.topic, topic.msgtype) for topic in connections or self.connections}
        for file in self._files:
            for topic, stamp, data in file.messages():
                if (key := (topic.topic, topic.msgtype)) in wanted:
                    yield self._topics[key], stamp, _unpacked_message(data)


def _unpacked_message(data: bytes) -> bytes:
    """A message as it was before the recorder packed it, if it did; one that is damaged stays as it is."""
    if not data.startswith(_ZSTD):
        return data
    try:
        return unpack('zstd', data)
    except TooLargeError:
        raise
    except Exception:
        return data


class MendedReader:
    """Rosbags' reader and, from where that fails on, what can be salvaged.

    Args:
        reader: rosbags' own, opened.
        salvage: makes what can be salvaged, or None where nothing can.

    """

    def __init__(self, reader: Any, salvage: Callable[[], SalvagedBag | None]) -> None:
        self._reader, self._salvage = reader, salvage
        self.connections = reader.connections
        #: What is missing, for people; known once it was come upon.
        self.note = ''

    def messages(self, connections: Collection[Any] = ()) -> Iterator[tuple[Any, int, bytes]]:
        """Yield topic, time and message of the topics named; of all where none is."""
        seen: dict[str, array[int]] = {}
        try:
            for connection, stamp, data in self._reader.messages(connections):
                seen.setdefault(connection.topic, array('q')).append(stamp)
                yield connection, stamp, data
            return
        except TooLargeError:
            raise
        except Exception:
            if (salvaged := self._salvage()) is None:
                raise
        self.note = salvaged.note
        wanted = {(c.topic, c.msgtype): c for c in connections or self.connections}
        done = {topic: set(stamps) for topic, stamps in seen.items()}
        for topic, stamp, data in salvaged.messages(list(wanted.values())):
            if stamp not in done.get(topic.topic, ()):
                yield wanted[topic.topic, topic.msgtype], stamp, data
