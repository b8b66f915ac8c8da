"""OpenVINO: the processor, Intel's graphics and its neural unit."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np

from hand_pose_ros.inference.base import BATCHES, EngineError, cause, check_precision, in_parts, require
from hand_pose_ros.inference.models import Model, ModelError

if TYPE_CHECKING:
    from openvino import Core, InferRequest

#: Names that OpenVINO gives to precisions among a device's capabilities.
_CAPABILITIES = {'bf16': 'BF16', 'f16': 'FP16', 'f32': 'FP32', 'int8': 'INT8'}


def _able(core: Core, device: str) -> list[str]:
    capabilities = core.get_property(device, 'OPTIMIZATION_CAPABILITIES')
    return [precision for precision, name in _CAPABILITIES.items() if name in capabilities]


class OpenVINOEngine:
    """A network in OpenVINO.

    By itself it takes the quantized graph where the model has one, which is shipped only where it costs less than
    0.1 mm, else the fastest floating point that the device computes in.
    """

    @staticmethod
    def survey() -> tuple[str, list[str]]:
        """Return OpenVINO's version and its devices here, each with what it computes in; see ``engines.survey``."""
        require('openvino', 'pip install openvino')
        import openvino

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
        require('openvino', 'pip install openvino')
        import openvino

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
            graph = core.read_model(path)

            self.input_shape = tuple(size.get_length() for size in list(graph.input(0).partial_shape)[1:])

            def compiled(count: int) -> InferRequest:
                fixed = graph.clone()
                fixed.reshape([count, *self.input_shape])
                return core.compile_model(fixed, device, config).create_infer_request()

            # Side by side, since compiling keeps one thread busy.
            with ThreadPoolExecutor(len(batches)) as pool:
                self._requests = dict(zip(batches, pool.map(compiled, batches)))
        except RuntimeError as error:
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
