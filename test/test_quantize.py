"""Quantization, and what precision costs: which convolutions stay in float, and that the rest means the same."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from hand_pose_ros.estimation.engines import open_engine
from hand_pose_ros.estimation.models import find_model, quantized_path, read_manifest

pytest.importorskip('torch')
from training import measure_precision, quantize  # noqa: E402


@pytest.fixture()
def model(tmp_path):
    """A body of two convolutions, one after a sum over all pixels that outgrows the rest, and a head."""
    rng = np.random.default_rng(0)
    weights = {'first': (8, 1, 3, 3), 'second': (8, 8, 3, 3), 'spiky': (8, 8, 1, 1), 'head': (4, 8, 1, 1)}
    initializers = [numpy_helper.from_array(rng.normal(0, 0.3, shape).astype(np.float32), name)
                    for name, shape in weights.items()]
    initializers += [numpy_helper.from_array(np.array([-1, 4 * 8 * 8], np.int64), 'shape'),
                     numpy_helper.from_array(np.array([6], np.float32), 'power')]

    def conv(name, source):
        return helper.make_node('Conv', [source, name], [f'{name}_out'], name, pads=[weights[name][-1] // 2] * 4)
    graph = helper.make_graph([
        conv('first', 'crop'), helper.make_node('Relu', ['first_out'], ['a']),
        conv('second', 'a'), helper.make_node('Relu', ['second_out'], ['b']),
        helper.make_node('Pow', ['b', 'power'], ['peaks']),
        conv('spiky', 'peaks'), helper.make_node('Add', ['b', 'spiky_out'], ['c']),
        helper.make_node('Relu', ['c'], ['d']),
        conv('head', 'b'), helper.make_node('Reshape', ['head_out', 'shape'], ['flat']),
        helper.make_node('ReduceMean', ['d'], ['rest'], keepdims=0)],
        'body', [helper.make_tensor_value_info('crop', TensorProto.FLOAT, ['batch', 1, 8, 8])],
        [helper.make_tensor_value_info('flat', TensorProto.FLOAT, ['batch', 256]),
         helper.make_tensor_value_info('rest', TensorProto.FLOAT, [])], initializers)
    path = tmp_path / 'body.onnx'
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid('', 18)], ir_version=10), path)
    return find_model(str(path))


@pytest.fixture()
def crops():
    return np.random.default_rng(1).uniform(-1, 1, (32, 1, 8, 8)).astype(np.float32)


def test_heads_and_what_eight_bits_describe_badly_stay_in_float(model, crops):
    graph = onnx.load(model.path)
    ratios = quantize.signal_to_noise(graph, crops)
    # Evenly spread values fill the range: the noise of rounding to 255 steps lies 20 log10(255) = 48 dB below.
    assert ratios['first'] == pytest.approx(48.1, abs=0.3)
    assert ratios['spiky'] < quantize.ENOUGH_SIGNAL[0] < ratios['second']
    assert quantize.kept_in_float(graph, crops) == ['spiky', 'head']


def test_a_quantized_network_means_the_same(model, crops):
    path = quantized_path(model.path)
    assert quantize.quantize(model, path, crops) == 2
    graph = onnx.load(path)
    producer = {name: node for node in graph.graph.node for name in node.output}
    eight_bits = {node.name for node in graph.graph.node if node.op_type == 'Conv'
                  and producer.get(node.input[0], node).op_type == 'DequantizeLinear'}
    assert eight_bits == {'first', 'second'}
    stored = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.graph.initializer}
    weights = [array for name, array in stored.items() if array.dtype == np.int8 and array.ndim == 4]
    assert len(weights) == 2 and all(np.abs(array).max() <= 64 for array in weights)
    quantized = find_model(str(model.path))
    plain, rounded = (open_engine(quantized, 'onnxruntime', precision=precision)(crops)[0]
                      for precision in ('f32', 'int8'))
    error = np.abs(plain - rounded).mean() / np.abs(plain).mean()
    assert 0 < error < 0.03


def test_rounding_to_half_is_seen(model, crops):
    plain = open_engine(model, 'onnxruntime')(crops)[0]
    error = np.abs(measure_precision.rounded_to_half(model.path)(crops)[0] - plain).mean() / np.abs(plain).mean()
    assert 1e-5 < error < 3e-3


def test_shipped_int8_versions_cost_little_and_are_of_the_shipped_weights():
    entries = {name: entry for name, entry in read_manifest().items() if 'int8' in entry}
    for name, entry in entries.items():
        cost, = (value for key, value in entry['int8'].items() if key.startswith('costs_'))
        assert cost <= quantize.LIMITS[entry['task']]
        model = find_model(name, entry['task'])
        plain, rounded = (onnx.load(model.file(precision)).graph.initializer for precision in ('f32', 'int8'))
        kept = {tensor.name: numpy_helper.to_array(tensor) for tensor in plain}
        # What was not quantized is what it was: biases, batch norms, heads.
        same = [np.array_equal(numpy_helper.to_array(tensor), kept[tensor.name]) for tensor in rounded
                if tensor.name in kept]
        assert len(same) > 5 and all(same), name
        shape = [dim.dim_value for dim in onnx.load(model.path).graph.input[0].type.tensor_type.shape.dim[1:]]
        crop = np.ones((1, *shape), np.float32)
        crop[..., 20:44, 20:44] = 0
        # The first output alone: which side's hand a square is says nothing of the others.
        a, b = (open_engine(model, 'openvino', 1, precision)(crop)[0] for precision in ('f32', 'int8'))
        assert np.abs(a - b).mean() < 0.25 * max(1, np.abs(a).mean())


def test_errors_are_measured_in_mm(monkeypatch):
    truth = np.zeros((16, 21, 3), np.float32)
    monkeypatch.setattr(measure_precision.pose_task, 'validation_set',
                        lambda: (np.zeros((16, 8, 8), np.float32), truth, np.full(16, 0.1, np.float32)))
    off = np.broadcast_to(np.float32((0.03, 0, 0.04)), (8, 21, 3))
    assert measure_precision.measure_error(lambda crops: [off[:len(crops)]], 'pose', 12) == pytest.approx(5.0)
    labels = np.array([[0, 0, 0, 0, 1], [9, 9, 9, 0, 0]], np.float32)
    monkeypatch.setattr(measure_precision, 'centre_validation_set', lambda: (np.zeros((2, 8, 8), np.float32), labels))
    found = np.array([[0.0, 0.25, 0, 0, 0]], np.float32)
    assert measure_precision.measure_error(lambda crops: [found], 'centre', 2) == pytest.approx(40.0)


def test_tables_are_markdown():
    assert measure_precision.table(['a', 'b'], [['1', '2']]) == '| a | b |\n| --- | --- |\n| 1 | 2 |'
