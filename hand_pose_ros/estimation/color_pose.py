"""From crops of a colour image to joints: cut, run the network, place the hand by its known size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hand_pose_ros.estimation.engines import Engine, open_engine
from hand_pose_ros.estimation.models import RGB_POSE, Model, ModelError, find_model
from hand_pose_ros.geometry.camera import Camera
from hand_pose_ros.geometry.joints import WRIST
from hand_pose_ros.localization.color_crop import ColorCrop
from hand_pose_ros.localization.crop import hand_centre


@dataclass(frozen=True)
class ColorPose:
    """What the network makes of one crop.

    Attributes:
        joints: (21, 3) metres, camera optical frame.
        confidence: (21,) from 0 to 1: probability that a joint is within 10 mm, its hand's place and size being right.
        presence: probability that the crop shows a hand.
        side_odds: log odds that the hand is of the crop's side.
        spread: (21,) metres, how far the network's estimates of a joint lie apart.

    """

    joints: np.ndarray
    confidence: np.ndarray
    presence: float
    side_odds: float
    spread: np.ndarray


class ColorPoseEstimator:
    """A pose network for colour crops and its engine.

    Networks see right hands only: a left one is shown in a mirrored crop, see ``ColorCrop``.

    Raises:
        ModelError: the model is missing, damaged or not a pose network for colour images.
        EngineError: the engine is not installed.

    """

    def __init__(self, model: str = '', engine: str = 'auto', threads: int = 0, precision: str = 'auto') -> None:
        self.model: Model = find_model(model, RGB_POSE)
        self.engine: Engine = open_engine(self.model, engine, threads, precision)
        channels, height, self.input_size = self.engine.input_shape
        if channels != 3 or height != self.input_size:
            raise ModelError(f'{self.model.path} takes {channels} channels of {height}x{self.input_size}; a pose network '
                             'for colour images takes three square channels')

    def cut(self, image: np.ndarray, camera: Camera, crops: list[ColorCrop]) -> np.ndarray:
        """Cut the network's input (N, 3, S, S) out of an image (H, W, 3) uint8 in bgr order."""
        cut = np.stack([crop.cut(image, camera, self.input_size) for crop in crops])
        return np.ascontiguousarray(cut[..., ::-1].transpose(0, 3, 1, 2)).astype(np.float32) / np.float32(127.5) - 1

    def estimate(self, images: np.ndarray, crops: list[ColorCrop], size: float) -> list[ColorPose]:
        """Run the network over what :meth:`cut` gave, for hands of ``size`` metres (``crop.hand_size``)."""
        joints, points, spread, right, *_ = self.engine(images)
        return [self._pose(*one, size) for one in zip(joints.astype(float), points.astype(float), spread,
                                                      right.tolist(), crops)]

    def _pose(self, joints: np.ndarray, points: np.ndarray, spread: np.ndarray, right: float, crop: ColorCrop,
              size: float) -> ColorPose:
        joints = (joints - joints[WRIST]) * size
        intercept, slope = self.model.confidence
        log_odds = intercept - slope * np.log(np.maximum(1000 * size * spread, 1e-3))
        intercept, slope = self.model.presence
        presence = 1 / (1 + np.exp(-(intercept - slope * float(np.log(spread).mean()))))
        joints = place(joints, points, spread, crop)
        return ColorPose(joints, (1 / (1 + np.exp(-log_odds))).astype(np.float32), float(presence), right, size * spread)


def place(joints: np.ndarray, points: np.ndarray, spread: np.ndarray, crop: ColorCrop) -> np.ndarray:
    """Find a hand of known size before the camera.

    Args:
        joints: (21, 3) metres from the wrist, in the crop's frame.
        points: (21, 2) crop coordinates.
        spread: (21,) expected errors of joints, in hand sizes.
        crop: that these are of.

    Returns:
        (21, 3) metres, the image's camera optical frame.

    """
    # Joints that are seen ill say less about where the hand is.
    wrist = crop.place(joints, points, 1 / np.square(np.maximum(spread, 0.02)))
    return crop.draw_to_points(wrist + crop.to_camera(joints), points)


def merge(poses: Sequence[ColorPose]) -> ColorPose:
    """Average several opinions on one hand: each joint's place about the hand's middle by its certainty, the rest alike."""
    if len(poses) == 1:
        return poses[0]
    joints = np.stack([pose.joints for pose in poses])
    centres = np.stack([hand_centre(pose.joints) for pose in poses])
    weights = 1 / np.square([pose.spread for pose in poses])[..., None]
    about = ((joints - centres[:, None]) * weights).sum(0) / weights.sum(0)

    def mean(name: str) -> np.ndarray:
        return np.mean([getattr(pose, name) for pose in poses], axis=0)

    return ColorPose(centres.mean(0) + about, mean('confidence'), float(mean('presence')), float(mean('side_odds')),
                     mean('spread'))
