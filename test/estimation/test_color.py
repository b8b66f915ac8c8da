"""Where hands are placed that a color camera seems to have too near before it."""

import cv2
import numpy as np
import pytest
from checkout import SHARED
from synthetic_hand import open_hand

from hand_pose_ros.core.frame import CameraFrame
from hand_pose_ros.estimation.color import PLACEMENT, in_view, keep_away
from hand_pose_ros.geometry.camera import Camera
from hand_pose_ros.geometry.joints import NOMINAL_HAND_SIZE_M, hand_center, hand_size
from hand_pose_ros.regions.perspective import PerspectiveRegion
from hand_pose_ros.settings import TrackerSettings, compose
from hand_pose_ros.tracking.factory import make_tracker
from hand_pose_ros.tracking.tracker import HandTracker

PHOTOGRAPHS = SHARED / 'data' / 'photographs'
CAMERA = Camera.from_field_of_view(224, 224, 60.0)


@pytest.fixture(scope='module')
def tracker() -> HandTracker:
    return make_tracker(compose(TrackerSettings, {'modality': 'color', 'model': 'color_light', 'mesh': False}))


def seen_at(distance: float) -> tuple[np.ndarray, np.ndarray, PerspectiveRegion]:
    """Joints of a hand with its fingers towards the camera, where they are seen, and its region, at a distance."""
    joints = open_hand()
    joints = joints - hand_center(joints)
    towards = joints[:, [0, 2, 1]] * [1, 1, 0.8]
    region = PerspectiveRegion.looking_at(np.array([0.0, 0.0, distance]), 0.09)
    rays = towards + [0, 0, 0.4]
    return towards + [0, 0, distance], rays[:, :2] / rays[:, 2:] / region.reach, region


def test_a_hand_far_enough_away_stays_where_it_is():
    joints, points, region = seen_at(PLACEMENT.least_depth_m + 0.2)
    assert keep_away(joints, points, region) is joints


@pytest.mark.parametrize('distance', [0.01, 0.05, 0.1])
def test_a_hand_that_seems_too_near_is_moved_away_and_stays_where_it_is_seen(distance):
    joints, points, region = seen_at(distance)
    assert joints[:, 2].min() < PLACEMENT.least_depth_m
    moved = keep_away(joints, points, region)
    assert in_view(moved, CAMERA)
    assert region.project(moved) == pytest.approx(points, abs=1e-9)
    assert hand_size(moved) == pytest.approx(NOMINAL_HAND_SIZE_M)
    assert (np.argsort(moved[:, 2], kind='stable') == np.argsort(joints[:, 2], kind='stable')).all()


def test_what_is_beside_the_image_is_not_in_view():
    joints, _, _ = seen_at(0.5)
    assert in_view(joints, CAMERA) and not in_view(joints + [0.6, 0, 0], CAMERA)
    assert not in_view(joints - [0, 0, 0.5], CAMERA) and not in_view(joints * np.nan, CAMERA)


@pytest.mark.skipif(not PHOTOGRAPHS.is_dir(), reason='no labeled photographs here')
@pytest.mark.parametrize('name', ['00057', '00289', '00676'])
def test_a_hand_that_fills_a_photograph_is_found(name, tracker):
    image = cv2.imread(str(PHOTOGRAPHS / f'fingers/{name}.jpg'))
    tracker.reset()
    (hand,) = tracker.process(CameraFrame(CAMERA, None, image))
    assert ((CAMERA.project(hand.joints) > 0) & (CAMERA.project(hand.joints) < 224)).all(1).mean() > 0.8
