"""The tracker node through real topics, with a tracker that returns known hands."""

import json
import threading
from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip('rclpy', reason='ROS 2 is not installed')

from diagnostic_msgs.msg import DiagnosticStatus
from geometry_msgs.msg import PoseArray, TransformStamped
from known_hands import KnownTracker, make_hand
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState, GetState
from posed_hands import FIST, posed
from rcl_interfaces.srv import DescribeParameters, SetParameters
from rclpy.parameter import Parameter
from rclpy.qos import DurabilityPolicy, QoSProfile
from ros_graph import BEST_EFFORT, FRAME_ID, RELIABLE, Graph, making
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, JointState, PointCloud2
from std_msgs.msg import Bool, Header, String
from synthetic_hand import open_hand
from tf2_msgs.msg import TFMessage
from visualization_msgs.msg import Marker, MarkerArray

from hand_pose_ros.core.hand import Hand
from hand_pose_ros.geometry.camera import Camera
from hand_pose_ros.geometry.rotations import rotation_vector_to_matrix
from hand_pose_ros.nodes import diagnostics, hand_publisher, inputs, messages, tracker
from hand_pose_ros.nodes.parameters import parameter_overrides
from hand_pose_ros.tracking.model_choice import ModelChoice

#: Flexions that lay a thumb over the palm.
THUMB = ('thumb_cmc_flexion', 'thumb_mcp_flexion', 'thumb_ip_flexion')
CAMERA = Camera(64, 48, 60.0, 60.0, 31.5, 23.5)
DEPTH = np.full((48, 64), 500, np.uint16)
OUTPUTS = {
    'hands/left/joints': PoseArray,
    'hands/right/joints': PoseArray,
    'hands/left/joint_states': JointState,
    'hands/right/joint_states': JointState,
    'hands/keypoints': PointCloud2,
    'hands/markers': MarkerArray,
    'hands/overlay': Image,
    '/tf': TFMessage,
}


class TrackerGraph(Graph):
    """The tracker node and a camera."""

    def _known(self, settings):
        return self.known, ModelChoice.of(settings)

    def __init__(
        self,
        parameters=None,
        make_tracker=None,
        image=Image,
        image_topic='depth/image',
        camera_qos=RELIABLE,
        **node_options,
    ):
        self.known = KnownTracker()
        super().__init__(
            lambda **options: tracker.TrackerNode(make_tracker or self._known, **options),
            parameter_overrides=parameter_overrides(parameters or {}),
            **node_options,
        )
        self.images = self.client.create_publisher(image, image_topic, camera_qos)
        info_topic = 'color/camera_info' if image_topic.startswith('color') else 'depth/camera_info'
        self.infos = self.client.create_publisher(CameraInfo, info_topic, camera_qos)

    def connect(self, *wanted, qos=RELIABLE):
        """Listen to outputs and wait for every connection to stand."""
        for topic in wanted:
            self.listen(OUTPUTS[topic], topic, qos)
        self.wait(lambda: self.images.get_subscription_count() and self.infos.get_subscription_count(), 'for the node')
        inputs = self.node._input._subscriptions
        self.wait(lambda: all(topic.connected for topic in inputs), 'for the camera')
        self.wait(lambda: self.heard(*wanted), 'for the outputs')

    def show(self, camera=CAMERA, **changes):
        """Make the node know a camera."""
        message = messages.camera_info_message(self.header(), camera)
        for name, value in changes.items():
            setattr(message, name, value)
        known = self.node._input._description
        self.infos.publish(message)
        self.wait(lambda: self.node._input._description != known, 'for the camera')

    def send(self, image=DEPTH, header=None, encoding='16UC1', **changes):
        """Publish an image; returns it once the node is through with it."""
        message = messages.image_message(header or self.header(), image, encoding)
        for name, value in changes.items():
            setattr(message, name, value)
        return self.publish(message)

    def publish(self, message):
        done = self.node._diagnostics.statistics
        before = done.processed + done.refused
        self.images.publish(message)
        self.wait(lambda: done.processed + done.refused > before, 'for the node to take the image')
        return message

    def got(self, topic, count=1):
        """Wait for so many messages of a topic; returns them."""
        self.wait(lambda: len(self.received[topic]) >= count, f'for {topic}')
        return self.received[topic]


@pytest.fixture
def graph(monkeypatch):
    monkeypatch.setattr(diagnostics, 'CONFIG', replace(diagnostics.CONFIG, period_s=0.05))
    with making(TrackerGraph) as make:
        yield make


def points(poses):
    return np.array([(p.position.x, p.position.y, p.position.z) for p in poses])


@pytest.mark.parametrize('qos', [BEST_EFFORT, RELIABLE], ids=['best effort', 'reliable'])
def test_an_image_becomes_every_output(graph, qos):
    graph = graph(camera_qos=qos)
    graph.connect(*OUTPUTS, qos=qos)
    graph.show()
    image = graph.send(header=graph.header(1234.567))
    assert (image.header.stamp.sec, image.header.stamp.nanosec) == (1234, 567_000_000)
    for topic in OUTPUTS:
        assert len(graph.got(topic)) == 1, topic
    got = {topic: found[0] for topic, found in graph.received.items() if topic in OUTPUTS}
    headers = [got[topic].header for topic in OUTPUTS if hasattr(got[topic], 'header')]
    headers += [marker.header for marker in got['hands/markers'].markers]
    assert all(header == image.header for header in headers)
    assert {t.header.stamp.sec for t in got['/tf'].transforms} == {1234}

    for hand in graph.known.hands:
        assert np.array_equal(points(got[f'hands/{hand.side}/joints'].poses), hand.joints)
        assert list(got[f'hands/{hand.side}/joint_states'].position) == list(hand.fit.angles.values())
        assert all(name.startswith(hand.side) for name in got[f'hands/{hand.side}/joint_states'].name)
    assert got['hands/keypoints'].width == 42
    assert len(got['/tf'].transforms) == 44
    assert [t.header.frame_id for t in got['/tf'].transforms if t.child_frame_id == 'left_hand_wrist'] == [FRAME_ID]
    assert sum(marker.action == Marker.ADD for marker in got['hands/markers'].markers) == 6
    overlay = got['hands/overlay']
    assert (overlay.height, overlay.width, overlay.encoding, len(overlay.data)) == (48, 64, 'bgr8', 48 * 64 * 3)
    colors = np.frombuffer(bytes(overlay.data), np.uint8).reshape(-1, 3)
    assert len(np.unique(colors, axis=0)) > 10, 'skeletons over a plain wall'


COLOR = np.full((48, 64, 3), (200, 100, 30), np.uint8)  # blue, green, red


@pytest.mark.parametrize(
    'encoding, image',
    [
        ('bgr8', COLOR),
        ('rgb8', COLOR[..., ::-1]),
        ('bgra8', np.dstack([COLOR, COLOR[..., :1]])),
        ('rgba8', np.dstack([COLOR[..., ::-1], COLOR[..., :1]])),
    ],
    ids=lambda value: value if isinstance(value, str) else '',
)
def test_color_images_reach_the_tracker_in_bgr(graph, encoding, image):
    graph = graph({'modality': 'color'}, image_topic='color/image')
    graph.connect('hands/keypoints', 'hands/overlay')
    graph.show()
    sent = graph.send(np.ascontiguousarray(image), encoding=encoding)
    assert np.array_equal(graph.known.seen[0][0], COLOR) and graph.known.seen[0][1] == CAMERA
    assert graph.got('hands/keypoints')[0].header == sent.header
    overlay = np.frombuffer(bytes(graph.got('hands/overlay')[0].data), np.uint8).reshape(48, 64, 3)
    assert (overlay == COLOR[0, 0]).all(2).mean() > 0.1, 'the overlay is not over the image'
    graph.send(DEPTH, encoding='16UC1')
    assert "encoding '16UC1' holds no color" in graph.status('/color/image').message
    assert graph.got('hands/keypoints', 2)[1].width == 0


class RgbdGraph(TrackerGraph):
    """The tracker node of ``modality: rgbd`` and a camera that sends color and depth."""

    def __init__(self, transport='raw', image=Image):
        suffix = '' if transport == 'raw' else '/compressed'
        parameters = {'modality': 'rgbd', 'image_transport': transport}
        super().__init__(parameters, image=image, image_topic=f'color/image{suffix}')
        self.depths = self.client.create_publisher(image, f'depth/image{suffix}{"Depth" if suffix else ""}', RELIABLE)

    def connect(self, *wanted, qos=RELIABLE):
        super().connect(*wanted, qos=qos)
        self.wait(self.depths.get_subscription_count, 'for the node')
        self.show()

    def send_depth(self, seconds, image=DEPTH, frame_id=FRAME_ID):
        """Publish a depth image; returns once the node has it."""
        pairing = self.node._input._pairing
        before = list(pairing._depths)
        self.depths.publish(messages.image_message(self.header(seconds, frame_id), image, '16UC1'))
        self.wait(lambda: list(map(id, pairing._depths)) != list(map(id, before)), 'for depth')

    def send_color(self, seconds):
        return self.send(COLOR, self.header(seconds), 'bgr8')


@pytest.fixture
def rgbd(graph):
    """Make the graph of a color camera with depth, closed at the end."""
    with making(RgbdGraph) as make:
        yield make


def test_depth_goes_with_the_color_image_of_its_moment(rgbd):
    graph = rgbd()
    graph.connect('hands/keypoints', 'hands/overlay')
    graph.send_depth(10.0)
    color = graph.send_color(10.0)
    frame = graph.known.frames[-1]
    assert frame.depth[:][0, 0] == 0.5 and np.array_equal(frame.color, COLOR) and frame.camera == CAMERA
    assert frame.stamp_s == 10.0 and graph.got('hands/keypoints')[0].header == color.header
    overlay = np.frombuffer(bytes(graph.got('hands/overlay')[0].data), np.uint8).reshape(48, 64, 3)
    assert (overlay == COLOR[0, 0]).all(2).mean() > 0.1, 'the overlay is not over the color image'
    graph.images.publish(messages.image_message(graph.header(10.033), COLOR, 'bgr8'))
    graph.wait(lambda: graph.node._input._pairing._waiting, 'for the color image to wait for its depth')
    assert len(graph.known.frames) == 1
    graph.send_depth(10.034, np.full((48, 64), 700, np.uint16))
    graph.wait(lambda: len(graph.known.frames) == 2, 'for the pair')
    assert graph.known.frames[-1].depth[:][0, 0] == pytest.approx(0.7)
    assert graph.values('2 hands in view')['frames without depth'] == '0'


def test_a_color_image_without_depth_is_tracked_alone_and_counted(rgbd):
    graph = rgbd()
    graph.connect('hands/keypoints')
    for seconds in (20.0, 20.033):  # The first waits for its depth until the second is there.
        graph.images.publish(messages.image_message(graph.header(seconds), COLOR, 'bgr8'))
        graph.wait(lambda: graph.node._input._pairing._waiting, 'for the color image')
    graph.wait(lambda: len(graph.known.frames) == 1, 'for the frame without depth')
    assert graph.known.frames[0].depth is None and graph.known.frames[0].stamp_s == 20.0
    status = graph.status('2 hands in view, by color alone: /depth/image: no image within 0.017 s')
    assert status.level == DiagnosticStatus.WARN
    graph.send_depth(20.033, DEPTH * 0)
    graph.wait(lambda: len(graph.known.frames) == 2, 'for the frame')
    assert graph.known.frames[1].depth is None
    assert graph.values('every pixel is a hole')['frames without depth'] == '2'
    assert [cloud.width for cloud in graph.got('hands/keypoints', 2)] == [42, 42]


def test_depth_that_does_not_tell_the_hands_distance_is_said(rgbd):
    graph = rgbd()
    graph.known.hands = [replace(hand, metric=False) for hand in graph.known.hands]
    graph.connect('hands/keypoints')
    graph.send_depth(10.0, np.full((48, 64), 9000, np.uint16))
    graph.send_color(10.0)
    status = graph.status('2 hands in view, their distance by hand_size: ')
    assert status.level == DiagnosticStatus.WARN and 'half beyond 9.00 m' in status.message


@pytest.mark.parametrize(
    'changes, reason',
    [
        ({'image': np.full((24, 32), 700, np.uint16)}, 'the images are 32x24, those of /color/image 64x48'),
        ({'frame_id': 'depth_frame'}, "the images are of the frame 'depth_frame', those of /color/image"),
    ],
    ids=['another size', 'another frame'],
)
def test_depth_that_is_not_registered_is_refused_with_what_to_do(rgbd, changes, reason):
    graph = rgbd()
    graph.connect('hands/keypoints')
    graph.send_depth(30.0, **changes)
    graph.send_color(30.0)
    status = graph.status(f'/depth/image: {reason}')
    assert status.level == DiagnosticStatus.ERROR and not graph.known.frames
    for way in (
        'align_depth.enable:=true',
        'aligned_depth_to_color',
        'depth_registration:=true',
        'depth_to_rgb',
        'ZED',
    ):
        assert way in status.message
    assert {value.key: value.value for value in status.values}['frames refused'] == '1'
    assert graph.got('hands/keypoints')[0].width == 0
    graph.send_depth(30.033)
    graph.send_color(30.033)
    graph.status('2 hands in view')


def test_packed_color_and_depth(rgbd):
    graph = rgbd('compressed', CompressedImage)
    graph.connect('hands/keypoints')
    graph.depths.publish(messages.compressed_depth_message(graph.header(40.0), DEPTH))
    graph.wait(lambda: graph.node._input._pairing._depths, 'for depth')
    graph.publish(messages.compressed_color_message(graph.header(40.0), COLOR))
    frame = graph.known.frames[0]
    assert np.unique(frame.depth[:]) == pytest.approx(0.5) and np.abs(frame.color.astype(int) - COLOR).max() < 6


def test_a_clock_that_jumps_back_does_not_mix_color_and_depth_of_two_rounds(rgbd):
    graph = rgbd()
    graph.connect('hands/keypoints')
    graph.send_depth(50.0)
    graph.send_color(50.0)
    graph.images.publish(messages.image_message(graph.header(50.033), COLOR, 'bgr8'))
    graph.wait(lambda: graph.node._input._pairing._waiting, 'for the color image')
    resets = graph.known.resets
    graph.send_depth(50.0, np.full((48, 64), 800, np.uint16))
    graph.send_color(50.0)
    assert graph.known.resets == resets + 1
    assert [frame.stamp_s for frame in graph.known.frames] == [50.0, 50.0]
    assert graph.known.frames[1].depth[:][0, 0] == pytest.approx(0.8)


def test_gray_and_compressed_color_images(graph):
    gray = graph({'modality': 'color'}, image_topic='color/image')
    gray.connect()
    gray.show()
    gray.send(np.full((48, 64), 77, np.uint8), encoding='mono8')
    assert np.array_equal(gray.known.seen[0][0], np.full((48, 64, 3), 77, np.uint8))
    packed = graph(
        {'modality': 'color', 'image_transport': 'compressed'},
        image=CompressedImage,
        image_topic='color/image/compressed',
    )
    packed.connect()
    packed.show()
    packed.publish(messages.compressed_color_message(packed.header(), COLOR))
    assert np.abs(packed.known.seen[0][0].astype(int) - COLOR).max() < 6
    packed.publish(messages.compressed_depth_message(packed.header(), DEPTH))
    assert 'holds depth, not color' in packed.status('/color/image/compressed').message


def test_nothing_is_made_for_nobody(graph, monkeypatch):
    graph = graph()
    graph.connect('hands/left/joints')
    made = []
    publisher = graph.node._publisher
    monkeypatch.setattr(publisher, '_serialize_transforms', lambda *_: made.append('transforms'))
    for name in ('keypoints_message', 'joint_states_message'):
        monkeypatch.setattr(messages, name, lambda *_, name=name: made.append(name))
    monkeypatch.setattr(hand_publisher, 'draw_overlay', lambda *_: made.append('overlay'))
    monkeypatch.setattr(publisher, '_serialize_markers', lambda *_: made.append('markers'))
    graph.show()
    graph.send()
    graph.got('hands/left/joints')
    assert not made


def test_joints_go_to_the_topic_of_their_side_only(graph):
    graph = graph()
    graph.connect('hands/left/joints', 'hands/right/joints', 'hands/keypoints', 'hands/markers')
    graph.show()
    graph.known.hands = [make_hand('right', 3)]
    graph.send()
    graph.known.hands = []
    graph.send()
    first, second = graph.got('hands/keypoints', 2)
    assert (first.width, second.width) == (21, 0)
    assert [len(graph.received[f'hands/{side}/joints']) for side in ('left', 'right')] == [0, 1]
    deleted = [{m.ns for m in a.markers if m.action == Marker.DELETE} for a in graph.got('hands/markers', 2)]
    everything = {f'{side}_{part}' for side in ('left', 'right') for part in ('skeleton', 'joints', 'mesh')}
    assert deleted == [{name for name in everything if name.startswith('left')}, everything]


def test_without_a_model_there_are_joints_but_no_angles(graph):
    graph = graph()
    graph.connect('hands/left/joints', 'hands/left/joint_states', '/tf')
    graph.show()
    graph.known.hands = [make_hand('left', fitted=False)]
    graph.send()
    graph.got('hands/left/joints')
    graph.got('/tf')
    graph.spin(0.1)
    assert not graph.received['hands/left/joint_states']


@pytest.mark.parametrize(
    'image, encoding, changes, unit',
    [
        (DEPTH, '16UC1', {}, 0.001),
        (DEPTH, 'mono16', {}, 0.001),
        (DEPTH * 4, '16UC1', {}, 0.00025),
        (DEPTH.astype(np.float32) / 1000, '32FC1', {}, 0.25),
        (DEPTH.byteswap(), '16UC1', {'is_bigendian': 1}, 0.001),
        (np.pad(DEPTH, ((0, 0), (0, 8))), '16UC1', {'width': 64}, 0.001),
    ],
    ids=['millimeters', 'mono16', 'quarter millimeters', 'meters', 'big endian', 'padded rows'],
)
def test_depth_reaches_the_tracker_in_meters(graph, image, encoding, changes, unit):
    graph = graph({'depth_unit': unit})
    graph.connect('hands/keypoints')
    graph.show()
    graph.send(image, encoding=encoding, **changes)
    depth, camera = graph.known.seen[0]
    assert depth.shape == (48, 64) and depth.dtype == np.float32
    assert np.unique(depth) == pytest.approx(0.5)
    assert camera == CAMERA


def test_holes_are_zero(graph):
    graph = graph()
    graph.connect('hands/keypoints')
    graph.show()
    image = np.full((48, 64), 0.5, np.float32)
    image[0, :4] = np.nan, np.inf, -np.inf, 0
    graph.send(image, encoding='32FC1')
    depth = graph.known.seen[0][0]
    assert (depth[0, :4] == 0).all() and depth[0, 4] == np.float32(0.5)


def test_presence_and_the_primary_hand_are_sent_on_change(graph):
    graph = graph()
    latched = QoSProfile(depth=10, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    graph.connect('hands/keypoints')
    present = graph.listen(Bool, 'hands/right/present', latched)
    events = graph.listen(String, 'hands/events')
    graph.wait(lambda: [m.data for m in present] == [False], 'for what is so before any hand')
    graph.wait(lambda: graph.heard('hands/events'), 'for the events')
    graph.show()
    for track_id in (7, 7, 9, None):
        hands = [] if track_id is None else [replace(make_hand('right', 1), track_id=track_id)]
        graph.known.hands = hands
        graph.send()
    graph.wait(lambda: [m.data for m in present] == [False, True, False], 'for the changes, once each')
    graph.wait(lambda: len(events) == 6, 'for the events')
    assert [(e['what'], e['side'], e['track']) for e in map(json.loads, (m.data for m in events))] == [
        ('appeared', 'right', 7),
        ('primary', 'right', 7),
        ('lost', 'right', 7),
        ('appeared', 'right', 9),
        ('primary', 'right', 9),
        ('lost', 'right', 9),
    ]


def test_rays_and_what_is_up_are_in_the_frames_that_tf_joins(graph):
    graph = graph(parameters={'gesture_hold': 0.05, 'up_frame': 'map', 'ray_frame': 'map'})
    graph.connect('hands/keypoints')
    events = graph.listen(String, 'hands/events')
    graph.wait(lambda: graph.heard('hands/events'), 'for the events')
    graph.show()
    pointing = posed(FIST | {name: 0.0 for name in FIST if name.startswith('index')} | dict.fromkeys(THUMB, 0.8))
    graph.known.hands = [Hand('right', 0.9, pointing, np.ones(21))]
    for stamp in (10.0, 10.1):
        graph.send(header=graph.header(stamp))
    graph.wait(lambda: any('"point"' in m.data for m in events), 'for the gesture')
    assert not any('ray' in json.loads(m.data) for m in events), 'TF does not join the frames yet'
    # The camera looks along the map's x, so that its -y is up.
    static = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    sender = graph.client.create_publisher(TFMessage, '/tf_static', static)
    turn = TransformStamped(header=Header(frame_id='map'), child_frame_id=graph.header().frame_id)
    q = turn.transform.rotation
    q.x, q.y, q.z, q.w = -0.5, 0.5, -0.5, 0.5
    sender.publish(TFMessage(transforms=[turn]))
    graph.spin(0.3)
    pointing = pointing @ rotation_vector_to_matrix(np.array([0, 0, 0.2])).T  # it turned: a ray is said again
    graph.known.hands = [Hand('right', 0.9, pointing, np.ones(21))]
    for stamp in (10.2, 10.4):
        graph.send(header=graph.header(stamp))
    graph.wait(lambda: any('ray' in json.loads(m.data) for m in events), 'for the ray')
    ray = next(event['ray'] for event in map(json.loads, (m.data for m in events)) if 'ray' in event)
    x, y, z = pointing[8]
    assert ray['frame'] == 'map' and ray['origin'] == pytest.approx([z, -x, -y], abs=1e-4)
    assert ray['direction'][2] > 0.9 and ray['elevation_deg'] > 60


def test_gestures_that_cannot_be_read_keep_the_node_from_starting(graph, tmp_path):
    path = tmp_path / 'mine.yaml'
    path.write_text('forms: {peace: {index: strait}}')
    graph = graph(parameters={'gestures_file': str(path)})
    graph.status("peace: index: there is no state 'strait'; did you mean straight")


BAD_IMAGES = {
    'unknown encoding': ({'encoding': 'bayer_grbg8'}, "/depth/image: encoding 'bayer_grbg8'"),
    'color': ({'encoding': 'rgb8', 'step': 192}, "/depth/image: encoding 'rgb8' holds no depth"),
    'short step': ({'step': 100}, '/depth/image: step is 100 bytes'),
    'too few bytes': ({'height': 50}, '/depth/image: the image holds'),
    'no pixels': ({'width': 0, 'height': 0, 'step': 0}, '/depth/image: the image is empty'),
    'all zero': ({'image': DEPTH * 0}, '/depth/image: every pixel is a hole'),
    'all NaN': ({'image': np.full((48, 64), np.nan, np.float32), 'encoding': '32FC1'}, '/depth/image: every pixel'),
    'another size': ({'image': DEPTH[:24]}, '/depth/camera_info: the CameraInfo is for 64x48'),
}


def test_a_gesture_is_sent_on_change_and_to_who_comes_late(graph):
    graph = graph(parameters={'gesture_hold': 0.15})
    graph.connect('hands/keypoints')
    graph.show()
    topic, latched = 'hands/right/gesture', QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    graph.listen(String, topic, latched)
    graph.wait(lambda: [m.data for m in graph.received[topic]] == ['none'], 'for what is so before any hand')
    graph.known.hands = [Hand('right', 0.9, open_hand('right'), np.full(21, 0.9))]
    for step, stamp in enumerate((10.0, 10.1, 10.2, 10.3), 1):
        graph.send(header=graph.header(stamp))
        graph.wait(lambda step=step: len(graph.known.seen) == step, 'for the frame')
    graph.wait(lambda: [m.data for m in graph.received[topic]] == ['none', 'stop'], 'for the gesture, once')
    late: list[str] = []
    graph.client.create_subscription(String, topic, lambda message: late.append(message.data), latched)
    graph.wait(lambda: late == ['stop'], 'for the late subscriber')
    graph.known.hands = []
    for step, stamp in enumerate((10.4, 10.6), 5):
        graph.send(header=graph.header(stamp))
        graph.wait(lambda step=step: len(graph.known.seen) == step, 'for the frame')
    graph.wait(lambda: late == ['stop', 'none'], 'for the end of it')


@pytest.mark.parametrize('changes, reason', BAD_IMAGES.values(), ids=list(BAD_IMAGES))
def test_a_bad_image_costs_one_frame(graph, changes, reason):
    graph = graph()
    graph.connect(*OUTPUTS)
    graph.show()
    bad = graph.send(**changes)
    status = graph.status(reason)
    assert status.level == DiagnosticStatus.ERROR
    assert graph.got('hands/keypoints')[0].header == bad.header
    assert graph.received['hands/keypoints'][0].width == 0
    assert not any(graph.received[topic] for topic in OUTPUTS if topic != 'hands/keypoints')
    graph.send()
    graph.got('hands/left/joints')
    graph.status('2 hands in view')
    assert len(graph.known.seen) == 1
    assert graph.values()['frames refused'] == '1'


def test_an_image_before_its_camera_info(graph):
    graph = graph()
    graph.connect('hands/keypoints', 'hands/left/joints')
    graph.status('idle: no image on /depth/image yet; 1 publisher')
    graph.send()
    graph.status('/depth/camera_info: no CameraInfo came yet')
    assert graph.got('hands/keypoints')[0].width == 0
    graph.show()
    graph.send()
    assert graph.got('hands/keypoints', 2)[1].width == 42
    graph.got('hands/left/joints')


@pytest.mark.parametrize(
    'changes, reason',
    [
        ({'k': [0.0] * 9}, 'the camera is not calibrated'),
        ({'k': [float('nan')] * 9}, 'the camera is not calibrated'),
        ({'distortion_model': 'ds', 'd': [0.1] * 4}, "distortion model 'ds' is not supported"),
        ({'width': 0}, 'the image size 0x48 is not positive'),
    ],
    ids=['zero', 'NaN', 'unknown', 'no width'],
)
def test_a_bad_camera_info(graph, changes, reason):
    graph = graph()
    graph.connect('hands/keypoints', 'hands/left/joints')
    graph.show(**changes)
    graph.send()
    assert graph.status(reason).message.startswith('/depth/camera_info: ')
    assert graph.got('hands/keypoints')[0].width == 0
    graph.show()
    graph.send()
    graph.got('hands/left/joints')


def test_a_camera_that_changes_is_taken(graph):
    graph = graph()
    graph.connect('hands/keypoints')
    graph.show()
    resets = graph.known.resets
    graph.infos.publish(messages.camera_info_message(graph.header(), CAMERA))
    graph.send()
    assert graph.known.resets == resets, 'the same camera again'
    other = Camera(32, 24, 30.0, 31.0, 15.5, 11.5, (0.1, 0.0, 0.0, 0.0, 0.0))
    graph.show(other)
    graph.send(DEPTH[:24, :32])
    assert [camera for _, camera in graph.known.seen] == [CAMERA, other]
    assert graph.known.resets == resets + 1


def test_cv_bridge_is_asked_for_other_encodings(graph, monkeypatch):
    class Bridge:
        def imgmsg_to_cv2(self, message, desired_encoding):
            if message.encoding != '16SC1':
                raise RuntimeError('no such conversion')
            return np.frombuffer(message.data, np.int16).reshape(message.height, message.width)

    graph = graph()
    graph.connect('hands/keypoints')
    graph.show()
    graph.send(encoding='16SC1')
    graph.status('and cv_bridge, which may know it, is not installed')
    monkeypatch.setattr(inputs, '_cv_bridge', Bridge)
    graph.send(encoding='16SC1')
    assert graph.known.seen[-1][0][0, 0] == np.float32(0.5)
    graph.send(encoding='64FC1')
    graph.status('cv_bridge failed on it (RuntimeError: no such conversion)')


def test_an_empty_frame_id_gives_joints_but_no_tf(graph):
    graph = graph()
    graph.connect('hands/left/joints', '/tf')
    graph.show()
    graph.send(header=graph.header(frame_id=''))
    graph.got('hands/left/joints')
    graph.spin(0.1)
    assert not graph.received['/tf']


def test_a_failing_pipeline_costs_one_frame(graph, monkeypatch):
    graph = graph()
    graph.connect('hands/keypoints')
    graph.show()

    def fail(frame):
        raise RuntimeError('inference went wrong')

    with monkeypatch.context() as patch:
        patch.setattr(graph.known, 'process', fail)
        graph.send()
        graph.status('tracking failed on an image of /depth/image: RuntimeError: inference went wrong')
    graph.send()
    assert [cloud.width for cloud in graph.got('hands/keypoints', 2)] == [0, 42]


@pytest.mark.parametrize('mesh', [True, False])
def test_a_mesh_is_posed_only_while_somebody_listens_to_it(graph, mesh):
    graph = graph({'mesh': mesh})
    graph.connect('hands/keypoints')
    graph.show()
    graph.send()
    assert not mesh or graph.known.tracking.mesh is False
    graph.connect('hands/markers')
    graph.send()
    graph.got('hands/markers')
    assert set_parameter(graph, 'far', 1.2).successful
    assert (graph.known.tracking.mesh, graph.known.tracking.far) == (mesh, 1.2)


def test_what_need_not_wait_for_the_next_image_is_done_after_publishing(graph, monkeypatch):
    graph = graph()
    graph.connect('hands/keypoints')
    graph.show()
    for count in (1, 2):
        graph.send()
        assert graph.known.finished == count
    resets = graph.known.resets

    def fail():
        raise RuntimeError('inference went wrong')

    with monkeypatch.context() as patch:
        patch.setattr(graph.known, 'finish_frame', fail)
        graph.send()
        assert [cloud.width for cloud in graph.got('hands/keypoints', 3)] == [42, 42, 42], 'its hands were out before'
        graph.status('tracking failed after an image of /depth/image: RuntimeError: inference went wrong')
    assert graph.known.resets == resets + 1
    graph.send()
    graph.status('2 hands in view')


def test_a_missing_model_leaves_the_node_unconfigured_until_it_is_given(graph):
    def make_tracker(settings):
        if settings.models.model != 'good.onnx':
            raise FileNotFoundError(f'{settings.models.model}: no such model')
        return KnownTracker(settings), ModelChoice.of(settings)

    graph = graph({'model': 'missing.onnx'}, make_tracker)
    status = graph.status('missing.onnx: no such model')
    assert status.level == DiagnosticStatus.ERROR
    assert graph.call(GetState, '/hand_tracker/get_state').current_state.label == 'unconfigured'
    configure = Transition(id=Transition.TRANSITION_CONFIGURE)
    assert not graph.call(ChangeState, '/hand_tracker/change_state', transition=configure).success
    assert set_parameter(graph, 'model', 'good.onnx').successful
    assert graph.call(ChangeState, '/hand_tracker/change_state', transition=configure).success
    graph.status('idle: not active')


def test_a_damaged_model_is_told_as_well(graph):
    def make_tracker(parameters):
        raise RuntimeError('protobuf parsing failed')

    graph = graph(make_tracker=make_tracker)
    graph.status('cannot start tracking: RuntimeError: protobuf parsing failed')
    assert graph.call(GetState, '/hand_tracker/get_state').current_state.label == 'unconfigured'


def test_the_lifecycle_by_its_services(graph):
    graph = graph({'auto_activate': False})

    def change(transition):
        return graph.call(ChangeState, '/hand_tracker/change_state', transition=Transition(id=transition)).success

    def state():
        return graph.call(GetState, '/hand_tracker/get_state').current_state.label

    assert state() == 'unconfigured'
    assert graph.status('idle: not configured').level == DiagnosticStatus.WARN
    assert change(Transition.TRANSITION_CONFIGURE) and state() == 'inactive'
    graph.status('idle: not active')
    assert graph.images.get_subscription_count() == 0
    for _ in range(2):
        assert change(Transition.TRANSITION_ACTIVATE) and state() == 'active'
        graph.connect('hands/keypoints')
        graph.show()
        graph.send()
        assert graph.got('hands/keypoints')[0].width == 42
        resets = graph.known.resets
        assert change(Transition.TRANSITION_DEACTIVATE) and state() == 'inactive'
        assert graph.known.resets == resets + 1
        graph.wait(lambda: not graph.images.get_subscription_count(), 'for the node to leave the camera')
    assert change(Transition.TRANSITION_CLEANUP) and state() == 'unconfigured'
    assert change(Transition.TRANSITION_CONFIGURE) and change(Transition.TRANSITION_ACTIVATE)
    graph.connect('hands/left/joints')
    graph.show()
    graph.send()
    graph.got('hands/left/joints')
    assert change(Transition.TRANSITION_ACTIVE_SHUTDOWN) and state() == 'finalized'


def test_a_clock_that_jumps_back_starts_afresh(graph):
    graph = graph()
    graph.connect('hands/keypoints')
    graph.show()
    graph.send(header=graph.header(100))
    graph.send(header=graph.header(100.1))
    resets = graph.known.resets
    graph.send(header=graph.header(100))
    assert graph.known.resets == resets + 1
    graph.send(header=graph.header(100.1))
    assert graph.known.resets == resets + 1
    assert [cloud.header.stamp.sec for cloud in graph.got('hands/keypoints', 4)] == [100] * 4


def test_late_frames_are_dropped_and_counted(graph, monkeypatch):
    graph = graph()
    graph.connect('hands/keypoints')
    graph.show()
    entered, release = threading.Event(), threading.Event()
    uneven = DEPTH + np.arange(64, dtype=np.uint16) % 2  # of one depth throughout it would say so instead

    def slow(frame):
        entered.set()
        assert release.wait(30)
        return []

    monkeypatch.setattr(graph.known, 'process', slow)
    for second in range(1, 11):
        graph.images.publish(messages.image_message(graph.header(second), uneven, '16UC1'))
        assert entered.wait(30)
    release.set()
    graph.got('hands/keypoints', 2)
    graph.spin(0.2)
    assert [cloud.header.stamp.sec for cloud in graph.received['hands/keypoints']] == [1, 10]
    status = graph.status('0 hands in view, but 80% of the images of /depth/image are dropped')
    assert status.level == DiagnosticStatus.WARN
    assert {value.key: value.value for value in status.values}['frames dropped'] == '8'


def test_compressed_depth_comes_from_the_remapped_topic(graph):
    graph = graph(
        {'image_transport': 'compressedDepth'},
        image=CompressedImage,
        image_topic='/camera/depth/compressedDepth',
        cli_args=['--ros-args', '-r', 'depth/image:=/camera/depth'],
    )
    # Its CameraInfo is the one beside it.
    graph.infos = graph.client.create_publisher(CameraInfo, '/camera/camera_info', RELIABLE)
    graph.connect('hands/keypoints')
    graph.show()
    graph.publish(messages.compressed_depth_message(graph.header(), DEPTH))
    assert np.unique(graph.known.seen[0][0]) == pytest.approx(0.5)
    message = messages.compressed_depth_message(graph.header(), DEPTH)
    message.data = message.data[:-20]
    graph.publish(message)
    graph.status('/camera/depth/compressedDepth: the PNG')
    message.format = '16UC1; compressedDepth rvl'
    graph.publish(message)
    graph.status('the image ')
    message.format = 'jpeg'
    graph.publish(message)
    graph.status('/camera/depth/compressedDepth')


def set_parameter(graph, name, value):
    request = [Parameter(name, value=value).to_parameter_msg()]
    return graph.call(SetParameters, '/hand_tracker/set_parameters', parameters=request).results[0]


@pytest.mark.parametrize(
    'name, value, reason',
    [
        ('modality', 'rgb', "parameter modality: 'rgb' is not one of depth, color, rgbd"),
        ('engine', 'cuda', "parameter engine: 'cuda' is not one of auto"),
        ('max_hands', 9, 'parameter max_hands: .*[Oo]ut of range'),
        ('max_hands', 'two', 'parameter max_hands: the value given is not a int'),
        ('mesh', 1, 'parameter mesh: the value given is not a bool'),
        ('near', 'close', "parameter near: 'close' is not a float"),
        ('near', -1.0, 'parameter near: .*[Oo]ut of range'),
        ('near', 2.0, 'parameter near: 2.0 is not below far'),
    ],
)
def test_a_wrong_parameter_is_refused_at_the_start(name, value, reason):
    with pytest.raises(ValueError, match=reason):
        TrackerGraph({name: value})


def test_parameters_at_run_time(graph):
    graph = graph({'far': 2})
    graph.connect('hands/keypoints', '/tf')
    graph.show()
    assert graph.node.get_parameter('far').value == 2
    for name, value, reason in (
        ('model', 'other', 'parameter model is read when the node configures'),
        ('auto_activate', False, 'read-only'),
        ('depth_unit', 5.0, 'ut of range'),
        ('views', 3, 'parameter views: 3 is not one of 1, 2, 4'),
        ('publish_tf', 'no', 'type'),
    ):
        result = set_parameter(graph, name, value)
        assert not result.successful and reason in result.reason, (name, result.reason)
    assert set_parameter(graph, 'depth_unit', 0.002).successful
    assert set_parameter(graph, 'publish_tf', False).successful
    assert set_parameter(graph, 'near', 0.3).successful
    assert graph.known.tracking.near == 0.3
    graph.send()
    graph.got('hands/keypoints')
    assert np.unique(graph.known.seen[0][0]) == pytest.approx(1.0)
    graph.spin(0.1)
    assert not graph.received['/tf']


def test_parameters_are_described(graph):
    graph = graph()
    found = graph.call(
        DescribeParameters,
        '/hand_tracker/describe_parameters',
        names=['engine', 'near', 'max_hands', 'auto_activate', 'depth_unit'],
    ).descriptors
    engine, near, hands, start, unit = found
    assert all(descriptor.description for descriptor in found)
    assert 'openvino' in engine.additional_constraints
    assert (near.floating_point_range[0].from_value, near.floating_point_range[0].to_value) == (0.0, 10.0)
    assert not near.additional_constraints
    assert (hands.integer_range[0].from_value, hands.integer_range[0].to_value) == (1, 8)
    assert start.read_only and not engine.read_only and not unit.additional_constraints


def test_diagnostics_tell_rate_latency_engine_and_silence(graph, monkeypatch):
    graph = graph()
    graph.connect('hands/left/joints')
    graph.show()
    for _ in range(3):
        graph.send()
    status = graph.status('2 hands in view')
    values = {value.key: value.value for value in status.values}
    assert status.level == DiagnosticStatus.OK
    assert (status.name, status.hardware_id) == ('hand_tracker: tracking', '/depth/image')
    assert (values['engine'], values['model']) == ('known engine', 'known_model')
    assert values['frames dropped'] == '0'
    assert values['frames processed'] == '3' and float(values['rate (Hz)']) > 0
    assert 0 < float(values['latency median (ms)']) <= float(values['latency p95 (ms)']) < 1000
    assert values['network median (ms)'] == '1.0'
    graph.client.create_publisher(Image, 'depth/image', 1)
    assert graph.status('2 hands in view, but 2 publishers share /depth/image').level == DiagnosticStatus.WARN
    monkeypatch.setattr(diagnostics, 'CONFIG', replace(diagnostics.CONFIG, silence_s=0.1))
    assert graph.status('idle: no image on /depth/image for').level == DiagnosticStatus.WARN


def test_a_camera_info_that_was_sent_before_is_taken(graph):
    latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    graph = graph({'auto_activate': False}, camera_qos=latched)
    graph.infos.publish(messages.camera_info_message(graph.header(), CAMERA))
    for transition in (Transition.TRANSITION_CONFIGURE, Transition.TRANSITION_ACTIVATE):
        assert graph.call(ChangeState, '/hand_tracker/change_state', transition=Transition(id=transition)).success
    graph.connect('hands/keypoints')
    graph.wait(lambda: graph.node._input._description is not None, 'for the CameraInfo that was sent before')
    graph.send()
    assert graph.got('hands/keypoints')[0].width == 42


@pytest.mark.parametrize('offered', [BEST_EFFORT, RELIABLE], ids=['best effort', 'reliable'])
def test_images_are_asked_for_as_they_are_offered(graph, offered):
    graph = graph(camera_qos=offered)
    graph.connect('hands/keypoints')
    asked = [one.qos_profile.reliability for one in graph.node.get_subscriptions_info_by_topic('/depth/image')]
    assert asked[-1] == offered.reliability


def test_frames_of_several_trackers_have_names_of_their_own(graph):
    graph = graph({'tf_prefix': 'front_'})
    graph.connect('/tf')
    graph.show()
    graph.send()
    transforms = graph.got('/tf')[0].transforms
    assert {one.child_frame_id[:12] for one in transforms} == {'front_left_h', 'front_right_'}
    assert {one.header.frame_id for one in transforms} - {one.child_frame_id for one in transforms} == {FRAME_ID}


@pytest.mark.parametrize(
    ('wanted', 'namespace', 'prefix'),
    [('auto', '/', ''), ('auto', '/arm/left', 'arm_left_'), ('', '/arm', ''), ('front_', '/arm', 'front_')],
)
def test_frames_begin_with_the_namespace_unless_another_prefix_is_set(wanted, namespace, prefix):
    assert hand_publisher._tf_prefix(wanted, namespace) == prefix


def test_nothing_found_says_why(graph):
    graph = graph()
    graph.known.process = lambda frame: []
    graph.connect('hands/keypoints')
    graph.show()
    graph.send(np.full((48, 64), 2400, np.uint16))
    assert 'is depth_unit, 0.001 m, the unit of this camera?' in graph.status('0 hands in view: ').message


def test_a_focus_that_moves_does_not_start_tracking_afresh(graph):
    graph = graph()
    graph.connect('hands/keypoints')
    graph.show()
    graph.send()
    resets = graph.known.resets
    graph.show(Camera(64, 48, 60.4, 60.4, 31.6, 23.5))
    graph.send()
    assert graph.known.resets == resets and graph.known.seen[-1][1].fx == 60.4
