"""Make int8 versions of shipped models: models/NAME.int8.onnx and what models/manifest.yaml says of it.

A version that costs more on the validation set than its task allows is not kept.
"""

from __future__ import annotations

import argparse
from pathlib import Path

HELP = 'make int8 versions of shipped models'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument('names', nargs='*', metavar='NAME', help='models of the manifest; all by default')
    parser.add_argument('--photographs', type=Path, metavar='FOLDER', help='calibrate networks of color on these too')
    parser.add_argument('--crops', type=int, default=2048, help='of the validation set, to measure the cost on (2048)')


def run(arguments: argparse.Namespace) -> None:
    """Quantize each model and update the manifest."""
    from hand_pose_ros.inference.models import read_manifest
    from training.export.manifest import update_manifest
    from training.export.quantize import quantize_shipped
    from training.registry import TrainingError, nearest

    manifest = read_manifest()
    for name in arguments.names:
        if name not in manifest:
            raise TrainingError(f'there is no model {name!r}{nearest(name, manifest)}')
    for name in arguments.names or manifest:
        entry, lines = quantize_shipped(name, manifest[name], arguments.crops, arguments.photographs)
        print('\n'.join(lines), flush=True)
        update_manifest(Path('models'), name, entry)
