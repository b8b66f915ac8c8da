"""Read rosbag2 recordings (sqlite3 and MCAP), without ROS."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hand_pose_ros.geometry.camera import Camera, CameraError
from hand_pose_ros.imaging.compressed import decode_compressed, is_depth
from hand_pose_ros.imaging.images import (
    COLOR_ENCODINGS,
    DEPTH_ENCODINGS,
    DepthImage,
    ImageError,
    color_in_bgr,
    view_image,
)
from hand_pose_ros.io.frame import RecordedFrame, Recording, RecordingError, stamp_name
from hand_pose_ros.io.pairing import REGISTER, DepthPairing

if TYPE_CHECKING:
    from rosbags.interfaces import Connection
    from rosbags.rosbag2 import Reader
    from rosbags.typesys.store import Typestore

#: What images can be of; where a bag holds both, the first is read.
MODALITIES = ('depth', 'color')
IMAGE, COMPRESSED_IMAGE = 'sensor_msgs/msg/Image', 'sensor_msgs/msg/CompressedImage'
CAMERA_INFO, POSE_ARRAY = 'sensor_msgs/msg/CameraInfo', 'geometry_msgs/msg/PoseArray'


@dataclass(frozen=True)
class _ImageTopic:
    """An image topic of a bag, with what its first message says."""

    connection: Connection
    count: int
    modality: str
    encoding: str
    frame_id: str

    @property
    def base(self) -> str:
        """Topic name without image transport's suffix."""
        name = self.connection.topic
        return name.rsplit('/', 1)[0] if self.connection.msgtype == COMPRESSED_IMAGE else name


@lru_cache(maxsize=1)
def typestore() -> Typestore:
    """The message types that are read and written here."""
    from rosbags.typesys import Stores, get_typestore

    # The five message types read and written here are the same in every ROS 2 distribution from Foxy on, so
    # neither a bag's own definitions nor its unknown types matter.
    return get_typestore(Stores.ROS2_JAZZY)


@contextmanager
def bag_reader(path: Path) -> Iterator[Reader]:
    """Open a bag, and turn whatever goes wrong in it into a RecordingError that names it."""
    from rosbags.rosbag2 import Reader

    try:
        with Reader(path) as reader:
            yield reader
    except RecordingError:
        raise
    except ImageError as error:
        raise RecordingError(f'{path}: {error}') from error
    # The library lets escape whatever error a damaged byte happens to cause.
    except Exception as error:
        reason = (str(error).splitlines() or [''])[0]
        hint = {'.mcap': ' (an unfinished file may be saved with "mcap recover")'}.get(path.suffix, '')
        raise RecordingError(
            f'{path}: empty, damaged or not a rosbag2: {type(error).__name__}: {reason}{hint}'
        ) from error


def open_bag(
    path: Path, camera: Camera | None, depth_unit: float, topic: str | None, modality: str | None = None
) -> Recording:
    """Open a rosbag2, see :func:`recording.open_recording`."""
    wanted = {None: MODALITIES, 'rgbd': ('color',)}.get(modality) or (str(modality),)
    with bag_reader(path) as reader:
        images = [
            _describe(reader, connection)
            for connection in reader.connections
            if connection.msgtype in (IMAGE, COMPRESSED_IMAGE) and connection.msgcount
        ]
        chosen = _choose(path, images, topic, wanted)
        depth = (
            _choose(path, _registered(images, chosen), None, ('depth',)).connection.topic if modality == 'rgbd' else ''
        )
        infos = [c for c in reader.connections if c.msgtype == CAMERA_INFO and c.msgcount]
        info_topic = f'{chosen.base.rpartition("/")[0]}/camera_info'
        info = [c for c in infos if c.topic == info_topic] or (infos if len(infos) == 1 else [])
        frames = partial(
            _bag_frames, path, chosen.connection.topic, info[0].topic if info else '', depth, camera, depth_unit
        )
    return Recording(path, modality or chosen.modality, chosen.connection.topic, chosen.count, frames)


def _registered(topics: Sequence[_ImageTopic], color: _ImageTopic) -> Sequence[_ImageTopic]:
    """The depth topics of the color image's camera frame, where there are any; else all topics."""
    return [t for t in topics if t.modality == 'depth' and t.frame_id == color.frame_id] or topics


def _describe(reader: Reader, connection: Connection) -> _ImageTopic:
    """Describe a topic by its first message: depth, color or neither."""
    _, _, data = next(iter(reader.messages([connection])))
    message: Any = typestore().deserialize_cdr(data, connection.msgtype)
    encoding = message.encoding if connection.msgtype == IMAGE else message.format
    if encoding in DEPTH_ENCODINGS or (connection.msgtype == COMPRESSED_IMAGE and is_depth(encoding)):
        modality = 'depth'
    else:
        modality = 'color' if connection.msgtype == COMPRESSED_IMAGE or encoding in COLOR_ENCODINGS else ''
    return _ImageTopic(connection, connection.msgcount, modality, encoding, message.header.frame_id)


def _choose(path: Path, topics: Sequence[_ImageTopic], wanted: str | None, modalities: Sequence[str]) -> _ImageTopic:
    """Choose the topic to read: the one wanted, else the only one of the first of ``modalities`` that there is."""
    listing = ', '.join(f'{t.connection.topic} ({t.encoding}, {t.count} images)' for t in topics)
    if not topics:
        raise RecordingError(f'{path}: the bag holds no images')
    if wanted:
        named = [t for t in topics if t.connection.topic.strip('/') == wanted.strip('/')]
        if not named:
            raise RecordingError(f'{path}: no image topic {wanted}; there are: {listing}')
        if not named[0].modality:
            raise RecordingError(f'{path}: {wanted} has encoding {named[0].encoding!r}, which is not supported')
        if named[0].modality not in modalities:
            raise RecordingError(
                f'{path}: {wanted} holds {named[0].modality} images; choose a topic of {modalities[0]}'
            )
        return named[0]
    for modality in modalities:
        candidates = [t for t in topics if t.modality == modality]
        raw = {t.connection.topic for t in candidates if t.connection.msgtype == IMAGE}
        # One camera recorded both raw and compressed is one choice: the raw one.
        candidates = [t for t in candidates if t.connection.msgtype == IMAGE or t.base not in raw]
        if len(candidates) == 1:
            return candidates[0]
        if candidates:
            raise RecordingError(f'{path}: several {modality} topics, choose one with --topic: {listing}')
    what = f'is of {modalities[0]}' if len(modalities) == 1 else 'has a supported encoding'
    raise RecordingError(f'{path}: no image topic {what}; there are: {listing}')


def _bag_frames(
    path: Path, topic: str, info_topic: str, depth_topic: str, given: Camera | None, depth_unit: float
) -> Iterator[RecordedFrame]:
    with bag_reader(path) as reader:
        store = typestore()
        connections = [c for c in reader.connections if c.topic in (topic, depth_topic)]
        infos = [c for c in reader.connections if c.topic == info_topic] if given is None else []
        camera = given
        if infos:  # An image may precede its first CameraInfo; a recording can look ahead.
            camera = _bag_camera(path, store.deserialize_cdr(next(iter(reader.messages(infos)))[2], CAMERA_INFO))
        pairing: DepthPairing[RecordedFrame, RecordedFrame] = DepthPairing()
        for connection, _, data in reader.messages(connections + infos):
            message = store.deserialize_cdr(data, connection.msgtype)
            if connection.msgtype == CAMERA_INFO:
                camera = _bag_camera(path, message)
                continue
            try:
                frame = _bag_frame(connection.msgtype, message, camera, depth_unit)
            except ImageError as error:
                name = stamp_name(stamp_of(message))
                raise RecordingError(f'{path}: {connection.topic}, image {name}: {error}') from error
            if not depth_topic:
                yield frame
            elif connection.topic == topic:
                yield from _with_depth(path, pairing.color(frame.nanoseconds, frame))
            else:
                yield from _with_depth(path, pairing.depth(frame.nanoseconds, frame))
        yield from _with_depth(path, pairing.flush())


def _with_depth(path: Path, pairs: Iterable[tuple[RecordedFrame, RecordedFrame | None]]) -> Iterator[RecordedFrame]:
    """Bring color frames and the depth frames of their moments together; refuses what is not registered."""
    for color, other in pairs:
        depth = other.depth if other else None
        if other and depth and (other.frame_id, depth.shape) != (color.frame_id, color.picture.shape[:2]):
            raise RecordingError(
                f'{path}: depth of {depth.shape[1]}x{depth.shape[0]} in the frame {other.frame_id!r}, color of '
                f'{color.picture.shape[1]}x{color.picture.shape[0]} in {color.frame_id!r}; {REGISTER}'
            )
        yield replace(color, depth=depth)


def stamp_of(message: Any) -> int:
    """Return the stamp of a message with a header, nanoseconds."""
    return message.header.stamp.sec * 10**9 + message.header.stamp.nanosec


def _bag_frame(msgtype: str, message: Any, camera: Camera | None, depth_unit: float) -> RecordedFrame:
    image, is_depth_image = _bag_image(msgtype, message)
    stamp = stamp_of(message)
    frame = RecordedFrame(stamp_name(stamp), stamp, message.header.frame_id, camera)
    return replace(frame, depth=DepthImage(image, depth_unit)) if is_depth_image else replace(frame, color=image)


def _bag_image(msgtype: str, message: Any) -> tuple[np.ndarray, bool]:
    """The image of a message, in this machine's byte order, and whether it is of depth."""
    if msgtype == COMPRESSED_IMAGE:
        image, encoding = decode_compressed(message.format, message.data)
        return image, encoding in DEPTH_ENCODINGS
    image = view_image(
        message.data, message.width, message.height, message.encoding, message.step, bool(message.is_bigendian)
    )
    if message.encoding in DEPTH_ENCODINGS:
        return image.astype(image.dtype.newbyteorder('=')), True
    if message.encoding not in COLOR_ENCODINGS:
        raise ImageError(f'encoding {message.encoding!r} is neither depth nor color')
    return color_in_bgr(image, message.encoding).copy(), False


def _bag_camera(path: Path, info: Any) -> Camera:
    try:
        return Camera.from_camera_info(info.width, info.height, info.k, info.d, info.distortion_model)
    except CameraError as error:
        raise RecordingError(f'{path}: the recorded CameraInfo cannot be used: {error}') from error


def read_joints(path: str | Path) -> dict[str, dict[str, np.ndarray]]:
    """Read the hands that a bag holds on ``hands/<side>/joints``: its ground truth, or recorded results.

    Returns:
        Stamp (as :func:`stamp_name` writes it) -> side -> (21, 3) joints in meters.

    Raises:
        RecordingError: the bag cannot be read, or a message does not hold 21 joints.

    """
    joints: dict[str, dict[str, np.ndarray]] = {}
    for nanoseconds, side, points in iterate_joints(path):
        joints.setdefault(stamp_name(nanoseconds), {})[side] = points
    return joints


def iterate_joints(path: str | Path, prefix: str = '') -> Iterator[tuple[int, str, np.ndarray]]:
    """Read the hands of :func:`read_joints` one by one, as they were recorded.

    Args:
        path: the bag.
        prefix: what stands before ``hands/<side>/joints`` in the topics' names; empty for anything.

    Yields:
        Stamp in nanoseconds, side, (21, 3) joints in meters.

    Raises:
        RecordingError: the bag cannot be read, or a message does not hold 21 joints.

    """
    path = Path(path)
    with bag_reader(path) as reader:
        sides = {
            c.id: side
            for c in reader.connections
            if c.msgtype == POSE_ARRAY
            for side in ('left', 'right')
            if f'/{c.topic.strip("/")}'.endswith(f'{prefix.rstrip("/")}/hands/{side}/joints')
        }
        wanted = [c for c in reader.connections if c.id in sides]
        for connection, _, data in reader.messages(wanted) if wanted else ():
            message: Any = typestore().deserialize_cdr(data, POSE_ARRAY)
            points = np.array([(p.position.x, p.position.y, p.position.z) for p in message.poses])
            if points.shape != (21, 3):
                raise RecordingError(f'{path}: {connection.topic} holds {len(points)} poses; a hand has 21')
            yield stamp_of(message), sides[connection.id], points
