"""Engines: which one is taken and why, what each can compute in, and that they compute the same."""

import sys
from types import SimpleNamespace

import numpy as np
import pytest

from hand_pose_ros.detection.center_refinement import REFINER_INPUT
from hand_pose_ros.inference import base, engines, onnx_runtime, openvino
from hand_pose_ros.inference.engines import EngineError, open_engine
from hand_pose_ros.inference.half import half_precision
from hand_pose_ros.inference.models import CENTER, POSE, Model, ModelError, find_model, read_manifest
from hand_pose_ros.inference.onnx_runtime import gpu_name

onnx = pytest.importorskip('onnx')
TensorProto, helper, numpy_helper = onnx.TensorProto, onnx.helper, onnx.numpy_helper

ON_CPU = ('openvino', 'onnxruntime')
#: Operators of the shipped networks. TensorRT takes every one of them; before one is added here, look whether it does:
#: https://docs.nvidia.com/deeplearning/tensorrt/latest/getting-started/support-matrix.html
OPERATORS = {
    'Add',
    'AveragePool',
    'BatchNormalization',
    'Cast',
    'Clip',
    'Concat',
    'Constant',
    'Conv',
    'ConvTranspose',
    'Div',
    'Erf',
    'Exp',
    'Expand',
    'Flatten',
    'Gather',
    'Gemm',
    'GlobalAveragePool',
    'Identity',
    'LayerNormalization',
    'LeakyRelu',
    'Log',
    'MatMul',
    'MaxPool',
    'Mul',
    'Neg',
    'Pow',
    'ReduceMax',
    'ReduceMean',
    'ReduceSum',
    'Relu',
    'Reshape',
    'Resize',
    'Shape',
    'Sigmoid',
    'Slice',
    'Softmax',
    'Softplus',
    'Split',
    'Sqrt',
    'Squeeze',
    'Sub',
    'Tanh',
    'Transpose',
    'Unsqueeze',
}


@pytest.fixture
def small(tmp_path):
    """A model of one convolution, with a resize: twice the input's sum over 3x3 pixels, at twice the size."""
    weights = numpy_helper.from_array(np.full((1, 1, 3, 3), 2, np.float32), 'weights')
    scales = numpy_helper.from_array(np.array([1, 1, 2, 2], np.float32), 'scales')
    graph = helper.make_graph(
        [
            helper.make_node('Conv', ['crop', 'weights'], ['sums'], 'conv', pads=[1, 1, 1, 1]),
            helper.make_node('Resize', ['sums', '', 'scales'], ['large'], 'resize', mode='nearest'),
        ],
        'small',
        [helper.make_tensor_value_info('crop', TensorProto.FLOAT, ['batch', 1, 4, 4])],
        [helper.make_tensor_value_info('large', TensorProto.FLOAT, ['batch', 1, 8, 8])],
        [weights, scales],
    )
    path = tmp_path / 'small.onnx'
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid('', 18)], ir_version=10), path)
    return Model('small', path, 'pose')


@pytest.fixture
def no_gpu(monkeypatch):
    monkeypatch.setattr(onnx_runtime, 'gpu_name', lambda: '')


@pytest.fixture
def installed(monkeypatch):
    """Say which packages are installed."""

    def only(*packages):
        monkeypatch.setattr(base, 'find_spec', lambda name: name in packages or None)

    return only


@pytest.mark.parametrize('engine', ON_CPU)
def test_any_batch_is_computed_crop_by_crop(engine, small):
    network = open_engine(small, engine, 1)
    crops = np.arange(11 * 16, dtype=np.float32).reshape(11, 1, 4, 4)
    for count in (1, 3, 11):
        (large,) = network(crops[:count])
        assert large.shape == (count, 1, 8, 8) and large.dtype == np.float32
        assert np.allclose(large[:, 0, 2, 2], 2 * crops[:count, 0, :3, :3].sum((1, 2)), rtol=1e-2)


@pytest.mark.parametrize('engine', ON_CPU)
@pytest.mark.parametrize('task, size', [(POSE, 96), (CENTER, REFINER_INPUT)])
def test_shipped_models_treat_each_crop_of_a_batch_alone(engine, task, size):
    network = open_engine(find_model('', task), engine, 1)
    assert network.input_shape == (1, size, size)
    crops = np.random.default_rng(0).uniform(-1, 1, (3, 1, size, size)).astype(np.float32)
    together = network(crops)
    for i in range(3):
        for whole, alone in zip(together, network(crops[i : i + 1])):
            assert np.allclose(whole[i], alone[0], atol=1e-4)


def test_auto_takes_what_is_there_and_says_why(small, no_gpu, installed):
    assert open_engine(small).description.startswith('OpenVINO ')
    assert open_engine(small).description.endswith('(auto: no NVIDIA GPU)')
    assert '(auto' not in open_engine(small, 'openvino').description
    installed('onnxruntime')
    assert open_engine(small).description.endswith('on CPU, f32 (auto: no NVIDIA GPU, openvino not installed)')
    installed()
    with pytest.raises(EngineError, match=r'no inference engine.*onnxruntime: onnxruntime not installed.*pip install'):
        open_engine(small)
    with pytest.raises(EngineError, match='onnxruntime is not installed; try `pip install onnxruntime`'):
        open_engine(small, 'onnxruntime')


def test_auto_passes_over_an_engine_that_cannot_compute_so(small, no_gpu, monkeypatch):
    monkeypatch.setattr(openvino, '_able', lambda *_: ['bf16', 'f32', 'int8'])  # some processors have f16 too
    assert 'f32' in open_engine(small, precision='f32').description
    with pytest.raises(EngineError, match='in precision f16 .*openvino: no f16.*set precision to auto'):
        open_engine(small, precision='f16')


def test_auto_takes_the_gpu_where_one_is(small, monkeypatch):
    monkeypatch.setattr(onnx_runtime, 'gpu_name', lambda: 'Some GPU')
    opened = []

    def engine(name, short=''):
        def open_one(model, precision, threads):
            opened.append(name)
            if short:
                raise EngineError('it does not work', short)
            return SimpleNamespace(description=name)

        return SimpleNamespace(load=lambda: open_one, options={})

    for name, short in {'tensorrt': 'TensorRT not installed', 'onnxruntime-cuda': ''}.items():
        monkeypatch.setitem(engines.ENGINES, name, engine(name, short))
    assert open_engine(small).description == 'onnxruntime-cuda (auto: TensorRT not installed)'
    monkeypatch.setitem(engines.ENGINES, 'tensorrt', engine('tensorrt'))
    assert open_engine(small).description == 'tensorrt (auto: the fastest)'
    assert opened == ['tensorrt', 'onnxruntime-cuda', 'tensorrt']


@pytest.mark.parametrize(
    'engine, precision, words',
    [
        ('abacus', 'auto', "engine 'abacus' is not one of auto, tensorrt, onnxruntime-cuda, openvino"),
        ('auto', 'f8', "precision 'f8' is not one of auto, f32, bf16, f16, int8"),
        ('onnxruntime', 'bf16', 'ONNX Runtime on a CPU does not compute in bf16, only in f32, int8'),
        ('openvino-npu', 'auto', 'OpenVINO finds no NPU here, only .*CPU'),
        ('tensorrt', 'auto', 'there is no NVIDIA GPU here'),
        ('onnxruntime-cuda', 'f16', 'there is no NVIDIA GPU here'),
    ],
)
def test_what_cannot_be_is_refused_by_name(small, no_gpu, engine, precision, words):
    with pytest.raises(EngineError, match=words):
        open_engine(small, engine, precision=precision)


def test_int8_wants_a_quantized_version(small):
    with pytest.raises(ModelError, match='small has no int8 version: make small.int8.onnx'):
        open_engine(small, 'openvino', precision='int8')


def test_onnxruntime_without_cuda_differs_from_one_whose_cuda_does_not_load(small, monkeypatch):
    import onnxruntime

    monkeypatch.setattr(onnx_runtime, 'gpu_name', lambda: 'Some GPU')
    monkeypatch.setattr(onnxruntime, 'get_available_providers', lambda: ['CPUExecutionProvider'])
    with pytest.raises(EngineError, match='without CUDA; try .*onnxruntime-gpu'):
        open_engine(small, 'onnxruntime-cuda')
    monkeypatch.setattr(onnxruntime, 'get_available_providers', lambda: ['CUDAExecutionProvider'])
    monkeypatch.setattr(onnxruntime, 'preload_dlls', lambda: None)
    session = SimpleNamespace(get_providers=lambda: ['CPUExecutionProvider'])
    monkeypatch.setattr(onnxruntime, 'InferenceSession', lambda *arguments, **keywords: session)
    with pytest.raises(EngineError, match='fallen back to the CPU'):
        open_engine(small, 'onnxruntime-cuda')


def test_no_driver_is_no_gpu(monkeypatch):
    def no_library(name):
        raise OSError(name)

    monkeypatch.setattr(onnx_runtime.ctypes, 'CDLL', no_library)
    gpu_name.cache_clear()
    assert gpu_name() == ''
    gpu_name.cache_clear()


@pytest.mark.parametrize('engine', ON_CPU)
@pytest.mark.parametrize(
    'damage, words',
    [
        (lambda data: b'rubbish', ''),
        (lambda data: data[: len(data) // 2], ''),
        (lambda data: data.replace(b'Conv', b'Konv'), 'Konv'),
    ],
    ids=['rubbish', 'cut', 'unknown operator'],
)
def test_a_file_that_is_no_network_is_named_and_why(engine, damage, words, small):
    small.path.write_bytes(damage(small.path.read_bytes()))
    with pytest.raises(ModelError, match=f'small.onnx is not a model that .* can run: .*{words}') as caught:
        open_engine(small, engine)
    message = str(caught.value)
    assert '\n' not in message and 'Exception from' not in message and '.cpp' not in message


def test_half_precision_computes_the_same_with_shorter_weights(small):
    import onnxruntime

    model = onnx.load(small.path)
    model.graph.initializer[0].CopyFrom(numpy_helper.from_array(np.full((1, 1, 3, 3), 1.0004, np.float32), 'weights'))
    onnx.save(model, small.path)
    graph = half_precision(small.path)
    model = onnx.load_from_string(graph)
    onnx.checker.check_model(model, full_check=True)
    kinds = {tensor.name: tensor.data_type for tensor in model.graph.initializer}
    assert kinds == {'weights': TensorProto.FLOAT16, 'scales': TensorProto.FLOAT}
    crops = np.random.default_rng(0).uniform(-1, 1, (2, 1, 4, 4)).astype(np.float32)
    network = open_engine(small, 'onnxruntime')
    (full,) = network(crops)
    network._take(onnxruntime.InferenceSession(graph))
    (half,) = network(crops)
    assert half.dtype == np.float32
    assert 0 < np.abs(half - full).max() < 0.02
    assert np.allclose(half * 1.0004, full, atol=1e-2)


def test_half_precision_wants_onnx_and_a_model(small, installed):
    small.path.write_bytes(b'rubbish')
    with pytest.raises(ModelError, match='small.onnx is not an ONNX model'):
        half_precision(small.path)
    installed()
    with pytest.raises(EngineError, match='pip install onnx'):
        half_precision(small.path)


@pytest.mark.parametrize('name', ['color_light', 'jgr_p2o_large'])
def test_half_precision_reads_weights_of_fewer_bits(name, no_gpu):
    import onnxruntime

    model = find_model(name, '')
    network = open_engine(model, 'onnxruntime', 1)
    crops = np.random.default_rng(0).uniform(-1, 1, (1, *network.input_shape)).astype(np.float32)
    full = network(crops)
    network._take(onnxruntime.InferenceSession(half_precision(model.path)))
    for short, whole in zip(network(crops), full):
        assert 0 < np.abs(short - whole).max() < 0.02 * np.abs(whole).max()


@pytest.mark.parametrize('name', read_manifest())
def test_shipped_graphs_are_what_tensorrt_takes(name, tmp_path):
    """ONNX Runtime gives TensorRT the graph as its basic optimizations leave it: weights of fewer bits are widened."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.optimized_model_filepath = str(tmp_path / 'given.onnx')
    onnxruntime.InferenceSession(find_model(name, '').path, options)
    model = onnx.load(options.optimized_model_filepath)
    assert {node.domain for node in model.graph.node} <= {'', 'ai.onnx'}
    assert {node.op_type for node in model.graph.node} <= OPERATORS
    assert {tensor.data_type for tensor in model.graph.initializer} <= {TensorProto.FLOAT, TensorProto.INT64}
    # The parser gives a layer normalization's result, and neither its mean nor its deviation.
    assert all(len(node.output) == 1 for node in model.graph.node if node.op_type == 'LayerNormalization')
    assert len(model.graph.input) == 1
    for value in (*model.graph.input, *model.graph.output):
        assert value.type.tensor_type.elem_type == TensorProto.FLOAT
        first, *rest = value.type.tensor_type.shape.dim
        assert first.dim_param and all(dim.dim_value > 0 for dim in rest), f'{value.name}: only the batch may vary'
    inferred = onnx.shape_inference.infer_shapes(model, strict_mode=True)
    for value in inferred.graph.value_info:
        varying = {dim.dim_param for dim in value.type.tensor_type.shape.dim if not dim.HasField('dim_value')}
        assert len(varying) <= 1, f'{value.name}: {varying} vary, not the batch alone'


def test_importing_the_engines_loads_none_of_them():
    import subprocess

    code = (
        'import sys; import hand_pose_ros.inference.engines; '
        'print(sorted({"openvino", "onnxruntime", "tensorrt_libs", "onnx"} & set(sys.modules)))'
    )
    assert subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True).stdout == '[]\n'


@pytest.mark.parametrize(
    'error',
    [
        MemoryError(),
        RuntimeError('std::bad_alloc'),
        RuntimeError('mmap: Cannot allocate memory'),
        RuntimeError("can't alloc"),
    ],
)
def test_too_little_memory_is_no_damage_of_the_model(small, monkeypatch, error):
    pytest.importorskip('openvino', reason='OpenVINO is not installed')

    def fail(*_):
        raise error

    monkeypatch.setattr('hand_pose_ros.inference.openvino._compiled', fail)
    with pytest.raises(ModelError, match='too little memory for OpenVINO to load .*small.onnx'):
        open_engine(small, 'openvino')
