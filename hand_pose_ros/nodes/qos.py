"""Qualities of service: ask for little, offer much, hold one message.

A subscription that asks for best effort connects to every camera, a publisher that offers reliable delivery to every
subscriber (RViz and most nodes ask for it by default). With a history of one message a late frame is replaced by
the newer one and never queued, on either end. What is not said here is the default: reliable, volatile, the last ones.
"""

from __future__ import annotations

from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy

CAMERA_IN = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
OUT = QoSProfile(depth=1)

#: What is sent on change: who subscribes later gets the last one at once.
STATE = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)

#: Several may come of one frame, and none may be missed.
EVENTS = QoSProfile(depth=30)

#: What tf2_ros uses for /tf.
TF_OUT = QoSProfile(depth=100)
