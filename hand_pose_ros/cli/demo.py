"""``hand-pose demo``: the real nodes over the bundled clip, through real topics, watched and scored."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hand_pose_ros.cli.arguments import NODE_SETTINGS, add_tracker_arguments, make_output_folder
from hand_pose_ros.cli.processes import (
    NodeError,
    NodeProcess,
    changed_tracker_parameters,
    prepare_to_host_nodes,
    require_ros,
)
from hand_pose_ros.files import printable, reason, write_text

if TYPE_CHECKING:
    import numpy as np

    from hand_pose_ros.core.hand import Hand
    from hand_pose_ros.evaluation.metrics import HandComparison
    from hand_pose_ros.io.outputs import MeshReader
    from hand_pose_ros.io.recording import Recording
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
        summary = _report(clip, out, *watched)
    except NodeError as error:
        print(printable(f'hand-pose demo: error: {error}'), file=sys.stderr)
        return 1
    print(_closing_lines(summary, out))
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


def _report(clip: Path, out: Path, frames: Mapping[str, ObservedFrame], status: Mapping[str, str]) -> dict:
    """Score what came against the clip's ground truth, and write the video, summary.json and report.html."""
    from hand_pose_ros.evaluation.metrics import compare_hands, percentiles_ms, summarize
    from hand_pose_ros.io.recording import open_recording, read_joints
    from hand_pose_ros.machine import describe_machine

    found = {name: frame.joints for name, frame in frames.items() if frame.answered}
    stamps, pictures = _draw(open_recording(clip), frames, out / 'overlay.mp4')
    comparisons = compare_hands([name for name in stamps if name in found], found, read_joints(clip))
    scores = summarize(comparisons)
    if not comparisons:  # A clip without ground truth, given with --clip.
        scores.update(hands_in_clip=None, hands_found=sum(len(hands) for hands in found.values()), wrong_side=None)
    times = sorted(frame.answered for frame in frames.values() if frame.answered is not None)
    summary = {
        'frames': len(found),
        'frames_played': len(stamps),
        **scores,
        'rate_hz': round((len(times) - 1) / (times[-1] - times[0]), 2) if len(times) > 1 else None,
        'latency_ms': percentiles_ms([value for frame in frames.values() for value in frame.latencies()]),
        'engine': status.get('engine', 'unknown'),
        'model': status.get('model', 'unknown'),
        'machine': describe_machine(),
    }
    write_text(out / 'summary.json', json.dumps(summary, indent=2) + '\n')
    write_text(out / 'report.html', report_page(summary, comparisons, stamps, pictures))
    return summary


def _draw(
    recording: Recording, frames: Mapping[str, ObservedFrame], video: Path
) -> tuple[dict[str, float], list[tuple[str, np.ndarray]]]:
    """Draw every frame with what came for it, and the robot hand that follows the right one, into a video.

    Returns:
        The stamps by name, and a few of the pictures.

    """
    import numpy as np

    from hand_pose_ros.io.outputs import MeshReader
    from hand_pose_ros.io.results import VideoWriter
    from hand_pose_ros.robots.picture import RobotPanel
    from hand_pose_ros.visualization.drawing import side_by_side

    robot = RobotPanel()
    read_meshes = MeshReader()
    stamps: dict[str, float] = {}
    pictures: list[tuple[str, np.ndarray]] = []
    shown = {round((i + 0.5) * len(recording) / 6) for i in range(6)}
    with VideoWriter(video, recording.rate()) as writer:
        for index, frame in enumerate(recording):
            stamps[frame.name] = frame.stamp
            camera, hands = frame.camera_frame().camera, _hands(frames.get(frame.name), read_meshes)
            picture = side_by_side(frame.picture, hands, camera, scale=max(1, round(640 / camera.width)))
            seen = next((hand for hand in hands if hand.side == robot.side), None)
            angles = frames[frame.name].angles.get(robot.side, {}) if seen else {}
            size = picture.shape[0], picture.shape[1] // 4
            panel = robot.draw(seen.joints if seen else None, angles, size)
            picture = np.concatenate([picture, panel], axis=1)
            writer.write(picture)
            if index in shown:
                pictures.append((f'{frame.stamp - next(iter(stamps.values())):.2f} s', picture))
    return stamps, pictures


def _hands(frame: ObservedFrame | None, read_meshes: MeshReader) -> list[Hand]:
    """Make hands to draw out of what came for a frame."""
    if frame is None or not frame.joints:
        return []
    import numpy as np

    from hand_pose_ros.core.hand import Hand, HandFit

    meshes = read_meshes(frame.markers) if frame.markers else {}
    hands = []
    for side, joints in frame.joints.items():
        fit = None
        if side in meshes:
            turns = np.tile(np.eye(3), (len(joints), 1, 1))
            fit = HandFit(dict(frame.angles.get(side, {})), turns, joints, *meshes[side], 0.0)
        hands.append(Hand(side, float(frame.confidence[side].mean()), joints, frame.confidence[side], fit))
    return hands


def report_page(
    summary: Mapping[str, Any],
    comparisons: Sequence[HandComparison],
    stamps: Mapping[str, float],
    pictures: Sequence[tuple[str, np.ndarray]],
) -> str:
    """Write the report: figures, charts and pictures as one HTML page."""
    from hand_pose_ros.visualization import report

    images = [
        report.chart_card(
            text, report.picture(image, f'Depth image with skeletons, hand meshes, and the robot hand, at {text}')
        )
        for text, image in pictures
    ]
    facts = [(name, str(summary[name])) for name in ('engine', 'model', 'machine')]
    return report.page(
        'Hand tracking demo',
        'A rendered depth clip with known joints, played through the ROS nodes on this machine',
        report.grid(_cards(summary), 150),
        report.section('Error', report.grid(_charts(summary, comparisons, stamps), 400)),
        report.section('Frames, and a robot hand that follows the right one', report.grid(images, 420)),
        report.section('Run', report.table(facts)),
    )


def _cards(summary: Mapping[str, Any]) -> list[str]:
    from hand_pose_ros.visualization import report

    def number(value: float | None, unit: str) -> str:
        return '-' if value is None else f'{value:.1f} {unit}'

    latency = summary['latency_ms'] or {'median': None, 'p95': None}
    known = summary['hands_in_clip'] is not None
    cards = (
        (
            number(summary['mean_joint_error_mm'], 'mm'),
            'mean joint error',
            f'median {number(summary["median_joint_error_mm"], "mm")}',
        ),
        (
            _hands_found(summary),
            'hands found',
            f'{summary["wrong_side"]} taken for the other side' if known else 'the clip holds no ground truth',
        ),
        (number(latency['median'], 'ms'), 'latency, image to joints', f'95 % within {number(latency["p95"], "ms")}'),
        (
            number(summary['rate_hz'], 'Hz'),
            'rate',
            f'{summary["frames"]} of {summary["frames_played"]} frames answered',
        ),
    )
    return [report.figure_card(*card) for card in cards]


def _charts(
    summary: Mapping[str, Any], comparisons: Sequence[HandComparison], stamps: Mapping[str, float]
) -> list[str]:
    """The error over time, and joint by joint."""
    from hand_pose_ros.geometry.joints import JOINTS, SIDES, WRIST
    from hand_pose_ros.visualization import report
    from hand_pose_ros.visualization.drawing import FINGER_COLORS, SIDE_COLORS, WRIST_COLOR

    start = min(stamps.values(), default=0.0)
    lines = [
        report.Series(
            side,
            report.css_color(SIDE_COLORS[side]),
            [
                (stamps[c.frame] - start, None if c.errors is None else 1000 * float(c.errors.mean()))
                for c in comparisons
                if c.side == side
            ],
        )
        for side in SIDES
    ]
    colors = {
        joint: report.css_color(
            FINGER_COLORS[joint.split('_')[0]] if joint != JOINTS[WRIST] else tuple(int(0.6 * c) for c in WRIST_COLOR)
        )
        for joint in JOINTS
    }
    bars = [(joint.replace('_', ' '), value, colors[joint]) for joint, value in summary['per_joint_error_mm'].items()]
    return [
        report.chart_card(
            'Mean error of the 21 joints over the clip; gaps where the hand was not found',
            report.line_chart([line for line in lines if line.points], 'seconds', 'mm'),
        ),
        report.chart_card('Mean error of each joint', report.bar_chart(bars, 'mm')),
    ]


def _hands_found(summary: Mapping[str, Any]) -> str:
    known = summary['hands_in_clip']
    return str(summary['hands_found']) if known is None else f'{summary["hands_found"]} of {known}'


def _closing_lines(summary: Mapping[str, Any], out: Path) -> str:
    error, latency = summary['mean_joint_error_mm'], summary['latency_ms']
    score = 'no ground truth' if summary['hands_in_clip'] is None else f'{summary["wrong_side"]} on the wrong side'
    if error is not None:
        score += f', mean joint error {error:.1f} mm'
    pace = '' if latency is None else f', latency {latency["median"]:.1f} ms (median), {latency["p95"]:.1f} ms (95 %)'
    return (
        f'{summary["frames"]} of {summary["frames_played"]} frames, {_hands_found(summary)} hands found, '
        f'{score}{pace}\n{out / "report.html"}  {out / "overlay.mp4"}  {out / "summary.json"}'
    )
