"""Which skeletons can be a hand's, and what becomes of those that cannot."""

import numpy as np
import pytest
from synthetic_hand import CAMERA, depth_of, open_hand

from hand_pose_ros.core.frame import CameraFrame, Channel
from hand_pose_ros.core.hand import HandEstimate
from hand_pose_ros.core.stage_timer import StageTimer
from hand_pose_ros.detection.base import Detection
from hand_pose_ros.geometry.joints import NOMINAL_HAND_SIZE_M, hand_size
from hand_pose_ros.hand_model.inverse_kinematics import InverseKinematics
from hand_pose_ros.hand_model.kinematics import DEGREES_OF_FREEDOM
from hand_pose_ros.hand_model.model import load_hand_model
from hand_pose_ros.imaging.images import DepthImage
from hand_pose_ros.regions.cube import CubeRegion
from hand_pose_ros.settings import TrackingSettings
from hand_pose_ros.tracking.configuration import DEPTH
from hand_pose_ros.tracking.plausibility import at_size, floating_share, is_skeleton
from hand_pose_ros.tracking.tracker import HandTracker, TrackerParts


@pytest.mark.parametrize('size', [0.045, 0.055, 0.095, 0.125])
@pytest.mark.parametrize('seed', range(8))
def test_hands_of_children_and_adults_in_any_pose_can_be_hands(size, seed):
    rng, model = np.random.default_rng(seed), load_hand_model()
    low, high = np.array([(dof.low, dof.high) for dof in DEGREES_OF_FREEDOM]).T
    joints = at_size(model.pose(rng.uniform(low, high)).joints, size)
    assert is_skeleton(joints)
    noise = rng.normal(0, 0.05 * size, joints.shape)
    assert is_skeleton(joints + noise), 'as networks are off'


def longer(tip: int) -> np.ndarray:
    """An open hand with one fingertip 0.3 m further away."""
    joints = open_hand()
    joints[tip] += (0, -0.3, 0)
    return joints


@pytest.mark.parametrize(
    'joints',
    [
        np.full((21, 3), np.nan),
        np.zeros((21, 3)),
        at_size(open_hand(), 0.03),
        at_size(open_hand(), 0.2),
        longer(8),
        np.where(np.arange(21)[:, None] == 4, np.inf, open_hand()),
        np.random.default_rng(0).normal((0, 0, 0.5), 0.08, (21, 3)),
    ],
    ids=['nan', 'one point', 'three centimeters', 'a giant', 'a long finger', 'infinite', 'a cloud'],
)
def test_what_no_hand_can_be(joints):
    assert not is_skeleton(joints)


def test_joints_float_where_all_that_is_seen_is_behind_them():
    joints = open_hand()
    depth = DepthImage(depth_of(joints, background=1.5))
    assert floating_share(joints, depth, CAMERA) == 0
    assert floating_share(joints - (0, 0, 0.1), depth, CAMERA) > 0.9
    assert floating_share(joints + (0, 0, 0.05), depth, CAMERA) == 0, 'hidden behind something'
    assert floating_share(joints - (0, 0, 0.1), DepthImage(np.zeros_like(depth.pixels)), CAMERA) == 0, 'nothing is seen'
    assert floating_share(joints - (0, 0, 1.0), depth, CAMERA) == 1, 'behind the camera'


def test_a_resized_hand_stays_where_it_is():
    joints = open_hand()
    assert hand_size(at_size(joints, 0.05)) == pytest.approx(0.05)
    assert at_size(joints, 0.05).mean(0) == pytest.approx(joints.mean(0))


class Detector:
    """Finds a hand at the same place in every frame."""

    needs = frozenset({Channel.DEPTH})

    def detect(self, frame, tracked):
        region = CubeRegion.of_hand(open_hand(), 'right')
        return [] if tracked else [Detection(region, 0.9, 5.0)]


class Estimator:
    """Makes a skeleton of 3 cm out of the first crops, and what ``again`` says of the one that is cut once more."""

    needs, description, model_name = frozenset({Channel.DEPTH}), 'stand-in', 'stand-in'

    def __init__(self, again):
        self.again, self.sizes = again, []

    def estimate(self, frame, regions, views=1):
        return [self._estimate(region) for region in regions]

    def _estimate(self, region):
        self.sizes.append(region.size_m)
        looked_again = region.size_m == pytest.approx(NOMINAL_HAND_SIZE_M) and len(self.sizes) > 2
        joints = self.again if looked_again else at_size(open_hand(), 0.03)
        sure = np.full(21, 0.92)
        return HandEstimate(joints, sure, np.full(21, 0.004), 0.92, 9.0, region.about(joints))


@pytest.mark.parametrize(
    'again, found', [(open_hand(), 1), (at_size(open_hand(), 0.03), 0)], ids=['a hand', 'again none']
)
def test_an_impossible_skeleton_is_looked_at_in_another_crop_then_dropped_and_counted(again, found):
    estimator = Estimator(again)
    fitter = InverseKinematics(load_hand_model())
    tracker = HandTracker(
        TrackerParts(Detector(), estimator, (), fitter, StageTimer()), DEPTH, TrackingSettings(mesh=False)
    )
    hands = tracker.process(CameraFrame(CAMERA, 0.0, depth=DepthImage(depth_of(open_hand()))))
    assert NOMINAL_HAND_SIZE_M in np.round(estimator.sizes, 9), 'the crop of an ordinary hand was looked at'
    assert len(hands) == found and tracker.impossible == 1 - found
    assert all(hand_size(hand.joints) > 0.05 for hand in hands)
