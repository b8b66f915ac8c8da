"""``hand-pose bench``: what each stage of the pipeline costs on this machine, and the whole way through ROS topics."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import cycle, islice
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
    parser.add_argument('--clip', metavar='BAG', help='rosbag2 to take the frames from; default: the bundled one')
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
    images, camera = _load(Path(args.clip) if args.clip else resource_path('demo', 'clip'), args.frames)
    result: dict[str, Any] = {'machine': describe_machine()}
    result.update(_measure_pipeline(parameters, images, camera, args.frames, make_messages))
    result['image_to_joints_ms'] = None
    if no_ros:
        result['image_to_joints_reason'] = no_ros
    else:
        try:
            result.update(_measure_topics(changed_tracker_parameters(args), images, camera, min(args.frames, 150)))
        except NodeError as error:
            result['image_to_joints_reason'] = str(error)
    result['peak_rss_mb'] = _peak_rss_mb()
    print(json.dumps(result, indent=2) if args.json else _table(result))
    return 0


def _message_builder() -> tuple[Callable[[Sequence['Hand']], None] | None, str]:
    """Return what builds all messages of a frame as the node does, or None and the reason why not here."""
    try:
        from std_msgs.msg import Header

        from hand_pose_ros.nodes import messages
        from hand_pose_ros.nodes.serialized import MarkerSerializer
    except ImportError as error:
        return None, f'ROS is not available to this Python ({error}); "hand-pose doctor" says how to get it'
    serialize_markers = MarkerSerializer()

    def build(hands: Sequence['Hand']) -> None:
        header = Header(frame_id='camera')
        for hand in hands:
            messages.joints_message(header, hand)
            messages.joint_states_message(header, hand)
        messages.keypoints_message(header, hands)
        messages.transforms_message(header, hands)
        serialize_markers(header, hands)

    return build, ''


def _load(clip: Path, count: int) -> tuple[list['np.ndarray'], 'Camera']:
    """Decode up to ``count`` images of a clip: (480, 640) uint16 millimetres, and their camera."""
    import cv2
    import numpy as np

    from hand_pose_ros.geometry.camera import Camera
    from hand_pose_ros.io.recording import RecordingError, open_recording
    frames = list(islice(open_recording(clip), count))
    camera = frames[0].camera
    if camera is None:
        raise RecordingError(f'{clip}: the clip holds no camera calibration')
    across, down = WIDTH / camera.width, HEIGHT / camera.height
    scaled = Camera(WIDTH, HEIGHT, camera.fx * across, camera.fy * down, (camera.cx + 0.5) * across - 0.5,
                    (camera.cy + 0.5) * down - 0.5, camera.distortion)
    images = [cv2.resize(np.rint(frame.depth() * 1000).astype(np.uint16), (WIDTH, HEIGHT),
                         interpolation=cv2.INTER_NEAREST) for frame in frames]
    return images, scaled


def _measure_pipeline(parameters: 'TrackerParameters', images: Sequence['np.ndarray'], camera: 'Camera', count: int,
                      make_messages: Callable[[Sequence['Hand']], None] | None) -> dict[str, Any]:
    """Time the pipeline in this process, from the 16-bit image to the hands."""
    from hand_pose_ros.images import depth_in_metres
    from hand_pose_ros.metrics import spread_ms
    from hand_pose_ros.pipeline.tracker import HandTracker
    tracker = HandTracker(parameters)
    stages: dict[str, list[float]] = {name: [] for name in (*PIPELINE_STAGES, 'messages')}
    whole: list[float] = []
    found = 0
    for index, image in enumerate(islice(_forth_and_back(images), WARM_UP + count)):
        started = time.perf_counter()
        hands = tracker.process(depth_in_metres(image, 0.001), camera)
        tracked = time.perf_counter()
        if make_messages:
            make_messages(hands)
        if index < WARM_UP:
            continue
        whole.append(tracked - started)
        found += len(hands)
        for name in PIPELINE_STAGES:
            if name in tracker.stage_times:
                stages[name].append(tracker.stage_times[name])
        if make_messages:
            stages['messages'].append(time.perf_counter() - tracked)
    medians = {name: (spread_ms(seconds) or {'median': None})['median'] for name, seconds in stages.items()}
    return {'engine': tracker.engine_description, 'model': tracker.model_name,
            'threads': parameters.threads or 'chosen by the engine', 'image': f'{WIDTH}x{HEIGHT}', 'frames': count,
            'hands_per_frame': round(found / count, 3), 'stages_ms': medians, 'pipeline_ms': spread_ms(whole)}


def _measure_topics(parameters: Mapping[str, Any], images: Sequence['np.ndarray'], camera: 'Camera',
                    count: int) -> dict[str, Any]:
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
    probe = LatencyProbe(namespace, context)
    try:
        with TemporaryDirectory() as folder, \
                NodeProcess('tracker', namespace, {**parameters, 'depth_unit': 0.001},
                            Path(folder) / 'tracker.log') as tracker:
            deadline = time.monotonic() + START_LIMIT
            while not probe.ready():
                if tracker.exit_code() is not None:
                    raise tracker.failure()
                if time.monotonic() > deadline:
                    raise NodeError(f'the tracker node was not ready within {START_LIMIT:.0f} s: {tracker.last_line()}')
            times = probe.measure(_forth_and_back(images), camera, RATE, WARM_UP, START_LIMIT, count)
            if tracker.exit_code() is not None:
                raise tracker.failure()
    finally:
        probe.destroy_node()
        context.try_shutdown()
    answered = [seconds for seconds in times if seconds is not None]
    if not answered:
        raise NodeError('the tracker node found no hand in any image')
    return {'image_to_joints_ms': spread_ms(answered), 'image_to_joints_rate_hz': RATE,
            'image_to_joints_answered': f'{len(answered)} of {count}'}


def _forth_and_back(images: Sequence['np.ndarray']) -> Iterator['np.ndarray']:
    """Repeat a clip without a jump where it starts again."""
    return cycle([*images, *images[-2:0:-1]])


def _peak_rss_mb() -> float:
    """Largest memory that this process had, in megabytes."""
    import resource
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak / (1 << 20 if sys.platform == 'darwin' else 1024), 1)


def _table(result: Mapping[str, Any]) -> str:
    def times(value: Mapping[str, float] | None) -> str:
        return '-' if value is None else f'{value["median"]:8.2f} {value["p95"]:8.2f}'

    lines = [f'{name:<18} {result[name]}' for name in ('machine', 'engine', 'model', 'threads', 'image', 'frames',
                                                       'hands_per_frame')]
    lines.append(f'{"milliseconds":<18} {"median":>8} {"95 %":>8}')
    lines += [f'  {name:<16} ' + ('       -' if value is None else f'{value:8.2f}')
              for name, value in result['stages_ms'].items()]
    lines.append(f'{"pipeline":<18} {times(result["pipeline_ms"])}')
    reason = result.get('image_to_joints_reason')
    answered = '' if reason else f'   {result["image_to_joints_answered"]} answered at {RATE:.0f} Hz'
    lines.append(f'{"image to joints":<18} {reason or times(result["image_to_joints_ms"]) + answered}')
    lines.append(f'{"peak memory":<18} {result["peak_rss_mb"]:8.1f} MB')
    return '\n'.join(lines)
