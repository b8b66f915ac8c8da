"""`hand-pose build-engine`: builds a model's TensorRT engine for this machine's GPU, before the tracker has to."""

from __future__ import annotations

import argparse
import time

from hand_pose_ros.cli.streams import say
from hand_pose_ros.inference.models import find_model
from hand_pose_ros.inference.onnx_runtime import BUILD, TENSORRT_PRECISIONS, OnnxRuntimeTensorRTEngine


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Add ``hand-pose build-engine``."""
    parser: argparse.ArgumentParser = subparsers.add_parser(
        'build-engine',
        help="make a TensorRT engine from a model, for this machine's NVIDIA GPU",
        description="Engines go to $HAND_POSE_ENGINES, or the user's cache, where the tracker finds them.",
    )
    parser.add_argument('model', metavar='MODEL', help='a name from models/manifest.yaml, or the path of an .onnx file')
    parser.add_argument(
        '--precision', choices=TENSORRT_PRECISIONS, default=TENSORRT_PRECISIONS[0], help='Default: %(default)s.'
    )


def run(arguments: argparse.Namespace) -> int:
    """Build the engine, unless it is there, and say where it is.

    Raises:
        EngineError: TensorRT cannot be used here.
        ModelError: there is no such model, or its file is missing or damaged.

    """
    model = find_model(arguments.model, task='')
    start = time.monotonic()
    engine = OnnxRuntimeTensorRTEngine(model, arguments.precision)
    say(
        f'{engine.folder}: {model.name} for {engine.description}, batches of 1 to {BUILD.max_batch}, '
        f'{time.monotonic() - start:.0f} s'
    )
    return 0
