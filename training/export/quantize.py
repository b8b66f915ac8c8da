"""Quantize models to int8: ``python -m training quantize [NAME ...]`` writes models/NAME.int8.onnx and the manifest.

Weights and activations of convolutions become 8-bit integers, with a scale for each channel of the weights and for
each tensor of activations; everything else stays in floating point. Channels are scaled before, so that they fit into
the tensor's bits alike (``training/export/equalize.py``), and weights are rounded so that their errors cancel
(``training/export/rounding.py``). Ranges come from synthetic crops that neither training nor validation draws. A
version that costs too much on the validation set is not shipped: ``precision: auto`` trusts in that.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process
from tqdm import tqdm

from hand_pose_ros.inference.engines import open_engine
from hand_pose_ros.inference.models import (
    CENTER,
    COLOR_POSE,
    DETECTOR,
    POSE,
    Model,
    file_digest,
    find_model,
    quantized_path,
)
from training.datasets.photograph_crops import PhotographCrops
from training.datasets.photographs import read_photographs
from training.evaluation.precision import MEASURED, color_input, input_shape, measure_error
from training.export.equalize import equalize
from training.export.graph import probe, readers
from training.export.rounding import round_again
from training.export.to_onnx import HALVED, compact, note_facts
from training.tasks import center, color_detector, color_pose, depth_pose

#: People and pictures of the calibration crops.
SEED, PEOPLE, CROPS = 30_000_007, 32, 256
#: Crops that weights are rounded by.
ROUNDED_BY = 128
#: Of the integers that weights become, of either sign: processors without VNNI add products of eight bits in 16, which
#: would overflow with more than seven bits.
GREATEST_WEIGHT = 64
#: A convolution's input stays in floating point when rounding it to 8 bits leaves less signal to noise, dB: a few large
#: values among many small ones, as sums over all pixels have. Where a version costs too much, the next of these is
#: tried.
ENOUGH_SIGNAL = 26.0, 32.0, 36.0
#: After these a convolution's output is still a map of features; one that feeds anything else is a head, and stays.
INSIDE = {'Relu', 'Add', 'BatchNormalization', 'Concat', 'MaxPool', 'Resize', 'LeakyRelu'}
#: What the quantized version may cost, in the measure of its task: mm, or percent of hands.
LIMITS = {POSE: 0.1, CENTER: 0.1, COLOR_POSE: 0.1, DETECTOR: 0.3}


def photograph_crops(folder: Path, size: int, count: int) -> np.ndarray:
    """Return (count, size, size, 3) uint8 crops of photographs, drawn as a training draws them."""
    source = PhotographCrops(read_photographs(folder), size, 0.2)
    rng = np.random.default_rng(SEED)
    return np.stack([source.draw(rng)[0] for _ in range(count)])


def calibration_crops(task: str, size: int, photographs: Path | None = None) -> np.ndarray:
    """Return (N, C, S, S) crops for a task: synthetic, or for poses in color half of them of a folder of photographs.

    Those in color have ``size`` pixels along a side.
    """
    if task == COLOR_POSE:
        if photographs is not None:
            half = CROPS // 2
            drawn = next(color_pose.renders(SEED, half, people=PEOPLE, people_seed=SEED, size=size))[0]
            both = np.concatenate([drawn, photograph_crops(photographs, size, half)])
            return color_input(both[np.random.default_rng(SEED).permutation(len(both))])
        return color_input(next(color_pose.renders(SEED, CROPS, people=PEOPLE, people_seed=SEED, size=size))[0])
    if task == DETECTOR:
        return color_input(next(color_detector.frames(SEED, CROPS, people=PEOPLE, people_seed=SEED))[0])
    source = center if task == CENTER else depth_pose
    return next(source.crops(SEED, CROPS, people=PEOPLE, people_seed=SEED))[0][:, None].astype(np.float32)


def signal_to_noise(graph: onnx.ModelProto, crops: np.ndarray) -> dict[str, float]:
    """Return for each convolution, by name, its input's signal to noise ratio in dB when rounded to 8 bits."""
    convolutions = [node for node in graph.graph.node if node.op_type == 'Conv']
    values = probe(graph, [node.input[0] for node in convolutions])(crops)

    def ratio(value: np.ndarray) -> float:
        step = (max(value.max(), 0) - min(value.min(), 0)) / 255
        return float(10 * np.log10(value.var() / (step**2 / 12)))

    return {node.name: ratio(values[node.input[0]]) for node in convolutions}


def kept_in_float(graph: onnx.ModelProto, crops: np.ndarray, enough: float = ENOUGH_SIGNAL[0]) -> list[str]:
    """Return the names of the convolutions that 8 bits would harm: heads, and those with inputs of great range, which
    leave less than ``enough`` dB.
    """
    users = readers(graph.graph)

    def is_head(node: onnx.NodeProto) -> bool:
        reading = users.get(node.output[0], [])
        return not reading or any(user.op_type not in INSIDE for user in reading)

    ratios = signal_to_noise(graph, crops)
    return [
        node.name
        for node in graph.graph.node
        if node.op_type == 'Conv' and (ratios[node.name] < enough or is_head(node))
    ]


class _Reader(CalibrationDataReader):
    """Gives calibration crops out in batches, as ONNX Runtime's quantization asks for them."""

    def __init__(self, name: str, crops: np.ndarray) -> None:
        self._batches: Iterator[dict] = ({name: crops[i : i + 16]} for i in range(0, len(crops), 16))

    def get_next(self) -> dict | None:
        return next(self._batches, None)


def quantize(model: Model, path: Path, crops: np.ndarray, enough: float = ENOUGH_SIGNAL[0]) -> int:
    """Write a quantized version of a model; ``enough`` as :func:`kept_in_float` has it.

    Returns:
        The number of convolutions that stay in floating point.

    """
    with tempfile.TemporaryDirectory() as folder:
        prepared = Path(folder) / 'prepared.onnx'
        quant_pre_process(str(model.path), str(prepared), skip_symbolic_shape=True)
        graph = onnx.load(prepared)
        equalize(graph, crops[:32])
        onnx.save(graph, prepared)
        kept = kept_in_float(graph, crops[:32], enough)
        quantize_static(
            str(prepared),
            str(path),
            _Reader(graph.graph.input[0].name, crops),
            QuantFormat.QDQ,
            op_types_to_quantize=['Conv'],
            nodes_to_exclude=kept,
            per_channel=True,
            reduce_range=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            extra_options={'OpTypesToExcludeOutputQuantization': ['Conv']},
        )
    quantized = onnx.load(path)
    round_again(quantized, graph, crops[:ROUNDED_BY], GREATEST_WEIGHT)
    onnx.save(compact(quantized, *HALVED), path)
    return len(kept)


def quantize_shipped(
    name: str, entry: dict[str, object], crops: int, photographs: Path | None = None
) -> tuple[dict[str, object], list[str]]:
    """Quantize a model of the manifest, as far as that costs no more than its task allows.

    Args:
        name: in the manifest.
        entry: of the manifest.
        crops: of the validation set, to measure the cost on.
        photographs: a folder of them to take some of the calibration crops from.

    Returns:
        The entry with what it says of the quantized version, without where there is none; and what was found, in lines.

    """
    task, lines = entry['task'], []
    model = find_model(name, task)
    path, size = quantized_path(model.path), input_shape(model.path)[1]
    calibration, quantized = calibration_crops(task, size, photographs), Model(name, model.path, task, quantized=path)
    plain = measure_error(open_engine(model, 'openvino', precision='f32'), task, crops, size)
    entry = {key: value for key, value in entry.items() if key != 'int8'}
    for enough in tqdm(ENOUGH_SIGNAL, unit='version', desc=name):
        kept = quantize(model, path, calibration, enough)
        rounded = measure_error(open_engine(quantized, 'openvino', precision='int8'), task, crops, size)
        lines.append(
            f'{path}: {path.stat().st_size / 1e6:.2f} MB, {kept} convolutions in floating point; {MEASURED[task]}: '
            f'{plain:.3f} in f32, {rounded:.3f} in int8'
        )
        if rounded - plain <= LIMITS[task]:
            note_facts(path, entry)
            entry['int8'] = {
                'file': path.name,
                'sha256': file_digest(path),
                'costs_percent' if task == DETECTOR else 'costs_mm': round(rounded - plain, 3),
                'command': f'python -m training quantize {name}' + (' --photographs FOLDER' if photographs else ''),
            }
            return entry, lines
    path.unlink()
    return entry, [*lines, f'{path} costs more than {LIMITS[task]} and is not shipped']
