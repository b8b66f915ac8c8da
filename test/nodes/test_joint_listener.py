"""Hands from topics for a command: those of a tracker that runs, for as long as asked; none where none comes."""

import subprocess
import sys
from pathlib import Path

from ros_graph import DOMAIN

from hand_pose_ros.nodes.joint_listener import listen

FAKE = Path(__file__).resolve().parents[1] / 'support' / 'fake_hands.py'


def test_hands_that_come_are_taken_from_the_first_on(monkeypatch):
    monkeypatch.setenv('ROS_DOMAIN_ID', str(DOMAIN))
    started = []
    assert listen(1.0, 0.2, lambda: started.append(1)) == {'left': [], 'right': []} and not started
    tracker = subprocess.Popen([sys.executable, str(FAKE), str(DOMAIN)])
    try:
        found = listen(0.5, 30.0, lambda: started.append(1))
    finally:
        tracker.kill()
        tracker.wait()
    assert started == [1] and not found['left']
    assert len(found['right']) > 3 and found['right'][0].shape == (21, 3)
