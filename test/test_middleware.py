"""Room for images in Fast DDS's shared memory."""

import os
import platform
import subprocess
import sys
from xml.etree import ElementTree

import pytest

from hand_pose_ros import middleware
from hand_pose_ros.resources import resource_path

PROFILE = str(resource_path('config', 'fastdds.xml'))


@pytest.mark.parametrize(
    'before, after',
    [
        ({}, {'FASTDDS_DEFAULT_PROFILES_FILE': PROFILE}),
        ({'ROS_DISTRO': 'lyrical'}, {'FASTDDS_DEFAULT_PROFILES_FILE': PROFILE}),
        ({'ROS_DISTRO': 'jazzy'}, {'FASTRTPS_DEFAULT_PROFILES_FILE': PROFILE}),
        ({'FASTDDS_DEFAULT_PROFILES_FILE': 'mine.xml'}, {'FASTDDS_DEFAULT_PROFILES_FILE': 'mine.xml'}),
        ({'FASTRTPS_DEFAULT_PROFILES_FILE': 'mine.xml'}, {'FASTRTPS_DEFAULT_PROFILES_FILE': 'mine.xml'}),
        ({'FASTDDS_BUILTIN_TRANSPORTS': 'UDPv4'}, {'FASTDDS_BUILTIN_TRANSPORTS': 'UDPv4'}),
    ],
)
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


def test_memory_of_an_images_size_is_used_again():
    """No page faults when blocks of a 1280x720 image come and go; without it every one of their 450 pages has one."""
    program = """
import resource, sys
from hand_pose_ros.middleware import check_middleware, make_room_for_images
import numpy as np
make_room_for_images()
def pages():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(20):
        np.ones(1280 * 720, np.uint16)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
pages()
print(pages())
"""
    if platform.libc_ver()[0] != 'glibc':
        pytest.skip('only glibc is told how to keep memory')
    run = subprocess.run(
        [sys.executable, '-c', program], capture_output=True, text=True, check=True, cwd=resource_path('config').parent
    )
    assert int(run.stdout) < 450, 'faults of less than one image in twenty'


def test_a_middleware_that_is_not_here_is_named(monkeypatch, tmp_path):
    monkeypatch.setenv('RMW_IMPLEMENTATION', 'rmw_nowhere_cpp')
    with pytest.raises(ValueError, match='RMW_IMPLEMENTATION names rmw_nowhere_cpp'):
        middleware.check_middleware()
    (tmp_path / 'lib').mkdir()
    (tmp_path / 'lib' / 'librmw_nowhere_cpp.so').touch()
    monkeypatch.setenv('AMENT_PREFIX_PATH', f'/opt/nothing:{tmp_path}')
    middleware.check_middleware()
    monkeypatch.delenv('RMW_IMPLEMENTATION')
    middleware.check_middleware()
