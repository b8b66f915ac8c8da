"""A tracker that is none: sends hands of known angles on the tracker's topics, at a camera's pace."""

import json
import sys
import time

import numpy as np
import rclpy
from geometry_msgs.msg import Point, Pose, PoseArray, PoseStamped, Quaternion
from posed_hands import FIST, OPEN, posed
from rclpy.duration import Duration
from rclpy.qos import DurabilityPolicy, QoSProfile
from sensor_msgs.msg import JointState
from std_msgs.msg import Bool, Header, String

from hand_pose_ros import topics
from hand_pose_ros.geometry.hand_frame import palm_pose
from hand_pose_ros.geometry.rotations import matrices_to_quaternions

CAMERA_FRAME = 'camera_depth_optical_frame'
PERIOD = 1 / 30


class FakeHands:
    """Sends hands of one side by a node's publishers."""

    def __init__(self, node, side='right'):
        self.node, self.side = node, side
        latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        self.joints = node.create_publisher(PoseArray, topics.joints_topic(side), 1)
        self.states = node.create_publisher(JointState, topics.joint_states_topic(side), 1)
        self.palm = node.create_publisher(PoseStamped, topics.palm_topic(side), 1)
        self.gesture = node.create_publisher(String, topics.gesture_topic(side), latched)
        self.present = node.create_publisher(Bool, topics.present_topic(side), latched)
        self.events = node.create_publisher(String, topics.EVENTS, 10)
        self.joint_values = posed(OPEN, side)
        self.angles = OPEN

    def pose(self, angles=OPEN, size=1.0, center=(0.0, 0.0, 0.5)):
        """Take this form from now on."""
        self.angles, self.joint_values = angles, posed(angles, self.side, size, center)

    def send(self, age=0.0, spoil=None):
        """Send one frame, of an image that is ``age`` old; ``spoil`` changes the joints sent."""
        stamp = (self.node.get_clock().now() - Duration(seconds=age)).to_msg()
        header = Header(stamp=stamp, frame_id=CAMERA_FRAME)
        joints = self.joint_values.copy()
        pose = palm_pose(joints, self.side)
        angles = dict(self.angles)
        if spoil is not None:
            joints[3], pose[0, 3], angles['index_pip_flexion'] = spoil, spoil, spoil
        poses = [Pose(position=Point(x=x, y=y, z=z)) for x, y, z in joints.tolist()]
        x, y, z, w = matrices_to_quaternions(pose[:3, :3]).tolist()
        place = Point(**dict(zip('xyz', pose[:3, 3].tolist())))
        palm = Pose(position=place, orientation=Quaternion(x=x, y=y, z=z, w=w))
        names = [f'{self.side}_{name}' for name in angles]
        self.palm.publish(PoseStamped(header=header, pose=palm))
        self.joints.publish(PoseArray(header=header, poses=poses))
        self.states.publish(JointState(header=header, name=names, position=list(angles.values())))

    def primary(self, track):
        """Say that this track is the side's hand now."""
        event = {'stamp': 0.0, 'side': self.side, 'track': track, 'what': 'primary'}
        self.events.publish(String(data=json.dumps(event)))


def main(domain):
    """Send a hand that opens and closes and moves sideways, until killed."""
    context = rclpy.Context()
    rclpy.init(context=context, domain_id=domain)
    hands = FakeHands(rclpy.create_node('fake_tracker', context=context))
    start = time.monotonic()
    while True:
        phase = 0.5 - 0.5 * np.cos(2 * (time.monotonic() - start))
        hands.pose({name: phase * FIST[name] for name in FIST}, center=(0.1 * phase, 0.0, 0.5))
        hands.send()
        time.sleep(PERIOD)


if __name__ == '__main__':
    main(int(sys.argv[1]))
