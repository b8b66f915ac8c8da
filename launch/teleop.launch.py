"""Launch ``hand_teleop``: a palm moves a robot's tool, a pinch its gripper.

Every parameter of the node is an argument; those left empty keep what ``params_file`` says, or their default.
``ros2 launch hand_pose_ros teleop.launch.py --show-args`` lists them.
"""

from pathlib import Path

import yaml
from launch import LaunchContext, LaunchDescription
from launch.actions import DeclareLaunchArgument, OpaqueFunction
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node

from hand_pose_ros.robots.settings import TeleopSettings
from hand_pose_ros.settings import declared


def generate_launch_description() -> LaunchDescription:
    """Declare the arguments, then start the node with their values."""
    return LaunchDescription(
        [
            DeclareLaunchArgument('namespace', default_value='', description='Namespace of the node and its topics.'),
            DeclareLaunchArgument('params_file', default_value='', description='Parameters of the node (YAML).'),
            DeclareLaunchArgument(
                'log_level',
                default_value='info',
                description='Log level of the node.',
                choices=['debug', 'info', 'warn', 'error', 'fatal'],
            ),
            *(
                DeclareLaunchArgument(setting.name, default_value='', description=setting.metadata['description'])
                for setting in declared(TeleopSettings)
            ),
            OpaqueFunction(function=_node),
        ]
    )


def _node(context: LaunchContext) -> list[Node]:
    def given(name: str) -> str:
        return LaunchConfiguration(name).perform(context)

    params_file = given('params_file')
    if params_file and not Path(params_file).is_file():
        raise FileNotFoundError(f'launch argument params_file: {params_file}: no such file')
    values = {
        setting.name: text if isinstance(setting.default, str) else yaml.safe_load(text)
        for setting in declared(TeleopSettings)
        if (text := given(setting.name))
    }
    return [
        Node(
            package='hand_pose_ros',
            executable='teleop',
            name='hand_teleop',
            namespace=LaunchConfiguration('namespace'),
            output='screen',
            parameters=[*([params_file] if params_file else []), values],
            ros_arguments=['--log-level', LaunchConfiguration('log_level')],
        )
    ]
