"""Color and depth of one camera: both networks estimate a hand, and what they say is fused by their sigma."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from hand_pose_ros.core.frame import CameraFrame, Channel
from hand_pose_ros.core.hand import Hand, HandEstimate
from hand_pose_ros.estimation.base import PoseEstimator
from hand_pose_ros.estimation.depth_scale import size_from_depth
from hand_pose_ros.estimation.fusion import mean_joints
from hand_pose_ros.geometry.camera import Camera
from hand_pose_ros.geometry.joints import NOMINAL_HAND_SIZE_M
from hand_pose_ros.imaging.images import DepthImage, explain_emptiness
from hand_pose_ros.regions.cube import CUBE_PER_HAND, LARGEST_HAND_M, SMALLEST_HAND_M, CubeRegion
from hand_pose_ros.regions.perspective import PerspectiveRegion


@dataclass(frozen=True)
class RgbdConfiguration:
    """How the depth region follows from the color region."""

    #: Side of the middle of the color region in which depth is of the hand, as a share of its side.
    middle: float = 0.4
    #: Pixels along a side of that middle which are looked at.
    samples: int = 15
    #: Share of these that must show something.
    least_share: float = 0.2
    #: A hand's center lies so far beneath its skin, in hand sizes.
    beneath: float = 0.15
    #: What color's joints are off beyond their sigma, which is of the hand's form and not of its place, meters.
    placement_sigma_m: float = 0.012


class RgbdEstimator:
    """Fuses a color and a depth estimator; where depth shows nothing of a hand, color alone decides.

    Args:
        color: says where a hand is in the image.
        depth: gets the cube around it.

    """

    def __init__(
        self,
        color: PoseEstimator[PerspectiveRegion],
        depth: PoseEstimator[CubeRegion],
        configuration: RgbdConfiguration = RgbdConfiguration(),
    ) -> None:
        self._color, self._depth, self._configuration = color, depth, configuration
        self.needs = frozenset({Channel.COLOR})  # A frame without depth is one for color alone.
        self.model_name = f'{color.model_name} + {depth.model_name}'
        self.description = f'{color.description} + {depth.model_name}'

    def estimate(self, frame: CameraFrame, regions: Sequence[PerspectiveRegion], views: int = 1) -> list[HandEstimate]:
        """See ``PoseEstimator.estimate``."""
        found = self._color.estimate(frame, regions, views)
        if frame.depth is None:
            return found
        found = [_scaled(one, frame.depth, frame.camera) for one in found]
        cubes = [
            CubeRegion.of_hand(one.joints, region.side)
            if one.metric
            else cube_of_region(region, frame.depth, frame.camera, self._configuration)
            for one, region in zip(found, regions)
        ]
        seen = {n: cube for n, cube in enumerate(cubes) if cube is not None}
        if seen:
            for n, by_depth in zip(seen, self._depth.estimate(frame, list(seen.values()), views)):
                found[n] = fuse(found[n], by_depth, self._configuration)
        return found


def why_not_measured(depth: DepthImage, hands: Sequence[Hand], near: float, far: float) -> str:
    """Why a depth image did not tell how far away hands are: those that color shows, or any where there is none.

    Args:
        depth: of the frame.
        hands: found in it, none of them ``metric``.
        near: of the reach, meters.
        far: likewise.

    Returns:
        A clause; empty where no hand is found, and nothing is wrong with the image.

    """
    return explain_emptiness(depth, near, far) or ('depth shows nothing of a hand where they are' if hands else '')


def _scaled(estimate: HandEstimate, depth: DepthImage, camera: Camera) -> HandEstimate:
    """An estimate by color with the size that depth measures, where it does."""
    size = size_from_depth(estimate.joints, NOMINAL_HAND_SIZE_M, estimate.confidence, depth, camera)
    if size is None:
        return estimate
    scale = size / NOMINAL_HAND_SIZE_M
    return replace(estimate, joints=estimate.joints * scale, sigma=estimate.sigma * scale, metric=True)


def cube_of_region(
    region: PerspectiveRegion, depth: DepthImage, camera: Camera, limits: RgbdConfiguration = RgbdConfiguration()
) -> CubeRegion | None:
    """The cube of the hand in a color region, at the median depth of its middle; None where depth shows nothing.

    Args:
        region: of the color image.
        depth: (H, W) of the same camera.
        camera: pinhole of both.
        limits: where the hand is in the region.

    """
    line = np.linspace(-limits.middle, limits.middle, limits.samples)
    pixels = np.rint(region.to_pixels(np.stack(np.meshgrid(line, line), -1).reshape(-1, 2), camera)).astype(int)
    inside = ((pixels >= 0) & (pixels < (camera.width, camera.height))).all(1)
    if not inside.any():
        return None
    column, row = pixels[inside].T
    seen = depth[row[None], column[None]]
    seen = seen[seen > 0]
    if len(seen) < limits.least_share * len(pixels):
        return None
    forward = region.rotation[2] / region.rotation[2, 2]
    distance = float(np.median(seen))
    size = region.reach * distance * float(np.linalg.norm(forward)) / CUBE_PER_HAND
    size = float(np.clip(size, SMALLEST_HAND_M, LARGEST_HAND_M))
    return CubeRegion(forward * (distance + limits.beneath * size), size, region.side)


def fuse(color: HandEstimate, depth: HandEstimate, limits: RgbdConfiguration = RgbdConfiguration()) -> HandEstimate:
    """Fuse estimates of one hand by two sensors; joints by their certainty, where color has no distance by depth's."""
    joints, sigma = depth.joints, depth.sigma
    if color.metric:
        both = np.stack([np.hypot(color.sigma, limits.placement_sigma_m), depth.sigma])
        joints = mean_joints(np.stack([color.joints, depth.joints]), both)
        sigma = 1 / np.sqrt((1 / np.square(both)).sum(0))
    return replace(
        depth,
        joints=joints,
        sigma=sigma,
        presence=float(np.sqrt(color.presence * depth.presence)),
        handedness_logit=color.handedness_logit + depth.handedness_logit,
        region=color.region.about(joints),
    )
