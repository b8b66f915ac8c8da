"""What the middleware needs to be told before ROS starts."""

from __future__ import annotations

import os

from hand_pose_ros.resources import resource_path

#: Variables by which a user configures Fast DDS; where one is set, that configuration stands.
_CHOICES = ('FASTDDS_DEFAULT_PROFILES_FILE', 'FASTRTPS_DEFAULT_PROFILES_FILE', 'FASTDDS_BUILTIN_TRANSPORTS')


def make_room_for_images() -> None:
    """Give Fast DDS enough shared memory for images, in this process and those it starts.

    ``config/fastdds.xml`` says why. Call it before ROS starts. Other middlewares do not look at it.
    """
    if not any(os.environ.get(name) for name in _CHOICES):
        # Fast DDS 3 reads the new name, Fast DDS 2 the old one; both cannot be set, as ROS warns of the old one.
        name = _CHOICES[1] if os.environ.get('ROS_DISTRO') == 'jazzy' else _CHOICES[0]
        os.environ[name] = str(resource_path('config', 'fastdds.xml'))
