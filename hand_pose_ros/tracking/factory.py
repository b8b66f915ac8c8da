"""Trackers made of registered parts, as settings name them."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import Any, TypeVar

from hand_pose_ros.core.frame import Channel
from hand_pose_ros.core.registry import Registry
from hand_pose_ros.core.stage_timer import StageTimer
from hand_pose_ros.detection import DETECTORS
from hand_pose_ros.detection.base import HandVerifier
from hand_pose_ros.detection.scales import ScalesDetector
from hand_pose_ros.estimation import ESTIMATORS
from hand_pose_ros.estimation.base import PoseEstimator
from hand_pose_ros.estimation.rgbd import RgbdEstimator
from hand_pose_ros.hand_model.inverse_kinematics import InverseKinematics
from hand_pose_ros.hand_model.loading import load_hand_models
from hand_pose_ros.inference.mediapipe_files import mediapipe_models
from hand_pose_ros.inference.models import POSE, names_beyond_task
from hand_pose_ros.settings import AUTO, ModelSettings, TrackerSettings
from hand_pose_ros.tracking.configuration import CONFIGURATIONS, MEDIAPIPE, TrackingConfiguration
from hand_pose_ros.tracking.refiners import REFINERS
from hand_pose_ros.tracking.tracker import HandTracker, TrackerParts

T = TypeVar('T')

_LOG = logging.getLogger(__name__)

#: What each frame's time is divided into.
STAGES = ('localize', 'crop', 'network', 'hand_model')

#: Detections that are estimated in an independent photograph beyond the hands that may be in it.
INDEPENDENT_SPARE = 6


def make_tracker(settings: TrackerSettings = TrackerSettings(), independent: bool = False) -> HandTracker:
    """Make the tracker of a modality.

    Args:
        settings: what users set.
        independent: for photographs that have nothing to do with one another: color is searched at several scales. Call
            ``reset`` before each.

    Raises:
        ModelError: a model file is missing or damaged.
        EngineError: the engine is not installed.
        ValueError: there is no part of a name.

    """
    models, configuration = settings.models, choose_configuration(settings.models)
    timer = StageTimer(STAGES)
    name = configuration.detector if models.detector == AUTO else models.detector
    detector = _load(DETECTORS, 'detector', name)(models, timer)
    if independent and Channel.COLOR in detector.needs:
        detector, configuration = ScalesDetector(detector), replace(configuration, spare_detections=INDEPENDENT_SPARE)
    own, *other = load_hand_models(models.hand_model)
    fitter = InverseKinematics(own, other[0] if other else None)
    parts = TrackerParts(
        detector=detector,
        estimator=make_estimator(models, timer),
        refiners=tuple(REFINERS.load(name)(settings.tracking, fitter) for name in REFINERS.names()),
        fitter=fitter,
        timer=timer,
        verifier=detector if isinstance(detector, HandVerifier) else None,
    )
    return HandTracker(parts, configuration, settings.tracking)


def choose_configuration(models: ModelSettings) -> TrackingConfiguration:
    """The configuration of a modality, with the estimator that is named in the place of its first."""
    own = CONFIGURATIONS[models.modality]
    chosen = MEDIAPIPE if models.modality != 'depth' and _by_mediapipe(models) else own
    first = chosen.estimators[0] if models.estimator == AUTO else models.estimator
    return replace(chosen, estimators=(first, *own.estimators[1:]))


def _by_mediapipe(models: ModelSettings) -> bool:
    """Whether color is tracked by MediaPipe's networks: where nothing else is named and set-up has taken them.

    On photographs they are better and quicker than ours.
    """
    named = models.model not in ('', AUTO) if models.modality == 'color' else names_beyond_task(models.model, POSE)
    if named or models.detector != AUTO or models.estimator != AUTO:
        return models.estimator.startswith('mediapipe')
    if mediapipe_models() is not None:
        return True
    _LOG.warning('color is tracked by our own networks; get the default ones by `hand-pose models get mediapipe`')
    return False


def make_estimator(models: ModelSettings, timer: StageTimer) -> PoseEstimator[Any]:
    """Make the estimator of a tracker; RGB-D fuses two. Raises as :func:`make_tracker` does."""
    names = choose_configuration(models).estimators
    first, *second = [_load(ESTIMATORS, 'estimator', name)(models, timer) for name in names]
    return RgbdEstimator(first, second[0]) if second else first


def _load(registry: Registry[T], parameter: str, name: str) -> T:
    try:
        return registry.load(name)
    except ValueError as error:
        raise ValueError(f'parameter {parameter}: {error}') from None
