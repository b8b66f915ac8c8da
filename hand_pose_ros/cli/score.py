"""``hand-pose score``: the papers' measures, from files of labels and of predictions."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from hand_pose_ros.cli.streams import say

#: What ``--dataset`` takes; declared with their facts in ``hand_pose_ros.io.benchmarks``, which help must not load.
DATASETS = ('nyu', 'icvl', 'msra', 'hands17', 'freihand', 'rhd', 'stb', 'dexter')
FORMATS, UNITS, ALIGNMENTS = ('uvd', 'xyz'), ('mm', 'm'), ('none', 'root', 'scale', 'procrustes')
#: Thresholds of the table, millimeters.
TABLE = (10, 20, 30, 40, 50)


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Add the command to the command line."""
    parser = subparsers.add_parser(
        'score',
        help="the papers' metrics from label files",
        description='Scores predicted joints, masks or meshes against true ones as the benchmarks do. Files of joints '
        "are text (one line a frame, u v d or x y z for each joint, with or without the frame's name), "
        '.json as FreiHAND has it, .npy, .npz (joints), or hands.jsonl of `hand-pose track`.',
    )
    parser.add_argument('--dataset', required=True, choices=DATASETS, help='whose joints, camera and customs')
    parser.add_argument('--truth', metavar='FILE', help='true joints')
    parser.add_argument('--predictions', metavar='FILE', nargs='+', help='predicted joints; several are compared')
    parser.add_argument('--names', metavar='NAME', nargs='+', help="what to call them. Default: the files' names")
    parser.add_argument(
        '--format',
        choices=('auto', *FORMATS),
        default='auto',
        help="what a joint's three numbers are. Default: auto, which says what it found",
    )
    parser.add_argument('--units', choices=('auto', *UNITS), default='auto', help='of depth and points. Default: auto')
    parser.add_argument(
        '--align',
        choices=('auto', *ALIGNMENTS),
        default='auto',
        help="align predictions with the truth first. Default: auto, the dataset's custom",
    )
    parser.add_argument('--without-center', action='store_true', help="leave the hand's center out of every figure")
    parser.add_argument(
        '--thresholds',
        metavar='MM',
        type=float,
        nargs='+',
        default=list(TABLE),
        help=f'thresholds of the table. Default: {" ".join(map(str, TABLE))}',
    )
    parser.add_argument(
        '--auc-range',
        metavar=('FROM', 'TO'),
        type=float,
        nargs=2,
        help="thresholds in mm that the area under the PCK curve is over. Default: the dataset's custom",
    )
    parser.add_argument('--masks-truth', metavar='DIR', help='true hand masks, PNGs: not zero is hand')
    parser.add_argument('--masks', metavar='DIR', help='predicted masks, PNGs of the same names')
    parser.add_argument('--meshes-truth', metavar='FILE', help='true vertices: .npy, .npz (vertices) or .json')
    parser.add_argument('--meshes', metavar='FILE', help='predicted vertices')
    parser.add_argument('--plots', metavar='DIR', help='draw per-joint bars, success and PCK curves; needs matplotlib')
    parser.add_argument('--json', action='store_true', help='print one JSON object and nothing else')


def run(args: argparse.Namespace) -> int:
    """Run the command.

    Raises:
        ValueError: files are missing, damaged, or do not fit one another; the message is one clear line.

    """
    from hand_pose_ros.evaluation.score_files import (
        ScoreOptions,
        draw_plots,
        name_methods,
        score_joints,
        score_masks,
        score_meshes,
        table,
    )
    from hand_pose_ros.io.benchmarks import find_benchmark
    from hand_pose_ros.io.labels import LabelError

    benchmark = find_benchmark(args.dataset)
    for given, other, what in (
        (args.truth, args.predictions, 'joints: --truth and --predictions'),
        (args.masks_truth, args.masks, 'masks: --masks-truth and --masks'),
        (args.meshes_truth, args.meshes, 'meshes: --meshes-truth and --meshes'),
    ):
        if bool(given) != bool(other):
            raise LabelError(f'both are needed to score {what}')
    if not (args.truth or args.masks or args.meshes):
        raise LabelError('nothing to score: give --truth and --predictions, or masks, or meshes')
    result: dict[str, Any] = {'dataset': benchmark.name}
    methods: dict[str, dict[str, Any]] = {}
    if args.truth:
        options = ScoreOptions(
            args.format,
            args.units,
            benchmark.align if args.align == 'auto' else args.align,
            args.without_center,
            tuple(args.thresholds),
            tuple(args.auc_range or benchmark.auc),
        )
        methods = score_joints(benchmark, args.truth, name_methods(args.predictions, args.names), options)
        result |= next(iter(methods.values())) if len(methods) == 1 else {'methods': methods}
    if args.masks:
        result['masks'] = score_masks(Path(args.masks_truth), Path(args.masks))
    if args.meshes:
        result['meshes'] = score_meshes(args.meshes_truth, args.meshes)
    if args.plots:
        if not methods:
            raise LabelError('--plots draws joints: give --truth and --predictions')
        draw_plots(Path(args.plots), methods)
    if args.json:
        print(json.dumps(result))
    else:
        say(table(benchmark, result, methods))
    return 0
