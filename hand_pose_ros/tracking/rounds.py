"""Estimates of one frame: the first, and further ones in better regions where they are worth it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hand_pose_ros.core.frame import CameraFrame
from hand_pose_ros.core.hand import HandEstimate
from hand_pose_ros.estimation.base import PoseEstimator
from hand_pose_ros.estimation.fusion import merge
from hand_pose_ros.regions.base import HandRegion
from hand_pose_ros.tracking.configuration import FurtherRound, TrackingConfiguration
from hand_pose_ros.tracking.track import Track


def is_clear(estimate: HandEstimate, limits: TrackingConfiguration) -> bool:
    """Whether a hand is seen clearly, so that one view of it is enough."""
    return bool(estimate.presence >= limits.clear and estimate.confidence.min() >= limits.clear_joint)


def is_far(before: HandRegion, after: HandRegion, limits: TrackingConfiguration) -> bool:
    """Whether a hand was estimated in a region that is far off its own: training has seen such errors seldom."""
    off = before.offset(after)
    return (
        off.shift > limits.far_shift or abs(off.log_scale) > limits.far_log_scale or off.turn_rad > limits.far_turn_rad
    )


def estimate_further(
    estimator: PoseEstimator[Any], frame: CameraFrame, tracks: Sequence[Track], limits: TrackingConfiguration
) -> None:
    """Bring tracks' regions to where their hands are, and estimate those again for which it is worth it.

    Args:
        estimator: makes the estimates.
        frame: of the first estimates.
        tracks: with their first ``estimate``; it becomes the one of all views, and ``region`` the hand's own.
        limits: the rounds, and what they are made for.

    """
    views = {track.track_id: [track.estimate] for track in tracks}
    pending = [track for track in tracks if track.estimate.presence >= limits.lost]
    for further in limits.rounds:
        again, far = [], set()
        for track in pending:
            if _follow(track, limits):
                far.add(track.track_id)
            if track.track_id in far or _may_help(further, track, limits):
                again.append(track)
        if not again:
            return
        _estimate_round(estimator, frame, again, further, far, views)
        pending = [track for track in again if track.track_id in far or not further.replaces_far]
        for track in again:
            if track not in pending:
                _follow(track, limits)
    for track in pending:
        _follow(track, limits)


def _follow(track: Track, limits: TrackingConfiguration) -> bool:
    """Move a track's region to its hand; returns whether it was far off."""
    memory = limits.size_memory if track.frames else 0.0
    region = track.region.following(track.estimate.region, memory)
    far = is_far(track.region, region, limits)
    track.region = region
    return far


def _may_help(further: FurtherRound, track: Track, limits: TrackingConfiguration) -> bool:
    new, unclear = further.at_new and track.frames == 0, further.at_unclear and not is_clear(track.estimate, limits)
    return new or unclear or further.at_all_before


def _estimate_round(
    estimator: PoseEstimator[Any],
    frame: CameraFrame,
    tracks: Sequence[Track],
    further: FurtherRound,
    far: set[int],
    views: dict[int, list[HandEstimate]],
) -> None:
    """Estimate tracks' hands once more and merge that with what counts of their earlier ``views``."""
    regions = [track.region.view(view) for track in tracks for view in further.views]
    found = estimator.estimate(frame, regions)
    for n, track in enumerate(tracks):
        if further.replaces_far and track.track_id in far:
            views[track.track_id] = []
        views[track.track_id] += found[n * len(further.views) : (n + 1) * len(further.views)]
        track.estimate = merge(views[track.track_id])
