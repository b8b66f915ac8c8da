"""Messages of thousands of numbers without thousands of objects.

A mesh of 3200 triangles is 9600 ``geometry_msgs/Point``. Making them in Python takes 11 ms a frame, turning them into
the message's bytes 8 ms more; only the numbers change from frame to frame. So such a message is built and
serialized once, with recognizable numbers in the places of those to come; from then on the numbers are written
straight into the bytes, which a publisher takes as well as a message. Even once takes longer than several images of a
camera: of a mesh only a few triangles are built, and room is made for the others.
"""

from __future__ import annotations

import secrets
import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any, TypeVar

import numpy as np
from builtin_interfaces.msg import Time
from rclpy.serialization import serialize_message
from std_msgs.msg import Header

from hand_pose_ros.core.hand import Hand
from hand_pose_ros.geometry.joints import JOINTS, SIDES
from hand_pose_ros.nodes.messages import (
    hand_transforms,
    joint_poses,
    markers_message,
    poses_message,
    primary_hands,
    tf_message,
)

#: Templates of one kind that are kept.
TEMPLATES = 16
#: Points of a long sequence that a template's message is built with, whole triangles.
BUILT_POINTS = range(24, 120, 3)
#: Where doubles may lie: CDR aligns them to eight bytes after a header of four, its second version to four.
ALIGNMENTS = (4, 8)

#: Makes a message from a stamp, numbers, and how many points of long sequences it is to make.
Builder = Callable[[Time, np.ndarray, int], Any]

K = TypeVar('K')
V = TypeVar('V')

_STAMP = (1_985_229_328, 987_654_321)


class Template:
    """A serialized message that waits for its numbers and its stamp."""

    def __init__(self, build: Builder, count: int, sequences: Sequence[np.ndarray] = ()) -> None:
        """Build the message once and find where its numbers and stamps lie in its bytes.

        Args:
            build: makes the message from a stamp, ``count`` numbers, which it may repeat, reorder and leave out, but
                not change, and how many points of each of ``sequences`` it is to make, fewer than these have; numbers
                must land in fields of type float64.
            count: how many numbers.
            sequences: which number is where (3 N,) in each long sequence of N ``geometry_msgs/Point``.

        """
        random, found = secrets.SystemRandom(), None
        while found is None:
            points = random.choice(BUILT_POINTS)
            # Between fields lie bytes that nobody writes, with whatever the memory held before, maybe the mark of an
            # earlier template. Two passes with marks drawn anew agree on the true places only.
            marks = random.sample(range(2**20), 2)
            passes = [_marked(build, count, points, mark) for mark in marks]
            found = _lengthened(passes[0][1], *_find(passes, count), sequences, points)
        raw, places, sources = found
        self._data = bytearray(raw)
        self._parts = [
            (np.frombuffer(self._data, np.float64, int(run[-1] - run[0]) // 8 + 1, int(run[0])), picked)
            for run, picked in _runs(places, sources)
        ]
        self._stamps = []
        pattern, at = _pack(*_STAMP), -1
        while (at := raw.find(pattern, at + 1)) >= 0:
            self._stamps.append(slice(at, at + len(pattern)))

    def fill(self, stamp: Time, numbers: np.ndarray) -> bytes:
        """Return the message's bytes with this stamp and these ``count`` numbers."""
        for target, sources in self._parts:
            numbers.take(sources, out=target, mode='clip')  # of modes, the one that writes straight into the bytes
        packed = _pack(stamp.sec, stamp.nanosec)
        for place in self._stamps:
            self._data[place] = packed
        return bytes(self._data)


class _Templates(dict[K, V]):
    """Templates by what they are of; the oldest goes when a new one would be too many: each keeps up to 1.4 MB.

    Cameras have one ``frame_id``, and two sides make four combinations; who sends another one with every image gets
    slower messages, not all of the memory.
    """

    def __setitem__(self, key: K, value: V) -> None:
        if key not in self and len(self) >= TEMPLATES:
            del self[next(iter(self))]
        super().__setitem__(key, value)


class MarkerSerializer:
    """Makes the bytes of :func:`markers_message`, fast from the second frame of the same sides on."""

    def __init__(self) -> None:
        self._templates: _Templates[tuple, tuple[list[np.ndarray | None], Template]] = _Templates()

    def __call__(self, header: Header, hands: Sequence[Hand]) -> bytes:
        """Return a serialized ``visualization_msgs/MarkerArray`` of the hands' skeletons and meshes."""
        by_side = primary_hands(hands)
        seen = [by_side[side] for side in SIDES if side in by_side]
        faces = [hand.fit.faces if hand.fit else None for hand in seen]
        key = (header.frame_id, tuple(hand.side for hand in seen))
        known = self._templates.get(key)
        if known is None or not all(map(_same_faces, known[0], faces)):
            known = self._templates[key] = faces, _marker_template(header.frame_id, seen)
        return known[1].fill(header.stamp, _joined([part for hand in seen for part in _numbers(hand)]))


class JointsSerializer:
    """Makes the bytes of :func:`joints_message`, fast from the second one of a camera frame on."""

    def __init__(self) -> None:
        self._templates: _Templates[str, Template] = _Templates()

    def __call__(self, header: Header, hand: Hand) -> bytes:
        """Return a serialized ``geometry_msgs/PoseArray`` of a hand's joints."""
        poses, frame_id = joint_poses(hand), header.frame_id
        if frame_id not in self._templates:
            self._templates[frame_id] = Template(
                lambda stamp, numbers, _: poses_message(
                    Header(stamp=stamp, frame_id=frame_id), numbers.reshape(poses.shape)
                ),
                poses.size,
            )
        return self._templates[frame_id].fill(header.stamp, poses.ravel())


class TransformsSerializer:
    """Makes the bytes of :func:`transforms_message`, fast from the second frame of the same sides on."""

    def __init__(self, prefix: str = '') -> None:
        """Begin every hand's frames with ``prefix``."""
        self._prefix = prefix
        self._templates: _Templates[tuple, Template] = _Templates()

    def __call__(self, header: Header, hands: Sequence[Hand]) -> bytes:
        """Return a serialized ``tf2_msgs/TFMessage`` of hands, of which each is of another side."""
        transforms = {hand.side: hand_transforms(hand) for hand in hands}
        key, shape = (header.frame_id, *transforms), (len(transforms), len(JOINTS) + 1, 7)
        if key not in self._templates:
            self._templates[key] = Template(
                lambda stamp, numbers, _: tf_message(
                    Header(stamp=stamp, frame_id=key[0]), dict(zip(key[1:], numbers.reshape(shape))), self._prefix
                ),
                int(np.prod(shape)),
            )
        return self._templates[key].fill(header.stamp, _joined([one.ravel() for one in transforms.values()]))


def _marked(build: Builder, count: int, points: int, mark: int) -> tuple[int, bytes]:
    """Serialize the message with numbers that hold their index: doubles from 2**52 up hold whole numbers exactly."""
    numbers = 2.0**52 + mark * 2.0**32 + np.arange(count)
    return mark, serialize_message(build(Time(sec=_STAMP[0], nanosec=_STAMP[1]), numbers, points))


def _find(passes: Sequence[tuple[int, bytes]], count: int) -> tuple[np.ndarray, np.ndarray]:
    """Return where numbers lie (bytes, ascending), and which of the ``count`` numbers each one is."""
    places, sources = [], []
    for offset in ALIGNMENTS:
        one, other = (_unmark(data, offset, mark) for mark, data in passes)
        slots = np.flatnonzero((one == other) & (one < count))
        places.append(offset + 8 * slots)
        sources.append(one[slots])
    order = np.concatenate(places).argsort()
    return np.concatenate(places)[order], np.concatenate(sources)[order]


def _runs(places: np.ndarray, sources: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Split places (bytes, ascending) where the next number does not lie right behind, and their sources likewise."""
    ends = np.flatnonzero(np.diff(places) != 8) + 1
    return ((run, picked) for run, picked in zip(np.split(places, ends), np.split(sources, ends)) if len(run))


def _unmark(data: bytes, offset: int, mark: int) -> np.ndarray:
    """Return the index of the number in each word of eight bytes from ``offset`` on; negative where there is none."""
    words = np.frombuffer(data, np.uint64, (len(data) - offset) // 8, offset)
    marked = words >> np.uint64(32) == 0x43300000 + mark
    return np.where(marked, (words & np.uint64(0xFFFFFFFF)).astype(np.int64), -1 - mark)


def _lengthened(
    data: bytes, places: np.ndarray, sources: np.ndarray, sequences: Sequence[np.ndarray], points: int
) -> tuple[bytes, np.ndarray, np.ndarray] | None:
    """Make room for all points of sequences that were built with ``points`` ones, and write how many there are.

    Returns:
        The bytes, and :func:`_find`'s two arrays for them; None where it is not certain what is a sequence's length.

    """
    for sequence in sequences:
        first = int(np.flatnonzero(sources == sequence[0])[0])
        behind, start = first + 3 * points, int(places[first])
        # The length lies before the points; what aligns these may lie between.
        lengths = [at for at in (start - 4, start - 8) if data[at : at + 4] == struct.pack('=I', points)]
        if len(lengths) != 1:
            return None
        end, more = int(places[behind - 1]) + 8, 8 * (sequence.size - 3 * points)
        data = data[:end] + bytes(more) + data[end:]
        data = data[: lengths[0]] + struct.pack('=I', sequence.size // 3) + data[lengths[0] + 4 :]
        places = np.concatenate([places[:first], start + 8 * np.arange(sequence.size), places[behind:] + more])
        sources = np.concatenate([sources[:first], sequence, sources[behind:]])
    return data, places, sources


def _joined(parts: list[np.ndarray]) -> np.ndarray:
    return np.concatenate(parts) if parts else np.empty(0)


def _same_faces(one: np.ndarray | None, other: np.ndarray | None) -> bool:
    return one is other or (one is not None and other is not None and np.array_equal(one, other))


def _mesh(hand: Hand) -> tuple[np.ndarray, np.ndarray] | None:
    """Vertices and faces of a hand that has a mesh."""
    if hand.fit is None or hand.fit.vertices is None or hand.fit.faces is None:
        return None
    return hand.fit.vertices, hand.fit.faces


def _numbers(hand: Hand) -> list[np.ndarray]:
    mesh = _mesh(hand)
    return [hand.joints.ravel(), *([] if mesh is None else [mesh[0].ravel()])]


def _is_long(faces: np.ndarray) -> bool:
    """Whether a template's message is built with a part of a mesh only."""
    return 3 * len(faces) > BUILT_POINTS.stop


def _marker_template(frame_id: str, hands: Sequence[Hand]) -> Template:
    def build(stamp: Time, numbers: np.ndarray, points: int) -> Any:
        stand_ins, rest = [], numbers
        for hand in hands:
            parts = []
            for part in _numbers(hand):
                parts.append(rest[: part.size].reshape(-1, 3))
                rest = rest[part.size :]
            fit, mesh = hand.fit, _mesh(hand)
            if fit is not None and mesh is not None:
                faces = mesh[1][: points // 3] if _is_long(mesh[1]) else mesh[1]
                fit = replace(fit, vertices=parts[1], faces=faces)
            stand_ins.append(replace(hand, joints=parts[0], fit=fit))
        return markers_message(Header(stamp=stamp, frame_id=frame_id), stand_ins)

    # Each corner of each triangle of a mesh, in the order of the message.
    corners, count = [], 0
    for hand in hands:
        mesh = _mesh(hand)
        if mesh is not None and _is_long(mesh[1]):
            corners.append((count + hand.joints.size + 3 * mesh[1].reshape(-1, 1) + np.arange(3)).ravel())
        count += sum(part.size for part in _numbers(hand))
    return Template(build, count, corners)


def _pack(seconds: int, nanoseconds: int) -> bytes:
    return struct.pack('=iI', seconds, nanoseconds)
