"""``hand-pose view``: what is in the scene, from recordings and topics, and what a browser shows of it."""

import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from browser import Browser, find_chromium, free_port, pixels_seen
from checkout import child_environment
from known_hands import KnownTracker, make_hand
from recorded_hands import DELAY, STAMP, record
from synthetic_hand import open_hand

from hand_pose_ros.cli.main import main
from hand_pose_ros.core.outputs import JointFrames, Keypoints, Meshes
from hand_pose_ros.geometry.camera import Camera
from hand_pose_ros.io.recording import write_bag
from hand_pose_ros.resources import resource_path
from hand_pose_ros.visualization.drawing import FINGER_COLORS

rerun = pytest.importorskip('rerun', reason='Rerun is not installed: pip install rerun-sdk')
from hand_pose_ros.visualization import scene as viewing  # noqa: E402

CAMERA = Camera(64, 48, 60.0, 61.0, 31.5, 22.5, (0.2, -0.1, 0.01, -0.01, 0.0))
HANDS = [make_hand('left'), make_hand('right')]


def numbers(component) -> np.ndarray:
    return np.array(component.as_arrow_array().to_pylist(), float)


class Stream:
    """Stands in for a Rerun recording: keeps what is logged, as (time, path, archetype)."""

    def __init__(self):
        self.logged, self.now, self.blueprints = [], None, 0

    def log(self, path, what, static=False):
        self.logged.append((None if static else self.now, path, what))

    def set_time(self, timeline, **when):
        assert timeline == 'stamp'
        self.now = when

    def send_blueprint(self, layout):
        self.blueprints += 1

    def set_log_time_enabled(self, enabled):
        assert not enabled

    set_log_tick_enabled = set_log_time_enabled

    def at(self, path):
        return [(when, what) for when, logged, what in self.logged if logged == path]


def test_a_hand_is_where_it_is_in_meters_and_in_pixels():
    entities = dict(viewing.hands_entities(HANDS, CAMERA))
    for hand in HANDS:
        place = f'hands/{hand.side}'
        assert numbers(entities[f'{place}/joints'].positions) == pytest.approx(hand.joints, abs=1e-6)
        strips = numbers(entities[f'{place}/skeleton'].strips)
        assert strips[1] == pytest.approx(hand.joints[[0, 5, 6, 7, 8]], abs=1e-6)
        seen = numbers(entities[f'camera/{place}/skeleton'].strips)
        assert seen[4] == pytest.approx(CAMERA.project(hand.joints[[0, 17, 18, 19, 20]]) + 0.5, abs=1e-3)
        mesh = entities[f'{place}/mesh']
        assert numbers(mesh.vertex_positions) == pytest.approx(hand.fit.vertices, abs=1e-6)
        assert numbers(mesh.triangle_indices) == pytest.approx(hand.fit.faces)
        axes = entities[f'{place}/axes']
        assert numbers(axes.origins)[3:6] == pytest.approx(hand.joints[[1, 1, 1]], abs=1e-6)
        assert numbers(axes.vectors)[4] == pytest.approx(
            viewing.STYLE.axis_length_m * hand.fit.rotations[1][:, 1], abs=1e-6
        )
        gap = 1000 * np.linalg.norm(hand.joints[4] - hand.joints[8])
        assert numbers(entities[f'{place}/gap'].scalars) == pytest.approx([gap])
        assert numbers(entities[f'{place}/confidence'].scalars) == pytest.approx([hand.confidence.mean()])


def test_a_gesture_is_written_at_the_wrist():
    joints = open_hand('right')
    label = dict(viewing.joints_entities('right', joints, np.ones(21), CAMERA))['camera/hands/right/gesture']
    assert label.labels.as_arrow_array().to_pylist() == ['stop']
    assert numbers(label.positions) == pytest.approx(CAMERA.project(joints[:1]) + 0.5, abs=1e-3)


def test_colors_are_those_of_the_overlays():
    assert tuple(viewing.CHAIN_COLORS[0]) == FINGER_COLORS['thumb'][::-1]
    assert tuple(viewing.JOINT_COLORS[8]) == FINGER_COLORS['index'][::-1]


def test_a_closed_mesh_is_lit_from_outside():
    vertices = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1.0]])
    ((_, mesh),) = viewing.mesh_entities('left', vertices, np.array([[0, 2, 1], [0, 1, 3], [0, 3, 2], [1, 2, 3]]))
    assert (numbers(mesh.vertex_normals) * (vertices - 0.25)).sum(1).min() > 0.4


def test_depth_becomes_points_with_the_colors_of_the_picture():
    depth = np.zeros((48, 64), np.float32)
    depth[10, 20], depth[40, 5] = 0.5, 0.7
    picture = np.zeros((48, 64, 3), np.uint8)
    picture[10, 20] = (1, 2, 3)
    points, colors = viewing.cloud(depth, picture, CAMERA)
    assert points == pytest.approx(CAMERA.unproject([[20, 10], [5, 40]], [0.5, 0.7]), abs=1e-6)
    assert colors.tolist() == [[3, 2, 1], [0, 0, 0]]
    large = np.ones((720, 1280), np.float32)
    assert (
        12_000
        < len(viewing.cloud(large, np.zeros((720, 1280, 3), np.uint8), CAMERA)[0])
        <= viewing.STYLE.max_cloud_points
    )


def test_time_is_the_stamp_and_what_is_gone_is_cleared():
    stream = Stream()
    scene = viewing.Scene(stream)
    depth = np.full((48, 64), 0.5, np.float32)
    scene.image(3_250_000_001, depth, CAMERA)
    scene.hands(3_250_000_001, HANDS, 0.0125)
    assert {str(when) for when, path, _ in stream.logged if when} == {
        str({'duration': np.timedelta64(3_250_000_001, 'ns')})
    }
    assert numbers(stream.at('latency')[-1][1].scalars) == pytest.approx([12.5])
    scene.image(STAMP, depth, CAMERA)
    scene.hands(STAMP, HANDS[:1], 0.01)
    assert stream.now == {'timestamp': np.datetime64(STAMP, 'ns')}
    cleared = [path for when, path, what in stream.logged if isinstance(what, rerun.Clear)]
    assert cleared == ['hands/right', 'camera/hands/right']
    assert len(stream.at('camera')) == 1, 'a camera that stays is logged once'
    assert stream.blueprints == 2, 'the layout, and once aimed at the first hands'


def test_messages_show_what_the_tracker_knew():
    hand = HANDS[0]
    parts = [
        Keypoints({'left': (hand.joints, hand.confidence)}),
        JointFrames('left', hand.joints, hand.fit.rotations),
        Meshes({'left': (hand.fit.vertices, hand.fit.faces)}),
    ]
    found = [entity for part in parts for entity in viewing.output_entities(part, CAMERA)]
    wanted = viewing.hands_entities([hand], CAMERA)
    assert sorted(path for path, _ in found) == sorted(path for path, _ in wanted)
    for path, entity in wanted:
        twin = next(one for name, one in found if name == path)
        assert [str(batch.as_arrow_array()) for batch in twin.as_component_batches()] == [
            str(batch.as_arrow_array()) for batch in entity.as_component_batches()
        ], path


@pytest.fixture
def streams(monkeypatch, tmp_path):
    """The recordings that the command opens, as stand-ins."""
    opened = []

    class Kept(Stream):
        def __init__(self, application):
            super().__init__()
            opened.append(self)

        def save(self, path):
            Path(path).touch()

        def flush(self):
            pass

        disconnect = flush

    monkeypatch.setattr(rerun, 'RecordingStream', Kept)
    return opened


@pytest.mark.ros
def test_recorded_hands_are_shown_as_they_were_recorded(streams, tmp_path, capsys):
    bag = record(tmp_path / 'bag', [(STAMP + i * 10**9, HANDS if i else []) for i in range(4)])
    assert main(['view', str(bag), '--save', str(tmp_path / 'a.rrd'), '--limit', '3']) == 0
    output = capsys.readouterr()
    assert output.out.startswith('3 images') and 'the recorded hands are shown without' in output.err
    shown = streams[0].at('hands/right/joints')
    assert [when['timestamp'].astype(int) - STAMP for when, _ in shown] == [10**9, 2 * 10**9]
    assert numbers(shown[0][1].positions) == pytest.approx(HANDS[1].joints, abs=1e-6)
    assert numbers(streams[0].at('latency')[-1][1].scalars) == pytest.approx([DELAY / 1e6])
    assert len(streams[0].at('hands/left/mesh')) == len(streams[0].at('hands/left/axes')) == 2


def test_a_recording_without_hands_is_tracked(streams, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr('hand_pose_ros.tracking.factory.make_tracker', KnownTracker)
    images = [(100 + i, np.full((48, 64), 500 + i, np.uint16)) for i in range(3)]
    write_bag(tmp_path / 'bag', images, CAMERA, joints={'left': [(100.0, np.zeros((21, 3)))]})
    assert main(['view', str(tmp_path / 'bag'), '--save', str(tmp_path / 'a.rrd')]) == 0
    assert capsys.readouterr().out.startswith('3 images')
    times = [when['duration'].astype(int) for when, _ in streams[0].at('camera/picture')]
    assert times == [100 * 10**9, 101 * 10**9, 102 * 10**9]
    assert numbers(streams[0].at('hands/left/joints')[0][1].positions) == pytest.approx(HANDS[0].joints, abs=1e-6)


def test_a_recording_is_saved(tmp_path, capsys):
    file = tmp_path / 'hands.rrd'
    assert main(['view', str(resource_path('demo', 'clip')), '--limit', '3', '--save', str(file)]) == 0
    assert capsys.readouterr().out == f'3 images: {file}\n' and file.read_bytes()[:3] == b'RRF'


@pytest.mark.parametrize(
    'arguments, reason',
    [
        (['/does/not/exist'], '/does/not/exist: no such file'),
        (['x', '--image-transport', 'raw'], '--image-transport is for topics'),
        (['--model', 'x'], '--model is for a recording, and none was given'),
        ([str(resource_path('demo', 'clip')), '--save', '/does/not/exist/a.rrd'], '--save /does/not/exist/a.rrd: '),
    ],
)
def test_what_is_wrong_is_said(arguments, reason, capsys):
    assert main(['view', *arguments]) == 2
    assert f'hand-pose: error: {reason}' in capsys.readouterr().err


def test_a_limit_is_a_number_of_images(capsys):
    with pytest.raises(SystemExit):
        main(['view', '--limit', '0'])
    assert "--limit: '0' is not a whole number above 0" in capsys.readouterr().err


@pytest.mark.parametrize('flag', ['--port', '--data-port'])
@pytest.mark.parametrize('port', ['0', '-1', '65536', '9e3'])
def test_a_port_that_is_none_is_refused(flag, port, capsys):
    with pytest.raises(SystemExit):
        main(['view', f'{flag}={port}'])
    assert f"{flag}: '{port}' is not a port from 1 to 65535" in capsys.readouterr().err


def test_without_rerun_it_says_how_to_get_it(capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, 'rerun', None)
    assert main(['view', str(resource_path('demo', 'clip'))]) == 2
    assert f'needs Rerun, and this Python ({sys.executable})' in capsys.readouterr().err


@pytest.mark.ros
def test_topics_become_the_scene():
    pytest.importorskip('rclpy', reason='ROS 2 is not installed')
    pytest.importorskip('tf2_msgs', reason='tf2_msgs is not available to this Python')
    from geometry_msgs.msg import PoseArray
    from ros_graph import RELIABLE, Graph
    from sensor_msgs.msg import CameraInfo, Image, PointCloud2
    from visualization_msgs.msg import MarkerArray

    from hand_pose_ros.nodes import messages
    from hand_pose_ros.nodes.viewer import ViewerNode
    from hand_pose_ros.settings import NodeSettings, TrackerSettings

    stream = Stream()
    settings = TrackerSettings(node=NodeSettings(depth_unit=0.0005))
    graph = Graph(lambda **options: ViewerNode(viewing.Scene(stream, live=True), settings, 1, **options))
    try:
        publishers = {
            kind: graph.client.create_publisher(kind, topic, RELIABLE)
            for topic, kind in {
                'depth/camera_info': CameraInfo,
                'depth/image': Image,
                'hands/keypoints': PointCloud2,
                'hands/left/joints': PoseArray,
                'hands/right/joints': PoseArray,
                'hands/markers': MarkerArray,
            }.items()
        }
        graph.wait(lambda: all(one.get_subscription_count() for one in publishers.values()), 'for the viewer')
        graph.wait(
            lambda: sum(one.get_publisher_count() > 0 for one in graph.node.subscriptions) >= 6, 'for its publishers'
        )
        header, hand = graph.header(1_700_000_000.25), HANDS[1]
        for path, message in {
            '': messages.camera_info_message(header, CAMERA),
            'camera/picture': messages.image_message(header, np.full((48, 64), 1000, np.uint16), '16UC1'),
            'hands/right/joints': messages.keypoints_message(header, [hand]),
            'hands/right/axes': messages.joints_message(header, hand),
            'hands/right/mesh': messages.markers_message(header, [hand]),
        }.items():
            publishers[type(message)].publish(message)
            graph.wait(lambda: stream.at(path) if path else graph.node._camera, f'for {path or "the camera"}')
        graph.wait(graph.node.done.done, 'for the end after one image')
    finally:
        graph.close()
    for path in ('camera/picture', 'hands/right/joints', 'hands/right/axes', 'hands/right/mesh'):
        assert [when for when, _ in stream.at(path)] == [{'timestamp': np.datetime64(1_700_000_000_250_000_000, 'ns')}]
    assert numbers(stream.at('hands/right/joints')[0][1].positions) == pytest.approx(hand.joints, abs=1e-6)
    assert numbers(stream.at('cloud')[0][1].positions)[:, 2] == pytest.approx(0.5)
    assert len(stream.at('latency')) == 1, 'a stamp of another time says nothing about latency'
    assert {path for _, path, what in stream.logged if isinstance(what, rerun.Clear)} == {
        'hands/left',
        'camera/hands/left',
    }


def test_a_browser_shows_the_hands(tmp_path):
    """In what the page draws, without a network, are the camera's picture and, twice, every finger's color."""
    chromium = find_chromium()
    if chromium is None:
        pytest.skip('there is no Chromium')
    page, data = free_port(), free_port()
    viewer = subprocess.Popen(
        [
            sys.executable,
            '-m',
            'hand_pose_ros.cli.main',
            'view',
            str(resource_path('demo', 'clip')),
            '--limit',
            '3',
            '--no-mesh',
            '--web',
            '--port',
            str(page),
            '--data-port',
            str(data),
        ],
        stdout=subprocess.PIPE,
        text=True,
        env=child_environment(),
    )
    try:
        address = viewer.stdout.readline().strip()
        assert address == f'http://localhost:{page}/?url=rerun%2Bhttp://localhost:{data}/proxy'
        assert viewer.stdout.readline() == '3 images\n'
        with Browser(chromium, 1200, 800) as browser:
            browser.open(f'{address}&renderer=webgl')
            end = time.monotonic() + 300
            while min((counts := pixels_seen(browser.picture(tmp_path / 'page.png'))).values()) < 50:
                assert time.monotonic() < end, f'pixels seen: {counts} in {tmp_path / "page.png"}'
                time.sleep(1)
    finally:
        viewer.kill()
        viewer.communicate()
