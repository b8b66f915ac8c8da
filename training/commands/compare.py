"""Compare depth networks: a table of what each is and does, and a picture of real frames tracked with each."""

from __future__ import annotations

import argparse
from pathlib import Path

HELP = 'compare depth networks in a table and a picture'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument('names', nargs='+', metavar='MODEL', help='pose models of models/manifest.yaml, or .onnx files')
    parser.add_argument('--crops', type=int, default=1024, help='of the validation set (1024); 0 for no table')
    parser.add_argument('--frames', type=Path, help='folder of depth images with their camera_info.yaml')
    parser.add_argument('--depth-unit', type=float, default=0.001, help='meters in one unit of the images (0.001)')
    parser.add_argument('--every', type=int, default=1, help='draw each n-th frame (1)')
    parser.add_argument('--out', type=Path, default=Path('out/compare.png'), help='of the picture (out/compare.png)')


def run(arguments: argparse.Namespace) -> None:
    """Print the table, draw the picture."""
    import cv2

    from training.evaluation.comparison import compare, draw

    if arguments.crops:
        print(compare(arguments.names, arguments.crops))
    if arguments.frames:
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(arguments.out), draw(arguments.names, arguments.frames, arguments.depth_unit, arguments.every))
        print(arguments.out)
