"""One estimate of a hand out of several: views of it, or sensors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hand_pose_ros.core.hand import HandEstimate
from hand_pose_ros.geometry.joints import FINGERS, WRIST


@dataclass(frozen=True)
class FusionConfiguration:
    """How estimates that disagree on a finger are weighed."""

    #: Estimates of a finger differ when they are so far apart at last, and at first, meters.
    apart_m: float = 0.01
    first_apart_m: float = 0.04
    #: Factor by which that falls in each step, and the number of steps: narrowing, so that it is not the first mean
    #: that decides.
    narrowing: float = 0.7
    steps: int = 6


FUSION = FusionConfiguration()


def mean_joints(joints: np.ndarray, sigma: np.ndarray, limits: FusionConfiguration = FUSION) -> np.ndarray:
    """Average estimates of one hand's joints, each by its certainty.

    Where estimates of a finger differ, those that agree count: the middle between two places is none. The weights are
    Geman and McClure's (1987), one for each finger.

    Args:
        joints: (N, 21, 3) meters.
        sigma: (N, 21) their expected errors, meters.
        limits: what agreeing means.

    Returns:
        (21, 3) meters.

    """
    certainty = 1 / np.square(sigma)[..., None]
    weights = certainty.copy()
    mean = (joints * weights).sum(0) / weights.sum(0)
    for step in range(limits.steps):
        apart = max(limits.apart_m, limits.first_apart_m * limits.narrowing**step)
        squared = np.square(joints - mean).sum(2)[:, WRIST + 1 :].reshape(len(joints), len(FINGERS), -1).mean(2)
        agreement = (1 + squared / apart**2) ** -2
        weights[:, WRIST + 1 :] = certainty[:, WRIST + 1 :] * agreement.repeat(4, 1)[..., None]
        mean = (joints * weights).sum(0) / weights.sum(0)
    return mean


def mean_about_center(joints: np.ndarray, sigma: np.ndarray) -> np.ndarray:
    """Average estimates whose distances from the camera are guesses: all centers alike, joints about them by certainty.

    Args:
        joints: (N, 21, 3) meters.
        sigma: (N, 21) their expected errors, meters.

    Returns:
        (21, 3) meters.

    """
    centers = joints.mean(1, keepdims=True)
    weights = 1 / np.square(sigma)[..., None]
    return centers.mean(0) + ((joints - centers) * weights).sum(0) / weights.sum(0)


def merge(estimates: Sequence[HandEstimate]) -> HandEstimate:
    """Merge estimates of one hand by several views."""
    if len(estimates) == 1:
        return estimates[0]
    last = estimates[-1]
    sigma = np.stack([one.sigma for one in estimates])
    metric = all(one.metric for one in estimates)
    joints = (mean_joints if metric else mean_about_center)(np.stack([one.joints for one in estimates]), sigma)
    hypotheses = sum((one.hypotheses or ((one.joints, one.sigma),) for one in estimates), ())
    return HandEstimate(
        joints=joints,
        confidence=np.mean([one.confidence for one in estimates], axis=0),
        sigma=sigma.mean(0),
        presence=float(np.mean([one.presence for one in estimates])),
        handedness_logit=float(np.mean([one.handedness_logit for one in estimates])),
        region=last.region.about(joints),
        coverage=last.coverage,
        hypotheses=hypotheses,
        metric=metric,
    )
