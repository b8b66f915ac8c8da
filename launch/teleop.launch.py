"""Launch ``hand_teleop``: a palm moves a robot's tool, a pinch its gripper.

Every parameter of the node is an argument; those left empty keep what ``params_file`` says, or their default.
``ros2 launch hand_pose_ros teleop.launch.py --show-args`` lists them.
"""

from launch import LaunchDescription

from hand_pose_ros.nodes.launching import describe_launch
from hand_pose_ros.robots.settings import TeleopSettings


def generate_launch_description() -> LaunchDescription:
    """Declare the arguments, then start the node with their values."""
    return describe_launch('teleop', TeleopSettings)
