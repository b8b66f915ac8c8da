"""Measure what precision costs and what it saves: ``python -m training.measure_precision [MODEL ...]``.

Prints two Markdown tables: the error in mm on the validation set, and the time of a call, for each precision that a
processor's engines have. GPUs' float16 is measured by a graph whose every value is rounded to it between operators.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from onnx import TensorProto, helper, numpy_helper

from hand_pose_ros.estimation.engines import EngineError, open_engine
from hand_pose_ros.estimation.models import (CENTRE, DETECTOR, POSE, RGB_POSE, Model, ModelError, find_model,
                                             read_manifest)
from hand_pose_ros.localization.detector import read_cells
from hand_pose_ros.machine import describe_machine
from training import detector_task, pose_task, refiner_task, rgb_task

Network = Callable[[np.ndarray], list[np.ndarray]]

#: Engine and precision of each column.
COLUMNS = (('onnxruntime', 'f32'), ('openvino', 'f32'), ('openvino', 'bf16'), ('openvino', 'int8'))
ROUNDED = 'f16 (simulated)'


@lru_cache(maxsize=1)
def centre_validation_set() -> tuple[np.ndarray, np.ndarray]:
    """The centre refinement's validation set, crops (N, 64, 64) and labels (N, 5); rendered once, then kept on disk."""
    path = pose_task.CACHE / 'validation-centre.npz'
    if not path.is_file():
        crops, labels = refiner_task.validation_data({})[0]
        path.parent.mkdir(parents=True, exist_ok=True)
        np.savez_compressed(path, crops=crops.astype(np.float16), labels=labels)
    with np.load(path) as stored:
        return stored['crops'].astype(np.float32), stored['labels']


#: What is measured of a network of each task.
MEASURED = {POSE: 'joints, mm', CENTRE: 'centre, mm', RGB_POSE: 'joints from the wrist, mm', DETECTOR: 'missed or false, %'}


def color_input(images: np.ndarray) -> np.ndarray:
    """Images (N, S, S, 3) uint8 as networks take them: (N, 3, S, S) float32 in [-1, 1]."""
    return rgb_task.to_input(torch.from_numpy(images)).numpy()


def run_in_batches(network: Network, inputs: np.ndarray) -> list[np.ndarray]:
    """All that a network gives of N inputs, eight at a time: arrays (N, ...)."""
    parts = [network(np.ascontiguousarray(inputs[i:i + 8])) for i in range(0, len(inputs), 8)]
    return [np.concatenate(part) for part in zip(*parts)]


def input_shape(path: Path) -> tuple[int, int, int]:
    """Channels, rows and columns of the images that a model takes."""
    shape = onnx.load(path).graph.input[0].type.tensor_type.shape
    channels, rows, columns = (size.dim_value for size in shape.dim[1:])
    return channels, rows, columns


def measure_error(network: Network, task: str, count: int, size: int = rgb_task.RENDERS_SIZE) -> float:
    """Mean error on the first ``count`` of a task's validation set, of what ``MEASURED`` says; a network for colour crops
    takes them with ``size`` pixels along a side.
    """
    def run(inputs: np.ndarray) -> np.ndarray:
        return run_in_batches(network, inputs)[0]

    if task == CENTRE:
        crops, labels = centre_validation_set()
        hands = labels[:count, 4] == 1
        found = run(crops[:count][hands][:, None])
        return float(1000 * refiner_task.REFINER_HALF
                     * np.linalg.norm(found[:, :3] - labels[:count][hands, :3], axis=1).mean())
    if task == RGB_POSE:
        data = rgb_task.validation_renders(size)
        found = run(color_input(data.images[:count]))
        return float((1000 * data.sizes[:count, None] * np.linalg.norm(found - data.joints[:count], axis=2)).mean())
    if task == DETECTOR:
        images, labels = (array[:count] for array in detector_task.validation_frames())
        cells = run(color_input(images))
        return detector_task.compare([read_cells(one, detector_task.LEAST) for one in cells],
                                     labels)[detector_task.CHOOSE_BY]
    crops, joints, halves = (array[:count] for array in pose_task.validation_set())
    return float(pose_task.joint_errors(run(crops[:, None]), joints, halves).mean())


def rounded_to_half(path: Path) -> Network:
    """Return the network with its weights and every value between two operators rounded to float16."""
    model = onnx.load(path)
    graph = model.graph
    for tensor in graph.initializer:
        if tensor.data_type == TensorProto.FLOAT:
            values = numpy_helper.to_array(tensor).astype(np.float16).astype(np.float32)
            tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
    inferred = onnx.shape_inference.infer_shapes(model).graph
    floats = {value.name for value in (*inferred.value_info, *graph.output)
              if value.type.tensor_type.elem_type == TensorProto.FLOAT}
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
        opset_imports=model.opset_import, ir_version=model.ir_version)
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
    return 1000 * float(np.median(seconds[runs // 5:]))


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table."""
    return '\n'.join('| ' + ' | '.join(row) + ' |' for row in (head, ['---'] * len(head), *rows))


def error_table(models: Sequence[Model], count: int) -> str:
    """Measure each model's error in every precision."""
    rows = []
    for model in models:
        row, size = [model.name, MEASURED[model.task]], input_shape(model.path)[1]
        for engine, precision in COLUMNS:
            try:
                network = open_engine(model, engine, precision=precision)
                row.append(f'{measure_error(network, model.task, count, size):.3f}')
            except (EngineError, ModelError):
                row.append('none')
        row.append(f'{measure_error(rounded_to_half(model.path), model.task, count, size):.3f}')
        rows.append(row)
    columns = [f'{engine} {precision}' for engine, precision in COLUMNS]
    return table(['model', 'mean error', *columns, ROUNDED], rows)


def time_table(models: Sequence[Model], threads: Sequence[int], batches: Sequence[int]) -> str:
    """Time each model in every precision."""
    rows = []
    for model in models:
        shape = input_shape(model.path)
        for engine, precision in COLUMNS:
            row = [model.name, f'{engine} {precision}']
            try:
                for count in threads:
                    network = open_engine(model, engine, count, precision)
                    row += [f'{measure_time(network, shape, batch):.2f}' for batch in batches]
            except (EngineError, ModelError):
                continue
            rows.append(row)
    head = [f'{count} thread{"s" * (count > 1)}, batch {batch}' for count in threads for batch in batches]
    return table(['model', 'ms a call', *head], rows)


def main() -> None:
    """Run from the command line."""
    manifest = read_manifest()
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('names', nargs='*', metavar='MODEL', default=list(manifest),
                        help=f'of {", ".join(manifest)}; all by default')
    parser.add_argument('--crops', type=int, default=1024, help='of the validation set; 0 for no errors')
    parser.add_argument('--threads', type=int, nargs='*', default=[1, 2], help='none for no times')
    parser.add_argument('--batches', type=int, nargs='+', default=[1, 2])
    arguments = parser.parse_args()
    models = [find_model(name, manifest[name]['task']) for name in arguments.names]
    print(describe_machine())
    if arguments.crops:
        print(f'\n{error_table(models, arguments.crops)}\n\n{arguments.crops} crops of the validation set.')
    if arguments.threads:
        print(f'\n{time_table(models, arguments.threads, arguments.batches)}')


if __name__ == '__main__':
    main()
