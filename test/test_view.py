"""``hand-pose view``: what is logged into the scene, from recordings and topics, and what a browser shows of it."""

import base64
import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import cv2
import numpy as np
import pytest

from hand_pose_ros import viewing
from hand_pose_ros.cli.main import main
from hand_pose_ros.drawing import FINGER_COLORS
from hand_pose_ros.geometry.camera import Camera
from hand_pose_ros.resources import resource_path
from known_hands import make_hand

CAMERA = Camera(64, 48, 60.0, 60.0, 31.5, 23.5)


class Stream:
    """Stands in for a Rerun recording: keeps what is logged."""

    def __init__(self):
        self.logged, self.times = [], []

    def log(self, path, what, static=False):
        self.logged.append((path, type(what).__name__, what))

    def set_time(self, timeline, **when):
        self.times.append(when)

    def send_blueprint(self, layout):
        pass

    def of(self, path):
        return [what for at, _, what in self.logged if at == path]


@pytest.fixture
def stream():
    pytest.importorskip('rerun', reason='Rerun is not installed: pip install rerun-sdk')
    return Stream()


def numbers(component):
    return np.array(component.as_arrow_array().to_pylist(), float)


def test_a_frame_becomes_picture_hands_and_curves(stream):
    scene = viewing.Scene(stream)
    hands = [make_hand('left'), make_hand('right')]
    picture = np.full((48, 64), 0.5, np.float32)
    scene.show(3.25, picture, CAMERA, hands)
    for hand in hands:
        points, = stream.of(f'hands/{hand.side}/joints')
        assert numbers(points.positions) == pytest.approx(hand.joints, abs=1e-6), 'not in metres of the camera frame'
        strips, = stream.of(f'hands/{hand.side}/skeleton')
        assert numbers(strips.strips)[1] == pytest.approx(hand.joints[[0, 5, 6, 7, 8]], abs=1e-6)
        mesh, = stream.of(f'hands/{hand.side}/mesh')
        assert numbers(mesh.vertex_positions) == pytest.approx(hand.fit.vertices, abs=1e-6)
        arrows, = stream.of(f'hands/{hand.side}/frames')
        assert numbers(arrows.vectors)[4] == pytest.approx(viewing.AXIS_LENGTH * hand.fit.rotations[1][:, 1], abs=1e-6)
        gap = numbers(stream.of(f'plots/gap/{hand.side}')[-1].scalars)[0]
        assert gap == pytest.approx(1000 * np.linalg.norm(hand.joints[4] - hand.joints[8]))
    assert stream.times == [{'duration': 3.25}]
    scene.show(1.7e9, None, CAMERA, hands[:1])
    assert stream.times[-1] == {'timestamp': 1.7e9}
    assert ('hands/right', 'Clear') in [(path, kind) for path, kind, _ in stream.logged]
    assert len(stream.of('camera')) == 1, 'a camera that stays is logged once'


def test_colours_are_those_of_the_overlays():
    assert tuple(viewing.CHAIN_COLORS[0]) == FINGER_COLORS['thumb'][::-1]
    assert tuple(viewing.JOINT_COLORS[8]) == FINGER_COLORS['index'][::-1]


def test_topics_are_read_as_they_were_written():
    pytest.importorskip('rclpy', reason='ROS 2 is not installed')
    pytest.importorskip('tf2_msgs', reason='tf2_msgs is not available to this Python')
    from std_msgs.msg import Header

    from hand_pose_ros.nodes import messages, viewer
    hands = [make_hand('left'), make_hand('right')]
    found = viewer.read_keypoints(messages.keypoints_message(Header(), hands[::-1]))
    for hand in hands:
        assert found[hand.side].joints == pytest.approx(hand.joints, abs=1e-6)
        assert found[hand.side].confidence == pytest.approx(hand.confidence, abs=1e-6)
    assert set(viewer.read_keypoints(messages.keypoints_message(Header(), hands[:1]))) == {'left'}
    meshes = viewer.read_meshes(messages.markers_message(Header(), hands[:1]))
    assert set(meshes) == {'left'} and meshes['left'] == pytest.approx(
        hands[0].fit.vertices[hands[0].fit.faces].reshape(-1, 3))


def test_a_recording_is_saved(tmp_path, capsys):
    pytest.importorskip('rerun', reason='Rerun is not installed: pip install rerun-sdk')
    file = tmp_path / 'hands.rrd'
    assert main(['view', str(resource_path('demo', 'clip')), '--limit', '3', '--save', str(file)]) == 0
    assert '3 frames' in capsys.readouterr().out and file.stat().st_size > 50_000


def test_what_is_wrong_is_said(tmp_path, capsys, monkeypatch):
    assert main(['view', 'x', '--limit', '0']) == 2
    assert '--limit' in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, 'rerun', None)
    assert main(['view', str(tmp_path)]) == 2
    assert 'pip install rerun-sdk' in capsys.readouterr().err


def free_port():
    with socket.socket() as one:
        one.bind(('', 0))
        return one.getsockname()[1]


def test_a_browser_shows_the_hands(tmp_path):
    """In the picture that the page draws, every finger's colour is to be found."""
    pytest.importorskip('rerun', reason='Rerun is not installed: pip install rerun-sdk')
    websocket = pytest.importorskip('websocket', reason='pip install websocket-client: to talk to the browser')
    browser = next(filter(None, map(shutil.which, ('chromium', 'chromium-browser', 'google-chrome'))), None)
    if browser is None:
        pytest.skip('there is no Chromium')
    ports = [free_port() for _ in range(3)]
    environment = {**os.environ, 'PYTHONPATH': str(Path(__file__).parents[1])}
    viewer = subprocess.Popen([sys.executable, '-m', 'hand_pose_ros.cli.main', 'view', str(resource_path('demo', 'clip')),
                               '--limit', '8', '--web', '--port', str(ports[0]), '--data-port', str(ports[1])],
                              stdout=subprocess.PIPE, text=True, env=environment)
    page = None
    try:
        address = viewer.stdout.readline().split()[1] + '&renderer=webgl'
        assert 'frames shown' in viewer.stdout.readline()
        page = subprocess.Popen([browser, '--headless=new', '--no-sandbox', '--use-gl=angle', '--use-angle=swiftshader',
                                 '--enable-unsafe-swiftshader', '--ignore-gpu-blocklist', '--window-size=1200,800',
                                 f'--remote-debugging-port={ports[2]}', '--remote-allow-origins=*',
                                 f'--user-data-dir={tmp_path}', address], stderr=subprocess.DEVNULL)
        found = _watch(websocket, ports[2], [color for color in FINGER_COLORS.values()], tmp_path)
        assert all(count > 15 for count in found), f'pixels in the fingers\' colours: {found}'
    finally:
        for process in filter(None, (page, viewer)):
            process.kill()
            process.wait()


def _watch(websocket, port, colors, folder, patience=90.0):
    """Look at the page until it shows every colour; returns the pixels of each in the last picture."""
    end, socket_, found = time.monotonic() + patience, None, [0] * len(colors)
    while time.monotonic() < end:
        time.sleep(1.0)
        try:
            if socket_ is None:
                pages = json.load(urllib.request.urlopen(f'http://localhost:{port}/json', timeout=5))
                url = next(one['webSocketDebuggerUrl'] for one in pages if one['type'] == 'page')
                socket_ = websocket.create_connection(url, timeout=30)
            socket_.send(json.dumps({'id': 1, 'method': 'Page.captureScreenshot'}))
            answer = json.loads(socket_.recv())
        except (OSError, StopIteration, websocket.WebSocketException):
            continue
        picture = cv2.imdecode(np.frombuffer(base64.b64decode(answer['result']['data']), np.uint8), cv2.IMREAD_COLOR)
        cv2.imwrite(str(folder / 'page.png'), picture)
        # Lit from one side, a colour is somewhat darker or lighter, but of the same hue.
        hues = cv2.cvtColor(picture, cv2.COLOR_BGR2HSV)
        wanted = [cv2.cvtColor(np.uint8([[color]]), cv2.COLOR_BGR2HSV)[0, 0] for color in colors]
        found = [int(((np.abs(hues[..., 0].astype(int) - one[0]) < 5) & (hues[..., 1] > 90) & (hues[..., 2] > 110)
                      )[60:-260, :600].sum()) for one in wanted]
        if all(count > 15 for count in found):
            break
    return found
