"""What the depth image's points save on top of a network: errors before and after the hand model is fitted to them.

The validation set is drawn once more, with its depth images, which it does not keep; each hand by itself and at its
first sight.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from tqdm import trange

from hand_pose_ros.core.frame import CameraFrame
from hand_pose_ros.estimation.depth import DepthPoseEstimator
from hand_pose_ros.hand_model.inverse_kinematics import InverseKinematics
from hand_pose_ros.hand_model.loading import load_hand_models
from hand_pose_ros.imaging.images import DepthImage
from hand_pose_ros.regions.cube import CUBE_PER_HAND, CubeRegion
from hand_pose_ros.settings import ModelSettings, TrackingSettings
from hand_pose_ros.tracking.refiners import IcpRefiner
from hand_pose_ros.tracking.track import Track
from training.evaluation.figures import Measurement
from training.synthesis.crops import draw_cube, draw_view_of_hand
from training.synthesis.sensors import SENSORS, TIME_OF_FLIGHT
from training.tasks.depth_pose import validation_set
from training.validation_sets import depth_source

MOVING_SENSORS = [name for name, sensor in SENSORS.items() if sensor.kind == TIME_OF_FLIGHT]
#: Greatest difference of a crop, in half sides, from the one that the validation set has of the same hand.
SAME = 2e-3
#: Errors that are counted as large, mm.
LARGE_MM = 20


def evaluate(subject: str, samples: int) -> Iterator[Measurement]:
    """Errors of one view and of four, and of both after articulated ICP, on the validation set's hands."""
    return _evaluate(subject, samples, moving=False)


def evaluate_moving(subject: str, samples: int) -> Iterator[Measurement]:
    """The same on other hands, that move before a time-of-flight camera."""
    return _evaluate(subject, samples, moving=True)


def _evaluate(subject: str, samples: int, moving: bool) -> Iterator[Measurement]:
    estimator = DepthPoseEstimator(ModelSettings(model=subject, engine='onnxruntime', precision='f32'))
    refiner = IcpRefiner(TrackingSettings(articulated_icp=True), InverseKinematics(*load_hand_models()))
    source = depth_source()
    options = {'moving': 1.0, 'sensors': MOVING_SENSORS} if moving else {}
    crops, *_ = validation_set(estimator.input_size)
    errors: dict[str, list[np.ndarray]] = {}
    for number in trange(samples, unit='hand', desc='articulated ICP'):
        view = draw_view_of_hand(source.poser, source.next_pose(), source.rng, **options)
        center, half = draw_cube(view.joints, source.rng)
        region = CubeRegion(center, half / CUBE_PER_HAND)
        frame = CameraFrame(view.camera, depth=DepthImage(view.depth))
        cut = region.cut(frame.depth, view.camera, estimator.input_size)
        if not moving and np.abs(cut - crops[number]).max() > SAME:
            raise RuntimeError('these are not the hands of the validation set: its seed or how it is drawn has changed')
        for views in (1, 4):
            estimate = estimator.estimate(frame, [region], views)[0]
            # A track of its own for each hand: nothing is known of the person.
            track = Track(track_id=number, region=region, right_logit=1.0)
            name = f'{views}_view{"s" * (views > 1)}'
            for what, found in ((name, estimate), (f'{name}_icp', refiner.refine(track, estimate, frame))):
                errors.setdefault(what, []).append(1000 * np.linalg.norm(found.joints - view.joints, axis=1))
    for what, parts in errors.items():
        yield from _figures(what, np.stack(parts))


def _figures(name: str, errors: np.ndarray) -> Iterator[Measurement]:
    parts = (('mean', errors.mean()), ('median', np.median(errors)), ('tips', errors[:, 4::4].mean()))
    for figure, value in parts:
        yield Measurement(f'{name}_{figure}', float(value), 'mm', len(errors))
    yield Measurement(f'{name}_beyond_{LARGE_MM}_mm', 100 * float((errors > LARGE_MM).mean()), '%', len(errors))
