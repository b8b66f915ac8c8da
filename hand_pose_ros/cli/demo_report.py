"""What ``hand-pose demo`` leaves: scores against the clip's ground truth, the video, and the report."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hand_pose_ros.files import write_text

if TYPE_CHECKING:
    import numpy as np

    from hand_pose_ros.core.hand import Hand
    from hand_pose_ros.evaluation.metrics import HandComparison
    from hand_pose_ros.io.outputs import MeshReader
    from hand_pose_ros.io.recording import Recording
    from hand_pose_ros.nodes.observer import ObservedFrame


def write_results(clip: Path, out: Path, frames: Mapping[str, ObservedFrame], status: Mapping[str, str]) -> dict:
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


def closing_lines(summary: Mapping[str, Any], out: Path) -> str:
    """What is printed at the end: the figures, and where the results are."""
    error, latency = summary['mean_joint_error_mm'], summary['latency_ms']
    score = 'no ground truth' if summary['hands_in_clip'] is None else f'{summary["wrong_side"]} on the wrong side'
    if error is not None:
        score += f', mean joint error {error:.1f} mm'
    pace = '' if latency is None else f', latency {latency["median"]:.1f} ms (median), {latency["p95"]:.1f} ms (95 %)'
    return (
        f'{summary["frames"]} of {summary["frames_played"]} frames, {_hands_found(summary)} hands found, '
        f'{score}{pace}\n{out / "report.html"}  {out / "overlay.mp4"}  {out / "summary.json"}'
    )
