"""``hand-pose bench``: what each stage of the pipeline costs on this machine, and the whole way through ROS topics."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import cycle, islice, product
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hand_pose_ros.cli.arguments import NODE_SETTINGS, add_tracker_arguments, tracker_parameters
from hand_pose_ros.cli.processes import NodeError, NodeProcess, changed_tracker_parameters, prepare_to_host_nodes

if TYPE_CHECKING:
    import numpy as np

    from hand_pose_ros.geometry.camera import Camera
    from hand_pose_ros.parameters import TrackerParameters
    from hand_pose_ros.pipeline.hand import Hand

#: Everything is measured on images of this size.
WIDTH, HEIGHT = 640, 480

#: Hand trackers of others that can be timed.
PEERS = ('mediapipe',)

PIPELINE_STAGES = ('localize', 'crop', 'network', 'hand_model')
WARM_UP = 20
RATE = 30.0

#: Seconds that the tracker node gets to start, and then to answer its first images.
START_LIMIT = 30.0


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Add the command to the command line."""
    parser = subparsers.add_parser(
        'bench', help='measure latency, rate and memory on this machine',
        description=f'Run the pipeline over the bundled clip at {WIDTH}x{HEIGHT}, in this process and then as a node '
                    'of its own through ROS topics; times are medians and 95th percentiles in milliseconds.')
    parser.add_argument('--json', action='store_true', help='print one JSON object instead of a table')
    parser.add_argument('--frames', type=int, default=200, metavar='N', help='frames to measure. Default: 200')
    parser.add_argument('--clip', metavar='BAG', help='recording to take the frames from; default: the bundled one')
    parser.add_argument('--color', action='store_true', help='take the frames of the bundled colour clip')
    parser.add_argument('--compare', nargs='*', metavar='NAME',
                        help='also time the pipeline with every engine, precision and model that there is here; names of '
                             'some of them leave the others out')
    parser.add_argument('--peer', choices=PEERS, help='also time another hand tracker on the same machine and images')
    parser.add_argument('--peer-python', metavar='PATH', default=sys.executable,
                        help='Python that has the peer installed. Default: this one')
    add_tracker_arguments(parser, skip=NODE_SETTINGS)


def run(args: argparse.Namespace) -> int:
    """Run the command.

    Raises:
        ValueError: the clip or a setting cannot be used.
        OSError: the clip or the model is missing.

    """
    if args.frames < 1:
        raise ValueError(f'--frames {args.frames}: at least one frame is needed')
    # First of all: ROS from pip starts Python anew when it is imported.
    make_messages, no_ros = _message_builder()

    from hand_pose_ros.machine import describe_machine
    from hand_pose_ros.resources import resource_path
    parameters = tracker_parameters(args)
    if args.clip and args.color:
        raise ValueError('--clip and --color: give one of them')
    clip = Path(args.clip) if args.clip else resource_path('demo', 'color' if args.color else 'clip')
    frames = load_frames(clip, args.frames)
    parameters = replace(parameters, modality=frames.modality)
    result: dict[str, Any] = {'machine': describe_machine()}
    result.update(_measure_pipeline(parameters, frames, args.frames, make_messages))
    result['image_to_joints_ms'] = None
    if no_ros:
        result['image_to_joints_reason'] = no_ros
    else:
        try:
            changed = {**changed_tracker_parameters(args), 'modality': frames.modality}
            result.update(_measure_topics(changed, frames, min(args.frames, 150)))
        except NodeError as error:
            result['image_to_joints_reason'] = str(error)
    # The node's own memory; where there is no node, that of this process, which holds the clip too.
    if result.get('peak_rss_mb') is None:
        result['peak_rss_mb'] = memory_mb(os.getpid())
    if args.compare is not None:
        result['comparison'] = compare(parameters, frames, args.frames, args.compare)
    if args.peer:
        result['peer'] = measure_peer(args.peer, args.peer_python, frames)
    print(json.dumps(result, indent=2) if args.json else _table(result))
    return 0


def _message_builder() -> tuple[Callable[[Sequence['Hand']], dict[str, float]] | None, str]:
    """Return what makes the bytes of all messages of a frame as the node does, or None and the reason why not here.

    It returns the seconds that each output took.
    """
    try:
        from rclpy.serialization import serialize_message
        from std_msgs.msg import Header

        from hand_pose_ros.nodes import messages
        from hand_pose_ros.nodes.serialized import JointsSerializer, MarkerSerializer, TransformsSerializer
    except ImportError as error:
        return None, f'ROS is not available to this Python ({error}); "hand-pose doctor" says how to get it'
    joints, transforms, markers = JointsSerializer(), TransformsSerializer(), MarkerSerializer()

    def build(hands: Sequence['Hand']) -> dict[str, float]:
        header = Header(frame_id='camera')
        made = {'joints': lambda: [joints(header, hand) for hand in hands],
                'joint_states': lambda: [serialize_message(messages.joint_states_message(header, hand)) for hand in hands],
                'keypoints': lambda: serialize_message(messages.keypoints_message(header, hands)),
                'tf': lambda: transforms(header, hands), 'markers': lambda: markers(header, hands)}
        seconds = {}
        for name, make in made.items():
            started = time.perf_counter()
            make()
            seconds[name] = time.perf_counter() - started
        return seconds

    return build, ''


@dataclass(frozen=True)
class Frames:
    """A clip at the size that everything is measured at.

    Attributes:
        modality: of the tracker that reads it.
        images: (480, 640) uint16 millimetres, or (480, 640, 3) uint8 in bgr order.
        camera: their camera.

    """

    modality: str
    images: list['np.ndarray']
    camera: 'Camera'

    @property
    def encoding(self) -> str:
        """Of the images, as ROS names it."""
        return 'bgr8' if self.modality == 'rgb' else '16UC1'

    def forth_and_back(self) -> Iterator['np.ndarray']:
        """Repeat the clip without a jump where it starts again."""
        return cycle([*self.images, *self.images[-2:0:-1]])


def load_frames(clip: Path, count: int) -> Frames:
    """Read up to ``count`` images of a clip.

    Raises:
        RecordingError: it cannot be read, or has no camera.

    """
    import cv2
    import numpy as np

    from hand_pose_ros.geometry.camera import Camera
    from hand_pose_ros.io.recording import RecordingError, open_recording
    recording = open_recording(clip)
    frames = list(islice(recording, count))
    camera = frames[0].camera
    if camera is None:
        raise RecordingError(f'{clip}: the clip holds no camera calibration')
    across, down = WIDTH / camera.width, HEIGHT / camera.height
    scaled = Camera(WIDTH, HEIGHT, camera.fx * across, camera.fy * down, (camera.cx + 0.5) * across - 0.5,
                    (camera.cy + 0.5) * down - 0.5, camera.distortion)
    if recording.modality == 'color':
        images = [cv2.resize(frame.image, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA) for frame in frames]
    else:
        images = [cv2.resize(np.rint(frame.depth() * 1000).astype(np.uint16), (WIDTH, HEIGHT),
                             interpolation=cv2.INTER_NEAREST) for frame in frames]
    return Frames(recording.tracker_modality, images, scaled)


def _measure_pipeline(parameters: 'TrackerParameters', frames: Frames, count: int,
                      make_messages: Callable[[Sequence['Hand']], dict[str, float]] | None) -> dict[str, Any]:
    """Time the pipeline in this process, from the image as a camera sends it to the hands."""
    from hand_pose_ros.images import DepthImage
    from hand_pose_ros.metrics import spread_ms
    from hand_pose_ros.pipeline.modality import make_tracker
    tracker = make_tracker(parameters)
    stages: dict[str, list[float]] = {name: [] for name in (*PIPELINE_STAGES, 'messages')}
    outputs: dict[str, list[float]] = {}
    whole: list[float] = []
    found = 0
    for index, image in enumerate(islice(frames.forth_and_back(), WARM_UP + count)):
        started = time.perf_counter()
        hands = tracker.process(DepthImage(image, 0.001) if frames.modality == 'depth' else image, frames.camera)
        tracked = time.perf_counter()
        made = make_messages(hands) if make_messages else {}
        if index < WARM_UP:
            continue
        whole.append(tracked - started)
        found += len(hands)
        for name in PIPELINE_STAGES:
            if name in tracker.stage_times:
                stages[name].append(tracker.stage_times[name])
        for name, seconds in made.items():
            outputs.setdefault(name, []).append(seconds)
        if make_messages:
            stages['messages'].append(sum(made.values()))

    def medians(times: Mapping[str, list[float]]) -> dict[str, float | None]:
        return {name: (spread_ms(seconds) or {'median': None})['median'] for name, seconds in times.items()}

    spread, stage_medians = spread_ms(whole), medians(stages)
    without = {name: round(spread['median'] - value, 3) for name, value in stage_medians.items()
               if name in PIPELINE_STAGES and value is not None}
    return {'engine': tracker.engine_description, 'model': tracker.model_name, 'precision': parameters.precision,
            'threads': parameters.threads or 'chosen by the engine', 'image': f'{WIDTH}x{HEIGHT}', 'frames': count,
            'hands_per_frame': round(found / count, 3), 'stages_ms': stage_medians, 'pipeline_ms': spread,
            'pipeline_without_ms': without, 'messages_ms': medians(outputs)}


def compare(parameters: 'TrackerParameters', frames: Frames, count: int, names: Collection[str] = ()
            ) -> list[dict[str, Any]]:
    """Time the pipeline with every engine, precision and model.

    Args:
        parameters: the other settings.
        frames: the clip.
        count: frames to measure.
        names: engines, precisions and models; where some of a kind are named, the others of it are left out.

    Returns:
        For each combination ``engine``, ``precision``, ``model``, and ``network_ms`` with ``pipeline_ms``, or ``reason``
        where it does not work here.

    Raises:
        ValueError: a name is none of these.

    """
    from hand_pose_ros.estimation.engines import ENGINES, PRECISIONS, EngineError
    from hand_pose_ros.estimation.models import POSE, RGB_POSE, ModelError, read_manifest
    task = RGB_POSE if frames.modality == 'rgb' else POSE
    models = [name for name, entry in read_manifest().items() if entry['task'] == task]
    kinds = {'engine': list(ENGINES), 'precision': list(PRECISIONS), 'model': models}
    if unknown := set(names) - {name for kind in kinds.values() for name in kind}:
        known = '; '.join(f'{kind}s: {", ".join(values)}' for kind, values in kinds.items())
        raise ValueError(f'--compare {sorted(unknown)[0]}: no such engine, precision or model; {known}')
    chosen = {kind: [value for value in values if value in names] or values for kind, values in kinds.items()}
    rows = []
    for engine, precision, model in product(*chosen.values()):
        row: dict[str, Any] = {'engine': engine, 'precision': precision, 'model': model}
        try:
            measured = _measure_pipeline(replace(parameters, engine=engine, precision=precision, model=model), frames,
                                         count, None)
        except (EngineError, ModelError) as error:
            rows.append({**row, 'reason': getattr(error, 'short', str(error))})
            continue
        rows.append({**row, 'network_ms': measured['stages_ms']['network'], 'pipeline_ms': measured['pipeline_ms'],
                     'hands_per_frame': measured['hands_per_frame']})
    return rows


def measure_peer(name: str, python: str, frames: Frames) -> dict[str, Any]:
    """Time another hand tracker, in a process of its own, on the clip's images.

    Depth is shown to it as the overlays show it. No tracker for colour images was made for that: what it takes for an
    image it tells, what it finds does not count.

    Returns:
        What the peer's process says, or ``reason`` where it cannot be run.

    """
    import subprocess
    from tempfile import TemporaryDirectory

    import cv2

    from hand_pose_ros.drawing import depth_picture
    with TemporaryDirectory() as folder:
        for number, image in enumerate(frames.images):
            picture = image if frames.modality == 'rgb' else depth_picture(image / 1000, frames.camera)
            cv2.imwrite(str(Path(folder) / f'{number:05d}.png'), picture)
        try:
            ran = subprocess.run([python, str(Path(__file__).with_name(f'peer_{name}.py')), folder],
                                 capture_output=True, text=True)
        except OSError as error:
            return {'name': name, 'reason': f'--peer-python {python}: {error.strerror or error}'}
    if ran.returncode:
        last = (ran.stderr.strip().splitlines() or ['it said nothing'])[-1]
        return {'name': name, 'reason': f'{python} cannot run it: {last}'}
    return {'name': name, 'images': frames.modality, **json.loads(ran.stdout.strip().splitlines()[-1])}


def _measure_topics(parameters: Mapping[str, Any], frames: Frames, count: int) -> dict[str, Any]:
    """Time the tracker node in a process of its own, from publishing an image here to receiving its joints here.

    Raises:
        NodeError: the node does not run, or finds no hand.

    """
    from tempfile import TemporaryDirectory

    import rclpy
    from rclpy.signals import SignalHandlerOptions

    from hand_pose_ros.metrics import spread_ms
    from hand_pose_ros.nodes.latency import LatencyProbe
    prepare_to_host_nodes()
    context = rclpy.Context()
    rclpy.init(args=[], context=context, signal_handler_options=SignalHandlerOptions.NO)
    namespace = f'/hand_pose_bench_{os.getpid()}'
    probe = LatencyProbe(namespace, context, frames.modality)
    try:
        started = time.perf_counter()
        with TemporaryDirectory() as folder, \
                NodeProcess('tracker', namespace, {**parameters, 'depth_unit': 0.001},
                            Path(folder) / 'tracker.log') as tracker:
            deadline = time.monotonic() + START_LIMIT
            while not probe.ready():
                if tracker.exit_code() is not None:
                    raise tracker.failure()
                if time.monotonic() > deadline:
                    raise NodeError(f'the tracker node was not ready within {START_LIMIT:.0f} s: {tracker.last_line()}')
            since, spent = time.perf_counter(), processor_seconds(tracker.pid)
            times = probe.measure(frames.forth_and_back(), frames.encoding, frames.camera, RATE, WARM_UP, START_LIMIT, count)
            until, spent_then = time.perf_counter(), processor_seconds(tracker.pid)
            cores = None if spent is None or spent_then is None else round((spent_then - spent) / (until - since), 2)
            if tracker.exit_code() is not None:
                raise tracker.failure()
            memory = memory_mb(tracker.pid)
    finally:
        probe.destroy_node()
        context.try_shutdown()
    answered = [seconds for seconds in times if seconds is not None]
    if not answered:
        raise NodeError('the tracker node found no hand in any image')
    return {'image_to_joints_ms': spread_ms(answered), 'image_to_joints_rate_hz': RATE,
            'image_to_joints_answered': f'{len(answered)} of {count}',
            'start_to_first_hand_s': round(probe.first_arrival - started, 2), 'peak_rss_mb': memory,
            'node_cores': cores}


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


def _table(result: Mapping[str, Any]) -> str:
    def times(value: Mapping[str, float] | None) -> str:
        return '-' if value is None else f'{value["median"]:8.2f} {value["p95"]:8.2f}'

    lines = [f'{name:<18} {result[name]}' for name in ('machine', 'engine', 'model', 'threads', 'image', 'frames',
                                                       'hands_per_frame')]
    lines.append(f'{"milliseconds":<18} {"median":>8} {"95 %":>8} {"without":>8}')
    for name, value in result['stages_ms'].items():
        without = result['pipeline_without_ms'].get(name)
        lines.append(f'  {name:<16} ' + ('       -' if value is None else f'{value:8.2f}')
                     + ('' if without is None else f'{without:18.2f}'))
    lines.append(f'{"pipeline":<18} {times(result["pipeline_ms"])}')
    reason = result.get('image_to_joints_reason')
    answered = '' if reason else f'   {result["image_to_joints_answered"]} answered at {RATE:.0f} Hz'
    lines.append(f'{"image to joints":<18} {reason or times(result["image_to_joints_ms"]) + answered}')
    if 'start_to_first_hand_s' in result:
        lines.append(f'{"start to hand":<18} {result["start_to_first_hand_s"]:8.2f} s for the node\'s first one')
    if result.get('node_cores') is not None:
        lines.append(f'{"cores kept busy":<18} {result["node_cores"]:8.2f} by the node at {RATE:.0f} Hz')
    lines.append(f'{"peak memory":<18} {result["peak_rss_mb"] or float("nan"):8.1f} MB')
    if result['messages_ms']:
        lines.append('messages: ' + ', '.join(f'{name} {value:.2f}' for name, value in result['messages_ms'].items()
                                              if value is not None) + ' ms')
    if 'comparison' in result:
        lines.append(f'\n{"engine":<18} {"precision":<10} {"model":<20} {"network":>8} {"pipeline":>8} {"95 %":>8}')
        for row in result['comparison']:
            found = row.get('reason') or f'{row["network_ms"]:8.2f} {times(row["pipeline_ms"])}'
            lines.append(f'{row["engine"]:<18} {row["precision"]:<10} {row["model"]:<20} {found}')
    if 'peer' in result:
        peer = result['peer']
        found = peer.get('reason') or (f'{times(peer["frame_ms"])} ms a frame, hands in {peer["frames_with_hands"]} of '
                                       f'{peer["frames"]} {peer["images"]} images')
        lines.append(f'\n{peer["name"]} {peer.get("version", "")}: {found}')
    return '\n'.join(lines)
