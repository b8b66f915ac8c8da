"""Replay of a recording through trackers, one frame after the other."""

from __future__ import annotations

import heapq
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice

import numpy as np

from hand_pose_ros.drawing import draw_overlay
from hand_pose_ros.evaluation.figures import Figures
from hand_pose_ros.evaluation.truth import Hands, Truth
from hand_pose_ros.io.frame import RecordedFrame, Recording, RecordingError
from hand_pose_ros.pipeline.hand import Hand
from hand_pose_ros.pipeline.modality import Tracker
from hand_pose_ros.pipeline.smoothing import OneEuroFilter
from hand_pose_ros.pipeline.track import FRAME_TIME

#: Frames shown as the worst, and how far apart in seconds they are.
WORST, APART = 10, 0.5


@dataclass(frozen=True)
class Replayed:
    """One frame of a replay.

    Attributes:
        frame: what was recorded.
        picture: (H, W) depth in metres, or (H, W, 3) uint8 in bgr order.
        hands: method -> hands found.
        seconds: method -> time that it took.
        truth: side -> (21, 3) joints known.

    """

    frame: RecordedFrame
    picture: np.ndarray
    hands: dict[str, list[Hand]]
    seconds: dict[str, float]
    truth: Hands


def replay(recording: Recording, trackers: Mapping[str, Tracker], truth: Truth | None,
           limit: int | None = None) -> Iterator[Replayed]:
    """Run every tracker over a recording's frames, in order.

    Raises:
        RecordingError: a frame is damaged or has no camera.

    """
    for frame in islice(recording, limit):
        if frame.camera is None:
            raise RecordingError(f'{recording.path}: holds no camera calibration; give one with --camera')
        picture = frame.picture()
        hands, seconds = {}, {}
        for name, tracker in trackers.items():
            started = time.perf_counter()
            hands[name] = tracker.process(picture, **frame.for_tracker())
            seconds[name] = time.perf_counter() - started
        yield Replayed(frame, picture, hands, seconds, truth.hands(frame) if truth else {})


class Smoothed:
    """What smoothing would make of a tracker's hands, track by track."""

    def __init__(self) -> None:
        self._filters: dict[int, OneEuroFilter] = {}
        self._stamp: float | None = None

    def __call__(self, hands: Sequence[Hand], stamp: float) -> dict[str, np.ndarray]:
        """Return side -> (21, 3) steadied joints."""
        elapsed = FRAME_TIME if self._stamp is None else stamp - self._stamp
        self._stamp = stamp
        self._filters = {hand.track: self._filters.get(hand.track, OneEuroFilter()) for hand in hands}
        return {hand.side: self._filters[hand.track](hand.joints, elapsed) for hand in hands}


@dataclass
class WorstFrames:
    """Keeps pictures of the frames with the largest mean error of a hand, some time apart."""

    frames: list[tuple[float, float, str, np.ndarray]] = field(default_factory=list)

    def offer(self, error: float, stamp: float, name: str, draw: Callable[[], np.ndarray]) -> None:
        """Keep a frame if it is among the worst; ``draw`` is called only then."""
        near = [one for one in self.frames if abs(one[1] - stamp) < APART]
        if near and near[0][0] >= error:
            return
        if not near and len(self.frames) == WORST and self.frames[0][0] >= error:
            return
        for one in near:
            self.frames.remove(one)
        self.frames.append((error, stamp, name, draw()))
        self.frames.sort(key=lambda one: one[:2])
        del self.frames[:-WORST]

    def sorted(self) -> list[tuple[float, float, str, np.ndarray]]:
        """Error in mm, stamp, name and picture, the worst first."""
        return heapq.nlargest(WORST, self.frames, key=lambda one: one[:2])


def joints_of(hands: Sequence[Hand]) -> dict[str, np.ndarray]:
    """Side -> (21, 3) joints of hands found."""
    return {hand.side: hand.joints for hand in hands}


def compare_picture(one: Replayed, method: str, scale: int = 1) -> np.ndarray:
    """Draw what was found on the left and what is known on the right: (H * scale, 2 * W * scale, 3) bgr8."""
    known = [Hand(side, 1.0, joints, np.ones(len(joints), np.float32), None, 0) for side, joints in one.truth.items()]
    return np.hstack([draw_overlay(one.picture, hands, one.frame.camera, scale=scale)
                      for hands in (one.hands[method], known)])


def gather(one: Replayed, figures: Mapping[str, Figures], worst: WorstFrames, method: str) -> None:
    """Add a frame to every method's figures, and to the worst frames of ``method``."""
    for name, found in figures.items():
        comparisons = found.add(one.frame.stamp, joints_of(one.hands[name]), one.truth)
        errors = [1000 * float(hand.errors.mean()) for hand in comparisons if hand.errors is not None]
        if name == method and errors:
            worst.offer(max(errors), one.frame.stamp, one.frame.name, lambda: compare_picture(one, method))
