"""Hands as ROS messages: order, units, sides, frames, stamps, bytes."""

import struct

import numpy as np
import pytest

pytest.importorskip('rclpy', reason='ROS 2 is not installed')

from builtin_interfaces.msg import Time
from geometry_msgs.msg import Point, PoseArray
from known_hands import ANGLES, FACES, make_hand
from rclpy.serialization import deserialize_message, serialize_message
from std_msgs.msg import Header
from tf2_msgs.msg import TFMessage
from transforms3d.quaternions import quat2mat
from visualization_msgs.msg import Marker, MarkerArray

from hand_pose_ros.geometry.calibration import CameraDescription
from hand_pose_ros.geometry.camera import Camera
from hand_pose_ros.geometry.joints import BONES, JOINTS, KNUCKLES, SIDES, WRIST
from hand_pose_ros.nodes import messages, serialized
from hand_pose_ros.nodes.inputs import read_depth

HEADER = Header(stamp=Time(sec=1_700_000_001, nanosec=123_456_789), frame_id='camera_depth_optical_frame')


def point(p):
    return p.x, p.y, p.z


def matrix(q):
    return quat2mat((q.w, q.x, q.y, q.z))


def test_joints_are_21_poses_in_order_and_meters():
    hand = make_hand('left')
    message = messages.joints_message(HEADER, hand)
    assert message.header == HEADER
    assert np.array_equal([point(pose.position) for pose in message.poses], hand.joints)
    for pose, rotation in zip(message.poses, hand.fit.rotations):
        assert matrix(pose.orientation) == pytest.approx(rotation, abs=1e-9)


@pytest.mark.parametrize('side', SIDES)
def test_the_palm_is_the_middle_of_wrist_and_knuckles_in_the_hand_frame(side):
    hand = make_hand(side)
    message = messages.palm_message(HEADER, hand)
    palm = hand.joints[[WRIST, *KNUCKLES]].mean(0)
    assert message.header == HEADER and point(message.pose.position) == pytest.approx(palm.tolist())
    turn = matrix(message.pose.orientation)
    towards = hand.joints[9] - hand.joints[WRIST]
    assert turn[:, 0] @ towards == pytest.approx(np.linalg.norm(towards), rel=0.02), 'x is towards the middle knuckle'


def test_joints_without_a_model_are_not_turned():
    message = messages.joints_message(HEADER, make_hand('left', fitted=False))
    assert all(
        (p.orientation.x, p.orientation.y, p.orientation.z, p.orientation.w) == (0, 0, 0, 1) for p in message.poses
    )


@pytest.mark.parametrize('side', SIDES)
def test_joint_states_are_named_by_side(side):
    hand = make_hand(side)
    message = messages.joint_states_message(HEADER, hand)
    assert message.header == HEADER
    assert list(message.name) == [f'{side}_{name}' for name in ANGLES]
    assert list(message.position) == list(hand.fit.angles.values())


def read_cloud(message):
    """Read a cloud by what its fields say, as a subscriber that knows nothing of this package would."""
    kinds = {2: 'u1', 7: '<f4'}
    dtype = np.dtype(
        {
            'names': [f.name for f in message.fields],
            'formats': [kinds[f.datatype] for f in message.fields],
            'offsets': [f.offset for f in message.fields],
            'itemsize': message.point_step,
        }
    )
    assert message.row_step == message.width * message.point_step == len(message.data)
    assert (message.height, message.is_bigendian, message.is_dense) == (1, False, True)
    return np.frombuffer(bytes(message.data), dtype)


def test_keypoints_hold_every_hand():
    hands = [make_hand('right', track_id=7), make_hand('left', track_id=300)]
    message = messages.keypoints_message(HEADER, hands)
    cloud = read_cloud(message)
    assert message.header == HEADER
    assert cloud.dtype.names == ('x', 'y', 'z', 'confidence', 'hand', 'side', 'joint')
    assert list(cloud['hand']) == [7] * 21 + [300 - 256] * 21, 'tracks, modulo 256'
    assert list(cloud['side']) == [1] * 21 + [0] * 21
    assert list(cloud['joint']) == [*range(21), *range(21)]
    points = np.stack([cloud['x'], cloud['y'], cloud['z']], -1)
    assert points == pytest.approx(np.concatenate([hand.joints for hand in hands]), abs=1e-6)
    assert cloud['confidence'] == pytest.approx(np.concatenate([hand.confidence for hand in hands]), abs=1e-6)


def test_keypoints_of_no_hand_are_an_empty_cloud():
    message = messages.keypoints_message(HEADER, [])
    assert message.header == HEADER and message.width == 0 and len(read_cloud(message)) == 0


@pytest.mark.parametrize('fitted', [True, False])
def test_transforms_are_one_tree_that_leads_to_the_joints(fitted):
    hands = [make_hand('left', fitted=fitted), make_hand('right', fitted=fitted)]
    message = messages.transforms_message(HEADER, hands)
    tree = {t.child_frame_id: t for t in message.transforms}
    assert len(tree) == len(message.transforms) == 44
    assert all(t.header.stamp == HEADER.stamp for t in message.transforms)
    assert tree['left_hand_wrist'].header.frame_id == tree['right_hand_wrist'].header.frame_id == HEADER.frame_id
    assert tree['right_hand_palm'].header.frame_id == HEADER.frame_id
    assert tree['right_hand_index_mcp'].header.frame_id == 'right_hand_wrist'
    assert tree['left_hand_pinky_tip'].header.frame_id == 'left_hand_pinky_dip'

    def pose(frame):
        """Chain the transforms from the camera down to the frame."""
        if frame == HEADER.frame_id:
            return np.eye(4)
        transform, local = tree[frame].transform, np.eye(4)
        q = transform.rotation
        assert np.linalg.norm((q.x, q.y, q.z, q.w)) == pytest.approx(1, abs=1e-12)
        local[:3, :3], local[:3, 3] = matrix(q), point(transform.translation)
        return pose(tree[frame].header.frame_id) @ local

    for hand in hands:
        for index, joint in enumerate(JOINTS):
            found = pose(f'{hand.side}_hand_{joint}')
            assert found[:3, 3] == pytest.approx(hand.joints[index], abs=1e-9)
            assert found[:3, :3] == pytest.approx(hand.fit.rotations[index] if fitted else np.eye(3), abs=1e-9)


def by_name(message):
    assert len({m.ns for m in message.markers}) == len(message.markers)
    return {m.ns: m for m in message.markers}


def test_markers_draw_bones_joints_and_mesh():
    hand = make_hand('right')
    markers = by_name(messages.markers_message(HEADER, [hand]))
    lines, spheres, mesh = (markers[f'right_{name}'] for name in ('skeleton', 'joints', 'mesh'))
    assert (lines.type, spheres.type, mesh.type) == (Marker.LINE_LIST, Marker.SPHERE_LIST, Marker.TRIANGLE_LIST)
    assert all(m.header == HEADER and m.action == Marker.ADD for m in (lines, spheres, mesh))
    assert np.array_equal([point(p) for p in lines.points], [hand.joints[j] for bone in BONES for j in bone])
    assert np.array_equal([point(p) for p in spheres.points], hand.joints)
    assert np.array_equal([point(p) for p in mesh.points], hand.fit.vertices[hand.fit.faces].reshape(-1, 3))
    assert len(lines.colors) == len(lines.points) == 40 and len(spheres.colors) == 21 and len(mesh.points) == 3 * FACES
    assert mesh.color.a > 0 and all(color.a > 0 for color in [*lines.colors, *spheres.colors])


def test_markers_of_absent_hands_are_deleted():
    both = by_name(messages.markers_message(HEADER, [make_hand('left'), make_hand('right')]))
    one = by_name(messages.markers_message(HEADER, [make_hand('left', fitted=False)]))
    assert both.keys() == one.keys()
    shown = {name for name, marker in one.items() if marker.action == Marker.ADD}
    assert shown == {'left_skeleton', 'left_joints'}
    assert all(marker.action == Marker.DELETE for name, marker in one.items() if name not in shown)


def test_of_two_hands_of_a_side_the_one_tracked_longest_is_the_primary():
    older, newer = make_hand('left', 1, score=0.6, track_id=3), make_hand('left', 2, score=0.8, track_id=4)
    right = make_hand('right', track_id=9)
    for hands in ([older, right, newer], [newer, older, right]):
        assert messages.primary_hands(hands) == {'left': older, 'right': right}


def test_serialized_markers_are_those_of_the_message():
    """Over hands that come and go, move, turn into others, and change camera frame."""
    serialize = serialized.MarkerSerializer()
    left, right = make_hand('left'), make_hand('right')
    frames = [
        [left],
        [left, right],
        [right, left],
        [make_hand('left', 5), right],
        [],
        [right],
        [make_hand('right', fitted=False)],
        [left, make_hand('left', 3, track_id=1)],
    ]
    for index, hands in enumerate(frames * 2):
        header = Header(stamp=Time(sec=index, nanosec=7 * index), frame_id=f'camera_{index % 2}')
        expected = messages.markers_message(header, hands)
        # Colors are single precision in the message's bytes.
        expected = deserialize_message(serialize_message(expected), MarkerArray)
        assert deserialize_message(serialize(header, hands), MarkerArray) == expected


@pytest.mark.parametrize('name', ['abc', 'abcdefg'])
def test_a_sequence_is_as_long_as_it_is_to_be_whatever_lies_before_it(name, monkeypatch):
    """Bytes that align points and hold what the number of points is are not taken for it: it is built anew."""
    counts, padded = iter([24, 27]), []

    class Random:
        def choice(self, _):
            return next(counts)

        def sample(self, population, count):
            return list(population)[:count]

    def with_garbage(message):
        data = bytearray(serialize_message(message))
        at = data.find(struct.pack('=I', len(message.points))) + 4
        if len(message.points) == 24 and at % 8 == 0:  # doubles begin four bytes later
            padded.append(at)
            data[at : at + 4] = struct.pack('=I', 24)
        return bytes(data)

    monkeypatch.setattr(serialized.secrets, 'SystemRandom', Random)
    monkeypatch.setattr(serialized, 'serialize_message', with_garbage)

    def build(stamp, numbers, points):
        return Marker(ns=name, points=[Point(x=a, y=b, z=c) for a, b, c in numbers.reshape(-1, 3)[:points]])

    numbers = np.arange(300.0)
    template = serialized.Template(build, numbers.size, [np.arange(numbers.size)])
    assert deserialize_message(template.fill(Time(), numbers), Marker) == build(None, numbers, 100)
    assert next(counts, None) == (None if padded else 27)


def test_serialized_joints_and_transforms_are_those_of_the_messages():
    joints, transforms = serialized.JointsSerializer(), serialized.TransformsSerializer()
    left, right = make_hand('left'), make_hand('right')
    for index, hands in enumerate(
        [[left], [left, right], [right], [make_hand('left', 4, fitted=False)], [right, left]] * 2
    ):
        header = Header(stamp=Time(sec=index, nanosec=9 * index), frame_id=f'camera_{index % 3}')
        for hand in hands:
            assert deserialize_message(joints(header, hand), PoseArray) == messages.joints_message(header, hand)
        assert deserialize_message(transforms(header, hands), TFMessage) == messages.transforms_message(header, hands)


def test_frame_ids_without_end_are_not_kept():
    markers, joints = serialized.MarkerSerializer(), serialized.JointsSerializer()
    for n in range(2 * serialized.TEMPLATES):
        header = Header(stamp=HEADER.stamp, frame_id=f'camera_{n}')
        found = deserialize_message(joints(header, make_hand('left')), PoseArray)
        assert found.header.frame_id == f'camera_{n}'
        markers(header, [make_hand('left', fitted=False)])
    assert len(markers._templates) == len(joints._templates) == serialized.TEMPLATES


def test_bytes_that_look_like_a_mark_are_left_alone(monkeypatch):
    """The gaps between fields hold whatever the memory held before: here what an earlier template may have left."""
    leftover = struct.pack('<8I', *(word for index in range(4) for word in (index, 0x43300000 + index)))
    monkeypatch.setattr(serialized, 'serialize_message', lambda message: serialize_message(message) + leftover)
    template = serialized.Template(lambda stamp, numbers, points: Point(x=numbers[2], y=numbers[0], z=numbers[2]), 4)
    data = template.fill(Time(), np.array([0.5, 0.6, 0.7, 0.8]))
    assert data.endswith(leftover)
    assert deserialize_message(data, Point) == Point(x=0.7, y=0.5, z=0.7)


@pytest.mark.parametrize(
    'image, encoding',
    [
        (np.arange(1, 13, dtype=np.uint16).reshape(3, 4) * 100, '16UC1'),
        (np.linspace(0.2, 1.2, 12, dtype=np.float32).reshape(3, 4), '32FC1'),
    ],
)
def test_a_depth_image_survives_the_message(image, encoding):
    message = messages.image_message(HEADER, image, encoding)
    assert (message.header, message.height, message.width, message.encoding) == (HEADER, 3, 4, encoding)
    assert message.step == 4 * image.itemsize and not message.is_bigendian
    meters = image * 0.001 if encoding == '16UC1' else image
    assert read_depth(message, 0.001)[:] == pytest.approx(meters, abs=1e-6)
    assert read_depth(messages.compressed_depth_message(HEADER, image), 0.001)[:] == pytest.approx(meters, abs=2e-4)


def test_a_big_endian_or_sliced_image_is_sent_in_order():
    image = np.arange(1, 25, dtype='>u2').reshape(4, 6)[:, ::2]
    message = messages.image_message(HEADER, image, '16UC1')
    assert read_depth(message, 1.0)[:].tolist() == image.tolist()


@pytest.mark.parametrize('distortion', [(), (0.1, -0.2, 0.01, 0.02, 0.03), tuple(0.01 * i for i in range(1, 9))])
def test_a_camera_survives_the_message(distortion):
    camera = Camera(640, 480, 571.0, 572.0, 319.5, 240.5, distortion)
    message = messages.camera_info_message(HEADER, camera)
    assert message.header == HEADER
    assert CameraDescription.of(message).camera(message.width, message.height) == camera
    assert list(message.p) == [571, 0, 319.5, 0, 0, 572, 240.5, 0, 0, 0, 1, 0]
