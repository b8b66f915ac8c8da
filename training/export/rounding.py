"""Round a quantized model's weights so that their errors cancel in what they add up to.

Each weight to its nearest step is not the best rounding of a sum: inputs go together, and what one weight's rounding
adds the next ones can take away (Frantar et al., "GPTQ: Accurate post-training quantization for generative pre-trained
transformers", ICLR 2023, algorithm 1; here for convolutions, seen as products with the patches they look at).
"""

from __future__ import annotations

import numpy as np
import onnx
from onnx import numpy_helper

from training.export.graph import probe

#: Patches that are looked at of every group of inputs; inputs in a group.
PATCHES, GROUP = 2048, 16
#: Share of the mean variance that is added to every input's, as what is rarely seen must not be rounded at will.
DAMPING = 0.01


def round_weights(weights: np.ndarray, steps: np.ndarray, moments: np.ndarray, greatest: int) -> np.ndarray:
    """Round weights to integers.

    Args:
        weights: (O, K).
        steps: (O,) what one of an output's integers stands for.
        moments: (K, K) mean products of the inputs, two at a time.
        greatest: integer, of either sign.

    Returns:
        (O, K) int8.

    """
    damped = moments + DAMPING * np.trace(moments) / len(moments) * np.eye(len(moments)) + 1e-12 * np.eye(len(moments))
    # Upper triangle whose row k says how the inputs after k can make up for an error in k.
    upper = np.linalg.cholesky(np.linalg.inv(damped)).T
    left, rounded = weights.astype(np.float64), np.empty(weights.shape, np.int8)
    for k in range(weights.shape[1]):
        rounded[:, k] = np.round(left[:, k] / steps).clip(-greatest, greatest)
        error = (left[:, k] - rounded[:, k] * steps) / upper[k, k]
        left[:, k + 1 :] -= error[:, None] * upper[k, k + 1 :]
    return rounded


def _patches(
    values: np.ndarray, node: onnx.NodeProto, shape: tuple[int, ...], chosen: np.random.Generator
) -> np.ndarray:
    """Some of the patches (N, K) that a convolution with weights of ``shape`` sees in ``values`` (B, C, H, W)."""
    given = {a.name: list(a.ints) for a in node.attribute if a.name in ('pads', 'strides')}
    top, left, bottom, right = given.get('pads', [0] * 4)
    padded = np.pad(values, ((0, 0), (0, 0), (top, bottom), (left, right)))
    rows, columns = shape[2:]
    seen = np.lib.stride_tricks.sliding_window_view(padded, (rows, columns), (2, 3))
    down, across = given.get('strides', [1, 1])
    seen = seen[:, :, ::down, ::across]
    batch, _, height, width = seen.shape[:4]
    at = chosen.integers(batch * height * width, size=PATCHES)
    return seen[at // (height * width), :, at // width % height, at % width].reshape(PATCHES, -1)


def input_moments(model: onnx.ModelProto, names: list[str], inputs: np.ndarray) -> dict[str, np.ndarray]:
    """Mean products (K, K), two at a time, of what convolutions multiply with their weights.

    Args:
        model: in float32.
        names: of the convolutions, which are in one group and not dilated.
        inputs: (N, C, S, S) of the model.

    """
    nodes = [node for node in model.graph.node if node.name in names]
    shapes = {tensor.name: tuple(tensor.dims) for tensor in model.graph.initializer}
    look = probe(model, [node.input[0] for node in nodes])
    moments = {node.name: 0.0 for node in nodes}
    chosen = np.random.default_rng(0)
    groups = [inputs[i : i + GROUP] for i in range(0, len(inputs), GROUP)]
    for group in groups:
        values = look(group)
        for node in nodes:
            seen = _patches(values[node.input[0]], node, shapes[node.input[1]], chosen)
            moments[node.name] = moments[node.name] + (seen.T @ seen).astype(np.float64) / (PATCHES * len(groups))
    return moments


def round_again(quantized: onnx.ModelProto, model: onnx.ModelProto, inputs: np.ndarray, greatest: int) -> int:
    """Round the weights of a quantized model's convolutions anew, in place, with its own steps.

    Args:
        quantized: ``model``, with weights of convolutions stored as integers beside their steps by output channel.
        model: in float32.
        inputs: (N, C, S, S) of the model.
        greatest: integer that a weight may be, of either sign.

    Returns:
        How many convolutions' weights were rounded.

    """
    stored = {tensor.name: tensor for tensor in quantized.graph.initializer}
    whole = {tensor.name: tensor for tensor in model.graph.initializer}
    unpacked = {node.output[0]: node for node in quantized.graph.node if node.op_type == 'DequantizeLinear'}
    source = {node.name: node for node in model.graph.node if node.op_type == 'Conv'}
    integers = {
        node.name: unpacked[node.input[1]]
        for node in quantized.graph.node
        if node.op_type == 'Conv' and node.input[1] in unpacked
    }
    moments = input_moments(model, list(integers), inputs)
    for name, unpack in integers.items():
        weights = numpy_helper.to_array(whole[source[name].input[1]])
        steps = numpy_helper.to_array(stored[unpack.input[1]])
        rounded = round_weights(weights.reshape(len(weights), -1), steps.astype(np.float64), moments[name], greatest)
        stored[unpack.input[0]].CopyFrom(numpy_helper.from_array(rounded.reshape(weights.shape), unpack.input[0]))
    return len(integers)
