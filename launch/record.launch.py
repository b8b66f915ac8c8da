"""Record the camera's images and the tracker's output as a rosbag2, for ``hand-pose evaluate`` and ``ros2 bag play``.

``ros2 launch hand_pose_ros record.launch.py out:=FOLDER``; Ctrl-C ends it. The overlay is left out: it can be drawn
again from the rest.
"""

from launch import LaunchContext, LaunchDescription
from launch.actions import DeclareLaunchArgument, ExecuteProcess, OpaqueFunction
from launch.substitutions import LaunchConfiguration

from hand_pose_ros import topics
from hand_pose_ros.geometry.joints import SIDES


def recorded(namespace: str, depth_image: str, depth_camera_info: str) -> list[str]:
    """Full names of the topics that are recorded: camera, hands, TF and diagnostics."""
    hands = [topics.KEYPOINTS, topics.MARKERS, *(topics.joints_topic(side) for side in SIDES),
             *(topics.joint_states_topic(side) for side in SIDES)]
    names = [depth_image, topics.transported_topic(depth_image, 'compressedDepth'), depth_camera_info, *hands]
    root = '/' + namespace.strip('/') if namespace.strip('/') else ''
    return [name if name.startswith('/') else f'{root}/{name}' for name in names] + [
        topics.TF, '/tf_static', topics.DIAGNOSTICS]


def generate_launch_description() -> LaunchDescription:
    """Declare the arguments, then start the recorder."""
    return LaunchDescription([
        DeclareLaunchArgument('out', description='Folder of the new bag; must not exist.'),
        DeclareLaunchArgument('storage', default_value='mcap', choices=['mcap', 'sqlite3'],
                              description='Storage of the bag.'),
        DeclareLaunchArgument('namespace', default_value='', description='Namespace of the tracker.'),
        DeclareLaunchArgument('depth_image', default_value=topics.DEPTH_IMAGE,
                              description='Topic of the depth images; its compressed form is recorded too.'),
        DeclareLaunchArgument('depth_camera_info', default_value=topics.DEPTH_CAMERA_INFO,
                              description='Topic of the CameraInfo of the depth images.'),
        OpaqueFunction(function=_recorder),
    ])


def _recorder(context: LaunchContext) -> list[ExecuteProcess]:
    def given(name: str) -> str:
        return LaunchConfiguration(name).perform(context)

    return [ExecuteProcess(output='screen', cmd=[
        'ros2', 'bag', 'record', '--output', given('out'), '--storage', given('storage'), '--topics',
        *recorded(given('namespace'), given('depth_image'), given('depth_camera_info'))])]
