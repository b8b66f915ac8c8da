"""What brings a track's joints nearer to the truth once they are estimated."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from hand_pose_ros.core.frame import CameraFrame
from hand_pose_ros.core.hand import HandEstimate
from hand_pose_ros.core.registry import Registry
from hand_pose_ros.geometry.joints import NOMINAL_HAND_SIZE_M, hand_center, hand_size
from hand_pose_ros.hand_model.articulated_icp import ArticulatedIcp
from hand_pose_ros.hand_model.inverse_kinematics import InverseKinematics
from hand_pose_ros.regions.cube import CUBE_PER_HAND, cut_view
from hand_pose_ros.settings import TrackingSettings
from hand_pose_ros.tracking.track import Track


class JointRefiner(Protocol):
    """Refines the estimate of a tracked hand.

    Attributes:
        settings: what the tracker is set to now; the refiner leaves estimates alone where these switch it off.

    """

    settings: TrackingSettings

    def refine(self, track: Track, estimate: HandEstimate, frame: CameraFrame) -> HandEstimate:
        """Return the estimate with other joints, or as it is."""
        ...


@dataclass
class HandScale:
    """Moves hands of assumed size along their lines of sight: to the size that was measured, or the parameter's."""

    settings: TrackingSettings
    fitter: InverseKinematics

    def refine(self, track: Track, estimate: HandEstimate, frame: CameraFrame) -> HandEstimate:
        """See ``JointRefiner.refine``."""
        if estimate.metric:
            track.size_m = hand_size(estimate.joints)
            return estimate
        scale = (track.size_m or self.settings.hand_size) / NOMINAL_HAND_SIZE_M
        return replace(estimate, joints=estimate.joints * scale, sigma=estimate.sigma * scale, hypotheses=())


@dataclass
class IcpRefiner:
    """Brings the hand model to the points of the depth image, see ``hand_model.articulated_icp``."""

    settings: TrackingSettings
    fitter: InverseKinematics
    #: Pixels along a side of the view of a hand.
    view_pixels: int = 96

    def __post_init__(self) -> None:
        self._icp = ArticulatedIcp(self.fitter)

    def refine(self, track: Track, estimate: HandEstimate, frame: CameraFrame) -> HandEstimate:
        """See ``JointRefiner.refine``."""
        if frame.depth is None or not self.settings.articulated_icp:
            return estimate
        joints = estimate.joints
        moving = track.last_joints is not None and track.elapsed_s > 0
        speed = np.linalg.norm(joints - track.last_joints, axis=1).mean() / track.elapsed_s if moving else 0.0
        track.last_joints = joints
        # Past a hand, the camera sees also what is too far away to be one.
        everything = replace(frame.depth, near=0.0, far=np.inf)
        half = CUBE_PER_HAND * hand_size(joints)
        view = cut_view(everything, frame.camera, hand_center(joints), half, self.view_pixels)
        fitted = self._icp.fit(joints, estimate.sigma, track.side, *view, track.shape, estimate.hypotheses, speed)
        return replace(estimate, joints=fitted)


@dataclass
class OneEuroRefiner:
    """Steadies the joints by a One Euro filter a track."""

    settings: TrackingSettings
    fitter: InverseKinematics

    def refine(self, track: Track, estimate: HandEstimate, frame: CameraFrame) -> HandEstimate:
        """See ``JointRefiner.refine``."""
        if not self.settings.smoothing:
            return estimate
        return replace(estimate, joints=track.filter(estimate.joints, track.elapsed_s))


#: Refiners by name, in the order in which they are applied: what makes each, of settings and the hand models.
REFINERS: Registry = Registry(
    'hand_pose_ros.refiners',
    {
        'hand_scale': f'{__name__}:HandScale',
        'articulated_icp': f'{__name__}:IcpRefiner',
        'one_euro': f'{__name__}:OneEuroRefiner',
    },
)
