"""Make a network's activations fit into 8 bits without changing what it computes.

A tensor's 8 bits share one scale, and a channel with small values beside one with large values is left few steps. Where
a rectifier lies between two convolutions, a channel can be divided by a positive factor before it and the next weights
multiplied by that after it, and the network stays the same (Nagel et al., "Data-free quantization through weight
equalization and bias correction", ICCV 2019, eq. 4 to 6). Half of what a channel exceeds the others by goes into the
weights, whose steps are limited too (Xiao et al., "SmoothQuant", ICML 2023, eq. 4 with alpha 0.5).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx
from onnx import numpy_helper

from training.export.graph import probe, readers

#: Greatest factor by which a channel is scaled.
GREATEST = 64.0


@dataclass(frozen=True)
class Seam:
    """A rectified tensor that only convolutions read.

    Attributes:
        name: of the tensor.
        before: weights that lead to it, by name: of a convolution and its bias, or of a batch normalization.
        after: weights of the convolutions that read it, by name.

    """

    name: str
    before: list[str]
    after: list[str]


def find_seams(graph: onnx.GraphProto) -> list[Seam]:
    """Find where channels may be scaled: after what a rectifier follows, where nothing but convolutions reads that."""
    made = {name: node for node in graph.node for name in node.output}
    stored = {tensor.name for tensor in graph.initializer}
    outputs = {output.name for output in graph.output}
    users = readers(graph)

    def whole(node: onnx.NodeProto) -> bool:
        return node.op_type == 'Conv' and all(a.i == 1 for a in node.attribute if a.name == 'group')

    seams = []
    for rectifier in (node for node in graph.node if node.op_type == 'Relu'):
        name, source = rectifier.output[0], made.get(rectifier.input[0])
        after = users.get(name, [])
        if (
            source is None
            or source.op_type not in ('Conv', 'BatchNormalization')
            or len(users[source.output[0]]) > 1
            or outputs & {name, source.output[0]}
            or not after
            or not all(whole(node) and node.input[0] == name for node in after)
        ):
            continue
        # Of a normalization its scale and bias; its statistics are of what comes before.
        before = list(source.input[1:] if source.op_type == 'Conv' else source.input[1:3])
        weights = [node.input[1] for node in after]
        # What others use as well cannot be scaled.
        if all(w in stored and len(users[w]) == 1 for w in (*before, *weights)):
            seams.append(Seam(name, before, weights))
    return seams


def equalize(model: onnx.ModelProto, inputs: np.ndarray) -> int:
    """Scale channels of a model's weights, in place, so that activations fit into 8 bits; its outputs stay the same.

    Args:
        model: in float32.
        inputs: (N, C, S, S) that show how far activations reach.

    Returns:
        How many tensors' channels were scaled.

    """
    seams = find_seams(model.graph)
    seen = probe(model, [seam.name for seam in seams])(inputs)
    tensors = {tensor.name: tensor for tensor in model.graph.initializer}
    weights = {
        name: numpy_helper.to_array(tensors[name]).copy() for seam in seams for name in (*seam.before, *seam.after)
    }
    for seam in seams:
        reach = seen[seam.name].max((0, 2, 3))
        read = np.max([np.abs(weights[name]).max((0, 2, 3)) for name in seam.after], axis=0)
        used = (reach > 0) & (read > 0)  # others' channels mean nothing, and stay
        factors = np.ones(len(reach), np.float32)
        factors[used] = np.sqrt(reach[used] / read[used])
        factors[used] /= np.exp(np.log(factors[used]).mean()) if used.any() else 1
        factors = factors.clip(1 / GREATEST, GREATEST)
        for name in seam.before:
            weights[name] /= factors.reshape(-1, *[1] * (weights[name].ndim - 1))
        for name in seam.after:
            weights[name] *= factors[:, None, None]
    for name, value in weights.items():
        tensors[name].CopyFrom(numpy_helper.from_array(value, name))
    return len(seams)
