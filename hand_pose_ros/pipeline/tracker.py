"""Placeholder body: being written by the lead. Interface is final."""
from __future__ import annotations

import numpy as np

from hand_pose_ros.geometry.camera import Camera
from hand_pose_ros.parameters import TrackerParameters
from hand_pose_ros.pipeline.hand import Hand


class HandTracker:
    """Finds and follows hands through the depth frames of one camera."""

    def __init__(self, parameters: TrackerParameters = TrackerParameters()) -> None:
        self.parameters = parameters
        self.engine_description = 'placeholder'   # e.g. 'OpenVINO 2026.1 on CPU, jgr_p2o, f32'
        self.stage_times: dict[str, float] = {}   # seconds spent in the last frame: localize, crop, network, hand_model

    def process(self, depth: np.ndarray, camera: Camera) -> list[Hand]:
        """Track hands in ``depth`` (H, W) float32 metres, 0 where there is no return; camera of the same size."""
        return []

    def reset(self) -> None:
        """Forget every tracked hand (a new clip, a camera that jumped)."""
