"""Read rosbag2 recordings (sqlite3 and MCAP), without ROS."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np

from hand_pose_ros.files import check_foreign_yaml, printable, reason
from hand_pose_ros.imaging.images import ImageError
from hand_pose_ros.io.checks import check_files, limit_rosbags
from hand_pose_ros.io.frame import RecordingError, natural, stamp_name
from hand_pose_ros.io.packing import TooLargeError, unpacked
from hand_pose_ros.io.salvage import MendedReader, SalvagedBag

if TYPE_CHECKING:
    from rosbags.rosbag2 import Reader
    from rosbags.typesys.store import Typestore

BAG_SUFFIXES = ('.mcap', '.db3')
#: Recordings of ROS 1, which rosbags reads as well.
ROS1_SUFFIX = '.bag'
IMAGE, COMPRESSED_IMAGE = 'sensor_msgs/msg/Image', 'sensor_msgs/msg/CompressedImage'
CAMERA_INFO, POSE_ARRAY = 'sensor_msgs/msg/CameraInfo', 'geometry_msgs/msg/PoseArray'


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
    limit_rosbags()
    check_files(path)
    if path.suffix.lower() == ROS1_SUFFIX:
        from rosbags.rosbag1 import Reader as Ros1Reader

        return stack.enter_context(Ros1Reader(path))
    files, lacking = storages(path), 'its index cannot be used'
    if (metadata := path / 'metadata.yaml').is_file():
        lacking = f'{metadata.name} is damaged, of an unknown version or of other files'
    else:
        files = [_plain(file, stack) for file in files]
        lacking = f'there is no {metadata.name}' if len(files) > 1 else lacking
        path = files[0] if len(files) == 1 else path

    def salvage() -> SalvagedBag | None:
        try:
            return SalvagedBag([_plain(file, stack) for file in files], lacking)
        except TooLargeError:
            raise
        except Exception:
            return None

    try:
        if metadata.is_file():
            check_foreign_yaml(metadata)
        reader = stack.enter_context(_rosbag2(path))
        if next(iter(reader.messages()), None) is not None:
            return MendedReader(reader, salvage)
    except TooLargeError:
        raise
    except Exception:
        if (salvaged := salvage()) is None:
            raise  # the library says better what it is
        return salvaged
    return salvage() or reader


def _rosbag2(path: Path) -> Any:
    """Rosbags' reader, which knows suffixes in small letters only."""
    from rosbags.rosbag2 import Reader

    class AnyCase(Reader):
        STORAGE_PLUGINS = {path.suffix: Reader.STORAGE_PLUGINS.get(path.suffix.lower()), **Reader.STORAGE_PLUGINS}

    return AnyCase(path)


def _plain(file: Path, stack: ExitStack) -> Path:
    """A file of a bag, unpacked into a temporary folder where it is packed."""
    if file.suffix.lower() != _PACKED:
        return file
    return unpacked(file, Path(stack.enter_context(TemporaryDirectory())))


_PACKED = '.zstd'


def storage_suffix(path: Path) -> str:
    """The suffix of a bag's file in small letters, without that of its packing."""
    return Path(path.name.lower().removesuffix(_PACKED)).suffix


def storages(path: Path) -> list[Path]:
    """Files of a bag, in order; those packed by zstd end in ``.zstd``."""
    if path.is_file():
        return [path]
    found = [p for p in path.iterdir() if storage_suffix(p) in BAG_SUFFIXES and not p.name.startswith('.')]
    return sorted(found, key=lambda file: natural(file.name))


def deserialize(data: bytes, msgtype: str, path: Path) -> Any:
    """A message of a bag, of ROS 1 where the bag is."""
    if path.suffix.lower() == ROS1_SUFFIX:
        return _ros1_typestore().deserialize_ros1(data, msgtype)
    return typestore().deserialize_cdr(data, msgtype)


@lru_cache(maxsize=1)
def _ros1_typestore() -> Typestore:
    from rosbags.typesys import Stores, get_typestore

    return get_typestore(Stores.ROS1_NOETIC)


def stamp_of(message: Any) -> int:
    """Return the stamp of a message with a header, nanoseconds."""
    return message.header.stamp.sec * 10**9 + message.header.stamp.nanosec


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
