"""ONNX Runtime: every processor; NVIDIA's GPUs by CUDA or TensorRT where ``onnxruntime-gpu`` is in its place."""

from __future__ import annotations

import ctypes
import logging
import os
import re
from ctypes.util import find_library
from dataclasses import dataclass
from functools import lru_cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from hand_pose_ros.inference.base import EngineError, cause, check_precision, in_parts, require
from hand_pose_ros.inference.half import half_precision
from hand_pose_ros.inference.models import Model, ModelError, file_digest

if TYPE_CHECKING:
    from onnxruntime import InferenceSession, SessionOptions

#: What installs the package with CUDA; it and the one without fill the same folder, so that only one may be there.
INSTALL_CUDA = "pip uninstall onnxruntime && pip install 'onnxruntime-gpu[cuda,cudnn]' onnx"
#: The same with TensorRT's libraries, of the major version that ONNX Runtime is linked with.
INSTALL_TENSORRT = "pip uninstall onnxruntime && pip install 'onnxruntime-gpu[cuda,cudnn]' 'tensorrt-cu13-libs<11'"
_CUDA, _TENSORRT = 'CUDAExecutionProvider', 'TensorrtExecutionProvider'
#: What TensorRT computes in here, the default first.
TENSORRT_PRECISIONS = ('f16', 'bf16', 'f32')
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class TensorRTBuild:
    """What TensorRT's engines are built for."""

    typical_batch: int = 2  # both hands; kernels are chosen for it
    max_batch: int = 4  # larger ones are divided
    workspace_bytes: int = 1 << 30  # for kernels, besides weights and crops


BUILD = TensorRTBuild()


@lru_cache(maxsize=1)
def gpu_name() -> str:
    """Return the name of the first GPU that CUDA's driver shows to this process, or an empty string.

    The driver's library is asked itself: it comes with the driver and needs no package, and a machine without it is
    spared the import of ONNX Runtime.
    """
    try:
        driver = ctypes.CDLL('libcuda.so.1')
    except OSError:
        return ''
    device, name = ctypes.c_int(), ctypes.create_string_buffer(256)
    failed = (
        driver.cuInit(0)
        or driver.cuDeviceGet(ctypes.byref(device), 0)
        or driver.cuDeviceGetName(name, len(name), device)
    )
    return '' if failed else name.value.decode()


def engine_folder(model: Model, precision: str) -> Path:
    """Return where ONNX Runtime keeps a model's TensorRT engine for this GPU.

    Below ``$HAND_POSE_ENGINES``, else the user's cache. The name has what ONNX Runtime leaves out of its file names:
    the weights and the GPU.
    """
    cache = Path(os.environ.get('XDG_CACHE_HOME') or '~/.cache', 'hand_pose_ros', 'engines')
    root = Path(os.environ.get('HAND_POSE_ENGINES') or cache).expanduser()
    return root / f'{model.name}-{file_digest(model.path)[:12]}-{re.sub("[^A-Za-z0-9]+", "_", gpu_name())}-{precision}'


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
        self._take(_session(str(model.file(precision)), model, ['CPUExecutionProvider'], threads))
        self.description = f'ONNX Runtime {version} on CPU, {precision}'

    def _take(self, session: InferenceSession) -> None:
        """Run ``session`` from now on."""
        self._session = session
        given = session.get_inputs()[0]
        self._input, self.input_shape = given.name, tuple(given.shape[1:])
        self._dtype = np.float16 if given.type == 'tensor(float16)' else np.float32

    def __call__(self, batch: np.ndarray) -> list[np.ndarray]:
        """Run (N, 1, S, S) float32 through the network; one float32 array an output, in the network's order."""
        outputs = self._session.run(None, {self._input: batch.astype(self._dtype, copy=False)})
        return [output.astype(np.float32, copy=False) for output in outputs]


class OnnxRuntimeCudaEngine(OnnxRuntimeEngine):
    """A network in ONNX Runtime on an NVIDIA GPU; in f32 without NVIDIA's shortened TF32 products."""

    @staticmethod
    def survey() -> tuple[str, list[str]]:
        """Return ONNX Runtime's version and the GPU; see ``engines.survey``."""
        return _survey_gpu('CUDA', _CUDA, INSTALL_CUDA)

    def __init__(self, model: Model, precision: str = 'auto', threads: int = 0) -> None:
        version, (gpu,) = self.survey()
        import onnxruntime

        precision = check_precision(precision, ('f32', 'f16'), 'ONNX Runtime on a GPU')
        onnxruntime.preload_dlls()  # CUDA's and cuDNN's libraries, where pip brought them
        graph = half_precision(model.path) if precision == 'f16' else str(model.path)
        session = _session(graph, model, [(_CUDA, {'use_tf32': '0'}), 'CPUExecutionProvider'], threads)
        if _CUDA not in session.get_providers():
            raise EngineError(
                'ONNX Runtime has fallen back to the CPU: its CUDA provider does not load, most often '
                'for want of the CUDA or cuDNN version that it was built for; try '
                f'`{INSTALL_CUDA}`',
                'CUDA libraries do not load',
            )
        self._take(session)
        self.description = f'ONNX Runtime {version} on {gpu}, {precision}'


class OnnxRuntimeTensorRTEngine(OnnxRuntimeEngine):
    """A network in ONNX Runtime's TensorRT provider, the whole of it: nothing is left to CUDA or the processor.

    The first start on a machine builds TensorRT's engine, which takes minutes; later ones find it in :attr:`folder`.

    Attributes:
        folder: of the engine that TensorRT built; its name says for which weights, GPU and precision.

    """

    @staticmethod
    def survey() -> tuple[str, list[str]]:
        """Return ONNX Runtime's version and the GPU; see ``engines.survey``."""
        found = _survey_gpu('TensorRT', _TENSORRT, INSTALL_TENSORRT)
        if not (find_spec('tensorrt_libs') or find_library('nvinfer')):
            raise EngineError(f'TensorRT is not installed; try `{INSTALL_TENSORRT}`', 'TensorRT not installed')
        return found

    def __init__(self, model: Model, precision: str = 'auto', threads: int = 0) -> None:
        version, (gpu,) = self.survey()
        import onnxruntime

        precision = check_precision(precision, TENSORRT_PRECISIONS, 'TensorRT')
        onnxruntime.preload_dlls()
        if find_spec('tensorrt_libs'):
            import_module('tensorrt_libs')  # loads TensorRT's libraries, where pip brought them
        # The profile of shapes wants the input's name; and what is no network at all is refused here.
        self._take(_session(str(model.path), model, ['CPUExecutionProvider'], threads))
        self.folder = engine_folder(model, precision)
        if not any(self.folder.glob('*.engine')):
            _LOG.warning('building %s, once on this machine; this can take minutes', self.folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        options = _options(threads)
        options.add_session_config_entry('session.disable_cpu_ep_fallback', '1')
        try:
            session = onnxruntime.InferenceSession(
                str(model.path), options, providers=[(_TENSORRT, self._provider(precision))], enable_fallback=False
            )
        except Exception as error:  # its exceptions share no base class but this one
            raise self._refusal(model, cause(error)) from error
        if _TENSORRT not in session.get_providers():
            raise self._refusal(model, 'ONNX Runtime has fallen back to another provider')
        self._take(session)
        self.description = f'TensorRT in ONNX Runtime {version} on {gpu}, {precision}'

    def _provider(self, precision: str) -> dict[str, str | int | bool]:
        """ONNX Runtime's options for TensorRT: precision, caches, and batches of 1 to the largest."""
        sizes = {'min': 1, 'opt': BUILD.typical_batch, 'max': BUILD.max_batch}
        crop = 'x'.join(map(str, self.input_shape))
        return {
            'trt_fp16_enable': precision == 'f16',
            'trt_bf16_enable': precision == 'bf16',
            'trt_max_workspace_size': BUILD.workspace_bytes,
            'trt_engine_cache_enable': True,
            'trt_engine_cache_path': str(self.folder),
            'trt_timing_cache_enable': True,
            'trt_timing_cache_path': str(self.folder.parent),
            **{f'trt_profile_{name}_shapes': f'{self._input}:{count}x{crop}' for name, count in sizes.items()},
        }

    def _refusal(self, model: Model, reason: str) -> EngineError:
        return EngineError(
            f'TensorRT does not run {model.path}: {reason}. Where its libraries do not load, try `{INSTALL_TENSORRT}`; '
            f'where {self.folder} is damaged or of another TensorRT, remove it; or set the parameter engine to auto',
            'TensorRT does not start',
        )

    def __call__(self, batch: np.ndarray) -> list[np.ndarray]:
        """Run (N, 1, S, S) float32 through the network; one float32 array an output, in the network's order."""
        return in_parts(super().__call__, batch, BUILD.max_batch)


def _survey_gpu(kind: str, provider: str, install: str) -> tuple[str, list[str]]:
    """ONNX Runtime's version and the GPU, where both are there and ONNX Runtime has this provider.

    Raises:
        EngineError: there is no GPU or no driver for it, or ONNX Runtime is not installed or lacks the provider.

    """
    gpu = gpu_name()
    if not gpu:
        raise EngineError(
            'there is no NVIDIA GPU here, or no driver for it (`nvidia-smi` shows both); the other '
            'engines need none: set the parameter engine to auto',
            'no NVIDIA GPU',
        )
    require('onnxruntime', install)
    import onnxruntime

    if provider not in onnxruntime.get_available_providers():
        raise EngineError(
            f'this onnxruntime ({onnxruntime.__version__}) is one without {kind}; try `{install}`',
            f'onnxruntime without {kind}',
        )
    return onnxruntime.__version__, [gpu]


def _options(threads: int) -> SessionOptions:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    return options


def _session(
    graph: str | bytes, model: Model, providers: list[str | tuple[str, dict[str, str]]], threads: int
) -> InferenceSession:
    import onnxruntime

    try:
        return onnxruntime.InferenceSession(graph, _options(threads), providers=providers)
    except Exception as error:  # its exceptions share no base class but this one
        raise ModelError(
            f'{model.path} is not a model that ONNX Runtime can run: {cause(error)}; restore or export it again'
        ) from error
