"""Two detectors of color as one."""

import numpy as np
import pytest

from hand_pose_ros.core.frame import CameraFrame, Channel
from hand_pose_ros.core.stage_timer import StageTimer
from hand_pose_ros.detection import either
from hand_pose_ros.detection.base import Detection
from hand_pose_ros.geometry.camera import Camera
from hand_pose_ros.regions.perspective import PerspectiveRegion
from hand_pose_ros.settings import ModelSettings

CAMERA = Camera(640, 480, 600.0, 600.0, 319.5, 239.5)


def region(u, half=60):
    return PerspectiveRegion.of_square(CAMERA, np.array([u, 240.0]), half, np.array([0.0, -1.0]))


class Fixed:
    """Finds the same places, of these scores, in every image."""

    needs, description = frozenset({Channel.COLOR}), 'fixed'

    def __init__(self, **scores_by_place):
        self.found = [Detection(region(int(place[1:])), score) for place, score in scores_by_place.items()]
        self.asked = 0

    def detect(self, frame, tracked):
        self.asked += 1
        return self.found


@pytest.fixture
def detectors(monkeypatch):
    palms, squares = Fixed(u100=0.2, u300=0.9), Fixed(u310=0.95, u500=0.6)
    monkeypatch.setattr(either, 'mediapipe_palms', lambda settings, timer: palms)
    monkeypatch.setattr(either, 'ColorDetector', lambda settings, timer: squares)
    return palms, squares, either.PalmsAndSquares(ModelSettings(modality='color'), StageTimer(['localize']))


def test_what_either_finds_is_found_once_the_surest_first(detectors):
    _, _, both = detectors
    frame = CameraFrame(CAMERA, color=np.zeros((480, 640, 3), np.uint8))
    assert [one.score for one in both.detect(frame, [])] == [0.9, 0.6, 0.2]


def test_they_search_by_turns_while_a_hand_is_tracked(detectors):
    palms, squares, both = detectors
    frame = CameraFrame(CAMERA, color=np.zeros((480, 640, 3), np.uint8))
    for _ in range(6):
        both.detect(frame, [region(400)])
    assert palms.asked == squares.asked == 3
    both.detect(frame, [])
    assert palms.asked == squares.asked == 4
