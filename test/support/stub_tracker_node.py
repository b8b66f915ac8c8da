"""The real tracker node around a tracker that reads its answers from the image, for the tests of demo and bench.

The first pixel of an image is 1000 mm plus the frame's number. The answer is the hand of ``joints_of`` ten
millimeters off; frame 3 has its side wrong, and frame 5 has none.
"""

import os
import sys
from pathlib import Path

import numpy as np
import pytest
from checkout import child_environment
from synthetic_hand import CAMERA, depth_of, make_hand, open_hand

from hand_pose_ros.cli.processes import NodeProcess
from hand_pose_ros.io.recording import write_bag

MARK = 1000
COUNT = 12


def joints_of(index: int) -> np.ndarray:
    """Return the true joints of a frame."""
    return open_hand('left', (0.02 * np.sin(index), 0.0, 0.5 + 0.002 * index))


def write_clip(path: Path) -> None:
    """Write a bag of ``COUNT`` frames at 8 Hz with their true joints."""
    frames, hands = [], []
    for index in range(COUNT):
        image = np.rint(depth_of(joints_of(index), background=1.2) * 1000).astype(np.uint16)
        image[0, 0] = MARK + index
        stamp = 1700000000.0 + index / 8
        frames.append((stamp, image))
        hands.append((stamp, joints_of(index)))
    write_bag(path, frames, CAMERA, joints={'left': hands})


def stand_in(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the commands run this file where they would run the tracker node; skips where ROS is missing."""
    pytest.importorskip('rclpy', reason='ROS is not available to this Python')
    pytest.importorskip('tf2_msgs', reason='tf2_msgs is not available to this Python')
    original = NodeProcess.command
    monkeypatch.setattr(
        NodeProcess,
        'command',
        staticmethod(lambda module: [sys.executable, __file__] if module == 'tracker' else original(module)),
    )
    monkeypatch.setenv('PYTHONPATH', child_environment()['PYTHONPATH'])


class StubTracker:
    """Stands in for HandTracker."""

    model_name, impossible = 'stub', 0
    stage_seconds = {'localize': 0.001, 'crop': 0.002, 'network': 0.003, 'hand_model': 0.004}

    def __init__(self, settings):
        if os.environ.get('STUB_TRACKER') == 'exit':
            os._exit(3)
        if os.environ.get('STUB_TRACKER') == 'no model':
            raise FileNotFoundError('models/lost.onnx: no such file')
        self.description = f'stub engine, near {settings.tracking.near}'

    def reset(self):
        """Nothing to forget."""

    def finish_frame(self):
        """Nothing was put off."""

    def update(self, tracking):
        """Nothing changes."""

    def process(self, frame):
        index = round(float(frame.depth[:][0, 0]) * 1000) - MARK
        if index == 5 or os.environ.get('STUB_TRACKER') == 'blind':
            return []
        return [make_hand('right' if index == 3 else 'left', joints_of(index) + (0.006, 0, 0.008), fit=True)]


if __name__ == '__main__':
    from hand_pose_ros.nodes.process import run_nodes
    from hand_pose_ros.nodes.tracker import TrackerNode
    from hand_pose_ros.tracking.model_choice import ModelChoice

    sys.exit(run_nodes([lambda: TrackerNode(lambda settings: (StubTracker(settings), ModelChoice.of(settings)))]))
