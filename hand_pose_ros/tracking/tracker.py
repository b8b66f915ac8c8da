"""Finds hands in the frames of one camera, follows them from one to the next, and estimates their pose.

One tracker for depth, color and both: what differs is in the parts that it is given and in its configuration.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from hand_pose_ros.core.frame import CameraFrame, Channel, FrameError
from hand_pose_ros.core.hand import Hand
from hand_pose_ros.core.stage_timer import StageTimer
from hand_pose_ros.detection.base import Detection, HandDetector, HandVerifier
from hand_pose_ros.estimation.base import PoseEstimator
from hand_pose_ros.geometry.camera import Camera
from hand_pose_ros.geometry.joints import NOMINAL_HAND_SIZE_M, SIDES, hand_center, hand_size, is_degenerate
from hand_pose_ros.hand_model.inverse_kinematics import InverseKinematics, is_hand_sized
from hand_pose_ros.imaging.orientation import turned, turned_back
from hand_pose_ros.imaging.rectification import Rectification
from hand_pose_ros.regions.base import distinct
from hand_pose_ros.settings import VIEWS, TrackingSettings
from hand_pose_ros.tracking.configuration import TrackingConfiguration
from hand_pose_ros.tracking.plausibility import LIMITS as SKELETON
from hand_pose_ros.tracking.plausibility import at_size, floating_share, is_skeleton
from hand_pose_ros.tracking.refiners import JointRefiner
from hand_pose_ros.tracking.rounds import estimate_further
from hand_pose_ros.tracking.track import Track, resolve_pair


@dataclass(frozen=True)
class TrackerParts:
    """What a tracker is made of.

    Attributes:
        detector: finds new hands.
        estimator: estimates poses.
        refiners: applied to each estimate, in order.
        fitter: poses the hand model on the joints.
        timer: of the stages; the parts add theirs.
        verifier: checks tracked hands; None where nothing does.

    """

    detector: HandDetector[Any]
    estimator: PoseEstimator[Any]
    refiners: tuple[JointRefiner, ...]
    fitter: InverseKinematics
    timer: StageTimer
    verifier: HandVerifier[Any] | None = None


class HandTracker:
    """Finds and follows the hands of one person through the frames of one camera.

    Args:
        parts: what does the work.
        configuration: how much their word is worth.
        settings: what users set.

    Attributes:
        impossible: skeletons that no hand can have, which were dropped, since the tracker was made.

    """

    def __init__(self, parts: TrackerParts, configuration: TrackingConfiguration, settings: TrackingSettings) -> None:
        self._parts = parts
        self._configuration = configuration
        self._rectify = Rectification()
        self._next_id = 1
        self.impossible = 0
        self._camera: Camera | None = None
        self._most_estimates = self._turn = 0
        self._settings = settings
        self.update(settings)
        self.reset()

    @property
    def needs(self) -> frozenset[Channel]:
        """Channels that a frame must hold."""
        return self._parts.detector.needs | self._parts.estimator.needs

    @property
    def description(self) -> str:
        """Engine, version, device, precision and model, for people."""
        return self._parts.estimator.description

    @property
    def model_name(self) -> str:
        """Name of the pose network."""
        return self._parts.estimator.model_name

    @property
    def stage_seconds(self) -> dict[str, float]:
        """Seconds that each stage of the last frame took: ``localize``, ``crop``, ``network``, ``hand_model``."""
        return self._parts.timer.seconds

    @property
    def timer(self) -> StageTimer:
        """Takes the times of the stages; a part that is to replace one adds its own."""
        return self._parts.timer

    @property
    def estimator(self) -> PoseEstimator[Any]:
        """What estimates poses now."""
        return self._parts.estimator

    def replace_estimator(self, estimator: PoseEstimator[Any]) -> None:
        """Go on with another estimator of the same regions; the hands stay tracked."""
        self._parts = replace(self._parts, estimator=estimator)

    def limit_estimates(self, count: int) -> None:
        """Make no more than so many estimates in a frame while hands are new or not sure of their side; 0 for no limit.

        New hands are estimated by fewer views then, and as the other side's by turns.
        """
        self._most_estimates = count

    def warm_up(self, frame: CameraFrame) -> None:
        """Do all that is done for a frame once, so that the first one does not take longer than others."""
        self.process(frame)
        self.finish_frame()
        for side, model in self._parts.fitter.models.items():
            self._parts.fitter.fit(model.joints, side, mesh=self._settings.mesh)
        self.reset()

    def update(self, settings: TrackingSettings) -> None:
        """Go on with other settings; tracking starts afresh where images are turned another way."""
        if settings.image_rotation != self._settings.image_rotation:
            self.reset()
        self._settings = settings
        for refiner in self._parts.refiners:
            refiner.settings = settings

    def reset(self) -> None:
        """Forget every hand (a new clip, a camera that jumped)."""
        self._tracks: list[Track] = []
        self._lost: list[Track] = []
        self._unfinished: tuple[CameraFrame, set[int]] | None = None
        self._stamp_s: float | None = None
        self._frames_since_search = self._configuration.search_every

    def process(self, frame: CameraFrame) -> list[Hand]:
        """Track hands in the next frame.

        Returns:
            The hands seen, the surest first; at most one of each side.

        Raises:
            FrameError: the frame lacks a channel that the tracker needs.

        """
        if missing := self.needs - frame.channels:
            raise FrameError(f'the frame holds no {min(channel.value for channel in missing)} image')
        if self._camera is None or not frame.camera.resembles(self._camera):
            self.reset()  # Another camera, or a folder of photographs of several sizes; not one whose focus moved.
        self._camera = frame.camera
        elapsed = self._elapsed(frame.stamp_s)
        self._parts.timer.begin()
        self.finish_frame()
        frame = self._prepared(frame)
        tracked, self._tracks, self._lost = self._tracks, [], []
        for track in tracked:
            track.elapsed_s = elapsed
        remaining, verified = self._estimate_tracked(frame, tracked)
        self._take_in(frame, remaining)
        self._search(frame, at_once=len(self._tracks) < max(len(tracked), 1))
        self._unfinished = frame, verified
        return [turned_back(hand, self._settings.image_rotation) for hand in self._report(frame)]

    def finish_frame(self) -> None:
        """Check whether the hands of the last frame are hands, and search it for others, if that was not done yet.

        :meth:`process` begins with it. Who calls it as soon as the hands of a frame are on their way gets those of the
        next frame sooner.
        """
        if self._unfinished is None:
            return
        (frame, verified), self._unfinished = self._unfinished, None
        self._lost = []
        self._verify(frame, [track for track in self._tracks if track.track_id not in verified and self._is_due(track)])
        self._tracks = [track for track in self._tracks if track not in self._lost]
        self._frames_since_search += 1
        if self._tracks:
            self._search(frame, at_once=False)

    def _is_due(self, track: Track) -> bool:
        """Whether a track is verified in this frame; of two hands, each in another one."""
        every = self._configuration.verification.every
        return not track.confirmed or track.doubtful or (track.frames + track.track_id) % every == 0

    def _elapsed(self, stamp_s: float | None) -> float:
        before, self._stamp_s = self._stamp_s, stamp_s
        return self._configuration.frame_time_s if stamp_s is None or before is None else stamp_s - before

    def _prepared(self, frame: CameraFrame) -> CameraFrame:
        """The frame with depth within reach; rectified where a part reads depth, which takes a pinhole camera."""
        if self._settings.image_rotation:
            frame = turned(self._rectify(frame), self._settings.image_rotation)
        if frame.depth is None:
            return frame
        depth = replace(frame.depth, near=self._settings.near, far=self._settings.far).in_native_order()
        return self._rectify(replace(frame, depth=depth))

    # New hands

    def _search(self, frame: CameraFrame, at_once: bool) -> None:
        """Search for new hands, now and then if not ``at_once``."""
        free = self._settings.max_hands - len(self._tracks)
        if free <= 0 or not (at_once or self._frames_since_search >= self._configuration.search_every):
            return
        self._frames_since_search = 0
        detections = self._parts.detector.detect(frame, [track.region for track in self._tracks])
        new = [self._new_track(found) for found in detections[: free + self._configuration.spare_detections]]
        self._estimate_sides(frame, new)
        self._take_in(frame, new)

    def _new_track(self, found: Detection) -> Track:
        """Begin a track, or go on with one that lost its hand in this very frame not far from here."""
        for track in self._lost:
            if track.region.offset(found.region).shift < self._configuration.jump:
                self._lost.remove(track)
                track.region = track.region.following(found.region, memory=1.0)
                track.presence, track.doubtful = found.score, False
                return track
        right = found.handedness_logit * (1 if found.region.side == 'right' else -1)
        track = Track(track_id=self._next_id, region=found.region, right_logit=right)
        if self._parts.verifier is not None:
            track.presence = found.score
        self._next_id += 1
        return track

    # Tracked hands

    def _estimate_tracked(self, frame: CameraFrame, tracks: Sequence[Track]) -> tuple[list[Track], set[int]]:
        """Estimate tracked hands where they were and, if one is gone from there, where a verifier finds it.

        Returns:
            Those that are not lost, and the ids of those that were verified.

        """
        self._estimate_sides(frame, tracks)
        gone = [track for track in tracks if self._is_gone(track)] if self._parts.verifier else []
        regions = {track.track_id: track.region for track in gone}
        self._verify(frame, gone)
        self._estimate_sides(frame, [t for t in gone if t not in self._lost and t.region is not regions[t.track_id]])
        return [track for track in tracks if track not in self._lost], set(regions)

    def _is_gone(self, track: Track) -> bool:
        limits, estimate = self._configuration, track.estimate
        return (
            estimate.presence < limits.clear
            or not self._covers_as_before(track, estimate.coverage)
            or track.region.offset(estimate.region).shift > limits.far_shift
        )

    def _covers_as_before(self, track: Track, coverage: float | None) -> bool:
        if coverage is None or track.coverage is None:
            return True
        factor = self._configuration.verification.same_coverage
        return 1 / factor < coverage / max(track.coverage, 1e-3) < factor

    def _verify(self, frame: CameraFrame, tracks: Sequence[Track]) -> None:
        """Ask the verifier whether tracks are hands; those that are not become lost, others move to where theirs is."""
        if self._parts.verifier is None or not tracks:
            return
        limits = self._configuration.verification
        for track, seen in zip(tracks, self._parts.verifier.verify(frame, [track.region for track in tracks])):
            moved = track.region.offset(seen.region).shift > limits.moved
            track.doubtful = seen.presence < limits.lost
            track.presence = max(seen.presence, limits.memory * track.presence)
            changed = moved or not self._covers_as_before(track, seen.coverage)
            if track.presence < limits.lost or (track.doubtful and changed):
                self._lost.append(track)
            elif moved:
                track.region = seen.region

    # Estimates

    def _estimate_sides(self, frame: CameraFrame, tracks: Sequence[Track]) -> None:
        """Estimate hands as those of their sides and, until a track is sure, as the other side's too."""
        if not tracks:
            return
        limits = self._configuration.handedness
        new = any(track.frames == 0 for track in tracks)
        views = max(self._settings.views, self._configuration.new_views if new else 1)
        unsure = self._in_turn([track for track in tracks if not track.sure(limits)], len(tracks))
        regions = [track.region for track in tracks] + [track.region.mirrored() for track in unsure]
        if new and self._most_estimates:
            affordable = [one for one in VIEWS if one * len(regions) <= self._most_estimates]
            views = min(views, max(affordable, default=1))
        estimates = self._parts.estimator.estimate(frame, regions, views)
        others = dict(zip((track.track_id for track in unsure), estimates[len(tracks) :]))
        for track, own in zip(tracks, estimates):
            other = others.get(track.track_id)
            logit = None if other is None else other.handedness_logit
            if track.update_handedness(own.handedness_logit, logit, limits):
                own = other or self._parts.estimator.estimate(frame, [track.region])[0]
            track.estimate = own

    def _in_turn(self, unsure: list[Track], tracked: int) -> list[Track]:
        """Those of unsure tracks that are estimated as the other side's in this frame: all, unless that is too many."""
        most = max(self._most_estimates - tracked, 1)
        if not self._most_estimates or len(unsure) <= most:
            return unsure
        first, self._turn = self._turn % len(unsure), self._turn + most
        return (unsure[first:] + unsure[:first])[:most]

    def _take_in(self, frame: CameraFrame, tracks: Sequence[Track]) -> None:
        """Finish the estimates of tracks and go on with those that are hands.

        Of two tracks that have come to one hand the one that was tracked longer stays, or of two new ones the surer.
        """
        hurried = self._most_estimates and any(track.frames == 0 for track in tracks)
        configuration = replace(self._configuration, rounds=()) if hurried else self._configuration
        estimate_further(self._parts.estimator, frame, tracks, configuration)
        tracks = self._without_impossible(frame, tracks)
        added = []
        for track in sorted(tracks, key=lambda one: (-min(one.frames, 10), -one.estimate.presence)):
            if self._is_hand(track) and len(self._tracks) < self._settings.max_hands:
                track.frames += 1
                track.coverage = track.estimate.coverage
                self._tracks.append(track)
                added.append(track)
        turned = resolve_pair(self._tracks, added, self._configuration.handedness)
        if turned is not None:
            (turned.estimate,) = self._parts.estimator.estimate(frame, [turned.region])

    def _without_impossible(self, frame: CameraFrame, tracks: Sequence[Track]) -> list[Track]:
        """The tracks whose skeletons can be hands, or are when they are estimated once more in another crop.

        What no hand can be is dropped and counted, however sure the network is.
        """
        tracks = [track for track in tracks if self._is_present(track)]
        doubted = [track for track in tracks if not self._can_be_hand(frame, track.estimate.joints)]
        looked_again = [track for track in doubted if not is_degenerate(track.estimate.joints)]
        for track in looked_again:
            track.region = track.region.about(at_size(track.estimate.joints, NOMINAL_HAND_SIZE_M))
        if looked_again:
            regions = [track.region for track in looked_again]
            for track, estimate in zip(looked_again, self._parts.estimator.estimate(frame, regions)):
                track.estimate, track.region = estimate, track.region.following(estimate.region, memory=0.0)
        dropped = [track for track in doubted if not self._can_be_hand(frame, track.estimate.joints)]
        self.impossible += len(dropped)
        return [track for track in tracks if track not in dropped and self._is_present(track)]

    def _can_be_hand(self, frame: CameraFrame, joints: np.ndarray) -> bool:
        if not is_skeleton(joints):
            return False
        # Where color says where the hand is, depth may be of another moment or missing.
        if frame.depth is None or Channel.COLOR in self.needs:
            return True
        return floating_share(joints, frame.depth, frame.camera) <= SKELETON.most_floating

    def _is_present(self, track: Track) -> bool:
        limits = self._configuration
        least = limits.lost if track.frames else limits.found
        if track.doubtful:
            least = max(least, limits.clear)
        return track.estimate.presence >= least

    def _is_hand(self, track: Track) -> bool:
        return is_hand_sized(track.estimate.joints) and distinct(
            track.region, [other.region for other in self._tracks], self._configuration.apart
        )

    # Results

    def _score(self, track: Track) -> float:
        presence = track.estimate.presence
        return presence if self._parts.verifier is None else float(np.sqrt(track.presence * presence))

    def _report(self, frame: CameraFrame) -> list[Hand]:
        """The hands of this frame: of two of one side, the farther is more often none, unless several people's are
        tracked.
        """
        limits, people = self._configuration, self._settings.max_hands > len(SIDES)
        scores = {track.track_id: self._score(track) for track in self._tracks}

        def cost(track: Track) -> float:
            return limits.score_per_m * float(hand_center(track.estimate.joints)[2]) - scores[track.track_id]

        sizes = {track.track_id: hand_size(track.estimate.joints) for track in self._tracks}
        least_size = max(sizes.values(), default=0.0) / limits.confirmed_size_factor
        hands: list[Hand] = []
        for track in sorted(self._tracks, key=cost):
            score = scores[track.track_id]
            track.confirmed |= score >= limits.confirmed and sizes[track.track_id] >= least_size
            reported = track.confirmed or len(self._tracks) == 1
            single = people or all(hand.side != track.side for hand in hands)
            if reported and single and score >= self._settings.min_score:
                hand = self._hand(frame, track, score)
                if is_skeleton(hand.joints):  # what refiners made of it
                    hands.append(hand)
                else:
                    self.impossible += 1
        return sorted(hands, key=lambda hand: -hand.score)

    def _hand(self, frame: CameraFrame, track: Track, score: float) -> Hand:
        estimate = track.estimate
        with self._parts.timer('hand_model'):
            for refiner in self._parts.refiners:
                estimate = refiner.refine(track, estimate, frame)
            fit = self._parts.fitter.fit(estimate.joints, track.side, mesh=self._settings.mesh, state=track.shape)
        return Hand(track.side, score, estimate.joints, estimate.confidence, fit, track.track_id, estimate.metric)
