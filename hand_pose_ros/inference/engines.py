"""Inference engines behind one call: a batch in, the network's outputs out."""

from __future__ import annotations

from dataclasses import dataclass, field
from importlib import import_module

import numpy as np

from hand_pose_ros.inference.base import BATCHES, PRECISIONS, Engine, EngineError, EngineFactory
from hand_pose_ros.inference.models import Model

__all__ = ['AUTO', 'BATCHES', 'ENGINES', 'PRECISIONS', 'Engine', 'EngineError', 'open_engine', 'survey', 'warm_up']


@dataclass(frozen=True)
class _EngineEntry:
    """Where an engine's class is, and what it takes besides model, precision and threads."""

    module: str
    class_name: str
    options: dict[str, str] = field(default_factory=dict)

    def load(self) -> EngineFactory:
        return getattr(import_module(f'hand_pose_ros.inference.{self.module}'), self.class_name)


#: The engines, by the name that the parameter ``engine`` takes.
ENGINES = {
    'tensorrt': _EngineEntry('onnx_runtime', 'OnnxRuntimeTensorRTEngine'),
    'onnxruntime-cuda': _EngineEntry('onnx_runtime', 'OnnxRuntimeCudaEngine'),
    'openvino': _EngineEntry('openvino', 'OpenVINOEngine'),
    'onnxruntime': _EngineEntry('onnx_runtime', 'OnnxRuntimeEngine'),
    'openvino-gpu': _EngineEntry('openvino', 'OpenVINOEngine', {'device': 'GPU'}),
    'openvino-npu': _EngineEntry('openvino', 'OpenVINOEngine', {'device': 'NPU'}),
}
#: Those that ``auto`` tries, in this order: NVIDIA's GPU before the processor, the faster before the slower.
AUTO = ('tensorrt', 'onnxruntime-cuda', 'openvino', 'onnxruntime')


def _open(model: Model, name: str, precision: str, threads: int) -> Engine:
    kind = ENGINES[name]
    return kind.load()(model, precision, threads, **kind.options)


def open_engine(model: Model, name: str = 'auto', threads: int = 0, precision: str = 'auto') -> Engine:
    """Load a model into an engine.

    ``auto`` takes the first of ``AUTO`` that works here, and says in the description why those before it did not.

    Args:
        model: what to load.
        name: one of ``ENGINES``, or ``auto``.
        threads: of the processor; 0 leaves their number to the engine.
        precision: one of ``PRECISIONS``, or ``auto`` for the fastest that costs less than 0.1 mm.

    Raises:
        EngineError: the engine, or for ``auto`` every engine, is not installed, finds no device, or cannot compute in
            this precision.
        ModelError: the file is not one that it can read, or has no version in this precision.

    """
    if precision not in ('auto', *PRECISIONS):
        raise EngineError(f'precision {precision!r} is not one of auto, {", ".join(PRECISIONS)}')
    if name != 'auto':
        if name not in ENGINES:
            raise EngineError(f'engine {name!r} is not one of auto, {", ".join(ENGINES)}')
        return _open(model, name, precision, threads)
    passed: dict[str, str] = {}
    for candidate in AUTO:
        try:
            engine = _open(model, candidate, precision, threads)
        except EngineError as error:
            passed[candidate] = error.short
        else:
            engine.description += f' (auto: {", ".join(dict.fromkeys(passed.values())) or "the fastest"})'
            return engine
    reasons = '; '.join(f'{candidate}: {reason}' for candidate, reason in passed.items())
    remedy = 'try `pip install openvino`' if precision == 'auto' else 'set precision to auto'
    raise EngineError(f'no inference engine can be used here in precision {precision} ({reasons}); {remedy}')


def survey(name: str) -> tuple[str, list[str]]:
    """Return the version of an engine of ``ENGINES``, and its devices.

    Raises:
        EngineError: it is not installed, or finds no device.

    """
    return ENGINES[name].load().survey()


def warm_up(engine: Engine, batches: tuple[int, ...] = BATCHES) -> None:
    """Run ``engine`` once on every batch size, so that the first frame does not wait for it."""
    for count in batches:
        engine(np.ones((count, *engine.input_shape), np.float32))
