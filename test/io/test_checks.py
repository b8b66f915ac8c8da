"""Recordings that are programs, bombs or no files are refused at once, whichever library would read them."""

import os
import sqlite3
import struct
from contextlib import closing

import cv2
import numpy as np
import pytest

from hand_pose_ros.io import checks, packing
from hand_pose_ros.io.bag import bag_reader
from hand_pose_ros.io.checks import open_database
from hand_pose_ros.io.frame import RecordingError
from hand_pose_ros.io.recording import open_recording

ENDLESS = 'WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT '
TABLES = {
    'topics': 'CREATE TABLE topics(id INTEGER PRIMARY KEY, name TEXT, type TEXT, serialization_format TEXT, '
    'offered_qos_profiles TEXT)',
    'messages': 'CREATE TABLE messages(id INTEGER PRIMARY KEY, topic_id INTEGER, timestamp INTEGER, data BLOB)',
    'rows': "INSERT INTO topics VALUES(1, '/a', 'std_msgs/msg/Empty', 'cdr', ''); "
    "INSERT INTO messages(topic_id, timestamp, data) VALUES(1, 1, x'00010000')",
}
PROGRAMS = {
    'messages without end': {
        'messages': f"CREATE VIEW messages AS {ENDLESS} x AS id, 1 AS topic_id, x AS timestamp, x'00' AS data FROM c",
        'rows': '',
    },
    'topics without end': {
        'topics': f"CREATE VIEW topics AS {ENDLESS} x AS id, '/a' AS name, 'b' AS type, 'cdr' AS serialization_format, "
        "'' AS offered_qos_profiles FROM c",
        'rows': '',
    },
    'a large message': {
        'messages': 'CREATE VIEW messages AS SELECT 1 AS topic_id, 1 AS timestamp, zeroblob(900000000) AS data',
        'rows': '',
    },
    'a virtual table': {'messages': 'CREATE VIRTUAL TABLE messages USING fts4(topic_id, timestamp, data)', 'rows': ''},
    'a computed column': {
        'messages': TABLES['messages'].replace('data BLOB', 'data BLOB AS (zeroblob(900000000))'),
        'rows': TABLES['rows'].partition(';')[0] + '; INSERT INTO messages(topic_id, timestamp) VALUES(1, 1)',
    },
}


def database(path, **parts):
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript('; '.join((TABLES | parts).values()))
        connection.commit()
    return path


@pytest.mark.parametrize('program', PROGRAMS)
def test_a_database_that_holds_more_than_tables_is_not_read(tmp_path, program):
    path = database(tmp_path / 'a.db3', **PROGRAMS[program])
    with pytest.raises(RecordingError, match=r'a\.db3.*no recorder writes'), bag_reader(path):
        pass
    with pytest.raises(RecordingError, match='no recorder writes'):
        open_database(path)


def test_what_belongs_to_a_table_may_be_there(tmp_path):
    rows = f'{TABLES["rows"]}; CREATE INDEX i ON messages(timestamp); CREATE UNIQUE INDEX j ON topics(name); ANALYZE'
    with bag_reader(database(tmp_path / 'a.db3', rows=rows)) as reader:
        assert [data for _, _, data in reader.messages()] == [b'\0\1\0\0']


def test_queries_take_limited_steps_and_values_limited_bytes(tmp_path, monkeypatch):
    monkeypatch.setattr(checks, 'ALWAYS_STEPS', 2_000_000)
    with closing(open_database(database(tmp_path / 'a.db3'))) as connection:
        with pytest.raises(sqlite3.OperationalError, match='interrupted'):
            connection.execute(f'{ENDLESS} count(*) FROM c').fetchall()
        if hasattr(connection, 'setlimit'):
            with pytest.raises(sqlite3.DataError, match='too big'):
                connection.execute(f'SELECT length(randomblob({packing.MOST_BYTES + 1}))').fetchall()


MERGING = '\n'.join(
    ['a0: &a0 {k: 1}', *(f'a{n}: &a{n} {{<<: [{", ".join([f"*a{n - 1}"] * 10)}]}}' for n in range(1, 9))]
)


def test_profiles_of_topics_are_not_parsed(tmp_path):
    rows = TABLES['rows'].replace("'')", f"'{MERGING}')")
    with bag_reader(database(tmp_path / 'a.db3', rows=rows)) as reader:
        assert len(list(reader.messages())) == 1
    channel = struct.pack('<HH', 1, 1) + text('/a') + text('cdr')
    channel += text((text('offered_qos_profiles') + text(MERGING)).decode())
    (tmp_path / 'a.mcap').write_bytes(mcap(record(4, channel) + MESSAGE))
    with bag_reader(tmp_path / 'a.mcap') as reader:
        assert len(list(reader.messages())) == 1


def record(opcode, body):
    return struct.pack('<BQ', opcode, len(body)) + body


def text(string):
    return struct.pack('<I', len(string)) + string.encode()


MAGIC = b'\x89MCAP0\r\n'
HEAD = MAGIC + record(1, text('ros2') + text('')) + record(3, struct.pack('<H', 1) + text('a') + text('') + text(''))
CHANNEL = record(4, struct.pack('<HH', 1, 1) + text('/a') + text('cdr') + text(''))
EMPTY = record(5, struct.pack('<HIQQ', 1, 1, 1, 1))
MESSAGE = record(5, struct.pack('<HIQQ', 1, 1, 1, 1) + b'\0\1\0\0')
END = record(2, bytes(20)) + MAGIC


def mcap(data, end=END):
    return HEAD + data + end


def chunk(records):
    packed = packing._zstd().compress(records)
    head = struct.pack('<QQQI', 1, 1, len(records), 0) + text('zstd') + struct.pack('<Q', len(packed))
    return record(6, head + packed)


def indexed(records, times):
    """A file of one chunk, which its index names several times."""
    part = chunk(records)
    start = len(HEAD + CHANNEL)
    entry = record(
        8,
        struct.pack('<QQQQ', 1, 1, start, len(part))
        + struct.pack('<IHQ', 10, 1, start + len(part))
        + struct.pack('<Q', 31)
        + text('zstd')
        + struct.pack('<QQ', len(part) - 9 - 44, len(records)),
    )
    count = struct.pack('<QHIIIIQQ', times, 1, 1, 0, 0, times, 1, 1) + struct.pack('<IHQ', 10, 1, times)
    summary = CHANNEL + entry * times + record(11, count)
    offset = start + len(part) + len(record(15, bytes(4)))
    return HEAD + CHANNEL + part + record(15, bytes(4)) + summary + record(2, struct.pack('<QQI', offset, 0, 0)) + MAGIC


def is_refused(path, words):
    with pytest.raises(RecordingError, match=words), bag_reader(path) as reader:
        list(reader.messages())


@pytest.mark.parametrize('end', [b'', END], ids=['cut', 'whole'])
@pytest.mark.parametrize('records', [EMPTY, b'\0' * 9], ids=['empty messages', 'zeros'])
def test_chunks_hold_no_more_records_than_a_recording(tmp_path, monkeypatch, records, end):
    path = tmp_path / 'a.mcap'
    path.write_bytes(mcap(CHANNEL + chunk(records * 6000) * 3 + MESSAGE, end))
    with bag_reader(path) as reader:
        assert reader.connections[0].msgcount == (18_001 if records == EMPTY else 1)
    monkeypatch.setattr(packing, 'ALWAYS_RECORDS', 15_000)
    is_refused(path, r'a\.mcap: its chunks hold more records')


@pytest.mark.parametrize('end', [b'', END], ids=['cut', 'whole'])
def test_chunks_are_limited_together(tmp_path, monkeypatch, end):
    path = tmp_path / 'a.mcap'
    large = record(5, struct.pack('<HIQQ', 1, 1, 1, 1) + bytes(1_000_000))
    path.write_bytes(mcap(CHANNEL + chunk(large) * 5, end))
    with bag_reader(path) as reader:
        assert len(list(reader.messages())) == 5
    monkeypatch.setattr(packing, 'ALWAYS_UNPACKED_BYTES', 4_000_000)
    is_refused(path, r'a\.mcap: its chunks become too large')


def test_a_chunk_that_the_index_names_twice_is_read_once(tmp_path):
    path = tmp_path / 'a.mcap'
    for times in (1, 300):
        path.write_bytes(indexed(MESSAGE, times))
        with bag_reader(path) as reader:
            assert len(list(reader.messages())) == 1
            assert bool(getattr(reader, 'note', '')) == (times > 1)


@pytest.fixture
def picture():
    return cv2.imencode('.png', np.zeros((24, 32, 3), np.uint8))[1].tobytes()


@pytest.mark.parametrize(
    'name', ['a.jpg', 'a.png', 'camera_info.yaml', 'a.mcap', 'a.db3', 'a.db3.zstd', 'metadata.yaml', 'v.mp4', 'a.bag']
)
@pytest.mark.parametrize('kind', ['pipe', 'device'])
def test_pipes_and_devices_are_not_read(tmp_path, picture, name, kind):
    path = tmp_path / name
    os.mkfifo(path) if kind == 'pipe' else path.symlink_to('/dev/zero')
    if name == 'camera_info.yaml':
        (tmp_path / 'a.png').write_bytes(picture)
    if name == 'metadata.yaml':
        database(tmp_path / 'a.db3')
    is_input = name in ('v.mp4', 'a.bag')
    if is_input and kind == 'device':
        pytest.skip('a device as the input itself is a camera')
    with pytest.raises(RecordingError, match='pipe or a device'):
        list(open_recording(path if is_input else tmp_path))


@pytest.mark.parametrize('name', ['a.png', 'a.jpg'])
def test_folders_and_endless_links_are_no_images(tmp_path, name):
    (tmp_path / name).mkdir()
    with pytest.raises(RecordingError, match=f'{name}: Is a directory'):
        list(open_recording(tmp_path))
    (tmp_path / name).rmdir()
    (tmp_path / name).symlink_to(name)
    with pytest.raises(RecordingError, match=f'{name}: Too many levels'):
        list(open_recording(tmp_path))


def test_a_name_that_is_too_long_is_no_file():
    with pytest.raises(RecordingError, match='no such file'):
        open_recording('x' * 5000)
