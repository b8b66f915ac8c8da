"""Recordings that ended badly: what is whole in an MCAP file without its end, or in a database with its journal.

The formats: https://mcap.dev/spec, and rosbag2's tables ``topics`` and ``messages``.
"""

from __future__ import annotations

import shutil
import sqlite3
import struct
import tempfile
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from hand_pose_ros.io.frame import RecordingError
from hand_pose_ros.io.packing import MOST_BYTES, unpack_chunk

_MAGIC = b'\x89MCAP0\r\n'
#: Opcodes of the records that matter here.
_SCHEMA, _CHANNEL, _MESSAGE, _CHUNK = 3, 4, 5, 6


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
    """An MCAP file without footer and index: its records up to where it is cut."""

    _schemas: dict[int, str] = field(default_factory=dict)

    def messages(self) -> Iterator[tuple[SalvagedTopic, int, bytes]]:
        """See :meth:`SalvagedFile.messages`."""
        with open(self.path, 'rb') as stream:
            if stream.read(len(_MAGIC)) != _MAGIC:
                raise RecordingError(f'{self.path}: no MCAP file')
            while head := stream.read(9):
                length = int.from_bytes(head[1:], 'little')
                if len(head) < 9 or length > MOST_BYTES:
                    self.missing = 'it is cut off or damaged'
                    return
                body = stream.read(length)
                if len(body) < length:
                    self.missing = 'its end is missing: the recorder did not finish it'
                    return
                yield from self._record(head[0], body)

    def _record(self, opcode: int, body: bytes) -> Iterator[tuple[SalvagedTopic, int, bytes]]:
        if opcode == _CHUNK:
            records = _unpacked_chunk(body)
            at = 0
            while at + 9 <= len(records):
                length = int.from_bytes(records[at + 1 : at + 9], 'little')
                if records[at] != _CHUNK:  # no chunk holds another
                    yield from self._record(records[at], records[at + 9 : at + 9 + length])
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


def _unpacked_chunk(body: bytes) -> bytes:
    size = struct.unpack_from('<Q', body, 16)[0]
    compression, at = _text(body, 28)
    return unpack_chunk(compression, body[at + 8 :], size)


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
            with closing(sqlite3.connect(Path(folder) / self.path.name)) as database:
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

    Raises:
        RecordingError: nothing is left in any of them.

    """

    def __init__(self, files: list[Path]) -> None:
        kinds = {'.mcap': SalvagedMcap, '.db3': SalvagedDatabase}
        self._files: list[SalvagedFile] = [kinds[path.suffix](path) for path in files]
        for file in self._files:
            file.scan()
        self.connections = [topic for file in self._files for topic in file.topics.values()]
        if not any(topic.msgcount for topic in self.connections):  # nor in no files
            raise RecordingError('no message is left in it')

    @property
    def note(self) -> str:
        """What is missing, for people."""
        found = [f'{file.path.name}: {file.missing}' for file in self._files if file.missing]
        count = sum(topic.msgcount for topic in self.connections)
        return f'the recording ended badly; {count} messages are read ({"; ".join(found) or "without its index"})'

    def messages(self, connections: list[SalvagedTopic]) -> Iterator[tuple[SalvagedTopic, int, bytes]]:
        """Yield topic, time and message of the topics named."""
        wanted = {id(topic) for topic in connections}
        for file in self._files:
            for topic, stamp, data in file.messages():
                if id(topic) in wanted:
                    yield topic, stamp, data
