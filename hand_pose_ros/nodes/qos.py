"""Qualities of service: ask for little, offer much, hold one message.

A subscription that asks for best effort connects to every camera, a publisher that offers reliable delivery to every
subscriber (RViz and most nodes ask for it by default). With a history of one message a late frame is replaced by
the newer one and never queued, on either end.
"""

from __future__ import annotations

from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy

CAMERA_IN = QoSProfile(reliability=ReliabilityPolicy.BEST_EFFORT, history=HistoryPolicy.KEEP_LAST, depth=1,
                       durability=DurabilityPolicy.VOLATILE)
OUT = QoSProfile(reliability=ReliabilityPolicy.RELIABLE, history=HistoryPolicy.KEEP_LAST, depth=1,
                 durability=DurabilityPolicy.VOLATILE)

#: What is sent on change: who subscribes later gets the last one at once.
STATE = QoSProfile(reliability=ReliabilityPolicy.RELIABLE, history=HistoryPolicy.KEEP_LAST, depth=1,
                   durability=DurabilityPolicy.TRANSIENT_LOCAL)

#: What tf2_ros uses for /tf.
TF_OUT = QoSProfile(reliability=ReliabilityPolicy.RELIABLE, history=HistoryPolicy.KEEP_LAST, depth=100,
                    durability=DurabilityPolicy.VOLATILE)
