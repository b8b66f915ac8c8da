"""The node that moves a robot hand, through topics, with hands and a robot that are none."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip('rclpy', reason='ROS 2 is not installed')

import fake_hands
from fake_hands import PERIOD, FakeHands
from posed_hands import FIST, OPEN
from rclpy.parameter import Parameter
from rclpy.qos import DurabilityPolicy, QoSProfile
from ros_graph import DOMAIN, Graph, making
from sensor_msgs.msg import JointState
from std_msgs.msg import Bool, Float64MultiArray, String
from trajectory_msgs.msg import JointTrajectory

from hand_pose_ros.nodes.retarget import RetargetNode
from hand_pose_ros.resources import resource_path
from hand_pose_ros.robots.description import RobotError, parse_description
from hand_pose_ros.robots.safety import Phase

URDF = resource_path('demo', 'robot_hand', 'robot_hand.urdf')
JOINTS = parse_description(URDF.read_text()).actuated
TRAJECTORY = 'hand_controller/joint_trajectory'
LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)


class Robot:
    """The node, with hands to follow and a robot's joint_states; ``commands`` grows."""

    def __init__(self, kind=JointTrajectory, topic=TRAJECTORY, hands=True, **parameters):
        values = {'engage_hold': 0.2, 'ramp': 0.0, **parameters}
        overrides = [Parameter(name, value=value) for name, value in values.items()]
        self.graph = Graph(RetargetNode, parameter_overrides=overrides)
        try:
            client = self.graph.client
            self.commands = self.graph.listen(kind, topic)
            self.states = self.graph.listen(String, 'hand_retarget/state', LATCHED)
            self.engage = client.create_publisher(Bool, 'teleop/engage', 10)
            self.stop = client.create_publisher(Bool, 'teleop/stop', 10)
            self.robot = client.create_publisher(JointState, 'joint_states', 1)
            self.present = dict.fromkeys(JOINTS, 0.3)
            self.hands = FakeHands(client) if hands else None
            mine = [self.engage, self.stop, self.robot]
            if hands:
                mine += [self.hands.states if parameters.get('config', 'angles') == 'angles' else self.hands.joints]
            self.graph.wait(lambda: all(each.get_subscription_count() for each in mine), 'for the node')
            self.graph.wait(lambda: self.graph.heard(topic), 'for its commands')
        except BaseException:
            self.graph.close()
            raise

    def close(self):
        self.graph.close()

    @property
    def phase(self):
        return self.graph.node.policy.phase

    def frames(self, seconds, robot=True, **how):
        """Let hands come for a while."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if robot:
                self.tell_where_it_is()
            if self.hands:
                self.hands.send(**how)
            self.graph.spin(PERIOD)

    def tell_where_it_is(self):
        self.robot.publish(JointState(name=list(self.present), position=list(self.present.values())))

    def hold_clutch(self, seconds=0.5, **how):
        self.engage.publish(Bool(data=False))
        self.engage.publish(Bool(data=True))
        self.frames(seconds, **how)

    def follow_until(self, condition=lambda: True, seconds=30, **how):
        """Let hands come until it follows and a condition holds; where a busy machine let it disengage, once more."""
        end = time.monotonic() + seconds
        self.hold_clutch(0.0)
        while not (self.phase is Phase.FOLLOWING and condition()):
            assert time.monotonic() < end, 'waited in vain'
            if self.phase is Phase.IDLE:
                self.hold_clutch(0.0)
            self.frames(PERIOD, **how)

    def said(self, text):
        return self.graph.wait(lambda: [state.data for state in self.states if text in state.data], f'for {text!r}')


@pytest.fixture
def make():
    with making(Robot) as make:
        yield make


@pytest.fixture
def robot(make):
    return make()


def test_nothing_before_the_clutch_then_from_where_the_robot_is(robot):
    robot.frames(0.4)
    assert not robot.commands and robot.phase is Phase.IDLE
    robot.hands.pose(FIST)
    last_of = lambda joint: dict(zip(robot.commands[-1].joint_names, robot.commands[-1].points[0].positions))[joint]  # noqa: E731
    robot.follow_until(lambda: robot.commands and last_of('index_mcp') > 1.399 and last_of('thumb_mcp') < 0.001)
    first, *_, last = robot.commands
    assert (first.header.stamp.sec, first.header.stamp.nanosec) == (0, 0) and len(first.points) == 1
    assert list(first.joint_names) == list(JOINTS)
    # No faster than the robot's joints, from where the robot said that it is.
    assert np.abs(np.array(first.points[0].positions) - 0.3).max() < 6 * 0.1 + 1e-6
    reached = dict(zip(last.joint_names, last.points[0].positions))
    assert reached['index_mcp'] == pytest.approx(1.4, abs=1e-3) and reached['thumb_mcp'] == pytest.approx(0.0, abs=1e-3)
    for joint, position in reached.items():
        assert JOINTS[joint].lower <= position <= JOINTS[joint].upper
    assert robot.said('following: engaged')


def test_a_lost_hand_holds_then_disengages_with_the_present_position_once(robot):
    robot.follow_until()
    robot.present['index_mcp'] = 0.77
    robot.graph.spin(0.05)
    lost, count = time.monotonic(), len(robot.commands)
    while time.monotonic() - lost < 0.6:
        robot.tell_where_it_is()
        robot.graph.spin(0.02)
    robot.present['index_mcp'] = 0.3
    assert robot.said('holding: no fresh hand for 0.1 s') and robot.said('idle: no fresh hand for 0.25 s')
    # Nothing is sent any more but one present position.
    (last,) = robot.commands[count:]
    assert dict(zip(last.joint_names, last.points[0].positions))['index_mcp'] == pytest.approx(0.77)
    robot.frames(0.5)
    assert robot.phase is Phase.IDLE and len(robot.commands) == count + 1


@pytest.mark.parametrize('end', ['stop', 'release', 'another hand'])
def test_it_disengages_at_once(robot, end):
    robot.hands.primary(7)
    robot.follow_until()
    if end == 'another hand':
        robot.hands.primary(8)
        robot.hands.primary(8)
    else:
        (robot.stop if end == 'stop' else robot.engage).publish(Bool(data=end == 'stop'))
    robot.graph.wait(lambda: robot.phase is Phase.IDLE, 'for it to disengage', timeout=5)
    robot.graph.spin(0.05)
    count = len(robot.commands)
    robot.frames(0.4)
    assert len(robot.commands) == count
    robot.hands.primary(7)


def test_old_images_and_broken_hands_move_nothing(robot):
    robot.hold_clutch(age=0.5)
    robot.hold_clutch(spoil=float('nan'))
    assert not robot.commands
    assert robot.phase is Phase.ENGAGING
    robot.follow_until(lambda: robot.commands)


def test_it_does_not_start_where_the_robot_is_not_known(make):
    robot = make()
    robot.hold_clutch(robot=False)
    assert not robot.commands and robot.said('idle: joint_states of the robot lack thumb_rotation')
    del robot.present['pinky_pip']
    robot.hold_clutch()
    assert not robot.commands and robot.said('lack pinky_pip')


@pytest.mark.parametrize(
    'output, kind, topic',
    [
        ('joint_state', JointState, 'hand_controller/joint_commands'),
        ('array', Float64MultiArray, 'robot/commands'),
    ],
)
def test_other_kinds_of_commands(make, output, kind, topic):
    given = {} if topic.startswith('hand_controller') else {'command_topic': topic}
    robot = make(kind, topic, output=output, feedback=False, **given)
    robot.hands.pose(FIST)
    values = lambda: robot.commands[-1].position if output == 'joint_state' else robot.commands[-1].data  # noqa: E731
    robot.follow_until(lambda: robot.commands and values()[list(JOINTS).index('index_mcp')] > 1.39, robot=False)
    last = robot.commands[-1]
    if output == 'joint_state':
        assert list(last.name) == list(JOINTS) and last.header.stamp.sec > 0
    robot.graph.spin(0.1)
    last = robot.commands[-1]
    robot.engage.publish(Bool(data=False))
    robot.graph.spin(0.3)
    assert robot.commands[-1] is last  # nothing but a trajectory controller is told where it is


def test_a_description_from_its_topic(make):
    pytest.importorskip('dexi_rs', reason='dexi-rs is not installed')
    robot = make(urdf='robot_description', config='dexpilot')
    descriptions = robot.graph.client.create_publisher(String, 'robot_description', LATCHED)
    robot.hold_clutch()
    assert robot.said('idle: no robot description that can be used came') and not robot.commands
    robot.hands.pose(OPEN)
    descriptions.publish(String(data=URDF.read_text()))
    robot.graph.spin(0.3)
    bent = lambda: np.degrees(np.abs(robot.commands[-1].points[0].positions)).max()  # noqa: E731
    robot.follow_until(lambda: robot.commands and bent() < 8)
    assert len(robot.commands[-1].joint_names) == 12
    descriptions.publish(String(data=URDF.read_text().replace('robot_hand_index_tip', 'claw')))
    robot.graph.wait(lambda: robot.phase is Phase.IDLE, 'for it to disengage')
    robot.hold_clutch()
    assert robot.phase is Phase.IDLE


@pytest.mark.parametrize(
    'parameters, problem',
    [
        ({'config': 'none'}, 'none: no such file'),
        ({'urdf': '/none.urdf'}, 'No such file or directory'),
        ({'hold_after': 0.2, 'disengage_after': 0.1}, 'parameter hold_after'),
        ({'side': 'both'}, "parameter side: 'both' is not one of"),
    ],
)
def test_parameters_that_cannot_be_used(parameters, problem):
    overrides = [Parameter(name, value=value) for name, value in parameters.items()]
    with pytest.raises((RobotError, ValueError, OSError), match=problem):
        Graph(RetargetNode, parameter_overrides=overrides)


def test_a_killed_tracker_stops_the_robot(make):
    robot = make(hands=False)
    environment = dict(os.environ, PYTHONPATH=os.pathsep.join(sys.path))
    tracker = subprocess.Popen([sys.executable, str(Path(fake_hands.__file__)), str(DOMAIN)], env=environment)
    try:
        robot.follow_until(lambda: len(robot.commands) >= 10, seconds=60)
        tracker.send_signal(signal.SIGKILL)
        killed, stalled, last = time.monotonic(), 0.0, time.monotonic()
        while robot.phase is not Phase.IDLE:
            robot.graph.spin(0.005)
            stalled, last = max(stalled, time.monotonic() - last - 0.01), time.monotonic()
            assert last - killed < 5, 'it never disengaged'
        stopped = last - killed
        robot.graph.spin(0.1)
        count = len(robot.commands)
        robot.graph.spin(0.4)
    finally:
        tracker.kill()
    print(f'\ntracker killed: disengaged and stopped {stopped:.3f} s later (this machine stood still {stalled:.3f} s)')
    assert stopped <= 0.3 + stalled and len(robot.commands) == count
