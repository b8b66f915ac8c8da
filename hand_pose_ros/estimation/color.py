"""Hands' poses from crops of a color image: cut, run the network, place the hand by its size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from hand_pose_ros.core.frame import CameraFrame, Channel
from hand_pose_ros.core.hand import HandEstimate
from hand_pose_ros.core.stage_timer import StageTimer
from hand_pose_ros.estimation.fusion import merge
from hand_pose_ros.estimation.pose_network import PoseNetwork
from hand_pose_ros.geometry.camera import Camera
from hand_pose_ros.geometry.joints import NOMINAL_HAND_SIZE_M, WRIST, hand_center, hand_size
from hand_pose_ros.inference.models import COLOR_POSE
from hand_pose_ros.regions.base import View
from hand_pose_ros.regions.perspective import CLOSER, PerspectiveRegion
from hand_pose_ros.settings import ModelSettings

#: Number of views of a hand -> the ways in which it is shown: closer than in its region, as in training.
VIEWS: dict[int, tuple[View, ...]] = {
    count: tuple(View(turn, CLOSER) for turn in turns)
    for count, turns in {1: (0.0,), 2: (0.15, -0.15), 4: (0.1, -0.1, 0.3, -0.3)}.items()
}


@dataclass(frozen=True)
class PlacementConfiguration:
    """How a hand of known size is placed before the camera."""

    #: Joints are not weighed as if they were surer than this, in hand sizes.
    least_sigma: float = 0.02
    #: No joint of a hand is nearer to the camera than this, meters. What seems so is in a photograph that was cut, of a
    #: camera that sees less than its calibration says.
    least_depth_m: float = 0.1


PLACEMENT = PlacementConfiguration()


class ColorPoseEstimator(PoseNetwork):
    """A pose network for color crops and its engine.

    Networks see right hands only: a left one is shown in a mirrored crop, see ``PerspectiveRegion``. Hands are taken
    to be of ``NOMINAL_HAND_SIZE_M``: one camera does not tell a small hand nearby from a large one far away.

    Raises:
        ModelError: the model is missing, damaged or not a pose network for color images.
        EngineError: the engine is not installed.

    """

    needs = frozenset({Channel.COLOR})

    def __init__(
        self, settings: ModelSettings = ModelSettings(modality='color'), timer: StageTimer | None = None
    ) -> None:
        super().__init__(settings, timer, COLOR_POSE, channels=3)

    def estimate(self, frame: CameraFrame, regions: Sequence[PerspectiveRegion], views: int = 1) -> list[HandEstimate]:
        """See ``PoseEstimator.estimate``."""
        assert frame.color is not None
        shown = [region.view(view) for view in VIEWS[views] for region in regions]
        with self._timer('crop'):
            images = self.cut(frame.color, frame.camera, shown)
        with self._timer('network'):
            joints, points, sigma, right, *_ = self.engine(images)
        every = [
            self._estimate(*one, frame.camera)
            for one in zip(joints.astype(float), points.astype(float), sigma, right.tolist(), shown)
        ]
        return [merge(every[n :: len(regions)]) for n in range(len(regions))]

    def cut(self, image: np.ndarray, camera: Camera, regions: Sequence[PerspectiveRegion]) -> np.ndarray:
        """Cut the network's input (N, 3, S, S) out of an image (H, W, 3) uint8 in bgr order."""
        cut = [region.cut(image, camera, self.input_size) for region in regions]
        return cv2.dnn.blobFromImages(cut, 1 / 127.5, mean=(127.5, 127.5, 127.5), swapRB=True)

    def _estimate(
        self,
        joints: np.ndarray,
        points: np.ndarray,
        sigma: np.ndarray,
        right: float,
        region: PerspectiveRegion,
        camera: Camera,
    ) -> HandEstimate:
        joints = place((joints - joints[WRIST]) * NOMINAL_HAND_SIZE_M, points, sigma, region)
        presence = self.model.presence_of(sigma) if in_view(joints, camera) else 0.0
        sigma = NOMINAL_HAND_SIZE_M * sigma
        return HandEstimate(
            joints, self.model.joint_confidence(sigma), sigma, presence, right, region.about(joints), metric=False
        )


def place(joints: np.ndarray, points: np.ndarray, sigma: np.ndarray, region: PerspectiveRegion) -> np.ndarray:
    """Find a hand of known size before the camera.

    Args:
        joints: (21, 3) meters from the wrist, in the crop's frame.
        points: (21, 2) crop coordinates.
        sigma: (21,) expected errors of joints, in hand sizes.
        region: that these are of.

    Returns:
        (21, 3) meters, the image's camera optical frame.

    """
    # Joints that are hardly seen say less about where the hand is.
    wrist = region.place(joints, points, 1 / np.square(np.maximum(sigma, PLACEMENT.least_sigma)))
    return keep_away(region.draw_to_points(wrist + region.to_camera(joints), points), points, region)


def keep_away(joints: np.ndarray, points: np.ndarray, region: PerspectiveRegion) -> np.ndarray:
    """Move a hand away that seems nearer to the camera than hands are, or behind it.

    Args:
        joints: (21, 3) meters, the image's camera optical frame.
        points: (21, 2) crop coordinates where the joints are seen.
        region: that these are of.

    Returns:
        (21, 3) as ``joints``; what was moved lies on the lines of sight of the points, and is of
        ``NOMINAL_HAND_SIZE_M``, so that it may be flatter than the hand is.

    """
    missing = PLACEMENT.least_depth_m - joints[:, 2].min()
    if not missing > 0:
        return joints
    rays = region.lines_of_sight(points)
    if (rays[:, 2] <= 0).any():
        return joints
    moved = rays * ((joints[:, 2] + missing) / rays[:, 2])[:, None]
    return moved * (NOMINAL_HAND_SIZE_M / max(hand_size(moved), 1e-6))


def in_view(joints: np.ndarray, camera: Camera) -> bool:
    """Whether a hand (21, 3) is before the camera, and its center in the image."""
    center = hand_center(joints)
    if not np.isfinite(center).all() or (joints[:, 2] <= 0).any():
        return False
    pixel = camera.project(center[None])[0]
    return bool((pixel > 0).all() and (pixel < (camera.width, camera.height)).all())
