"""The example of a robot's own node: what it takes is what the tracker sends."""

import runpy
from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip('rclpy', reason='ROS 2 is not installed')

from checkout import ROOT
from rclpy.qos import DurabilityPolicy, QoSProfile
from ros_graph import Graph
from sensor_msgs.msg import JointState
from std_msgs.msg import Header, String
from synthetic_hand import make_hand, open_hand

from hand_pose_ros import topics
from hand_pose_ros.geometry.joints import SIDES
from hand_pose_ros.gestures.library import NONE, shipped_library
from hand_pose_ros.hand_model.inverse_kinematics import InverseKinematics
from hand_pose_ros.hand_model.kinematics import DOF_NAMES, LOWER, UPPER
from hand_pose_ros.hand_model.loading import load_hand_models
from hand_pose_ros.nodes.messages import joint_states_message

pytestmark = pytest.mark.ros

EXAMPLE = runpy.run_path(str(ROOT / 'examples' / 'answer_hands.py'))


def angles_of_an_open_hand(side):
    """What the tracker sends of it."""
    hand = make_hand(side, open_hand(side))
    fit = InverseKinematics(*load_hand_models('')).fit(hand.joints, side, mesh=False)
    return joint_states_message(Header(frame_id='camera'), replace(hand, fit=fit))


def test_it_answers_gestures_that_there_are():
    assert set(EXAMPLE['ANSWERS']) <= set(shipped_library().names) - {NONE}


def test_fingers_close_as_the_hand_does():
    closing = EXAMPLE['closing']
    for side in SIDES:
        stretched = closing(angles_of_an_open_hand(side), side)
        assert list(stretched) == ['thumb', 'index', 'middle', 'ring', 'pinky'] and max(stretched.values()) < 0.25
        for limits, wanted in ((LOWER, 0.0), (UPPER, 1.0)):
            message = JointState(
                name=[f'{side}_{name}' for name in DOF_NAMES], position=np.asarray(limits, float).tolist()
            )
            assert list(closing(message, side).values()) == [wanted] * 5


def test_it_answers_and_imitates_through_topics():
    graph = Graph(EXAMPLE['AnswerHands'])
    try:
        answers, commands = graph.listen(String, 'robot/answer'), graph.listen(JointState, 'robot/right_hand')
        late = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        gestures = graph.client.create_publisher(String, topics.gesture_topic('left'), late)
        angles = graph.client.create_publisher(JointState, topics.joint_states_topic('left'), 1)
        graph.wait(lambda: gestures.get_subscription_count() and angles.get_subscription_count(), 'for the example')
        graph.wait(lambda: graph.heard('robot/answer', 'robot/right_hand'), 'for its answers')
        for gesture in ('none', 'call', 'thumb_up'):
            gestures.publish(String(data=gesture))
            graph.spin(0.1)
        graph.wait(lambda: answers, 'for an answer')
        assert [message.data for message in answers] == ['nod']
        angles.publish(angles_of_an_open_hand('left'))
        (command,) = graph.wait(lambda: commands, 'for a command')
        assert command.name[0] == 'right_thumb' and len(command.position) == 5 and command.header.frame_id == 'camera'
    finally:
        graph.close()
