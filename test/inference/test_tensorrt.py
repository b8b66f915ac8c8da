"""TensorRT by ONNX Runtime, without a GPU: what it is asked for, and that nothing else runs in its place."""

import sys
from types import SimpleNamespace

import numpy as np
import onnxruntime
import pytest

from hand_pose_ros.cli.main import main
from hand_pose_ros.inference import onnx_runtime
from hand_pose_ros.inference.engines import EngineError, open_engine
from hand_pose_ros.inference.models import ModelError, file_digest, find_model
from hand_pose_ros.inference.onnx_runtime import engine_folder

GPU = 'NVIDIA RTX 5000 Ada (laptop)'
TENSORRT = 'TensorrtExecutionProvider'


@pytest.fixture
def model():
    return find_model('center_refiner', '')


@pytest.fixture
def gpu(monkeypatch, tmp_path):
    """A machine with a GPU and TensorRT, whose sessions run on the processor and are kept in ``asked``."""
    real = onnxruntime.InferenceSession
    machine = SimpleNamespace(asked=[], batches=[], folder=tmp_path / 'engines', providers=[TENSORRT], error=None)

    def session(graph, options, providers, enable_fallback=True):
        if providers == ['CPUExecutionProvider']:
            return real(graph, options, providers=providers)
        machine.asked.append((providers, options, enable_fallback))
        if machine.error and providers[0][0] == TENSORRT:
            raise machine.error
        runs = real(graph, providers=['CPUExecutionProvider'])

        def run(names, inputs):
            machine.batches.append(len(next(iter(inputs.values()))))
            return runs.run(names, inputs)

        return SimpleNamespace(run=run, get_inputs=runs.get_inputs, get_providers=lambda: machine.providers)

    monkeypatch.setattr(onnx_runtime, 'gpu_name', lambda: GPU)
    monkeypatch.setattr(onnxruntime, 'get_available_providers', lambda: [TENSORRT, 'CUDAExecutionProvider'])
    monkeypatch.setattr(onnxruntime, 'preload_dlls', lambda: None)
    monkeypatch.setattr(onnxruntime, 'InferenceSession', session)
    monkeypatch.setattr(onnx_runtime, 'find_spec', lambda name: name)
    monkeypatch.setitem(sys.modules, 'tensorrt_libs', SimpleNamespace())
    monkeypatch.setenv('HAND_POSE_ENGINES', str(machine.folder))
    return machine


@pytest.mark.parametrize(
    'precision, used, flags',
    [('auto', 'f16', (True, False)), ('bf16', 'bf16', (False, True)), ('f32', 'f32', (False, False))],
)
def test_tensorrt_is_asked_for_precision_shapes_and_caches(gpu, model, caplog, precision, used, flags):
    network = open_engine(model, 'tensorrt', 2, precision)
    assert network.description == f'TensorRT in ONNX Runtime {onnxruntime.__version__} on {GPU}, {used}'
    (((provider, provided),), options, fallback) = gpu.asked[0]
    assert provider == TENSORRT and not fallback
    assert options.get_session_config_entry('session.disable_cpu_ep_fallback') == '1'
    assert options.intra_op_num_threads == 2
    assert (provided['trt_fp16_enable'], provided['trt_bf16_enable']) == flags
    assert [provided[f'trt_profile_{name}_shapes'] for name in ('min', 'opt', 'max')] == [
        f'crop:{count}x1x64x64' for count in (1, 2, 4)
    ]
    assert provided['trt_engine_cache_enable'] and provided['trt_timing_cache_enable']
    folder = gpu.folder / f'center_refiner-{file_digest(model.path)[:12]}-NVIDIA_RTX_5000_Ada_laptop_-{used}'
    assert (provided['trt_engine_cache_path'], provided['trt_timing_cache_path']) == (str(folder), str(gpu.folder))
    assert folder.is_dir() and f'building {folder}, once' in caplog.text
    (folder / 'some_sm89.engine').touch()
    caplog.clear()
    open_engine(model, 'tensorrt', 2, precision)
    assert not caplog.text, 'the engine is there'


def test_large_batches_are_divided(gpu, model):
    crops = np.random.default_rng(0).uniform(-1, 1, (11, 1, 64, 64)).astype(np.float32)
    (found,) = open_engine(model, 'tensorrt')(crops)
    assert gpu.batches == [4, 4, 3]
    assert np.allclose(found, open_engine(model, 'onnxruntime')(crops)[0], atol=1e-5)


def test_nothing_runs_in_tensorrts_place(gpu, model):
    gpu.providers = ['CPUExecutionProvider']
    with pytest.raises(EngineError, match='center_refiner.onnx: ONNX Runtime has fallen back .*tensorrt-cu13-libs<11'):
        open_engine(model, 'tensorrt')
    gpu.error = RuntimeError('[ONNXRuntimeError] : 11 : EP_FAIL : could not deserialize engine from cache')
    with pytest.raises(EngineError, match='could not deserialize.*engines/center_refiner.* is damaged .*remove it'):
        open_engine(model, 'tensorrt')
    description = open_engine(model).description
    assert description.endswith('(auto: TensorRT does not start, CUDA libraries do not load)')


def test_onnx_runtime_itself_refuses_nodes_that_no_gpu_takes(gpu, model, monkeypatch):
    monkeypatch.undo()
    monkeypatch.setattr(onnx_runtime, '_survey_gpu', lambda *_: ('1', [GPU]))
    monkeypatch.setattr(onnx_runtime, 'find_library', lambda name: 'libnvinfer.so.10')
    monkeypatch.setenv('HAND_POSE_ENGINES', str(gpu.folder))
    with pytest.warns(UserWarning, match=TENSORRT), pytest.raises(EngineError, match='fallback to CPU EP has been'):
        open_engine(model, 'tensorrt')


def test_what_is_missing_is_named_with_what_installs_it(gpu, model, monkeypatch):
    with pytest.raises(EngineError, match='TensorRT does not compute in int8, only in f16, bf16, f32'):
        open_engine(model, 'tensorrt', precision='int8')
    monkeypatch.setattr(onnx_runtime, 'find_spec', lambda name: None)
    monkeypatch.setattr(onnx_runtime, 'find_library', lambda name: None)
    with pytest.raises(EngineError, match='TensorRT is not installed; try `.*tensorrt-cu13-libs<11'):
        open_engine(model, 'tensorrt')
    monkeypatch.setattr(onnxruntime, 'get_available_providers', lambda: ['CPUExecutionProvider'])
    with pytest.raises(EngineError, match='one without TensorRT; try `pip uninstall onnxruntime && .*onnxruntime-gpu'):
        open_engine(model, 'tensorrt')
    assert open_engine(model).description.endswith('(auto: onnxruntime without TensorRT, onnxruntime without CUDA)')
    monkeypatch.setattr(onnx_runtime, 'gpu_name', lambda: '')
    with pytest.raises(EngineError, match='nvidia-smi'):
        open_engine(model, 'tensorrt')


def test_what_is_no_network_is_a_fault_of_the_model(gpu, tmp_path):
    (tmp_path / 'own.onnx').write_bytes(b'rubbish')
    with pytest.raises(ModelError, match='own.onnx is not a model'):
        open_engine(find_model(str(tmp_path / 'own.onnx'), ''), 'tensorrt')
    assert not gpu.asked


def test_the_folder_is_the_users_to_choose(model, monkeypatch, tmp_path):
    monkeypatch.delenv('HAND_POSE_ENGINES', raising=False)
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'cache'))
    assert engine_folder(model, 'f16').parent == tmp_path / 'cache' / 'hand_pose_ros' / 'engines'
    monkeypatch.setenv('HAND_POSE_ENGINES', str(tmp_path / 'own'))
    assert engine_folder(model, 'f16').parent == tmp_path / 'own'


def test_the_command_builds_and_says_where(gpu, model, monkeypatch, capsys):
    assert main(['build-engine', str(model.path), '--precision', 'f32']) == 0
    assert f'{engine_folder(model, "f32")}: center_refiner for TensorRT in ONNX' in capsys.readouterr().out
    assert len(gpu.asked) == 1
    assert main(['build-engine', 'nonsense']) == 2
    assert "no model 'nonsense'; models/manifest.yaml has: " in ' '.join(capsys.readouterr().err.split())
    monkeypatch.setattr(onnx_runtime, 'gpu_name', lambda: '')
    assert main(['build-engine', 'center_refiner']) == 2
    assert 'there is no NVIDIA GPU here' in capsys.readouterr().err
