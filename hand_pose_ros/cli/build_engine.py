"""`hand-pose build-engine`: makes a TensorRT engine from a model, for the GPU of this machine."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import Any

from hand_pose_ros.estimation.engines import cuda, tensorrt, tensorrt_build
from hand_pose_ros.estimation.models import Model, ModelError, find_model, read_manifest


def add_parser(subparsers: Any) -> None:
    """Add ``hand-pose build-engine``."""
    parser: argparse.ArgumentParser = subparsers.add_parser(
        'build-engine', help="make a TensorRT engine from a model, for this machine's NVIDIA GPU")
    parser.add_argument('model', metavar='MODEL', help='a name from models/manifest.yaml, or the path of an .onnx file')
    parser.add_argument('--precision', choices=tensorrt.PRECISIONS, default=tensorrt.PRECISIONS[0],
                        help='Default: %(default)s.')
    parser.add_argument('--batch', type=int, default=tensorrt.MAX_BATCH, metavar='MAX',
                        help='largest batch that it takes. Default: %(default)s.')
    parser.add_argument('--out', type=Path, metavar='DIR',
                        help='folder to write to; by default $HAND_POSE_ENGINES, or the cache of this user, where the '
                             'tracker looks')
    parser.add_argument('--workspace', type=int, default=tensorrt_build.WORKSPACE, metavar='MIB',
                        help='GPU memory that it may use besides weights and crops. Default: %(default)s MiB.')
    parser.add_argument('--verbose', action='store_true', help="print TensorRT's log")


def named_model(name: str) -> Model:
    """Find a model whatever its task.

    Raises:
        ModelError: there is no such model, or its file is missing or damaged.

    """
    manifest = read_manifest()
    if name not in manifest and not name.endswith('.onnx'):
        raise ModelError(f'there is no model {name!r}; models/manifest.yaml has: {", ".join(manifest)}. The path of an '
                         '.onnx file is taken as well')
    return find_model(name, manifest.get(name, {}).get('task', ''))


class _Bar:
    """Prints progress: one line that changes on a terminal, a line a phase elsewhere."""

    def __init__(self) -> None:
        self._live = sys.stdout.isatty()

    def __call__(self, phase: str, share: float) -> None:
        if self._live:
            print(f'\r\033[K{phase} {100 * share:3.0f} %', end='\n' if share == 1.0 else '', flush=True)
        elif share == 1.0:
            print(f'{phase} 100 %', flush=True)


def run(arguments: argparse.Namespace) -> int:
    """Build the engine and say where it is."""
    for flag, value in (('--batch', arguments.batch), ('--workspace', arguments.workspace)):
        if value < 1:
            raise ValueError(f'{flag} {value} is not at least 1')
    model = named_model(arguments.model)
    gpu, trt = cuda.require_gpu(), tensorrt.library()
    key = tensorrt.EngineKey.of(model, gpu, trt.__version__, arguments.precision)
    folder = arguments.out or tensorrt.default_folder()
    print(f'{model.path} for TensorRT {trt.__version__} on {gpu}, {arguments.precision}, batches of 1 to '
          f'{arguments.batch}')
    start = time.monotonic()
    path = tensorrt_build.build_engine(model, key, folder, arguments.batch, arguments.workspace, _Bar(),
                                       arguments.verbose)
    print(f'{path}: {path.stat().st_size / 1e6:.1f} MB, {time.monotonic() - start:.0f} s')
    if arguments.out:
        print(f'The tracker finds it with HAND_POSE_ENGINES={folder} in its environment.')
    return 0
