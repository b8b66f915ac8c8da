"""A palm's motion made a robot's, and a pinch a gripper's."""

import numpy as np
import pytest
from posed_hands import posed

from hand_pose_ros.geometry.rotations import rotation_vector_to_matrix
from hand_pose_ros.robots.description import RobotError
from hand_pose_ros.robots.frames import TransformTree, pose_matrix
from hand_pose_ros.robots.pinch import Pinch, pinch_gap
from hand_pose_ros.robots.teleoperation import MotionLimits, RelativeMotion, rotation_vector


def pose(x=0.0, y=0.0, z=0.0, turn=(0.0, 0.0, 0.0)):
    found = np.eye(4)
    found[:3, :3], found[:3, 3] = rotation_vector_to_matrix(np.array(turn)), (x, y, z)
    return found


def engaged(**limits):
    free = {'dead_zone': 0.0, 'dead_angle': 0.0, 'max_speed': 100.0, 'max_turn': 100.0}
    motion = RelativeMotion(MotionLimits(**{**free, **limits}))
    motion.engage(pose(5, 5, 5, (0, 0, 1)), pose(0.4, 0.0, 0.4, (0, 1, 0)))
    return motion


def test_only_motion_since_engaging_counts():
    motion = engaged(scale=0.5)
    start = pose(5, 5, 5, (0, 0, 1))
    assert np.allclose(motion.step(start, 0.1), pose(0.4, 0.0, 0.4, (0, 1, 0)))
    moved = motion.step(pose(5.2, 5, 4.9, (0, 0, 1)), 0.1)
    assert np.allclose(moved[:3, 3], (0.5, 0.0, 0.35))
    turned = motion.step(pose(5.2, 5, 4.9, (0, 0, 1.3)), 0.1)
    expected = rotation_vector_to_matrix(np.array([0, 0, 0.3])) @ rotation_vector_to_matrix(np.array([0, 1.0, 0]))
    assert np.allclose(turned[:3, :3], expected)
    still = engaged(follow_rotation=False).step(pose(5, 5, 5, (1, 0, 1)), 0.1)
    assert np.allclose(still, pose(0.4, 0.0, 0.4, (0, 1, 0)))


def test_it_stays_in_its_workspace_and_below_its_speeds():
    motion = engaged(low=(0.3, -0.1, 0.3), high=(0.5, 0.1, 0.5), max_speed=0.5, max_turn=1.0)
    far = pose(9, 9, 9, (0, 0, 2.5))
    first = motion.step(far, 0.1)
    assert np.linalg.norm(first[:3, 3] - (0.4, 0, 0.4)) == pytest.approx(0.05)
    turned = rotation_vector(first[:3, :3] @ rotation_vector_to_matrix(np.array([0, 1.0, 0])).T)
    assert np.linalg.norm(turned) == pytest.approx(0.1)
    assert np.allclose(motion.step(far, 0.1, share=0.0), first)
    for _ in range(50):
        last = motion.step(far, 0.1)
    assert np.allclose(last[:3, 3], (0.5, 0.1, 0.5))


def test_a_trembling_palm_moves_nothing():
    motion, rng = engaged(dead_zone=0.01, dead_angle=0.05), np.random.default_rng(0)
    for _ in range(50):
        shift, turn = rng.uniform(-0.005, 0.005, 3), rng.uniform(-0.02, 0.02, 3)
        trembling = pose(5, 5, 5, (0, 0, 1)) @ pose(*shift, turn)
        assert np.allclose(motion.step(trembling, 0.03), pose(0.4, 0.0, 0.4, (0, 1, 0)))
    # Beyond it the tool follows, the dead zone behind.
    assert np.allclose(motion.step(pose(5.1, 5, 5, (0, 0, 1)), 0.03)[:3, 3], (0.49, 0, 0.4))


def test_a_twist_is_the_velocity_of_the_same_motion():
    motion = engaged(max_speed=0.5)
    twist = motion.twist(pose(5.01, 5, 5, (0, 0, 1.02)), 0.1)
    assert np.allclose(twist, (0.1, 0, 0, 0, 0, 0.2))
    assert np.allclose(motion.twist(pose(5.01, 5, 5, (0, 0, 1.02)), 0.1), 0, atol=1e-9)
    assert np.linalg.norm(motion.twist(pose(6, 5, 5, (0, 0, 1.02)), 0.1)[:3]) == pytest.approx(0.5)


def test_rotation_vectors():
    rng = np.random.default_rng(0)
    for vector in [
        *rng.uniform(-1.7, 1.7, (50, 3)),
        np.zeros(3),
        np.array([np.pi, 0, 0]),
        np.array([0.6, 0.8, 0]) * np.pi,
    ]:
        matrix = rotation_vector_to_matrix(vector)
        assert np.allclose(rotation_vector_to_matrix(rotation_vector(matrix)), matrix, atol=1e-7)


def test_a_pinch_has_hysteresis():
    pinch = Pinch(0.25, 0.4)
    gaps = (0.5, 0.3, 0.24, 0.3, 0.39, float('nan'), 0.41, 0.3, 0.2)
    assert [pinch.update(gap) for gap in gaps] == [False, False, True, False, False, False, True, False, True]
    assert pinch.closed
    assert pinch_gap(posed()) == pytest.approx(pinch_gap(posed(size=0.6))) and pinch_gap(posed()) > 0.8


def test_transforms_are_joined():
    tree = TransformTree()
    tree.put('map', 'base', pose(1, 0, 0))
    tree.put('map', 'rail', pose(0, 2, 0, (0, 0, np.pi / 2)), received=10.0)
    tree.put('rail', '/camera', pose(0, 0, 3))
    found = tree.lookup('base', 'camera')
    assert np.allclose(found, pose(-1, 2, 3, (0, 0, np.pi / 2)))
    assert np.allclose(tree.lookup('camera', 'base'), np.linalg.inv(found))
    assert np.allclose(tree.lookup('base', 'base'), np.eye(4))
    assert np.allclose(tree.lookup('rail', 'camera', oldest=11.0), pose(0, 0, 3))  # a static one
    with pytest.raises(RobotError, match='no new transform of rail'):
        tree.lookup('base', 'camera', oldest=11.0)
    with pytest.raises(RobotError, match='TF does not join moon with base'):
        tree.lookup('base', 'moon')
    tree.put('camera', 'map', np.eye(4))  # a ring
    tree.lookup('base', 'camera')


@pytest.mark.parametrize('bad', [((float('nan'), 0, 0), (0, 0, 0, 1)), ((0, 0, 0), (0, 0, 0, 0))])
def test_poses_that_are_none(bad):
    with pytest.raises(RobotError, match='not finite'):
        pose_matrix(*bad)
