"""ONNX graphs whose weights or arithmetic have fewer bits, made into others."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from hand_pose_ros.estimation.engines.base import cause, require
from hand_pose_ros.estimation.models import ModelError

if TYPE_CHECKING:
    import onnx


def to_half(tensor: onnx.TensorProto) -> None:
    """Store a float32 tensor in float16; leave one of another type."""
    from onnx import TensorProto, numpy_helper
    if tensor.data_type == TensorProto.FLOAT:
        tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float16), tensor.name))


def read_whole(path: Path) -> onnx.ModelProto:
    """Read the ONNX model at ``path``, its weights in float32 where it holds them in fewer bits and widens them itself.

    TensorRT takes 8-bit integers as quantized values only, and half precision needs no detour.

    Raises:
        EngineError: the package onnx is not installed.
        ModelError: the file is not an ONNX model.

    """
    require('onnx', 'pip install onnx')
    import onnx
    from onnx import TensorProto, numpy_helper
    try:
        model = onnx.load(path)
    except Exception as error:  # protobuf's own errors
        raise ModelError(f'{path} is not an ONNX model: {cause(error)}; restore or export it again') from error
    graph = model.graph
    stored = {tensor.name: tensor for tensor in graph.initializer}
    widened, names, left = set(), {}, []
    for node in graph.node:
        read = [names.get(name, name) for name in node.input]
        if node.op_type == 'Cast' and read[0] in stored and stored[read[0]].data_type in (
                TensorProto.FLOAT16, TensorProto.INT8) and node.attribute[0].i == TensorProto.FLOAT:
            values = numpy_helper.to_array(stored[read[0]]).astype(np.float32)
        elif node.op_type == 'Mul' and read[0] in widened and read[1] in stored:
            values = numpy_helper.to_array(stored[read[0]]) * numpy_helper.to_array(stored.pop(read[1]))
        else:
            left.append(node)
            continue
        stored[read[0]] = numpy_helper.from_array(values, read[0])
        widened.add(read[0])
        names[node.output[0]] = read[0]
    for node in left:
        node.input[:] = [names.get(name, name) for name in node.input]
    for field, content in (graph.node, left), (graph.initializer, list(stored.values())):
        del field[:]
        field.extend(content)
    return model


def half_precision(path: Path) -> bytes:
    """Return the ONNX model at ``path`` with weights and arithmetic in float16.

    Its inputs and outputs stay float32. TensorRT 11 takes each operator's precision from the graph, and has no switch
    for it any more, so that this is how a network gets there.

    Raises:
        EngineError: the package onnx is not installed.
        ModelError: the file is not an ONNX model.

    """
    model = read_whole(path)
    from onnx import TensorProto, helper
    graph = model.graph

    # The standard wants the scales of a resize in float32 whatever is resized.
    scales = {node.input[2] for node in graph.node if node.op_type == 'Resize' and len(node.input) > 2}
    for tensor in graph.initializer:
        if tensor.name not in scales:
            to_half(tensor)
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.name == 'value' and not scales.intersection(node.output):
                to_half(attribute.t)
            elif node.op_type == 'Cast' and attribute.name == 'to' and attribute.i == TensorProto.FLOAT:
                attribute.i = TensorProto.FLOAT16
    del graph.value_info[:]
    names = {value.name: f'{value.name}_half' for value in (*graph.input, *graph.output)
             if value.type.tensor_type.elem_type == TensorProto.FLOAT}
    for node in graph.node:
        for ends in (node.input, node.output):
            for i, name in enumerate(ends):
                ends[i] = names.get(name, name)
    entries = [helper.make_node('Cast', [value.name], [names[value.name]], f'{value.name}_to_half',
                                to=TensorProto.FLOAT16) for value in graph.input if value.name in names]
    exits = [helper.make_node('Cast', [names[value.name]], [value.name], f'{value.name}_to_float',
                              to=TensorProto.FLOAT) for value in graph.output if value.name in names]
    body = list(graph.node)
    del graph.node[:]
    graph.node.extend([*entries, *body, *exits])
    return model.SerializeToString()
