"""MediaPipe's hand landmarks: the pose of a hand from a crop of a color image.

The network is MediaPipe's (Zhang et al., "MediaPipe Hands: On-device Real-time Hand Tracking", 2020, section 2.2). It
gives 21 points in the crop, the same in meters about the hand's center ("world landmarks"), whether a hand is there,
and its side. MediaPipe names sides for mirrored images: in an image that is not mirrored, what it calls the score of
``Left`` is the probability of a right hand.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np

from hand_pose_ros.core.frame import CameraFrame, Channel
from hand_pose_ros.core.hand import HandEstimate
from hand_pose_ros.core.stage_timer import StageTimer
from hand_pose_ros.estimation.color import in_view, keep_away
from hand_pose_ros.estimation.mediapipe_mapping import (
    CONFIDENCE,
    DEPTH_MIX,
    SIGMA_FLOOR,
    SIGMA_GAIN,
    joint_offsets,
)
from hand_pose_ros.geometry.camera import Camera
from hand_pose_ros.geometry.joints import KNUCKLES, NOMINAL_HAND_SIZE_M, WRIST, hand_size
from hand_pose_ros.inference.base import BATCHES
from hand_pose_ros.inference.mediapipe_files import LANDMARKS, LANDMARKS_LITE, find_file
from hand_pose_ros.inference.tflite import open_tflite
from hand_pose_ros.regions.base import View
from hand_pose_ros.regions.perspective import PerspectiveRegion
from hand_pose_ros.settings import ModelSettings


@dataclass(frozen=True)
class LandmarkConstants:
    """Numbers of the network and of MediaPipe's graph ``hand_landmark_landmarks_to_roi``, and some of ours."""

    #: Pixels along a side of the network's image.
    input_pixels: int = 224
    #: Points that the hand's next square is taken from: all but the outer two of each finger.
    palm_points: tuple[int, ...] = (0, 1, 2, 3, 5, 6, 9, 10, 13, 14, 17, 18)
    #: That square in boxes of these points, and how far ahead of the box its center lies, in heights of the box.
    square_per_box: float = 2.0
    ahead: float = 0.1
    #: Log odds beyond which the network's sides are not believed: it says 1 where it means nearly always. Ours.
    side_logit: float = 6.0


MARK = LandmarkConstants()
#: Number of views of a hand -> the ways in which it is shown.
VIEWS: dict[int, tuple[View, ...]] = {
    count: tuple(View(turn) for turn in turns)
    for count, turns in {1: (0.0,), 2: (0.15, -0.15), 4: (0.1, -0.1, 0.3, -0.3)}.items()
}


@dataclass(frozen=True)
class Landmarks:
    """What the network says of a hand, of one view or the mean of several.

    Attributes:
        points: (21, 3) MediaPipe's: coordinates of the hand's region that is not mirrored, -1 to 1 over it, and the
            depth from the wrist, in the same unit.
        world: (21, 3) MediaPipe's, meters about the hand's center, in the region's frame.
        presence: probability that a hand is there.
        right_logit: log odds that it is a right one.

    """

    points: np.ndarray
    world: np.ndarray
    presence: float
    right_logit: float

    @cached_property
    def scale(self) -> float:
        """Crop coordinates a meter, by which the world landmarks fit the points."""
        seen, known = self.points[:, :2] - self.points[:, :2].mean(0), self.world[:, :2] - self.world[:, :2].mean(0)
        return max(float((seen * known).sum() / max((known * known).sum(), 1e-12)), 1e-6)

    def disagreement(self) -> np.ndarray:
        """(21,) how far points and world landmarks lie apart across the line of sight, hand sizes."""
        apart = self.points[:, :2] / self.scale - self.world[:, :2]
        return np.linalg.norm(apart - apart.mean(0), axis=1) / max(hand_size(self.world), 1e-6)

    def shape(self) -> np.ndarray:
        """(21, 3) meters in the region's frame: across the line of sight by the points, along it by both."""
        shape = self.points / self.scale
        shape[:, 2] = DEPTH_MIX[0] * shape[:, 2] + DEPTH_MIX[1] * self.world[:, 2]
        return shape


def landmark_square(points: np.ndarray) -> tuple[np.ndarray, float, np.ndarray]:
    """Find where MediaPipe expects a hand in the next image.

    Args:
        points: (21, 2) pixels of the image, MediaPipe's.

    Returns:
        The square's center (2,) and half its side in pixels, and where the hand points, (2,).

    """
    index, middle, ring = (points[KNUCKLES[finger]] for finger in range(3))
    direction = ((index + ring) / 2 + middle) / 2 - points[WRIST]
    direction = direction / max(float(np.linalg.norm(direction)), 1e-6)
    axes = np.array([[-direction[1], direction[0]], -direction])  # to the right and down, the hand pointing up
    turned = points[list(MARK.palm_points)] @ axes.T
    low, high = turned.min(0), turned.max(0)
    size = high - low
    center = (low + high) / 2 - [0, MARK.ahead * size[1]]
    return center @ axes, MARK.square_per_box / 2 * float(size.max()), direction


def upright(region: PerspectiveRegion) -> PerspectiveRegion:
    """The region as it is in the image: a left hand's, which is mirrored, mirrored back."""
    return region if region.side == 'right' else region.mirrored()


def merge_landmarks(
    views: Sequence[Landmarks], shown: Sequence[PerspectiveRegion], region: PerspectiveRegion
) -> Landmarks:
    """Average what several views, each of a region in ``shown``, say of the hand in a region that is not mirrored."""
    if len(views) == 1 and shown[0] is region:
        return views[0]
    points, world, right = [], [], []
    for view, place in zip(views, shown):
        seen = region.project(place.lines_of_sight(view.points[:, :2]))
        points.append(np.concatenate([seen, view.points[:, 2:] * place.reach / region.reach], 1))
        world.append(region.from_camera(place.to_camera(view.world)))
        right.append(view.right_logit if place.side == 'right' else -view.right_logit)
    return Landmarks(
        np.mean(points, 0),
        np.mean(world, 0),
        float(np.mean([view.presence for view in views])),
        float(np.mean(right)),
    )


def place_joints(marks: Landmarks, region: PerspectiveRegion) -> tuple[np.ndarray, np.ndarray]:
    """Our joints of a hand by MediaPipe's landmarks.

    Args:
        marks: of the hand in the region.
        region: not mirrored.

    Returns:
        (21, 3) meters in the image's camera optical frame, of a hand of ``NOMINAL_HAND_SIZE_M``; (21,) expected errors
        of joints, meters, the hand's place and size being right.

    """
    shape = marks.shape()
    joints = shape + joint_offsets(shape, marks.right_logit > 0)
    points = joints[:, :2] * marks.scale
    joints = (joints - joints[WRIST]) * (NOMINAL_HAND_SIZE_M / max(hand_size(joints), 1e-6))
    sigma = NOMINAL_HAND_SIZE_M * (SIGMA_FLOOR + SIGMA_GAIN * marks.disagreement())
    wrist = region.place(joints, points, 1 / np.square(sigma))
    # The points are by far the surer ones: all the way to their lines of sight.
    joints = region.draw_to_points(wrist + region.to_camera(joints), points, 1.0)
    return keep_away(joints, points, region), sigma


class MediaPipeLandmarks:
    """Hands by MediaPipe's landmarks.

    The network knows hands of both sides: a region is shown to it as it is in the image, whichever side it is of. So a
    hand's pose does not depend on the side that it is taken for, and ``handedness_logit`` is the network's own word,
    turned into the odds for the region's side. Regions that are mirror images of one another, which trackers ask for
    while they are not sure of a side, are one hand: it is shown mirrored too, and both views are averaged. What is no
    hand seldom resembles one both ways (in 643 photographs without hands, this leaves 2 of 5 false ones).

    Args:
        file: of ``mediapipe_files.FILES``.
        settings: which engine computes it.
        timer: takes the times of ``crop`` and ``network``.

    Raises:
        ModelError: MediaPipe's files are not on this machine, or are damaged.
        EngineError: OpenVINO is not installed or cannot compute so.

    """

    needs = frozenset({Channel.COLOR})

    def __init__(self, file: str, settings: ModelSettings, timer: StageTimer) -> None:
        self._timer = timer
        self._network = open_tflite(find_file(file), BATCHES, settings.engine, settings.precision, settings.threads)
        self.model_name = file.removesuffix('.tflite')
        self.description = f'{self._network.description}, {self.model_name}'

    def landmarks(self, image: np.ndarray, camera: Camera, regions: Sequence[PerspectiveRegion]) -> list[Landmarks]:
        """Run the network once a region.

        Args:
            image: (H, W, 3) uint8 in bgr order.
            camera: of the image.
            regions: where, and how they are shown: what is said of a mirrored one is of the mirror image.

        """
        side = MARK.input_pixels
        with self._timer('crop'):
            crops = np.empty((len(regions), side, side, 3), np.float32)
            for crop, region in zip(crops, regions):
                rgb = cv2.cvtColor(region.cut(image, camera, side), cv2.COLOR_BGR2RGB)
                np.multiply(rgb, np.float32(1 / 255), out=crop)
        with self._timer('network'):
            points, presence, right, world = self._network(crops)
        right = np.clip(right[:, 0].astype(float), 1e-9, 1 - 1e-9)
        logits = np.clip(np.log(right / (1 - right)), -MARK.side_logit, MARK.side_logit)
        return [
            Landmarks(marks * 2 / side - [1, 1, 0], shape, float(there), float(logit))
            for marks, shape, there, logit in zip(
                points.reshape(-1, 21, 3).astype(float), world.reshape(-1, 21, 3).astype(float), presence[:, 0], logits
            )
        ]

    def estimate(self, frame: CameraFrame, regions: Sequence[PerspectiveRegion], views: int = 1) -> list[HandEstimate]:
        """See ``PoseEstimator.estimate``. Hands are taken to be of ``NOMINAL_HAND_SIZE_M``, so ``metric`` is false."""
        assert frame.color is not None
        places = [upright(region) for region in regions]
        first = [next(n for n, other in enumerate(places) if _same(place, other)) for place in places]
        shown: dict[int, list[PerspectiveRegion]] = {}
        for n in dict.fromkeys(first):
            shown[n] = [places[n].view(view) for view in VIEWS[views]]
            if len({region.side for region, other in zip(regions, first) if other == n}) == 2:
                shown[n] += [view.mirrored() for view in shown[n]]
        seen = iter(self.landmarks(frame.color, frame.camera, [one for each in shown.values() for one in each]))
        marks = {n: merge_landmarks([next(seen) for _ in each], each, places[n]) for n, each in shown.items()}
        return [hand_estimate(marks[n], places[n], region.side, frame.camera) for n, region in zip(first, regions)]


def hand_estimate(marks: Landmarks, region: PerspectiveRegion, side: str, camera: Camera) -> HandEstimate:
    """The estimate of a hand by its landmarks in a region that is not mirrored, for a track of ``side``."""
    joints, sigma = place_joints(marks, region)
    square = landmark_square(region.to_pixels(marks.points[:, :2], camera))
    intercept, slope = CONFIDENCE
    confidence = 1 / (1 + np.exp(slope * np.log(1000 * sigma) - intercept))
    return HandEstimate(
        joints=joints,
        confidence=confidence.astype(np.float32),
        sigma=sigma,
        presence=marks.presence if in_view(joints, camera) else 0.0,
        handedness_logit=marks.right_logit if side == 'right' else -marks.right_logit,
        region=PerspectiveRegion.of_square(camera, *square, mirror=side == 'left'),
        metric=False,
    )


def _same(one: PerspectiveRegion, other: PerspectiveRegion) -> bool:
    return one.reach == other.reach and bool(np.abs(one.rotation - other.rotation).max() < 1e-9)


def mediapipe_landmarks(settings: ModelSettings, timer: StageTimer) -> MediaPipeLandmarks:
    """Make the full estimator."""
    return MediaPipeLandmarks(LANDMARKS, settings, timer)


def mediapipe_landmarks_lite(settings: ModelSettings, timer: StageTimer) -> MediaPipeLandmarks:
    """Make the lite estimator: half the time, for near hands."""
    return MediaPipeLandmarks(LANDMARKS_LITE, settings, timer)
