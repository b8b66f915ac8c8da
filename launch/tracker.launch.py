"""Launch the tracker, and a recording as its camera where ``input`` is given.

Every parameter of the two nodes is an argument, made from their one declaration; those left empty keep what
``params_file`` says. ``ros2 launch hand_pose_ros tracker.launch.py --show-args`` lists them.
"""

from dataclasses import Field
from pathlib import Path

import yaml
from launch import LaunchContext, LaunchDescription
from launch.actions import DeclareLaunchArgument, OpaqueFunction, Shutdown
from launch.substitutions import LaunchConfiguration, PathJoinSubstitution
from launch_ros.actions import Node
from launch_ros.substitutions import FindPackageShare

from hand_pose_ros import topics
from hand_pose_ros.settings import PlaybackSettings, TrackerSettings, declared

PACKAGE = 'hand_pose_ros'
#: Argument of this file -> the camera topic that it renames.
REMAPPINGS = {topic.replace('/', '_'): topic for topic in topics.CAMERA_TOPICS}


def generate_launch_description() -> LaunchDescription:
    """Declare the arguments, then start the nodes with their values."""
    settings = {setting.name: setting for kind in (PlaybackSettings, TrackerSettings) for setting in declared(kind)}
    return LaunchDescription(
        [
            *(
                DeclareLaunchArgument(argument, default_value=topic, description=f'Topic to read for {topic}.')
                for argument, topic in REMAPPINGS.items()
            ),
            DeclareLaunchArgument(
                'namespace', default_value='', description='Namespace of the nodes and their topics.'
            ),
            DeclareLaunchArgument(
                'params_file',
                description='Parameters of the tracker (YAML).',
                default_value=(PathJoinSubstitution([FindPackageShare(PACKAGE), 'config', 'tracker.yaml'])),
            ),
            DeclareLaunchArgument(
                'log_level',
                default_value='info',
                description='Log level of the nodes.',
                choices=['debug', 'info', 'warn', 'error', 'fatal'],
            ),
            *(
                DeclareLaunchArgument(setting.name, default_value='', description=_description(setting))
                for setting in settings.values()
            ),
            OpaqueFunction(function=_nodes),
        ]
    )


def _description(setting: Field) -> str:
    choices = setting.metadata['choices']
    return setting.metadata['description'] + (f' One of {", ".join(map(str, choices))}.' if choices else '')


def _nodes(context: LaunchContext) -> list[Node]:
    params_file = LaunchConfiguration('params_file').perform(context)
    if not Path(params_file).is_file():
        raise FileNotFoundError(f'launch argument params_file: {params_file}: no such file')
    common = {
        'package': PACKAGE,
        'namespace': LaunchConfiguration('namespace'),
        'output': 'screen',
        'remappings': [(topic, LaunchConfiguration(argument)) for argument, topic in REMAPPINGS.items()],
        'ros_arguments': ['--log-level', LaunchConfiguration('log_level')],
    }
    tracker = {
        'executable': 'tracker',
        'name': 'hand_tracker',
        'parameters': [params_file, _given(context, TrackerSettings)],
    }
    playback = _given(context, PlaybackSettings)
    if 'input' not in playback:
        return [Node(**tracker, **common)]
    # Neither is of use without the other.
    return [
        Node(**tracker, on_exit=Shutdown(reason='the tracker ended'), **common),
        Node(
            executable='playback',
            name='playback',
            parameters=[playback],
            on_exit=Shutdown(reason='the recording ended'),
            **common,
        ),
    ]


def _given(context: LaunchContext, kind: type) -> dict:
    """Return the settings of ``kind`` whose arguments are not empty; a node refuses what does not fit its type."""
    texts = {setting: LaunchConfiguration(setting.name).perform(context) for setting in declared(kind)}
    return {
        setting.name: text if isinstance(setting.default, str) else yaml.safe_load(text)
        for setting, text in texts.items()
        if text
    }
