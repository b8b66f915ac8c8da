"""Building of TensorRT engines from ONNX."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from hand_pose_ros.estimation.engines.base import EngineError
from hand_pose_ros.estimation.engines.half import half_precision, read_whole
from hand_pose_ros.estimation.engines.tensorrt import (
    INSTALL, MAX_BATCH, EngineKey, can_build, library, make_logger, write_engine)
from hand_pose_ros.estimation.models import Model, ModelError

#: Batch that kernels are chosen for: both hands.
USUAL_BATCH = 2
#: Memory on the GPU that kernels may use while they are tried and run, MiB.
WORKSPACE = 1024

#: Told of progress: the phase, and how much of it is done, from 0 to 1.
Progress = Callable[[str, float], None]


def make_monitor(trt: ModuleType, progress: Progress) -> Any:
    """Return TensorRT's progress monitor that reports the outermost phase; TensorRT calls it from its own threads."""

    class Monitor(trt.IProgressMonitor):
        def __init__(self) -> None:
            trt.IProgressMonitor.__init__(self)
            self._steps: dict[str, int] = {}

        def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
            if parent_phase is None:
                self._steps[phase_name] = num_steps
                progress(phase_name, 0.0)

        def step_complete(self, phase_name: str, step: int) -> bool:
            if phase_name in self._steps:
                progress(phase_name, (step + 1) / self._steps[phase_name])
            return True

        def phase_finish(self, phase_name: str) -> None:
            if self._steps.pop(phase_name, None):
                progress(phase_name, 1.0)

    return Monitor()


def build_engine(model: Model, key: EngineKey, folder: Path, max_batch: int = MAX_BATCH, workspace: int = WORKSPACE,
                 progress: Progress | None = None, verbose: bool = False) -> Path:
    """Build a model's engine and write it, with its checksum, under its key's name.

    Networks are strongly typed, as TensorRT 11 knows no others: their precision is that of the graph. Timings of
    kernels are kept beside the engines, so that the next build of a model like this one is quick.

    Raises:
        EngineError: TensorRT cannot build here, or fails to; the message holds what it said.
        ModelError: TensorRT cannot read the model.

    """
    trt = library()
    if not can_build(trt):
        raise EngineError(f'the lean TensorRT that is installed builds no engines; try `{INSTALL}`')
    graph = half_precision(model.path) if key.precision == 'f16' else read_whole(model.path).SerializeToString()
    logger = make_logger(trt, verbose)
    builder = trt.Builder(logger)
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = trt.OnnxParser(network, logger)
    if not parser.parse(graph):
        errors = '; '.join(parser.get_error(i).desc() for i in range(parser.num_errors))
        raise ModelError(f'{model.path} is not a model that TensorRT can read: {errors}')
    config = builder.create_builder_config()
    config.set_flag(trt.BuilderFlag.VERSION_COMPATIBLE)
    config.clear_flag(trt.BuilderFlag.TF32)  # f32 shall mean f32
    config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, workspace << 20)
    profile = builder.create_optimization_profile()
    crop = network.get_input(0)
    shape = tuple(crop.shape)[1:]
    profile.set_shape(crop.name, (1, *shape), (min(USUAL_BATCH, max_batch), *shape), (max_batch, *shape))
    config.add_optimization_profile(profile)
    monitor = make_monitor(trt, progress) if progress else None  # must outlive the build
    if monitor:
        config.progress_monitor = monitor
    timings = folder / key.timings_name
    cache = config.create_timing_cache(timings.read_bytes() if timings.is_file() else b'')
    config.set_timing_cache(cache, ignore_mismatch=False)
    plan = builder.build_serialized_network(network, config)
    if plan is None:
        raise EngineError(f'TensorRT {trt.__version__} built no engine of {model.path}: '
                          f'{"; ".join(logger.errors) or "it gave no reason, --verbose shows its log"}', 'build failed')
    path = folder / key.file_name
    write_engine(path, bytes(plan))
    timings.write_bytes(bytes(config.get_timing_cache().serialize()))
    return path
