"""Write rosbag2 recordings (sqlite3 and MCAP), without ROS."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hand_pose_ros.geometry.camera import Camera
from hand_pose_ros.imaging.compressed import JPEG_FORMAT, depth_encoding, encode_depth, encode_jpeg
from hand_pose_ros.imaging.images import ImageError
from hand_pose_ros.io.bag import CAMERA_INFO, COMPRESSED_IMAGE, IMAGE, POSE_ARRAY, typestore
from hand_pose_ros.io.frame import COLOR_FRAME_ID, FRAME_ID, RecordingError

if TYPE_CHECKING:
    from rosbags.interfaces import Connection
    from rosbags.rosbag2 import Writer

#: Images or joints, each with its stamp in seconds, in order.
Stamped = Iterable[tuple[float, np.ndarray]]
#: Stamp in seconds, topic and message.
_Messages = Iterator[tuple[float, 'Connection', Any]]


def write_bag(
    path: str | Path,
    frames: Stamped,
    camera: Camera,
    *,
    joints: Mapping[str, Stamped] | None = None,
    color: bool = False,
    registered_depth: Stamped = (),
    frame_id: str = '',
    image_topic: str = '',
    compressed: bool = True,
    storage: str = 'mcap',
) -> None:
    """Write depth or color images, their camera and the hands in them as a rosbag2 folder.

    The storage is MCAP by default: it is what ``ros2 bag`` itself has recorded since Iron, its plugin comes with
    every supported distribution, a file carries its message definitions, and its chunks are compressed inside
    the file, so that the bag is also the smaller one and still plays everywhere.

    Args:
        path: folder to make; must not exist.
        frames: (stamp in seconds, image) in order; images are (H, W) uint16 or float32 depth or, with ``color``,
            (H, W, 3) uint8 in bgr order.
        camera: the camera, written with each image beside ``image_topic``.
        joints: side -> (stamp in seconds, (21, 3) meters) in order, written to ``/hands/<side>/joints``.
        color: the images are of color.
        registered_depth: depth images registered to those of color, written to ``/depth/image``.
        frame_id: camera frame; empty for the usual one.
        image_topic: topic of the images, to which image transport's suffix is added when compressed; empty for
            ``/depth/image`` or ``/color/image``.
        compressed: store depth as ``compressedDepth`` PNG and color as JPEG rather than raw.
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
    writer = Writer(path, version=9, storage_plugin=StoragePlugin[storage.upper()])
    if storage == 'mcap':
        writer.set_compression(CompressionMode.STORAGE, CompressionFormat.ZSTD)
    image_topic = image_topic or ('/color/image' if color else '/depth/image')
    with writer:
        streams = _Streams(writer, frame_id or (COLOR_FRAME_ID if color else FRAME_ID), compressed)
        merged = heapq.merge(
            streams.images(image_topic, frames, color, camera),
            streams.images('/depth/image', registered_depth, False),
            *(streams.hands(f'/hands/{side}/joints', hands) for side, hands in (joints or {}).items()),
            key=lambda item: item[0],
        )
        for stamp, connection, message in merged:
            writer.write(connection, _nanoseconds(stamp), typestore().serialize_cdr(message, connection.msgtype))


@dataclass(frozen=True)
class _Streams:
    """Messages of one camera, each stream in order; a topic is made with its first message."""

    writer: Writer
    frame_id: str
    compressed: bool

    def images(self, topic: str, images: Stamped, color: bool, camera: Camera | None = None) -> _Messages:
        """Images, each after the CameraInfo of ``camera`` where one is given."""
        suffix = ('/compressed' if color else '/compressedDepth') if self.compressed else ''
        connection = info = None
        for stamp, image in images:
            header = _header(stamp, self.frame_id)
            if camera is not None:
                info = info or self._topic(f'{topic.rpartition("/")[0]}/camera_info', CAMERA_INFO)
                yield stamp, info, _info_message(header, camera)
            connection = connection or self._topic(topic + suffix, COMPRESSED_IMAGE if self.compressed else IMAGE)
            yield stamp, connection, _image_message(header, image, color, self.compressed)

    def hands(self, topic: str, hands: Stamped) -> _Messages:
        """Joints of one side's hand."""
        connection = None
        for stamp, points in hands:
            connection = connection or self._topic(topic, POSE_ARRAY)
            yield stamp, connection, _pose_array(_header(stamp, self.frame_id), points)

    def _topic(self, name: str, kind: str) -> Connection:
        return self.writer.add_connection(name, kind, typestore=typestore())


def _nanoseconds(stamp: float) -> int:
    seconds, fraction = divmod(stamp, 1)  # Apart, so that today's date does not eat the last digits.
    return int(seconds) * 10**9 + round(fraction * 1e9)


def _header(stamp: float, frame_id: str) -> Any:
    types = typestore().types
    nanoseconds = _nanoseconds(stamp)
    time = types['builtin_interfaces/msg/Time'](sec=nanoseconds // 10**9, nanosec=nanoseconds % 10**9)
    return types['std_msgs/msg/Header'](stamp=time, frame_id=frame_id)


def _image_message(header: Any, image: np.ndarray, color: bool, compressed: bool) -> Any:
    types = typestore().types
    if color and (image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8):
        raise ImageError(f'a color image has three channels of 8 bits, not {image.shape} {image.dtype}')
    if compressed:
        message_format, data = (JPEG_FORMAT, encode_jpeg(image, 85)) if color else encode_depth(image)
        return types[COMPRESSED_IMAGE](header=header, format=message_format, data=np.frombuffer(data, np.uint8))
    height, width = image.shape[:2]
    encoding = 'bgr8' if color else depth_encoding(image)
    return types[IMAGE](
        header=header,
        height=height,
        width=width,
        encoding=encoding,
        is_bigendian=0,
        step=width * image[0, 0].nbytes,
        data=np.ascontiguousarray(image).view(np.uint8).reshape(-1),
    )


def _info_message(header: Any, camera: Camera) -> Any:
    types = typestore().types
    projection = np.concatenate([camera.matrix, np.zeros((3, 1))], axis=1)
    region = types['sensor_msgs/msg/RegionOfInterest'](x_offset=0, y_offset=0, height=0, width=0, do_rectify=False)
    return types[CAMERA_INFO](
        header=header,
        height=camera.height,
        width=camera.width,
        distortion_model=camera.distortion_model,
        d=np.array(camera.distortion or (0.0,) * 5),
        k=camera.matrix.reshape(-1).astype(float),
        r=np.eye(3).reshape(-1),
        p=projection.reshape(-1).astype(float),
        binning_x=0,
        binning_y=0,
        roi=region,
    )


def _pose_array(header: Any, points: np.ndarray) -> Any:
    types = typestore().types
    point, pose, turn = (types[f'geometry_msgs/msg/{name}'] for name in ('Point', 'Pose', 'Quaternion'))
    poses = [
        pose(position=point(x=float(x), y=float(y), z=float(z)), orientation=turn(x=0.0, y=0.0, z=0.0, w=1.0))
        for x, y, z in points
    ]
    return types[POSE_ARRAY](header=header, poses=poses)
