"""The playback node, alone and with the tracker in one process."""

import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager

import cv2
import numpy as np
import pytest

pytest.importorskip('rclpy', reason='ROS 2 is not installed')

from checkout import child_environment
from geometry_msgs.msg import PoseArray
from rclpy.qos import QoSProfile
from ros_graph import DOMAIN, RELIABLE, Graph
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, PointCloud2

from hand_pose_ros.cli import main as command_line
from hand_pose_ros.geometry.calibration import CameraDescription
from hand_pose_ros.geometry.camera import Camera
from hand_pose_ros.io.recording import write_bag
from hand_pose_ros.nodes import playback
from hand_pose_ros.nodes.inputs import read_color, read_depth
from hand_pose_ros.nodes.parameters import parameter_overrides

CAMERA = Camera(64, 48, 60.0, 61.0, 31.0, 23.0)


def camera_of(message):
    return CameraDescription.of(message).camera(message.width, message.height)


CALIBRATION = """image_width: 64
image_height: 48
camera_matrix: {rows: 3, cols: 3, data: [60.0, 0, 31.0, 0, 61.0, 23.0, 0, 0, 1]}
distortion_model: plumb_bob
distortion_coefficients: {rows: 1, cols: 5, data: [0, 0, 0, 0, 0]}
"""


def image(index):
    """Each image of a recording, recognizable: its number, 100 mm apart."""
    return np.full((48, 64), 100 * (index + 1), np.uint16)


@pytest.fixture
def bag(tmp_path):
    # Stamps that a float of seconds cannot hold.
    write_bag(tmp_path / 'bag', [(1000 + 0.05 * i, image(i)) for i in range(5)], CAMERA, frame_id='recorded')
    return tmp_path / 'bag'


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / 'frames'
    path.mkdir()
    for i in range(5):
        cv2.imwrite(str(path / f'{i:03d}.png'), image(i))
    (path / 'camera_info.yaml').write_text(CALIBRATION)
    return path


@pytest.fixture
def play(monkeypatch):
    """Play a recording once its listeners stand: late is not lost, however busy the machine."""
    monkeypatch.setattr(playback, 'OUT', QoSProfile(depth=100))
    ready = threading.Event()
    monkeypatch.setattr(playback.PlaybackNode, '_wait_for_subscriber', lambda node: ready.wait(60))
    graphs = []

    def start(recording, images=Image, topic='depth/image', count=5, info='depth/camera_info', also=None, **parameters):
        """Play to the end, or until so many images came; returns the graph, images and cameras."""
        ready.clear()
        overrides = parameter_overrides({'input': str(recording), **parameters})
        graph = Graph(lambda **options: playback.PlaybackNode(parameter_overrides=overrides, **options))
        graphs.append(graph)
        listened = {info: CameraInfo, topic: images, **(also or {})}
        for name, kind in listened.items():
            graph.listen(kind, name, RELIABLE)
        infos, found = graph.received[info], graph.received[topic]
        graph.wait(lambda: graph.heard(*listened), 'for the connections')
        ready.set()
        graph.wait(lambda: len(found) >= count and len(infos) >= count, 'for the recording')
        return graph, found, infos

    yield start
    ready.set()
    for graph in graphs:
        graph.close()


def test_a_bag_is_published_as_by_a_camera(play, bag):
    graph, images, infos = play(bag, rate=200.0)
    graph.wait(graph.node.done.done, 'for the end')
    assert graph.node.done.result() == 0
    assert [np.unique(read_depth(message, 0.001)[:]).tolist() for message in images] == [
        [pytest.approx(0.1 * (i + 1))] for i in range(5)
    ]
    assert all(message.encoding == '16UC1' and message.header.frame_id == 'recorded' for message in images)
    assert [message.header for message in images] == [message.header for message in infos]
    assert {camera_of(message) for message in infos} == {CAMERA}
    now = graph.client.get_clock().now().nanoseconds
    stamps = [message.header.stamp.sec * 10**9 + message.header.stamp.nanosec for message in images]
    assert stamps == sorted(set(stamps)) and now - 60e9 < stamps[0] and stamps[-1] <= now


def test_original_stamps_are_exact(play, bag):
    _, images, _ = play(bag, use_original_stamps=True, rate=200.0)
    assert [message.header.stamp.nanosec for message in images] == [i * 50_000_000 for i in range(5)]
    assert {message.header.stamp.sec for message in images} == {1000}


def test_the_pace_is_that_of_the_recording_or_the_rate_given(play, bag):
    # Nothing is sent early; how late depends on the machine.
    for rate, least in ((0.0, 0.2), (10.0, 0.4)):
        start = time.monotonic()
        graph, _, _ = play(bag, rate=rate)
        assert time.monotonic() - start > least
        assert [at for at, _ in graph.node._frames()] == pytest.approx([i * least / 4 for i in range(5)])


def test_a_folder_of_images(play, folder):
    _, images, infos = play(folder, rate=200.0, frame_id='mine')
    assert [int(read_depth(message, 1.0)[:][0, 0]) for message in images] == [100, 200, 300, 400, 500]
    assert all(message.header.frame_id == 'mine' for message in images + infos)
    assert camera_of(infos[0]) == CAMERA


def test_another_unit_is_published_as_meters(play, folder):
    _, images, _ = play(folder, rate=200.0, depth_unit=0.0001)
    assert {message.encoding for message in images} == {'32FC1'}
    assert [read_depth(message, 0.001)[:][0, 0] for message in images] == pytest.approx([0.01, 0.02, 0.03, 0.04, 0.05])


def test_compressed_images(play, bag):
    _, images, _ = play(
        bag, CompressedImage, 'depth/image/compressedDepth', rate=200.0, image_transport='compressedDepth'
    )
    assert [read_depth(message, 0.001)[:][0, 0] for message in images] == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.5])


def test_color_is_published_with_its_registered_depth(play, tmp_path):
    stamps = [1000 + 0.05 * i for i in range(5)]
    write_bag(
        tmp_path / 'bag',
        [(s, np.full((48, 64, 3), 90, np.uint8)) for s in stamps],
        CAMERA,
        color=True,
        registered_depth=[(s, image(i)) for i, s in enumerate(stamps)],
    )
    graph, depths, _ = play(
        tmp_path / 'bag',
        CompressedImage,
        'depth/image/compressedDepth',
        info='color/camera_info',
        also={'color/image/compressed': CompressedImage},
        rate=200.0,
        modality='rgbd',
        image_transport='compressed',
    )
    colors = graph.received['color/image/compressed']
    graph.wait(lambda: len(colors) == 5, 'for the color images')
    assert [message.header for message in colors] == [message.header for message in depths]
    assert [read_depth(message, 0.001)[:][0, 0] for message in depths] == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.5])
    assert abs(read_color(colors[0]).astype(int) - 90).max() <= 2


def test_a_loop_goes_on(play, bag):
    graph, images, _ = play(bag, rate=200.0, loop=True, count=12)
    assert [int(read_depth(message, 1.0)[:][0, 0]) for message in images[:12]] == [
        *range(100, 600, 100),
        *range(100, 600, 100),
        100,
        200,
    ]
    assert not graph.node.done.done()


def test_the_first_image_waits_for_a_subscriber(folder, monkeypatch):
    monkeypatch.setattr(playback, 'CONFIG', playback.PlaybackConfig(connection_s=0.1))
    published = []
    monkeypatch.setattr(playback.PlaybackNode, '_publish', lambda node, frame: published.append(frame.name))
    values = parameter_overrides({'input': str(folder), 'rate': 1000.0})
    graph = Graph(lambda **options: playback.PlaybackNode(parameter_overrides=values, **options))
    try:
        graph.spin(0.3)
        assert not published and not graph.node.done.done()
        graph.listen(Image, 'depth/image')
        graph.wait(graph.node.done.done, 'for the end')
        assert published == [f'{i:03d}.png' for i in range(5)]
    finally:
        graph.close()


def fail_to_play(folder):
    values = parameter_overrides({'input': str(folder), 'wait_for_subscriber': False})
    graph = Graph(lambda **options: playback.PlaybackNode(parameter_overrides=values, **options))
    try:
        graph.wait(graph.node.done.done, 'for the end')
        assert graph.node.done.result() == 2
    finally:
        graph.close()


def test_without_a_camera_it_ends_with_an_error(folder, capfd):
    (folder / 'camera_info.yaml').unlink()
    fail_to_play(folder)
    assert 'give the parameter camera a calibration YAML' in capfd.readouterr().err


def test_an_unforeseen_error_ends_it_too(folder, capfd, monkeypatch):
    def fail(*_):
        raise KeyError('nobody thought of that')

    monkeypatch.setattr(playback, 'camera_info_message', fail)
    fail_to_play(folder)
    assert "playing failed (KeyError: 'nobody thought of that')" in capfd.readouterr().err


@pytest.mark.parametrize(
    'parameters, reason',
    [
        ({}, 'parameter input: empty'),
        ({'input': '/does/not/exist'}, '/does/not/exist: no such file'),
        ({'input': '.', 'camera': '/does/not/exist.yaml'}, '/does/not/exist.yaml'),
        ({'input': '.', 'rate': -1.0}, 'parameter rate: '),
        ({'input': '.', 'image_transport': 'theora'}, "parameter image_transport: 'theora' is not one of raw"),
    ],
)
def test_what_cannot_be_played_is_refused(parameters, reason):
    with pytest.raises(ValueError, match=reason):
        Graph(lambda **options: playback.PlaybackNode(parameter_overrides=parameter_overrides(parameters), **options))


# The command, with a tracker that returns known hands.
KNOWN = """
import sys
from hand_pose_ros.tracking import model_choice
from known_hands import KnownTracker
model_choice.make_live_tracker = lambda settings: (KnownTracker(settings), model_choice.ModelChoice.of(settings))
from hand_pose_ros.cli.main import main
sys.exit(main(['node', *sys.argv[1:]]))
"""


def start_command(*arguments, script=KNOWN):
    environment = child_environment(ROS_DOMAIN_ID=str(DOMAIN))
    return subprocess.Popen(
        [sys.executable, '-c', script, *arguments], env=environment, stderr=subprocess.PIPE, text=True
    )


class Listener(Graph):
    """A client without a node under test."""

    def __init__(self):
        import rclpy

        super().__init__(lambda context: rclpy.create_node('idle', context=context))


@contextmanager
def command(*arguments):
    """Run the command beside a client."""
    listener = Listener()
    process = start_command(*arguments)
    try:
        yield listener, process
    finally:
        process.kill()
        listener.close()


TIMED = """
import os, signal, sys, threading, time, rclpy
from rclpy.node import Node
from hand_pose_ros.nodes.process import run_nodes

signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs begin without

class Timed(Node):
    def __init__(self, take):
        super().__init__('timed')
        self.create_timer(0.01, take)
"""

BREAKS = (
    TIMED
    + """
def take():
    if sys.argv[1] == 'told':
        threading.Timer(0.1, rclpy.shutdown).start()
    raise RuntimeError('a message is half taken')

sys.exit(run_nodes([lambda: Timed(take)]))
"""
)


@pytest.mark.parametrize(('why', 'code'), [('told', 0), ('by itself', 1)])
def test_an_error_in_a_call_that_a_signal_breaks_into_is_none(why, code):
    process = start_command(why, script=BREAKS)
    error = process.communicate(timeout=90)[1]
    assert process.returncode == code, error
    assert ('a message is half taken' in error) == bool(code)


SLOW = (
    TIMED
    + """
def take():
    print('begun', file=sys.stderr, flush=True)
    until = time.monotonic() + float(sys.argv[1])
    while time.monotonic() < until:
        sum(range(1000))
    print('whole', file=sys.stderr, flush=True)

code = run_nodes([lambda: Timed(take)])
print('ended', file=sys.stderr)
sys.exit(code)
"""
)


def test_an_interrupt_lets_a_call_end():
    process = start_command('0.5', script=SLOW)
    assert process.stderr.readline() == 'begun\n'
    process.send_signal(signal.SIGINT)
    error = process.communicate(timeout=90)[1]
    assert process.returncode == 0 and error.startswith('whole\n') and error.endswith('ended\n'), error
    assert 'Traceback' not in error


EARLY = (
    TIMED
    + """
init = rclpy.init

def interrupted_init(**options):
    os.kill(os.getpid(), signal.SIGINT)
    init(**options)

rclpy.init = interrupted_init
sys.exit(run_nodes([lambda: Node('early')]))
"""
)


def test_an_interrupt_that_comes_before_ros_is_up_ends_the_process_too():
    process = start_command(script=EARLY)
    assert process.communicate(timeout=90)[1] == '' and process.returncode == 0


def test_a_second_interrupt_breaks_into_a_call():
    process = start_command('600', script=SLOW)
    assert process.stderr.readline() == 'begun\n'
    for pause in 0.5, 0:
        process.send_signal(signal.SIGINT)
        time.sleep(pause)
    error = process.communicate(timeout=90)[1]
    assert process.returncode == 0 and 'whole' not in error, error


def test_the_node_command_tracks_a_recording(bag):
    with command(
        '--input',
        str(bag),
        '--namespace',
        'robot',
        '--depth-image',
        'camera/depth',
        '--loop',
        '--rate',
        '30',
        '--use-original-stamps',
        '--max-hands',
        '1',
    ) as (listener, process):
        joints = listener.listen(PoseArray, '/robot/hands/left/joints')
        clouds = listener.listen(PointCloud2, '/robot/hands/keypoints')
        listener.wait(lambda: len(joints) > 5 and len(clouds) > 5, 'for hands', timeout=90)
        status = listener.status('2 hands in view')
        process.send_signal(signal.SIGINT)
        listener.wait(lambda: process.poll() is not None, 'for the command to end', timeout=90)
        error = process.stderr.read()
    assert process.returncode == 0 and 'Traceback' not in error, error
    assert status.hardware_id == '/robot/camera/depth'
    assert {message.header.stamp.sec for message in joints + clouds} == {1000}
    assert {message.header.frame_id for message in joints + clouds} == {'recorded'}
    assert 'tracking starts afresh' in error, 'the stamps jump back at each round'


def test_the_node_command_ends_with_the_recording(bag):
    with command('--input', str(bag), '--rate', '100') as (listener, process):
        listener.wait(lambda: process.poll() is not None, 'for the command to end', timeout=90)
        error = process.stderr.read()
    assert process.returncode == 0 and f'{bag}: finished' in error, error


@pytest.mark.parametrize(
    'arguments, reason',
    [
        (['--near', '5'], 'parameter near: 5.0 is not below far'),
        (['--input', '/does/not/exist'], '/does/not/exist: no such file'),
        (['--rate', '30'], '--rate is for a recording'),
        (['--ros-args', '--log-level', 'loud'], "Couldn't parse log level"),
    ],
)
def test_the_node_command_refuses_nonsense(arguments, reason, capfd):
    assert command_line.main(['node', *arguments]) == 2
    error = capfd.readouterr().err
    assert 'error: ' in error and reason in error and 'Traceback' not in error


class PatientPlayback(playback.PlaybackNode):
    """Publishes an image once the one before it was answered, however slow the machine; some may be lost."""

    answered = staticmethod(int)

    def _publish(self, frame):
        before, end = self.answered(), time.monotonic() + 20
        super()._publish(frame)
        while self.answered() == before and time.monotonic() < end:
            time.sleep(0.01)


@pytest.mark.parametrize('modality', [pytest.param('depth', marks=pytest.mark.slow), 'rgbd'])
def test_a_bag_played_to_the_tracker_gives_the_joints_of_the_offline_replay(tmp_path, monkeypatch, modality):
    """An image that is lost on the way leaves the track a frame behind."""
    from hand_pose_ros.cli.clip import load_clip
    from hand_pose_ros.io.recording import open_recording
    from hand_pose_ros.nodes.tracker import TrackerNode
    from hand_pose_ros.settings import TrackerSettings, compose
    from hand_pose_ros.tracking.factory import make_tracker

    pytest.importorskip('tf2_msgs', reason='tf2_msgs is not available to this Python')
    frames = [(100 + i / 3, frame) for i, frame in enumerate(load_clip(None, modality, 12).frames)]
    depth = [(stamp, frame.depth.pixels) for stamp, frame in frames]
    if modality == 'rgbd':
        color = [(stamp, frame.color) for stamp, frame in frames]
        write_bag(tmp_path / 'bag', color, frames[0][1].camera, color=True, registered_depth=depth)
    else:
        write_bag(tmp_path / 'bag', depth, frames[0][1].camera)
    parameters = {'modality': modality, 'model': 'jgr_p2o', 'mesh': False, 'threads': 1}
    offline, expected = make_tracker(compose(TrackerSettings, parameters)), {}
    for frame in open_recording(tmp_path / 'bag', modality=modality):
        for hand in offline.process(frame.camera_frame()):
            expected[hand.side, frame.nanoseconds] = hand.joints
    assert len(expected) >= 20, 'two hands in almost every frame'
    graph = Graph(TrackerNode, parameter_overrides=parameter_overrides(parameters))
    player = None
    try:
        heard = {side: graph.listen(PoseArray, f'hands/{side}/joints') for side in ('left', 'right')}
        graph.wait(lambda: graph.heard(*(f'hands/{side}/joints' for side in heard)), 'for the tracker')
        statistics = graph.node._diagnostics.statistics
        monkeypatch.setattr(PatientPlayback, 'answered', staticmethod(lambda: statistics.processed))
        player = PatientPlayback(
            context=graph.context,
            parameter_overrides=parameter_overrides(
                {'input': str(tmp_path / 'bag'), 'modality': modality, 'use_original_stamps': True}
            ),
        )
        graph.wait(player.done.done, 'for the end of the bag', timeout=300)
        graph.spin(1.0)
    finally:
        if player is not None:
            player.destroy_node()
        graph.close()
    off = []
    for side, found in heard.items():
        for message in found:
            joints = np.array([(p.position.x, p.position.y, p.position.z) for p in message.poses])
            off.append(
                np.abs(joints - expected[side, message.header.stamp.sec * 10**9 + message.header.stamp.nanosec]).max()
            )
    assert len(off) > 0.6 * len(expected), 'most images arrive'
    if len(off) == len(expected):
        assert max(off) < 1e-9, 'every image arrived, and something else is not the same'
    assert np.median(off) < 0.002
