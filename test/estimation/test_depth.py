"""Poses from cubes of depth: sides are mirrors of one another, turned crops give the same place, other sizes fit."""

import numpy as np
import pytest

from hand_pose_ros.core.frame import CameraFrame
from hand_pose_ros.estimation.depth import DepthPoseEstimator
from hand_pose_ros.geometry.camera import Camera
from hand_pose_ros.imaging.images import DepthImage
from hand_pose_ros.inference.facts import FACTS
from hand_pose_ros.inference.models import ModelError
from hand_pose_ros.regions.cube import CubeRegion
from hand_pose_ros.settings import ModelSettings

CAMERA = Camera(320, 240, 300, 300, 159.5, 119.5)


def crops_of(estimator, depth, regions):
    return np.stack([region.cut(DepthImage(depth), CAMERA, estimator.input_size) for region in regions])[:, None]


def test_a_left_hand_is_estimated_as_the_mirror_image_of_a_right_one():
    depth = np.random.default_rng(0).uniform(0.45, 0.55, (240, 320)).astype(np.float32)
    estimator = DepthPoseEstimator(ModelSettings(threads=1))
    # Whole pixels on both sides of the principal column, so that nearest sampling mirrors exactly.
    right = CubeRegion(np.array([10 / 300 * 0.5, 0, 0.5]), 0.09, 'right')
    left = CubeRegion(np.array([-10 / 300 * 0.5, 0, 0.5]), 0.09, 'left')
    images = {'right': depth, 'left': np.ascontiguousarray(depth[:, ::-1])}
    found = {}
    for region in (right, left):
        crops = crops_of(estimator, images[region.side], [region])
        found[region.side] = estimator.estimate_crops(crops, [region])[0], crops
    assert (found['right'][1] == found['left'][1]).mean() > 0.97
    mirrored = found['left'][0].joints * (-1, 1, 1)
    assert np.linalg.norm(mirrored - found['right'][0].joints, axis=1).mean() < 0.005


class _NearestPixel:
    """A network that says of every joint that it is where the crop is nearest, and how it was shown it."""

    def __call__(self, crops):
        size = crops.shape[-1]
        rows, columns = np.unravel_index(crops.reshape(len(crops), -1).argmin(1), (size, size))
        place = np.stack([2 * (columns + 0.5) / size - 1, 2 * (rows + 0.5) / size - 1, crops.min((1, 2, 3))], 1)
        return np.repeat(place[:, None], 21, 1), np.full((len(crops), 21), 0.1), np.zeros(len(crops))


@pytest.mark.parametrize('turns', [(0,), (1,), (2,), (3,), (0, 1, 2, 3)])
def test_a_crop_that_is_shown_turned_gives_joints_in_the_same_place(turns):
    depth = np.full((240, 320), 0.52, np.float32)
    depth[100:104, 190:194] = 0.47
    estimator = DepthPoseEstimator(ModelSettings(threads=1))
    estimator.engine = _NearestPixel()
    regions = [CubeRegion(np.array([0.02, -0.01, 0.5]), 0.09, side) for side in ('right', 'left')]
    found = estimator.estimate_crops(crops_of(estimator, depth, regions), regions, turns)
    where = CAMERA.unproject(np.array([191.5, 101.5]), 0.47)
    assert len(found) == 2
    for one in found:
        assert np.abs(one.joints - where).max() < 0.006


@pytest.mark.parametrize('engine', ['openvino', 'onnxruntime'])
def test_a_pose_network_of_another_size_gets_crops_of_its_size(engine, tmp_path):
    """A network of one's own may take 128 pixels, as SRN's does."""
    onnx = pytest.importorskip('onnx', reason='training requirements are not installed: make setup-training')
    helper, size = onnx.helper, 128
    constants = {
        'joints': np.zeros((1, 21, 3), np.float32),
        'sigma': np.full((1, 21), 0.1, np.float32),
        'right': np.zeros(1, np.float32),
    }
    graph = helper.make_graph(
        [
            helper.make_node('ReduceMean', ['x'], ['mean'], axes=[1, 2, 3], keepdims=0),
            helper.make_node('Add', ['mean', 'zero'], ['right_out']),
            helper.make_node('Unsqueeze', ['mean', 'one'], ['column']),
            helper.make_node('Add', ['column', 'sigma'], ['sigma_out']),
            helper.make_node('Unsqueeze', ['column', 'two'], ['block']),
            helper.make_node('Add', ['block', 'joints'], ['joints_out']),
        ],
        'own',
        [helper.make_tensor_value_info('x', onnx.TensorProto.FLOAT, ['batch', 1, size, size])],
        [
            helper.make_tensor_value_info('joints_out', onnx.TensorProto.FLOAT, ['batch', 21, 3]),
            helper.make_tensor_value_info('sigma_out', onnx.TensorProto.FLOAT, ['batch', 21]),
            helper.make_tensor_value_info('right_out', onnx.TensorProto.FLOAT, ['batch']),
        ],
        [
            *(onnx.numpy_helper.from_array(constants[name], name) for name in ('joints', 'sigma')),
            onnx.numpy_helper.from_array(constants['right'], 'zero'),
            onnx.numpy_helper.from_array(np.array([1]), 'one'),
            onnx.numpy_helper.from_array(np.array([2]), 'two'),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid('', 13)], ir_version=9)
    onnx.helper.set_model_props(model, {FACTS: '{"task": "pose"}'})
    onnx.save(model, tmp_path / 'own.onnx')
    estimator = DepthPoseEstimator(ModelSettings(model=str(tmp_path / 'own.onnx'), engine=engine, threads=1))
    assert estimator.input_size == size
    frame = CameraFrame(CAMERA, 0.0, depth=DepthImage(np.full((240, 320), 0.5, np.float32)))
    (found,) = estimator.estimate(frame, [CubeRegion(np.array([0, 0, 0.5]), 0.09, 'left')])
    assert found.joints.shape == (21, 3) and np.isfinite(found.joints).all() and (found.sigma > 0).all()


def test_a_network_for_color_is_no_pose_network(tmp_path):
    onnx = pytest.importorskip('onnx', reason='training requirements are not installed: make setup-training')
    helper = onnx.helper
    graph = helper.make_graph(
        [helper.make_node('Relu', ['x'], ['y'])],
        'color',
        [helper.make_tensor_value_info('x', onnx.TensorProto.FLOAT, ['batch', 3, 128, 128])],
        [helper.make_tensor_value_info('y', onnx.TensorProto.FLOAT, ['batch', 3, 128, 128])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid('', 18)], ir_version=9)
    onnx.helper.set_model_props(model, {FACTS: '{"task": "pose"}'})
    onnx.save(model, tmp_path / 'color.onnx')
    with pytest.raises(ModelError, match=r'color\.onnx takes 3 channels of 128x128'):
        DepthPoseEstimator(ModelSettings(model=str(tmp_path / 'color.onnx'), engine='onnxruntime'))


@pytest.mark.parametrize(
    'outputs, words',
    [
        ({'y': np.zeros((1, 21, 3))}, 'is no pose network: its outputs of a hand have the shapes'),
        ({'j': np.zeros((1, 21, 3)), 's': np.zeros((1, 21)), 'r': np.zeros(1)}, ''),
        ({'j': np.full((1, 21, 3), np.nan), 's': np.zeros((1, 21)), 'r': np.zeros(1)}, 'values that are not finite'),
    ],
    ids=['one output', 'as it must be', 'nan'],
)
def test_a_network_is_tried_out_before_it_is_taken(tmp_path, outputs, words):
    onnx = pytest.importorskip('onnx', reason='training requirements are not installed: make setup-training')
    helper, kind = onnx.helper, onnx.TensorProto.FLOAT
    nodes = [helper.make_node('ReduceMean', ['x'], ['mean'], axes=[1, 2, 3], keepdims=0)]
    nodes.append(helper.make_node('Mul', ['mean', 'nought'], ['zero']))
    constants, described = [onnx.numpy_helper.from_array(np.zeros(1, np.float32), 'nought')], []
    for name, value in outputs.items():
        constants.append(onnx.numpy_helper.from_array(value.astype(np.float32), f'{name}_value'))
        constants.append(onnx.numpy_helper.from_array(np.array([-1] + [1] * (value.ndim - 1)), f'{name}_shape'))
        nodes.append(helper.make_node('Reshape', ['zero', f'{name}_shape'], [f'{name}_zero']))
        nodes.append(helper.make_node('Add', [f'{name}_zero', f'{name}_value'], [name]))
        described.append(helper.make_tensor_value_info(name, kind, ['batch', *value.shape[1:]]))
    given = helper.make_tensor_value_info('x', kind, ['batch', 1, 96, 96])
    model = helper.make_model(
        helper.make_graph(nodes, 'own', [given], described, constants),
        opset_imports=[helper.make_opsetid('', 13)],
        ir_version=9,
    )
    helper.set_model_props(model, {FACTS: '{"task": "pose"}'})
    onnx.save(model, tmp_path / 'own.onnx')
    make = lambda: DepthPoseEstimator(ModelSettings(model=str(tmp_path / 'own.onnx'), engine='onnxruntime', threads=1))  # noqa: E731
    if not words:
        assert make().input_size == 96
        return
    with pytest.raises(ModelError, match=words):
        make()
