"""When a tracker that cannot keep up with its camera does less, and when it does more again."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class LoadConfiguration:
    """What counts as too busy, and for how long it has to be quiet."""

    #: The load is that of the frames of so long, and of so many at least.
    window_s: float = 1.0
    least_frames: int = 8
    #: Share of the time in work from which on frames are about to be dropped.
    busy: float = 0.88
    #: Share below which there is room for more.
    quiet: float = 0.6
    #: It has to be quiet for so long before more is done; twice as long each time that this was too early.
    quiet_s: float = 10.0
    longest_quiet_s: float = 160.0
    #: After a change nothing is decided for so long: what is new warms up.
    steady_s: float = 1.5


CONFIG = LoadConfiguration()


class LoadControl:
    """Chooses among levels of work, the first the most.

    Args:
        levels: how many there are.
        clock: seconds, steady.
        configuration: when to change.

    Attributes:
        level: the one that is chosen now.

    """

    def __init__(
        self,
        levels: int,
        clock: Callable[[], float] = time.monotonic,
        configuration: LoadConfiguration = CONFIG,
    ) -> None:
        self._levels, self._clock, self._configuration = levels, clock, configuration
        self._frames: deque[tuple[float, float]] = deque()
        self._quiet_s = configuration.quiet_s
        self._raised = False
        self.level = 0
        self._restart()

    def _restart(self) -> None:
        now = self._clock()
        self._frames.clear()
        self._wait_until, self._quiet_since = now + self._configuration.steady_s, now

    def pause(self) -> None:
        """No frames come for a while; what came before says nothing of those to come."""
        self._restart()

    def load(self) -> float | None:
        """Share of the last second that frames were in work, 0 to 1; None with too few of them."""
        if len(self._frames) < self._configuration.least_frames:
            return None
        (first, _), (last, _) = self._frames[0], self._frames[-1]
        # The first frame's work ended as the time began.
        return sum(busy for _, busy in list(self._frames)[1:]) / max(last - first, 1e-6)

    def frame(self, busy_s: float) -> bool:
        """Note that a frame's work, which took ``busy_s``, has just ended; True where the level changed."""
        limits, now = self._configuration, self._clock()
        self._frames.append((now, busy_s))
        while now - self._frames[0][0] > limits.window_s:
            self._frames.popleft()
        load = self.load()
        if load is None or now < self._wait_until:
            return False
        if load > limits.quiet:
            self._quiet_since = now
        if load > limits.busy and self.level < self._levels - 1:
            if self._raised:
                self._quiet_s = min(2 * self._quiet_s, limits.longest_quiet_s)
            self._change(1)
            return True
        if self.level and now - self._quiet_since >= self._quiet_s:
            self._change(-1)
            return True
        return False

    def _change(self, by: int) -> None:
        self.level += by
        self._raised = by < 0
        self._restart()
