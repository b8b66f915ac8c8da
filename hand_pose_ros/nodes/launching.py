"""What the launch files share: arguments made of a node's settings, and what was given for them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import Field
from pathlib import Path
from typing import Any

import yaml
from launch import LaunchContext, LaunchDescription
from launch.actions import DeclareLaunchArgument, OpaqueFunction
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node

from hand_pose_ros.settings import declared

PACKAGE = 'hand_pose_ros'


def usual_arguments(node: str, params_file: Any = '') -> list[DeclareLaunchArgument]:
    """Arguments of every launch file that starts a node.

    Args:
        node: its name.
        params_file: the file of its parameters where none is given, as text or substitution.

    """
    return [
        DeclareLaunchArgument('namespace', default_value='', description='Namespace of the nodes and their topics.'),
        DeclareLaunchArgument('params_file', default_value=params_file, description=f'Parameters of {node} (YAML).'),
        DeclareLaunchArgument(
            'log_level',
            default_value='info',
            description='Log level of the nodes.',
            choices=['debug', 'info', 'warn', 'error', 'fatal'],
        ),
    ]


def setting_arguments(settings: Iterable[Field]) -> list[DeclareLaunchArgument]:
    """An argument for each setting; one that is left empty keeps what the file of parameters says, or the default."""
    return [
        DeclareLaunchArgument(setting.name, default_value='', description=_description(setting)) for setting in settings
    ]


def _description(setting: Field) -> str:
    choices = setting.metadata['choices']
    return setting.metadata['description'] + (f' One of {", ".join(map(str, choices))}.' if choices else '')


def usual_options(context: LaunchContext, kind: type) -> dict[str, Any]:
    """What every node takes: its package, namespace, log level, and parameters by their file and arguments.

    Args:
        context: of the launch.
        kind: settings that the node declares.

    Raises:
        FileNotFoundError: there is no such file of parameters.

    """
    params_file = LaunchConfiguration('params_file').perform(context)
    if params_file and not Path(params_file).is_file():
        raise FileNotFoundError(f'launch argument params_file: {params_file}: no such file')
    return {
        'package': PACKAGE,
        'namespace': LaunchConfiguration('namespace'),
        'output': 'screen',
        'parameters': [*([params_file] if params_file else []), given_settings(context, kind)],
        'ros_arguments': ['--log-level', LaunchConfiguration('log_level')],
    }


def given_settings(context: LaunchContext, kind: type) -> dict[str, Any]:
    """The settings of ``kind`` whose arguments are not empty; a node refuses what does not fit its type."""
    texts = {setting: LaunchConfiguration(setting.name).perform(context) for setting in declared(kind)}
    return {
        setting.name: text if isinstance(setting.default, str) else yaml.safe_load(text)
        for setting, text in texts.items()
        if text
    }


def describe_launch(executable: str, kind: type) -> LaunchDescription:
    """Declare the arguments of one node, ``hand_<executable>``, which is started with what is given for them.

    Args:
        executable: of the node.
        kind: settings that it declares.

    """
    name = f'hand_{executable}'

    def nodes(context: LaunchContext) -> list[Node]:
        return [Node(executable=executable, name=name, **usual_options(context, kind))]

    return LaunchDescription(
        [*usual_arguments(name), *setting_arguments(declared(kind)), OpaqueFunction(function=nodes)]
    )
