"""What a process that sends or takes images sets before ROS starts."""

from __future__ import annotations

import ctypes
import os
import sys
from pathlib import Path

from hand_pose_ros.resources import resource_path

#: Variables by which a user configures Fast DDS; where one is set, that configuration stands.
_CHOICES = ('FASTDDS_DEFAULT_PROFILES_FILE', 'FASTRTPS_DEFAULT_PROFILES_FILE', 'FASTDDS_BUILTIN_TRANSPORTS')

#: glibc's numbers for the parameters of mallopt(3), and what they are set to, bytes.
_MALLOC = {'M_TRIM_THRESHOLD': (-1, 256 << 20), 'M_MMAP_THRESHOLD': (-3, 32 << 20)}


def check_middleware() -> None:
    """Make sure that the middleware that the environment names is here: ROS ends the process where it is not.

    Raises:
        ValueError: it is not; the message says what to do.

    """
    name = os.environ.get('RMW_IMPLEMENTATION')
    places = [sys.prefix, *os.environ.get('AMENT_PREFIX_PATH', '').split(os.pathsep)]
    if name and not any(Path(place, 'lib', f'lib{name}.so').is_file() for place in places if place):
        raise ValueError(
            f'RMW_IMPLEMENTATION names {name}, a middleware that is not here; unset RMW_IMPLEMENTATION, or install '
            f'{name.replace("_", "-")} for the ROS that is sourced'
        )


def make_room_for_images() -> None:
    """Give this process memory for images, and Fast DDS here and in the processes that it starts shared memory.

    ``config/fastdds.xml`` says why; other middlewares do not read it. Call it before ROS starts.
    """
    if not any(os.environ.get(name) for name in _CHOICES):
        # Fast DDS 3 reads the new name, Fast DDS 2 the old one; both cannot be set, as ROS warns of the old one.
        name = _CHOICES[1] if os.environ.get('ROS_DISTRO') == 'jazzy' else _CHOICES[0]
        os.environ[name] = str(resource_path('config', 'fastdds.xml'))
    _keep_large_blocks()


def _keep_large_blocks() -> None:
    """Have the C library use an image's memory again for the next one.

    glibc gives blocks of an image's size back to the system and asks for new ones in each frame, whose pages the system
    then clears one by one: of the way of a 640x480 depth image through rclpy, that is two fifths of the time. Other C
    libraries are left as they are.
    """
    library = ctypes.CDLL(None)
    if hasattr(library, 'gnu_get_libc_version'):
        for number, value in _MALLOC.values():
            library.mallopt(number, value)
