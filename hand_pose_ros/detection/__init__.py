"""Where new hands may be."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hand_pose_ros.core.registry import Registry
from hand_pose_ros.core.stage_timer import StageTimer
from hand_pose_ros.detection.base import HandDetector
from hand_pose_ros.settings import ModelSettings

#: Detectors by name: what makes each.
DETECTORS: Registry[Callable[[ModelSettings, StageTimer], HandDetector[Any]]] = Registry(
    'hand_pose_ros.detectors',
    {
        'depth_cells': 'hand_pose_ros.detection.depth:DepthDetector',
        'color_detector': 'hand_pose_ros.detection.color:ColorDetector',
        'palms_and_squares': 'hand_pose_ros.detection.either:PalmsAndSquares',
        'mediapipe_palms': 'hand_pose_ros.detection.mediapipe_palms:mediapipe_palms',
        'mediapipe_palms_lite': 'hand_pose_ros.detection.mediapipe_palms:mediapipe_palms_lite',
    },
)
