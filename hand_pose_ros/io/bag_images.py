"""The images of a bag as frames: each with its camera, and color with the depth of its moment."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hand_pose_ros.files import printable, reason
from hand_pose_ros.geometry.calibration import ASSUMED, Calibration, CameraDescription, assumed_camera, camera_of
from hand_pose_ros.geometry.camera import Camera, CameraError
from hand_pose_ros.imaging.compressed import decode_compressed
from hand_pose_ros.imaging.images import (
    COLOR_ENCODINGS,
    DEPTH_ENCODINGS,
    DepthImage,
    ImageError,
    color_in_bgr,
    view_image,
)
from hand_pose_ros.io.bag import CAMERA_INFO, COMPRESSED_IMAGE, IMAGE, bag_reader, deserialize, stamp_of
from hand_pose_ros.io.bag_topics import (
    MODALITIES,
    SUPPORTED,
    ImageTopic,
    choose,
    choose_info,
    describe,
    frame_of,
    list_topics,
    registered,
)
from hand_pose_ros.io.frame import RecordedFrame, Recording, RecordingError, stamp_name
from hand_pose_ros.io.pairing import REGISTER, TOLERANCE_S, DepthPairing

if TYPE_CHECKING:
    from rosbags.interfaces import Connection

#: CameraInfos that are looked at for a calibration, which drivers send a moment later.
MOST_UNCALIBRATED = 30
#: Images of one stamp with which a recording begins where nobody stamped them.
STILL = 4
#: Images farther apart are of two moments whatever the camera's clocks say, seconds.
ONE_MOMENT_S = 0.1

_LOG = logging.getLogger(__name__)


def open_bag(
    path: Path,
    camera: Calibration | None,
    depth_unit: float,
    topic: str | None,
    modality: str | None = None,
    depth_topic: str | None = None,
    tolerance_s: float = TOLERANCE_S,
) -> Recording:
    """Open a rosbag2, see :func:`recording.open_recording`."""
    wanted = {None: MODALITIES, 'rgbd': ('color',)}.get(modality) or (str(modality),)
    with bag_reader(path) as reader:
        images = _image_topics(path, reader)
        chosen = choose(path, images, topic, wanted)
        depth = None
        if modality == 'rgbd':
            depth = choose(path, registered(images, chosen), depth_topic, ('depth',), '--depth-topic')
        described, info, guessed = (None, '', '') if camera else _calibration(path, reader, chosen)
        logged, clock = _times(path, reader, chosen, depth)
        salvaged = getattr(reader, 'note', '')
    source = _Source(path, chosen, depth, camera, described, info, depth_unit, tolerance_s, logged, salvaged)
    count = chosen.count if depth or not salvaged else None
    note = '; '.join(part for part in (salvaged, guessed, clock) if part)
    return Recording(path, modality or chosen.modality, chosen.topic, count, partial(_bag_frames, source), note)


@dataclass(frozen=True)
class _Source:
    """What is read of a bag, and how."""

    path: Path
    topic: ImageTopic
    #: Depth registered to ``topic``, for rgbd.
    depth: ImageTopic | None
    given: Calibration | None
    #: The calibration that holds until the first CameraInfo that has one.
    described: CameraDescription | None
    #: The topic of CameraInfo; empty for none.
    info: str
    depth_unit: float
    tolerance_s: float
    #: Whether the time of recording stands in for the images' stamps.
    logged: bool
    #: What is known already to be missing.
    salvaged: str


def _image_topics(path: Path, reader: Any) -> list[ImageTopic]:
    """Describe the topics with images; a topic of ROS 1 is of as many connections as had publishers."""
    found: dict[str, list[Connection]] = {}
    for connection in reader.connections:
        if connection.msgtype in (IMAGE, COMPRESSED_IMAGE) and connection.msgcount:
            found.setdefault(connection.topic, []).append(connection)
    if not found:
        raise RecordingError(
            f'{path}: the bag holds no images that can be read; it holds {list_topics(reader.connections)}; '
            f'read are {SUPPORTED}'
        )
    return [_described(path, reader, connections) for connections in found.values()]


def _described(path: Path, reader: Any, connections: list[Connection]) -> ImageTopic:
    first = connections[0]
    count = sum(connection.msgcount for connection in connections)
    for _, message in islice(_messages(path, reader, connections), 1):
        return describe(first.topic, first.msgtype, count, message)
    return ImageTopic(first.topic, first.msgtype, count, '', 'damaged', '')


def _messages(path: Path, reader: Any, connections: list[Connection]) -> Iterator[tuple[int, Any]]:
    """Yield the time of recording and the message, of those that are whole."""
    for connection, logged, data in reader.messages(connections):
        try:
            message = deserialize(data, connection.msgtype, path)
        except Exception:
            continue
        yield logged, message


def _calibration(path: Path, reader: Any, image: ImageTopic) -> tuple[CameraDescription | None, str, str]:
    """The calibration of an image topic, the topic that it is from, and what was assumed, for people."""
    topics = {c.topic: c for c in reader.connections if c.msgtype == CAMERA_INFO and c.msgcount}
    first = {t: message for t, c in topics.items() for _, message in islice(_messages(path, reader, [c]), 1)}
    topic, note = choose_info(image, first)
    seen = [CameraDescription.of(first[topic])] if topic else []
    if seen and seen[0].uncalibrated:  # one that drivers send before they know their camera
        messages = islice(_messages(path, reader, [topics[topic]]), MOST_UNCALIBRATED)
        seen = [*(d for d in (CameraDescription.of(m) for _, m in messages) if not d.uncalibrated), *seen]
    described = seen[0] if seen else None
    if image.modality == 'color' and (described is None or described.uncalibrated):
        why = f'{topic} is all zero' if topic else note
        note = f'{why}; {ASSUMED}; give the true one by --camera'
    return described, topic, note


def _times(path: Path, reader: Any, *topics: ImageTopic | None) -> tuple[bool, str]:
    """Whether the images' stamps stand still, so that the time of recording is taken; and what is said of it."""
    names = [topic.topic for topic in topics if topic]
    still = []
    for name in names:
        connections = [c for c in reader.connections if c.topic == name]
        found = [(logged, stamp_of(m)) for logged, m in islice(_messages(path, reader, connections), STILL)]
        times, stamps = (set(column) for column in zip(*found))
        if len(stamps) == 1 and (len(found) > 1 or stamps == {0}):
            still.append(name)
            if len(names) > 1 and len(found) > 1 and len(times) == 1:
                raise RecordingError(
                    f'{path}: all images of {name} are of one time, so that color and depth cannot be paired; '
                    'record them with stamps'
                )
    if not still:
        return False, ''
    return True, f'the stamps of {" and ".join(still)} do not increase: the time of recording is taken'


@dataclass
class _Skipped:
    """Messages that could not be read, and why the first could not."""

    count: int = 0
    first: str = ''

    def add(self, why: str) -> None:
        self.count += 1
        self.first = self.first or why


def _bag_frames(source: _Source) -> Iterator[RecordedFrame]:
    pairing: DepthPairing[RecordedFrame, RecordedFrame] = DepthPairing(source.tolerance_s, recorded=True)
    skipped, read = _Skipped(), 0
    with bag_reader(source.path) as reader:
        try:
            for frame in _paired(source, _readable(source, reader, skipped), pairing):
                read += 1
                yield frame
            if skipped.count and not read:
                raise RecordingError(skipped.first)
        finally:
            if read:
                _tell(source, skipped, pairing, reader)


def _tell(source: _Source, skipped: _Skipped, pairing: DepthPairing, reader: Any) -> None:
    """Log what was missing on the way."""
    lines = [note for note in (getattr(reader, 'note', ''),) if note and note != source.salvaged]
    if skipped.count:
        lines.append(f'messages that cannot be used and are skipped: {skipped.count}; the first: {skipped.first}')
    if source.depth and pairing.missed:
        apart_s = pairing.missed_s()
        remedy = '; pairing_tolerance (--pairing-tolerance) allows more' if apart_s < ONE_MOMENT_S else ''
        lines.append(
            f'color images without depth: the nearest of {source.depth.topic} is {apart_s:.3f} s off (median), and '
            f'{source.tolerance_s:g} s are allowed{remedy}'
        )
    for line in lines:
        _LOG.warning(printable(line if str(source.path) in line else f'{source.path}: {line}'))


def _paired(
    source: _Source,
    frames: Iterable[tuple[bool, RecordedFrame]],
    pairing: DepthPairing[RecordedFrame, RecordedFrame],
) -> Iterator[RecordedFrame]:
    """Bring the color frames and the depth of their moments together, where both are read."""
    for of_topic, frame in frames:
        if not source.depth:
            yield frame
        elif of_topic:
            yield from _with_depth(source.path, pairing.color(frame.nanoseconds, frame))
        else:
            yield from _with_depth(source.path, pairing.depth(frame.nanoseconds, frame))
    yield from _with_depth(source.path, pairing.flush())


def _readable(source: _Source, reader: Any, skipped: _Skipped) -> Iterator[tuple[bool, RecordedFrame]]:
    """Yield the images that can be used, and whether each is of the topic itself or of depth registered to it."""
    wanted = {source.topic.topic, *([source.depth.topic] if source.depth else []), source.info} - {''}
    described = source.described
    for connection, logged, data in reader.messages([c for c in reader.connections if c.topic in wanted]):
        image = source.topic if connection.topic == source.topic.topic else source.depth
        name = stamp_name(logged)
        try:
            message = _deserialized(data, connection.msgtype, source.path)
            if connection.topic == source.info:
                found = CameraDescription.of(message)
                described = found if described is None or not found.uncalibrated else described
                continue
            assert image is not None  # no other topic is read
            stamp = logged if source.logged else stamp_of(message)
            name = stamp_name(stamp)
            frame = _bag_frame(image, message, stamp, source.depth_unit)
            if image is source.topic:
                frame = replace(frame, camera=_bag_camera(source.given, described, frame, image))
        except (ImageError, CameraError) as error:
            skipped.add(f'{source.path}: {connection.topic}, message {name}: {error}')
            continue
        yield image is source.topic, frame


def _deserialized(data: bytes, msgtype: str, path: Path) -> Any:
    """A message; raises ImageError where it is damaged."""
    try:
        return deserialize(data, msgtype, path)
    except Exception as error:
        raise ImageError(f'the message is damaged: {reason(error)}') from error


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


def _bag_frame(topic: ImageTopic, message: Any, stamp: int, depth_unit: float) -> RecordedFrame:
    image, encoding = _bag_image(topic, message)
    frame = RecordedFrame(stamp_name(stamp), stamp, frame_of(message), None)
    if encoding in DEPTH_ENCODINGS and topic.modality == 'depth':
        return replace(frame, depth=DepthImage(image.astype(image.dtype.newbyteorder('=')), depth_unit))
    encoding = 'mono16' if encoding == '16UC1' else encoding  # infrared
    if encoding not in COLOR_ENCODINGS:
        raise ImageError(f'encoding {encoding!r} is neither depth nor color')
    return replace(frame, color=color_in_bgr(image, encoding).copy())


def _bag_image(topic: ImageTopic, message: Any) -> tuple[np.ndarray, str]:
    """The image of a message, and its encoding."""
    if topic.msgtype == COMPRESSED_IMAGE:
        return decode_compressed(message.format, message.data)
    image = view_image(
        message.data, message.width, message.height, message.encoding, message.step, bool(message.is_bigendian)
    )
    return image, message.encoding


def _bag_camera(
    given: Calibration | None, described: CameraDescription | None, frame: RecordedFrame, topic: ImageTopic
) -> Camera | None:
    """The camera of an image: the one given, else the recorded one; one is assumed for color where there is none."""
    seen = frame.depth if frame.color is None else frame.color
    if seen is None:
        return None
    height, width = seen.shape[:2]
    if given:
        return camera_of(given, width, height, topic.topic)
    if frame.color is not None and (described is None or described.uncalibrated):
        return assumed_camera(width, height)
    if described is None:
        return None
    try:
        return described.camera(width, height, topic.topic)
    except CameraError as error:
        raise CameraError(f'the recorded CameraInfo cannot be used: {error}') from error
