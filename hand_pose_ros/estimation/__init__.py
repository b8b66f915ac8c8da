"""The pose of a hand in its region."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hand_pose_ros.core.registry import Registry
from hand_pose_ros.core.stage_timer import StageTimer
from hand_pose_ros.estimation.base import PoseEstimator
from hand_pose_ros.settings import ModelSettings

#: Pose estimators by name: what makes each.
ESTIMATORS: Registry[Callable[[ModelSettings, StageTimer], PoseEstimator[Any]]] = Registry(
    'hand_pose_ros.estimators',
    {
        'depth_network': 'hand_pose_ros.estimation.depth:DepthPoseEstimator',
        'color_network': 'hand_pose_ros.estimation.color:ColorPoseEstimator',
        'mediapipe_landmarks': 'hand_pose_ros.estimation.mediapipe_landmarks:mediapipe_landmarks',
        'mediapipe_landmarks_lite': 'hand_pose_ros.estimation.mediapipe_landmarks:mediapipe_landmarks_lite',
    },
)
