"""Bags as people have them: split, killed, damaged, without metadata, stamps or calibrations."""

import logging
import re
import shutil
from dataclasses import dataclass, field

import cv2
import numpy as np
import pytest
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer

from hand_pose_ros.io.bag import typestore
from hand_pose_ros.io.recording import RecordingError, open_recording

WIDTH, HEIGHT = 32, 24
K = (30.0, 0.0, 16.0, 0.0, 30.0, 12.0, 0.0, 0.0, 1.0)
SECOND = 10**9
STEP = 33_000_000
DEPTH, DEPTH_INFO = '/camera/depth/image_rect_raw', '/camera/depth/camera_info'
COLOR, COLOR_INFO = '/camera/color/image_raw', '/camera/color/camera_info'
REGISTERED = '/camera/aligned_depth_to_color/image_raw'


def header(stamp, frame):
    make = typestore().types
    return make['std_msgs/msg/Header'](make['builtin_interfaces/msg/Time'](*divmod(stamp, SECOND)), frame)


def image(stamp, value, encoding='16UC1', frame='cam', size=None):
    kinds = {'16UC1': (np.uint16, ()), '32FC1': (np.float32, ()), '64FC1': (np.float64, ()), 'mono8': (np.uint8, ())}
    kind, channels = kinds.get(encoding, (np.uint8, (3,)))
    pixels = np.full((HEIGHT, WIDTH, *channels), value, kind)
    data = np.frombuffer(pixels.tobytes()[:size], np.uint8)
    make = typestore().types['sensor_msgs/msg/Image']
    return make(header(stamp, frame), HEIGHT, WIDTH, encoding, 0, pixels.strides[0], data)


def info(stamp, k=K, frame='cam'):
    make = typestore().types
    roi = make['sensor_msgs/msg/RegionOfInterest'](0, 0, 0, 0, False)
    p = np.zeros(12)
    return make['sensor_msgs/msg/CameraInfo'](
        header(stamp, frame), HEIGHT, WIDTH, 'plumb_bob', np.zeros(5), np.array(k), np.eye(3).ravel(), p, 0, 0, roi
    )


def write(path, messages, storage='mcap', mode='storage'):
    """Write (time of recording, topic, message), a chunk for each message of an MCAP file that is not small."""
    writer = Writer(path, version=9, storage_plugin=StoragePlugin[storage.upper()])
    if storage == 'mcap':
        writer.set_compression(CompressionMode[mode.upper()], CompressionFormat.ZSTD)
    with writer:
        connections = {}
        for logged, topic, message in messages:
            if topic not in connections:
                connections[topic] = writer.add_connection(topic, message.__msgtype__, typestore=typestore())
            writer.write(connections[topic], logged, typestore().serialize_cdr(message, message.__msgtype__))
    return path


def depth_messages(start=0, end=6):
    times = [SECOND + n * STEP for n in range(start, end)]
    pairs = [((t, DEPTH_INFO, info(t)), (t, DEPTH, image(t, 500 + n))) for n, t in enumerate(times, start)]
    return [message for pair in pairs for message in pair]


def values(recording):
    return [int(frame.depth.pixels[0, 0]) for frame in recording]


def storage(folder):
    return next(p for p in folder.iterdir() if p.suffix in ('.mcap', '.db3'))


@pytest.fixture(params=['mcap', 'sqlite3'])
def split(tmp_path, request):
    """A recording of two files whose recorder was killed, and its files."""
    (tmp_path / 'split').mkdir()
    for n in range(2):
        part = storage(write(tmp_path / f'part{n}', depth_messages(3 * n, 3 * n + 3), request.param))
        shutil.copy(part, tmp_path / 'split' / f'split_{n}{part.suffix}')
    return tmp_path / 'split'


def test_a_split_recording_without_metadata_is_one(split):
    recording = open_recording(split)
    assert values(recording) == [500, 501, 502, 503, 504, 505]
    assert 'there is no metadata.yaml; all 12 messages are read' in recording.note


def test_the_last_file_of_a_split_recording_may_be_cut_off(tmp_path):
    (tmp_path / 'split').mkdir()
    for n in range(2):
        part = storage(write(tmp_path / f'part{n}', depth_messages(3 * n, 3 * n + 3)))
        data = part.read_bytes()
        (tmp_path / 'split' / f'split_{n}.mcap').write_bytes(data if n == 0 else data[: len(data) // 4])
    recording = open_recording(tmp_path / 'split')
    assert values(recording)[:3] == [500, 501, 502]
    assert 'split_1.mcap: its end is missing' in recording.note and 'split_0' not in recording.note


def rename(bag):
    storage(bag).rename(bag / 'renamed.mcap')


def change(old, new):
    def apply(bag):
        text = (bag / 'metadata.yaml').read_text()
        assert old in text
        (bag / 'metadata.yaml').write_text(text.replace(old, new))

    return apply


@pytest.mark.parametrize(
    'damage',
    [
        rename,
        change('version: 9', 'version: 99'),
        change('storage_identifier: mcap', "storage_identifier: ''"),
        lambda bag: (bag / 'metadata.yaml').write_text(''),
        lambda bag: (bag / 'metadata.yaml').write_text((bag / 'metadata.yaml').read_text()[:100]),
    ],
)
def test_whole_files_are_not_called_damaged(tmp_path, damage):
    bag = write(tmp_path / 'bag', depth_messages())
    damage(bag)
    recording = open_recording(bag)
    assert len(list(recording)) == 6
    assert 'metadata.yaml' in recording.note and 'all 12 messages' in recording.note
    assert 'ended badly' not in recording.note and 'cut off' not in recording.note


def test_messages_that_the_recorder_packed_are_read_without_metadata(tmp_path):
    bag = write(tmp_path / 'bag', depth_messages(), mode='message')
    (bag / 'metadata.yaml').write_text('')
    assert values(open_recording(bag)) == [500, 501, 502, 503, 504, 505]


def test_the_chunks_behind_a_damaged_one_are_read(tmp_path, caplog):
    messages = [message for message in depth_messages(0, 40) if message[1] == DEPTH]
    noise = np.random.default_rng(0)
    for _, _, message in messages:  # several make a chunk, and do not pack
        message.height, message.width, message.step = 240, 320, 640
        message.data = noise.integers(0, 256, 240 * 640, dtype=np.uint8)
    bag = write(tmp_path / 'bag', messages)
    data = bytearray(storage(bag).read_bytes())
    at = data.index(b'\x28\xb5\x2f\xfd', len(data) // 2)  # a chunk begins
    data[at : at + 64] = b'\xff' * 64
    storage(bag).write_bytes(data)
    with caplog.at_level(logging.WARNING):
        stamps = [frame.nanoseconds for frame in open_recording(bag)]
    assert 20 < len(stamps) < 40 and stamps == sorted(set(stamps)), 'each once, in order'
    assert stamps[0] == messages[0][0] and stamps[-1] == messages[-1][0]
    assert 'damaged parts that are left out: 1' in caplog.text


@pytest.mark.parametrize('suffix', ['.mcap', '.MCAP', '.db3', '.DB3', '.Mcap'])
def test_suffixes_may_be_capitals(tmp_path, suffix):
    bag = write(tmp_path / 'bag', depth_messages(), 'sqlite3' if 'db' in suffix.lower() else 'mcap')
    file = shutil.copy(storage(bag), tmp_path / f'one{suffix}')
    assert values(open_recording(file)) == [500, 501, 502, 503, 504, 505]
    (tmp_path / 'folder').mkdir()
    shutil.copy(file, tmp_path / 'folder')
    assert len(list(open_recording(tmp_path / 'folder'))) == 6


def test_a_picture_in_a_bags_folder_is_no_folder_of_images(tmp_path):
    bag = write(tmp_path / 'bag', depth_messages())
    cv2.imwrite(str(bag / 'preview.png'), np.zeros((HEIGHT, WIDTH, 3), np.uint8))
    (bag / 'notes.txt').write_text('a note')
    assert values(open_recording(bag)) == [500, 501, 502, 503, 504, 505]
    (bag / 'metadata.yaml').unlink()
    assert open_recording(bag).modality == 'depth'


def test_metadata_of_something_else_beside_images_is_left_alone(tmp_path):
    cv2.imwrite(str(tmp_path / '0.png'), np.zeros((HEIGHT, WIDTH, 3), np.uint8))
    (tmp_path / 'metadata.yaml').write_text('license: CC0\n')
    assert open_recording(tmp_path).modality == 'color'


@pytest.mark.parametrize('infos', [[], [(SECOND, COLOR_INFO, info(SECOND, (0.0,) * 9))]])
def test_color_without_a_calibration_is_taken_to_be_of_a_usual_lens(tmp_path, infos):
    bag = write(tmp_path / 'bag', [*infos, (SECOND, COLOR, image(SECOND, 100, 'bgr8'))])
    recording = open_recording(bag)
    (frame,) = recording
    assert frame.camera is not None and frame.camera.width == WIDTH
    assert '60 degrees is assumed' in recording.note and '--camera' in recording.note
    given = open_recording(bag, camera=frame.camera)
    assert given.note == ''


def test_depth_without_a_calibration_is_refused(tmp_path):
    bag = write(tmp_path / 'none', [(SECOND, DEPTH, image(SECOND, 500))])
    with pytest.raises(RecordingError, match='without a camera calibration'):
        next(iter(open_recording(bag))).camera_frame()
    bag = write(tmp_path / 'zero', [(SECOND, DEPTH_INFO, info(SECOND, (0.0,) * 9)), (SECOND, DEPTH, image(SECOND, 5))])
    with pytest.raises(RecordingError, match='camera matrix is all zero'):
        next(iter(open_recording(bag)))


def test_a_zero_camera_info_before_the_true_one_is_left_out(tmp_path):
    messages = depth_messages()
    messages[0] = (SECOND, DEPTH_INFO, info(SECOND, (0.0,) * 9))
    messages[6] = (messages[6][0], DEPTH_INFO, info(SECOND, (0.0,) * 9))
    frames = list(open_recording(write(tmp_path / 'bag', messages)))
    assert len(frames) == 6 and {frame.camera.fx for frame in frames} == {30.0}


def test_an_image_that_cannot_be_read_is_skipped_counted_and_said(tmp_path, caplog):
    messages = depth_messages()
    messages[5] = (messages[5][0], DEPTH, image(messages[5][0], 502, size=100))
    with caplog.at_level(logging.WARNING):
        assert values(open_recording(write(tmp_path / 'bag', messages))) == [500, 501, 503, 504, 505]
    assert 'skipped: 1;' in caplog.text and 'holds 100 bytes' in caplog.text
    none = [(t, topic, image(t, 5, size=100)) for t, topic, _ in messages if topic == DEPTH]
    with pytest.raises(RecordingError, match='holds 100 bytes'):
        list(open_recording(write(tmp_path / 'none', none)))


def rgbd(offset=0, stamped=True, frame='cam'):
    """Four color images with depth that is written a millisecond later."""
    messages = []
    for n in range(4):
        time = SECOND + 4 * n * STEP
        color, depth = (time, time + offset) if stamped else (0, 0)
        messages += [
            (time, COLOR_INFO, info(color)),
            (time, COLOR, image(color, 10 * n, 'bgr8')),
            (time + 1_000_000, REGISTERED, image(depth, 500 + n, frame=frame)),
        ]
    return messages


def paired(recording):
    return [(int(f.color[0, 0, 0]) // 10, int(f.depth.pixels[0, 0]) - 500 if f.depth else None) for f in recording]


@dataclass
class Case:
    """A recording of both images, and what comes of it."""

    messages: list = field(default_factory=rgbd)
    tolerance: float = 0.017
    found: tuple = (0, 1, 2, 3)
    note: str = ''
    said: str = ''


CASES = {
    'as it should be': Case(),
    'no stamps': Case(rgbd(stamped=False), note='do not increase: the time of recording is taken'),
    'late stamps': Case(rgbd(20_000_000), found=(None,) * 4, said='0.020 s off.*0.017 s are.*--pairing-tolerance'),
    'late stamps, allowed': Case(rgbd(20_000_000), 0.025),
    'early stamps': Case(rgbd(-30_000_000), found=(None,) * 4, said='0.030 s off'),
    'a slash before the frame': Case(rgbd(frame='/cam')),
}


@pytest.mark.parametrize('name', CASES)
def test_color_and_depth_find_each_other_or_it_is_said_why_not(tmp_path, name, caplog):
    case = CASES[name]
    bag = write(tmp_path / 'bag', case.messages)
    recording = open_recording(bag, modality='rgbd', pairing_tolerance=case.tolerance)
    with caplog.at_level(logging.WARNING):
        assert paired(recording) == list(enumerate(case.found))
    assert case.note in recording.note and bool(case.note) == bool(recording.note)
    assert bool(case.said) == bool(caplog.text)
    if case.said:
        assert re.search(case.said, caplog.text)


def test_color_and_depth_of_one_time_only_are_refused(tmp_path):
    messages = [(SECOND, topic, message) for _, topic, message in rgbd(stamped=False)]
    with pytest.raises(RecordingError, match='are of one time.*cannot be paired'):
        open_recording(write(tmp_path / 'bag', messages, 'sqlite3'), modality='rgbd')


def test_a_bag_without_images_names_its_topics_and_what_is_read(tmp_path):
    bag = write(tmp_path / 'bag', [(SECOND, COLOR_INFO, info(SECOND))])
    words = f'holds no images.*{COLOR_INFO} .sensor_msgs/msg/CameraInfo.*read are sensor_msgs/msg/Image'
    with pytest.raises(RecordingError, match=words):
        open_recording(bag)
    bag = write(tmp_path / 'f64', [(SECOND, DEPTH, image(SECOND, 1, '64FC1'))])
    with pytest.raises(RecordingError, match='64FC1.*16UC1'):
        open_recording(bag)


def test_messages_that_are_cut_off_stop_no_others(tmp_path):
    kind, store = 'sensor_msgs/msg/Image', typestore()
    with Writer(tmp_path / 'bag', version=9, storage_plugin=StoragePlugin.SQLITE3) as writer:
        names = {'/other/depth': 20, DEPTH: None}
        connections = {name: writer.add_connection(name, kind, typestore=store) for name in names}
        for n in range(3):
            for name, length in names.items():
                data = bytes(store.serialize_cdr(image(SECOND + n, 500 + n), kind))
                writer.write(connections[name], n, data[:length] if n != 1 or length else data[:30])
    recording = open_recording(tmp_path / 'bag')
    assert recording.topic == DEPTH and values(recording) == [500, 502]
    with pytest.raises(RecordingError, match='/other/depth has encoding .damaged'):
        open_recording(tmp_path / 'bag', topic='/other/depth')
