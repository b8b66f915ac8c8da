"""Write a network as ONNX, with any batch size, its weights in as few bits as the file may take."""

from __future__ import annotations

import json
import math
import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn

from hand_pose_ros.inference.facts import FACTS
from hand_pose_ros.inference.half import to_half
from training.networks.protocol import POSE_OUTPUTS
from training.registry import TrainingError

if TYPE_CHECKING:
    import onnx

#: The exporter's note on a node that names the modules it comes of.
SCOPES = 'pkg.torch.onnx.name_scopes'
#: Bytes that a model may take.
LARGEST = 25_000_000
#: Ways to store large weights of convolutions, the first of which is taken that makes a model small enough: numbers in
#: a weight from which on it is in half precision, and from which on in 8 bits.
WHOLE, HALVED, PACKED = (math.inf, math.inf), (30_000, math.inf), (30_000, 50_000)
#: Step of weights in 8 bits, at least: the smallest number in half precision.
SMALLEST_STEP = 2.0**-24


def input_channels(network: nn.Module) -> int:
    """Channels of a network's image: one of depth, unless the network says otherwise."""
    return getattr(network, 'input_channels', 1)


def pack(weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Round a convolution's weights (O, I, H, W) to 8 bits.

    Returns:
        (O, I, H, W) int8 and the steps (O, 1, 1, 1) float32 that these count, powers of two: half precision holds those
        exactly, and their products with the integers too.

    """
    greatest = np.abs(weights).max((1, 2, 3), keepdims=True)
    steps = np.exp2(np.ceil(np.log2(np.maximum(greatest / 127, SMALLEST_STEP)))).astype(np.float32)
    return np.round(weights / steps).astype(np.int8), steps


def compact(model: onnx.ModelProto, halved: float, packed: float) -> onnx.ModelProto:
    """Make a smaller model: large weights of convolutions in fewer bits, and few notes on the export.

    Rounding them so changes no output that matters (``models/README.md``), and the runtimes undo it once, when they
    load the model. Of the exporter's notes the modules' names stay, which ``training.export.from_onnx`` reads; the
    others tell of the machine's folders.

    Args:
        model: it stays as it is.
        halved: numbers in a weight from which on it is stored in half precision.
        packed: and from which on in 8 bits, see :func:`pack`.

    """
    import onnx
    from onnx import helper, numpy_helper

    smaller = onnx.ModelProto()
    smaller.CopyFrom(model)
    graph = smaller.graph
    for node in graph.node:
        kept = [note for note in node.metadata_props if note.key == SCOPES]
        del node.metadata_props[:]
        node.metadata_props.extend(kept)
    widened, steps, names = [], [], {}
    convolved = {node.input[1] for node in graph.node if node.op_type == 'Conv'}
    for weight in graph.initializer:
        count = np.prod(weight.dims)
        if weight.name not in convolved or weight.data_type != onnx.TensorProto.FLOAT or count < min(halved, packed):
            continue
        names[weight.name] = whole = f'{weight.name}_whole'
        if count < packed:
            to_half(weight)
            widened.append(helper.make_node('Cast', [weight.name], [whole], to=onnx.TensorProto.FLOAT))
        else:
            integers, step = pack(numpy_helper.to_array(weight))
            weight.CopyFrom(numpy_helper.from_array(integers, weight.name))
            steps.append(numpy_helper.from_array(step, f'{weight.name}_steps'))
            counted = f'{weight.name}_counted'
            widened += [
                helper.make_node('Cast', [weight.name], [counted], to=onnx.TensorProto.FLOAT),
                helper.make_node('Mul', [counted, steps[-1].name], [whole]),
            ]
    graph.initializer.extend(steps)
    for node in graph.node:
        node.input[:] = [names.get(name, name) for name in node.input]
    nodes = [*widened, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)
    values = [value for value in graph.value_info if value.name not in names]
    del graph.value_info[:]
    graph.value_info.extend(values)
    onnx.checker.check_model(smaller, full_check=True)
    return smaller


def note_facts(path: Path, entry: Mapping[str, object]) -> None:
    """Write a manifest entry's task and calibration into its file's metadata, so that they go where the file goes."""
    import onnx

    model = onnx.load(path)
    props = {prop.key: prop.value for prop in model.metadata_props}
    facts = {fact: entry[fact] for fact in ('task', 'confidence', 'presence') if fact in entry}
    onnx.helper.set_model_props(model, {**props, FACTS: json.dumps(facts)})
    onnx.save(model, path)


def export(
    network: nn.Module, path: Path, largest: float = LARGEST, metadata: Mapping[str, str] = MappingProxyType({})
) -> float:
    """Write ``network`` as ONNX with any batch size.

    Args:
        network: what is written.
        path: of the file.
        largest: bytes that it may take. Where it would take more, large weights are stored in fewer bits.
        metadata: what the file says of itself.

    Returns:
        The greatest difference between PyTorch's outputs and ONNX Runtime's on random crops.

    Raises:
        TrainingError: it would take more in any way; nothing is written then.

    """
    import onnx
    import onnxruntime

    size, channels = network.input_size, input_channels(network)
    crop = torch.rand(2, channels, size, size) * 2 - 1
    names = list(getattr(network, 'outputs', POSE_OUTPUTS))
    with tempfile.TemporaryDirectory() as folder:
        exported = Path(folder) / path.name
        torch.onnx.export(
            network,
            (crop,),
            exported,
            input_names=['crop'],
            output_names=names,
            opset_version=18,
            dynamo=True,
            external_data=False,
            dynamic_shapes=({0: torch.export.Dim('batch')},),
            verbose=False,
        )
        whole = onnx.load(exported)
    onnx.helper.set_model_props(whole, {**metadata})
    for way in WHOLE, HALVED, PACKED:
        model = compact(whole, *way)
        if model.ByteSize() <= largest:
            onnx.save(model, path)
            break
    else:
        raise TrainingError(
            f'{path} would take {model.ByteSize() / 1e6:.1f} MB with its weights in 8 bits, and may take '
            f'{largest / 1e6:.1f}: the network is too large'
        )
    session = onnxruntime.InferenceSession(str(path), providers=['CPUExecutionProvider'])
    crop = torch.rand(3, channels, size, size) * 2 - 1
    with torch.no_grad():
        expected = network(crop)
    expected = expected if isinstance(expected, tuple) else (expected,)
    found = session.run(None, {'crop': crop.numpy()})
    return max(float(np.abs(e.numpy() - f).max()) for e, f in zip(expected, found))
