"""RGB-D: color says where a hand is, and what both networks make of it is fused."""

from dataclasses import replace
from itertools import islice

import numpy as np
import pytest
from color_cells import CAMERA
from synthetic_hand import open_hand

from hand_pose_ros.core.frame import CameraFrame
from hand_pose_ros.core.hand import HandEstimate
from hand_pose_ros.estimation.rgbd import cube_of_region, fuse
from hand_pose_ros.geometry.joints import hand_center, hand_size
from hand_pose_ros.imaging.images import DepthImage
from hand_pose_ros.io.recording import open_recording, read_joints
from hand_pose_ros.regions.perspective import PerspectiveRegion
from hand_pose_ros.resources import resource_path
from hand_pose_ros.settings import TrackerSettings, compose
from hand_pose_ros.tracking.factory import make_tracker


def estimate_of(joints, sigma, metric=True):
    region = PerspectiveRegion.of_hand(joints)
    return HandEstimate(joints, np.full(21, 0.9), np.full(21, sigma), 0.64, 1.0, region, metric=metric)


def test_the_surer_sensor_counts_and_evidence_of_the_side_adds_up():
    joints = open_hand('right', (0, 0, 0.5))
    both = fuse(estimate_of(joints + (0.02, 0, 0), 0.03), replace(estimate_of(joints, 0.003), presence=1.0))
    assert np.linalg.norm(both.joints - joints, axis=1).max() < 0.002
    assert both.handedness_logit == 2.0 and both.presence == pytest.approx(0.8)
    assert both.sigma.max() < 0.003, 'two estimates are surer than one'
    alone = fuse(estimate_of(2 * joints, 0.001, metric=False), estimate_of(joints, 0.02))
    assert alone.joints == pytest.approx(joints), 'a distance that is a guess does not count'
    assert alone.region.offset(PerspectiveRegion.of_hand(joints)).shift < 1e-6


@pytest.mark.parametrize('side', ['left', 'right'])
def test_the_cube_of_a_region_is_about_the_hand_at_its_depth(side):
    joints = open_hand(side, (0.05, 0.02, 0.6))
    region = PerspectiveRegion.of_hand(joints, mirror=side == 'left')
    depth = np.full((480, 640), 1.2, np.float32)
    for u, v in np.rint(CAMERA.project(joints)).astype(int):
        depth[v - 14 : v + 15, u - 14 : u + 15] = hand_center(joints)[2] - 0.012
    cube = cube_of_region(region, DepthImage(depth), CAMERA)
    assert cube.side == side and np.linalg.norm(cube.center - hand_center(joints)) < 0.02
    assert cube.size_m == pytest.approx(hand_size(joints), rel=0.05)
    assert cube_of_region(region, DepthImage(np.zeros_like(depth)), CAMERA) is None


@pytest.mark.parametrize('articulated_icp, most', [(False, 0.006), (True, 0.004)])
def test_both_cameras_of_the_bundled_clips(articulated_icp, most):
    clip = resource_path('demo', 'color')
    settings = {'modality': 'rgbd', 'mesh': False, 'articulated_icp': articulated_icp}
    truth, tracker = read_joints(clip), make_tracker(compose(TrackerSettings, settings))
    depths = {frame.name: frame.depth for frame in open_recording(resource_path('demo', 'clip'))}
    errors = [
        np.linalg.norm(hand.joints - truth[frame.name][hand.side], axis=1).mean()
        for frame in islice(open_recording(clip), 20)
        for hand in tracker.process(CameraFrame(frame.camera, frame.stamp, frame.color, depths[frame.name]))
    ]
    assert len(errors) > 35 and np.mean(errors) < most, 'by hand_size alone it is 0.1'


def test_a_frame_without_depth_is_tracked_by_color_at_the_size_that_depth_measured():
    clip = resource_path('demo', 'color')
    truth, tracker = read_joints(clip), make_tracker(compose(TrackerSettings, {'modality': 'rgbd', 'mesh': False}))
    depths = {frame.name: frame.depth for frame in open_recording(resource_path('demo', 'clip'))}
    for number, frame in enumerate(islice(open_recording(clip), 6)):
        depth = depths[frame.name] if number < 4 else None
        hands = tracker.process(CameraFrame(frame.camera, frame.stamp, frame.color, depth))
    errors = [np.linalg.norm(h.joints - truth[frame.name][h.side], axis=1).mean() for h in hands]
    assert len(errors) == 2 and max(errors) < 0.03
