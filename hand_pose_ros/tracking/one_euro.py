"""Steadier joints: the One Euro filter."""

from __future__ import annotations

import numpy as np

#: Cutoff frequency in Hz of a joint at rest, and what each m/s of its speed adds to it.
MIN_CUTOFF, PER_SPEED = 1.8, 60.0
#: Cutoff frequency in Hz of the speed's own estimate.
SPEED_CUTOFF = 2.0


class OneEuroFilter:
    """One Euro filter of points (Casiez, Roussel, Vogel: "1 Euro Filter", CHI 2012, algorithm 1).

    A low-pass filter whose cutoff grows with speed: what rests is steadied, what moves is not held back. Every point is
    filtered by its own speed, in all three coordinates alike, so that a motion keeps its direction.
    """

    def __init__(self, min_cutoff: float = MIN_CUTOFF, per_speed: float = PER_SPEED) -> None:
        self.min_cutoff = min_cutoff
        self.per_speed = per_speed
        self._points: np.ndarray | None = None
        self._velocity: np.ndarray | None = None

    def __call__(self, points: np.ndarray, seconds: float) -> np.ndarray:
        """Filter points (N, 3) in meters, ``seconds`` after those before; the first ones come back as they are."""
        if self._points is None or seconds <= 0:
            self._points, self._velocity = points, np.zeros_like(points)
            return points
        velocity = (points - self._points) / seconds
        self._velocity = self._velocity + _weight(SPEED_CUTOFF, seconds) * (velocity - self._velocity)
        cutoff = self.min_cutoff + self.per_speed * np.linalg.norm(self._velocity, axis=1, keepdims=True)
        self._points = self._points + _weight(cutoff, seconds) * (points - self._points)
        return self._points


def _weight(cutoff: float | np.ndarray, seconds: float) -> float | np.ndarray:
    """Weight of the newest sample in a first-order low-pass filter."""
    turn = 2 * np.pi * cutoff * seconds
    return turn / (turn + 1)
