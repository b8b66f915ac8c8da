"""Movements of hands: waving, beckoning, clapping, swipes, by what turns back how often and how far."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np

from hand_pose_ros.geometry.hand_frame import palm_center
from hand_pose_ros.geometry.joints import TIPS, hand_size
from hand_pose_ros.gestures.library import CLOSING, FINGERTIPS, GAP, INDEX_TIP, PALM, GestureLibrary, Movement
from hand_pose_ros.gestures.shape import CAMERA_UP, Point, cross, dot

#: A value is still at a turning point while it is off by no more than this share of the amplitude.
_NEAR = 0.1
_FORWARD = (0.0, 0.0, 1.0)
#: Sine of the angle between up and the line of sight, below which the camera points straight up or down.
_LEAST_TILT = 0.05
#: The measured axis of each axis and way of a movement, and the sign along it.
_AXIS_SIGNS = {'sideways': ('left', 1), 'vertical': ('up', 1), 'left': ('left', 1), 'right': ('left', -1)}
_AXIS_SIGNS |= {'up': ('up', 1), 'down': ('up', -1)}


@dataclass(frozen=True)
class MovementConfiguration:
    """Thresholds that distinguish movements."""

    longest_gap_s: float = 0.5  # after a longer one nothing that was before counts
    length_memory: float = 0.9  # of the palm's length, from frame to frame
    least_forms: float = 0.6  # share of the frames in which the hand shows a form that the movement has
    greatest_closing: float = 0.5  # of fingers in a movement of the hand, as a share of its range
    greatest_travel: float = 1.5  # of the palm while the fingers close, as a share of their range
    rest_s: float = 0.25  # one way is through once the hand stayed for so long
    greatest_return: float = 0.1  # without going about by more than this share of the amplitude
    greatest_drift: float = 0.5  # across the way, or along it before, as a share of it
    swipes_apart_s: float = 1.0  # the hand goes back after a swipe: that is none


_DEFAULT = MovementConfiguration()


@dataclass(frozen=True)
class Moved:
    """A movement that was made.

    Attributes:
        name: of the gesture.
        onset: when it began, seconds.
        confidence: share of its frames in which the hand showed a form that it may have.

    """

    name: str
    onset: float
    confidence: float


@dataclass(frozen=True)
class _Sample:
    """What movements follow, of one frame: meters."""

    stamp: float
    values: Mapping[str, float]
    form: str


@dataclass
class Reversals:
    """Counts how often a value turns back by an amplitude or more (a zigzag)."""

    _way: int = 0
    _low: tuple[float, float] = (0.0, np.inf)  # time and value
    _high: tuple[float, float] = (0.0, -np.inf)
    _times: deque[float] = field(default_factory=deque)  # of the turning points, the first where it all began

    def update(self, stamp: float, value: float, amplitude: float) -> None:
        """Take a value."""
        near = _NEAR * amplitude  # so that a rest before a movement is none of it
        if value > self._high[1] - near:
            self._high = stamp, max(value, self._high[1])
        if value < self._low[1] + near:
            self._low = stamp, min(value, self._low[1])
        if self._way <= 0 and value - self._low[1] >= amplitude:
            self._turn(1, self._low[0], stamp, value)
        elif self._way >= 0 and self._high[1] - value >= amplitude:
            self._turn(-1, self._high[0], stamp, value)

    def _turn(self, way: int, turned: float, stamp: float, value: float) -> None:
        self._times.append(turned)
        self._way, self._low, self._high = way, (stamp, value), (stamp, value)

    def recent(self, since: float) -> list[float]:
        """Times of the turning points from a time on; the first is where the movement begins, not a reversal."""
        while self._times and self._times[0] < since:
            self._times.popleft()
        return list(self._times)


class _History:
    """Samples of the last seconds."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self.samples: deque[_Sample] = deque()

    def add(self, sample: _Sample) -> None:
        self.samples.append(sample)
        while self.samples[0].stamp < sample.stamp - self._seconds:
            self.samples.popleft()

    def range(self, name: str, since: float) -> float:
        values = [one.values[name] for one in self.samples if one.stamp >= since and name in one.values]
        return max(values) - min(values) if values else 0.0

    def share(self, forms: tuple[str, ...], since: float) -> float:
        """Share of the frames that show one of the forms; 1 where any will do."""
        shown = [one.form in forms for one in self.samples if one.stamp >= since]
        return sum(shown) / len(shown) if forms and shown else 1.0


class Movements:
    """Watches one hand, or what is between both, for the movements of a library.

    Args:
        library: the gestures that there are.
        hands: 1 for movements of one hand, 2 for those of both.
        configuration: thresholds that distinguish them.

    """

    def __init__(
        self, library: GestureLibrary, hands: int = 1, configuration: MovementConfiguration = _DEFAULT
    ) -> None:
        every = [one for one in library.movements.values() if one.hands == hands]
        self._movements = [one for one in every if one.reversals]
        self._ways = [one for one in every if not one.reversals]
        self._configuration = configuration
        self._length = 0.0
        self.reset()

    def reset(self) -> None:
        """Forget what was."""
        every = (*self._movements, *self._ways)
        longest = max((one.within for one in every), default=0.0) + self._configuration.rest_s
        self._history = _History(longest)
        self._reversals = {one.name: Reversals() for one in self._movements}
        self._going: set[str] = set()
        self._swiped = -np.inf

    @property
    def going(self) -> bool:
        """Whether a movement that turns back was made and goes on."""
        return bool(self._going)

    def update(self, stamp: float, joints: np.ndarray, form: str, up: Point = CAMERA_UP) -> list[Moved]:
        """Take a hand.

        Args:
            stamp: of the frame, seconds.
            joints: (21, 3) meters, camera optical frame.
            form: name of its form.
            up: direction (3,) in the same frame.

        Returns:
            Movements that are made from now on.

        """
        self._learn_length(hand_size(joints))
        return self._take(_Sample(stamp, _followed(joints, up), form))

    def update_pair(self, stamp: float, left: np.ndarray, right: np.ndarray) -> list[Moved]:
        """Take both hands (21, 3); returns movements that they make from now on."""
        self._learn_length((hand_size(left) + hand_size(right)) / 2)
        gap = float(np.linalg.norm(palm_center(left) - palm_center(right)))
        return self._take(_Sample(stamp, {GAP: gap}, ''))

    def _learn_length(self, length: float) -> None:
        memory = self._configuration.length_memory if self._length else 0.0
        self._length = memory * self._length + (1 - memory) * length

    def _take(self, sample: _Sample) -> list[Moved]:
        samples = self._history.samples
        if samples and not 0 <= sample.stamp - samples[-1].stamp <= self._configuration.longest_gap_s:
            self.reset()
        self._history.add(sample)
        return [*self._turning(sample), *self._one_way(sample)]

    def _turning(self, sample: _Sample) -> Iterator[Moved]:
        for one in self._movements:
            reversals = self._reversals[one.name]
            reversals.update(sample.stamp, sample.values[_signal(one)], one.amplitude * self._length)
            times = reversals.recent(sample.stamp - one.within)
            if len(times) <= one.reversals:
                if len(times) < 2:  # It came to rest.
                    self._going.discard(one.name)
                continue
            share = self._history.share(one.forms, times[0])
            if (
                one.name not in self._going
                and share >= self._configuration.least_forms
                and self._is_clear(one, times[0])
            ):
                self._going.add(one.name)
                yield Moved(one.name, times[0], share)

    def _is_clear(self, one: Movement, since: float) -> bool:
        """Whether what is followed moves more than what makes another movement."""
        config, ranges = self._configuration, self._history.range
        if one.follow == GAP:
            values = [sample.values[GAP] for sample in self._history.samples if sample.stamp >= since]
            return min(values) <= one.closest * self._length
        if one.follow == CLOSING:
            travel = max(ranges(f'{PALM} left', since), ranges(f'{PALM} up', since))
            return travel <= config.greatest_travel * ranges(CLOSING, since)
        along = ranges(_signal(one), since)
        across = ranges(f'{one.follow} {"up" if one.axis == "sideways" else "left"}', since)
        return across <= along and ranges(CLOSING, since) <= config.greatest_closing * along

    def _one_way(self, sample: _Sample) -> Iterator[Moved]:
        config = self._configuration
        if sample.stamp - self._swiped < config.swipes_apart_s:
            return
        for one in self._ways:
            if self._history.samples[0].stamp > sample.stamp - config.rest_s or not self._went(one, sample):
                continue
            onset = self._way_begins(one, sample)
            if onset is None:
                continue
            share = self._history.share(one.forms, onset)
            if share >= config.least_forms:
                self._swiped = sample.stamp
                yield Moved(one.name, onset, share)
                return

    def _went(self, one: Movement, sample: _Sample) -> bool:
        """Whether the hand is farther along a way than it was some time of the last seconds: most often it is not."""
        name, sign = _signal(one), _AXIS_SIGNS[one.axis][1]
        farthest = min if sign > 0 else max
        before = farthest(past.values[name] for past in self._history.samples)
        return sign * (sample.values[name] - before) >= (1 - self._configuration.greatest_return) * (
            one.amplitude * self._length
        )

    def _way_begins(self, one: Movement, sample: _Sample) -> float | None:
        """When a way began that is through: the hand was still before, and is again; None where it is not so."""
        config, amplitude = self._configuration, one.amplitude * self._length
        name, (_, sign) = _signal(one), _AXIS_SIGNS[one.axis]
        track = [(past.stamp, sign * past.values[name]) for past in self._history.samples]
        ended = sample.stamp - config.rest_s
        resting = [value for stamp, value in track if stamp >= ended]
        if max(resting) - min(resting) > config.greatest_return * amplitude or track[0][0] > ended:
            return None
        going = [point for point in track if ended - one.within <= point[0] <= ended]
        began, nearest = min(going, key=lambda point: (point[1], -point[0]))
        length = resting[0] - nearest
        before = [value for stamp, value in track if stamp < began]
        across = f'{one.follow} {"up" if one.axis in ("left", "right") else "left"}'
        passed = [past.values[across] for past in self._history.samples if began <= past.stamp <= ended]
        still = not before or max(before) - nearest <= config.greatest_drift * length
        straight = max(passed) - min(passed) <= config.greatest_drift * length
        return began if length >= amplitude and still and straight else None


def _signal(one: Movement) -> str:
    """Name of the value that a movement follows."""
    return f'{one.follow} {_AXIS_SIGNS[one.axis][0]}' if one.axis else one.follow


def _followed(joints: np.ndarray, up: Point) -> dict[str, float]:
    """What movements of one hand follow, meters: places along the axes ``left`` and ``up``, and how far it is open."""
    up_length = math.hypot(*up) or 1.0
    up_axis = [value / up_length for value in up]
    left = cross(_FORWARD, up_axis)
    left_length = math.hypot(*left)
    # Of a camera that points straight up or down, its own x is as good as any.
    left = [value / left_length for value in left] if left_length > _LEAST_TILT else [1.0, 0.0, 0.0]
    center, tips = palm_center(joints), joints[list(TIPS[1:])]
    places = {PALM: center, FINGERTIPS: tips.mean(0), INDEX_TIP: tips[0]}
    values = {CLOSING: float(np.sqrt(((tips - center) ** 2).sum(1)).mean())}
    for name, place in places.items():
        point = place.tolist()
        values[f'{name} left'], values[f'{name} up'] = dot(point, left), dot(point, up_axis)
    return values
