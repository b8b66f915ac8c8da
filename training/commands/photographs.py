"""Measure color on labeled photographs, each tracked on its own; see ``training/evaluation/photographs.py``."""

from __future__ import annotations

import argparse
from pathlib import Path

HELP = 'measure color on labeled photographs'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument('folder', type=Path, help='with <set>.jsonl and the photographs')
    parser.add_argument('--sets', nargs='+', default=['fingers', 'scenes', 'nothing'], help='(fingers scenes nothing)')
    parser.add_argument('--count', type=int, default=200, help='photographs of each set; 0 for all (200)')
    parser.add_argument('--seed', type=int, default=38, help='by which they are chosen (38)')
    parser.add_argument('--detector', default='auto', help='by its registered name')
    parser.add_argument('--estimator', default='auto', help='by its registered name')
    parser.add_argument('--threads', type=int, default=1, help='for inference (1)')
    parser.add_argument('--views', type=int, default=1, help='of each hand (1)')
    parser.add_argument(
        '--held-out', action='store_true', help='of sets without hands only what no training of ours learns from'
    )
    parser.add_argument('--independent', action='store_true', help='search several scales, as track --independent does')


def run(arguments: argparse.Namespace) -> None:
    """Measure and print."""
    from hand_pose_ros.settings import ModelSettings, TrackerSettings, TrackingSettings
    from training.evaluation.photographs import measure

    models = ModelSettings(
        modality='color', detector=arguments.detector, estimator=arguments.estimator, threads=arguments.threads
    )
    settings = TrackerSettings(models, TrackingSettings(views=arguments.views, mesh=False))
    chosen = arguments.folder, arguments.sets, arguments.count, arguments.seed
    for text in measure(*chosen, settings, arguments.independent, arguments.held_out):
        print(text, flush=True)
