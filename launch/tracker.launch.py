"""Launch the tracker, and a recording as its camera where ``input`` is given.

Every parameter of the two nodes is an argument, made from their one declaration; those left empty keep what
``params_file`` says. ``ros2 launch hand_pose_ros tracker.launch.py --show-args`` lists them.
"""

from launch import LaunchContext, LaunchDescription
from launch.actions import DeclareLaunchArgument, OpaqueFunction, Shutdown
from launch.substitutions import LaunchConfiguration, PathJoinSubstitution
from launch_ros.actions import Node
from launch_ros.substitutions import FindPackageShare

from hand_pose_ros import topics
from hand_pose_ros.nodes.launching import PACKAGE, given_settings, setting_arguments, usual_arguments, usual_options
from hand_pose_ros.settings import PlaybackSettings, TrackerSettings, declared

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
            *usual_arguments(
                'hand_tracker', PathJoinSubstitution([FindPackageShare(PACKAGE), 'config', 'tracker.yaml'])
            ),
            *setting_arguments(settings.values()),
            OpaqueFunction(function=_nodes),
        ]
    )


def _nodes(context: LaunchContext) -> list[Node]:
    common = {
        **usual_options(context, TrackerSettings),
        'remappings': [(topic, LaunchConfiguration(argument)) for argument, topic in REMAPPINGS.items()],
    }
    tracker = {'executable': 'tracker', 'name': 'hand_tracker', **common}
    playback = given_settings(context, PlaybackSettings)
    if 'input' not in playback:
        return [Node(**tracker)]
    # Neither is of use without the other.
    return [
        Node(**tracker, on_exit=Shutdown(reason='the tracker ended')),
        Node(
            **{**common, 'executable': 'playback', 'name': 'playback', 'parameters': [playback]},
            on_exit=Shutdown(reason='the recording ended'),
        ),
    ]
