"""Bags of what the tracker node publishes, for tests that read them back."""

from pathlib import Path

import pytest

from hand_pose_ros.io.bag import typestore

STAMP = 1_700_000_000_123_456_789
#: Recorded so long after the image, nanoseconds.
DELAY = 17_000_000


def record(path: Path, frames, namespace='/robot') -> Path:
    """Write what the tracker node publishes for frames (stamp, hands) as ``ros2 bag record`` would."""
    pytest.importorskip('rclpy', reason='ROS 2 is not installed')
    pytest.importorskip('tf2_msgs', reason='tf2_msgs is not available to this Python')
    from rclpy.serialization import serialize_message
    from rosbags.rosbag2 import StoragePlugin, Writer
    from std_msgs.msg import Header

    from hand_pose_ros.nodes import messages

    with Writer(path, version=9, storage_plugin=StoragePlugin.MCAP) as writer:
        connections = {}

        def write(topic, kind, message, recorded):
            if topic not in connections:
                connections[topic] = writer.add_connection(f'{namespace}/{topic}', kind, typestore=typestore())
            writer.write(connections[topic], recorded, serialize_message(message))

        for stamp, hands in frames:
            header = Header(frame_id='camera')
            header.stamp.sec, header.stamp.nanosec = divmod(stamp, 10**9)
            at = stamp + DELAY
            for hand in hands:
                write(
                    f'hands/{hand.side}/joints',
                    'geometry_msgs/msg/PoseArray',
                    messages.joints_message(header, hand),
                    at,
                )
            write('hands/keypoints', 'sensor_msgs/msg/PointCloud2', messages.keypoints_message(header, hands), at)
            write('hands/markers', 'visualization_msgs/msg/MarkerArray', messages.markers_message(header, hands), at)
    return path
