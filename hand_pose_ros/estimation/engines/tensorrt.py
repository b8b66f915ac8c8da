"""TensorRT on an NVIDIA GPU: engines built once a machine, kept as files, replayed as CUDA graphs.

Written against the API of TensorRT 10 and 11, which is the same for what is used here, and of ``cuda-python`` 12.8 and
later.
"""

from __future__ import annotations

import hashlib
import logging
import os
import re
import weakref
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from hand_pose_ros.estimation.engines.base import EngineError, check_precision
from hand_pose_ros.estimation.engines.cuda import Buffer, call, require_gpu
from hand_pose_ros.estimation.models import Model, file_digest

#: What TensorRT computes in here, the default first.
PRECISIONS = ('f16', 'f32')
#: Largest batch that engines are built for, unless the user asks for another.
MAX_BATCH = 4
INSTALL = 'pip install tensorrt cuda-python onnx'
_SUFFIX = '.engine'
_LOG = logging.getLogger(__name__)


def library() -> ModuleType:
    """Return TensorRT, or its lean runtime, which runs engines but builds none.

    Raises:
        EngineError: neither is installed, or it does not load.

    """
    for name in ('tensorrt', 'tensorrt_lean'):
        if find_spec(name):
            try:
                return import_module(name)
            except (ImportError, OSError) as error:
                raise EngineError(f'{name} is installed but does not load: {error}; try `{INSTALL} --force-reinstall`',
                                  f'{name} does not load') from error
    raise EngineError(f'TensorRT is not installed; try `{INSTALL}`', 'TensorRT not installed')


def cuda_runtime() -> ModuleType:
    """Return ``cuda.bindings.runtime``.

    Raises:
        EngineError: cuda-python is not installed.

    """
    try:
        return import_module('cuda.bindings.runtime')
    except ImportError as error:
        raise EngineError(f'cuda-python is not installed, or older than 12.8 ({error}); try `{INSTALL}`',
                          'cuda-python not installed') from error


def can_build(trt: ModuleType) -> bool:
    """Return whether this TensorRT builds engines; the lean one only runs them."""
    return hasattr(trt, 'Builder')


def default_folder() -> Path:
    """Return where engines are kept: ``$HAND_POSE_ENGINES``, else a folder of the user's cache."""
    if os.environ.get('HAND_POSE_ENGINES'):
        return Path(os.environ['HAND_POSE_ENGINES']).expanduser()
    cache = os.environ.get('XDG_CACHE_HOME') or '~/.cache'
    return Path(cache).expanduser() / 'hand_pose_ros' / 'engines'


@dataclass(frozen=True)
class EngineKey:
    """What an engine was built from and for; its file's name says it, so that a stale file is not even looked at.

    Attributes:
        model: the model's name.
        digest: first 12 digits of the SHA-256 of its ONNX file.
        gpu: the GPU's name.
        version: TensorRT's.
        precision: one of ``PRECISIONS``.

    """

    model: str
    digest: str
    gpu: str
    version: str
    precision: str

    @staticmethod
    def of(model: Model, gpu: str, version: str, precision: str) -> EngineKey:
        """Return the key of a model's engine on this machine."""
        return EngineKey(model.name, file_digest(model.path)[:12], gpu, version, precision)

    @property
    def file_name(self) -> str:
        """The engine's file name."""
        return f'{self.model}-{self.digest}-{self._machine}-{self.precision}{_SUFFIX}'

    @property
    def timings_name(self) -> str:
        """Name of the file of kernels' timings, which every engine of this machine shares."""
        return f'timings-{self._machine}.cache'

    @property
    def _machine(self) -> str:
        return f'{re.sub(r"[^A-Za-z0-9]+", "_", self.gpu).strip("_")}-trt{self.version}'

    def older(self, names: Iterable[str]) -> list[EngineKey]:
        """Return the keys of those files that differ only in an earlier TensorRT having built them, newest first."""
        before, after = replace(self, version='*').file_name.split('*')
        versions = {name.removeprefix(before).removesuffix(after) for name in names
                    if name.startswith(before) and name.endswith(after)}
        ours = _numbers(self.version)
        return [replace(self, version=version) for version in sorted(versions, key=_numbers, reverse=True)
                if _numbers(version) < ours]


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r'\d+', version))


def checksum_file(path: Path) -> Path:
    """Return the file beside an engine that holds its checksum, as ``sha256sum`` writes it."""
    return path.with_name(f'{path.name}.sha256')


def write_engine(path: Path, plan: bytes) -> None:
    """Write an engine and its checksum; whoever reads at the same moment sees the old one, the new one or none."""
    path.parent.mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256(plan).hexdigest()
    for target, data in ((path, plan), (checksum_file(path), f'{digest}  {path.name}\n'.encode())):
        draft = target.with_name(f'.{target.name}.{os.getpid()}')
        draft.write_bytes(data)
        draft.replace(target)


def read_engine(path: Path) -> bytes:
    """Read an engine and check that it is whole: what TensorRT is given runs as code in this process.

    Raises:
        EngineError: the file or its checksum is missing, or they do not fit.

    """
    again = 'build it again with `hand-pose build-engine`'
    try:
        plan, known = path.read_bytes(), checksum_file(path).read_text().split()
    except OSError as error:
        raise EngineError(f'{error.filename} cannot be read ({error.strerror}); {again}') from error
    if known[:1] != [hashlib.sha256(plan).hexdigest()]:
        raise EngineError(f'{path} is damaged: it does not fit {checksum_file(path).name}; {again}')
    return plan


def make_logger(trt: ModuleType, verbose: bool = False) -> Any:
    """Return a logger for TensorRT that keeps its errors in ``errors``, and prints everything when ``verbose``."""

    class Logger(trt.ILogger):
        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self.errors: list[str] = []

        def log(self, severity: Any, msg: str) -> None:
            if severity in (trt.ILogger.Severity.INTERNAL_ERROR, trt.ILogger.Severity.ERROR):
                self.errors.append(' '.join(msg.split()))
            if verbose:
                print(f'[TensorRT] {msg}', flush=True)

    return Logger()


def load_engine(trt: ModuleType, path: Path, logger: Any) -> Any:
    """Load an engine's file into TensorRT.

    Returns:
        The runtime and its ``ICudaEngine``; the first must live as long as the second.

    Raises:
        EngineError: the file is damaged, or TensorRT refuses it.

    """
    plan = read_engine(path)
    runtime = trt.Runtime(logger)
    runtime.engine_host_code_allowed = True  # a version compatible engine brings the lean runtime that runs it
    engine = runtime.deserialize_cuda_engine(plan)
    if engine is None:
        reasons = '; '.join(logger.errors) or 'it gives no reason'
        raise EngineError(f'TensorRT {trt.__version__} does not take {path}: {reasons}; build it again with '
                          '`hand-pose build-engine`', 'engine refused')
    return runtime, engine


def find_engine(trt: ModuleType, key: EngineKey, model: Model, folder: Path, logger: Any) -> tuple[Any, Any, EngineKey]:
    """Load the engine of ``key``: from its file, or where TensorRT can build, from one made now.

    The lean runtime takes one that an earlier TensorRT built as well: engines are built version compatible.

    Returns:
        TensorRT's runtime, its engine, and the key of the file that was loaded.

    Raises:
        EngineError: there is none and none can be built; the message names the file.

    """
    path = folder / key.file_name
    if can_build(trt):
        if path.is_file():
            try:
                return *load_engine(trt, path, logger), key
            except EngineError as error:
                _LOG.warning('%s; doing so now', error)
        from hand_pose_ros.estimation.engines.tensorrt_build import build_engine
        _LOG.warning('building %s, once on this machine; this can take minutes', path)
        build_engine(model, key, folder)
        return *load_engine(trt, path, logger), key
    names = [file.name for file in folder.glob(f'*{_SUFFIX}')]
    for found in [key, *key.older(names)]:
        if found.file_name in names:
            return *load_engine(trt, folder / found.file_name, logger), found
    raise EngineError(f'{path} does not exist, nor one by an earlier TensorRT, and the lean TensorRT that is installed '
                      f'builds none: run `hand-pose build-engine {model.name}` with the full one ({INSTALL}) on a '
                      f'machine with the same GPU, and copy it there with its checksum', 'no built engine')


class Replay:
    """One batch size: copies and network captured as a CUDA graph, with an execution context of its own.

    A captured graph holds on to its context's memory and shapes, so that no two may share one.
    """

    def __init__(self, engine: Any, runtime: Any, stream: Any, buffers: dict[str, Buffer], inputs: set[str], count: int,
                 resources: ExitStack) -> None:
        self._runtime, self._stream = runtime, stream
        self._context = engine.create_execution_context()
        for name, buffer in buffers.items():
            if name in inputs and not self._context.set_input_shape(name, (count, *buffer.host.shape[1:])):
                raise EngineError(f'TensorRT does not take a batch of {count}; build the engine again with a larger '
                                  '--batch')
            if not self._context.set_tensor_address(name, buffer.device):
                raise EngineError(f'TensorRT does not take the memory of its tensor {name}')

        def enqueue() -> None:
            for name in inputs:
                call(runtime.cudaMemcpyAsync, buffers[name].device, buffers[name].host.ctypes.data,
                     buffers[name].bytes_of(count), runtime.cudaMemcpyKind.cudaMemcpyHostToDevice, stream)
            if not self._context.execute_async_v3(int(stream)):
                raise EngineError('TensorRT failed to run the network; `nvidia-smi` tells whether the GPU works')
            for name in buffers.keys() - inputs:
                call(runtime.cudaMemcpyAsync, buffers[name].host.ctypes.data, buffers[name].device,
                     buffers[name].bytes_of(count), runtime.cudaMemcpyKind.cudaMemcpyDeviceToHost, stream)

        # Once for real, since TensorRT prepares new shapes in its first run, which a capture would not see.
        enqueue()
        call(runtime.cudaStreamSynchronize, stream)
        call(runtime.cudaStreamBeginCapture, stream, runtime.cudaStreamCaptureMode.cudaStreamCaptureModeThreadLocal)
        enqueue()
        graph = call(runtime.cudaStreamEndCapture, stream)
        self._graph = call(runtime.cudaGraphInstantiate, graph, 0)
        resources.callback(runtime.cudaGraphExecDestroy, self._graph)
        call(runtime.cudaGraphDestroy, graph)

    def __call__(self) -> None:
        """Run it on what the input buffers hold; the outputs are in theirs when this returns."""
        call(self._runtime.cudaGraphLaunch, self._graph, self._stream)
        call(self._runtime.cudaStreamSynchronize, self._stream)


class TensorRTEngine:
    """A network in TensorRT, in f16 unless told otherwise.

    Memory on the GPU and pinned memory on the host are allocated once, for the largest batch; a call copies its batch
    in, replays the CUDA graph of its size, and copies the outputs.
    """

    @staticmethod
    def survey() -> tuple[str, list[str]]:
        """Return TensorRT's version and the GPU; see ``engines.survey``."""
        gpu = require_gpu()
        trt = library()
        cuda_runtime()
        return trt.__version__, [gpu if can_build(trt) else f'{gpu}, with engines built elsewhere']

    def __init__(self, model: Model, precision: str = 'auto', threads: int = 0, folder: Path | None = None) -> None:
        gpu = require_gpu()
        trt = library()
        self._runtime = cuda_runtime()
        precision = check_precision(precision, PRECISIONS, 'TensorRT')
        key = EngineKey.of(model, gpu, trt.__version__, precision)
        self._logger = make_logger(trt)
        self._trt_runtime, self._engine, found = find_engine(trt, key, model, folder or default_folder(), self._logger)
        self._resources = ExitStack()
        # Not at the process's end: CUDA may have shut down by then, and gives everything back itself.
        weakref.finalize(self, self._resources.close).atexit = False
        self._stream = call(self._runtime.cudaStreamCreate)
        self._resources.callback(self._runtime.cudaStreamDestroy, self._stream)
        names = [self._engine.get_tensor_name(i) for i in range(self._engine.num_io_tensors)]
        self._inputs = {name for name in names if self._engine.get_tensor_mode(name) == trt.TensorIOMode.INPUT}
        (self._input,) = self._inputs
        self.input_shape = tuple(self._engine.get_tensor_shape(self._input))[1:]
        self.max_batch = self._engine.get_tensor_profile_shape(self._input, 0)[2][0]
        self._buffers = {name: Buffer(self._runtime, (self.max_batch, *tuple(self._engine.get_tensor_shape(name))[1:]),
                                      trt.nptype(self._engine.get_tensor_dtype(name)), self._resources)
                         for name in names}
        self._replays = {count: Replay(self._engine, self._runtime, self._stream, self._buffers, self._inputs, count,
                                       self._resources) for count in range(1, self.max_batch + 1)}
        self.description = f'TensorRT {found.version} on {gpu}, {precision}'

    def __call__(self, batch: np.ndarray) -> list[np.ndarray]:
        """Run (N, 1, S, S) float32 through the network; one float32 array an output, in the network's order."""
        parts = []
        for start in range(0, len(batch), self.max_batch):
            part = batch[start:start + self.max_batch]
            self._buffers[self._input].host[:len(part)] = part
            self._replays[len(part)]()
            parts.append([buffer.host[:len(part)].copy() for name, buffer in self._buffers.items()
                          if name != self._input])
        return [np.concatenate(outputs) for outputs in zip(*parts)] if len(parts) > 1 else parts[0]
