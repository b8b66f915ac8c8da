"""Fit how MediaPipe's points come to our joints; prints the tables of ``estimation/mediapipe_mapping.py``."""

from __future__ import annotations

import argparse

HELP = "fit how MediaPipe's points come to our joints"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument('--hands', type=int, default=1200, help='renders, half of them to fit, half to test (1200)')
    parser.add_argument('--people', type=int, default=48, help='people that they are of (48)')
    parser.add_argument('--seed', type=int, default=20_261_130, help='of people and renders')


def run(arguments: argparse.Namespace) -> None:
    """Fit and print."""
    from training.assets.mediapipe_mapping import fit

    fit(arguments.hands, arguments.people, arguments.seed)
