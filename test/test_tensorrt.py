"""TensorRT engines without a GPU: files, refusals, building and replay on stand-ins with the documented signatures."""

import ctypes
import gc
import hashlib
import inspect
from contextlib import ExitStack
from enum import IntEnum
from types import SimpleNamespace

import numpy as np
import pytest

from hand_pose_ros.cli.main import main
from hand_pose_ros.estimation.engines import EngineError, cuda, open_engine, tensorrt, tensorrt_build
from hand_pose_ros.estimation.engines.cuda import Buffer, call
from hand_pose_ros.estimation.engines.tensorrt import (
    EngineKey, TensorRTEngine, checksum_file, read_engine, write_engine)
from hand_pose_ros.estimation.engines.tensorrt_build import build_engine
from hand_pose_ros.estimation.models import ModelError, find_model

onnx = pytest.importorskip('onnx')
TensorProto, helper, numpy_helper = onnx.TensorProto, onnx.helper, onnx.numpy_helper

GPU = 'NVIDIA RTX 5000 Ada (laptop)'
SIDE = 4


class FakeCuda:
    """``cuda.bindings.runtime``: every function gives its error first; GPU memory is numbered bytes on the host.

    Work is kept by stream and done when the stream is waited for, as a GPU may; what is captured is not done at all
    before its graph is launched.
    """

    class cudaError_t(IntEnum):
        cudaSuccess = 0
        cudaErrorMemoryAllocation = 2

    class cudaMemcpyKind(IntEnum):
        cudaMemcpyHostToDevice = 1
        cudaMemcpyDeviceToHost = 2

    class cudaStreamCaptureMode(IntEnum):
        cudaStreamCaptureModeThreadLocal = 1

    def __init__(self):
        self.allocated, self.calls, self._queue, self._capture = {}, [], [], None
        self.memory_left = 1 << 20

    def _done(self, *result):
        return (self.cudaError_t.cudaSuccess, *result)

    def enqueue(self, work):
        (self._queue if self._capture is None else self._capture).append(work)

    def _allocate(self, size):
        if size > self.memory_left:
            return self.cudaError_t.cudaErrorMemoryAllocation, 0
        block = (ctypes.c_byte * size)()
        self.allocated[ctypes.addressof(block)] = block
        return self._done(ctypes.addressof(block))

    def cudaMalloc(self, size):
        return self._allocate(size)

    def cudaMallocHost(self, size):
        return self._allocate(size)

    def _free(self, pointer):
        del self.allocated[pointer]
        return self._done()

    cudaFree = cudaFreeHost = _free

    def cudaStreamCreate(self):
        return self._done(7)

    def cudaStreamDestroy(self, stream):
        return self._done()

    def cudaMemcpyAsync(self, dst, src, count, kind, stream):
        assert stream == 7
        self.calls.append(('copy', kind.name.removeprefix('cudaMemcpy'), count))
        self.enqueue(lambda: ctypes.memmove(dst, src, count))
        return self._done()

    def cudaStreamSynchronize(self, stream):
        assert self._capture is None, 'a stream may not be waited for while it is captured'
        self.calls.append('wait')
        for work in self._queue:
            work()
        self._queue.clear()
        return self._done()

    def cudaStreamBeginCapture(self, stream, mode):
        self.calls.append('capture')
        self._capture = []
        return self._done()

    def cudaStreamEndCapture(self, stream):
        graph, self._capture = self._capture, None
        self.calls.append('captured')
        return self._done(graph)

    def cudaGraphInstantiate(self, graph, flags):
        return self._done(graph)

    def cudaGraphDestroy(self, graph):
        return self._done()

    cudaGraphExecDestroy = cudaGraphDestroy

    def cudaGraphLaunch(self, graphExec, stream):
        self.calls.append('launch')
        for work in graphExec:
            self.enqueue(work)
        return self._done()


class FakeContext:
    """``IExecutionContext`` of a network that doubles the crop's sum."""

    def __init__(self, engine):
        self.engine, self.shape, self.addresses, self.prepared = engine, None, {}, False

    def set_input_shape(self, name, shape):
        self.shape = shape
        return name == 'crop' and shape[0] <= self.engine.max_batch

    def set_tensor_address(self, name, memory):
        self.addresses[name] = memory
        return True

    def execute_async_v3(self, stream_handle):
        assert stream_handle == 7 and set(self.addresses) == {'crop', 'sum'}
        assert self.prepared or self.engine.cuda._capture is None, 'the first run of a shape may not be captured'
        self.prepared = True
        count = self.shape[0]

        def work():
            crops, sums = (np.frombuffer((ctypes.c_float * size).from_address(self.addresses[name]), np.float32)
                           for name, size in (('crop', count * SIDE ** 2), ('sum', count)))
            sums[:] = 2 * crops.reshape(count, -1).sum(1)
        self.engine.cuda.calls.append('run')
        self.engine.cuda.enqueue(work)
        return True


class FakeTensorRT:
    """The part of TensorRT's module that engines are loaded and built with. A plan's text is ``plan BATCH``."""

    __version__ = '11.4.0.106'

    class TensorIOMode(IntEnum):
        INPUT = 1
        OUTPUT = 2

    class BuilderFlag(IntEnum):
        TF32 = 7
        VERSION_COMPATIBLE = 10

    class MemoryPoolType(IntEnum):
        WORKSPACE = 0

    class NetworkDefinitionCreationFlag(IntEnum):
        STRONGLY_TYPED = 1

    class ILogger:
        class Severity(IntEnum):
            INTERNAL_ERROR = 0
            ERROR = 1
            WARNING = 2

        def __init__(self):
            self.initialised = True

    class IProgressMonitor:
        def __init__(self):
            self.initialised = True

    def __init__(self, cuda_, lean=False):
        self.cuda, self.built = cuda_, []
        if not lean:
            self.Builder, self.OnnxParser = self._builder, self._parser

    @staticmethod
    def nptype(trt_type):
        return np.float32

    def Runtime(self, logger):
        assert logger.initialised
        return SimpleNamespace(deserialize_cuda_engine=lambda plan: self._deserialize(plan, logger),
                               engine_host_code_allowed=False)

    def _deserialize(self, serialized_engine, logger):
        if not serialized_engine.startswith(b'plan '):
            logger.log(self.ILogger.Severity.ERROR, 'magic tag\nis wrong')
            return None
        names = ('crop', 'sum')
        engine = SimpleNamespace(
            cuda=self.cuda, max_batch=int(serialized_engine.split()[1]), num_io_tensors=2,
            get_tensor_name=lambda index: names[index],
            get_tensor_mode=lambda name: self.TensorIOMode(1 + names.index(name)),
            get_tensor_shape=lambda name: {'crop': (-1, 1, SIDE, SIDE), 'sum': (-1,)}[name],
            get_tensor_dtype=lambda name: 'float32')
        engine.get_tensor_profile_shape = lambda name, profile_index: [
            (batch, 1, SIDE, SIDE) for batch in (1, 2, engine.max_batch)]
        engine.create_execution_context = lambda: FakeContext(engine)
        return engine

    def _builder(self, logger):
        made = SimpleNamespace(flags={self.BuilderFlag.TF32}, pools={}, profiles=[], timing=None, monitor=None)
        config = SimpleNamespace(
            set_flag=made.flags.add, clear_flag=made.flags.remove, progress_monitor=None,
            set_memory_pool_limit=made.pools.__setitem__, add_optimization_profile=made.profiles.append,
            create_timing_cache=lambda serialized_timing_cache: serialized_timing_cache,
            get_timing_cache=lambda: SimpleNamespace(serialize=lambda: made.timing + b'+'))

        def set_timing_cache(cache, ignore_mismatch):
            made.timing = cache
            return True
        config.set_timing_cache = set_timing_cache

        def profile():
            one = SimpleNamespace(shapes={})
            one.set_shape = lambda input, min, opt, max: one.shapes.__setitem__(input, (min, opt, max))
            return one

        def build(network, config_):
            monitor = config_.progress_monitor
            if monitor:
                monitor.phase_start('Building', None, 2)
                monitor.phase_start('Timing', 'Building', 9)
                assert monitor.step_complete('Timing', 0) and monitor.step_complete('Building', 0)
                monitor.phase_finish('Timing')
                monitor.phase_finish('Building')
            self.built.append(made)
            if network.fails:
                logger.log(self.ILogger.Severity.ERROR, 'no kernel fits')
                return None
            ((_, _, largest),) = made.profiles[0].shapes.values()
            return f'plan {largest[0]}'.encode()

        def create_network(flags):
            assert flags == 1 << self.NetworkDefinitionCreationFlag.STRONGLY_TYPED
            return SimpleNamespace(fails=False, get_input=lambda index: SimpleNamespace(
                name='crop', shape=(-1, 1, SIDE, SIDE)))
        return SimpleNamespace(create_network=create_network, create_builder_config=lambda: config,
                               create_optimization_profile=profile, build_serialized_network=build)

    def _parser(self, network, logger):
        def parse(model):
            self.parsed = model
            network.fails = b'unbuildable' in model
            return b'unreadable' not in model
        error = SimpleNamespace(desc=lambda: 'operator Konv is unknown')
        return SimpleNamespace(parse=parse, num_errors=1, get_error=lambda index: error)


@pytest.fixture()
def model(tmp_path):
    """A model of one product."""
    scale = numpy_helper.from_array(np.array([1.5], np.float32), 'scale')
    crop, sums = (helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
                  for name, shape in (('crop', ['batch', 1, SIDE, SIDE]), ('scaled', ['batch', 1, SIDE, SIDE])))
    product = helper.make_node('Mul', ['crop', 'scale'], ['scaled'])
    graph = helper.make_graph([product], 'hands', [crop], [sums], [scale])
    path = tmp_path / 'hands.onnx'
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid('', 18)], ir_version=10), path)
    return find_model(str(path))


@pytest.fixture()
def gpu(monkeypatch, tmp_path):
    """A machine with a GPU and the whole of TensorRT; engines go to a folder of the test's own."""
    monkeypatch.setattr(cuda, 'gpu_name', lambda: GPU)
    monkeypatch.setenv('HAND_POSE_ENGINES', str(tmp_path / 'engines'))
    fake = FakeCuda()
    machine = SimpleNamespace(cuda=fake, trt=FakeTensorRT(fake), folder=tmp_path / 'engines')
    monkeypatch.setattr(tensorrt, 'cuda_runtime', lambda: fake)
    for module in (tensorrt, tensorrt_build):
        monkeypatch.setattr(module, 'library', lambda: machine.trt)
    return machine


def key_of(model, precision='f16', version=FakeTensorRT.__version__):
    return EngineKey.of(model, GPU, version, precision)


def test_a_files_name_tells_model_weights_gpu_library_and_precision(model):
    digest = hashlib.sha256(model.path.read_bytes()).hexdigest()[:12]
    assert key_of(model).file_name == f'hands-{digest}-NVIDIA_RTX_5000_Ada_laptop-trt11.4.0.106-f16.engine'
    before = key_of(model).file_name
    model.path.write_bytes(model.path.read_bytes() + b'\0')
    assert key_of(model).file_name != before


def test_older_engines_are_the_same_but_for_the_library(model):
    ours = key_of(model, version='11.4.0')
    names = [key_of(model, version=version).file_name for version in ('11.10.0', '10.16.1', '11.3.9', '9.0', '11.4.0')]
    others = [key_of(model, 'f32', '10.16.1').file_name, EngineKey('hands', '0' * 12, GPU, '10.1', 'f16').file_name,
              EngineKey.of(model, 'Other GPU', '10.1', 'f16').file_name, 'rubbish.engine']
    assert [key.version for key in ours.older(names + others)] == ['11.3.9', '10.16.1', '9.0']


def test_the_folder_is_the_users_to_choose(monkeypatch, tmp_path):
    monkeypatch.delenv('HAND_POSE_ENGINES', raising=False)
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'cache'))
    assert tensorrt.default_folder() == tmp_path / 'cache' / 'hand_pose_ros' / 'engines'
    monkeypatch.setenv('HAND_POSE_ENGINES', str(tmp_path / 'own'))
    assert tensorrt.default_folder() == tmp_path / 'own'


def test_a_damaged_engine_is_not_given_to_tensorrt(tmp_path):
    path = tmp_path / 'folder' / 'some.engine'
    write_engine(path, b'plan 4')
    assert read_engine(path) == b'plan 4' and sorted(file.name for file in path.parent.iterdir()) == [
        'some.engine', 'some.engine.sha256']
    assert checksum_file(path).read_text().split() == [hashlib.sha256(b'plan 4').hexdigest(), 'some.engine']
    path.write_bytes(b'plan 5')
    with pytest.raises(EngineError, match='some.engine is damaged.*build it again with `hand-pose build-engine`'):
        read_engine(path)
    checksum_file(path).unlink()
    with pytest.raises(EngineError, match='some.engine.sha256 cannot be read'):
        read_engine(path)


def test_errors_of_cuda_are_raised_and_results_unpacked():
    fake = FakeCuda()
    assert call(fake.cudaStreamCreate) == 7 and call(fake.cudaStreamSynchronize, 7) is None
    with pytest.raises(EngineError, match='cudaMalloc failed with cudaErrorMemoryAllocation.*nvidia-smi'):
        call(fake.cudaMalloc, 1 << 30)


def test_buffers_are_allocated_for_the_largest_batch_and_given_back():
    fake, resources = FakeCuda(), ExitStack()
    buffer = Buffer(fake, (4, 1, 96, 96), np.float32, resources)
    assert [len(block) for block in fake.allocated.values()] == [4 * 96 * 96 * 4] * 2
    assert buffer.host.shape == (4, 1, 96, 96) and buffer.bytes_of(3) == 3 * 96 * 96 * 4
    assert buffer.device != buffer.host.ctypes.data and {buffer.device, buffer.host.ctypes.data} == set(fake.allocated)
    resources.close()
    assert not fake.allocated


def test_batches_are_replayed_from_graphs_captured_once(gpu, model):
    engine = TensorRTEngine(model)
    assert engine.description == f'TensorRT 11.4.0.106 on {GPU}, f16' and engine.max_batch == 4
    first = gpu.cuda.calls[:10]
    copy_in, copy_out = ('copy', 'HostToDevice', SIDE ** 2 * 4), ('copy', 'DeviceToHost', 4)
    assert first == [copy_in, 'run', copy_out, 'wait', 'capture', copy_in, 'run', copy_out, 'captured',
                     ('copy', 'HostToDevice', 2 * SIDE ** 2 * 4)]
    assert gpu.cuda.calls.count('capture') == 4
    gpu.cuda.calls.clear()
    crops = np.random.default_rng(0).uniform(-1, 1, (7, 1, SIDE, SIDE)).astype(np.float32)
    results = [engine(crops[:count])[0] for count in (1, 2, 7, 3)]
    assert gpu.cuda.calls == ['launch', 'wait'] * 5  # seven are four and three
    for result, count in zip(results, (1, 2, 7, 3)):
        assert np.allclose(result, 2 * crops[:count].sum((1, 2, 3)), atol=1e-5)
    assert engine(crops[:1])[0].base is None  # no view of a buffer that the next call overwrites


def test_memory_is_given_back_with_the_engine(gpu, model):
    engine = TensorRTEngine(model)
    assert len(gpu.cuda.allocated) == 4
    del engine
    gc.collect()
    assert not gpu.cuda.allocated


def test_an_engine_is_built_once_and_again_when_it_or_the_model_changed(gpu, model, caplog):
    open_engine(model, 'tensorrt')
    path = gpu.folder / key_of(model).file_name
    assert len(gpu.trt.built) == 1 and path.is_file() and 'building' in caplog.text
    open_engine(model, 'tensorrt')
    assert len(gpu.trt.built) == 1
    path.write_bytes(b'cut short')
    open_engine(model, 'tensorrt')
    assert len(gpu.trt.built) == 2 and read_engine(path) == b'plan 4' and 'is damaged' in caplog.text
    write_engine(path, b'of another world')
    open_engine(model, 'tensorrt')
    assert len(gpu.trt.built) == 3 and 'magic tag is wrong' in caplog.text
    model.path.write_bytes(model.path.read_bytes().replace(b'hands', b'heads'))
    open_engine(model, 'tensorrt', precision='f32')
    assert len(gpu.trt.built) == 4 and len(list(gpu.folder.glob('*.engine'))) == 2


def test_the_lean_runtime_takes_older_engines_and_refuses_the_rest_by_name(gpu, model):
    gpu.trt = FakeTensorRT(gpu.cuda, lean=True)
    with pytest.raises(EngineError, match=r'hands-.*-f16.engine does not exist.*hand-pose build-engine hands'):
        TensorRTEngine(model)
    write_engine(gpu.folder / key_of(model, version='10.9').file_name, b'plan 2')
    assert TensorRTEngine(model).description.startswith('TensorRT 10.9 on ')
    write_engine(gpu.folder / key_of(model).file_name, b'plan 2')
    assert TensorRTEngine(model).description.startswith('TensorRT 11.4.0.106 on ')
    (gpu.folder / key_of(model).file_name).write_bytes(b'plan 3')
    with pytest.raises(EngineError, match='f16.engine is damaged'):
        TensorRTEngine(model)
    with pytest.raises(EngineError, match='lean TensorRT .* builds no engines'):
        build_engine(model, key_of(model), gpu.folder)


def test_building_sets_profiles_flags_workspace_and_timings(gpu, model):
    progress = []
    for _ in range(2):
        build_engine(model, key_of(model), gpu.folder, 3, 256, lambda *step: progress.append(step))
    made = gpu.trt.built[1]
    assert made.flags == {gpu.trt.BuilderFlag.VERSION_COMPATIBLE}
    assert made.pools == {gpu.trt.MemoryPoolType.WORKSPACE: 256 << 20}
    assert made.profiles[0].shapes == {'crop': tuple((n, 1, SIDE, SIDE) for n in (1, 2, 3))}
    assert [one.timing for one in gpu.trt.built] == [b'', b'+']
    assert progress[:3] == [('Building', 0.0), ('Building', 0.5), ('Building', 1.0)]
    weights = onnx.load_from_string(gpu.trt.parsed).graph.initializer[0]
    assert weights.data_type == TensorProto.FLOAT16
    build_engine(model, key_of(model, 'f32'), gpu.folder)
    assert onnx.load_from_string(gpu.trt.parsed).graph.initializer[0].data_type == TensorProto.FLOAT


@pytest.mark.parametrize('word, error, words', [
    ('unreadable', ModelError, 'hands.onnx is not a model that TensorRT can read: operator Konv is unknown'),
    ('unbuildable', EngineError, 'built no engine of .*hands.onnx: no kernel fits'),
])
def test_what_tensorrt_says_of_a_failure_is_told(gpu, model, word, error, words):
    graph = onnx.load(model.path)
    graph.producer_name = word
    onnx.save(graph, model.path)
    with pytest.raises(error, match=words):
        build_engine(model, key_of(model, 'f32'), gpu.folder)
    assert not list(gpu.folder.glob('*.engine'))


def test_precisions_that_tensorrt_lacks_are_refused(gpu, model):
    with pytest.raises(EngineError, match='TensorRT does not compute in int8, only in f16, f32'):
        open_engine(model, 'tensorrt', precision='int8')


def test_the_command_builds_and_says_where(gpu, model, tmp_path, capsys):
    out = tmp_path / 'elsewhere'
    assert main(['build-engine', str(model.path), '--precision', 'f32', '--batch', '3', '--out', str(out)]) == 0
    assert [file.suffix for file in sorted(out.iterdir())] == ['.engine', '.sha256', '.cache']
    said = capsys.readouterr().out
    assert 'Building' in said and '100 %' in said and str(out / key_of(model, 'f32').file_name) in said
    assert f'HAND_POSE_ENGINES={out}' in said
    assert main(['build-engine', str(model.path), '--batch', '0']) == 2
    assert '--batch' in capsys.readouterr().err


def test_the_command_names_what_is_missing(model, monkeypatch, capsys):
    monkeypatch.setattr(cuda, 'gpu_name', lambda: '')
    assert main(['build-engine', 'jgr_p2o']) == 2
    error = capsys.readouterr().err
    assert 'no NVIDIA GPU' in error and len(error.strip().splitlines()) == 1
    monkeypatch.setattr(cuda, 'gpu_name', lambda: GPU)
    monkeypatch.setattr(tensorrt, 'find_spec', lambda name: None)
    assert main(['build-engine', 'jgr_p2o']) == 2
    assert 'TensorRT is not installed; try `pip install tensorrt cuda-python onnx`' in capsys.readouterr().err
    assert main(['build-engine', 'nonsense']) == 2
    assert "no model 'nonsense'" in capsys.readouterr().err


def signature_of(function) -> list[str]:
    """Names of the parameters in the first line of a binding's documentation."""
    lines = [line for line in (function.__doc__ or '').splitlines() if '(' in line and '->' in line]
    return [part.split(':')[0].strip() for part in lines[0].split('(', 1)[1].rsplit(')', 1)[0].split(', ')]


def test_names_and_signatures_are_those_of_tensorrts_bindings():
    lean = pytest.importorskip('tensorrt_lean')
    assert issubclass(lean.Logger, lean.ILogger) and lean.ILogger.Severity.INTERNAL_ERROR != lean.ILogger.Severity.ERROR
    assert {'VERSION_COMPATIBLE', 'TF32'} <= set(lean.BuilderFlag.__members__)
    assert 'WORKSPACE' in lean.MemoryPoolType.__members__ and 'INPUT' in lean.TensorIOMode.__members__
    assert lean.nptype(lean.float32) is np.float32
    documented = {
        lean.ICudaEngine: {'get_tensor_name': ['self', 'index'], 'get_tensor_mode': ['self', 'name'],
                           'get_tensor_shape': ['self', 'name'], 'get_tensor_dtype': ['self', 'name'],
                           'get_tensor_profile_shape': ['self', 'name', 'profile_index']},
        lean.IExecutionContext: {'set_input_shape': ['self', 'name', 'shape'],
                                 'set_tensor_address': ['self', 'name', 'memory'],
                                 'execute_async_v3': ['self', 'stream_handle']},
        lean.Runtime: {'deserialize_cuda_engine': ['self', 'serialized_engine']},
        lean.IOptimizationProfile: {'set_shape': ['self', 'input', 'min', 'opt', 'max']},
        lean.IProgressMonitor: {'phase_start': ['self', 'phase_name', 'parent_phase', 'num_steps'],
                                'step_complete': ['self', 'phase_name', 'step'],
                                'phase_finish': ['self', 'phase_name']},
    }
    for kind, methods in documented.items():
        for name, parameters in methods.items():
            assert signature_of(getattr(kind, name)) == parameters, f'{kind.__name__}.{name}'
            if kind is lean.IExecutionContext:
                assert list(inspect.signature(getattr(FakeContext, name)).parameters) == parameters
    assert hasattr(lean.Runtime, 'engine_host_code_allowed') and hasattr(lean.ICudaEngine, 'num_io_tensors')
    assert hasattr(lean.ITimingCache, 'serialize') and not hasattr(lean, 'Builder')
    logger = tensorrt.make_logger(lean)
    logger.log(lean.ILogger.Severity.ERROR, 'wrong\nagain')
    logger.log(lean.ILogger.Severity.WARNING, 'odd')
    assert logger.errors == ['wrong again']
    seen = []
    monitor = tensorrt_build.make_monitor(lean, lambda *step: seen.append(step))
    monitor.phase_start('Building', None, 4)
    assert monitor.step_complete('Building', 1) and seen == [('Building', 0.0), ('Building', 0.5)]


def test_names_and_signatures_are_those_of_cuda_python():
    runtime = pytest.importorskip('cuda.bindings.runtime')
    for name in ('cudaMalloc', 'cudaMallocHost', 'cudaFree', 'cudaFreeHost', 'cudaStreamCreate', 'cudaStreamDestroy',
                 'cudaMemcpyAsync', 'cudaStreamSynchronize', 'cudaStreamBeginCapture', 'cudaStreamEndCapture',
                 'cudaGraphInstantiate', 'cudaGraphLaunch', 'cudaGraphDestroy', 'cudaGraphExecDestroy'):
        documented = getattr(runtime, name).__doc__.splitlines()[0]
        names = [part.split(':')[0].split()[-1] for part in documented.split('(')[1].split(')')[0].split(',') if part]
        fake = inspect.signature(getattr(FakeCuda, name)).parameters
        assert len(names) == len(fake) - 1, f'{name}{names}'
    error, _ = runtime.cudaGetDeviceCount()
    assert isinstance(int(error), int) and error.name.startswith('cuda')
    for kind in (FakeCuda.cudaMemcpyKind, FakeCuda.cudaStreamCaptureMode):
        assert all(getattr(getattr(runtime, kind.__name__), member.name) == member for member in kind)
