"""Quantization, and what precision costs: which convolutions stay in float, and that the rest means the same."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization.shape_inference import quant_pre_process

from hand_pose_ros.inference.engines import open_engine
from hand_pose_ros.inference.models import find_model, quantized_path, read_manifest

pytest.importorskip('torch')
from training.evaluation import comparison, precision
from training.export import quantize
from training.export.equalize import equalize, find_seams
from training.export.rounding import input_moments, round_weights
from training.tasks import color_pose


@pytest.fixture
def model(tmp_path):
    """A body of two convolutions, one after a sum over all pixels that outgrows the rest, and a head."""
    rng = np.random.default_rng(0)
    weights = {'first': (8, 1, 3, 3), 'second': (8, 8, 3, 3), 'spiky': (8, 8, 1, 1), 'head': (4, 8, 1, 1)}
    initializers = [
        numpy_helper.from_array(rng.normal(0, 0.3, shape).astype(np.float32), name) for name, shape in weights.items()
    ]
    initializers += [
        numpy_helper.from_array(np.array([-1, 4 * 8 * 8], np.int64), 'shape'),
        numpy_helper.from_array(np.array([6], np.float32), 'power'),
    ]

    def conv(name, source):
        return helper.make_node('Conv', [source, name], [f'{name}_out'], name, pads=[weights[name][-1] // 2] * 4)

    graph = helper.make_graph(
        [
            conv('first', 'crop'),
            helper.make_node('Relu', ['first_out'], ['a']),
            conv('second', 'a'),
            helper.make_node('Relu', ['second_out'], ['b']),
            helper.make_node('Pow', ['b', 'power'], ['peaks']),
            conv('spiky', 'peaks'),
            helper.make_node('Add', ['b', 'spiky_out'], ['c']),
            helper.make_node('Relu', ['c'], ['d']),
            conv('head', 'b'),
            helper.make_node('Reshape', ['head_out', 'shape'], ['flat']),
            helper.make_node('ReduceMean', ['d'], ['rest'], keepdims=0),
        ],
        'body',
        [helper.make_tensor_value_info('crop', TensorProto.FLOAT, ['batch', 1, 8, 8])],
        [
            helper.make_tensor_value_info('flat', TensorProto.FLOAT, ['batch', 256]),
            helper.make_tensor_value_info('rest', TensorProto.FLOAT, []),
        ],
        initializers,
    )
    path = tmp_path / 'body.onnx'
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid('', 18)], ir_version=10), path)
    return find_model(str(path), '')


@pytest.fixture
def crops():
    return np.random.default_rng(1).uniform(-1, 1, (32, 1, 8, 8)).astype(np.float32)


def test_heads_and_what_eight_bits_describe_badly_stay_in_float(model, crops):
    graph = onnx.load(model.path)
    ratios = quantize.signal_to_noise(graph, crops)
    # Evenly spread values fill the range: the noise of rounding to 255 steps lies 20 log10(255) = 48 dB below.
    assert ratios['first'] == pytest.approx(48.1, abs=0.3)
    assert ratios['spiky'] < quantize.ENOUGH_SIGNAL[1] < ratios['second']
    assert quantize.kept_in_float(graph, crops, quantize.ENOUGH_SIGNAL[1]) == ['spiky', 'head']


def test_a_quantized_network_means_the_same(model, crops):
    path = quantized_path(model.path)
    assert quantize.quantize(model, path, crops, quantize.ENOUGH_SIGNAL[1]) == 2
    graph = onnx.load(path)
    producer = {name: node for node in graph.graph.node for name in node.output}
    eight_bits = {
        node.name
        for node in graph.graph.node
        if node.op_type == 'Conv' and producer.get(node.input[0], node).op_type == 'DequantizeLinear'
    }
    assert eight_bits == {'first', 'second'}
    stored = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.graph.initializer}
    weights = [array for name, array in stored.items() if array.dtype == np.int8 and array.ndim == 4]
    assert len(weights) == 2 and all(np.abs(array).max() <= 64 for array in weights)
    quantized = find_model(str(model.path), '')
    plain, rounded = (open_engine(quantized, 'onnxruntime', precision=kind)(crops)[0] for kind in ('f32', 'int8'))
    error = np.abs(plain - rounded).mean() / np.abs(plain).mean()
    assert 0 < error < 0.03


@pytest.fixture
def uneven(tmp_path):
    """Two rectified convolutions and a normalization before a third and a fourth, with channels of very unlike size."""
    rng = np.random.default_rng(2)
    uneven = 10.0 ** rng.uniform(-2, 2, 8)
    stored = {
        'first': rng.normal(0, 1, (8, 1, 3, 3)) * uneven[:, None, None, None],
        'first_bias': rng.normal(0, 1, 8) * uneven,
        'second': rng.normal(0, 0.3, (8, 8, 3, 3)) / uneven[:, None, None],
        'scale': uneven,
        'bias': rng.normal(0, 1, 8) * uneven,
        'mean': rng.normal(0, 1, 8),
        'var': np.ones(8),
        'third': rng.normal(0, 0.3, (6, 8, 1, 1)) / uneven[:, None, None],
        'fourth': rng.normal(0, 0.3, (5, 8, 1, 1)) / uneven[:, None, None],
        'shape': np.array([-1, 6 * 64]),
    }
    initializers = [
        numpy_helper.from_array(value.astype(np.int64 if name == 'shape' else np.float32), name)
        for name, value in stored.items()
    ]
    graph = helper.make_graph(
        [
            helper.make_node('Conv', ['crop', 'first', 'first_bias'], ['a'], 'first', pads=[1] * 4),
            helper.make_node('Relu', ['a'], ['a_up']),
            helper.make_node('Conv', ['a_up', 'second'], ['b'], 'second', pads=[1] * 4),
            helper.make_node('BatchNormalization', ['b', 'scale', 'bias', 'mean', 'var'], ['c']),
            helper.make_node('Relu', ['c'], ['c_up']),
            helper.make_node('Conv', ['c_up', 'third'], ['d'], 'third'),
            helper.make_node('Conv', ['c_up', 'fourth'], ['e'], 'fourth'),
            helper.make_node('Relu', ['e'], ['e_up']),
            helper.make_node('Reshape', ['d', 'shape'], ['flat']),
        ],
        'uneven',
        [helper.make_tensor_value_info('crop', TensorProto.FLOAT, ['batch', 1, 8, 8])],
        [
            helper.make_tensor_value_info('flat', TensorProto.FLOAT, ['batch', 384]),
            helper.make_tensor_value_info('e_up', TensorProto.FLOAT, ['batch', 5, 8, 8]),
        ],
        initializers,
    )
    path = tmp_path / 'uneven.onnx'
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid('', 18)], ir_version=10), path)
    return find_model(str(path), '')


def test_channels_are_scaled_where_a_rectifier_and_convolutions_follow(uneven, model):
    seams = find_seams(onnx.load(uneven.path).graph)
    assert [(seam.name, seam.before, seam.after) for seam in seams] == [
        ('a_up', ['first', 'first_bias'], ['second']),
        ('c_up', ['scale', 'bias'], ['third', 'fourth']),
    ]
    # Of the other network's rectified tensors one goes into sums as well, one comes of a sum.
    assert [seam.name for seam in find_seams(onnx.load(model.path).graph)] == ['a']


def test_a_network_whose_channels_were_scaled_computes_the_same_and_fits_better_into_8_bits(uneven, crops, tmp_path):
    graph = onnx.load(uneven.path)
    expected = open_engine(uneven, 'onnxruntime')(crops)
    before = quantize.signal_to_noise(graph, crops)
    assert equalize(graph, crops) == 2
    path = tmp_path / 'even.onnx'
    onnx.save(graph, path)
    for found, true in zip(open_engine(find_model(str(path), ''), 'onnxruntime')(crops), expected):
        np.testing.assert_allclose(found, true, rtol=1e-3, atol=1e-3 * np.abs(true).max())
    after = quantize.signal_to_noise(graph, crops)
    assert after['first'] == before['first']
    assert after['second'] > before['second'] + 3 and after['third'] > before['third'] + 3
    reach = {}
    for name, source in ('before', onnx.load(uneven.path)), ('after', graph):
        kernel = {t.name: numpy_helper.to_array(t) for t in source.graph.initializer}['first']
        sizes = np.abs(kernel).max((1, 2, 3))
        reach[name] = sizes.max() / sizes.min()
    assert reach['after'] < reach['before'] ** 0.6, 'the half of it went into the next weights'


def test_weights_are_rounded_so_that_their_errors_cancel():
    rng = np.random.default_rng(3)
    # Inputs that go together, as neighboring pixels and channels do.
    inputs = rng.normal(0, 1, (4000, 6)) @ rng.normal(0, 1, (6, 40)) + rng.normal(0, 0.1, (4000, 40))
    weights = rng.normal(0, 1, (5, 40))
    steps = np.abs(weights).max(1) / 16
    moments = inputs.T @ inputs / len(inputs)
    rounded = round_weights(weights, steps, moments, 16)
    assert rounded.dtype == np.int8 and np.abs(rounded).max() <= 16

    def error(integers):
        return np.square(inputs @ (integers * steps[:, None] - weights).T).mean()

    assert error(rounded) < 0.3 * error(np.round(weights / steps[:, None]))
    # Inputs that have nothing to do with one another leave nothing to make up for.
    np.testing.assert_array_equal(round_weights(weights, steps, np.eye(40), 16), np.round(weights / steps[:, None]))


def test_moments_are_of_the_patches_that_a_convolution_sees(model, crops):
    moments = input_moments(onnx.load(model.path), ['first', 'second', 'spiky'], crops)
    assert {name: value.shape for name, value in moments.items()} == {
        'first': (9, 9),
        'second': (72, 72),
        'spiky': (8, 8),
    }
    # The crops are evenly spread over -1 to 1: their squares' mean is a third, less what lies beyond the edge.
    inner, edge = moments['first'][4, 4], moments['first'][0, 0]
    assert inner == pytest.approx(1 / 3, rel=0.05) and edge == pytest.approx(49 / 64 / 3, rel=0.05)
    off = moments['first'][~np.eye(9, dtype=bool)]
    assert np.abs(off).max() < 0.03


def test_rounding_to_half_is_seen(model, crops):
    plain = open_engine(model, 'onnxruntime')(crops)[0]
    error = np.abs(precision.rounded_to_half(model.path)(crops)[0] - plain).mean() / np.abs(plain).mean()
    assert 1e-5 < error < 3e-3


@pytest.mark.slow
def test_shipped_int8_versions_cost_little_and_are_of_the_shipped_weights(tmp_path):
    entries = {name: entry for name, entry in read_manifest().items() if 'int8' in entry}
    for name, entry in entries.items():
        (cost,) = (value for key, value in entry['int8'].items() if key.startswith('costs_'))
        assert cost <= quantize.LIMITS[entry['task']]
        model = find_model(name, entry['task'])
        plain, rounded = (onnx.load(model.file(kind)).graph.initializer for kind in ('f32', 'int8'))
        kept = {tensor.name: numpy_helper.to_array(tensor) for tensor in plain}
        # What was neither quantized nor scaled is what it was: biases, batch norms, heads.
        quant_pre_process(str(model.path), str(tmp_path / 'prepared.onnx'), skip_symbolic_shape=True)
        seams = find_seams(onnx.load(tmp_path / 'prepared.onnx').graph)
        scaled = {weight for seam in seams for weight in (*seam.before, *seam.after)}
        same = [
            np.array_equal(numpy_helper.to_array(tensor), kept[tensor.name])
            for tensor in rounded
            if tensor.name in kept and tensor.name not in scaled
        ]
        assert len(same) > 5 and all(same), name
        shape = [dim.dim_value for dim in onnx.load(model.path).graph.input[0].type.tensor_type.shape.dim[1:]]
        crop = np.ones((1, *shape), np.float32)
        crop[..., 20:44, 20:44] = 0
        # The first output alone: which side's hand a square is says nothing of the others.
        a, b = (open_engine(model, 'openvino', 1, kind)(crop)[0] for kind in ('f32', 'int8'))
        assert np.abs(a - b).mean() < 0.25 * max(1, np.abs(a).mean())


def test_errors_are_measured_in_mm(monkeypatch):
    truth = np.zeros((16, 21, 3), np.float32)
    monkeypatch.setattr(
        precision.depth_pose,
        'validation_set',
        lambda: (np.zeros((16, 8, 8), np.float32), truth, np.full(16, 0.1, np.float32)),
    )
    off = np.broadcast_to(np.float32((0.03, 0, 0.04)), (8, 21, 3))
    assert precision.measure_error(lambda crops: [off[: len(crops)]], 'pose', 12) == pytest.approx(5.0)
    labels = np.array([[0, 0, 0, 0, 1], [9, 9, 9, 0, 0]], np.float32)
    monkeypatch.setattr(precision, 'center_validation_set', lambda: (np.zeros((2, 8, 8), np.float32), labels))
    found = np.array([[0.0, 0.25, 0, 0, 0]], np.float32)
    assert precision.measure_error(lambda crops: [found], 'center', 2) == pytest.approx(40.0)


def test_color_is_measured_and_calibrated_in_crops_of_the_models_size(monkeypatch):
    def validation(size):
        return color_pose.Validation(
            np.zeros((4, size, size, 3), np.uint8),
            np.zeros((4, 21, 3)),
            np.zeros((4, 21, 2)),
            np.zeros((4, size, size)),
            np.full(4, 0.08),
        )

    def network(crops):
        assert crops.shape[1:] == (3, 32, 32)
        return [np.broadcast_to(np.float32((0.5, 0, 0)), (len(crops), 21, 3))]

    monkeypatch.setattr(color_pose, 'validation_renders', validation)
    assert precision.measure_error(network, 'color_pose', 3, 32) == pytest.approx(40.0)
    monkeypatch.setattr(quantize, 'CROPS', 2)
    monkeypatch.setattr(quantize, 'PEOPLE', 1)
    assert quantize.calibration_crops('color_pose', 32).shape == (2, 3, 32, 32)
    path = find_model('', 'color_pose').path
    engine = open_engine(find_model('', 'color_pose'), 'onnxruntime', 1)
    assert precision.input_shape(path) == tuple(engine.input_shape)


def test_tables_are_markdown():
    assert comparison.table(['a', 'b'], [['1', '2']]) == '| a | b |\n| --- | --- |\n| 1 | 2 |'
