"""Launch ``hand_retarget``: a person's hand moves a robot hand.

Every parameter of the node is an argument; those left empty keep what ``params_file`` says, or their default.
``ros2 launch hand_pose_ros retarget.launch.py --show-args`` lists them.
"""

from launch import LaunchDescription

from hand_pose_ros.nodes.launching import describe_launch
from hand_pose_ros.robots.settings import RetargetSettings


def generate_launch_description() -> LaunchDescription:
    """Declare the arguments, then start the node with their values."""
    return describe_launch('retarget', RetargetSettings)
