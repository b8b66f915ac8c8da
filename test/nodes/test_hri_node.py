"""The node that converts gestures for ROS4HRI. Not run with the real hri_msgs, which PyPI does not have: a stand-in."""

import importlib.util
import json
import sys
import types

import pytest

pytest.importorskip('rclpy', reason='ROS 2 is not installed')

from rclpy.parameter import Parameter
from rclpy.qos import DurabilityPolicy, QoSProfile
from ros_graph import Graph
from std_msgs.msg import String

from hand_pose_ros import topics
from hand_pose_ros.nodes.hri import HriNode


class Gesture:
    """hri_msgs/Gesture with the constants and fields that the node knows."""

    WAVING, CLOSED_FIST, OPEN_PALM, POINTING_UP, THUMB_DOWN, THUMB_UP, VICTORY, LOVE = range(6, 14)
    RIGHT, LEFT = 1, 2
    handedness = 0

    def __init__(self, header, gesture):
        self.header, self.gesture = header, gesture


class OlderGesture:
    """The same as versions before hands had it."""

    WAVING = 6
    __slots__ = ('gesture', 'header')

    def __init__(self, header, gesture):
        self.header, self.gesture = header, gesture


def start(monkeypatch, kind, **parameters):
    """The node on a graph; its hri_msgs are collected instead of sent."""
    sent = []
    monkeypatch.setitem(sys.modules, 'hri_msgs.msg', types.SimpleNamespace(Gesture=kind))
    create = HriNode.create_publisher

    def create_publisher(node, message, topic, *args, **options):
        if message is not kind:
            return create(node, message, topic, *args, **options)
        return types.SimpleNamespace(publish=lambda each: sent.append((topic, each)))

    monkeypatch.setattr(HriNode, 'create_publisher', create_publisher)
    destroy = HriNode.destroy_publisher
    monkeypatch.setattr(
        HriNode,
        'destroy_publisher',
        lambda node, publisher: isinstance(publisher, types.SimpleNamespace) or destroy(node, publisher),
    )
    graph = Graph(HriNode, parameter_overrides=[Parameter(name, value=value) for name, value in parameters.items()])
    latched = QoSProfile(depth=10, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    senders = {
        topic: graph.client.create_publisher(String, topic, latched)
        for topic in ('body_id', topics.EVENTS, topics.gesture_topic('left'), topics.gesture_topic('right'))
    }
    awaited = [sender for topic, sender in senders.items() if topic != 'body_id' or not parameters.get('body_id')]
    graph.wait(lambda: all(sender.get_subscription_count() for sender in awaited), 'for the node')
    return graph, sent, lambda topic, text: senders[topic].publish(String(data=text))


def test_gestures_go_to_the_body_that_a_topic_names(monkeypatch):
    graph, sent, say = start(monkeypatch, Gesture)
    try:
        say(topics.gesture_topic('left'), 'fist')
        graph.spin(0.2)
        assert not sent  # nobody's body yet
        say('body_id', 'not/one')
        say('body_id', 'abcde')
        graph.spin(0.2)
        say(topics.gesture_topic('left'), 'thumb_up')
        graph.wait(lambda: len(sent) == 1, 'for a gesture')
        say(topics.gesture_topic('right'), 'horns')  # hri_msgs has no name for it
        say(topics.gesture_topic('right'), 'none')
        say('body_id', 'fghij')
        graph.spin(0.2)
        say(topics.EVENTS, json.dumps({'what': 'movement', 'name': 'wave', 'side': 'right', 'track': 3}))
        say(topics.EVENTS, 'no JSON')
        say(topics.EVENTS, json.dumps({'what': 'gesture', 'name': 'fist', 'side': 'right', 'track': 3}))
        say(topics.EVENTS, json.dumps({'what': 'gesture', 'name': 'heart', 'side': 'both', 'track': None}))
        for elevation in (10, 80):
            ray = {'frame': 'map', 'origin': (0, 0, 0), 'direction': (0, 0, 1), 'elevation_deg': elevation}
            say(topics.EVENTS, json.dumps({'what': 'gesture', 'name': 'point', 'side': 'left', 'track': 4, 'ray': ray}))
        graph.wait(lambda: len(sent) == 4, 'for a movement, both hands and what points up')
        graph.spin(0.2)
        assert [(topic, each.gesture, each.handedness) for topic, each in sent] == [
            ('/humans/bodies/abcde/gesture', Gesture.THUMB_UP, Gesture.LEFT),
            ('/humans/bodies/fghij/gesture', Gesture.WAVING, Gesture.RIGHT),
            ('/humans/bodies/fghij/gesture', Gesture.LOVE, 0),
            ('/humans/bodies/fghij/gesture', Gesture.POINTING_UP, Gesture.LEFT),
        ]
        assert sent[0][1].header.stamp.sec > 0
    finally:
        graph.close()


def test_an_older_hri_msgs_gets_what_it_knows(monkeypatch):
    graph, sent, say = start(monkeypatch, OlderGesture, body_id='abcde')
    try:
        say(topics.gesture_topic('right'), 'fist')
        say(topics.EVENTS, json.dumps({'what': 'movement', 'name': 'wave', 'side': 'left', 'track': 3}))
        graph.wait(lambda: sent, 'for a movement')
        assert [each.gesture for _, each in sent] == [6]
    finally:
        graph.close()


def test_without_hri_msgs_or_with_an_id_that_is_none(monkeypatch):
    if importlib.util.find_spec('hri_msgs') is None:
        with pytest.raises(ValueError, match='hand_hri needs the package hri_msgs'):
            Graph(HriNode)
    with pytest.raises(ValueError, match="body_id '7 up' is not of letters"):
        start(monkeypatch, Gesture, body_id='7 up')
