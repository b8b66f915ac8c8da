"""Replay of a recording through trackers, one frame after the other."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice

import numpy as np

from hand_pose_ros.core.hand import Hand
from hand_pose_ros.evaluation.figures import Figures
from hand_pose_ros.evaluation.truth import Hands, Truth
from hand_pose_ros.geometry.camera import Camera
from hand_pose_ros.io.frame import DEFAULT_RATE_HZ, RecordedFrame, Recording
from hand_pose_ros.tracking.one_euro import OneEuroFilter
from hand_pose_ros.tracking.tracker import HandTracker
from hand_pose_ros.visualization.drawing import draw_overlay


@dataclass(frozen=True)
class Replayed:
    """One frame of a replay.

    Attributes:
        frame: what was recorded.
        camera: that took it.
        hands: method -> hands found.
        seconds: method -> time that it took.
        truth: side -> (21, 3) joints known.

    """

    frame: RecordedFrame
    camera: Camera
    hands: dict[str, list[Hand]]
    seconds: dict[str, float]
    truth: Hands


def replay(
    recording: Recording, trackers: Mapping[str, HandTracker], truth: Truth | None, limit: int | None = None
) -> Iterator[Replayed]:
    """Run every tracker over a recording's frames, in order.

    Raises:
        RecordingError: a frame is damaged or has no camera.

    """
    for frame in islice(recording, limit):
        camera_frame, hands, seconds = frame.camera_frame(), {}, {}
        for name, tracker in trackers.items():
            started = time.perf_counter()
            hands[name] = tracker.process(camera_frame)
            seconds[name] = time.perf_counter() - started
        yield Replayed(frame, camera_frame.camera, hands, seconds, truth.hands(frame) if truth else {})


class TrackSmoother:
    """What smoothing would make of a tracker's hands, track by track."""

    def __init__(self) -> None:
        self._filters: dict[int, OneEuroFilter] = {}
        self._stamp: float | None = None

    def __call__(self, hands: Sequence[Hand], stamp: float) -> dict[str, np.ndarray]:
        """Return side -> (21, 3) smoothed joints of hands at ``stamp``, seconds."""
        elapsed = 1 / DEFAULT_RATE_HZ if self._stamp is None else stamp - self._stamp
        self._stamp = stamp
        self._filters = {hand.track_id: self._filters.get(hand.track_id, OneEuroFilter()) for hand in hands}
        return {hand.side: self._filters[hand.track_id](hand.joints, elapsed) for hand in hands}


@dataclass
class WorstFrames:
    """Keeps pictures of the frames with the largest mean error of a hand, some time apart."""

    count: int = 10  # at most
    min_interval_s: float = 0.5  # so that they are not all of one moment
    frames: list[tuple[float, float, str, np.ndarray]] = field(default_factory=list)

    def offer(self, error: float, stamp: float, name: str, draw: Callable[[], np.ndarray]) -> None:
        """Keep a frame if it is among the worst; ``draw`` is called only then."""
        near = [one for one in self.frames if abs(one[1] - stamp) < self.min_interval_s]
        if near and near[0][0] >= error:
            return
        if not near and len(self.frames) == self.count and self.frames[0][0] >= error:
            return
        for one in near:
            self.frames.remove(one)
        self.frames.append((error, stamp, name, draw()))
        self.frames.sort(key=lambda one: one[:2])
        del self.frames[: -self.count]

    def sorted(self) -> list[tuple[float, float, str, np.ndarray]]:
        """Error in mm, stamp, name and picture, the worst first."""
        return self.frames[::-1]


def joints_of(hands: Sequence[Hand]) -> dict[str, np.ndarray]:
    """Side -> (21, 3) joints of hands found."""
    return {hand.side: hand.joints for hand in hands}


def compare_picture(one: Replayed, method: str, scale: int = 1) -> np.ndarray:
    """Draw what was found on the left and what is known on the right: (H * scale, 2 * W * scale, 3) bgr8."""
    known = [Hand(side, 1.0, joints, np.ones(len(joints), np.float32), None, 0) for side, joints in one.truth.items()]
    return np.hstack(
        [draw_overlay(one.frame.picture, hands, one.camera, scale=scale) for hands in (one.hands[method], known)]
    )


def gather(one: Replayed, figures: Mapping[str, Figures], worst: WorstFrames, method: str) -> None:
    """Add a frame to every method's figures, and to the worst frames of ``method``."""
    for name, found in figures.items():
        comparisons = found.add(one.frame.stamp, joints_of(one.hands[name]), one.truth)
        errors = [1000 * float(hand.errors.mean()) for hand in comparisons if hand.errors is not None]
        if name == method and errors:
            worst.offer(max(errors), one.frame.stamp, one.frame.name, lambda: compare_picture(one, method))
