"""What precision costs and what it saves: errors on the validation set and times of a call, by engine and precision.

GPUs' float16 is measured by a graph whose every value is rounded to it between operators.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import lru_cache
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from onnx import TensorProto, helper, numpy_helper
from tqdm import tqdm

from hand_pose_ros.detection.color import read_cells
from hand_pose_ros.inference.engines import EngineError, open_engine
from hand_pose_ros.inference.models import (
    CENTER,
    COLOR_POSE,
    DETECTOR,
    POSE,
    ModelError,
)
from training import validation_sets
from training.evaluation.figures import Measurement
from training.evaluation.subjects import open_subject
from training.tasks import center, color_detector, color_pose, depth_pose

Network = Callable[[np.ndarray], list[np.ndarray]]

#: Engine and precision of each column.
COLUMNS = (('onnxruntime', 'f32'), ('openvino', 'f32'), ('openvino', 'bf16'), ('openvino', 'int8'))
#: Threads and images in a call that are timed.
TIMED = ((1, 1), (1, 2), (2, 1), (2, 2))


@lru_cache(maxsize=1)
def center_validation_set() -> tuple[np.ndarray, np.ndarray]:
    """The center refinement's validation set, crops (N, 64, 64) and labels (N, 6)."""
    return validation_sets.load(validation_sets.center())


#: What is measured of a network of each task.
MEASURED = {
    POSE: 'joints, mm',
    CENTER: 'center, mm',
    COLOR_POSE: 'joints from the wrist, mm',
    DETECTOR: 'missed or false, %',
}


def color_input(images: np.ndarray) -> np.ndarray:
    """Images (N, S, S, 3) uint8 as networks take them: (N, 3, S, S) float32 in [-1, 1]."""
    return color_pose.to_input(torch.from_numpy(images)).numpy()


def run_in_batches(network: Network, inputs: np.ndarray) -> list[np.ndarray]:
    """All that a network gives of N inputs, eight at a time: arrays (N, ...)."""
    parts = [network(np.ascontiguousarray(inputs[i : i + 8])) for i in range(0, len(inputs), 8)]
    return [np.concatenate(part) for part in zip(*parts)]


def input_shape(path: Path) -> tuple[int, int, int]:
    """Channels, rows and columns of the images that a model takes."""
    shape = onnx.load(path).graph.input[0].type.tensor_type.shape
    channels, rows, columns = (size.dim_value for size in shape.dim[1:])
    return channels, rows, columns


def measure_error(network: Network, task: str, count: int, size: int = validation_sets.COLOR_SIZE) -> float:
    """Mean error on the first ``count`` of a task's validation set, of what ``MEASURED`` says; a network for color
    crops takes them with ``size`` pixels along a side.
    """

    def run(inputs: np.ndarray) -> np.ndarray:
        return run_in_batches(network, inputs)[0]

    if task == CENTER:
        crops, labels = center_validation_set()
        hands = labels[:count, 4] == 1
        found = run(crops[:count][hands][:, None])
        return float(
            1000 * center.REFINER_HALF * np.linalg.norm(found[:, :3] - labels[:count][hands, :3], axis=1).mean()
        )
    if task == COLOR_POSE:
        data = color_pose.validation_renders(size)
        found = run(color_input(data.images[:count]))
        return float((1000 * data.sizes[:count, None] * np.linalg.norm(found - data.joints[:count], axis=2)).mean())
    if task == DETECTOR:
        images, labels = (array[:count] for array in color_detector.validation_frames())
        cells = run(color_input(images))
        return color_detector.compare([read_cells(one, color_detector.LEAST) for one in cells], labels)[
            color_detector.BEST_BY
        ]
    crops, joints, halves = (array[:count] for array in depth_pose.validation_set())
    return float(depth_pose.joint_errors(run(crops[:, None]), joints, halves).mean())


def rounded_to_half(path: Path) -> Network:
    """Return the network with its weights and every value between two operators rounded to float16."""
    model = onnx.load(path)
    graph = model.graph
    for tensor in graph.initializer:
        if tensor.data_type == TensorProto.FLOAT:
            values = numpy_helper.to_array(tensor).astype(np.float16).astype(np.float32)
            tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
    inferred = onnx.shape_inference.infer_shapes(model).graph
    floats = {
        value.name
        for value in (*inferred.value_info, *graph.output)
        if value.type.tensor_type.elem_type == TensorProto.FLOAT
    }
    nodes = []
    for node in graph.node:
        outputs = list(node.output)
        for i, name in enumerate(outputs):
            if name in floats:
                node.output[i] = f'{name}_full'
        nodes.append(node)
        for name in floats.intersection(outputs):
            nodes.append(helper.make_node('Cast', [f'{name}_full'], [f'{name}_half'], to=TensorProto.FLOAT16))
            nodes.append(helper.make_node('Cast', [f'{name}_half'], [name], to=TensorProto.FLOAT))
    rounded = helper.make_model(
        helper.make_graph(nodes, graph.name, graph.input, graph.output, graph.initializer),
        opset_imports=model.opset_import,
        ir_version=model.ir_version,
    )
    options = onnxruntime.SessionOptions()
    # Optimization would take the rounding out again.
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(rounded.SerializeToString(), options, providers=['CPUExecutionProvider'])
    return lambda batch: session.run(None, {graph.input[0].name: batch})


def measure_time(network: Network, shape: tuple[int, int, int], batch: int, runs: int = 150) -> float:
    """Median time in ms of a call with ``batch`` images of ``shape`` (channels, rows, columns)."""
    crops = np.random.default_rng(0).uniform(-1, 1, (batch, *shape)).astype(np.float32)
    seconds = []
    for _ in range(runs):
        start = time.perf_counter()
        network(crops)
        seconds.append(time.perf_counter() - start)
    return 1000 * float(np.median(seconds[runs // 5 :]))


def evaluate_errors(subject: str, samples: int) -> Iterator[Measurement]:
    """Mean error of a model by engine and precision, and with every value rounded to half precision."""
    model = open_subject(subject)
    size, unit = input_shape(model.path)[1], MEASURED[model.task].rpartition(', ')[2]
    for engine, precision in tqdm(COLUMNS, unit='engine', desc=subject):
        with suppress(EngineError, ModelError):  # a processor without bfloat16, a model without int8
            error = measure_error(open_engine(model, engine, precision=precision), model.task, samples, size)
            yield Measurement(f'{engine}_{precision}', error, unit, samples)
    error = measure_error(rounded_to_half(model.path), model.task, samples, size)
    yield Measurement('f16_simulated', error, unit, samples)


def evaluate_times(subject: str, samples: int) -> Iterator[Measurement]:
    """Median time of a call of a model by engine and precision, of ``samples`` calls, by threads and images in a
    call.
    """
    model = open_subject(subject)
    shape = input_shape(model.path)
    for engine, precision in tqdm(COLUMNS, unit='engine', desc=subject):
        with suppress(EngineError, ModelError):
            for threads, batch in TIMED:
                network = open_engine(model, engine, threads, precision)
                name = f'{engine}_{precision}_{threads}_threads_batch_{batch}'
                yield Measurement(name, measure_time(network, shape, batch, samples), 'ms', samples)
