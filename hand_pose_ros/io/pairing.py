"""Pairs of color and depth images of one moment, from two streams."""

from __future__ import annotations

from collections import deque
from statistics import median
from typing import Generic, TypeVar

C = TypeVar('C')
D = TypeVar('D')

#: What to do where depth is not registered to color.
REGISTER = (
    'depth must be registered to color, pixel for pixel. RealSense: start the driver with align_depth.enable:=true and '
    'read /camera/camera/aligned_depth_to_color/image_raw. Orbbec: depth_registration:=true. Azure Kinect: read '
    'depth_to_rgb/image_raw. ZED: read depth/depth_registered'
)

#: Two images belong together when their stamps are no further apart, seconds: half a frame at 30 Hz.
TOLERANCE_S = 0.017
#: Color images that wait at most: live for depth that is late by a quarter of a second at 30 Hz, in a recording for
#: what was written much later.
LIVE_WAITING, RECORDED_WAITING = 8, 40
#: Depth that is older than this against color has stopped: nothing waits for it, nanoseconds.
STOPPED_NS = 1_000_000_000
#: Color images without depth of which it is kept how far off the nearest was.
KEPT_MISSED = 100


class DepthPairing(Generic[C, D]):
    """Pairs by stamps, whenever images come: registering depth takes drivers a while.

    Both methods return what is complete now: color images in order, each with its depth image, or None where none of
    its moment came.

    Args:
        tolerance_s: stamps of one moment are no further apart.
        recorded: nobody waits for the pairs, so that color can wait for depth that was written much later.

    Attributes:
        missed: of the last color images without depth, how far off the nearest depth image was, nanoseconds.

    """

    def __init__(self, tolerance_s: float = TOLERANCE_S, recorded: bool = False) -> None:
        self.tolerance_s, self._recorded = tolerance_s, recorded
        self._most_waiting = most_waiting = RECORDED_WAITING if recorded else LIVE_WAITING
        self._waiting: deque[tuple[int, C]] = deque()
        self._depths: deque[tuple[int, D]] = deque(maxlen=most_waiting)
        self.missed: deque[int] = deque(maxlen=KEPT_MISSED)

    def missed_s(self) -> float:
        """Return how far off depth was from the color images that got none, the median, seconds."""
        return median(self.missed) / 1e9

    def color(self, stamp: int, image: C) -> list[tuple[C, D | None]]:
        """Take a color image, its stamp in nanoseconds."""
        self._waiting.append((stamp, image))
        return self._ready()

    def depth(self, stamp: int, image: D) -> list[tuple[C, D | None]]:
        """Take a depth image, its stamp in nanoseconds."""
        self._depths.append((stamp, image))
        return self._ready()

    def flush(self) -> list[tuple[C, D | None]]:
        """Return the color images that still wait, and forget the depth images but the last: it may be of a new round,
        where time has jumped back.
        """
        rest = [self._finished(stamp, image, self._of(stamp)) for stamp, image in self._waiting]
        self._waiting.clear()
        while len(self._depths) > 1:
            self._depths.popleft()
        return rest

    def _ready(self) -> list[tuple[C, D | None]]:
        done: list[tuple[C, D | None]] = []
        while self._waiting:
            stamp, image = self._waiting[0]
            found = self._of(stamp)
            if found is None and not self._given_up(stamp):
                break
            self._waiting.popleft()
            done.append(self._finished(stamp, image, found))
        return done

    def _given_up(self, stamp: int) -> bool:
        """Whether no depth of a moment will come any more."""
        newest = max((other for other, _ in self._depths), default=None)
        if newest is not None and newest > stamp + 1e9 * self.tolerance_s:
            return True
        flowing = self._recorded or (newest is not None and self._waiting[-1][0] - newest < STOPPED_NS)
        return len(self._waiting) > (self._most_waiting if flowing else 1)

    def _finished(self, stamp: int, image: C, found: D | None) -> tuple[C, D | None]:
        """A color image that waits no more, and the depth found; where there is none, how far off it was is kept."""
        if found is None and self._depths:
            self.missed.append(min(abs(other - stamp) for other, _ in self._depths))
        return image, found

    def _of(self, stamp: int) -> D | None:
        """The depth image whose stamp is closest, within the tolerance."""
        apart, image = min(((abs(other - stamp), n) for n, (other, _) in enumerate(self._depths)), default=(None, None))
        if apart is None or image is None or apart > 1e9 * self.tolerance_s:
            return None
        return self._depths[image][1]
