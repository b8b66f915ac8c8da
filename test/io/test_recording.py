"""Recordings: what is written is what is read, in order, in the right unit; what is damaged is named."""

import shutil
import sqlite3
import struct
import time

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hand_pose_ros.core.frame import Channel
from hand_pose_ros.geometry.camera import Camera
from hand_pose_ros.imaging.compressed import decode_compressed, encode_depth
from hand_pose_ros.imaging.images import ImageError
from hand_pose_ros.io.recording import RecordingError, open_recording, read_joints, stamp_name, write_bag
from hand_pose_ros.resources import resource_path

CAMERA = Camera(32, 24, 30.5, 31.5, 15.25, 12.75, (0.1, -0.2, 0.001, 0.002, 0.03))
STAMPS = (1700000000.0, 1700000000.125, 1700000000.25)


def depth_image(seed: int, holes: bool = True) -> np.ndarray:
    """A 32x24 image in millimeters whose every pixel differs from its neighbors."""
    image = np.random.default_rng(seed).integers(200, 1500, (24, 32)).astype(np.uint16)
    if holes:
        image[3:6, 10:20] = 0
    return image


def hand(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal((0, 0, 0.5), 0.1, (21, 3))


@pytest.fixture
def frames():
    return [(stamp, depth_image(i)) for i, stamp in enumerate(STAMPS)]


@pytest.mark.parametrize('storage', ['mcap', 'sqlite3'])
@pytest.mark.parametrize('compressed', [True, False])
def test_a_bag_comes_back_as_it_was_written(tmp_path, frames, storage, compressed):
    write_bag(tmp_path / 'bag', frames, CAMERA, frame_id='cam', storage=storage, compressed=compressed)
    recording = open_recording(tmp_path / 'bag')
    read = list(recording)
    assert recording.modality == 'depth' and len(recording) == len(read) == 3
    for frame, (stamp, image) in zip(read, frames):
        np.testing.assert_array_equal(frame.depth.pixels, image)
        assert (frame.color, frame.frame_id, frame.camera) == (None, 'cam', CAMERA)
        assert frame.depth.pixels.dtype == np.uint16 and frame.depth.unit == 0.001
        assert frame.stamp == pytest.approx(stamp, abs=1e-6)
        assert frame.name == f'{stamp:.3f}000000'
    assert [f.stamp for f in recording] == [f.stamp for f in read], 'a second pass starts again'


@pytest.mark.parametrize('storage', ['mcap', 'sqlite3'])
def test_a_bare_storage_file_reads_like_its_folder(tmp_path, frames, storage):
    write_bag(tmp_path / 'bag', frames, CAMERA, storage=storage)
    file = next(p for p in (tmp_path / 'bag').iterdir() if p.suffix in ('.mcap', '.db3'))
    assert [f.name for f in open_recording(file)] == [f.name for f in open_recording(tmp_path / 'bag')]
    (tmp_path / 'bag' / 'metadata.yaml').unlink()
    assert len(open_recording(tmp_path / 'bag')) == 3


def test_float_depth_is_meters_and_16_bit_depth_takes_the_unit(tmp_path):
    millimeters = depth_image(0)
    meters = millimeters.astype(np.float32) / 1000
    meters[millimeters == 0] = np.nan
    for name, image, unit in (
        ('mm', millimeters, 0.001),
        ('eighth', millimeters * 8, 0.000125),
        ('m', meters, 0.001),
        ('m8', meters, 0.000125),
    ):
        write_bag(tmp_path / name, [(1.0, image)], CAMERA, compressed=False)
        frame = next(iter(open_recording(tmp_path / name, depth_unit=unit)))
        np.testing.assert_allclose(frame.picture, millimeters / 1000, atol=1e-6)


def test_compressed_depth_has_the_transports_layout():
    image = depth_image(1)
    message_format, data = encode_depth(image)
    assert message_format == '16UC1; compressedDepth png'
    assert struct.unpack('<i', data[:4]) == (0,)
    assert data[12:20] == b'\x89PNG\r\n\x1a\n'
    np.testing.assert_array_equal(cv2.imdecode(np.frombuffer(data[12:], np.uint8), cv2.IMREAD_UNCHANGED), image)
    np.testing.assert_array_equal(decode_compressed('16UC1; compressedDepth', data)[0], image)


def test_compressed_float_depth_is_quantised_inverse_depth():
    depth = np.array([[0.2, 0.5, 1.0, 2.0], [0.0, np.nan, np.inf, 11.0]], np.float32)
    message_format, data = encode_depth(depth)
    _, a, b = struct.unpack('<iff', data[:12])
    stored = cv2.imdecode(np.frombuffer(data[12:], np.uint8), cv2.IMREAD_UNCHANGED)
    assert message_format == '32FC1; compressedDepth png'
    np.testing.assert_allclose(a / (stored[0] - b), depth[0], rtol=3e-4)
    back, encoding = decode_compressed(message_format, data)
    assert encoding == '32FC1' and back.dtype == np.float32
    np.testing.assert_allclose(back[0], depth[0], rtol=3e-4)
    assert np.isnan(back[1]).all()


@given(st.floats(0.16, 9.9))
@settings(max_examples=50, deadline=None)
def test_quantization_steps_stay_below_a_tenth_of_a_millimeter_at_a_meter(depth):
    back = decode_compressed(*encode_depth(np.full((1, 1), depth, np.float32)))[0]
    assert abs(float(back[0, 0]) - depth) < 1.0e-4 * max(depth, 0.2) ** 2


@pytest.mark.parametrize(
    'message_format, data, words',
    [
        ('16UC1; compressedDepth rvl', b'x' * 40, 'pixels'),
        ('16UC1; compressedDepth png', b'abc', 'shorter than its header'),
        ('16UC1; compressedDepth png', b'\0' * 12, 'empty'),
        ('16UC1; compressedDepth png', b'\0' * 12 + b'\xff\xd8\xff', 'not a PNG'),
        ('jpeg', b'\xff\xd8\xff\xe0 nothing', 'damaged'),
        ('jpeg', b'', 'damaged'),
    ],
)
def test_compressed_images_that_cannot_be_read_say_why(message_format, data, words):
    with pytest.raises(ImageError, match=words):
        decode_compressed(message_format, data)


def test_color_comes_out_as_bgr():
    red = np.zeros((4, 6, 3), np.uint8)
    red[..., 2] = 255
    image, encoding = decode_compressed('rgb8; png compressed bgr8', cv2.imencode('.png', red)[1].tobytes())
    assert encoding == 'bgr8'
    np.testing.assert_array_equal(image, red)


def test_ground_truth_joins_images_by_stamp(tmp_path, frames):
    hands = {'left': [(STAMPS[0], hand(0)), (STAMPS[2], hand(1))], 'right': [(STAMPS[0], hand(2))]}
    write_bag(tmp_path / 'bag', frames, CAMERA, joints=hands)
    truth = read_joints(tmp_path / 'bag')
    names = [f.name for f in open_recording(tmp_path / 'bag')]
    assert list(truth) == [names[0], names[2]]
    assert set(truth[names[0]]) == {'left', 'right'} and set(truth[names[2]]) == {'left'}
    np.testing.assert_array_equal(truth[names[0]]['right'], hand(2))
    np.testing.assert_array_equal(truth[names[2]]['left'], hand(1))


def test_messages_are_stored_in_time_order(tmp_path, frames):
    write_bag(
        tmp_path / 'bag', iter(frames), CAMERA, storage='sqlite3', joints={'left': [(s, hand(0)) for s in STAMPS]}
    )
    with sqlite3.connect(next((tmp_path / 'bag').glob('*.db3'))) as database:
        stamps = [row[0] for row in database.execute('SELECT timestamp FROM messages ORDER BY id')]
    assert stamps == sorted(stamps) and len(stamps) == 9


def test_a_given_camera_overrides_the_recorded_one(tmp_path, frames):
    write_bag(tmp_path / 'bag', frames, CAMERA)
    other = Camera(32, 24, 50, 50, 16, 12)
    assert next(iter(open_recording(tmp_path / 'bag', camera=other))).camera == other


def test_a_camera_of_another_size_is_refused(tmp_path, frames):
    write_bag(tmp_path / 'bag', frames, CAMERA)
    with pytest.raises(RecordingError, match='32x24.*640x480'):
        list(open_recording(tmp_path / 'bag', camera=Camera(640, 480, 500, 500, 320, 240)))


def write_topics(path, topics):
    """Write a bag with one image on each of ``topics``: name -> encoding."""
    from rosbags.rosbag2 import StoragePlugin, Writer
    from rosbags.typesys import Stores, get_typestore

    store = get_typestore(Stores.ROS2_HUMBLE)
    make = store.types
    with Writer(path, version=8, storage_plugin=StoragePlugin.SQLITE3) as writer:
        for name, encoding in topics.items():
            header = make['std_msgs/msg/Header'](make['builtin_interfaces/msg/Time'](5, 6), 'cam')
            size = {'16UC1': 2, 'mono16': 2, 'rgb8': 3, 'bgr8': 3, 'mono8': 1, 'strange': 1}.get(encoding)
            if size is None:
                kind = 'sensor_msgs/msg/CompressedImage'
                message = make[kind](
                    header, *((lambda f, d: (f, np.frombuffer(d, np.uint8)))(*encode_depth(depth_image(0))))
                )
            else:
                kind = 'sensor_msgs/msg/Image'
                pixels = np.arange(24 * 32 * size, dtype=np.uint32).astype(np.uint8)
                message = make[kind](header, 24, 32, encoding, 0, 32 * size, pixels)
            connection = writer.add_connection(name, kind, typestore=store)
            writer.write(connection, 7, store.serialize_cdr(message, kind))


def test_several_depth_topics_are_listed_and_one_can_be_chosen(tmp_path):
    write_topics(tmp_path / 'bag', {'/a/depth': '16UC1', '/b/depth': '16UC1', '/a/color': 'rgb8'})
    with pytest.raises(RecordingError, match='--topic.*/a/depth.*/b/depth'):
        open_recording(tmp_path / 'bag')
    assert open_recording(tmp_path / 'bag', topic='b/depth').topic == '/b/depth'
    color = open_recording(tmp_path / 'bag', topic='/a/color')
    assert color.modality == 'color'
    np.testing.assert_array_equal(next(iter(color)).color[0, 0], (2, 1, 0))
    with pytest.raises(RecordingError, match='no image topic /c.*/a/depth'):
        open_recording(tmp_path / 'bag', topic='/c')


def color_image(seed: int) -> np.ndarray:
    return np.full((24, 32, 3), (40 * seed, 100, 200), np.uint8)


@pytest.mark.parametrize('compressed', [True, False])
def test_color_comes_with_the_depth_of_its_moment(tmp_path, frames, compressed):
    colors = [(stamp + 0.005, color_image(i)) for i, stamp in enumerate(STAMPS)]
    write_bag(
        tmp_path / 'bag', colors, CAMERA, color=True, registered_depth=[frames[0], frames[2]], compressed=compressed
    )
    recording = open_recording(tmp_path / 'bag', depth_unit=0.0005, modality='rgbd')
    read = list(recording)
    assert recording.modality == 'rgbd' and len(read) == 3
    for frame, (_, color) in zip(read, colors):
        assert np.abs(frame.color.astype(int) - color).max() <= (4 if compressed else 0)
    np.testing.assert_array_equal(read[0].depth.pixels, frames[0][1])
    assert read[1].camera_frame().channels == {Channel.COLOR}, 'the camera lost that depth image'
    both = read[2].camera_frame()
    assert both.channels == {Channel.COLOR, Channel.DEPTH} and both.stamp_s == read[2].stamp
    assert both.depth[:1, :1] == pytest.approx(0.0005 * frames[2][1][0, 0])
    for modality in ('depth', 'color'):
        (channel,) = next(iter(open_recording(tmp_path / 'bag', modality=modality))).camera_frame().channels
        assert channel.value == modality
    assert open_recording(tmp_path / 'bag').modality == 'depth', 'where nothing else is asked for'


def test_rgbd_needs_both_images(tmp_path, frames):
    write_bag(tmp_path / 'depth', frames, CAMERA)
    write_bag(tmp_path / 'color', [(1.0, color_image(0))], CAMERA, color=True)
    for name, reason in (('depth', 'no image topic is of color'), ('color', 'no image topic is of depth')):
        with pytest.raises(RecordingError, match=reason):
            open_recording(tmp_path / name, modality='rgbd')
    with pytest.raises(RecordingError, match='holds depth images; choose a topic of color'):
        open_recording(tmp_path / 'depth', topic='/depth/image/compressedDepth', modality='rgbd')
    cv2.imwrite(str(tmp_path / '0.png'), color_image(0))
    with pytest.raises(RecordingError, match='read from a rosbag2 only'):
        open_recording(tmp_path, modality='rgbd')


def test_depth_that_is_not_registered_to_color_is_refused_with_what_to_switch_on(tmp_path, frames):
    colors = [(stamp, color_image(i)) for i, stamp in enumerate(STAMPS)]
    small = [(stamp, image[::2, ::2].copy()) for stamp, image in frames]
    write_bag(tmp_path / 'bag', colors, CAMERA, color=True, registered_depth=small)
    with pytest.raises(RecordingError, match='depth of 16x12 in .*color of 32x24 in .*align_depth.enable:=true'):
        list(open_recording(tmp_path / 'bag', modality='rgbd'))


def test_another_modality_than_a_recording_has_is_refused(tmp_path, frames):
    cv2.imwrite(str(tmp_path / '0.png'), color_image(0))
    with pytest.raises(RecordingError, match='holds color images, and depth is asked for'):
        open_recording(tmp_path, modality='depth')
    write_bag(tmp_path / 'depth', frames, CAMERA)
    with pytest.raises(RecordingError, match='no image topic is of color'):
        open_recording(tmp_path / 'depth', modality='color')


def test_a_frame_without_a_camera_is_none_for_a_tracker(tmp_path):
    cv2.imwrite(str(tmp_path / '0.png'), depth_image(0))
    (frame,) = open_recording(tmp_path)
    with pytest.raises(RecordingError, match='without a camera calibration; give one with --camera'):
        frame.camera_frame()


def test_one_camera_recorded_raw_and_compressed_is_one_choice(tmp_path):
    write_topics(tmp_path / 'bag', {'/depth/compressedDepth': 'compressed', '/depth': '16UC1', '/color': 'rgb8'})
    recording = open_recording(tmp_path / 'bag')
    assert recording.topic == '/depth' and recording.modality == 'depth'
    assert next(iter(recording)).camera is None
    assert next(iter(recording)).name == stamp_name(5 * 10**9 + 6) == '5.000000006'


def test_unusable_topics_are_named(tmp_path):
    write_topics(tmp_path / 'bag', {'/raw': 'strange'})
    with pytest.raises(RecordingError, match='strange'):
        open_recording(tmp_path / 'bag')
    with pytest.raises(RecordingError, match='strange'):
        open_recording(tmp_path / 'bag', topic='/raw')
    write_topics(tmp_path / 'none', {})
    with pytest.raises(RecordingError, match='no images'):
        open_recording(tmp_path / 'none')


def test_a_folder_is_read_in_name_order_with_its_camera(tmp_path):
    for index, name in enumerate(('b.png', 'a.png', 'c.PNG')):
        (tmp_path / name).write_bytes(cv2.imencode('.png', depth_image(index))[1].tobytes())
    recording = open_recording(tmp_path, depth_unit=0.01)
    assert [f.name for f in recording] == ['a.png', 'b.png', 'c.PNG']
    first = next(iter(recording))
    np.testing.assert_array_equal(first.depth.pixels, depth_image(1))
    np.testing.assert_allclose(first.picture, depth_image(1) * 0.01, rtol=1e-6)
    assert first.camera is None and [f.stamp for f in recording] == pytest.approx([0, 1 / 30, 2 / 30])
    (tmp_path / 'camera_info.yaml').write_text(
        'image_width: 32\nimage_height: 24\ncamera_matrix: {data: [30, 0, 15, 0, 31, 12, 0, 0, 1]}\n'
    )
    assert next(iter(open_recording(tmp_path))).camera == Camera(32, 24, 30, 31, 15, 12)
    (tmp_path / 'camera_info.yaml').write_text('nonsense')
    with pytest.raises(RecordingError, match='camera_info.yaml'):
        open_recording(tmp_path)


def test_a_video_gives_color_frames(tmp_path):
    writer = cv2.VideoWriter(str(tmp_path / 'clip.mp4'), cv2.VideoWriter_fourcc(*'mp4v'), 10, (64, 48))
    for value in (20, 120, 220):
        writer.write(np.full((48, 64, 3), (value, 0, 0), np.uint8))
    writer.release()
    recording = open_recording(tmp_path / 'clip.mp4')
    frames = list(recording)
    assert recording.modality == 'color' and len(recording) == len(frames) == 3
    assert [f.stamp for f in frames] == pytest.approx([0, 0.1, 0.2])
    assert frames[0].color[..., 0].mean() < frames[2].color[..., 0].mean()
    assert frames[0].camera_frame().channels == {Channel.COLOR}


def test_a_webcam_gives_color_frames_as_they_come(monkeypatch):
    pictures = [np.full((48, 64, 3), value, np.uint8) for value in (10, 20, 30)]

    class Webcam:
        """A driver that sends three pictures whenever it is opened, and knows nothing else."""

        def __init__(self, path, api):
            assert (path, api) == ('/dev/null', cv2.CAP_V4L2)
            self.left = list(pictures)

        def get(self, _):
            return -1.0

        def set(self, *_):
            return False

        def read(self):
            return (True, self.left.pop(0)) if self.left else (False, None)

        def release(self):
            self.left = []

    with pytest.raises(RecordingError, match='/dev/null: no picture comes from this device.*group video'):
        open_recording('/dev/null')
    monkeypatch.setattr(cv2, 'VideoCapture', Webcam)
    before = time.time_ns()
    recording = open_recording('/dev/null')
    frames = list(recording)
    assert recording.modality == 'color' and recording.count is None and '60 degrees' in recording.note
    assert [f.color.mean() for f in frames] == [10, 20, 30] and frames[0].camera.width == 64
    stamps = [f.nanoseconds for f in frames]
    assert stamps == sorted(stamps) and before <= stamps[0] and stamps[2] <= time.time_ns(), 'the time at which it came'
    with pytest.raises(RecordingError, match='rosbag2 only'):
        open_recording('/dev/null', modality='rgbd')


@pytest.mark.parametrize('name', ['clip.mp4', 'bag.mcap', 'bag.db3', 'notes.txt', 'old.bag'])
@pytest.mark.parametrize('content', [b'', b'garbage' * 100])
def test_foreign_and_empty_files_are_refused_in_one_line(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(RecordingError) as caught:
        open_recording(tmp_path / name)
    assert name in str(caught.value) and '\n' not in str(caught.value)


def test_missing_and_empty_folders_are_refused(tmp_path):
    with pytest.raises(RecordingError, match='no such file'):
        open_recording(tmp_path / 'nowhere')
    with pytest.raises(RecordingError, match='neither images .* nor a rosbag2'):
        open_recording(tmp_path)
    (tmp_path / 'metadata.yaml').write_text('rosbag2_bagfile_information: 3\n')
    with pytest.raises(RecordingError, match='not a rosbag2'):
        open_recording(tmp_path)


@pytest.mark.parametrize(
    'damage, words',
    [
        (lambda png: png[: len(png) // 2], 'cut short'),
        (lambda png: b'', 'empty'),
        (lambda png: png[:200] + bytes([png[200] ^ 255]) + png[201:], 'checksum'),
    ],
)
def test_a_damaged_png_is_named_and_the_ones_before_it_are_read(tmp_path, damage, words):
    png = cv2.imencode('.png', depth_image(0))[1].tobytes()
    (tmp_path / '1.png').write_bytes(png)
    (tmp_path / '2.png').write_bytes(damage(png))
    frames = iter(open_recording(tmp_path))
    assert next(frames).name == '1.png'
    with pytest.raises(RecordingError, match=f'2.png: .*{words}'):
        next(frames)


@pytest.mark.parametrize('storage', ['mcap', 'sqlite3'])
def test_a_damaged_bag_never_ends_in_anything_but_a_recording_error(tmp_path, frames, storage):
    write_bag(tmp_path / 'bag', frames, CAMERA, storage=storage)
    file = next(p for p in (tmp_path / 'bag').iterdir() if p.suffix in ('.mcap', '.db3'))
    whole = file.read_bytes()
    random = np.random.default_rng(0)
    refused = 0
    for trial in range(60):
        if trial < 20:
            file.write_bytes(whole[: len(whole) * trial // 20])
        else:
            broken = bytearray(whole)
            for at in random.integers(0, len(whole), 4):
                broken[at] ^= 0xFF
            file.write_bytes(broken)
        try:
            list(open_recording(tmp_path / 'bag'))
        except RecordingError as error:
            refused += 1
            assert '\n' not in str(error) and 'bag' in str(error)
    assert refused >= 19, 'every truncated file is refused'


def test_an_existing_folder_is_not_overwritten(tmp_path, frames):
    with pytest.raises(RecordingError, match='exists already'):
        write_bag(tmp_path, frames, CAMERA)
    with pytest.raises(RecordingError, match='hdf5'):
        write_bag(tmp_path / 'x', frames, CAMERA, storage='hdf5')


def test_the_bundled_clip_is_small_and_its_truth_lies_on_its_hands():
    path = resource_path('demo', 'clip')
    assert sum(file.stat().st_size for file in path.iterdir()) <= 4_000_000
    truth, frames = read_joints(path), list(open_recording(path))
    assert {frame.name for frame in frames} == set(truth) and len(frames) > 100
    assert all(frame.frame_id and frame.camera for frame in frames)
    assert {side for hands in truth.values() for side in hands} == {'left', 'right'}
    for frame in frames[::20]:
        depth = frame.picture
        for joints in truth[frame.name].values():
            pixels = np.rint(frame.camera.project(joints)).astype(int)
            inside = ((pixels >= 0) & (pixels < (frame.camera.width, frame.camera.height))).all(1)
            assert inside.sum() > 15
            surface = depth[pixels[inside, 1], pixels[inside, 0]]
            behind = joints[inside, 2][surface > 0] - surface[surface > 0]
            # A joint is a finger's radius under what is seen of its hand, or behind another finger.
            assert len(behind) > 10 and -0.004 < np.median(behind) < 0.03


def png(array):
    return cv2.imencode('.png', array)[1].tobytes()


def test_images_are_in_the_order_of_their_numbers_and_hidden_files_left_out(tmp_path):
    for index, name in enumerate(('frame10.png', 'frame9.png', 'frame100.png')):
        (tmp_path / name).write_bytes(png(depth_image(index)))
    (tmp_path / '._frame9.png').write_bytes(b'a Mac writes these')
    assert [f.name for f in open_recording(tmp_path)] == ['frame9.png', 'frame10.png', 'frame100.png']
    (tmp_path / 'color.png').write_bytes(png(np.zeros((24, 32, 3), np.uint8)))
    with pytest.raises(RecordingError, match='color.png.*frame9.png.*folder of its own'):
        open_recording(tmp_path)


def test_what_a_killed_recorder_left_is_read(tmp_path, frames):
    write_bag(tmp_path / 'bag', frames, CAMERA, storage='mcap')
    (file,) = (tmp_path / 'bag').glob('*.mcap')
    whole = file.read_bytes()
    end = whole.rindex(b'\x89MCAP0\r\n')
    for cut in (end, end - 40):  # without the last magic, and within the summary
        file.write_bytes(whole[:cut])
        recording = open_recording(tmp_path / 'bag')
        assert [f.name for f in recording] and 'ended badly' in recording.note
    (tmp_path / 'bag' / 'metadata.yaml').unlink()
    assert len(list(open_recording(file))) == len(frames)


def test_rows_in_a_journal_are_read(tmp_path, frames):
    write_bag(tmp_path / 'bag', frames, CAMERA, storage='sqlite3')
    (file,) = (tmp_path / 'bag').glob('*.db3')
    database = sqlite3.connect(file)
    rows = database.execute('SELECT topic_id, timestamp, data FROM messages').fetchall()
    database.execute('DELETE FROM messages')
    database.commit()
    database.execute('VACUUM')
    database.execute('PRAGMA journal_mode=WAL')
    database.execute('PRAGMA wal_autocheckpoint=0')
    database.executemany('INSERT INTO messages(topic_id, timestamp, data) VALUES(?, ?, ?)', rows)
    database.commit()
    shutil.copytree(tmp_path / 'bag', tmp_path / 'left')
    database.close()
    recording = open_recording(tmp_path / 'left')
    assert len(list(recording)) == len(frames) and '-wal' in recording.note
    assert sorted(p.suffix for p in (tmp_path / 'left').iterdir()) == ['.db3', '.db3-shm', '.db3-wal', '.yaml'], (
        'untouched'
    )


def test_a_file_packed_by_zstd_is_read(tmp_path, frames):
    zstd = pytest.importorskip('backports.zstd', reason='backports.zstd comes with rosbags below Python 3.14')
    write_bag(tmp_path / 'bag', frames, CAMERA, storage='sqlite3')
    (file,) = (tmp_path / 'bag').glob('*.db3')
    packed = tmp_path / f'{file.name}.zstd'
    packed.write_bytes(zstd.compress(file.read_bytes()))
    assert len(list(open_recording(packed))) == len(frames)


def test_infrared_is_no_color_and_registered_depth_no_second_camera(tmp_path):
    topics = {'/camera/color/image_raw': 'bgr8', '/camera/infra1/image_rect_raw': 'mono8', '/ir/image_raw': 'mono16'}
    write_topics(tmp_path / 'color', topics)
    assert open_recording(tmp_path / 'color').topic == '/camera/color/image_raw'
    assert open_recording(tmp_path / 'color', topic='/camera/infra1/image_rect_raw').modality == 'color'
    depth = {'/camera/depth/image_rect_raw': '16UC1', '/camera/aligned_depth_to_color/image_raw': '16UC1', **topics}
    write_topics(tmp_path / 'all', depth)
    assert open_recording(tmp_path / 'all').topic == '/camera/depth/image_rect_raw'
    write_topics(tmp_path / 'two', {'/a/depth': '16UC1', '/b/depth': '16UC1'})
    with pytest.raises(RecordingError, match='--topic /a/depth or --topic /b/depth'):
        open_recording(tmp_path / 'two')
