"""Room for images in Fast DDS's shared memory."""

import os
from xml.etree import ElementTree

import pytest

from hand_pose_ros import middleware
from hand_pose_ros.resources import resource_path

PROFILE = str(resource_path('config', 'fastdds.xml'))


@pytest.mark.parametrize('before, after', [
    ({}, {'FASTDDS_DEFAULT_PROFILES_FILE': PROFILE}),
    ({'ROS_DISTRO': 'lyrical'}, {'FASTDDS_DEFAULT_PROFILES_FILE': PROFILE}),
    ({'ROS_DISTRO': 'jazzy'}, {'FASTRTPS_DEFAULT_PROFILES_FILE': PROFILE}),
    ({'FASTDDS_DEFAULT_PROFILES_FILE': 'mine.xml'}, {'FASTDDS_DEFAULT_PROFILES_FILE': 'mine.xml'}),
    ({'FASTRTPS_DEFAULT_PROFILES_FILE': 'mine.xml'}, {'FASTRTPS_DEFAULT_PROFILES_FILE': 'mine.xml'}),
    ({'FASTDDS_BUILTIN_TRANSPORTS': 'UDPv4'}, {'FASTDDS_BUILTIN_TRANSPORTS': 'UDPv4'})])
def test_the_profile_is_used_unless_the_user_has_another(monkeypatch, before, after):
    monkeypatch.setattr(os, 'environ', dict(before))
    middleware.make_room_for_images()
    assert {name: value for name, value in os.environ.items() if name.startswith('FAST')} == after


def test_the_profile_holds_several_images_and_keeps_the_network():
    name = '{http://www.eprosima.com}'
    root = ElementTree.parse(PROFILE).getroot()
    descriptors = {d.findtext(f'{name}transport_id'): d for d in root.iter(f'{name}transport_descriptor')}
    used = [e.text for e in root.find(f'{name}participant').iter(f'{name}transport_id')]
    assert sorted(descriptors[each].findtext(f'{name}type') for each in used) == ['SHM', 'UDPv4']
    sizes = [int(element.text) for element in root.iter(f'{name}segment_size')]
    assert len(sizes) == 1 and sizes[0] > 4 * 1280 * 720 * 2
