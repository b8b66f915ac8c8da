"""The examples that move robots, each with hands and a robot that are none."""

import sys
import threading
import time

import pytest

pytest.importorskip('rclpy', reason='ROS 2 is not installed')

import rclpy
from fake_hands import PERIOD, FakeHands
from posed_hands import FIST, OPEN
from rclpy.executors import SingleThreadedExecutor
from ros_graph import DOMAIN, Graph
from std_msgs.msg import Bool

from hand_pose_ros.resources import resource_path

sys.path.insert(0, str(resource_path('package.xml').parent / 'examples'))

import arm_and_gripper
import clutch
import robot_hand


class Scene:
    """An example's nodes in a thread of their own, the clutch, and hands; told what to do by topics."""

    def __init__(self, make, *args):
        self.context = rclpy.Context()
        rclpy.init(context=self.context, domain_id=DOMAIN)
        self.nodes = [*make(*args, context=self.context), clutch.Clutch(context=self.context)]
        self.client = rclpy.create_node('client', context=self.context)
        self.hands = FakeHands(self.client)
        self.executor = SingleThreadedExecutor(context=self.context)
        for node in self.nodes:
            self.executor.add_node(node)
        self.thread = threading.Thread(target=self.executor.spin, daemon=True)
        self.thread.start()

    def frames(self, until, what, most=300):
        """Let hands come until a condition holds."""
        for _ in range(most):
            if until():
                return
            self.hands.send()
            time.sleep(PERIOD)
        pytest.fail(f'waited in vain for {what}')

    def close(self):
        self.executor.shutdown()
        self.thread.join()
        for node in (*self.nodes, self.client):
            node.destroy_node()
        rclpy.shutdown(context=self.context)


@pytest.mark.parametrize('config', ['angles', 'dexpilot'])
def test_a_robot_hand_opens_and_closes_with_the_persons(config):
    if config == 'dexpilot':
        pytest.importorskip('dexi_rs', reason='dexi-rs is not installed')
    scene = Scene(robot_hand.make_nodes, config, 'right')
    try:
        positions = scene.nodes[1].positions
        scene.hands.pose(FIST)
        scene.frames(lambda: robot_hand.bends(positions)['middle'] > 120, 'a fist')
        scene.hands.pose(OPEN)
        scene.frames(lambda: max(robot_hand.bends(positions).values()) < 12, 'an open hand')
    finally:
        scene.close()


def test_an_arm_follows_a_palm_and_its_gripper_a_pinch():
    scene = Scene(arm_and_gripper.make_nodes)
    try:
        arm = scene.nodes[1]
        scene.frames(lambda: scene.nodes[0].policy.phase.value == 'following', 'the clutch')
        scene.hands.pose(OPEN, center=(0.06, 0.0, 0.5))
        scene.frames(lambda: arm.position[1] > 0.045, 'the arm')
        scene.hands.joint_values[4] = scene.hands.joint_values[8]
        arm.gripper = 1.0
        scene.frames(lambda: arm.gripper == 0.0, 'the gripper')
    finally:
        scene.close()


def test_a_clutch_is_let_go_in_the_end():
    graph = Graph(clutch.Clutch)
    try:
        engage = graph.listen(Bool, 'teleop/engage')
        graph.wait(lambda: len(engage) > 2, 'for the clutch')
        assert all(message.data for message in engage)
        graph.node.let_go()
        graph.wait(lambda: not all(message.data for message in engage), 'for it to be let go')
    finally:
        graph.close()
