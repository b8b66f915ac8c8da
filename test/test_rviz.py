"""RViz's configuration against the topics and qualities of service that the nodes have."""

import pytest
import yaml
from checkout import ROOT

from hand_pose_ros import topics
from hand_pose_ros.geometry.joints import SIDES
from hand_pose_ros.io.frame import FRAME_ID

CONFIGURATION = ROOT / 'config' / 'hand_pose.rviz'


@pytest.fixture(scope='module')
def manager():
    return yaml.safe_load(CONFIGURATION.read_text())['Visualization Manager']


def shown(manager):
    return {display['Class'].split('/')[1]: display for display in manager['Displays']}


def test_every_output_is_shown_on_its_topic(manager):
    displays = shown(manager)
    assert {name: display['Topic']['Value'] for name, display in displays.items() if 'Topic' in display} == {
        'Image': f'/{topics.OVERLAY}',
        'MarkerArray': f'/{topics.MARKERS}',
        'PointCloud2': f'/{topics.KEYPOINTS}',
    }
    assert 'TF' in displays and all(display['Enabled'] for name, display in displays.items() if name != 'RobotModel')
    assert manager['Global Options']['Fixed Frame'] == FRAME_ID


def test_the_hands_as_robot_descriptions_are_there_for_who_writes_them(manager):
    models = [each for each in manager['Displays'] if each['Class'].endswith('/RobotModel')]
    assert [each['Description Topic']['Value'] for each in models] == [
        f'/hands/{side}/robot_description' for side in SIDES
    ]
    assert not any(each['Enabled'] for each in models), 'without a description it complains'


def test_keypoints_are_colored_by_a_field_that_they_have(manager):
    messages = pytest.importorskip('hand_pose_ros.nodes.messages', reason='ROS 2 is not installed')
    cloud = shown(manager)['PointCloud2']
    assert cloud['Channel Name'] in set(messages.KEYPOINT.names)
    assert (cloud['Min Intensity'], cloud['Max Intensity'], cloud['Autocompute Intensity Bounds']) == (0, 1, False)


def test_displays_accept_what_the_nodes_offer(manager):
    qos = pytest.importorskip('hand_pose_ros.nodes.qos', reason='ROS 2 is not installed')
    offered = qos.OUT
    for display in shown(manager).values():
        if 'Topic' in display:
            asked = display['Topic']
            assert asked['Reliability Policy'] == 'Best Effort' or offered.reliability.name == 'RELIABLE', display[
                'Name'
            ]
            assert asked['Durability Policy'] == 'Volatile' or offered.durability.name == 'TRANSIENT_LOCAL', display[
                'Name'
            ]
