"""TFLite files, which OpenVINO reads as they are: images of (S, S, 3) float32, red green blue, 0 to 1."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from hand_pose_ros.inference.models import Model
from hand_pose_ros.inference.openvino import OpenVINOEngine

#: Where OpenVINO runs for each engine that a tracker may be given; on the processor for all others.
_DEVICES = {'openvino-gpu': 'GPU', 'openvino-npu': 'NPU'}
#: Formats that a TFLite file of float32 can be computed in.
_FLOATS = ('f32', 'bf16', 'f16')


def open_tflite(
    path: Path, batches: Sequence[int], engine: str = 'auto', precision: str = 'auto', threads: int = 0
) -> OpenVINOEngine:
    """Load a TFLite file.

    Args:
        path: of the file.
        batches: numbers of images at a time that it is compiled for; more are divided.
        engine: of the tracker; says which device OpenVINO uses.
        precision: of the tracker. There is no quantized version, so ``int8`` and ``auto`` take the fastest floating
            point that the device has.
        threads: of the processor; 0 leaves their number to OpenVINO.

    Raises:
        ModelError: the file cannot be read.
        EngineError: OpenVINO is not installed, has no such device, or does not compute in this precision.

    """
    model = Model(path.stem, path, 'tflite')
    chosen = precision if precision in _FLOATS else 'auto'
    return OpenVINOEngine(model, chosen, threads, _DEVICES.get(engine, 'CPU'), tuple(batches))
