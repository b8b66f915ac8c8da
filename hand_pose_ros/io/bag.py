"""Read and write rosbag2 recordings (sqlite3 and MCAP), without ROS."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from hand_pose_ros.geometry.camera import Camera, CameraError
from hand_pose_ros.images import COLOR_ENCODINGS, DEPTH_ENCODINGS, ImageError, color_in_bgr, view_image
from hand_pose_ros.io.compressed import JPEG_FORMAT, decode_compressed, depth_encoding, encode_depth, encode_jpeg, is_depth
from hand_pose_ros.io.frame import COLOR_FRAME_ID, FRAME_ID, RecordedFrame, Recording, RecordingError, stamp_name
from hand_pose_ros.io.pairing import DepthPairing

#: What images can be of; where a bag holds both, the first is read.
MODALITIES = ('depth', 'color')
_IMAGE, _COMPRESSED = 'sensor_msgs/msg/Image', 'sensor_msgs/msg/CompressedImage'
_CAMERA_INFO, _POSE_ARRAY = 'sensor_msgs/msg/CameraInfo', 'geometry_msgs/msg/PoseArray'


@dataclass(frozen=True)
class _ImageTopic:
    """An image topic of a bag, with what its first message tells."""

    connection: Any
    count: int
    modality: str
    encoding: str

    @property
    def base(self) -> str:
        """Topic name without image transport's suffix."""
        name = self.connection.topic
        return name.rsplit('/', 1)[0] if self.connection.msgtype == _COMPRESSED else name


@lru_cache(maxsize=1)
def typestore():
    from rosbags.typesys import Stores, get_typestore

    # The five message types read and written here are the same in every ROS 2 distribution from Foxy on, so
    # neither a bag's own definitions nor its unknown types matter.
    return get_typestore(Stores.ROS2_JAZZY)


@contextmanager
def bag_reader(path: Path) -> Iterator[Any]:
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
        raise RecordingError(f'{path}: empty, damaged or not a rosbag2: '
                             f'{type(error).__name__}: {reason}{hint}') from error


def open_bag(path: Path, camera: Camera | None, depth_unit: float, topic: str | None,
             aligned: bool = False) -> Recording:
    with bag_reader(path) as reader:
        images = [_describe(reader, connection) for connection in reader.connections
                  if connection.msgtype in (_IMAGE, _COMPRESSED) and connection.msgcount]
        chosen = _choose(path, images, topic, ('color',) if aligned else MODALITIES)
        depth = _choose(path, images, None, ('depth',)).connection.topic if aligned else ''
        if depth == chosen.connection.topic:
            raise RecordingError(f'{path}: {topic} is the depth image; choose the colour image that it is registered to')
        infos = [c for c in reader.connections if c.msgtype == _CAMERA_INFO and c.msgcount]
        info_topic = f'{chosen.base.rpartition("/")[0]}/camera_info'
        info = [c for c in infos if c.topic == info_topic] or (infos if len(infos) == 1 else [])
        frames = partial(_bag_frames, path, chosen.connection.topic, info[0].topic if info else '', depth, camera,
                         depth_unit)
    return Recording(path, chosen.modality, chosen.connection.topic, chosen.count, frames)


def _describe(reader: Any, connection: Any) -> _ImageTopic:
    """Look at a topic's first message to tell depth from colour."""
    _, _, data = next(iter(reader.messages([connection])))
    message = typestore().deserialize_cdr(data, connection.msgtype)
    encoding = message.encoding if connection.msgtype == _IMAGE else message.format
    if encoding in DEPTH_ENCODINGS or (connection.msgtype == _COMPRESSED and is_depth(encoding)):
        modality = 'depth'
    else:
        modality = 'color' if connection.msgtype == _COMPRESSED or encoding in COLOR_ENCODINGS else ''
    return _ImageTopic(connection, connection.msgcount, modality, encoding)


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
        return named[0]
    for modality in modalities:
        candidates = [t for t in topics if t.modality == modality]
        raw = {t.connection.topic for t in candidates if t.connection.msgtype == _IMAGE}
        # One camera recorded both raw and compressed is one choice: the raw one.
        candidates = [t for t in candidates if t.connection.msgtype == _IMAGE or t.base not in raw]
        if len(candidates) == 1:
            return candidates[0]
        if candidates:
            raise RecordingError(f'{path}: several {modality} topics, choose one with --topic: {listing}')
    what = f'is of {modalities[0]}' if len(modalities) == 1 else 'has a supported encoding'
    raise RecordingError(f'{path}: no image topic {what}; there are: {listing}')


def _bag_frames(path: Path, topic: str, info_topic: str, aligned_topic: str, given: Camera | None,
                depth_unit: float) -> Iterator[RecordedFrame]:
    with bag_reader(path) as reader:
        store = typestore()
        connections = [c for c in reader.connections if c.topic in (topic, aligned_topic)]
        infos = [c for c in reader.connections if c.topic == info_topic] if given is None else []
        camera = given
        if infos:   # An image may precede its first CameraInfo; a recording can look ahead.
            camera = _bag_camera(path, store.deserialize_cdr(next(iter(reader.messages(infos)))[2], _CAMERA_INFO))
        pairing: DepthPairing[RecordedFrame, np.ndarray] = DepthPairing()
        for connection, _, data in reader.messages(connections + infos):
            message = store.deserialize_cdr(data, connection.msgtype)
            if connection.msgtype == _CAMERA_INFO:
                camera = _bag_camera(path, message)
                continue
            stamp = message.header.stamp.sec * 10**9 + message.header.stamp.nanosec
            try:
                image, encoding = _bag_image(connection.msgtype, message)
            except ImageError as error:
                raise RecordingError(f'{path}: {connection.topic}, image {stamp_name(stamp)}: {error}') from error
            if connection.topic == aligned_topic:
                yield from _paired(pairing.depth(stamp, image))
                continue
            frame = RecordedFrame(stamp_name(stamp), stamp, image, encoding, message.header.frame_id, camera, depth_unit)
            if aligned_topic:
                yield from _paired(pairing.color(stamp, frame))
            else:
                yield frame
        yield from _paired(pairing.rest())


def _paired(pairs: Iterable[tuple[RecordedFrame, np.ndarray | None]]) -> Iterator[RecordedFrame]:
    for frame, depth in pairs:
        yield replace(frame, aligned=depth)


def _bag_image(msgtype: str, message: Any) -> tuple[np.ndarray, str]:
    if msgtype == _COMPRESSED:
        return decode_compressed(message.format, message.data)
    image = view_image(message.data, message.width, message.height, message.encoding, message.step,
                       bool(message.is_bigendian))
    if message.encoding in DEPTH_ENCODINGS:
        encoding = '32FC1' if message.encoding == '32FC1' else '16UC1'
        return image.astype(image.dtype.newbyteorder('=')), encoding
    if message.encoding not in COLOR_ENCODINGS:
        raise ImageError(f'encoding {message.encoding!r} is neither depth nor colour')
    return color_in_bgr(image, message.encoding).copy(), 'bgr8'


def _bag_camera(path: Path, info: Any) -> Camera:
    try:
        return Camera.from_camera_info(info.width, info.height, info.k, info.d, info.distortion_model)
    except CameraError as error:
        raise RecordingError(f'{path}: the recorded CameraInfo cannot be used: {error}') from error


def read_joints(path: str | Path) -> dict[str, dict[str, np.ndarray]]:
    """Read the hands that a bag holds on ``hands/<side>/joints``: its ground truth, or recorded results.

    Returns:
        Stamp (as :func:`stamp_name` writes it) -> side -> (21, 3) joints in metres.

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
        Stamp in nanoseconds, side, (21, 3) joints in metres.

    Raises:
        RecordingError: the bag cannot be read, or a message does not hold 21 joints.

    """
    path = Path(path)
    with bag_reader(path) as reader:
        sides = {c.id: side for c in reader.connections if c.msgtype == _POSE_ARRAY for side in ('left', 'right')
                 if f'/{c.topic.strip("/")}'.endswith(f'{prefix.rstrip("/")}/hands/{side}/joints')}
        wanted = [c for c in reader.connections if c.id in sides]
        for connection, _, data in reader.messages(wanted) if wanted else ():
            message = typestore().deserialize_cdr(data, _POSE_ARRAY)
            points = np.array([(p.position.x, p.position.y, p.position.z) for p in message.poses])
            if points.shape != (21, 3):
                raise RecordingError(f'{path}: {connection.topic} holds {len(points)} poses; a hand has 21')
            yield message.header.stamp.sec * 10**9 + message.header.stamp.nanosec, sides[connection.id], points


def write_bag(path: str | Path, frames: Iterable[tuple[float, np.ndarray]], camera: Camera, *,
              joints: Mapping[str, Iterable[tuple[float, np.ndarray]]] | None = None, color: bool = False,
              aligned: Iterable[tuple[float, np.ndarray]] = (), frame_id: str = '', image_topic: str = '',
              compressed: bool = True, storage: str = 'mcap') -> None:
    """Write depth or colour images, their camera and the hands in them as a rosbag2 folder.

    The storage is MCAP by default: it is what ``ros2 bag`` itself has recorded since Iron, its plugin comes with
    every supported distribution, a file carries its message definitions, and its chunks are compressed inside
    the file, so that the bag is also the smaller one and still plays everywhere.

    Args:
        path: folder to make; must not exist.
        frames: (stamp in seconds, image) in order; images are (H, W) uint16 or float32 depth or, with ``color``,
            (H, W, 3) uint8 in bgr order.
        camera: the camera, written with each image beside ``image_topic``.
        joints: side -> (stamp in seconds, (21, 3) metres) in order, written to ``/hands/<side>/joints``.
        color: the images are of colour.
        aligned: depth images registered to those of colour, written to ``/depth/image``.
        frame_id: camera frame; empty for the usual one.
        image_topic: topic of the images, to which image transport's suffix is added when compressed; empty for
            ``/depth/image`` or ``/color/image``.
        compressed: store depth as ``compressedDepth`` PNG and colour as JPEG rather than raw.
        storage: ``mcap`` or ``sqlite3``.

    Raises:
        RecordingError: the folder exists already, or ``storage`` is neither.
        ImageError: an image is not of the kind that is written.

    """
    from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer
    path = Path(path)
    if path.exists():
        raise RecordingError(f'{path}: exists already; remove it or choose another name')
    if storage not in ('mcap', 'sqlite3'):
        raise RecordingError(f'storage {storage!r} is not one of mcap, sqlite3')
    path.parent.mkdir(parents=True, exist_ok=True)
    store = typestore()
    writer = Writer(path, version=9, storage_plugin=StoragePlugin[storage.upper()])
    if storage == 'mcap':
        writer.set_compression(CompressionMode.STORAGE, CompressionFormat.ZSTD)
    image_type = _COMPRESSED if compressed else _IMAGE
    image_topic = image_topic or ('/color/image' if color else '/depth/image')
    frame_id = frame_id or (COLOR_FRAME_ID if color else FRAME_ID)
    suffix = ('/compressed' if color else '/compressedDepth') if compressed else ''
    with writer:
        image_connection = writer.add_connection(image_topic + suffix, image_type, typestore=store)
        info_connection = writer.add_connection(f'{image_topic.rpartition("/")[0]}/camera_info', _CAMERA_INFO,
                                                typestore=store)

        def camera_stream() -> Iterator[tuple[float, Any, Any]]:
            for stamp, image in frames:
                header = _header(stamp, frame_id)
                yield stamp, info_connection, _info_message(header, camera)
                yield stamp, image_connection, _image_message(header, image, color, compressed)

        def hand_stream(side: str, hands: Iterable[tuple[float, np.ndarray]]) -> Iterator[tuple[float, Any, Any]]:
            connection = writer.add_connection(f'/hands/{side}/joints', _POSE_ARRAY, typestore=store)
            for stamp, points in hands:
                yield stamp, connection, _pose_array(_header(stamp, frame_id), points)

        def depth_stream() -> Iterator[tuple[float, Any, Any]]:
            connection = None
            for stamp, image in aligned:
                connection = connection or writer.add_connection(
                    '/depth/image' + ('/compressedDepth' if compressed else ''), image_type, typestore=store)
                yield stamp, connection, _image_message(_header(stamp, frame_id), image, False, compressed)

        streams = [camera_stream(), depth_stream(), *(hand_stream(side, hands) for side, hands in (joints or {}).items())]
        for stamp, connection, message in heapq.merge(*streams, key=lambda item: item[0]):
            writer.write(connection, _nanoseconds(stamp), store.serialize_cdr(message, connection.msgtype))


def _nanoseconds(stamp: float) -> int:
    seconds, fraction = divmod(stamp, 1)   # Apart, so that today's date does not eat the last digits.
    return int(seconds) * 10**9 + round(fraction * 1e9)


def _header(stamp: float, frame_id: str) -> Any:
    types = typestore().types
    nanoseconds = _nanoseconds(stamp)
    time = types['builtin_interfaces/msg/Time'](sec=nanoseconds // 10**9, nanosec=nanoseconds % 10**9)
    return types['std_msgs/msg/Header'](stamp=time, frame_id=frame_id)


def _image_message(header: Any, image: np.ndarray, color: bool, compressed: bool) -> Any:
    types = typestore().types
    if color and (image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8):
        raise ImageError(f'a colour image has three channels of 8 bits, not {image.shape} {image.dtype}')
    if compressed:
        message_format, data = (JPEG_FORMAT, encode_jpeg(image, 85)) if color else encode_depth(image)
        return types[_COMPRESSED](header=header, format=message_format, data=np.frombuffer(data, np.uint8))
    height, width = image.shape[:2]
    encoding = 'bgr8' if color else depth_encoding(image)
    return types[_IMAGE](header=header, height=height, width=width, encoding=encoding, is_bigendian=0,
                         step=width * image[0, 0].nbytes,
                         data=np.ascontiguousarray(image).view(np.uint8).reshape(-1))


def _info_message(header: Any, camera: Camera) -> Any:
    types = typestore().types
    projection = np.concatenate([camera.matrix, np.zeros((3, 1))], axis=1)
    model = 'rational_polynomial' if len(camera.distortion) == 8 else 'plumb_bob'
    region = types['sensor_msgs/msg/RegionOfInterest'](x_offset=0, y_offset=0, height=0, width=0, do_rectify=False)
    return types[_CAMERA_INFO](header=header, height=camera.height, width=camera.width, distortion_model=model,
                               d=np.array(camera.distortion or (0.0,) * 5), k=camera.matrix.reshape(-1).astype(float),
                               r=np.eye(3).reshape(-1), p=projection.reshape(-1).astype(float),
                               binning_x=0, binning_y=0, roi=region)


def _pose_array(header: Any, points: np.ndarray) -> Any:
    types = typestore().types
    point, pose, turn = (types[f'geometry_msgs/msg/{name}'] for name in ('Point', 'Pose', 'Quaternion'))
    poses = [pose(position=point(x=float(x), y=float(y), z=float(z)), orientation=turn(x=0.0, y=0.0, z=0.0, w=1.0))
             for x, y, z in points]
    return types[_POSE_ARRAY](header=header, poses=poses)
