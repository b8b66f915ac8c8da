"""Figures of a replay, gathered frame by frame in memory that does not grow with the joints."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from hand_pose_ros.geometry.joints import JOINTS, SIDES
from hand_pose_ros.gestures import GESTURES, recognise
from hand_pose_ros.metrics import HandComparison, compare_hands
from hand_pose_ros.scoring import align, area_under_curve

#: Bins of the errors' distributions: width and end in millimetres; what lies beyond counts as the last one.
BIN, LIMIT = 0.05, 400.0
#: Thresholds of the curves, and range of the area under the PCK curve, in millimetres.
THRESHOLDS = np.arange(0.0, 81.0)
AUC_RANGE = (0.0, 50.0)


class Distribution:
    """How often values in millimetres occur: counts in bins of ``BIN``."""

    def __init__(self) -> None:
        self._counts = np.zeros(round(LIMIT / BIN), np.int64)

    def add(self, millimetres: np.ndarray) -> None:
        places = np.minimum(np.asarray(millimetres) / BIN, len(self._counts) - 1).astype(int)
        np.add.at(self._counts, places.ravel(), 1)

    def __len__(self) -> int:
        return int(self._counts.sum())

    def quantile(self, share: float) -> float | None:
        """Value that this share lies below, to half a bin; None of nothing."""
        if not len(self):
            return None
        return float((np.searchsorted(self._counts.cumsum(), share * len(self)) + 0.5) * BIN)

    def within(self, thresholds: np.ndarray) -> np.ndarray:
        """Share of the values within each threshold (T,)."""
        sums = np.concatenate([[0], self._counts.cumsum()])
        return sums[np.minimum(np.round(thresholds / BIN).astype(int), len(self._counts))] / max(len(self), 1)


class Jitter:
    """Unsteadiness of joints: root mean square of their second difference over three frames that follow each other."""

    def __init__(self) -> None:
        self._before: list[tuple[int, np.ndarray]] = []
        self._sum, self._count = 0.0, 0

    def add(self, frame: int, points: np.ndarray) -> None:
        """Add points (21, 3) in metres of frame number ``frame``."""
        if self._before and self._before[-1][0] != frame - 1:
            self._before = []
        self._before = [*self._before[-2:], (frame, points)]
        if len(self._before) == 3:
            bend = self._before[2][1] - 2 * self._before[1][1] + self._before[0][1]
            self._sum += float(np.square(bend).sum(1).mean())
            self._count += 1

    def millimetres(self) -> float | None:
        """Return the figure; None of fewer than three frames in a row."""
        return 1000 * (self._sum / self._count) ** 0.5 if self._count else None


class Figures:
    """Gathers what a replay finds.

    Attributes:
        timeline: of each known hand: seconds since the first frame, side (index into ``SIDES``), mean error in mm, NaN
            where it was not found.

    """

    def __init__(self, with_truth: bool) -> None:
        self.with_truth = with_truth
        self.frames = self.frames_with_hands = self.hands_seen = 0
        self.known = self.found = self.wrong_side = self.extra = 0
        self.timeline = array('f')
        self._joint_sums, self._errors = np.zeros(len(JOINTS)), Distribution()
        self._aligned_sum = 0.0
        self._worst, self._mean = Distribution(), Distribution()
        # Gestures of the hands found; of the true joints of those; and of these, where both are the same.
        self._gestures: Counter[str] = Counter()
        self._known_gestures: Counter[str] = Counter()
        self._same_gestures: Counter[str] = Counter()
        self._raw = {side: Jitter() for side in SIDES}
        self._of_truth = {side: Jitter() for side in SIDES}
        self._of_error = {side: Jitter() for side in SIDES}
        self._previous: dict[str, tuple[int, float, np.ndarray]] = {}
        self._along, self._speed = 0.0, 0.0
        self._lost_since: dict[str, float] = {}
        self._recoveries: list[float] = []
        self.losses = 0
        self._seen_before: set[str] = set()
        self._start: float | None = None

    def add(self, stamp: float, found: Mapping[str, np.ndarray],
            truth: Mapping[str, np.ndarray]) -> list[HandComparison]:
        """Add a frame's hands, side -> (21, 3) metres; returns how each known one fared."""
        if self._start is None:
            self._start = stamp
        number, seconds = self.frames, stamp - self._start
        self.frames += 1
        self.frames_with_hands += bool(found)
        self.hands_seen += len(found)
        for side, joints in found.items():
            self._raw[side].add(number, joints)
        gestures = {side: recognise(joints) for side, joints in found.items()}
        self._gestures.update(gestures.values())
        if not self.with_truth:
            self._follow(seconds, found, {side: side in found for side in SIDES if side in self._seen_before})
            self._seen_before |= set(found)
            return []
        comparisons = compare_hands(['frame'], {'frame': found}, {'frame': truth})
        for hand in comparisons:
            self.known += 1
            self.wrong_side += hand.wrong_side
            mean = float('nan')
            if hand.errors is not None:
                millimetres = 1000 * hand.errors
                mean = float(millimetres.mean())
                self.found += 1
                self._joint_sums += millimetres
                true = truth[hand.side][None]
                aligned = align(found[hand.side][None], true, 'procrustes')
                self._aligned_sum += 1000 * float(np.linalg.norm(aligned - true, axis=2).mean())
                self._errors.add(millimetres)
                self._worst.add(millimetres.max())
                self._mean.add(millimetres.mean())
                self._of_truth[hand.side].add(number, truth[hand.side])
                self._of_error[hand.side].add(number, found[hand.side] - truth[hand.side])
                gesture = recognise(truth[hand.side])
                self._known_gestures[gesture] += 1
                self._same_gestures[gesture] += gestures[hand.side] == gesture
                self._measure_lag(number, seconds, hand.side, found[hand.side], truth[hand.side])
            self.timeline.extend((seconds, SIDES.index(hand.side), mean))
        self.extra += max(0, len(found) - len(truth))
        self._follow(seconds, found, {hand.side: hand.errors is not None for hand in comparisons})
        return comparisons

    def _measure_lag(self, number: int, seconds: float, side: str, found: np.ndarray, truth: np.ndarray) -> None:
        before = self._previous.get(side)
        self._previous[side] = number, seconds, truth
        if before is None or before[0] != number - 1 or seconds <= before[1]:
            return
        # The time that explains most of the error as a late copy of the motion, by least squares.
        velocity = (truth - before[2]) / (seconds - before[1])
        self._along += float((velocity * (truth - found)).sum())
        self._speed += float((velocity * velocity).sum())

    def _follow(self, seconds: float, found: Mapping[str, np.ndarray], there: Mapping[str, bool]) -> None:
        """Notice losses and recoveries: a hand that was found, is still there, and is not found."""
        for side, seen in there.items():
            if seen:
                self._seen_before.add(side)
                if side in self._lost_since:
                    self._recoveries.append(seconds - self._lost_since.pop(side))
            elif side in self._seen_before and side not in self._lost_since:
                self._lost_since[side] = seconds
                self.losses += 1
        for side in [side for side in self._lost_since if side not in there]:
            del self._lost_since[side]  # the hand itself is gone

    def summary(self) -> dict[str, Any]:
        """Return the figures as JSON takes them; None where there is nothing to tell."""
        result: dict[str, Any] = {
            'frames': self.frames, 'frames_with_hands': self.frames_with_hands, 'hands_seen': self.hands_seen,
            'gestures_seen': {name: self._gestures[name] for name in GESTURES if self._gestures[name]},
            'jitter_mm': _overall(self._raw.values()),
            'losses': self.losses,
            'recovery_s': {'median': _rounded(float(np.median(self._recoveries))),
                           'longest': _rounded(max(self._recoveries))} if self._recoveries else None,
            'not_recovered': len(self._lost_since)}
        if not self.with_truth:
            return result
        within = {name: one.within(THRESHOLDS) for name, one in (('joints', self._errors), ('worst', self._worst),
                                                                 ('mean', self._mean))}
        fine = np.linspace(*AUC_RANGE, 200)
        return result | {
            'hands_known': self.known, 'hands_found': self.found, 'wrong_side': self.wrong_side,
            'hands_too_many': self.extra,
            'mean_joint_error_mm': _rounded(float(self._joint_sums.mean() / self.found)) if self.found else None,
            'median_joint_error_mm': _rounded(self._errors.quantile(0.5)),
            'aligned_joint_error_mm': _rounded(self._aligned_sum / self.found) if self.found else None,
            'per_joint_error_mm': dict(zip(JOINTS, (_rounded(total / self.found) for total in self._joint_sums)))
                                  if self.found else {},
            'same_gesture_percent': _percent(self._same_gestures.total(), self.found),
            'gestures': {name: {'hands': count, 'same_percent': _percent(self._same_gestures[name], count)}
                         for name in GESTURES if (count := self._known_gestures[name])},
            'truth_jitter_mm': _overall(self._of_truth.values()), 'error_jitter_mm': _overall(self._of_error.values()),
            'lag_ms': _rounded(1000 * self._along / self._speed) if self._speed else None,
            'auc': _rounded(area_under_curve(fine, self._errors.within(fine)), 4) if self.found else None,
            'auc_range_mm': list(AUC_RANGE),
            'percent_within_mm': {f'{t:g}': {'hands_by_worst_joint': _rounded(100 * within['worst'][t], 2),
                                             'hands_by_mean_joint': _rounded(100 * within['mean'][t], 2),
                                             'joints': _rounded(100 * within['joints'][t], 2)}
                                  for t in (10, 20, 30, 50)} if self.found else {},
            'curves': {'threshold_mm': THRESHOLDS.tolist(), 'hands_by_worst_joint': within['worst'].round(5).tolist(),
                       'hands_by_mean_joint': within['mean'].round(5).tolist(),
                       'joints': within['joints'].round(5).tolist()} if self.found else {}}


def _overall(parts: Sequence[Jitter]) -> float | None:
    values = [value for part in parts if (value := part.millimetres()) is not None]
    return _rounded(float(np.sqrt(np.mean(np.square(values))))) if values else None


def _percent(part: int, whole: int) -> float | None:
    return _rounded(100 * part / whole, 2) if whole else None


def _rounded(value: float | None, digits: int = 3) -> float | None:
    return None if value is None else round(float(value), digits)
