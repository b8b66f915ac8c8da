"""``hand-pose evaluate``: replays a recording with ground truth, and writes figures, a report and a video."""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hand_pose_ros.cli.arguments import (
    NODE_SETTINGS,
    add_recording_arguments,
    add_tracker_arguments,
    make_output_folder,
    open_input,
    tracker_settings,
)
from hand_pose_ros.cli.interruption import interruptible
from hand_pose_ros.cli.progress import FrameProgress
from hand_pose_ros.cli.streams import say
from hand_pose_ros.files import printable, reading, write_text
from hand_pose_ros.settings import TrackerSettings, changed

if TYPE_CHECKING:
    from hand_pose_ros.evaluation.figures import Figures
    from hand_pose_ros.evaluation.replay import TrackSmoother, WorstFrames
    from hand_pose_ros.evaluation.truth import Truth
    from hand_pose_ros.imaging.images import DepthImage
    from hand_pose_ros.io.frame import Recording
    from hand_pose_ros.tracking.tracker import HandTracker

#: Files that are written, besides the video.
RESULTS = ('metrics.json', 'timings.json', 'report.html')

#: The run itself, the same smoothed, and what it is compared with, as reports call them.
RUN, SMOOTHED, AGAINST = 'run', 'run, smoothed', 'against'

#: Rows of the comparison: key in metrics.json, what it is, unit.
ROWS = (
    ('mean_joint_error_mm', 'mean joint error', 'mm'),
    ('median_joint_error_mm', 'median joint error', 'mm'),
    ('aligned_joint_error_mm', 'mean joint error, hands aligned (Procrustes)', 'mm'),
    ('auc', 'area under the PCK curve', ''),
    ('hands_found', 'hands found', ''),
    ('wrong_side', 'on the wrong side', ''),
    ('same_gesture_percent', 'gesture as that of the true joints', '%'),
    ('hands_too_many', 'hands too many', ''),
    ('losses', 'times lost', ''),
    ('not_recovered', 'lost to the end', ''),
    ('jitter_mm', 'jitter', 'mm'),
    ('error_jitter_mm', 'jitter of the error', 'mm'),
    ('truth_jitter_mm', "the hand's own second difference", 'mm'),
    ('lag_ms', 'lag', 'ms'),
)


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Add the command to the command line."""
    parser = subparsers.add_parser(
        'evaluate',
        help='replay a recording with ground truth and report; needs no ROS',
        description='Replays a recorded camera through the tracker, frame by frame and as fast as it goes, and '
        'compares with the ground truth. Writes DIR/metrics.json (the same in every run), timings.json, '
        'report.html and overlay.mp4. Ctrl-C ends the replay and reports what there is.',
    )
    parser.add_argument('input', metavar='BAG', help='a rosbag2 (folder, .mcap or .db3), a folder of images or a video')
    parser.add_argument(
        '--truth',
        metavar='FILE|PREFIX',
        default='',
        help='a file like hands.jsonl, or what stands before hands/<side>/joints in the names of the '
        "bag's topics. Default: the bag's own hands/<side>/joints; without any, what can be "
        'said without truth is',
    )
    parser.add_argument(
        '--out', metavar='DIR', default='out/evaluate', help='folder for the results. Default: out/evaluate'
    )
    add_recording_arguments(parser)
    parser.add_argument(
        '--against',
        metavar='MODEL|METRICS',
        help="compare with another pose network, run on the same frames, or with an earlier run's metrics.json",
    )
    parser.add_argument('--video', action=argparse.BooleanOptionalAction, default=True, help='write overlay.mp4')
    parser.add_argument('--json', action='store_true', help='print metrics.json and nothing else')
    add_tracker_arguments(parser, skip=NODE_SETTINGS)


def run(args: argparse.Namespace) -> int:
    """Run the command; 130 when interrupted, 143 when terminated, with everything up to there reported.

    Raises:
        ValueError: the recording, its truth, the camera or a setting cannot be used; the message is one clear line.
        OSError: the output cannot be written.

    """
    from hand_pose_ros.evaluation.metrics import percentiles_ms
    from hand_pose_ros.evaluation.truth import open_truth

    settings = tracker_settings(args)
    recording, settings = open_input(args, settings)
    truth = open_truth(Path(args.input), args.truth)
    earlier = _read_earlier(args.against) if args.against and args.against.endswith('.json') else None
    out = Path(args.out)
    make_output_folder(out, *RESULTS, *(['overlay.mp4'] if args.video else []))
    evaluation = _prepare(settings, args.against if earlier is None else None, truth)
    with interruptible() as interruption:
        _replay(evaluation, recording, args.limit, out / 'overlay.mp4' if args.video else None)
    evaluation.interrupted = bool(interruption.exit_code)
    if evaluation.interrupted and not evaluation.figures[RUN].frames:
        print(printable(f'interrupted before the first frame; {out} is left as it was'), file=sys.stderr)
        return interruption.exit_code
    metrics = _metrics(Path(args.input).name, evaluation)
    timings = {name: percentiles_ms(values) for name, values in evaluation.seconds.items()}
    write_text(out / 'metrics.json', json.dumps(metrics, indent=2) + '\n')
    engines = {
        name: {'engine': tracker.description, 'frame_ms': timings[name]}
        for name, tracker in evaluation.trackers.items()
    }
    write_text(out / 'timings.json', json.dumps(engines, indent=2) + '\n')
    if earlier is not None:
        metrics['against'] = earlier
    write_text(out / 'report.html', report_page(metrics, timings, evaluation))
    if args.json:
        print(json.dumps(metrics))
    else:
        say(_closing_lines(metrics, timings[RUN], out, evaluation.why_none))
    return interruption.exit_code


@dataclass
class Evaluation:
    """What is evaluated, and what was found so far.

    Attributes:
        trackers: by the names that reports give them.
        truth: the joints known; None without any.
        figures: of each tracker.
        smoothed: figures of the run smoothed; None where the tracker smooths itself.
        smooth: what smooths it.
        worst: pictures of the frames with the largest errors.
        seconds: a frame, of each tracker.
        interrupted: the replay did not come to its end.
        reach: distances within which hands are looked for, meters.
        reasons: why there could be no hand in the frames before the first one, where that is known -> how many.

    """

    trackers: dict[str, HandTracker]
    truth: Truth | None
    figures: dict[str, Figures]
    smoothed: Figures | None
    smooth: TrackSmoother
    worst: WorstFrames
    seconds: dict[str, list[float]] = field(default_factory=dict)
    interrupted: bool = False
    reach: tuple[float, float] = (0.0, math.inf)
    reasons: Counter[str] = field(default_factory=Counter)

    def explain(self, depth: DepthImage | None) -> None:
        """Take in why a depth image shows no hand, as long as none was found."""
        from hand_pose_ros.imaging.images import explain_emptiness

        if depth is None or self.figures[RUN].frames_with_hands:
            return
        if reason := explain_emptiness(depth, *self.reach):
            self.reasons[reason] += 1

    @property
    def why_none(self) -> str:
        """Why no hand was found at all, where that is known."""
        found = self.figures[RUN].frames_with_hands
        return '' if found or not self.reasons else self.reasons.most_common(1)[0][0]


def _read_earlier(name: str) -> dict[str, Any]:
    """Read an earlier run's metrics.json, with all that the report at the end draws of it.

    Raises:
        MetricsError: the file is missing or no such file.

    """
    from hand_pose_ros.evaluation.metrics import MetricsError, read_metrics

    with reading('--against', MetricsError, 'a metrics.json'):
        earlier = read_metrics(Path(name))
    drawn = [(earlier.get('per_joint_error_mm') or {}).values(), *(earlier.get('curves') or {}).values()]
    if any(None in figures for figures in drawn):
        raise MetricsError(
            printable(f'--against: {name} has no figure for a joint or in a curve: evaluate its recording again')
        )
    return earlier


def _prepare(settings: TrackerSettings, against: str | None, truth: Truth | None) -> Evaluation:
    """Make the trackers, and the figures that they fill."""
    from hand_pose_ros.evaluation.figures import Figures
    from hand_pose_ros.evaluation.replay import TrackSmoother, WorstFrames
    from hand_pose_ros.tracking.factory import make_tracker

    trackers = {RUN: make_tracker(settings)}
    if against:
        trackers[AGAINST] = make_tracker(changed(settings, model=against))
    known = truth is not None
    return Evaluation(
        trackers,
        truth,
        {name: Figures(known) for name in trackers},
        None if settings.tracking.smoothing else Figures(known),
        TrackSmoother(),
        WorstFrames(),
        {name: [] for name in trackers},
        reach=(settings.tracking.near, settings.tracking.far),
    )


def _replay(evaluation: Evaluation, recording: Recording, limit: int | None, video: Path | None) -> None:
    """Run the trackers over the recording and gather what they find."""
    from hand_pose_ros.evaluation.replay import compare_picture, gather, replay
    from hand_pose_ros.io.results import VideoWriter

    with ExitStack() as stack:
        writer = stack.enter_context(VideoWriter(video, recording.rate())) if video else None
        progress = FrameProgress(limit, recording.count)
        stack.callback(progress.close)
        for one in replay(recording, evaluation.trackers, evaluation.truth, limit):
            gather(one, evaluation.figures, evaluation.worst, RUN)
            if evaluation.smoothed is not None:
                smooth = evaluation.smooth(one.hands[RUN], one.frame.stamp)
                evaluation.smoothed.add(one.frame.stamp, smooth, one.truth)
            for name, seconds in one.seconds.items():
                evaluation.seconds[name].append(seconds)
            if writer is not None:
                writer.write(compare_picture(one, RUN))
            evaluation.explain(one.frame.depth)
            progress.show(evaluation.figures[RUN].frames)


def _metrics(recording: str, evaluation: Evaluation) -> dict[str, Any]:
    """Put together what metrics.json holds: nothing that differs from run to run."""
    figures, trackers = evaluation.figures, evaluation.trackers
    result = {
        'recording': recording,
        'complete': not evaluation.interrupted,
        'ground_truth': evaluation.truth is not None,
        'run': {'model': trackers[RUN].model_name, **figures[RUN].summary()},
    }
    if evaluation.smoothed is not None:
        result['smoothed'] = {'model': trackers[RUN].model_name, **evaluation.smoothed.summary()}
    if AGAINST in figures:
        result['against'] = {'model': trackers[AGAINST].model_name, **figures[AGAINST].summary()}
    return result


def report_page(metrics: Mapping[str, Any], timings: Mapping[str, Any], evaluation: Evaluation) -> str:
    """Write the report as one HTML page."""
    from hand_pose_ros.visualization import report

    one = metrics['run']
    keys = {RUN: 'run', SMOOTHED: 'smoothed', AGAINST: 'against'}
    methods = {name: metrics[key] for name, key in keys.items() if metrics.get(key)}
    partial = '' if metrics['complete'] else ' (interrupted: this is a part of it)'
    return report.page(
        'Replay evaluation',
        f'{metrics["recording"]}, {one["frames"]} frames{partial}',
        report.grid(_cards(metrics, timings[RUN]), 150),
        *_sections(metrics, methods, evaluation),
        report.section('Run', report.table(_facts(metrics, methods, evaluation.trackers[RUN].description))),
    )


def _cards(metrics: Mapping[str, Any], pace: Mapping[str, float] | None) -> list[str]:
    from hand_pose_ros.visualization import report

    one = metrics['run']
    found = f'{one["frames_with_hands"]} of {one["frames"]}'
    cards = [report.figure_card(found, 'frames with hands', 'no ground truth was given or found')]
    if metrics['ground_truth']:
        cards = [
            report.figure_card(
                _number(one['mean_joint_error_mm'], 'mm'),
                'mean joint error',
                f'median {_number(one["median_joint_error_mm"], "mm")}',
            ),
            report.figure_card(
                f'{one["hands_found"]} of {one["hands_known"]}',
                'hands found',
                f'{one["wrong_side"]} on the wrong side, {one["hands_too_many"]} too many',
            ),
        ]
    recovery = one['recovery_s']
    median, p95 = (_number(pace[key] if pace else None, 'ms') for key in ('median', 'p95'))
    return [
        *cards,
        report.figure_card(_number(one['jitter_mm'], 'mm'), 'jitter', 'second difference of the joints'),
        report.figure_card(
            str(one['losses']),
            'times lost',
            f'found again after {recovery["median"]:.2f} s (median)' if recovery else '',
        ),
        report.figure_card(median, 'time a frame', f'95 % within {p95}'),
    ]


def _sections(
    metrics: Mapping[str, Any], methods: Mapping[str, Mapping[str, Any]], evaluation: Evaluation
) -> Iterator[str]:
    """Charts, the table of figures, gestures and the worst frames, where there is something to show."""
    from hand_pose_ros.visualization import report

    one = metrics['run']
    colors = dict(zip(methods, ('#2f7ed8', '#8f9aa7', '#d9822b')))
    if metrics['ground_truth'] and one.get('curves'):
        yield report.section('Error', report.grid(_charts(methods, colors, evaluation.figures[RUN]), 400))
    rows = [
        [label, *(_number(method.get(key), unit) for method in methods.values())]
        for key, label, unit in ROWS
        if any(method.get(key) is not None for method in methods.values())
    ]
    yield report.section('Figures', report.columns(['', *methods], rows))
    if one.get('gestures'):
        shares = [method.get('gestures') or {} for method in methods.values()]
        rows = [
            [name, str(known['hands']), *(_number(share.get(name, {}).get('same_percent'), '%') for share in shares)]
            for name, known in one['gestures'].items()
        ]
        heading = ['', 'hands', *(f'recognized alike, {name}' for name in methods)]
        yield report.section('Gestures of the true joints', report.columns(heading, rows))
    if worst := evaluation.worst.sorted():
        pictures = [
            report.chart_card(
                f'{error:.1f} mm in {name}; found on the left, known on the right',
                report.picture(image, f'Skeletons found and known in {name}'),
            )
            for error, _, name, image in worst
        ]
        yield report.section('Worst frames', report.grid(pictures, 420))


def _facts(metrics: Mapping[str, Any], methods: Mapping[str, Mapping[str, Any]], engine: str) -> list[tuple[str, str]]:
    from hand_pose_ros.machine import describe_machine

    one = metrics['run']
    facts = [
        ('recording', metrics['recording']),
        ('frames', str(one['frames'])),
        ('model', one['model']),
        ('engine', engine),
        ('machine', describe_machine()),
    ]
    if against := methods.get(AGAINST):
        facts.append(('against', f'{against["model"]}, {against["frames"]} frames'))
    return facts


def _charts(methods: Mapping[str, Mapping[str, Any]], colors: Mapping[str, str], figures: Figures) -> list[str]:
    from hand_pose_ros.geometry.joints import SIDES
    from hand_pose_ros.visualization import report
    from hand_pose_ros.visualization.drawing import SIDE_COLORS

    rows = list(zip(*[iter(figures.timeline)] * 3))
    step = max(1, len(rows) // 4000)  # more points than a chart has pixels only make the page heavy
    timeline = [
        report.Series(
            side,
            report.css_color(SIDE_COLORS[side]),
            [(seconds, None if error != error else error) for seconds, which, error in rows[::step] if which == index],
        )
        for index, side in enumerate(SIDES)
    ]
    charts = [
        report.chart_card(
            'Mean error of a hand over time; gaps where it was not found',
            report.line_chart([line for line in timeline if line.points], 'seconds', 'mm'),
        )
    ]
    for key, caption in (
        ('hands_by_worst_joint', 'Hands whose worst joint is within a threshold'),
        ('joints', 'Joints within a threshold (PCK)'),
    ):
        lines = [
            report.Series(
                name,
                colors[name],
                list(zip(method['curves']['threshold_mm'], (100 * share for share in method['curves'][key]))),
            )
            for name, method in methods.items()
            if method.get('curves')
        ]
        charts.append(report.chart_card(caption, report.line_chart(lines, 'mm', '%')))
    for name, method in methods.items():
        if name != SMOOTHED:
            bars = [
                (joint.replace('_', ' '), error, colors[name])
                for joint, error in (method.get('per_joint_error_mm') or {}).items()
            ]
            charts.append(report.chart_card(f'Mean error of each joint, {name}', report.bar_chart(bars, 'mm')))
    return charts


def _number(value: float | None, unit: str) -> str:
    if value is None:
        return '-'
    return f'{value} {unit}'.strip() if isinstance(value, int) else f'{value:.2f} {unit}'.strip()


def _closing_lines(metrics: Mapping[str, Any], pace: Mapping[str, float] | None, out: Path, why_none: str = '') -> str:
    one = metrics['run']
    parts = [f'{"" if metrics["complete"] else "interrupted: "}{one["frames"]} frames']
    if metrics['ground_truth']:
        parts += [
            f'{one["hands_found"]} of {one["hands_known"]} hands found',
            f'{one["wrong_side"]} on the wrong side',
            f'mean joint error {_number(one["mean_joint_error_mm"], "mm")} '
            f'({_number(one["aligned_joint_error_mm"], "mm")} aligned)',
        ]
    else:
        parts += [f'hands in {one["frames_with_hands"]}', 'no ground truth']
    parts += [f'jitter {_number(one["jitter_mm"], "mm")}', f'{_number(pace["median"] if pace else None, "ms")} a frame']
    if why_none:
        parts[-1] += f'; no hand, since {why_none}'
    return f'{", ".join(parts)}\n{out / "report.html"}  {out / "metrics.json"}'
