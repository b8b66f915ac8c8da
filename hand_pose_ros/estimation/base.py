"""What a tracker asks of a pose estimator."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from hand_pose_ros.core.frame import CameraFrame, Channel
from hand_pose_ros.core.hand import HandEstimate
from hand_pose_ros.regions.base import RegionT


class PoseEstimator(Protocol[RegionT]):
    """Estimates the pose of hands in their regions.

    Attributes:
        needs: channels that a frame must hold.
        description: engine and model, for people.
        model_name: of the network, as the manifest has it.

    """

    needs: frozenset[Channel]
    description: str
    model_name: str

    def estimate(self, frame: CameraFrame, regions: Sequence[RegionT], views: int = 1) -> list[HandEstimate]:
        """Estimate one hand a region, each from ``views`` views of it."""
        ...
