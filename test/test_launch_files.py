"""Each launch file, run on stand-ins for ROS's ``launch``: its arguments, and what it starts with them.

``test_launch.py`` runs them for real, where ``launch`` is installed.
"""

import pytest
from checkout import ROOT
from launch_stand_ins import launched

from hand_pose_ros import topics
from hand_pose_ros.robots.settings import RetargetSettings, TeleopSettings
from hand_pose_ros.settings import PlaybackSettings, TrackerSettings, compose, declared

TRACKER, VIEW, RECORD, RETARGET, TELEOP = (
    ROOT / 'launch' / f'{name}.launch.py' for name in ('tracker', 'view', 'record', 'retarget', 'teleop')
)


def test_there_is_no_other_launch_file():
    assert sorted((ROOT / 'launch').iterdir()) == sorted([TRACKER, VIEW, RECORD, RETARGET, TELEOP])


@pytest.mark.parametrize(
    'file, needed', [(TRACKER, {}), (VIEW, {}), (RECORD, {'out': 'new'}), (RETARGET, {}), (TELEOP, {})]
)
def test_every_argument_says_what_it_is(monkeypatch, file, needed):
    arguments = launched(monkeypatch, file, needed).arguments
    assert arguments and all(len(argument.given['description']) > 10 for argument in arguments.values())


def test_every_parameter_and_topic_is_an_argument(monkeypatch):
    settings = {setting.name for kind in (TrackerSettings, PlaybackSettings) for setting in declared(kind)}
    cameras = {'depth_image', 'depth_camera_info', 'color_image', 'color_camera_info'}
    assert set(launched(monkeypatch, TRACKER).arguments) == settings | cameras | {
        'namespace',
        'params_file',
        'log_level',
    }


def test_the_tracker_alone_gets_what_was_given(monkeypatch):
    given = {'near': '0.25', 'mesh': 'false', 'model': '3', 'depth_image': '/cam/depth', 'namespace': 'robot'}
    (node,) = launched(monkeypatch, TRACKER, given).actions
    assert (node.given['executable'], node.given['name'], node.given['namespace']) == (
        'tracker',
        'hand_tracker',
        'robot',
    )
    params_file, parameters = node.given['parameters']
    assert params_file == str(ROOT / 'config' / 'tracker.yaml')
    assert parameters == {'near': 0.25, 'mesh': False, 'model': '3'}, 'the type is that of the parameter'
    assert compose(TrackerSettings, parameters)
    assert (topics.DEPTH_IMAGE, '/cam/depth') in node.given['remappings']
    assert 'on_exit' not in node.given


def test_a_recording_is_played_beside_the_tracker(monkeypatch):
    tracker, playback = launched(monkeypatch, TRACKER, {'input': 'bag', 'loop': 'true', 'rate': '30'}).actions
    assert (tracker.given['executable'], playback.given['executable']) == ('tracker', 'playback')
    assert playback.given['parameters'] == [{'input': 'bag', 'loop': True, 'rate': 30}]
    assert PlaybackSettings(**playback.given['parameters'][0])
    assert tracker.given['on_exit'].kind == playback.given['on_exit'].kind == 'shutdown'


def test_a_params_file_that_is_not_there_is_an_error(monkeypatch):
    with pytest.raises(FileNotFoundError, match=r'params_file: none\.yaml: no such file'):
        launched(monkeypatch, TRACKER, {'params_file': 'none.yaml'})


def test_rviz_is_started_with_our_configuration_and_names(monkeypatch):
    (rviz,) = launched(monkeypatch, VIEW, {'namespace': 'robot', 'fixed_frame': 'map'}).actions
    assert rviz.given['arguments'] == [
        '--display-config',
        str(ROOT / 'config' / 'hand_pose.rviz'),
        '--fixed-frame',
        'map',
    ]
    assert {f'/{name}': name for name in (topics.OVERLAY, topics.MARKERS, topics.KEYPOINTS)} == dict(
        rviz.given['remappings']
    )


def test_the_tracker_comes_along_when_asked_for(monkeypatch):
    include, rviz = launched(monkeypatch, VIEW, {'tracker': 'true'}).actions
    assert include.given['source'] == str(TRACKER) and rviz.given['executable'] == 'rviz2'


def test_everything_is_recorded(monkeypatch):
    given = {'out': 'new', 'namespace': 'robot', 'depth_image': '/cam/depth', 'storage': 'sqlite3'}
    (process,) = launched(monkeypatch, RECORD, given).actions
    command = process.given['cmd']
    assert command[:8] == ['ros2', 'bag', 'record', '--output', 'new', '--storage', 'sqlite3', '--topics']
    assert len(command[8:]) == len(set(command[8:]))
    assert set(command[8:]) >= {
        '/cam/depth',
        '/cam/depth/compressedDepth',
        '/robot/depth/camera_info',
        '/robot/color/image',
        '/robot/color/image/compressed',
        '/robot/color/camera_info',
        '/robot/hands/keypoints',
        '/robot/hands/right/joint_states',
        '/tf',
        '/tf_static',
        '/diagnostics',
    }


@pytest.mark.parametrize(
    'file, kind, given, values',
    [
        (RETARGET, RetargetSettings, {'config': 'dexpilot', 'ramp': '1'}, {'config': 'dexpilot', 'ramp': 1}),
        (TELEOP, TeleopSettings, {'tool_frame': 'hand', 'scale': '0.5'}, {'tool_frame': 'hand', 'scale': 0.5}),
    ],
    ids=['retarget', 'teleop'],
)
def test_robots_get_what_was_given(monkeypatch, tmp_path, file, kind, given, values):
    others = {'namespace', 'params_file', 'log_level'}
    found = launched(monkeypatch, file, {**given, 'namespace': 'robot'})
    assert set(found.arguments) == {setting.name for setting in declared(kind)} | others
    (node,) = found.actions
    name = file.name.partition('.')[0]
    assert (node.given['executable'], node.given['name'], node.given['namespace']) == (name, f'hand_{name}', 'robot')
    assert node.given['parameters'] == [values] and compose(kind, values)
    params = tmp_path / 'mine.yaml'
    with pytest.raises(FileNotFoundError, match=r'params_file: .*mine\.yaml: no such file'):
        launched(monkeypatch, file, {'params_file': str(params)})
    params.touch()
    (node,) = launched(monkeypatch, file, {'params_file': str(params)}).actions
    assert node.given['parameters'] == [str(params), {}]
