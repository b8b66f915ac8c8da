"""``hand-pose evaluate``: replays a recording with ground truth, and writes figures, a report and a video."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hand_pose_ros.cli.arguments import NODE_SETTINGS, add_tracker_arguments, check_limit, for_recording, tracker_parameters
from hand_pose_ros.cli.progress import FrameProgress

if TYPE_CHECKING:
    import numpy as np

    from hand_pose_ros.evaluation.figures import Figures
    from hand_pose_ros.pipeline.modality import Tracker

#: The run itself, the same smoothed, and what it is compared with, as reports call them.
RUN, SMOOTHED, AGAINST = 'run', 'run, smoothed', 'against'

#: Rows of the comparison: key in metrics.json, what it is, unit.
ROWS = (('mean_joint_error_mm', 'mean joint error', 'mm'), ('median_joint_error_mm', 'median joint error', 'mm'),
        ('aligned_joint_error_mm', 'mean joint error, hands aligned (Procrustes)', 'mm'),
        ('auc', 'area under the PCK curve', ''), ('hands_found', 'hands found', ''),
        ('wrong_side', 'on the wrong side', ''), ('same_gesture_percent', 'gesture as that of the true joints', '%'),
        ('hands_too_many', 'hands too many', ''), ('losses', 'times lost', ''), ('not_recovered', 'lost to the end', ''),
        ('jitter_mm', 'jitter', 'mm'), ('error_jitter_mm', 'jitter of the error', 'mm'),
        ('truth_jitter_mm', 'the hand\'s own second difference', 'mm'), ('lag_ms', 'lag', 'ms'))


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Add the command to the command line."""
    parser = subparsers.add_parser(
        'evaluate', help='replay a recording with ground truth and report; needs no ROS',
        description='Replays a recorded camera through the tracker, frame by frame and as fast as it goes, and '
                    'compares with the ground truth. Writes DIR/metrics.json (the same in every run), timings.json, '
                    'report.html and overlay.mp4. Ctrl-C ends the replay and reports what there is.')
    parser.add_argument('input', metavar='BAG', help='a rosbag2 (folder, .mcap or .db3), a folder of images or a video')
    parser.add_argument('--truth', metavar='FILE|PREFIX', default='',
                        help='a file like hands.jsonl, or what stands before hands/<side>/joints in the names of the '
                             'bag\'s topics. Default: the bag\'s own hands/<side>/joints; without any, what can be '
                             'said without truth is')
    parser.add_argument('--out', metavar='DIR', default='out/evaluate',
                        help='folder for the results. Default: out/evaluate')
    parser.add_argument('--camera', metavar='YAML', help='camera calibration; default: the one in the bag or folder')
    parser.add_argument('--topic', help='image topic of the bag; needed only where there are several')
    parser.add_argument('--limit', type=int, metavar='N', help='stop after N frames')
    parser.add_argument('--against', metavar='MODEL|METRICS',
                        help='compare with another pose network, run on the same frames, or with an earlier run\'s '
                             'metrics.json')
    parser.add_argument('--video', action=argparse.BooleanOptionalAction, default=True, help='write overlay.mp4')
    parser.add_argument('--json', action='store_true', help='print metrics.json and nothing else')
    add_tracker_arguments(parser, skip=NODE_SETTINGS)


def run(args: argparse.Namespace) -> int:
    """Run the command; 130 when interrupted, with everything up to there reported.

    Raises:
        ValueError: the recording, its truth, the camera or a setting cannot be used; the message is one clear line.
        OSError: the output cannot be written.

    """
    import dataclasses

    from hand_pose_ros.evaluation.figures import Figures
    from hand_pose_ros.evaluation.replay import Smoothed, WorstFrames, compare_picture, gather, replay
    from hand_pose_ros.evaluation.truth import open_truth
    from hand_pose_ros.geometry.camera import Camera
    from hand_pose_ros.io.recording import open_recording
    from hand_pose_ros.io.results import VideoWriter
    from hand_pose_ros.metrics import spread_ms
    from hand_pose_ros.pipeline.modality import make_tracker

    parameters = tracker_parameters(args)
    check_limit(args)
    camera = Camera.from_yaml(args.camera) if args.camera else None
    recording = open_recording(args.input, camera, parameters.depth_unit, args.topic, parameters.aligned_depth)
    parameters = for_recording(parameters, recording)
    truth = open_truth(Path(args.input), args.truth)
    earlier = _read_metrics(Path(args.against)) if args.against and args.against.endswith('.json') else None
    trackers = {RUN: make_tracker(parameters)}
    if args.against and earlier is None:
        trackers[AGAINST] = make_tracker(dataclasses.replace(parameters, model=args.against))
    figures = {name: Figures(truth is not None) for name in trackers}
    smoothed, smooth = (None, None) if parameters.smoothing else (Figures(truth is not None), Smoothed())
    worst, out = WorstFrames(), Path(args.out)
    out.mkdir(parents=True, exist_ok=True)
    times: dict[str, list[float]] = {name: [] for name in trackers}
    interrupted = False
    with ExitStack() as stack:
        video = stack.enter_context(VideoWriter(out / 'overlay.mp4', recording.rate())) if args.video else None
        progress = FrameProgress(args.limit, recording.count)
        try:
            for one in replay(recording, trackers, truth, args.limit):
                gather(one, figures, worst, RUN)
                if smooth is not None:
                    smoothed.add(one.frame.stamp, smooth(one.hands[RUN], one.frame.stamp), one.truth)
                for name, seconds in one.seconds.items():
                    times[name].append(seconds)
                if video is not None:
                    video.write(compare_picture(one, RUN))
                progress.show(figures[RUN].frames)
        except KeyboardInterrupt:
            interrupted = True
        finally:
            progress.close()
    metrics = _metrics(args, trackers, figures, smoothed, truth is not None, interrupted)
    timings = {name: spread_ms(values) for name, values in times.items()}
    (out / 'metrics.json').write_text(json.dumps(metrics, indent=2) + '\n')
    engines = {name: {'engine': trackers[name].engine_description, 'frame_ms': timings[name]} for name in trackers}
    (out / 'timings.json').write_text(json.dumps(engines, indent=2) + '\n')
    methods = {name: metrics[key] for name, key in ((RUN, 'run'), (SMOOTHED, 'smoothed'), (AGAINST, 'against'))
               if metrics.get(key)}
    if earlier is not None:
        methods[AGAINST] = earlier['run']
        metrics['against'] = earlier['run']
    (out / 'report.html').write_text(
        report_page(metrics, methods, timings, figures[RUN], worst.sorted(), trackers[RUN].engine_description),
        encoding='utf-8')
    print(json.dumps(metrics) if args.json else _closing_lines(metrics, timings[RUN], out, interrupted))
    return 130 if interrupted else 0


def _read_metrics(path: Path) -> dict[str, Any]:
    """Read the metrics of an earlier run; raises ValueError where the file is not such."""
    try:
        metrics = json.loads(path.read_text())
        metrics['run']['frames']
    except OSError as error:
        raise ValueError(f'--against {path}: {error.strerror or error}') from error
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f'--against {path}: not a metrics.json of hand-pose evaluate') from error
    return metrics


def _metrics(args: argparse.Namespace, trackers: Mapping[str, 'Tracker'], figures: Mapping[str, 'Figures'],
             smoothed: 'Figures | None', with_truth: bool, interrupted: bool) -> dict[str, Any]:
    """Put together what metrics.json holds: nothing that differs from run to run."""
    result = {'recording': Path(args.input).name, 'complete': not interrupted, 'ground_truth': with_truth,
              'run': {'model': trackers[RUN].model_name, **figures[RUN].summary()}}
    if smoothed is not None:
        result['smoothed'] = {'model': trackers[RUN].model_name, **smoothed.summary()}
    if AGAINST in figures:
        result['against'] = {'model': trackers[AGAINST].model_name, **figures[AGAINST].summary()}
    return result


def report_page(metrics: Mapping[str, Any], methods: Mapping[str, Mapping[str, Any]], timings: Mapping[str, Any],
                figures: 'Figures', worst: Sequence[tuple[float, float, str, 'np.ndarray']], engine: str) -> str:
    """Write the report as one HTML page."""
    from hand_pose_ros import report
    from hand_pose_ros.machine import describe_machine
    one = metrics['run']
    pace = timings[RUN] or {'median': None, 'p95': None}
    cards = []
    if metrics['ground_truth']:
        cards += [report.figure_card(_number(one['mean_joint_error_mm'], 'mm'), 'mean joint error',
                                     f'median {_number(one["median_joint_error_mm"], "mm")}'),
                  report.figure_card(f'{one["hands_found"]} of {one["hands_known"]}', 'hands found',
                                     f'{one["wrong_side"]} on the wrong side, {one["hands_too_many"]} too many')]
    else:
        cards += [report.figure_card(f'{one["frames_with_hands"]} of {one["frames"]}', 'frames with hands',
                                     'no ground truth was given or found')]
    recovery = one['recovery_s']
    cards += [report.figure_card(_number(one['jitter_mm'], 'mm'), 'jitter', 'second difference of the joints'),
              report.figure_card(str(one['losses']), 'times lost', 'found again after '
                                 f'{recovery["median"]:.2f} s (median)' if recovery else ''),
              report.figure_card(_number(pace['median'], 'ms'), 'time a frame',
                                 f'95 % within {_number(pace["p95"], "ms")}')]
    sections = [report.grid(cards, 150)]
    colors = dict(zip(methods, ('#2f7ed8', '#8f9aa7', '#d9822b')))
    if metrics['ground_truth'] and one.get('curves'):
        sections.append(report.section('Error', report.grid(_charts(methods, colors, figures), 400)))
    rows = [row for row in ROWS if any(method.get(row[0]) is not None for method in methods.values())]
    sections.append(report.section('Figures', report.columns(
        ['', *methods], [[label, *(_number(method.get(key), unit) for method in methods.values())]
                         for key, label, unit in rows])))
    if one.get('gestures'):
        told = [method.get('gestures', {}) for method in methods.values()]
        sections.append(report.section('Gestures of the true joints', report.columns(
            ['', 'hands', *(f'told the same, {name}' for name in methods)],
            [[name, str(known['hands']), *(_number(shares.get(name, {}).get('same_percent'), '%') for shares in told)]
             for name, known in one['gestures'].items()])))
    if worst:
        sections.append(report.section('Worst frames', report.grid(
            [report.chart_card(f'{error:.1f} mm in {name}; found on the left, known on the right',
                               report.picture(image, f'Skeletons found and known in {name}'))
             for error, _, name, image in worst], 420)))
    facts = [('recording', metrics['recording']), ('frames', str(one['frames'])), ('model', one['model']),
             ('engine', engine), ('machine', describe_machine())]
    if methods.get(AGAINST):
        facts.append(('against', f'{methods[AGAINST]["model"]}, {methods[AGAINST]["frames"]} frames'))
    partial = '' if metrics['complete'] else ' (interrupted: this is a part of it)'
    return report.page('Replay evaluation', f'{metrics["recording"]}, {one["frames"]} frames{partial}', *sections,
                       report.section('Run', report.table(facts)))


def _charts(methods: Mapping[str, Mapping[str, Any]], colors: Mapping[str, str], figures: 'Figures') -> list[str]:
    from hand_pose_ros import report
    from hand_pose_ros.drawing import SIDE_COLORS
    from hand_pose_ros.geometry.joints import SIDES
    rows = list(zip(*[iter(figures.timeline)] * 3))
    step = max(1, len(rows) // 4000)  # more points than a chart has pixels only make the page heavy
    timeline = [report.Series(side, report.css_color(SIDE_COLORS[side]),
                              [(seconds, None if error != error else error) for seconds, which, error in rows[::step]
                               if which == index]) for index, side in enumerate(SIDES)]
    charts = [report.chart_card('Mean error of a hand over time; gaps where it was not found',
                                report.line_chart([line for line in timeline if line.points], 'seconds', 'mm'))]
    for key, caption in (('hands_by_worst_joint', 'Hands whose worst joint is within a threshold'),
                         ('joints', 'Joints within a threshold (PCK)')):
        lines = [report.Series(name, colors[name], list(zip(method['curves']['threshold_mm'],
                                                            (100 * share for share in method['curves'][key]))))
                 for name, method in methods.items() if method.get('curves')]
        charts.append(report.chart_card(caption, report.line_chart(lines, 'mm', '%')))
    for name, method in methods.items():
        if name != SMOOTHED:
            bars = [(joint.replace('_', ' '), error, colors[name])
                    for joint, error in method['per_joint_error_mm'].items()]
            charts.append(report.chart_card(f'Mean error of each joint, {name}', report.bar_chart(bars, 'mm')))
    return charts


def _number(value: float | None, unit: str) -> str:
    if value is None:
        return '-'
    return f'{value} {unit}'.strip() if isinstance(value, int) else f'{value:.2f} {unit}'.strip()


def _closing_lines(metrics: Mapping[str, Any], pace: Mapping[str, float] | None, out: Path, interrupted: bool) -> str:
    one = metrics['run']
    parts = [f'{"interrupted: " if interrupted else ""}{one["frames"]} frames']
    if metrics['ground_truth']:
        parts += [f'{one["hands_found"]} of {one["hands_known"]} hands found', f'{one["wrong_side"]} on the wrong side',
                  f'mean joint error {_number(one["mean_joint_error_mm"], "mm")} '
                  f'({_number(one["aligned_joint_error_mm"], "mm")} aligned)']
    else:
        parts += [f'hands in {one["frames_with_hands"]}', 'no ground truth']
    parts += [f'jitter {_number(one["jitter_mm"], "mm")}', f'{_number(pace["median"] if pace else None, "ms")} a frame']
    return f'{", ".join(parts)}\n{out / "report.html"}  {out / "metrics.json"}'
