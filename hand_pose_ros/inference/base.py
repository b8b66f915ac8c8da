"""What every engine shares: the interface, the precisions, the errors."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from typing import Protocol

import numpy as np

from hand_pose_ros.inference.models import Model

#: Number formats that a network can be computed in. ``int8`` is a quantized graph of its own, see ``docs/engines.md``.
PRECISIONS = ('f32', 'bf16', 'f16', 'int8')

#: Batches that graphs are compiled for, where an engine wants a fixed size: one hand and two. A larger batch is
#: divided, which costs a processor little and saves the compiling and the memory of every further size.
BATCHES = (1, 2)


class EngineError(RuntimeError):
    """An engine that cannot be used here; the message says why and what to do.

    Attributes:
        short: the same in a few words, for what ``auto`` says about the engines that it passed over.

    """

    def __init__(self, message: str, short: str = '') -> None:
        super().__init__(message)
        self.short = short or message


class Engine(Protocol):
    """A network loaded and ready.

    Attributes:
        description: engine, version, device and precision, for people.
        input_shape: channels, height and width of the network's input.

    """

    description: str
    input_shape: tuple[int, int, int]

    def __call__(self, batch: np.ndarray) -> list[np.ndarray]:
        """Run (N, 1, S, S) float32 through the network; one float32 array an output, in the network's order."""


class EngineFactory(Protocol):
    """A class of engines."""

    def __call__(self, model: Model, precision: str, threads: int, **options: str) -> Engine:
        """Load a model, see :func:`engines.open_engine`."""

    def survey(self) -> tuple[str, list[str]]:
        """Version and devices, see :func:`engines.survey`."""


def require(package: str, install: str) -> None:
    """Raise :class:`EngineError` with the command ``install`` where a Python package is not installed."""
    if not find_spec(package):
        raise EngineError(f'the Python package {package} is not installed; try `{install}`', f'{package} not installed')


def check_precision(precision: str, able: Sequence[str], engine: str) -> str:
    """Return the precision to compute in: ``precision`` itself, or for ``auto`` the first that the engine is able of.

    Raises:
        EngineError: the engine cannot compute in it; the message names those that it can.

    """
    if precision == 'auto':
        return able[0]
    if precision not in able:
        raise EngineError(
            f'{engine} does not compute in {precision}, only in {", ".join(able)}; set the parameter '
            'precision to one of these or to auto, or choose another engine',
            f'no {precision}',
        )
    return precision


def in_parts(run: Callable[[np.ndarray], list[np.ndarray]], batch: np.ndarray, most: int) -> list[np.ndarray]:
    """Return the outputs (N, ...) of a batch of any size, of which ``run`` gets at most ``most`` at a time."""
    parts = [run(batch[start : start + most]) for start in range(0, len(batch), most)]
    return [np.concatenate(outputs) for outputs in zip(*parts)] if len(parts) > 1 else parts[0]


#: Lines of OpenVINO's errors that say where in its sources something failed, not what did.
_NOISE = re.compile(r'Exception from |Check \'.*failed at |FrontEnd API failed|Loading input model')
#: What ONNX Runtime puts before what it has to say.
_PREFIX = re.compile(r'\[ONNXRuntimeError\] : \d+ : \w+ : (Load model from .*? failed:)?')
#: What OpenVINO says of a file in which it found no model; the part that repeats the path or lists formats is left out.
_FORMATS = re.compile(r'Unable to read the model: .*|Available frontends: .*')


def cause(error: Exception) -> str:
    """Return what an engine's error of many lines says was wrong, as one line."""
    lines = [line.strip().removeprefix('-- ') for line in str(error).splitlines()]
    if 'Summary:' in lines:
        lines = lines[lines.index('Summary:') + 1 :]
    lines = [_FORMATS.sub('no ONNX model is in it', _PREFIX.sub('', line)) for line in lines if not _NOISE.match(line)]
    return '; '.join(line for line in lines if line) or type(error).__name__
