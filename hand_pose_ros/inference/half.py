"""ONNX graphs in half precision."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from hand_pose_ros.inference.base import cause, require
from hand_pose_ros.inference.models import ModelError

if TYPE_CHECKING:
    import onnx


def to_half(tensor: onnx.TensorProto) -> None:
    """Store a float32 tensor in float16; leave one of another type."""
    from onnx import TensorProto, numpy_helper

    if tensor.data_type == TensorProto.FLOAT:
        tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float16), tensor.name))


def half_precision(path: Path) -> bytes:
    """Return the ONNX model at ``path`` with weights, arithmetic, inputs and outputs in float16.

    Raises:
        EngineError: the package onnx is not installed.
        ModelError: the file is not an ONNX model.

    """
    require('onnx', 'pip install onnx')
    import onnx
    from onnx import TensorProto

    try:
        model = onnx.load(path)
    except Exception as error:  # protobuf's own errors
        raise ModelError(f'{path} is not an ONNX model: {cause(error)}; restore or export it again') from error
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
    for value in (*graph.input, *graph.output):
        if value.type.tensor_type.elem_type == TensorProto.FLOAT:
            value.type.tensor_type.elem_type = TensorProto.FLOAT16
    del graph.value_info[:]
    return model.SerializeToString()
