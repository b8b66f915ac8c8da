"""Robot descriptions: what is read of them, where links are, and what is refused."""

from pathlib import Path

import numpy as np
import pytest

from hand_pose_ros.geometry.rotations import random_rotations
from hand_pose_ros.resources import resource_path
from hand_pose_ros.robots.description import (
    LIMITS,
    RobotError,
    matrix_to_rpy,
    parse_description,
    read_description,
    rpy_to_matrix,
)

URDF = resource_path('demo', 'robot_hand', 'robot_hand.urdf')


def test_our_robot_hand_is_one():
    robot = parse_description(URDF.read_text())
    movable = [joint for joint in robot.joints.values() if joint.kind == 'revolute']
    assert (len(movable), len(robot.actuated)) == (16, 12)
    assert [joint.mimics for joint in movable if joint.mimics] == [
        f'{f}_pip' for f in ('index', 'middle', 'ring', 'pinky')
    ]
    assert robot.root == 'robot_hand_base' and all(joint.velocity == 6 for joint in movable)


def test_links_are_where_another_reader_has_them():
    yourdfpy = pytest.importorskip('yourdfpy', reason='yourdfpy is not installed')
    ours, theirs = parse_description(URDF.read_text()), yourdfpy.URDF.load(str(URDF))
    rng = np.random.default_rng(0)
    for _ in range(5):
        positions = {joint.name: rng.uniform(joint.lower, joint.upper) for joint in ours.actuated.values()}
        theirs.update_cfg(positions)
        for link, pose in ours.link_poses(positions).items():
            assert np.allclose(pose, theirs.get_transform(link), atol=1e-9)


def test_rpy_there_and_back():
    for matrix in [*random_rotations(np.random.default_rng(1), 50), rpy_to_matrix(np.array([0.3, np.pi / 2, 0.0]))]:
        assert np.allclose(rpy_to_matrix(matrix_to_rpy(matrix)), matrix, atol=1e-7)


def joint(name='a', kind='revolute', parent='base', child='tip', inside=''):
    return f'<joint name="{name}" type="{kind}"><parent link="{parent}"/><child link="{child}"/>{inside}</joint>'


LINKS = '<link name="base"/><link name="tip"/>'


def test_a_slider_and_a_wheel():
    text = LINKS + '<link name="end"/>' + joint(kind='prismatic', inside='<axis xyz="0 0 2"/><limit upper="1"/>')
    robot = parse_description(f'<robot>{text}{joint("b", "continuous", "tip", "end")}</robot>')
    poses = robot.link_poses({'a': 0.5, 'b': np.pi})
    assert np.allclose(poses['end'][:3, 3], (0, 0, 0.5)) and np.allclose(poses['end'][1, 1], -1)
    assert robot.joints['b'].upper == np.inf and robot.joints['a'].velocity == np.inf


@pytest.mark.parametrize(
    'text, problem',
    [
        ('{}', 'robot.urdf: not a robot description'),
        ('<sdf/>', 'its root element is <sdf>'),
        ('<robot/>', 'its links hang on no link'),
        (f'<robot>{LINKS}</robot>', 'its links hang on base, tip'),
        (f'<robot>{LINKS}{joint(kind="ball")}</robot>', "type 'ball' is not one of"),
        (f'<robot>{LINKS}{joint(inside="<axis xyz=*0 1*/>".replace("*", chr(34)))}</robot>', 'xyz of <axis> is not 3'),
        (f'<robot>{LINKS}{joint(inside="<mimic joint=*b*/>".replace("*", chr(34)))}</robot>', 'follows a joint b that'),
        (f'<robot>{LINKS}{joint(parent="far")}</robot>', 'joint a hangs on a link far'),
        (f'<robot>{LINKS}<joint name="a" type="fixed"/></robot>', 'a joint cannot be read'),
        (f'<robot>{LINKS}{joint()}{joint()}</robot>', 'more than one joint is a'),
    ],
)
def test_what_is_no_description(text, problem):
    with pytest.raises(RobotError) as error:
        parse_description(text, 'robot.urdf')
    assert problem in str(error.value) and 'robot.urdf' in str(error.value)


@pytest.mark.parametrize(('target', 'words'), [('/dev/zero', 'a pipe or a device'), ('large', 'more than 30 MB')])
def test_a_file_is_read_up_to_its_limit(tmp_path, target, words):
    with (tmp_path / 'large').open('wb') as stream:
        stream.truncate(LIMITS.bytes + 1)
    (tmp_path / 'a.urdf').symlink_to(Path(tmp_path, target))
    with pytest.raises(RobotError, match=rf'a\.urdf: it .*{words}'):
        read_description(tmp_path / 'a.urdf')
