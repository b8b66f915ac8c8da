"""What recordings are packed by is unpacked with a limit, whatever headers promise."""

import bz2
import sqlite3
import struct
import tracemalloc

import lz4.frame
import numpy as np
import pytest
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer

from hand_pose_ros.io import packing
from hand_pose_ros.io.bag import bag_reader
from hand_pose_ros.io.frame import RecordingError
from hand_pose_ros.io.packing import MOST_BYTES, unpack

ZSTD = packing._zstd()
MEGABYTE = bytes(1 << 20)


def zstd_without_size(data: bytes, times: int = 1) -> bytes:
    compressor = ZSTD.ZstdCompressor()
    return b''.join(compressor.compress(data) for _ in range(times)) + compressor.flush()


PACK = {'zstd': ZSTD.compress, 'zstd, no size': zstd_without_size, 'lz4': lz4.frame.compress, 'bz2': bz2.compress}
#: 512 MB of zeros: in one frame, and in frames that each are small.
BOMBS = {
    'zstd': lambda: zstd_without_size(MEGABYTE, 512),
    'zstd, many frames': lambda: ZSTD.compress(MEGABYTE) * 512,
    'lz4': lambda: lz4.frame.compress(MEGABYTE) * 512,
    'bz2': lambda: bz2.compress(MEGABYTE) * 512,
}


def record(opcode: int, body: bytes) -> bytes:
    return struct.pack('<BQ', opcode, len(body)) + body


def mcap(packed: bytes, compression: str, size: int, *, whole: bool) -> bytes:
    """An MCAP file of one chunk; not ``whole``: as a recorder leaves it that was killed."""
    name = compression.encode()
    chunk = struct.pack('<QQQII', 0, 0, size, 0, len(name)) + name + struct.pack('<Q', len(packed)) + packed
    end = record(15, bytes(4)) + record(2, bytes(20)) + b'\x89MCAP0\r\n' if whole else b''
    header = record(1, struct.pack('<I', 4) + b'ros2' + struct.pack('<I', 0))
    return b'\x89MCAP0\r\n' + header + record(6, chunk) + end


def write_text(folder, mode: CompressionMode) -> None:
    writer = Writer(folder, version=8, storage_plugin=StoragePlugin.SQLITE3)
    writer.set_compression(mode, CompressionFormat.ZSTD)
    with writer:
        connection = writer.add_connection('/depth', 'std_msgs/msg/String', msgdef='string data', rihs01='x')
        writer.write(connection, 1, b'\0\1\0\0' + struct.pack('<I', 2) + b'a\0')


@pytest.mark.parametrize('kind', PACK)
def test_all_frames_are_unpacked(kind):
    data = np.random.default_rng(0).bytes(3000)
    assert unpack(kind.partition(',')[0], PACK[kind](data) + PACK[kind](data[:10])) == data + data[:10]
    with pytest.raises(RecordingError, match='end too early'):
        unpack(kind.partition(',')[0], PACK[kind](data)[:-20])


@pytest.fixture
def peak_bytes():
    tracemalloc.start()
    yield lambda: tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()


@pytest.mark.parametrize('kind', BOMBS)
def test_more_than_a_part_may_hold_is_not_unpacked(kind, peak_bytes):
    bomb = BOMBS[kind]()
    with pytest.raises(RecordingError, match=f'{MOST_BYTES} bytes'):
        unpack(kind.partition(',')[0], bomb)
    assert peak_bytes() < 2.1 * MOST_BYTES


@pytest.mark.parametrize('whole', [True, False])
@pytest.mark.parametrize('compression', ['zstd', 'lz4'])
def test_a_chunk_that_holds_more_than_it_says_is_refused(tmp_path, compression, whole, peak_bytes):
    path = tmp_path / 'a.mcap'
    path.write_bytes(mcap(BOMBS[compression](), compression, 1000, whole=whole))
    with (
        pytest.raises(RecordingError, match=r'a\.mcap: a part of it takes more than 1000 bytes'),
        bag_reader(path) as reader,
    ):
        list(reader.messages())
    assert peak_bytes() < 50e6


@pytest.mark.parametrize('whole', [True, False])
@pytest.mark.parametrize('compression', ['zstd', 'lz4'])
def test_a_chunk_is_measured_by_its_promise_before_it_is_unpacked(tmp_path, compression, whole):
    path = tmp_path / 'a.mcap'
    path.write_bytes(mcap(PACK[compression](MEGABYTE), compression, 2**40, whole=whole))
    with pytest.raises(RecordingError, match='takes 1099512 MB unpacked'), bag_reader(path):
        pass


def test_a_message_that_holds_too_much_is_refused(tmp_path):
    write_text(tmp_path / 'bag', CompressionMode.MESSAGE)
    with bag_reader(tmp_path / 'bag') as reader:
        assert len(list(reader.messages())) == 1
    (storage,) = (tmp_path / 'bag').glob('*.db3')
    with sqlite3.connect(storage) as database:
        database.execute('UPDATE messages SET data = ?', (BOMBS['zstd'](),))
    with pytest.raises(RecordingError, match=f'{MOST_BYTES} bytes'), bag_reader(tmp_path / 'bag') as reader:
        list(reader.messages())


def test_a_file_that_becomes_too_large_is_refused(tmp_path, monkeypatch):
    write_text(tmp_path / 'bag', CompressionMode.FILE)
    with bag_reader(tmp_path / 'bag') as reader:
        assert len(list(reader.messages())) == 1
    monkeypatch.setattr(packing, 'ALWAYS_UNPACKED_BYTES', 10_000_000)
    (storage,) = (tmp_path / 'bag').glob('*.zstd')
    storage.write_bytes(zstd_without_size(MEGABYTE, 512))
    with pytest.raises(RecordingError, match='zstd -d'), bag_reader(tmp_path / 'bag'):
        pass
