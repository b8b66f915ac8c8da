"""ONNX Runtime: every processor, and NVIDIA's GPUs where ``onnxruntime-gpu`` is installed in its place."""

from __future__ import annotations

from typing import Any

import numpy as np

from hand_pose_ros.estimation.engines.base import EngineError, cause, check_precision, require
from hand_pose_ros.estimation.engines.cuda import require_gpu
from hand_pose_ros.estimation.engines.half import half_precision
from hand_pose_ros.estimation.models import Model, ModelError

#: What installs the package with CUDA; it and the one without fill the same folder, so that only one may be there.
INSTALL_CUDA = "pip uninstall onnxruntime && pip install 'onnxruntime-gpu[cuda,cudnn]' onnx"
_CUDA = 'CUDAExecutionProvider'


class OnnxRuntimeEngine:
    """A network in ONNX Runtime on the processor."""

    @staticmethod
    def survey() -> tuple[str, list[str]]:
        """Return ONNX Runtime's version and ``CPU``; see ``engines.survey``."""
        require('onnxruntime', 'pip install onnxruntime')
        import onnxruntime
        return onnxruntime.__version__, ['CPU']

    def __init__(self, model: Model, precision: str = 'auto', threads: int = 0) -> None:
        version, _ = self.survey()
        precision = check_precision(precision, ('f32', 'int8'), 'ONNX Runtime on a CPU')
        self._session = _session(str(model.file(precision)), model, ['CPUExecutionProvider'], threads)
        self._input, self.input_shape = _input_of(self._session)
        self.description = f'ONNX Runtime {version} on CPU, {precision}'

    def __call__(self, batch: np.ndarray) -> list[np.ndarray]:
        """Run (N, 1, S, S) float32 through the network; one float32 array an output, in the network's order."""
        return self._session.run(None, {self._input: batch})


class OnnxRuntimeCudaEngine(OnnxRuntimeEngine):
    """A network in ONNX Runtime on an NVIDIA GPU; in f32 without NVIDIA's shortened TF32 products."""

    @staticmethod
    def survey() -> tuple[str, list[str]]:
        """Return ONNX Runtime's version and the GPU; see ``engines.survey``."""
        gpu = require_gpu()
        require('onnxruntime', INSTALL_CUDA)
        import onnxruntime
        if _CUDA not in onnxruntime.get_available_providers():
            raise EngineError(f'this onnxruntime ({onnxruntime.__version__}) is the one without CUDA; try '
                              f'`{INSTALL_CUDA}`', 'onnxruntime without CUDA')
        return onnxruntime.__version__, [gpu]

    def __init__(self, model: Model, precision: str = 'auto', threads: int = 0) -> None:
        version, (gpu,) = self.survey()
        import onnxruntime
        precision = check_precision(precision, ('f32', 'f16'), 'ONNX Runtime on a GPU')
        onnxruntime.preload_dlls()  # CUDA's and cuDNN's libraries, where pip brought them
        graph = half_precision(model.path) if precision == 'f16' else str(model.path)
        self._session = _session(graph, model, [(_CUDA, {'use_tf32': '0'}), 'CPUExecutionProvider'], threads)
        if _CUDA not in self._session.get_providers():
            raise EngineError('ONNX Runtime has fallen back to the CPU: its CUDA provider does not load, most often '
                              'for want of the CUDA or cuDNN version that it was built for; try '
                              f'`{INSTALL_CUDA}`', 'CUDA libraries do not load')
        self._input, self.input_shape = _input_of(self._session)
        self.description = f'ONNX Runtime {version} on {gpu}, {precision}'


def _input_of(session: Any) -> tuple[str, tuple[int, int, int]]:
    """Name of a network's input, and its channels, height and width."""
    given = session.get_inputs()[0]
    return given.name, tuple(given.shape[1:])


def _session(graph: str | bytes, model: Model, providers: list, threads: int):
    import onnxruntime
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    try:
        return onnxruntime.InferenceSession(graph, options, providers=providers)
    except Exception as error:  # its exceptions share no base class but this one
        raise ModelError(f'{model.path} is not a model that ONNX Runtime can run: {cause(error)}; restore or export '
                         'it again') from error
