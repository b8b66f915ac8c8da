"""``hand-pose demo``: the real nodes over the bundled clip, through real topics, watched and scored."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from hand_pose_ros.cli.arguments import NODE_SETTINGS, add_tracker_arguments, make_output_folder
from hand_pose_ros.cli.demo_report import closing_lines, write_results
from hand_pose_ros.cli.processes import (
    NodeError,
    NodeProcess,
    changed_tracker_parameters,
    prepare_to_host_nodes,
    require_ros,
)
from hand_pose_ros.cli.streams import say
from hand_pose_ros.files import printable, reason

if TYPE_CHECKING:
    from hand_pose_ros.nodes.observer import ObservedFrame, Observer


@dataclass(frozen=True)
class DemoConfig:
    """How long the demo waits before it gives up."""

    #: For the first hand.
    start_limit_s: float = 30.0
    #: For the whole clip, from then on.
    run_limit_s: float = 45.0


CONFIG = DemoConfig()

#: Flexions that the table shows: one joint of each finger that bends with the whole finger.
FLEXIONS = ('thumb_ip', 'index_pip', 'middle_pip', 'ring_pip', 'pinky_pip')


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Add the command to the command line."""
    parser = subparsers.add_parser(
        'demo',
        help='run the real nodes over the bundled clip and report',
        description='Run the playback and tracker nodes over a clip with ground truth, through real ROS topics, and '
        'leave an overlay video, a report page and summary.json in DIR.',
    )
    parser.add_argument('--out', metavar='DIR', default='out/demo', help='folder for the results. Default: out/demo')
    parser.add_argument('--clip', metavar='BAG', help='rosbag2 to play; default: the bundled one')
    add_tracker_arguments(parser, skip=NODE_SETTINGS)


def run(args: argparse.Namespace) -> int:
    """Run the demo; 1 with a line on stderr when a part of it fails.

    Raises:
        ValueError: the clip or a setting cannot be used.
        OSError: the output cannot be written.

    """
    try:
        require_ros('the demo')
        import rclpy.utilities  # noqa: F401  ROS from pip starts Python anew here, so nothing may come before.

        from hand_pose_ros.resources import resource_path

        clip = Path(args.clip) if args.clip else resource_path('demo', 'clip')
        out = Path(args.out)
        make_output_folder(out)
        watched = _watch(clip, out, changed_tracker_parameters(args))
        summary = write_results(clip, out, *watched)
    except NodeError as error:
        print(printable(f'hand-pose demo: error: {error}'), file=sys.stderr)
        return 1
    say(closing_lines(summary, out))
    return 0


def _watch(clip: Path, out: Path, parameters: Mapping) -> tuple[dict[str, ObservedFrame], dict[str, str]]:
    """Run the nodes over the clip; return what came by frame name, and the tracker's last diagnostics."""
    import threading

    import rclpy
    from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
    from rclpy.signals import SignalHandlerOptions

    from hand_pose_ros.io.recording import open_recording
    from hand_pose_ros.nodes.observer import Observer

    recording = open_recording(clip)
    prepare_to_host_nodes()
    namespace = f'/hand_pose_demo_{os.getpid()}'
    context = rclpy.Context()
    rclpy.init(args=[], context=context, signal_handler_options=SignalHandlerOptions.NO)
    observer = Observer(namespace, context)
    executor = SingleThreadedExecutor(context=context)
    executor.add_node(observer)

    faults: list[Exception] = []

    def spin() -> None:
        try:
            executor.spin()
        except ExternalShutdownException:
            pass
        except Exception as error:  # nobody else would notice the thread's end
            faults.append(error)

    spinner = threading.Thread(target=spin, name='observer', daemon=True)
    spinner.start()
    try:
        with (
            NodeProcess('tracker', namespace, parameters, out / 'tracker.log') as tracker,
            NodeProcess(
                'playback',
                namespace,
                {'input': str(clip.resolve()), 'use_original_stamps': True, 'wait_for_subscriber': True},
                out / 'playback.log',
            ) as playback,
        ):
            _follow(observer, tracker, playback, len(recording), faults)
    finally:
        executor.shutdown()
        spinner.join(5)
        observer.destroy_node()
        context.try_shutdown()
    return dict(observer.frames), dict(observer.status)


def _follow(
    observer: Observer, tracker: NodeProcess, playback: NodeProcess, count: int, faults: Sequence[Exception]
) -> None:
    """Show the live table until the clip is through.

    Raises:
        NodeError: a node ended early or reports an error, or nothing came in time.

    """
    table = _Table(count)
    started = time.monotonic()
    first = ended = None
    while True:
        time.sleep(0.1)
        now = time.monotonic()
        answered = [frame for frame in list(observer.frames.values()) if frame.answered]
        if answered and first is None:
            first = now
        table.show(answered, observer.status)
        if faults:
            raise NodeError(f'what came from the tracker node could not be read: {reason(faults[0])}')
        if tracker.exit_code() is not None:
            raise tracker.failure()
        if playback.exit_code():
            raise playback.failure()
        if observer.problem:
            raise NodeError(f'the tracker node reports: {observer.problem} (all of it: {tracker.log})')
        if playback.exit_code() == 0 and ended is None:
            ended = now
        # The answer to the last image may still be under way, and diagnostics come once a second.
        if ended is not None and 'engine' in observer.status and (len(answered) >= count or now - ended > 1.0):
            break
        if first is None and now - started > CONFIG.start_limit_s:
            raise NodeError(
                f'nothing came from the tracker node within {CONFIG.start_limit_s:.0f} s: {tracker.last_line()}'
            )
        if first is not None and now - first > CONFIG.run_limit_s:
            raise NodeError(f'the clip did not end within {CONFIG.run_limit_s:.0f} s (see {playback.log})')
    table.show(answered, observer.status, final=True)
    if not answered:
        raise NodeError(f'the clip was played, but the tracker node answered no frame (see {tracker.log})')
    if not any(frame.joints for frame in answered):
        raise NodeError(f'the tracker node found no hand in any of {len(answered)} frames (see {tracker.log})')


class _Table:
    """A live table of the hands on a terminal; a line now and then elsewhere."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._live = sys.stdout.isatty()
        self._lines = 0
        self._shown = 0.0

    def show(self, answered: Sequence[ObservedFrame], status: Mapping[str, str], final: bool = False) -> None:
        """Show the state after the frames answered so far."""
        now = time.monotonic()
        if not final and now - self._shown < (0.2 if self._live else 2.0):
            return
        self._shown = now
        lines = table_lines(answered, self._count, status)
        if self._live:
            back = f'\033[{self._lines}A' if self._lines else ''
            sys.stdout.write(back + ''.join(f'\033[K{line}\n' for line in lines))
            self._lines = len(lines)
        else:
            hands = '; '.join(' '.join(line.split()) for line in lines[2:] if '-' not in line.split()[1:2])
            sys.stdout.write(lines[0] + (f'; {hands}' if hands else '') + '\n')
        sys.stdout.flush()


def table_lines(answered: Sequence[ObservedFrame], count: int, status: Mapping[str, str]) -> list[str]:
    """Lay out the table: a line on the run, a heading, one line a side; angles in degrees, positions in meters."""
    import numpy as np

    from hand_pose_ros.geometry.joints import SIDES, WRIST

    recent = answered[-30:]
    times = [frame.answered for frame in recent if frame.answered is not None]
    rate = (len(times) - 1) / (times[-1] - times[0]) if len(times) > 1 and times[-1] > times[0] else 0.0
    latencies = [value for frame in recent for value in frame.latencies()]
    latency = f'{1e3 * np.median(latencies):.1f} ms' if latencies else '-'
    lines = [
        f'frame {len(answered)}/{count}   {rate:.1f} Hz   latency {latency}   {status.get("engine", "starting")}',
        f'{"":<6} {"score":>6} {"wrist x":>9} {"y":>7} {"z (m)":>7}   '
        + ' '.join(f'{name.split("_")[0]:>6}' for name in FLEXIONS)
        + '  flexion (deg)',
    ]
    last = recent[-1] if recent else None
    for side in SIDES:
        if last is None or side not in last.joints:
            lines.append(f'{side:<6} {"-":>6}')
            continue
        x, y, z = last.joints[side][WRIST]
        angles = last.angles.get(side, {})
        bends = [
            f'{np.degrees(angles[key]):6.0f}' if (key := f'{name}_flexion') in angles else f'{"-":>6}'
            for name in FLEXIONS
        ]
        lines.append(f'{side:<6} {last.confidence[side].mean():6.2f} {x:9.3f} {y:7.3f} {z:7.3f}   {" ".join(bends)}')
    return lines
