"""Read rosbag2 recordings (sqlite3 and MCAP), without ROS."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from itertools import takewhile
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np

from hand_pose_ros.files import check_nesting, printable, reason
from hand_pose_ros.geometry.calibration import CameraDescription, assumed_camera
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
from hand_pose_ros.io.frame import RecordedFrame, Recording, RecordingError, natural, stamp_name
from hand_pose_ros.io.packing import TooLargeError, limit_rosbags, unpacked
from hand_pose_ros.io.pairing import REGISTER, DepthPairing
from hand_pose_ros.io.salvage import SalvagedBag

if TYPE_CHECKING:
    from rosbags.interfaces import Connection
    from rosbags.rosbag2 import Reader
    from rosbags.typesys.store import Typestore

#: What images can be of; where a bag holds both, the first is read.
MODALITIES = ('depth', 'color')
#: Images that are neither: a sensor's own light.
INFRARED = 'infrared'
_INFRARED_NAME = re.compile(r'(^|[/_])(ir|infra|infrared)\d*([/_]|$)')
#: Depth that was turned to the view of the color camera.
_REGISTERED_NAME = re.compile(r'aligned|registered|depth_to_rgb|depth_to_color')
BAG_SUFFIXES = ('.mcap', '.db3')
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
    #: Width and height in pixels; 0 where only decoding would tell.
    size: tuple[int, int] = (0, 0)

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
    try:
        with ExitStack() as stack:
            yield _reader(path, stack)
    except RecordingError as error:
        if str(path) in str(error):
            raise
        raise RecordingError(printable(f'{path}: {error}')) from error
    except ImageError as error:
        raise RecordingError(f'{path}: {error}') from error
    # The library lets escape whatever error a damaged byte happens to cause.
    except Exception as error:
        raise RecordingError(printable(f'{path}: empty, damaged or not a rosbag2: {reason(error)}')) from error


def _reader(path: Path, stack: ExitStack) -> Any:
    """Rosbags' reader of a bag or, where that cannot open it or finds nothing in it, what can be salvaged."""
    from rosbags.rosbag1 import Reader as Ros1Reader
    from rosbags.rosbag2 import Reader

    limit_rosbags()
    if path.suffix == '.bag':
        return stack.enter_context(Ros1Reader(path))
    files = storages(path)
    if (metadata := path / 'metadata.yaml').is_file():
        check_nesting(metadata)
    if path.is_dir() and not (path / 'metadata.yaml').exists() and len(files) == 1:
        path = files[0]
    if any(file.suffix == '.zstd' for file in files) and not (path / 'metadata.yaml').exists():
        folder = Path(stack.enter_context(TemporaryDirectory()))
        files = [unpacked(file, folder) if file.suffix == '.zstd' else file for file in files]
        path = files[0] if len(files) == 1 else path
    try:
        reader = stack.enter_context(Reader(path))
        if next(iter(reader.messages()), None) is not None:
            return reader
    except TooLargeError:
        raise
    except Exception:
        if (salvaged := _salvaged(files)) is None:
            raise  # the library says better what it is
        return salvaged
    return _salvaged(files) or reader


def _salvaged(files: list[Path]) -> SalvagedBag | None:
    """What can be salvaged of a recording's files; None for nothing. Raises TooLargeError where it takes too much."""
    try:
        return SalvagedBag(files)
    except TooLargeError:
        raise
    except Exception:
        return None


def storages(path: Path) -> list[Path]:
    """Files of a bag, in order; those packed by zstd end in ``.zstd``."""
    if path.is_file():
        return [path]
    found = [
        file
        for file in path.iterdir()
        if Path(file.name.removesuffix('.zstd')).suffix in BAG_SUFFIXES and not file.name.startswith('.')
    ]
    return sorted(found, key=lambda file: natural(file.name))


def deserialize(data: bytes, msgtype: str, path: Path) -> Any:
    """A message of a bag, of ROS 1 where the bag is."""
    if path.suffix == '.bag':
        return _ros1_typestore().deserialize_ros1(data, msgtype)
    return typestore().deserialize_cdr(data, msgtype)


@lru_cache(maxsize=1)
def _ros1_typestore() -> Typestore:
    from rosbags.typesys import Stores, get_typestore

    return get_typestore(Stores.ROS1_NOETIC)


def open_bag(
    path: Path,
    camera: Camera | None,
    depth_unit: float,
    topic: str | None,
    modality: str | None = None,
    depth_topic: str | None = None,
) -> Recording:
    """Open a rosbag2, see :func:`recording.open_recording`."""
    wanted = {None: MODALITIES, 'rgbd': ('color',)}.get(modality) or (str(modality),)
    with bag_reader(path) as reader:
        images = [
            _describe(path, reader, connection)
            for connection in reader.connections
            if connection.msgtype in (IMAGE, COMPRESSED_IMAGE) and connection.msgcount
        ]
        chosen = _choose(path, images, topic, wanted)
        depth = ''
        if modality == 'rgbd':
            depth = _choose(
                path, _registered(images, chosen), depth_topic, ('depth',), '--depth-topic'
            ).connection.topic
        info, guessed = _camera_info(path, reader, chosen)
        frames = partial(_bag_frames, path, chosen.connection.topic, info, depth, camera, depth_unit)
        notes = [getattr(reader, 'note', ''), '' if camera else guessed]
    count = chosen.count if depth or not notes[0] else None
    note = '; '.join(part for part in notes if part)
    return Recording(path, modality or chosen.modality, chosen.connection.topic, count, frames, note)


def _camera_info(path: Path, reader: Any, image: _ImageTopic) -> tuple[str, str]:
    """The topic of the CameraInfo that belongs to an image topic, empty for none; and what was assumed, for people.

    That beside it, as ROS has it; else the one of its frame and size whose name has the most in common; never that of
    another camera.
    """
    infos = [c for c in reader.connections if c.msgtype == CAMERA_INFO and c.msgcount]
    sibling = f'{image.base.rpartition("/")[0]}/camera_info'
    if any(info.topic == sibling for info in infos):
        return sibling, ''
    fitting: list[tuple[int, str]] = []
    for info in infos:
        message = deserialize(next(iter(reader.messages([info])))[2], CAMERA_INFO, path)
        same_size = (message.width, message.height) == image.size or not any(image.size)
        if same_size and message.header.frame_id == image.frame_id:
            fitting.append((_shared(info.topic, image.base), info.topic))
    best = max(fitting, default=(0, ''))
    if not best[1] or [length for length, _ in fitting].count(best[0]) > 1:
        return '', f'no CameraInfo is beside {image.connection.topic}, nor one of its frame and size alone'
    return best[1], f'the CameraInfo of {image.connection.topic} is taken from {best[1]}, which has its frame and size'


def _shared(one: str, other: str) -> int:
    """How many namespaces two topics have in common."""
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(one.split('/'), other.split('/'))))


def _registered(topics: Sequence[_ImageTopic], color: _ImageTopic) -> Sequence[_ImageTopic]:
    """The depth topics of the color image's camera frame, those that are called registered before all; else all."""
    fitting = [t for t in topics if t.modality == 'depth' and t.frame_id == color.frame_id]
    return [t for t in fitting if _REGISTERED_NAME.search(t.connection.topic)] or fitting or topics


def _describe(path: Path, reader: Any, connection: Connection) -> _ImageTopic:
    """Describe a topic by its first message: depth, color, infrared or neither."""
    _, _, data = next(iter(reader.messages([connection])))
    message = deserialize(data, connection.msgtype, path)
    raw = connection.msgtype == IMAGE
    encoding = message.encoding if raw else message.format
    name = connection.topic.lower()
    if encoding in DEPTH_ENCODINGS or (not raw and is_depth(encoding, message.data)):
        # Sixteen bits may be of an infrared image too, which no encoding tells from depth.
        modality = INFRARED if _INFRARED_NAME.search(name) and 'depth' not in name else 'depth'
    elif not raw or encoding in COLOR_ENCODINGS:
        modality = INFRARED if _INFRARED_NAME.search(name) else 'color'
    else:
        modality = ''
    size = (message.width, message.height) if raw else (0, 0)
    return _ImageTopic(connection, connection.msgcount, modality, encoding, message.header.frame_id, size)


def _choose(
    path: Path,
    topics: Sequence[_ImageTopic],
    wanted: str | None,
    modalities: Sequence[str],
    flag: str = '--topic',
) -> _ImageTopic:
    """Choose the topic to read: the one wanted, else the only one of the first of ``modalities`` that there is."""
    listing = ', '.join(f'{t.connection.topic} ({t.modality or "?"}, {t.encoding}, {t.count} images)' for t in topics)
    if not topics:
        raise RecordingError(f'{path}: the bag holds no images')
    if wanted:
        named = [t for t in topics if t.connection.topic.strip('/') == wanted.strip('/')]
        if not named:
            raise RecordingError(f'{path}: no image topic {wanted}; there are: {listing}')
        if not named[0].modality:
            raise RecordingError(f'{path}: {wanted} has encoding {named[0].encoding!r}, which is not supported')
        if named[0].modality == INFRARED:  # who names it wants it: as gray pictures
            named[0] = replace(named[0], modality='color')
        if named[0].modality not in modalities:
            raise RecordingError(
                f'{path}: {wanted} holds {named[0].modality} images; choose a topic of {modalities[0]}'
            )
        return named[0]
    for modality in modalities:
        candidates = _single([t for t in topics if t.modality == modality])
        if len(candidates) == 1:
            return candidates[0]
        if candidates:
            commands = ' or '.join(f'{flag} {t.connection.topic}' for t in candidates)
            raise RecordingError(f'{path}: several {modality} topics, choose one by {commands}; there are: {listing}')
    what = f'is of {modalities[0]}' if len(modalities) == 1 else 'has a supported encoding'
    raise RecordingError(f'{path}: no image topic {what}; there are: {listing}')


def _single(candidates: list[_ImageTopic]) -> list[_ImageTopic]:
    """Leave out what a camera sends a second time: compressed beside raw, and depth turned to another camera's view."""
    raw = {t.connection.topic for t in candidates if t.connection.msgtype == IMAGE}
    candidates = [t for t in candidates if t.connection.msgtype == IMAGE or t.base not in raw]
    own = [t for t in candidates if not _REGISTERED_NAME.search(t.connection.topic)]
    return own or candidates


def _bag_frames(
    path: Path, topic: str, info_topic: str, depth_topic: str, given: Camera | None, depth_unit: float
) -> Iterator[RecordedFrame]:
    with bag_reader(path) as reader:
        connections = [c for c in reader.connections if c.topic in (topic, depth_topic)]
        infos = [c for c in reader.connections if c.topic == info_topic] if given is None else []
        described: CameraDescription | None = None
        if infos:  # An image may precede its first CameraInfo; a recording can look ahead.
            first = deserialize(next(iter(reader.messages(infos)))[2], CAMERA_INFO, path)
            described = CameraDescription.of(first)
        pairing: DepthPairing[RecordedFrame, RecordedFrame] = DepthPairing(recorded=True)
        for connection, _, data in reader.messages(connections + infos):
            message = deserialize(data, connection.msgtype, path)
            if connection.msgtype == CAMERA_INFO:
                described = CameraDescription.of(message)
                continue
            try:
                frame = _bag_frame(connection, message, depth_unit, connection.topic == depth_topic)
            except ImageError as error:
                name = stamp_name(stamp_of(message))
                raise RecordingError(f'{path}: {connection.topic}, image {name}: {error}') from error
            if connection.topic == topic:
                frame = replace(frame, camera=given or _bag_camera(path, described, frame, topic))
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


def _bag_frame(connection: Connection, message: Any, depth_unit: float, registered: bool) -> RecordedFrame:
    image, of_depth = _bag_image(connection, message, registered)
    stamp = stamp_of(message)
    frame = RecordedFrame(stamp_name(stamp), stamp, message.header.frame_id, None)
    return replace(frame, depth=DepthImage(image, depth_unit)) if of_depth else replace(frame, color=image)


def _bag_image(connection: Connection, message: Any, registered: bool) -> tuple[np.ndarray, bool]:
    """The image of a message, in this machine's byte order, and whether it is of depth."""
    if connection.msgtype == COMPRESSED_IMAGE:
        image, encoding = decode_compressed(message.format, message.data)
        return image, encoding in DEPTH_ENCODINGS
    image = view_image(
        message.data, message.width, message.height, message.encoding, message.step, bool(message.is_bigendian)
    )
    infrared = _INFRARED_NAME.search(connection.topic.lower()) and not registered
    if message.encoding in DEPTH_ENCODINGS and not infrared:
        return image.astype(image.dtype.newbyteorder('=')), True
    if message.encoding not in COLOR_ENCODINGS:
        raise ImageError(f'encoding {message.encoding!r} is neither depth nor color')
    return color_in_bgr(image, message.encoding).copy(), False


def _bag_camera(path: Path, described: CameraDescription | None, frame: RecordedFrame, topic: str) -> Camera | None:
    """The camera of an image; one is assumed for color where the driver knew none."""
    if described is None:
        return None
    seen = frame.depth if frame.color is None else frame.color
    if seen is None:
        return None
    height, width = seen.shape[:2]
    if described.uncalibrated and frame.color is not None:
        return assumed_camera(width, height)
    try:
        return described.camera(width, height, topic)
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
            message = deserialize(data, POSE_ARRAY, path)
            points = np.array([(p.position.x, p.position.y, p.position.z) for p in message.poses])
            if points.shape != (21, 3):
                raise RecordingError(f'{path}: {connection.topic} holds {len(points)} poses; a hand has 21')
            yield stamp_of(message), sides[connection.id], points
