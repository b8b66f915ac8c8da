"""Record the camera's images and the tracker's output as a rosbag2, for ``hand-pose evaluate`` and ``ros2 bag play``.

``ros2 launch hand_pose_ros record.launch.py out:=FOLDER``; Ctrl-C ends it. The overlay is left out: it can be drawn
again from the rest.
"""

from launch import LaunchContext, LaunchDescription
from launch.actions import DeclareLaunchArgument, ExecuteProcess, OpaqueFunction
from launch.substitutions import LaunchConfiguration

from hand_pose_ros import topics
from hand_pose_ros.geometry.joints import SIDES

#: Argument of the launch file -> the camera topic that it renames.
CAMERA = {topic.replace('/', '_'): topic for topic in topics.CAMERA_TOPICS}
_TRANSPORTS = {topics.DEPTH_IMAGE: 'compressedDepth', topics.COLOR_IMAGE: 'compressed'}


def recorded(namespace: str, camera: dict[str, str]) -> list[str]:
    """Full names of the topics that are recorded: cameras (those that there are), hands, TF and diagnostics.

    Args:
        namespace: of the tracker.
        camera: camera topics, by the tracker's names for them.

    """
    hands = [
        topics.KEYPOINTS,
        topics.MARKERS,
        *(topics.joints_topic(side) for side in SIDES),
        *(topics.joint_states_topic(side) for side in SIDES),
        *(topics.gesture_topic(side) for side in SIDES),
        *(topics.palm_topic(side) for side in SIDES),
        *(topics.present_topic(side) for side in SIDES),
        topics.EVENTS,
    ]
    packed = [topics.transported_topic(camera[topic], transport) for topic, transport in _TRANSPORTS.items()]
    names = [*camera.values(), *packed, *hands]
    root = '/' + namespace.strip('/') if namespace.strip('/') else ''
    return [name if name.startswith('/') else f'{root}/{name}' for name in names] + [
        topics.TF,
        '/tf_static',
        topics.DIAGNOSTICS,
    ]


def generate_launch_description() -> LaunchDescription:
    """Declare the arguments, then start the recorder."""
    return LaunchDescription(
        [
            DeclareLaunchArgument('out', description='Folder of the new bag; must not exist.'),
            DeclareLaunchArgument(
                'storage', default_value='mcap', choices=['mcap', 'sqlite3'], description='Storage of the bag.'
            ),
            DeclareLaunchArgument('namespace', default_value='', description='Namespace of the tracker.'),
            *(
                DeclareLaunchArgument(
                    argument,
                    default_value=topic,
                    description=f'Topic that the tracker reads for {topic}; of '
                    'images, their packed form is recorded too.',
                )
                for argument, topic in CAMERA.items()
            ),
            OpaqueFunction(function=_recorder),
        ]
    )


def _recorder(context: LaunchContext) -> list[ExecuteProcess]:
    def given(name: str) -> str:
        return LaunchConfiguration(name).perform(context)

    return [
        ExecuteProcess(
            output='screen',
            cmd=[
                'ros2',
                'bag',
                'record',
                '--output',
                given('out'),
                '--storage',
                given('storage'),
                '--topics',
                *recorded(given('namespace'), {topic: given(argument) for argument, topic in CAMERA.items()}),
            ],
        )
    ]
