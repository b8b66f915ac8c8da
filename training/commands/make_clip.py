"""Render the bundled clips with their ground truth: of a depth camera, or with --color of a color camera."""

from __future__ import annotations

import argparse
from pathlib import Path

HELP = 'render the bundled clips'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument('out', type=Path, nargs='?', help='folder to make; default demo/clip or demo/color')
    parser.add_argument('--color', action='store_true', help='the clip of a color camera')


def run(arguments: argparse.Namespace) -> None:
    """Render and write a clip."""
    from training.assets.demo_clip import write_clip

    out = arguments.out or Path('demo') / ('color' if arguments.color else 'clip')
    count = write_clip(out, arguments.color)
    size = sum(file.stat().st_size for file in out.rglob('*') if file.is_file())
    print(f'{out}: {count} frames, {size / 1e6:.2f} MB')
