"""OpenVINO: the processor, Intel's graphics and its neural unit."""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import numpy as np

from hand_pose_ros.inference.base import BATCHES, EngineError, cause, check_precision, in_parts, require
from hand_pose_ros.inference.models import Model, ModelError, file_digest
from hand_pose_ros.machine import imitated_isa, instruction_sets, usable_cores
from hand_pose_ros.resources import cache_folder, user_folder

if TYPE_CHECKING:
    from openvino import CompiledModel, Core

#: Names that OpenVINO gives to precisions among a device's capabilities.
_CAPABILITIES = {'bf16': 'BF16', 'f16': 'FP16', 'f32': 'FP32', 'int8': 'INT8'}
#: Home of those who have none, by Debian's custom.
_NO_HOME = '/nonexistent'
#: What its errors say where memory is lacking, in the words of C++ and of the system.
_NO_MEMORY = re.compile(r"bad_alloc|bad allocation|can(no|')t alloc|out of memory", re.IGNORECASE)
#: Bytes at the beginning of a cached network that tell whether the rest is whole: its sha256.
_DIGEST = 32


def _load() -> ModuleType:
    """Import OpenVINO. A part of it that counts users ends in an error for one without a home: it is given a name.

    Raises:
        EngineError: it is not installed.

    """
    require('openvino', 'pip install openvino')
    homeless = user_folder('HOME') is None
    if homeless:
        os.environ['HOME'] = _NO_HOME
    try:
        import openvino
    finally:
        if homeless:
            del os.environ['HOME']
    return openvino


def _able(core: Core, device: str) -> list[str]:
    capabilities = core.get_property(device, 'OPTIMIZATION_CAPABILITIES')
    if device == 'CPU' and imitated_isa():  # what is not capped of bf16 would only be emulated
        capabilities = [name for name in capabilities if name not in ('BF16', 'FP16')]
    return [precision for precision, name in _CAPABILITIES.items() if name in capabilities]


def _compiled(core: Core, path: Path, device: str, config: Mapping[str, str], batch: int) -> CompiledModel:
    """Compile a network for a batch size, or take what an earlier start compiled, which is several times as quick."""
    folder = cache_folder('openvino')
    cached = None if folder is None else folder / f'{_key(core, path, device, config, batch)}.blob'
    if cached is not None and cached.is_file():
        with suppress(RuntimeError, OSError):
            content = cached.read_bytes()
            # OpenVINO takes damaged ones, and computes something else.
            if hashlib.sha256(content[_DIGEST:]).digest() == content[:_DIGEST]:
                return core.import_model(io.BytesIO(content[_DIGEST:]), device, dict(config))
    graph = core.read_model(path)
    graph.reshape([batch, *(size.get_length() for size in list(graph.input(0).partial_shape)[1:])])
    compiled = core.compile_model(graph, device, dict(config))
    if cached is not None:
        with suppress(RuntimeError, OSError):  # a device that cannot export, a disk that is full
            part = cached.with_suffix(f'.{os.getpid()}')
            content = compiled.export_model().getvalue()
            part.write_bytes(hashlib.sha256(content).digest() + content)
            part.replace(cached)
    return compiled


def _key(core: Core, path: Path, device: str, config: Mapping[str, str], batch: int) -> str:
    """Name of a cached network: of its weights, and of all that it is compiled by."""
    import openvino

    name = core.get_property(device, 'FULL_DEVICE_NAME')
    machine = [openvino.__version__, name, instruction_sets(), imitated_isa(), usable_cores()]
    parts = [file_digest(path), machine, device, sorted(config.items()), batch]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32]


class OpenVINOEngine:
    """A network in OpenVINO.

    By itself it takes the quantized graph where the model has one, which is shipped only where it costs less than
    0.1 mm, else the fastest floating point that the device computes in.
    """

    @staticmethod
    def survey() -> tuple[str, list[str]]:
        """Return OpenVINO's version and its devices here, each with what it computes in; see ``engines.survey``."""
        openvino = _load()
        core = openvino.Core()
        return openvino.__version__.split('-')[0], [
            f'{device} ({", ".join(_able(core, device))})' for device in core.available_devices
        ]

    def __init__(
        self,
        model: Model,
        precision: str = 'auto',
        threads: int = 0,
        device: str = 'CPU',
        batches: tuple[int, ...] = BATCHES,
    ) -> None:
        openvino = _load()
        core = openvino.Core()
        if device not in core.available_devices:
            raise EngineError(
                f'OpenVINO finds no {device} here, only {", ".join(core.available_devices)}; install the '
                "device's driver, or set the parameter engine to auto",
                f'no {device}',
            )
        able = _able(core, device)
        floats = [name for name in able if name != 'int8']
        preferred = ['int8', *floats] if model.quantized and 'int8' in able else able
        precision = check_precision(precision, preferred, f'OpenVINO on this {device}')
        # What a quantized graph leaves in floating point is computed in the fastest there is.
        config = {
            'PERFORMANCE_HINT': 'LATENCY',
            'INFERENCE_PRECISION_HINT': floats[0] if precision == 'int8' else precision,
        }
        if threads and device == 'CPU':
            config['INFERENCE_NUM_THREADS'] = str(threads)
        path = model.file(precision)
        try:
            # Side by side, since compiling keeps one thread busy.
            with ThreadPoolExecutor(len(batches)) as pool:
                networks = list(pool.map(lambda batch: _compiled(core, path, device, config, batch), batches))
            self.input_shape = tuple(networks[0].input(0).shape)[1:]
            self._requests = {
                batch: network.create_infer_request() for batch, network in zip(batches, networks, strict=True)
            }
        except (RuntimeError, MemoryError) as error:
            if isinstance(error, MemoryError) or _NO_MEMORY.search(str(error)):
                raise ModelError(
                    f'there is too little memory for OpenVINO to load {path}: end other programs, or raise the limit '
                    '(`ulimit -v`, that of the container)'
                ) from error
            raise ModelError(
                f'{path} is not a model that OpenVINO can run: {cause(error)}; restore or export it again'
            ) from error
        self.description = f'OpenVINO {openvino.__version__.split("-")[0]} on {device}, {precision}'

    def __call__(self, batch: np.ndarray) -> list[np.ndarray]:
        """Run (N, 1, S, S) float32 through the network; one float32 array an output, in the network's order."""
        return in_parts(self._run, batch, max(self._requests))

    def _run(self, part: np.ndarray) -> list[np.ndarray]:
        result = self._requests[len(part)].infer({0: np.ascontiguousarray(part)}, share_inputs=True)
        return [result[i] for i in range(len(result))]
