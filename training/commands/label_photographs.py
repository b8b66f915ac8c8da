"""Label photographs of hands by MediaPipe's networks, for training on them: writes FOLDER/SET.jsonl.

Every photograph is searched as it is and in its mirror image. A hand is sure, and learnt from, where both agree about
its joints and its side. Look at the overlays before you train, and take lines out that are wrong.
"""

from __future__ import annotations

import argparse
from pathlib import Path

HELP = 'label photographs of hands, for training on them'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument('folder', type=Path, help='holds a folder SET of photographs')
    parser.add_argument('set', help='name of that folder: photographs of one place and time')
    parser.add_argument('--nothing', action='store_true', help='there is no hand in any of them')
    parser.add_argument('--overlays', type=Path, metavar='DIR', help='draw what was found, to look at')


def run(arguments: argparse.Namespace) -> None:
    """Label and count."""
    from training.datasets.label_photographs import label_set

    counts = label_set(arguments.folder, arguments.set, arguments.nothing, arguments.overlays)
    print(f'{arguments.folder / arguments.set}.jsonl: ' + ', '.join(f'{n} {what}' for what, n in counts.items()))
