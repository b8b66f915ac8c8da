"""A node in a thread of its own and a client beside it, joined by real topics and services."""

from __future__ import annotations

import os
import threading
import time
from contextlib import contextmanager

# Tests must not meet nodes of other machines or of another test run.
os.environ['ROS_AUTOMATIC_DISCOVERY_RANGE'] = 'LOCALHOST'
DOMAIN = 10 + os.getpid() % 90

import rclpy  # noqa: E402
from diagnostic_msgs.msg import DiagnosticArray  # noqa: E402
from rclpy.executors import SingleThreadedExecutor  # noqa: E402
from rclpy.qos import QoSProfile, ReliabilityPolicy  # noqa: E402
from std_msgs.msg import Header  # noqa: E402

from hand_pose_ros import topics  # noqa: E402

BEST_EFFORT = QoSProfile(depth=20, reliability=ReliabilityPolicy.BEST_EFFORT)
RELIABLE = QoSProfile(depth=20, reliability=ReliabilityPolicy.RELIABLE)
FRAME_ID = 'camera_depth_optical_frame'


@contextmanager
def making(kind):
    """Give what makes graphs, or what stands on them, of a kind; all that it made is closed at the end."""
    made = []

    def make(*args, **options):
        made.append(kind(*args, **options))
        return made[-1]

    try:
        yield make
    finally:
        for one in made:
            one.close()


class Graph:
    """The node under test, made by ``make`` with the node options that join it to this graph's ROS context."""

    def __init__(self, make, **node_options):
        self.context = rclpy.Context()
        rclpy.init(context=self.context, domain_id=DOMAIN)
        try:
            self.node = make(context=self.context, **node_options)
        except BaseException:
            rclpy.shutdown(context=self.context)
            raise
        self.client = rclpy.create_node('client', context=self.context)
        self.executors = [SingleThreadedExecutor(context=self.context) for _ in range(2)]
        for executor, node in zip(self.executors, (self.node, self.client)):
            executor.add_node(node)
        self.thread = threading.Thread(target=self.executors[0].spin, daemon=True)
        self.thread.start()
        self.received = {}
        self.subscriptions = {}
        self.listen(DiagnosticArray, topics.DIAGNOSTICS)

    def close(self):
        self.executors[0].shutdown()
        self.thread.join()
        self.executors[1].shutdown()
        self.node.destroy_node()
        self.client.destroy_node()
        rclpy.shutdown(context=self.context)

    def listen(self, kind, topic, qos=RELIABLE):
        """Collect the messages of a topic; returns the list that grows."""
        messages = self.received[topic] = []
        self.subscriptions[topic] = self.client.create_subscription(kind, topic, messages.append, qos)
        return messages

    def heard(self, *listened):
        """Tell whether publisher and listener of these topics know of each other."""
        return all(
            self.subscriptions[topic].get_publisher_count()
            and any(
                publisher.get_subscription_count()
                for publisher in self.node.publishers
                if publisher.topic_name == self.subscriptions[topic].topic_name
            )
            for topic in listened
        )

    def wait(self, condition, what='', timeout=60.0):
        """Spin the client until the condition holds, and return its value."""
        end = time.monotonic() + timeout
        while not (value := condition()):
            assert time.monotonic() < end, f'waited in vain {what}'
            self.executors[1].spin_once(timeout_sec=0.01)
        return value

    def spin(self, seconds):
        """Spin the client for a time in which nothing is expected."""
        end = time.monotonic() + seconds
        while (rest := end - time.monotonic()) > 0:
            self.executors[1].spin_once(timeout_sec=rest)

    def status(self, text, timeout=60.0):
        """Wait for a diagnostic status with this text in its message."""
        arrays = self.received[topics.DIAGNOSTICS]
        arrays.clear()
        found = self.wait(
            lambda: [a for a in arrays if text in a.status[0].message], f'for {text!r} in diagnostics', timeout
        )
        return found[-1].status[0]

    def values(self, text=''):
        """Wait for a status as above; returns its values by key."""
        return {value.key: value.value for value in self.status(text).values}

    def call(self, kind, name, **request):
        """Call a service; returns its response."""
        # Fast DDS now and then keeps a service out of the client's graph for ever though the two are joined
        # (ros2/rmw_fastrtps issue 792): a fresh client is tried, and then the call itself is the proof.
        for _ in range(3):
            client = self.client.create_client(kind, name)
            if client.wait_for_service(5):
                break
        future = client.call_async(kind.Request(**request))
        self.wait(future.done, f'for {name}')
        return future.result()

    def header(self, seconds=None, frame_id=FRAME_ID):
        """A header of now, or of a given second."""
        header = Header(stamp=self.client.get_clock().now().to_msg(), frame_id=frame_id)
        if seconds is not None:
            header.stamp.sec, header.stamp.nanosec = int(seconds), round(seconds % 1 * 1e9)
        return header
