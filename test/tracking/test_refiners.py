"""What refines a tracked hand's joints: by which speed and in which view."""

from __future__ import annotations

import numpy as np
import pytest
from synthetic_hand import CAMERA, open_hand

from hand_pose_ros.core.frame import CameraFrame
from hand_pose_ros.core.hand import HandEstimate
from hand_pose_ros.hand_model.inverse_kinematics import InverseKinematics
from hand_pose_ros.hand_model.model import load_hand_model
from hand_pose_ros.imaging.images import DepthImage
from hand_pose_ros.settings import TrackingSettings
from hand_pose_ros.tracking.refiners import IcpRefiner
from hand_pose_ros.tracking.track import Track


def test_articulated_icp_gets_the_speed_of_the_last_two_frames(monkeypatch):
    speeds = []

    def fit(joints, sigma, side, depth, camera, state, hypotheses, speed):
        speeds.append(speed)
        return joints + 0.001

    refiner = IcpRefiner(TrackingSettings(articulated_icp=True), InverseKinematics(load_hand_model()))
    monkeypatch.setattr(refiner._icp, 'fit', fit)
    wall = DepthImage(np.full((CAMERA.height, CAMERA.width), 0.7, np.float32))
    frame, track = CameraFrame(CAMERA, depth=wall), Track(track_id=0, region=None, right_logit=1.0, elapsed_s=0.05)
    for x in (0.0, 0.01, 0.01):
        joints = open_hand('right', (x, 0.0, 0.5))
        estimate = HandEstimate(joints, np.ones(21), np.full(21, 0.005), 1.0, 5.0, region=None)
        assert refiner.refine(track, estimate, frame).joints == pytest.approx(joints + 0.001)
    assert speeds == pytest.approx([0, 0.2, 0])
    refiner.settings = TrackingSettings(articulated_icp=False)
    assert refiner.refine(track, estimate, frame) is estimate and len(speeds) == 3
