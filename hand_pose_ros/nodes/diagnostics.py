"""What the tracker node tells about itself on ``/diagnostics``."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from std_msgs.msg import Header

#: Rate, latency and stages are those of the frames of the last so many seconds.
WINDOW = 5.0
#: Key of the number of frames dropped since the node started.
DROPPED = 'frames dropped'


@dataclass(frozen=True)
class _Frame:
    arrived: float
    missed: int
    latency: float
    times: Mapping[str, float]


class FrameStatistics:
    """Counts frames and their times.

    Attributes:
        processed: frames that went through the pipeline.
        refused: frames that could not be used.
        dropped: frames replaced by newer ones before they were taken; None where the middleware does not number
            messages, so that nobody can tell.
        last_arrival: when the last frame came, used or not, on the clock given; None before the first.

    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._frames: deque[_Frame] = deque(maxlen=1000)
        self._last_number: int | None = None
        self._missed = 0
        self.processed = 0
        self.refused = 0
        self.dropped: int | None = 0
        self.last_arrival: float | None = None

    def arrive(self, number: int | None) -> None:
        """Note a frame's arrival, with the number that its publisher gave it."""
        self.last_arrival = self._clock()
        if number is None:
            self.dropped = None
        elif self.dropped is not None and self._last_number is not None:
            # A publisher that starts anew counts from the beginning again.
            missed = max(0, number - self._last_number - 1)
            self._missed += missed
            self.dropped += missed
        self._last_number = number

    def finish(self, latency: float, times: Mapping[str, float]) -> None:
        """Note a processed frame: seconds from its publication to its joints', and seconds by stage."""
        self.processed += 1
        self._frames.append(_Frame(self._clock(), self._missed, latency, dict(times)))
        self._missed = 0

    def pause(self) -> None:
        """Forget the number of the last frame: those that follow were not missed but not wanted."""
        self._last_number = None

    def silence(self) -> float | None:
        """Seconds since the last frame came; None before the first."""
        return None if self.last_arrival is None else self._clock() - self.last_arrival

    def loss(self) -> float:
        """Share of the last frames that were dropped, 0 to 1."""
        frames = self._recent()
        missed = sum(frame.missed for frame in frames)
        return missed / (missed + len(frames)) if frames else 0.0

    def _recent(self) -> list[_Frame]:
        return [frame for frame in self._frames if self._clock() - frame.arrived <= WINDOW]

    def values(self) -> dict[str, str]:
        """Return the figures as text, ready for a ``DiagnosticStatus``."""
        frames = self._recent()
        values = {'rate (Hz)': '0.0', 'frames processed': str(self.processed), 'frames refused': str(self.refused),
                  DROPPED: 'unknown: this middleware does not number messages' if self.dropped is None
                           else str(self.dropped)}
        if len(frames) > 1:
            values['rate (Hz)'] = f'{(len(frames) - 1) / (frames[-1].arrived - frames[0].arrived):.1f}'
        if frames:
            values.update(_spread('latency', [frame.latency for frame in frames]))
            for stage in frames[-1].times:
                values[f'{stage} median (ms)'] = _milliseconds(np.median(
                    [frame.times[stage] for frame in frames if stage in frame.times]))
        return values


def diagnostics_message(header: Header, name: str, hardware_id: str, level: bytes, message: str,
                        values: Mapping[str, str]) -> DiagnosticArray:
    """Build the message of one status."""
    return DiagnosticArray(header=header, status=[DiagnosticStatus(
        level=level, name=name, message=message, hardware_id=hardware_id,
        values=[KeyValue(key=key, value=value) for key, value in values.items()])])


def _spread(name: str, seconds: list[float]) -> dict[str, str]:
    return {f'{name} median (ms)': _milliseconds(np.median(seconds)),
            f'{name} p95 (ms)': _milliseconds(np.percentile(seconds, 95))}


def _milliseconds(seconds: float) -> str:
    return f'{1e3 * seconds:.1f}'
