"""What the tracker node reports about itself: on ``/diagnostics``, and in the log without repeating itself."""

from __future__ import annotations

import re
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
from hand_pose_ros.files import printable

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
    #: A condition that so many further messages had to report is put into the log.
    lasting: int = 3
    #: The same warning is logged at most this often, so that a camera at 90 Hz does not fill a disk.
    repeat_s: float = 5.0


CONFIG = DiagnosticsConfig()


#: Publishers of one image topic that are distinguished by their numbers.
_MOST_PUBLISHERS = 8


class ThrottledLog:
    """Logs a line anew only after a while."""

    def __init__(self, node: Node) -> None:
        self._logger = node.get_logger()
        self._last: dict[str, float] = {}

    def warn(self, problem: str) -> bool:
        """Log a problem, unless that was done a moment ago; True if it was logged."""
        if fresh := self._is_fresh(problem):
            self._logger.warning(printable(problem))
        return fresh

    def info(self, kind: str, line: str) -> None:
        """Log a line, unless one of its kind was a moment ago: for lines with figures, each of which is another."""
        if self._is_fresh(kind):
            self._logger.info(printable(line))

    def _is_fresh(self, kind: str) -> bool:
        now = time.monotonic()
        if now - self._last.get(kind, -CONFIG.repeat_s) < CONFIG.repeat_s:
            return False
        if len(self._last) >= 100:
            self._last.clear()
        self._last[kind] = now
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
        impossible: skeletons that no hand can have, which the tracker dropped.
        last_arrival: when the last frame came, used or not, on the clock given; None before the first.

    """

    def __init__(self, clock: Callable[[], float] = time.monotonic, publishers: Callable[[], int] = lambda: 1) -> None:
        """Begin to count.

        Args:
            clock: seconds.
            publishers: of the images; each numbers its own, and a message does not say whose it is.

        """
        self._clock, self._publishers = clock, publishers
        self._frames: deque[_Frame] = deque(maxlen=1000)
        #: The last number of each publisher, the one that sent last at the end.
        self._last_numbers: list[int] = []
        self._missed = 0
        self.processed = 0
        self.refused = 0
        self.dropped: int | None = 0
        self.without_depth = 0
        self.impossible = 0
        self.last_arrival: float | None = None

    def arrive(self, number: int | None) -> None:
        """Note a frame's arrival, with the number that its publisher gave it."""
        self.last_arrival = self._clock()
        if number is None:
            self.dropped = None
        elif self.dropped is not None:
            missed = self._follow(number)
            self._missed += missed
            self.dropped += missed

    def _follow(self, number: int) -> int:
        """Find out whose number this is; returns how many images of that publisher were missed before it."""
        before = max((last for last in self._last_numbers if last < number), default=None)
        missed = 0 if before is None else number - before - 1
        if before is not None and missed:
            # A gap is a loss, or the first image of a publisher that had sent none yet. The graph is asked then only.
            publishers = max(self._publishers(), 1)
            del self._last_numbers[:-publishers]
            if len(self._last_numbers) < publishers:
                before, missed = None, 0
        # A publisher that starts anew counts from the beginning again, as a further one does.
        if before in self._last_numbers:
            self._last_numbers.remove(before)
        self._last_numbers.append(number)
        del self._last_numbers[:-_MOST_PUBLISHERS]
        return missed

    def finish(self, latency: float, times: Mapping[str, float]) -> None:
        """Note a processed frame: seconds from its publication to its joints', and seconds by stage."""
        self.processed += 1
        self._frames.append(_Frame(self._clock(), self._missed, latency, dict(times)))
        self._missed = 0

    def pause(self) -> None:
        """Forget the number of the last frame: those that follow were not missed but not wanted."""
        self._last_numbers.clear()

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
            'impossible skeletons dropped': str(self.impossible),
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

    def __init__(self, node: Node, log: ThrottledLog) -> None:
        self._node, self._log = node, log
        self.statistics = FrameStatistics(publishers=lambda: node.count_publishers(self._image_topic))
        self._image_topic = ''
        self._depth_expected = False
        self._parts: dict[str, str] = {}
        self._idle, self._problem, self._depth_problem, self._hands = NOT_CONFIGURED, '', '', 0
        self._reason = self._kind = ''
        self._lasting, self._said = 0, set[str]()
        self._publisher = node.create_publisher(DiagnosticArray, topics.DIAGNOSTICS, 10)
        node.create_timer(CONFIG.period_s, self._publish, clock=Clock(clock_type=ClockType.STEADY_TIME))

    def describe(self, image_topic: str, depth_expected: bool, parts: Mapping[str, str]) -> None:
        """Take what the node is made of: the topic that it reads, whether color has depth, and parts by their kind."""
        self._image_topic, self._depth_expected, self._parts = image_topic, depth_expected, dict(parts)

    def update_parts(self, parts: Mapping[str, str]) -> None:
        """Take parts, by their kind, that have changed while the node works."""
        self._parts = {**self._parts, **parts}

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

    def nothing_measured(self, reason: str) -> None:
        """Take why depth can hold no hand, or told no distance of those that color shows; empty where it can."""
        self._reason = reason

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
        if self._clock_stands():
            return _warning('use_sim_time is set and nobody publishes /clock: everything is stamped 0')
        if silence is None or silence > CONFIG.silence_s:
            since = 'yet' if silence is None else f'for {silence:.0f} s'
            plural = 's' * (publishers != 1)
            why = self._why_silent()
            return _warning(f'idle: no image on {topic} {since}; {publishers or "no"} publisher{plural}{why}')
        if self._problem:
            return DiagnosticStatus.ERROR, self._problem
        loss, view = self.statistics.loss(), f'{self._hands} hand{"s" * (self._hands != 1)} in view'
        if self._depth_problem:
            return _warning(f'{view}, by color alone: {self._depth_problem}')
        if publishers > 1:  # Their images mix, and the numbers that dropped ones are counted by.
            return _warning(f'{view}, but {publishers} publishers share {topic}')
        if self._reason:
            guessed = ', their distance by hand_size' if self._hands else ''
            return _warning(f'{view}{guessed}: {self._reason}')
        if loss > CONFIG.tolerable_loss:
            return _warning(
                f'{view}, but {loss:.0%} of the images of {topic} are dropped: '
                'too slow, or lost on the way (config/fastdds.xml may help)'
            )
        return DiagnosticStatus.OK, view

    def _why_silent(self) -> str:
        """What the graph says of a topic on which nothing comes: publishers of another type, or of another name."""
        offered = {info.topic_type for info in self._node.get_publishers_info_by_topic(self._image_topic)}
        wanted = {info.topic_type for info in self._node.get_subscriptions_info_by_topic(self._image_topic)}
        if offered and wanted and not offered & wanted:
            return (
                f', of {", ".join(sorted(offered))} where {", ".join(sorted(wanted))} is read: see the parameter '
                'image_transport'
            )
        if offered:
            return ''
        images = sorted(
            name
            for name, kinds in self._node.get_topic_names_and_types()
            if {'sensor_msgs/msg/Image', 'sensor_msgs/msg/CompressedImage'} & set(kinds)
            and name != self._image_topic
            and self._node.count_publishers(name)
            and not name.endswith(topics.OVERLAY)
        )
        return f'; images come on {", ".join(images[:5])}' if images else ''

    def _clock_stands(self) -> bool:
        """Whether time is to come from /clock and does not."""
        simulated = self._node.has_parameter('use_sim_time') and self._node.get_parameter('use_sim_time').value
        return bool(simulated) and self._node.get_clock().now().nanoseconds == 0

    def _log_condition(self, level: bytes, message: str) -> None:
        """Put into the log, once, what lasts for a few messages, whatever figures are in it; no clock at once."""
        kind = re.sub(r'[\d.]+', '', message) if level == DiagnosticStatus.WARN and not self._idle else ''
        self._lasting = self._lasting + 1 if kind == self._kind else 0
        self._kind = kind
        if kind and kind not in self._said and (self._lasting >= CONFIG.lasting or self._clock_stands()):
            self._said.add(kind)
            self._log.warn(message)

    def _publish(self) -> None:
        level, message = self.condition()
        self._log_condition(level, message)
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
