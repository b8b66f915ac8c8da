"""What the tracker node reports about itself: on ``/diagnostics``, and in the log without repeating itself."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from std_msgs.msg import Header

from hand_pose_ros import topics

#: Key of the number of frames dropped since the node started.
DROPPED = 'frames dropped'
#: Why a node that is not active does nothing.
NOT_CONFIGURED = 'not configured; use the lifecycle transition "configure"'
NOT_ACTIVE = 'not active; use the lifecycle transition "activate"'


@dataclass(frozen=True)
class DiagnosticsConfig:
    """When diagnostics come, and what they warn of."""

    #: Between two messages: what robots' monitors expect.
    period_s: float = 1.0
    #: Rate, latency and stages are those of the frames of so long.
    window_s: float = 5.0
    #: Without an image for so long, the node counts as idle.
    silence_s: float = 2.0
    #: A larger share of dropped images is warned of.
    tolerable_loss: float = 0.1
    #: The same warning is logged at most this often, so that a camera at 90 Hz does not fill a disk.
    repeat_s: float = 5.0


CONFIG = DiagnosticsConfig()


class ThrottledLog:
    """Logs a warning anew only after a while."""

    def __init__(self, node: Node) -> None:
        self._logger = node.get_logger()
        self._last: dict[str, float] = {}

    def warn(self, problem: str) -> bool:
        """Log a problem, unless that was done a moment ago; True if it was logged."""
        now = time.monotonic()
        if now - self._last.get(problem, -CONFIG.repeat_s) < CONFIG.repeat_s:
            return False
        if len(self._last) >= 100:
            self._last.clear()
        self._last[problem] = now
        self._logger.warning(problem)
        return True


@dataclass(frozen=True)
class _Frame:
    arrived: float
    missed: int
    latency: float
    times: Mapping[str, float]


class FrameStatistics:
    """Counts frames and their times.

    Attributes:
        processed: frames that were tracked.
        refused: frames that could not be used.
        dropped: frames replaced by newer ones before they were taken; None where the middleware does not number
            messages.
        without_depth: color images that were tracked without the depth that they should have.
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
        self.without_depth = 0
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
        return [frame for frame in self._frames if self._clock() - frame.arrived <= CONFIG.window_s]

    def values(self) -> dict[str, str]:
        """Return the figures as text, ready for a ``DiagnosticStatus``."""
        frames = self._recent()
        values = {
            'rate (Hz)': '0.0',
            'frames processed': str(self.processed),
            'frames refused': str(self.refused),
            DROPPED: 'unknown: this middleware does not number messages' if self.dropped is None else str(self.dropped),
        }
        if len(frames) > 1:
            values['rate (Hz)'] = f'{(len(frames) - 1) / (frames[-1].arrived - frames[0].arrived):.1f}'
        if frames:
            latencies = [frame.latency for frame in frames]
            values['latency median (ms)'] = _milliseconds(np.median(latencies))
            values['latency p95 (ms)'] = _milliseconds(np.percentile(latencies, 95))
            for stage in frames[-1].times:
                values[f'{stage} median (ms)'] = _milliseconds(
                    np.median([frame.times[stage] for frame in frames if stage in frame.times])
                )
        return values


class TrackerDiagnostics:
    """The status of the tracker node: how it fares, and why where it is idle. Sent whether it is active or not.

    Attributes:
        statistics: of its frames.

    """

    def __init__(self, node: Node) -> None:
        self._node = node
        self.statistics = FrameStatistics()
        self._image_topic = ''
        self._depth_expected = False
        self._parts: dict[str, str] = {}
        self._idle, self._problem, self._depth_problem, self._hands = NOT_CONFIGURED, '', '', 0
        self._publisher = node.create_publisher(DiagnosticArray, topics.DIAGNOSTICS, 10)
        node.create_timer(CONFIG.period_s, self._publish, clock=Clock(clock_type=ClockType.STEADY_TIME))

    def describe(self, image_topic: str, depth_expected: bool, parts: Mapping[str, str]) -> None:
        """Take what the node is made of: the topic that it reads, whether color has depth, and parts by their kind."""
        self._image_topic, self._depth_expected, self._parts = image_topic, depth_expected, dict(parts)

    def set_idle(self, reason: str, problem: str = '') -> None:
        """The node does nothing, for a reason, or because of a problem; with neither it is active again."""
        self._idle, self._problem, self._depth_problem, self._hands = reason, problem, '', 0
        self.statistics.pause()

    def finish(
        self, hands: int, latency: float, times: Mapping[str, float], depth_problem: str = '', problem: str = ''
    ) -> None:
        """A frame was tracked.

        Args:
            hands: how many were found.
            latency: see :meth:`FrameStatistics.finish`.
            times: likewise.
            depth_problem: why the frame's depth is missing; empty where it is there, or none is expected.
            problem: what went wrong after its hands were published, or empty.

        """
        self._problem, self._depth_problem, self._hands = problem, depth_problem, hands
        self.statistics.without_depth += bool(depth_problem)
        self.statistics.finish(latency, times)

    def refuse(self, problem: str) -> None:
        """A frame could not be used."""
        self._problem, self._hands = problem, 0
        self.statistics.refused += 1

    def condition(self) -> tuple[bytes, str]:
        """Return the level and the reason to put on it."""
        if self._idle:
            return (DiagnosticStatus.ERROR, self._problem) if self._problem else _warning(f'idle: {self._idle}')
        topic, publishers = self._image_topic, self._node.count_publishers(self._image_topic)
        silence = self.statistics.silence()
        if silence is None or silence > CONFIG.silence_s:
            since = 'yet' if silence is None else f'for {silence:.0f} s'
            plural = 's' * (publishers != 1)
            return _warning(f'idle: no image on {topic} {since}; {publishers or "no"} publisher{plural}')
        if self._problem:
            return DiagnosticStatus.ERROR, self._problem
        loss, view = self.statistics.loss(), f'{self._hands} hand{"s" * (self._hands != 1)} in view'
        if self._depth_problem:
            return _warning(f'{view}, by color alone: {self._depth_problem}')
        if publishers > 1:  # Their images mix, and the numbers that dropped ones are counted by.
            return _warning(f'{view}, but {publishers} publishers share {topic}')
        if loss > CONFIG.tolerable_loss:
            return _warning(
                f'{view}, but {loss:.0%} of the images of {topic} are dropped: '
                'too slow, or lost on the way (config/fastdds.xml may help)'
            )
        return DiagnosticStatus.OK, view

    def _publish(self) -> None:
        level, message = self.condition()
        values = {**self._parts, 'hands': str(self._hands), **self.statistics.values()}
        if self._depth_expected:
            values['frames without depth'] = str(self.statistics.without_depth)
        status = DiagnosticStatus(
            level=level,
            name=f'{self._node.get_fully_qualified_name().lstrip("/")}: tracking',
            message=message,
            hardware_id=self._image_topic,
            values=[KeyValue(key=key, value=value) for key, value in values.items()],
        )
        self._publisher.publish(
            DiagnosticArray(header=Header(stamp=self._node.get_clock().now().to_msg()), status=[status])
        )


def _warning(message: str) -> tuple[bytes, str]:
    return DiagnosticStatus.WARN, message


def _milliseconds(seconds: float) -> str:
    return f'{1e3 * seconds:.1f}'
