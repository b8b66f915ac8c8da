"""See inside an ONNX model: which nodes read a tensor, and its values."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
import onnx
import onnxruntime
from onnx import helper


def readers(graph: onnx.GraphProto) -> dict[str, list[onnx.NodeProto]]:
    """Return the nodes that read each tensor, by its name; of what none reads there is no entry."""
    found: dict[str, list[onnx.NodeProto]] = {}
    for node in graph.node:
        for name in node.input:
            found.setdefault(name, []).append(node)
    return found


def probe(model: onnx.ModelProto, names: Iterable[str]) -> Callable[[np.ndarray], dict[str, np.ndarray]]:
    """Return what gives, for a batch of a model's input, the tensors of these names; the input may be one of them."""
    crop = model.graph.input[0].name
    inside = sorted(set(names) - {crop})
    probed = onnx.ModelProto()
    probed.CopyFrom(model)
    probed.graph.output.extend(helper.make_empty_tensor_value_info(name) for name in inside)
    session = onnxruntime.InferenceSession(probed.SerializeToString(), providers=['CPUExecutionProvider'])
    # An empty list would ask for all outputs.
    return lambda inputs: {crop: inputs} | (dict(zip(inside, session.run(inside, {crop: inputs}))) if inside else {})
