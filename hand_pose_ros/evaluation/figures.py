"""Figures of a replay, gathered frame by frame in memory that does not grow with the joints."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from hand_pose_ros.evaluation.metrics import HandComparison, compare_hands
from hand_pose_ros.evaluation.scoring import align, area_under_curve, rounded
from hand_pose_ros.geometry.joints import JOINTS, SIDES
from hand_pose_ros.gestures.library import shipped_library
from hand_pose_ros.gestures.recognition import recognize


@dataclass(frozen=True)
class FiguresConfiguration:
    """Resolution and ranges of the figures, millimeters."""

    bin_mm: float = 0.05  # of the distributions: finer than what is reported
    limit_mm: float = 400.0  # what lies beyond counts as the last bin
    table_mm: tuple[int, ...] = (10, 20, 30, 50)  # thresholds of the table
    curve_mm: tuple[int, ...] = tuple(range(81))  # thresholds of the curves
    auc_range_mm: tuple[float, float] = (0.0, 50.0)  # of the area under the PCK curve, as the papers have it


_DEFAULT = FiguresConfiguration()


class Distribution:
    """How often values in millimeters occur: counts in bins of one width."""

    def __init__(self, configuration: FiguresConfiguration = _DEFAULT) -> None:
        self._bin = configuration.bin_mm
        self._counts = np.zeros(round(configuration.limit_mm / self._bin), np.int64)

    def add(self, millimeters: np.ndarray) -> None:
        places = np.minimum(np.asarray(millimeters) / self._bin, len(self._counts) - 1).astype(int)
        np.add.at(self._counts, places.ravel(), 1)

    def __len__(self) -> int:
        return int(self._counts.sum())

    def quantile(self, share: float) -> float | None:
        """Value that this share lies below, to half a bin; None of nothing."""
        if not len(self):
            return None
        return float((np.searchsorted(self._counts.cumsum(), share * len(self)) + 0.5) * self._bin)

    def within(self, thresholds: np.ndarray) -> np.ndarray:
        """Share of the values within each threshold (T,)."""
        sums = np.concatenate([[0], self._counts.cumsum()])
        return sums[np.minimum(np.round(thresholds / self._bin).astype(int), len(self._counts))] / max(len(self), 1)


class Jitter:
    """Jitter of joints: root mean square of their second difference over three frames that follow each other."""

    def __init__(self) -> None:
        self._before: list[tuple[int, np.ndarray]] = []
        self._sum, self._count = 0.0, 0

    def add(self, frame: int, points: np.ndarray) -> None:
        """Add points (21, 3) in meters of frame number ``frame``."""
        if self._before and self._before[-1][0] != frame - 1:
            self._before = []
        self._before = [*self._before[-2:], (frame, points)]
        if len(self._before) == 3:
            bend = self._before[2][1] - 2 * self._before[1][1] + self._before[0][1]
            self._sum += float(np.square(bend).sum(1).mean())
            self._count += 1

    def millimeters(self) -> float | None:
        """Return the figure; None of fewer than three frames in a row."""
        return 1000 * (self._sum / self._count) ** 0.5 if self._count else None


class Figures:
    """Gathers what a replay finds.

    Args:
        with_truth: whether the true joints are known.
        configuration: resolution and ranges.

    Attributes:
        timeline: of each known hand: seconds since the first frame, side (index into ``SIDES``), mean error in mm, NaN
            where it was not found.

    """

    def __init__(self, with_truth: bool, configuration: FiguresConfiguration = _DEFAULT) -> None:
        self.with_truth, self._configuration = with_truth, configuration
        self.frames = self.frames_with_hands = self.hands_seen = 0
        self.known = self.found = self.wrong_side = self.extra = 0
        self.timeline = array('f')
        self._joint_sums, self._errors = np.zeros(len(JOINTS)), Distribution(configuration)
        self._aligned_sum = 0.0
        self._worst, self._mean = Distribution(configuration), Distribution(configuration)
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

    def add(
        self, stamp: float, found: Mapping[str, np.ndarray], truth: Mapping[str, np.ndarray]
    ) -> list[HandComparison]:
        """Add a frame's hands, side -> (21, 3) meters; returns how each known one fared."""
        if self._start is None:
            self._start = stamp
        number, seconds = self.frames, stamp - self._start
        self.frames += 1
        self.frames_with_hands += bool(found)
        self.hands_seen += len(found)
        for side, joints in found.items():
            self._raw[side].add(number, joints)
        gestures = {side: recognize(joints, side).name for side, joints in found.items()}
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
                millimeters = 1000 * hand.errors
                mean = float(millimeters.mean())
                self.found += 1
                self._joint_sums += millimeters
                true = truth[hand.side][None]
                aligned = align(found[hand.side][None], true, 'procrustes')
                self._aligned_sum += 1000 * float(np.linalg.norm(aligned - true, axis=2).mean())
                self._errors.add(millimeters)
                self._worst.add(millimeters.max())
                self._mean.add(millimeters.mean())
                self._of_truth[hand.side].add(number, truth[hand.side])
                self._of_error[hand.side].add(number, found[hand.side] - truth[hand.side])
                gesture = recognize(truth[hand.side], hand.side).name
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
        for side, is_found in there.items():
            if is_found:
                self._seen_before.add(side)
                if side in self._lost_since:
                    self._recoveries.append(seconds - self._lost_since.pop(side))
            elif side in self._seen_before and side not in self._lost_since:
                self._lost_since[side] = seconds
                self.losses += 1
        for side in [side for side in self._lost_since if side not in there]:
            del self._lost_since[side]  # the hand itself is gone

    def summary(self) -> dict[str, Any]:
        """Return the figures as JSON takes them; None where there are none."""
        result: dict[str, Any] = {
            'frames': self.frames,
            'frames_with_hands': self.frames_with_hands,
            'hands_seen': self.hands_seen,
            'gestures_seen': {name: self._gestures[name] for name in shipped_library().names if self._gestures[name]},
            'jitter_mm': _overall(self._raw.values()),
            'losses': self.losses,
            'recovery_s': {
                'median': rounded(float(np.median(self._recoveries))),
                'longest': rounded(max(self._recoveries)),
            }
            if self._recoveries
            else None,
            'not_recovered': len(self._lost_since),
        }
        return result | self._truth_figures() if self.with_truth else result

    def _truth_figures(self) -> dict[str, Any]:
        """What rests on true joints."""
        result: dict[str, Any] = {
            'hands_known': self.known,
            'hands_found': self.found,
            'wrong_side': self.wrong_side,
            'hands_too_many': self.extra,
            'mean_joint_error_mm': None,
            'median_joint_error_mm': rounded(self._errors.quantile(0.5)),
            'aligned_joint_error_mm': None,
            'per_joint_error_mm': {},
            'same_gesture_percent': _percent(self._same_gestures.total(), self.found),
            'gestures': {
                name: {'hands': count, 'same_percent': _percent(self._same_gestures[name], count)}
                for name in shipped_library().names
                if (count := self._known_gestures[name])
            },
            'truth_jitter_mm': _overall(self._of_truth.values()),
            'error_jitter_mm': _overall(self._of_error.values()),
            'lag_ms': rounded(1000 * self._along / self._speed) if self._speed else None,
            'auc': None,
            'auc_range_mm': list(self._configuration.auc_range_mm),
            'percent_within_mm': {},
            'curves': {},
        }
        return result | self._errors_found() if self.found else result

    def _errors_found(self) -> dict[str, Any]:
        """Errors and shares within thresholds of the hands found, at least one."""
        config = self._configuration
        distributions = (
            ('hands_by_worst_joint', self._worst),
            ('hands_by_mean_joint', self._mean),
            ('joints', self._errors),
        )
        fine = np.linspace(*config.auc_range_mm, 200)
        return {
            'mean_joint_error_mm': rounded(float(self._joint_sums.mean() / self.found)),
            'aligned_joint_error_mm': rounded(self._aligned_sum / self.found),
            'per_joint_error_mm': {
                joint: rounded(total / self.found) for joint, total in zip(JOINTS, self._joint_sums)
            },
            'auc': rounded(area_under_curve(fine, self._errors.within(fine)), 4),
            'percent_within_mm': {
                f'{t:g}': {name: rounded(100 * one.within(np.array([t]))[0], 2) for name, one in distributions}
                for t in config.table_mm
            },
            'curves': {
                'threshold_mm': [float(t) for t in config.curve_mm],
                **{name: one.within(np.array(config.curve_mm)).round(5).tolist() for name, one in distributions},
            },
        }


def _overall(parts: Iterable[Jitter]) -> float | None:
    values = [value for part in parts if (value := part.millimeters()) is not None]
    return rounded(float(np.sqrt(np.mean(np.square(values))))) if values else None


def _percent(part: int, whole: int) -> float | None:
    return rounded(100 * part / whole, 2) if whole else None
