"""The launch files, run for real, with a tracker that returns known hands; where ``launch`` is not installed, see
``test_launch_files.py`` and docs/develop/testing.md.
"""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip('rclpy', reason='ROS 2 is not installed')
for name in ('launch', 'launch_ros'):
    # The name must be looked at too: PyPI has a package `launch` that is something else.
    pytest.importorskip(
        f'{name}.substitutions', reason=f'{name} is not installed; it comes with a ROS distribution, not with pip'
    )

from checkout import ROOT, SUPPORT  # noqa: E402
from geometry_msgs.msg import PoseArray  # noqa: E402
from rcl_interfaces.srv import GetParameters  # noqa: E402
from ros_graph import DOMAIN, Graph  # noqa: E402

from hand_pose_ros.geometry.camera import Camera  # noqa: E402
from hand_pose_ros.io.recording import write_bag  # noqa: E402

pytestmark = pytest.mark.ros

LAUNCH_FILE, VIEW_FILE, RECORD_FILE = (ROOT / 'launch' / f'{name}.launch.py' for name in ('tracker', 'view', 'record'))

LAUNCH = """
import sys
from launch import LaunchDescription, LaunchService
from launch.actions import IncludeLaunchDescription
from launch.launch_description_sources import PythonLaunchDescriptionSource
arguments = [tuple(argument.split(':=')) for argument in sys.argv[2:]]
service = LaunchService()
service.include_launch_description(LaunchDescription([
    IncludeLaunchDescription(PythonLaunchDescriptionSource(sys.argv[1]), launch_arguments=arguments)]))
sys.exit(service.run())
"""

#: Stands in for a program: writes down how it was called.
PROGRAM = """#!{python}
import json, sys
open({log!r}, 'w').write(json.dumps(sys.argv[1:]))
"""

NODE = """#!{python}
import sys
from hand_pose_ros.tracking import model_choice
from known_hands import KnownTracker
model_choice.make_live_tracker = lambda settings: (KnownTracker(settings), model_choice.ModelChoice.of(settings))
from hand_pose_ros.nodes.{module} import main
sys.exit(main())
"""


@pytest.fixture
def bag(tmp_path):
    frames = [(1000 + 0.05 * i, np.full((48, 64), 500, np.uint16)) for i in range(5)]
    write_bag(tmp_path / 'bag', frames, Camera(64, 48, 60.0, 60.0, 31.5, 23.5))
    return tmp_path / 'bag'


@pytest.fixture
def launch(tmp_path):
    """Start the launch file from an installation of the package as colcon makes it."""
    prefix = tmp_path / 'install'
    share, programs = prefix / 'share', prefix / 'lib' / 'hand_pose_ros'
    for folder in (programs, share / 'ament_index' / 'resource_index' / 'packages', share / 'hand_pose_ros'):
        folder.mkdir(parents=True)
    (share / 'ament_index' / 'resource_index' / 'packages' / 'hand_pose_ros').touch()
    for folder in ('config', 'launch'):
        (share / 'hand_pose_ros' / folder).symlink_to(ROOT / folder)
    (share / 'ament_index' / 'resource_index' / 'packages' / 'rviz2').touch()
    for program in (prefix / 'lib' / 'rviz2' / 'rviz2', prefix / 'bin' / 'ros2'):
        program.parent.mkdir(parents=True)
        program.write_text(PROGRAM.format(python=sys.executable, log=str(tmp_path / f'{program.name}.json')))
        program.chmod(0o755)
    for module in ('tracker', 'playback'):
        (programs / module).write_text(NODE.format(python=sys.executable, module=module))
        (programs / module).chmod(0o755)
    environment = {
        **os.environ,
        'PATH': f'{prefix / "bin"}:{os.environ["PATH"]}',
        'ROS_DOMAIN_ID': str(DOMAIN),
        'ROS_LOG_DIR': str(tmp_path / 'log'),
        'AMENT_PREFIX_PATH': os.pathsep.join([str(prefix), os.environ.get('AMENT_PREFIX_PATH', '')]),
        'PYTHONPATH': os.pathsep.join([str(SUPPORT), str(ROOT), os.environ.get('PYTHONPATH', '')]),
    }
    started = []

    def start(*arguments, file=LAUNCH_FILE):
        process = subprocess.Popen(
            [sys.executable, '-c', LAUNCH, str(file), *arguments],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.stdout.close()


@pytest.fixture
def listener():
    import rclpy

    graph = Graph(lambda context: rclpy.create_node('idle', context=context))
    yield graph
    graph.close()


def test_a_recording_is_tracked_with_the_settings_given(launch, listener, bag, tmp_path):
    params = tmp_path / 'mine.yaml'
    params.write_text('/**/hand_tracker:\n  ros__parameters:\n    near: 0.25\n    max_hands: 2\n    mesh: true\n')
    process = launch(
        f'input:={bag}',
        'loop:=true',
        'rate:=30',
        'namespace:=robot',
        'depth_image:=camera/depth',
        f'params_file:={params}',
        'max_hands:=1',
        'mesh:=false',
        'far:=2',
    )
    joints = listener.listen(PoseArray, '/robot/hands/right/joints')
    listener.wait(lambda: len(joints) > 3, 'for hands', timeout=90)
    assert listener.status('2 hands in view', timeout=90).hardware_id == '/robot/camera/depth'
    values = listener.call(
        GetParameters, '/robot/hand_tracker/get_parameters', names=['near', 'far', 'max_hands', 'mesh', 'engine']
    ).values
    assert (values[0].double_value, values[1].integer_value, values[2].integer_value) == (0.25, 2, 1)
    assert (values[3].bool_value, values[4].string_value) == (False, 'auto')
    process.send_signal(signal.SIGINT)
    assert process.wait(90) == 0, process.stdout.read()


def test_the_launch_ends_with_the_recording(launch, bag):
    process = launch(f'input:={bag}', 'rate:=50')
    text, _ = process.communicate(timeout=90)
    assert process.returncode == 0 and f'{bag}: finished' in text, text


def test_the_launch_ends_with_a_tracker_that_cannot_start(launch, bag):
    text, _ = launch(f'input:={bag}', 'near:=11.5').communicate(timeout=90)
    assert 'parameter near: ' in text and '11.5' in text and 'shutting down launched system' in text, text


def test_a_params_file_that_is_not_there_is_an_error(launch, tmp_path):
    process = launch(f'params_file:={tmp_path / "none.yaml"}')
    text, _ = process.communicate(timeout=90)
    assert process.returncode != 0 and f'params_file: {tmp_path / "none.yaml"}: no such file' in text, text


def test_rviz_is_started_with_our_configuration_and_names(launch, tmp_path):
    text, _ = launch('namespace:=robot', 'fixed_frame:=map', file=VIEW_FILE).communicate(timeout=90)
    assert (tmp_path / 'rviz2.json').is_file(), text
    arguments = json.loads((tmp_path / 'rviz2.json').read_text())
    assert Path(arguments[arguments.index('--display-config') + 1]).name == 'hand_pose.rviz'
    assert arguments[arguments.index('--fixed-frame') + 1] == 'map'
    assert '__ns:=/robot' in arguments
    for topic in ('hands/overlay', 'hands/markers', 'hands/keypoints'):
        assert f'/{topic}:={topic}' in arguments


def test_the_tracker_comes_along_when_asked_for(launch, listener, bag):
    process = launch('tracker:=true', f'input:={bag}', 'loop:=true', 'rate:=30', 'max_hands:=1', file=VIEW_FILE)
    joints = listener.listen(PoseArray, '/hands/right/joints')
    listener.wait(lambda: len(joints) > 3, 'for hands', timeout=90)
    values = listener.call(GetParameters, '/hand_tracker/get_parameters', names=['max_hands']).values
    assert values[0].integer_value == 1
    process.send_signal(signal.SIGINT)
    assert process.wait(90) == 0, process.stdout.read()


def test_everything_is_recorded(launch, tmp_path):
    text, _ = launch(
        f'out:={tmp_path / "new"}', 'namespace:=robot', 'depth_image:=/cam/depth', 'storage:=sqlite3', file=RECORD_FILE
    ).communicate(timeout=90)
    assert (tmp_path / 'ros2.json').is_file(), text
    arguments = json.loads((tmp_path / 'ros2.json').read_text())
    assert arguments[:6] == ['bag', 'record', '--output', str(tmp_path / 'new'), '--storage', 'sqlite3']
    assert set(arguments[7:]) == {
        '/cam/depth',
        '/cam/depth/compressedDepth',
        '/robot/depth/camera_info',
        '/robot/color/image',
        '/robot/color/image/compressed',
        '/robot/color/camera_info',
        '/robot/hands/keypoints',
        '/robot/hands/markers',
        '/robot/hands/left/joints',
        '/robot/hands/right/joints',
        '/robot/hands/left/joint_states',
        '/robot/hands/right/joint_states',
        '/robot/hands/left/gesture',
        '/robot/hands/right/gesture',
        '/robot/hands/left/palm',
        '/robot/hands/right/palm',
        '/robot/hands/left/present',
        '/robot/hands/right/present',
        '/robot/hands/events',
        '/tf',
        '/tf_static',
        '/diagnostics',
    }
