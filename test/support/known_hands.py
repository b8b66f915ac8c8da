"""Hands with known numbers, and a tracker that returns them, for tests of what comes after the tracker."""

from __future__ import annotations

import numpy as np

from hand_pose_ros.core.hand import Hand, HandFit
from hand_pose_ros.geometry.joints import JOINTS
from hand_pose_ros.geometry.rotations import random_rotations
from hand_pose_ros.settings import TrackerSettings

VERTICES, FACES = 40, 60
ANGLES = ('thumb_ip_flexion', 'index_mcp_flexion', 'index_mcp_abduction', 'pinky_pip_flexion')


def make_hand(side: str, seed: int = 0, fitted: bool = True, score: float = 0.9, track_id: int = 0) -> Hand:
    """A hand whose every joint, angle, orientation and vertex differs from every other; not shaped like a hand."""
    rng = np.random.default_rng([seed, side == 'right'])
    joints = rng.uniform(-0.1, 0.1, (len(JOINTS), 3)) + (0.1 if side == 'right' else -0.1, 0, 0.6)
    fit = HandFit(
        {name: float(angle) for name, angle in zip(ANGLES, rng.uniform(-1, 1, len(ANGLES)))},
        random_rotations(rng, len(JOINTS)),
        joints + 0.001,
        rng.uniform(-0.1, 0.1, (VERTICES, 3)),
        rng.integers(0, VERTICES, (FACES, 3)),
        0.002,
    )
    return Hand(side, score, joints, rng.uniform(0, 1, len(JOINTS)), fit if fitted else None, track_id)


class KnownTracker:
    """Stands in for the tracker: returns ``hands`` for every frame and remembers what it was given.

    Attributes:
        tracking: the settings of tracking that hold now.
        frames: the frames given.
        seen: of each frame what is tracked in, meters or bgr, and its camera.

    """

    description, model_name, impossible = 'known engine', 'known_model', 0

    def __init__(self, settings=None):
        self.tracking = (settings or TrackerSettings()).tracking
        self.hands = [make_hand('left'), make_hand('right')]
        self.stage_seconds = {'network': 0.001}
        self.frames, self.seen = [], []
        self.resets = self.finished = 0

    def process(self, frame):
        self.frames.append(frame)
        image = frame.depth[:] if frame.color is None else frame.color
        self.seen.append((image.copy(), frame.camera))
        return self.hands

    def finish_frame(self):
        self.finished += 1

    def update(self, tracking):
        self.tracking = tracking

    def reset(self):
        self.resets += 1
