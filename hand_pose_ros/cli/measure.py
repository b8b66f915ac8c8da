"""What ``hand-pose bench`` measures of this package: the tracker in this process, and as a node through topics."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice, product
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from hand_pose_ros.cli.clip import HEIGHT, WIDTH, Clip
from hand_pose_ros.cli.processes import NodeError, NodeProcess, prepare_to_host_nodes
from hand_pose_ros.middleware import check_middleware
from hand_pose_ros.settings import ENGINE_NAMES, PRECISIONS, TrackerSettings, changed

if TYPE_CHECKING:
    from hand_pose_ros.core.hand import Hand
    from hand_pose_ros.nodes.latency import LatencyProbe
    from hand_pose_ros.tracking.tracker import HandTracker


@dataclass(frozen=True)
class BenchConfig:
    """How the tracker is measured."""

    #: Frames before those that count: engines and caches warm up.
    warm_up_frames: int = 20
    #: Images a second that the node is sent: a camera's.
    rate_hz: float = 30.0
    #: Images that the node is sent at most: five seconds.
    topic_frames: int = 150
    #: Time that the tracker node gets to start, and then to answer its first images.
    start_limit_s: float = 30.0


CONFIG = BenchConfig()

MessageMaker = Callable[[Sequence['Hand']], dict[str, float]]


def message_maker() -> tuple[MessageMaker | None, str]:
    """Return what makes the bytes of all messages of a frame as the node does, or None and the reason why not here.

    It returns the seconds that each output took.
    """
    try:
        check_middleware()
    except ValueError as error:
        return None, str(error)
    try:
        from rclpy.serialization import serialize_message
        from std_msgs.msg import Header

        from hand_pose_ros.nodes import messages
        from hand_pose_ros.nodes.serialized import JointsSerializer, MarkerSerializer, TransformsSerializer
    except ImportError as error:
        return None, f'ROS is not available to this Python ({error}); "hand-pose doctor" says how to get it'
    joints, transforms, markers = JointsSerializer(), TransformsSerializer(), MarkerSerializer()

    def make_all(hands: Sequence[Hand]) -> dict[str, float]:
        header = Header(frame_id='camera')
        makers = {
            'joints': lambda: [joints(header, hand) for hand in hands],
            'joint_states': lambda: [serialize_message(messages.joint_states_message(header, hand)) for hand in hands],
            'keypoints': lambda: serialize_message(messages.keypoints_message(header, hands)),
            'tf': lambda: transforms(header, hands),
            'markers': lambda: markers(header, hands),
        }
        seconds = {}
        for name, make in makers.items():
            started = time.perf_counter()
            make()
            seconds[name] = time.perf_counter() - started
        return seconds

    return make_all, ''


def measure_pipeline(
    settings: TrackerSettings, clip: Clip, count: int, make_messages: MessageMaker | None
) -> dict[str, Any]:
    """Time the tracker in this process, from the image as a camera sends it to the hands and their messages."""
    from hand_pose_ros.tracking.factory import make_tracker

    return time_tracker(make_tracker(settings), settings, clip, count, make_messages)


def time_tracker(
    tracker: HandTracker, settings: TrackerSettings, clip: Clip, count: int, make_messages: MessageMaker | None
) -> dict[str, Any]:
    """Do so with a tracker that is there."""
    from hand_pose_ros.evaluation.metrics import percentiles_ms

    stages: dict[str, list[float]] = {}
    outputs: dict[str, list[float]] = {}
    whole: list[float] = []
    found = 0
    for index, frame in enumerate(islice(clip.forth_and_back(), CONFIG.warm_up_frames + count)):
        started = time.perf_counter()
        hands = tracker.process(frame)
        seconds = time.perf_counter() - started
        made = make_messages(hands) if make_messages else {}
        if index < CONFIG.warm_up_frames:
            continue
        whole.append(seconds)
        found += len(hands)
        _add(stages, tracker.stage_seconds)
        _add(outputs, made)
    medians = {name: _median_ms(values) for name, values in stages.items()}
    pipeline = percentiles_ms(whole) or {}
    return {
        'engine': tracker.description,
        'model': tracker.model_name,
        'precision': settings.models.precision,
        'threads': settings.models.threads or 'chosen by the engine',
        'image': f'{WIDTH}x{HEIGHT}',
        'frames': count,
        'hands_per_frame': round(found / count, 3),
        'stages_ms': {**medians, 'messages': _median_ms([sum(each) for each in zip(*outputs.values())])},
        'pipeline_ms': pipeline,
        'pipeline_without_ms': {
            name: round(pipeline['median'] - value, 3) for name, value in medians.items() if value is not None
        },
        'messages_ms': {name: _median_ms(values) for name, values in outputs.items()},
    }


def _add(lists: dict[str, list[float]], values: Mapping[str, float]) -> None:
    for name, value in values.items():
        lists.setdefault(name, []).append(value)


def _median_ms(seconds: Sequence[float]) -> float | None:
    from hand_pose_ros.evaluation.metrics import percentiles_ms

    found = percentiles_ms(seconds)
    return found['median'] if found else None


def compare(settings: TrackerSettings, clip: Clip, count: int, names: Collection[str] = ()) -> list[dict[str, Any]]:
    """Time the tracker with every engine, precision and model.

    Args:
        settings: the other settings.
        clip: the frames.
        count: frames to measure.
        names: engines, precisions and models; where some of a kind are named, the others of it are left out.

    Returns:
        For each combination ``engine``, ``precision``, ``model``, and ``network_ms`` with ``pipeline_ms``, or
        ``reason`` where it does not work here.

    Raises:
        ValueError: a name is none of these.

    """
    from hand_pose_ros.inference.base import EngineError
    from hand_pose_ros.inference.models import COLOR_POSE, POSE, ModelError, read_manifest

    tasks = {'depth': (POSE,), 'color': (COLOR_POSE,), 'rgbd': (POSE, COLOR_POSE)}[clip.modality]
    models = [name for name, entry in read_manifest().items() if entry['task'] in tasks]
    kinds = {'engine': list(ENGINE_NAMES), 'precision': list(PRECISIONS), 'model': models}
    if unknown := set(names) - {name for kind in kinds.values() for name in kind}:
        known = '; '.join(f'{kind}s: {", ".join(values)}' for kind, values in kinds.items())
        raise ValueError(f'--compare {min(unknown)}: no such engine, precision or model; {known}')
    chosen = {kind: [value for value in values if value in names] or values for kind, values in kinds.items()}
    rows = []
    for combination in product(*chosen.values()):
        row: dict[str, Any] = dict(zip(chosen, combination))
        try:
            measured = measure_pipeline(changed(settings, **row), clip, count, None)
        except (EngineError, ModelError) as error:
            rows.append({**row, 'reason': getattr(error, 'short', str(error))})
            continue
        figures = {key: measured[key] for key in ('pipeline_ms', 'hands_per_frame')}
        rows.append({**row, 'network_ms': measured['stages_ms'].get('network'), **figures})
    return rows


def measure_topics(parameters: Mapping[str, Any], clip: Clip, count: int) -> dict[str, Any]:
    """Time the tracker node in a process of its own, from publishing an image here to receiving its joints here.

    Raises:
        NodeError: the node does not run, or finds no hand.

    """
    import rclpy
    from rclpy.signals import SignalHandlerOptions

    from hand_pose_ros.nodes.latency import LatencyProbe

    prepare_to_host_nodes()
    context = rclpy.Context()
    rclpy.init(args=[], context=context, signal_handler_options=SignalHandlerOptions.NO)
    namespace = f'/hand_pose_bench_{os.getpid()}'
    probe = LatencyProbe(namespace, context, clip.modality)
    try:
        with TemporaryDirectory() as folder:
            started = time.perf_counter()
            log = Path(folder) / 'tracker.log'
            with NodeProcess('tracker', namespace, {**parameters, 'depth_unit': 0.001}, log) as tracker:
                return _measure_node(probe, tracker, clip, count, started)
    finally:
        probe.destroy_node()
        context.try_shutdown()


def _measure_node(probe: LatencyProbe, tracker: NodeProcess, clip: Clip, count: int, started: float) -> dict[str, Any]:
    from hand_pose_ros.evaluation.metrics import percentiles_ms

    wait_until_ready(probe, tracker, CONFIG.start_limit_s)
    since, spent = time.perf_counter(), processor_seconds(tracker.pid)
    times = probe.measure(clip.forth_and_back(), CONFIG.rate_hz, CONFIG.warm_up_frames, CONFIG.start_limit_s, count)
    until, spent_then = time.perf_counter(), processor_seconds(tracker.pid)
    if tracker.exit_code() is not None:
        raise tracker.failure()
    answered = [seconds for seconds in times if seconds is not None]
    if not answered or probe.first_arrival is None:
        raise NodeError('the tracker node found no hand in any image')
    return {
        'image_to_joints_ms': percentiles_ms(answered),
        'image_to_joints_rate_hz': CONFIG.rate_hz,
        'image_to_joints_answered': f'{len(answered)} of {count}',
        'start_to_first_hand_s': round(probe.first_arrival - started, 2),
        'peak_rss_mb': memory_mb(tracker.pid),
        'node_cores': None if spent is None or spent_then is None else round((spent_then - spent) / (until - since), 2),
    }


def wait_until_ready(probe: LatencyProbe, tracker: NodeProcess, limit: float) -> None:
    """Wait until the node listens to the probe, at most ``limit`` seconds; raises NodeError where it does not."""
    deadline = time.monotonic() + limit
    while not probe.ready():
        if tracker.exit_code() is not None:
            raise tracker.failure()
        if time.monotonic() > deadline:
            raise NodeError(f'the tracker node was not ready within {limit:.0f} s: {tracker.last_line()}')


def processor_seconds(pid: int) -> float | None:
    """Time that a process has computed for so far, in seconds of one core; None if not known."""
    try:
        fields = Path(f'/proc/{pid}/stat').read_text().rpartition(')')[2].split()
    except OSError:
        return None
    # After the name in brackets, which may hold blanks: the 14th and 15th of proc(5), in user and in kernel mode.
    return (int(fields[11]) + int(fields[12])) / os.sysconf('SC_CLK_TCK')


def memory_mb(pid: int, kind: str = 'VmHWM') -> float | None:
    """Memory of a process in megabytes: the most that it had resident, or with ``VmRSS`` has now; None if not known."""
    try:
        status = Path(f'/proc/{pid}/status').read_text()
    except OSError:
        return None
    found = [line.split()[1] for line in status.splitlines() if line.startswith(f'{kind}:')]
    return round(int(found[0]) / 1024, 1) if found else None
