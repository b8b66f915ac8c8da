"""What further views of a hand save: error on crops of the validation set by the number of views."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from tqdm import trange

from hand_pose_ros.core.hand import HandEstimate
from hand_pose_ros.estimation.depth import VIEWS, DepthPoseEstimator
from hand_pose_ros.estimation.fusion import merge
from hand_pose_ros.regions.cube import CUBE_PER_HAND, CubeRegion
from hand_pose_ros.settings import ModelSettings
from hand_pose_ros.tracking.configuration import DEPTH
from hand_pose_ros.tracking.rounds import is_clear
from training.evaluation.figures import Measurement
from training.tasks.depth_pose import validation_set

#: So far away, meters, a cube's coordinates differ from meters by no more than its scale, as the validation has it.
FAR = 1000.0
#: Crops that are estimated at once.
BATCH = 16


def view_validation(
    model: str, count: int, turns: Sequence[int], precision: str = 'f32'
) -> tuple[list[list[HandEstimate]], np.ndarray]:
    """Estimate crops of the validation set.

    Args:
        model: a name of the manifest, or an ONNX file; empty for the shipped one.
        count: of crops.
        turns: quarter turns of the views of each.
        precision: of the engine.

    Returns:
        The estimates of each crop's views, and the true joints (N, 21, 3) in meters in the same frame.

    """
    estimator = DepthPoseEstimator(ModelSettings(model=model, precision=precision))
    crops, joints, halves = (part[:count] for part in validation_set(estimator.input_size))
    return estimate_views(estimator, crops, joints, halves, turns)


def estimate_views(
    estimator: DepthPoseEstimator, crops: np.ndarray, joints: np.ndarray, halves: np.ndarray, turns: Sequence[int]
) -> tuple[list[list[HandEstimate]], np.ndarray]:
    """Estimate crops (N, S, S), see :func:`view_validation`, of joints in cube coordinates and half sides in meters."""
    center = np.array([0, 0, FAR])
    regions = [CubeRegion(center, float(half) / CUBE_PER_HAND) for half in halves]
    found: list[list[HandEstimate]] = []
    for start in trange(0, len(crops), BATCH, unit='batch', desc=f'{len(turns)} views'):
        some = slice(start, start + BATCH)
        views = [estimator.estimate_crops(crops[some, None], regions[some], (turn,)) for turn in turns]
        found += [list(estimates) for estimates in zip(*views)]
    return found, joints * halves[:, None, None] + center


def evaluate(subject: str, samples: int) -> Iterator[Measurement]:
    """Errors of 1, 2, 4 ... views of each hand, and by the tracker's default: more views of those that are not
    clear.
    """
    every = VIEWS[max(VIEWS)]
    views, truth = view_validation(subject, samples, every)
    for turns in VIEWS.values():
        yield from _errors(f'{len(turns)}_views', [merge([found[turn] for turn in turns]) for found in views], truth)
    clear = [is_clear(found[0], DEPTH) for found in views]
    yield from _errors('default', [found[0] if one else merge(found) for found, one in zip(views, clear)], truth)
    further = len(DEPTH.rounds[0].views)
    yield Measurement('default_views', float(1 + further * (1 - np.mean(clear))), '', len(truth))


def _errors(name: str, found: Sequence[HandEstimate], truth: np.ndarray) -> Iterator[Measurement]:
    errors = 1000 * np.linalg.norm(np.stack([estimate.joints for estimate in found]) - truth, axis=2)
    for figure, value in (('mean', errors.mean()), ('median', np.median(errors)), ('tips', errors[:, 4::4].mean())):
        yield Measurement(f'{name}_{figure}', float(value), 'mm', len(truth))
