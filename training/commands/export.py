"""Write trained weights as an ONNX model with its manifest entry.

As a NAME, the model ships: models/NAME.onnx and models/manifest.yaml. As a path that ends in .onnx it is yours: the
file, and a manifest.yaml beside it that says how sure of itself the network is; hand-pose track --model FILE.onnx takes
it. Both hold the recipe that was really used, changes by --set included.
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path

HELP = 'write trained weights as an ONNX model'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument('weights', type=Path, help='best.pt of a training')
    parser.add_argument('name', help='of a model that ships, or a path that ends in .onnx')
    parser.add_argument('--whole', action='store_true', help='all weights in single precision, however large the file')


def run(arguments: argparse.Namespace) -> None:
    """Export, calibrate and describe."""
    from hand_pose_ros.inference.models import file_digest, quantized_path
    from training.engine.weights import read_trained
    from training.export.manifest import describe, provenance, update_manifest
    from training.export.to_onnx import LARGEST, export, note_facts

    path = Path(arguments.name) if arguments.name.endswith('.onnx') else Path('models') / f'{arguments.name}.onnx'
    trained = read_trained(arguments.weights)
    parts, network = trained.build()
    path.parent.mkdir(parents=True, exist_ok=True)
    difference = export(network, path, math.inf if arguments.whole else LARGEST, provenance(trained.recipe))
    quantized_path(path).unlink(missing_ok=True)  # of other weights; quantize makes the new one
    entry = describe(trained, parts, network, path)
    note_facts(path, entry)
    update_manifest(path.parent, path.stem, {**entry, 'sha256': file_digest(path)})
    print(f'{path}: {path.stat().st_size / 1e6:.2f} MB; greatest difference from PyTorch {difference:.2e}')
