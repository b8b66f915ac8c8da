"""Inference engines behind one call: a batch in, the network's outputs out."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Protocol

import numpy as np

from hand_pose_ros.estimation.models import ModelError

#: Python package of each engine, the fastest on a CPU first.
ENGINES = {'openvino': 'openvino', 'onnxruntime': 'onnxruntime'}

#: Batches that graphs are compiled for, where an engine wants a fixed size: a smaller batch is filled up, a larger
#: one divided.
BATCHES = (1, 2, 4, 8)


class EngineError(RuntimeError):
    """An engine that is not installed or does not start; the message says how to get it."""


class Engine(Protocol):
    """A network loaded and ready.

    Attributes:
        description: engine, version, device and precision, for people.

    """

    description: str

    def __call__(self, batch: np.ndarray) -> list[np.ndarray]:
        """Run (N, 1, S, S) float32 through the network; one float32 array an output, in the network's order."""


class OpenVINOEngine:
    """OpenVINO on the CPU: in bf16 where the processor computes in it, which costs less than 0.01 mm on the
    validation set and takes 60 % of the time, else in float32.
    """

    def __init__(self, path: Path, threads: int = 0) -> None:
        import openvino
        core = openvino.Core()
        try:
            self._model = core.read_model(path)
        except RuntimeError as error:
            raise ModelError(f'{path} is not a model that OpenVINO can read: {_first_line(error)}') from error
        self._core = core
        precision = 'bf16' if 'BF16' in core.get_property('CPU', 'OPTIMIZATION_CAPABILITIES') else 'f32'
        self._config = {'PERFORMANCE_HINT': 'LATENCY', 'INFERENCE_PRECISION_HINT': precision}
        if threads:
            self._config['INFERENCE_NUM_THREADS'] = str(threads)
        self._requests: dict[int, object] = {}
        self._openvino = openvino
        self.description = f'OpenVINO {openvino.__version__.split("-")[0]} on CPU, {precision}'

    def _request(self, count: int):
        if count not in self._requests:
            model = self._model.clone()
            shape = list(model.input(0).partial_shape)
            model.reshape([count, *(int(d.get_length()) for d in shape[1:])])
            self._requests[count] = self._core.compile_model(model, 'CPU', self._config).create_infer_request()
        return self._requests[count]

    def __call__(self, batch: np.ndarray) -> list[np.ndarray]:
        parts = []
        for start in range(0, len(batch), BATCHES[-1]):
            part = batch[start:start + BATCHES[-1]]
            size = next(b for b in BATCHES if b >= len(part))
            padded = np.concatenate([part, np.repeat(part[-1:], size - len(part), 0)]) if size > len(part) else part
            result = self._request(size).infer({0: np.ascontiguousarray(padded)})
            parts.append([np.array(result[i][:len(part)]) for i in range(len(result))])
        return [np.concatenate(outputs) for outputs in zip(*parts)] if len(parts) > 1 else parts[0]


class OnnxRuntimeEngine:
    """ONNX Runtime on the CPU, in float32."""

    def __init__(self, path: Path, threads: int = 0) -> None:
        import onnxruntime
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3
        try:
            self._session = onnxruntime.InferenceSession(str(path), options, providers=['CPUExecutionProvider'])
        except Exception as error:  # its exceptions share no base class but this one
            raise ModelError(f'{path} is not a model that ONNX Runtime can read: {_first_line(error)}') from error
        self._input = self._session.get_inputs()[0].name
        self.description = f'ONNX Runtime {onnxruntime.__version__} on CPU, f32'

    def __call__(self, batch: np.ndarray) -> list[np.ndarray]:
        return self._session.run(None, {self._input: batch})


_CLASSES = {'openvino': OpenVINOEngine, 'onnxruntime': OnnxRuntimeEngine}


def _first_line(error: Exception) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)


def choose_engine(name: str = 'auto') -> str:
    """Name of the engine to use: ``name`` itself, or for ``auto`` the first installed of ``ENGINES``.

    Raises:
        EngineError: the engine, or for ``auto`` every engine, is not installed.

    """
    if name == 'auto':
        for engine, package in ENGINES.items():
            if find_spec(package):
                return engine
        raise EngineError(f'no inference engine is installed; try `pip install {next(iter(ENGINES.values()))}`')
    if name not in ENGINES:
        raise EngineError(f'engine {name!r} is not one of auto, {", ".join(ENGINES)}')
    if not find_spec(ENGINES[name]):
        raise EngineError(f'engine {name} is not installed; try `pip install {ENGINES[name]}`')
    return name


def warm_up(engine: Engine, input_size: int, batches: tuple[int, ...] = BATCHES) -> None:
    """Run ``engine`` once on every batch size, so that the first frame does not wait for it."""
    for count in batches:
        engine(np.ones((count, 1, input_size, input_size), np.float32))


def open_engine(path: Path, name: str = 'auto', threads: int = 0) -> Engine:
    """Load the ONNX file at ``path`` into an engine; ``threads`` 0 leaves their number to it.

    Raises:
        EngineError: the engine is not installed.
        ModelError: the file is not one that it can read.

    """
    return _CLASSES[choose_engine(name)](path, threads)
