"""Show the tracker's output in RViz, and launch the tracker along where ``tracker:=true``.

Every argument of ``tracker.launch.py`` is one of this file too: ``ros2 launch hand_pose_ros view.launch.py
tracker:=true input:=BAG loop:=true`` shows a recording. ``--show-args`` lists them.
"""

from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, IncludeLaunchDescription
from launch.conditions import IfCondition
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration, PathJoinSubstitution
from launch_ros.actions import Node
from launch_ros.substitutions import FindPackageShare

from hand_pose_ros import topics

PACKAGE = 'hand_pose_ros'
#: What the RViz configuration shows; its absolute names become those of the namespace.
SHOWN = (topics.OVERLAY, topics.MARKERS, topics.KEYPOINTS)


def generate_launch_description() -> LaunchDescription:
    """Declare the arguments, then start RViz, and the tracker where it is asked for."""
    share = FindPackageShare(PACKAGE)
    return LaunchDescription(
        [
            DeclareLaunchArgument(
                'tracker',
                default_value='false',
                choices=['true', 'false'],
                description='Launch the tracker too, with the arguments of tracker.launch.py.',
            ),
            DeclareLaunchArgument(
                'namespace', default_value='', description='Namespace of the nodes and their topics.'
            ),
            DeclareLaunchArgument(
                'rviz_config',
                default_value=PathJoinSubstitution([share, 'config', 'hand_pose.rviz']),
                description='RViz configuration.',
            ),
            DeclareLaunchArgument(
                'fixed_frame',
                default_value='camera_depth_optical_frame',
                description="RViz's fixed frame: the camera's optical frame, or any frame that TF joins with it.",
            ),
            IncludeLaunchDescription(
                PythonLaunchDescriptionSource(PathJoinSubstitution([share, 'launch', 'tracker.launch.py'])),
                condition=IfCondition(LaunchConfiguration('tracker')),
            ),
            Node(
                package='rviz2',
                executable='rviz2',
                name='rviz',
                namespace=LaunchConfiguration('namespace'),
                output='screen',
                arguments=[
                    '--display-config',
                    LaunchConfiguration('rviz_config'),
                    '--fixed-frame',
                    LaunchConfiguration('fixed_frame'),
                ],
                remappings=[(f'/{topic}', topic) for topic in SHOWN],
            ),
        ]
    )
