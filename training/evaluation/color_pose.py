"""A model for color crops as the tracker uses it, on the validation renders.

Joints after Procrustes alignment and from the wrist: by one view of each crop; as the tracker sees a hand that is new
(in four rounds, by better crops, each of so many views as the parameter says); and as it sees the same hand in the next
image, being followed (in one round, where its joints were). Of a new hand: what would be left were the joints right
across the line of sight or along it; points in the image, and the overlap of the true mask with the hand model that is
fitted to the joints and placed by the hand's size. And the handedness.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from tqdm import tqdm

from hand_pose_ros.core.frame import CameraFrame, Channel
from hand_pose_ros.core.hand import HandEstimate
from hand_pose_ros.estimation.base import PoseEstimator
from hand_pose_ros.estimation.color import ColorPoseEstimator, place
from hand_pose_ros.evaluation.scoring import align
from hand_pose_ros.geometry.camera import Camera
from hand_pose_ros.geometry.joints import NOMINAL_HAND_SIZE_M
from hand_pose_ros.hand_model.inverse_kinematics import InverseKinematics
from hand_pose_ros.hand_model.loading import load_hand_models
from hand_pose_ros.regions.base import View
from hand_pose_ros.regions.perspective import CLOSER, PerspectiveRegion
from hand_pose_ros.settings import ModelSettings
from hand_pose_ros.tracking.configuration import COLOR
from hand_pose_ros.tracking.rounds import estimate_further
from hand_pose_ros.tracking.track import Track
from training.evaluation.figures import Measurement
from training.evaluation.precision import color_input, run_in_batches
from training.rasterizer import ZBuffer
from training.tasks.color_pose import Validation, validation_renders

#: How much more than a crop the tracker may use of an image, along a side.
ROOM = 1.6


def reach_of(joints: np.ndarray, points: np.ndarray) -> float:
    """Find a crop's reach (see ``PerspectiveRegion``) by what is true of its joints (21, 3) and points (21, 2).

    Where the wrist is at X, Y, Z, a joint x, y, z from it is seen at u with u reach (Z + z) = X + x: linear in reach,
    reach Z, X and Y.
    """
    rows, wanted = [], []
    for axis in range(2):
        seen = points[:, axis]
        place = np.zeros((len(points), 2))
        place[:, axis] = -1
        rows.append(np.column_stack([seen * joints[:, 2], seen, place]))
        wanted.append(joints[:, axis])
    return float(np.linalg.lstsq(np.concatenate(rows), np.concatenate(wanted), rcond=None)[0][0])


@dataclass
class CountingEstimator:
    """An estimator, and how many views it was asked for."""

    estimator: PoseEstimator[PerspectiveRegion]
    needs: frozenset[Channel] = frozenset({Channel.COLOR})
    count: int = 0

    def estimate(self, frame: CameraFrame, regions: Sequence[PerspectiveRegion], views: int = 1) -> list[HandEstimate]:
        """See ``PoseEstimator.estimate``."""
        self.count += len(regions) * views
        return self.estimator.estimate(frame, regions, views)


def estimate_as_tracker(
    estimator: PoseEstimator[PerspectiveRegion], data: Validation, crops: Sequence[PerspectiveRegion], views: int
) -> list[tuple[np.ndarray, float]]:
    """Estimate hands as the tracker does new ones, and in the same image again, as where they are followed.

    Args:
        estimator: of poses.
        data: images of ``ROOM`` times the crops.
        crops: of the first round, in a camera that looks at their middles.
        views: of each crop.

    Returns:
        Of new and of followed hands: joints (N, 21, 3) in meters, in that camera's frame, and the mean number of views.

    """
    found, counting = ([], []), (CountingEstimator(estimator), CountingEstimator(estimator))
    hands = zip(data.images, crops, data.sizes)
    for number, (image, first, size) in enumerate(tqdm(hands, total=len(crops), unit='hand', desc='tracker')):
        side = len(image)
        focal = side / 2 / (first.reach * ROOM)
        camera = Camera(side, side, focal, focal, (side - 1) / 2, (side - 1) / 2)
        frame = CameraFrame(camera, color=np.ascontiguousarray(image[..., ::-1]))
        track = Track(track_id=number, region=first.view(View(zoom=1 / CLOSER)), right_logit=1.0)
        for joints, counted in zip(found, counting):
            track.estimate = counted.estimate(frame, [track.region], views)[0]
            estimate_further(counted, frame, [track], COLOR)
            track.frames += 1
            # Estimators of color take every hand to be of one size.
            joints.append(track.estimate.joints * (float(size) / NOMINAL_HAND_SIZE_M))
    return [(np.stack(joints), counted.count / len(joints)) for joints, counted in zip(found, counting)]


def silhouette(vertices: np.ndarray, faces: np.ndarray, crop: PerspectiveRegion, size: int) -> np.ndarray:
    """Pixels (size, size), bool, of a crop that a mesh with vertices (V, 3) in the crop's frame covers."""
    buffer, middle = ZBuffer.empty(size, size), (size - 1) / 2
    pinhole = (size / 2 / crop.reach, size / 2 / crop.reach, middle, middle)
    every = np.arange(len(faces), dtype=np.int32)
    buffer.draw(vertices.astype(np.float32), faces.astype(np.int32), every, pinhole)
    return buffer.labels >= 0


def evaluate(subject: str, samples: int, views: int = 1) -> Iterator[Measurement]:
    """See this module's description; ``views`` of each crop in a round."""
    estimator = ColorPoseEstimator(ModelSettings(modality='color', model=subject))
    network, size = estimator.engine, estimator.input_size
    data = validation_renders(size).first(samples)
    inputs = color_input(data.images)
    joints, points, sigma, right = run_in_batches(network, inputs)
    mirrored = run_in_batches(network, inputs[..., ::-1])[3]
    hands = zip(data.joints.astype(float), data.points.astype(float))
    crops = [PerspectiveRegion(np.eye(3), reach_of(*hand)) for hand in hands]
    rooted = (joints - joints[:, :1]) * data.sizes[:, None, None]
    one_view = np.stack([place(*hand) for hand in zip(rooted, points, sigma, crops)])
    (new, count), (followed, later) = estimate_as_tracker(
        estimator, validation_renders(size, ROOM).first(samples), crops, views
    )
    for name, placed in (('one_view', one_view), ('new', new), ('followed', followed)):
        yield from _joint_errors(name, placed, data)
    yield Measurement('new_views', count, '', len(new))
    yield Measurement('followed_views', later, '', len(new))
    yield from _where_errors_lie(new, data)
    yield from _image_errors(new, crops, data, size)
    wrong = 50 * ((right < 0).mean() + (mirrored > 0).mean())
    yield Measurement('handedness_wrong_one_view', float(wrong), '%', len(right))
    yield Measurement('handedness_wrong_two_views', float(100 * (right < mirrored).mean()), '%', len(right))


def _truth_mm(data: Validation) -> np.ndarray:
    return 1000 * data.joints * data.sizes[:, None, None]


def _aligned_errors(found: np.ndarray, truth: np.ndarray) -> np.ndarray:
    return np.linalg.norm(align(found, truth, 'procrustes') - truth, axis=2)


def _joint_errors(name: str, placed: np.ndarray, data: Validation) -> Iterator[Measurement]:
    """Errors of joints (N, 21, 3) in meters in the crop's camera frame."""
    found, truth = 1000 * (placed - placed[:, :1]), _truth_mm(data)
    errors = _aligned_errors(found, truth)
    yield Measurement(f'{name}_aligned_mean', float(errors.mean()), 'mm', len(errors))
    yield Measurement(f'{name}_aligned_median', float(np.median(errors)), 'mm', len(errors))
    rooted = np.linalg.norm(found - truth, axis=2).mean()
    yield Measurement(f'{name}_from_wrist_mean', float(rooted), 'mm', len(errors))


def _where_errors_lie(placed: np.ndarray, data: Validation) -> Iterator[Measurement]:
    """Errors after alignment were all joints right across the line of sight, and were they right along it."""
    found, truth = 1000 * (placed - placed[:, :1]), _truth_mm(data)
    for name, parts in (
        ('new_right_across', (truth[..., :2], found[..., 2:])),
        ('new_right_along', (found[..., :2], truth[..., 2:])),
    ):
        errors = _aligned_errors(np.concatenate(parts, 2), truth)
        yield Measurement(f'{name}_aligned_mean', float(errors.mean()), 'mm', len(errors))


def _image_errors(
    placed: np.ndarray, crops: list[PerspectiveRegion], data: Validation, size: int
) -> Iterator[Measurement]:
    """Distance of points in pixels of the crop, and overlap of the fitted mesh's mask with the true one."""
    points = np.stack([crop.project(hand) for crop, hand in zip(crops, placed)])
    error = np.linalg.norm(points - data.points, axis=2).mean() * size / 2
    yield Measurement('new_points_mean', float(error), 'px', len(points))
    fitter, overlaps = InverseKinematics(*load_hand_models()), []
    for hand, crop, mask in tqdm(zip(placed, crops, data.masks > 0.5), total=len(crops), unit='hand', desc='masks'):
        fit = fitter.fit(hand, 'right')
        drawn = silhouette(fit.vertices, fit.faces, crop, size)
        overlaps.append((drawn & mask).sum() / max((drawn | mask).sum(), 1))
    yield Measurement('new_mask_overlap', 100 * float(np.mean(overlaps)), '%', len(overlaps))
