"""The tracker's messages back to arrays: for those who listen to its topics, and for recordings of them.

Nothing here needs ROS: what rclpy receives and what rosbags reads have the same fields, and meshes are taken from the
bytes, which are the same too.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from hand_pose_ros import topics
from hand_pose_ros.core.outputs import JointFrames, Keypoints, Meshes, Output
from hand_pose_ros.geometry.joints import JOINTS, SIDES
from hand_pose_ros.geometry.rotations import quaternions_to_matrices
from hand_pose_ros.io.bag import bag_reader, stamp_of, typestore
from hand_pose_ros.io.frame import RecordingError

#: A point of ``hands/keypoints``; ``hand`` is the track's number modulo 256, ``side`` the index in ``SIDES`` (0 left,
#: 1 right), ``joint`` that in ``JOINTS``.
KEYPOINT = np.dtype(
    [*((name, '<f4') for name in ('x', 'y', 'z', 'confidence')), *((name, 'u1') for name in ('hand', 'side', 'joint'))]
)
#: The same in older recordings, where ``hand`` was the side.
_OLD_KEYPOINT = np.dtype([(name, KEYPOINT[name]) for name in KEYPOINT.names or () if name != 'side'])

#: Of ``visualization_msgs/Marker``.
_TRIANGLE_LIST, _ADD = 11, 0


def read_keypoints(message: Any) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Read a ``sensor_msgs/PointCloud2`` of ``hands/keypoints``.

    Returns:
        Side -> (21, 3) joints in meters and (21,) confidence.

    Raises:
        ValueError: the cloud is not made as the tracker makes it.

    """
    point, side = (KEYPOINT, 'side') if message.point_step != _OLD_KEYPOINT.itemsize else (_OLD_KEYPOINT, 'hand')
    if message.point_step != point.itemsize or len(message.data) % (point.itemsize * len(JOINTS)):
        raise ValueError(
            f'{len(message.data)} bytes in points of {message.point_step}; hands have {len(JOINTS)} '
            f'points of {KEYPOINT.itemsize} bytes: {", ".join(KEYPOINT.names or ())}'
        )
    hands = np.frombuffer(message.data, point).reshape(-1, len(JOINTS))
    if (hands[side] >= len(SIDES)).any():
        raise ValueError(f'a hand of side {hands[side].max()}; 0 is left, 1 right')
    # By score, the best first: of several hands of one side, the first is taken.
    return {
        SIDES[hand[side][0]]: (
            np.stack([hand['x'], hand['y'], hand['z']], axis=-1).astype(float),
            hand['confidence'].astype(float),
        )
        for hand in hands[::-1]
    }


def read_joint_frames(side: str, message: Any) -> JointFrames:
    """Read a ``geometry_msgs/PoseArray`` of ``hands/<side>/joints``.

    Raises:
        ValueError: it does not hold 21 poses.

    """
    if len(message.poses) != len(JOINTS):
        raise ValueError(f'{len(message.poses)} poses; a hand has {len(JOINTS)}')
    positions, turns = [], []
    for pose in message.poses:
        position, turn = pose.position, pose.orientation
        positions.append((position.x, position.y, position.z))
        turns.append((turn.x, turn.y, turn.z, turn.w))
    return JointFrames(side, np.array(positions), quaternions_to_matrices(np.array(turns)))


def markers_stamp(data: bytes) -> int:
    """Return the stamp of a serialized MarkerArray, nanoseconds.

    The array has no header of its own: the first marker's stamp lies behind the array's length.
    """
    seconds, nanoseconds = np.frombuffer(data, np.uint32, 2, 8).tolist()
    return seconds * 10**9 + nanoseconds


def recorded_outputs(path: Path) -> list[str]:
    """Return the topics of a bag that hold what a tracker published; none where it recorded no keypoints.

    Joints alone do not count: they may be ground truth.
    """
    with bag_reader(path) as reader:
        found = [c.topic for c in reader.connections if c.msgcount and _wanted(c.topic)]
    return found if any(_is(topic, topics.KEYPOINTS) for topic in found) else []


def iterate_outputs(path: Path) -> Iterator[tuple[int, int, Output]]:
    """Read what a tracker published from a bag, as it was recorded.

    Yields:
        Stamp and time of recording in nanoseconds, and what was said.

    Raises:
        RecordingError: the bag cannot be read, or a message is not of the tracker's form.

    """
    with bag_reader(path) as reader:
        wanted = [c for c in reader.connections if _wanted(c.topic)]
        read_meshes = MeshReader()
        for connection, recorded, data in reader.messages(wanted) if wanted else ():
            if _is(connection.topic, topics.MARKERS):
                yield markers_stamp(data), recorded, Meshes(read_meshes(data))
                continue
            message = typestore().deserialize_cdr(data, connection.msgtype)
            try:
                if _is(connection.topic, topics.KEYPOINTS):
                    output: Output = Keypoints(read_keypoints(message))
                else:
                    side = next(side for side in SIDES if _is(connection.topic, topics.joints_topic(side)))
                    output = read_joint_frames(side, message)
            except ValueError as error:
                raise RecordingError(f'{path}: {connection.topic}: {error}') from error
            yield stamp_of(message), recorded, output


def _wanted(topic: str) -> bool:
    return any(_is(topic, name) for name in (topics.KEYPOINTS, topics.MARKERS, *map(topics.joints_topic, SIDES)))


def _is(topic: str, name: str) -> bool:
    """Whether a bag's topic is the tracker's of this name, in whatever namespace."""
    return f'/{topic.strip("/")}'.endswith(f'/{name}')


class MeshReader:
    """Unpacks the meshes out of serialized MarkerArrays.

    As messages they would be ten thousand points a hand, each a Python object. The bytes hold them as plain arrays, so
    they are taken from there, field by field as ``visualization_msgs/Marker`` declares them.
    """

    def __init__(self) -> None:
        self._shared: dict[str, tuple[np.ndarray, np.ndarray]] = {}

    def __call__(self, data: bytes) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """Return side -> vertices (V, 3) in meters and faces (F, 3)."""
        cdr = _CdrReader(data)
        meshes = {}
        for _ in range(cdr.numbers('u4', 1)[0]):
            namespace, kind, action, points = _read_marker(cdr)
            if kind == _TRIANGLE_LIST and action == _ADD and len(points):
                side = namespace.partition('_')[0]
                first, index = self._vertices(side, points)
                meshes[side] = points[first], index.reshape(-1, 3)
        return meshes

    def _vertices(self, side: str, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Find which points are one vertex, shared by triangles, so that the mesh can be shaded smoothly."""
        known = self._shared.get(side)
        if known and len(known[1]) == len(points) and np.array_equal(points[known[0]][known[1]], points):
            return known
        _, first, index = np.unique(points, axis=0, return_index=True, return_inverse=True)
        self._shared[side] = first, index.reshape(-1)
        return self._shared[side]


class _CdrReader:
    """Reads little-endian CDR, as every ROS middleware writes it, from its start to its end."""

    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 4  # behind the encapsulation header, from where alignment counts

    def numbers(self, dtype: str, count: int) -> np.ndarray:
        size = np.dtype(dtype).itemsize
        if not count:
            return np.empty(0, dtype)
        self._at += -(self._at - 4) % size
        values = np.frombuffer(self._data, f'<{dtype}', count, self._at)
        self._at += count * size
        return values

    def sequence(self, dtype: str, width: int = 1) -> np.ndarray:
        return self.numbers(dtype, int(self.numbers('u4', 1)[0]) * width)

    def text(self) -> str:
        return self.sequence('u1').tobytes().rstrip(b'\0').decode()

    def header(self) -> None:
        self.numbers('u4', 2)
        self.text()


def _read_marker(cdr: _CdrReader) -> tuple[str, int, int, np.ndarray]:
    """Read one ``visualization_msgs/Marker``; return its namespace, type, action and points (N, 3)."""
    cdr.header()
    namespace = cdr.text()
    _, kind, action = cdr.numbers('i4', 3).tolist()
    cdr.numbers('f8', 10)  # pose, scale
    cdr.numbers('f4', 4)  # color
    cdr.numbers('u4', 2)  # lifetime
    cdr.numbers('u1', 1)  # frame_locked
    points = cdr.sequence('f8', 3).reshape(-1, 3)
    cdr.sequence('f4', 4)  # colors
    cdr.text()  # texture_resource
    cdr.header()  # texture: header, format, data
    cdr.text()
    cdr.sequence('u1')
    cdr.sequence('f4', 2)  # uv_coordinates
    cdr.text()  # text
    cdr.text()  # mesh_resource
    cdr.text()  # mesh_file: filename, data
    cdr.sequence('u1')
    cdr.numbers('u1', 1)  # mesh_use_embedded_materials
    return namespace, kind, action, points
