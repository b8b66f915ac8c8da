"""The node that moves an arm and its gripper, through topics, with hands and an arm that are none."""

import sys
import types
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip('rclpy', reason='ROS 2 is not installed')

from fake_hands import PERIOD, FakeHands
from geometry_msgs.msg import PoseStamped, TwistStamped
from posed_hands import OPEN
from rclpy.parameter import Parameter
from rclpy.qos import DurabilityPolicy, QoSProfile
from ros_graph import Graph, making
from std_msgs.msg import Bool, String
from trajectory_msgs.msg import JointTrajectory

from hand_pose_ros import topics
from hand_pose_ros.nodes import teleop
from hand_pose_ros.nodes.teleop import TeleopNode
from hand_pose_ros.robots.safety import Phase

sys.path.insert(0, str(Path(teleop.__file__).parents[2] / 'examples'))

from simulated_robot import SimulatedArm

FREE = {
    'engage_hold': 0.2,
    'ramp': 0.0,
    'max_speed': 5.0,
    'max_turn': 20.0,
    'dead_zone': 0.0,
    'dead_angle': 0.0,
    'gripper': 'trajectory',
}
POSE, TWIST = 'servo_node/pose_target_cmds', 'servo_node/delta_twist_cmds'


class Teleoperation:
    """The node, a hand to follow, and an arm that obeys; ``commands`` grows."""

    def __init__(self, **parameters):
        values = {**FREE, **parameters}
        self.graph = Graph(TeleopNode, parameter_overrides=[Parameter(name, value=v) for name, v in values.items()])
        client = self.graph.client
        self.arm = SimulatedArm(context=self.graph.context)
        self.graph.executors[1].add_node(self.arm)
        kind, topic = (PoseStamped, POSE) if values.get('output', 'pose') == 'pose' else (TwistStamped, TWIST)
        self.commands = self.graph.listen(kind, topic)
        self.gripper = self.graph.listen(JointTrajectory, 'gripper_controller/joint_trajectory')
        latched = QoSProfile(depth=10, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        self.states = self.graph.listen(String, 'hand_teleop/state', latched)
        self.hands, self.other = FakeHands(client), FakeHands(client, 'left')
        self.engage = client.create_publisher(Bool, topics.ENGAGE, 10)
        mine = [self.hands.palm, *([self.engage] if values.get('clutch', 'topic') == 'topic' else [self.other.gesture])]
        self.graph.wait(lambda: all(each.get_subscription_count() for each in mine), 'for the node')
        self.graph.wait(lambda: self.graph.heard(topic), 'for its commands')
        self.graph.spin(0.2)

    def close(self):
        self.graph.executors[1].remove_node(self.arm)
        self.arm.destroy_node()
        self.graph.close()

    @property
    def phase(self):
        return self.graph.node.policy.phase

    def frames(self, count):
        for _ in range(count):
            self.hands.send()
            self.graph.spin(PERIOD)

    def hold_clutch(self):
        self.engage.publish(Bool(data=False))
        self.engage.publish(Bool(data=True))

    def follow(self):
        """Let hands come until it follows; where a busy machine let it disengage, once more."""
        self.hold_clutch()
        for _ in range(600):
            self.frames(1)
            if self.phase is Phase.IDLE:
                self.hold_clutch()
            elif self.phase is Phase.FOLLOWING and self.commands:
                return
        pytest.fail('it never followed')

    def until(self, condition, what):
        for _ in range(600):
            if condition():
                return
            self.frames(1)
        pytest.fail(f'waited in vain for {what}')

    def said(self, text):
        return self.graph.wait(lambda: [state.data for state in self.states if text in state.data], f'for {text!r}')


@pytest.fixture
def make():
    with making(Teleoperation) as make:
        yield make


def test_the_tool_moves_as_the_palm_does_since_it_engaged(make):
    robot = make(y_max=0.25)
    robot.frames(10)
    assert not robot.commands
    robot.follow()
    start = np.array([0.4, 0.0, 0.4])
    first = robot.commands[0]
    assert first.header.frame_id == 'base_link' and first.header.stamp.sec > 0
    place = first.pose.position
    assert np.allclose((place.x, place.y, place.z), start, atol=1e-6)  # no jump
    assert first.pose.orientation.w == pytest.approx(1.0)
    # To the camera's right and up, which are the base's y and z.
    robot.hands.pose(OPEN, center=(0.1, -0.05, 0.5))
    robot.until(lambda: np.allclose(robot.arm.position, start + (0, 0.1, 0.05), atol=1e-3), 'the arm')
    robot.hands.pose(OPEN, center=(0.6, -0.05, 0.5))
    robot.until(lambda: np.allclose(robot.arm.position, start + (0, 0.25, 0.05), atol=1e-3), 'the end of the workspace')
    robot.frames(3)
    # Let go, move, hold again: the tool stays where it is.
    robot.engage.publish(Bool(data=False))
    robot.graph.wait(lambda: robot.phase is Phase.IDLE, 'for it to disengage')
    robot.graph.spin(0.1)
    robot.hands.pose(OPEN, center=(-0.2, 0.1, 0.4))
    count = len(robot.commands)
    robot.frames(5)
    assert len(robot.commands) == count
    robot.follow()
    assert np.allclose(robot.arm.position, start + (0, 0.25, 0.05), atol=1e-3)


def test_a_pinch_closes_the_gripper_once(make):
    robot = make()
    robot.follow()
    robot.frames(2)
    apart, touching = robot.hands.joint_values.copy(), robot.hands.joint_values.copy()
    touching[4] = touching[8] + (0.01, 0, 0)
    for count, joints in enumerate((touching, apart)):
        robot.hands.joint_values = joints
        robot.until(lambda count=count: len(robot.gripper) == count + 1, 'the gripper')
    robot.frames(3)
    assert [each.points[0].positions[0] for each in robot.gripper] == [0.0, pytest.approx(0.04)]
    assert robot.gripper[0].joint_names == ['gripper_finger_joint'] and robot.gripper[0].header.stamp.sec == 0
    robot.engage.publish(Bool(data=False))
    robot.graph.wait(lambda: robot.phase is Phase.IDLE, 'for it to disengage')
    robot.hands.joint_values = touching
    robot.frames(5)
    assert len(robot.gripper) == 2


def test_the_other_hands_gesture_is_a_clutch(make):
    robot = make(clutch='gesture', clutch_gesture='stop')
    robot.other.gesture.publish(String(data='fist'))
    robot.frames(12)
    assert robot.phase is Phase.IDLE
    robot.other.gesture.publish(String(data='stop'))
    robot.until(lambda: robot.phase is Phase.FOLLOWING and robot.commands, 'it to follow')
    robot.other.present.publish(Bool(data=False))
    robot.graph.wait(lambda: robot.phase is Phase.IDLE, 'for it to disengage')
    assert robot.said('idle: the clutch was released')


def test_twists(make):
    robot = make(output='twist', max_speed=0.3, max_turn=1.0)
    robot.follow()
    assert np.allclose([robot.commands[-1].twist.linear.y, robot.commands[-1].twist.angular.z], 0, atol=1e-6)
    robot.commands.clear()
    robot.hands.pose(OPEN, center=(0.5, 0.0, 0.5))
    robot.until(lambda: any(command.twist.linear.y > 0.28 for command in robot.commands), 'its speed')
    fastest = max(robot.commands, key=lambda command: command.twist.linear.y)
    assert fastest.twist.linear.y == pytest.approx(0.3, rel=0.01) and fastest.header.frame_id == 'base_link'
    assert abs(fastest.twist.linear.x) < 1e-3


@pytest.mark.parametrize(
    'parameters, problem',
    [
        ({'target_frame': 'moon'}, 'TF does not join camera_depth_optical_frame with moon'),
        ({'tool_frame': 'claw'}, 'TF does not join claw with base_link'),
    ],
)
def test_without_tf_nothing_is_sent(make, parameters, problem):
    robot = make(**parameters)
    robot.hold_clutch()
    robot.until(lambda: any(problem in state.data for state in robot.states), 'it to say why')
    assert robot.said(f'idle: {problem}') and not robot.commands


class Answers:
    """Stands in for an action's or a service's client."""

    def __init__(self, *args):
        self.args, self.sent, self.ready = args, [], False

    def server_is_ready(self):
        return self.ready

    service_is_ready = server_is_ready

    def send_goal_async(self, goal):
        self.sent.append(goal)

    call_async = send_goal_async


def test_the_gripper_action_where_control_msgs_is(monkeypatch, make):
    goal = lambda command: command  # noqa: E731
    module = types.SimpleNamespace(ParallelGripperCommand=types.SimpleNamespace(Goal=goal))
    monkeypatch.setitem(sys.modules, 'control_msgs.action', module)
    clients = []
    monkeypatch.setattr(teleop, 'ActionClient', lambda *args: clients.append(Answers(*args)) or clients[-1])
    robot = make(gripper='action', gripper_closed=0.01)
    (client,) = clients
    assert client.args[2] == 'gripper_controller/gripper_cmd'
    robot.follow()
    touching, apart = robot.hands.joint_values.copy(), robot.hands.joint_values
    touching[4] = touching[8] + (0.01, 0, 0)
    for joints, ready, closed in ((touching, False, True), (apart, True, False), (touching, True, True)):
        client.ready, robot.hands.joint_values = ready, joints
        robot.until(lambda closed=closed: robot.graph.node._pinch.closed == closed, 'the gripper')
    assert [(goal.name, list(goal.position)) for goal in client.sent] == [
        (['gripper_finger_joint'], [pytest.approx(0.04)]),
        (['gripper_finger_joint'], [pytest.approx(0.01)]),
    ]


def test_servo_is_told_of_the_kind_once_it_is_there(monkeypatch):
    request = lambda command_type: command_type  # noqa: E731
    module = types.SimpleNamespace(ServoCommandType=types.SimpleNamespace(Request=request))
    monkeypatch.setitem(sys.modules, 'moveit_msgs.srv', module)
    client = Answers()
    original = TeleopNode.create_client
    monkeypatch.setattr(TeleopNode, 'create_client', lambda self, kind, name: setattr(client, 'name', name) or client)
    graph = Graph(TeleopNode, parameter_overrides=[Parameter('output', value='twist')])
    monkeypatch.setattr(TeleopNode, 'create_client', original)
    try:
        assert client.name == 'servo_node/switch_command_type'
        graph.spin(0.2)
        assert not client.sent
        client.ready = True
        graph.wait(lambda: client.sent, 'for Servo to be told')
        graph.spin(0.1)
        assert client.sent == [1]
        client.ready = False  # one that starts anew is told again
        graph.spin(0.1)
        client.ready = True
        graph.wait(lambda: client.sent == [1, 1], 'for Servo to be told again')
    finally:
        graph.close()


@pytest.mark.parametrize(
    'parameters, problem',
    [
        ({'gripper': 'action'}, 'parameter gripper: action needs the package control_msgs'),
        ({'x_min': 2.0}, r'parameter x_min: 2.0 is not below x_max \(1.0\)'),
        ({'pinch_closed': 0.5}, 'parameter pinch_closed'),
    ],
)
def test_parameters_that_cannot_be_used(parameters, problem):
    with pytest.raises(ValueError, match=problem):
        Graph(TeleopNode, parameter_overrides=[Parameter(name, value=value) for name, value in parameters.items()])
