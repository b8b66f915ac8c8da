"""The hand model as a torch layer: the same hand as numpy's, both sides, ours and MANO's; its losses and projection."""

from dataclasses import replace

import numpy as np
import pytest
from synthetic_mano import mano_arrays

torch = pytest.importorskip('torch', reason='training requirements are not installed: make setup-training')

from hand_pose_ros.geometry.joints import hand_size  # noqa: E402
from hand_pose_ros.geometry.rotations import matrices_to_quaternions, random_rotations  # noqa: E402
from hand_pose_ros.hand_model.kinematics import DOF_NAMES, LOWER, UPPER  # noqa: E402
from hand_pose_ros.hand_model.mano import load_mano  # noqa: E402
from hand_pose_ros.hand_model.model import HandModel, load_hand_model  # noqa: E402
from hand_pose_ros.regions.perspective import PerspectiveRegion  # noqa: E402
from training.hand_layer import (  # noqa: E402
    DOF_SLOTS,
    PARAMETERS,
    PARTS,
    HandLayer,
    into_crop,
    quaternion_matrices,
    skeleton_regressor,
    split,
)


@pytest.fixture(scope='module')
def mano(tmp_path_factory) -> dict[str, HandModel]:
    folder = tmp_path_factory.mktemp('mano')
    for side in ('left', 'right'):
        np.savez(folder / f'MANO_{side.upper()}.npz', **mano_arrays(side))
    return {side: load_mano(folder / f'MANO_{side.upper()}.npz') for side in ('left', 'right')}


@pytest.fixture
def model(request, mano) -> HandModel:
    kind, side = request.param
    if kind == 'mano':
        return mano[side]
    return load_hand_model() if side == 'right' else load_hand_model().mirrored()


MODELS = pytest.mark.parametrize(
    'model', [(kind, side) for kind in ('ours', 'mano') for side in ('left', 'right')], indirect=True
)


def drawn(seed: int, count: int = 4) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.uniform(LOWER, UPPER, (count, len(DOF_NAMES))), rng.normal(size=(count, 10))


@MODELS
def test_the_layer_is_numpys_hand(model):
    layer = HandLayer(model)
    angles, shapes = drawn(0)
    pose = layer.pose_of_angles(torch.from_numpy(angles).float())
    vertices, joints = layer.skin(layer.bone_rotations(pose), torch.from_numpy(shapes).float())
    for i, posed in enumerate(map(model.pose, angles, shapes)):
        assert np.abs(vertices[i].numpy() - posed.vertices).max() < 1e-5
        assert np.abs(joints[i].numpy() - posed.joints).max() < 1e-5


@MODELS
def test_parameters_turn_and_scale_about_the_wrist(model):
    layer = HandLayer(model)
    angles, shapes = drawn(1, 2)
    turns = random_rotations(np.random.default_rng(2), 2)
    parameters = torch.zeros(2, PARAMETERS)
    part = split(parameters)
    part['pose'][:] = layer.pose_of_angles(torch.from_numpy(angles).float())
    part['shape'][:] = torch.from_numpy(shapes)
    part['quaternion'][:] = torch.from_numpy(matrices_to_quaternions(turns)) * 2.5
    hands = layer(parameters)
    for i in range(2):
        posed = model.pose(angles[i], shapes[i], turns[i])
        size = hand_size(posed.joints)
        assert hands.vertices[i].numpy() == pytest.approx((posed.vertices - posed.joints[0]) / size, abs=2e-4)
        assert hands.joints[i].numpy() == pytest.approx((posed.joints - posed.joints[0]) / size, abs=2e-4)
        assert hand_size(hands.joints[i].numpy()) == pytest.approx(1, abs=1e-4)


def test_mirrored_models_take_the_same_pose():
    right, left = HandLayer(load_hand_model()), HandLayer(load_hand_model().mirrored())
    pose, shape = torch.randn(3, 45) * 0.3, torch.randn(3, 10)
    first, _ = right.skin(right.bone_rotations(pose), shape)
    second, _ = left.skin(left.bone_rotations(pose), shape)
    assert torch.allclose(first * torch.tensor([-1.0, 1, 1]), second, atol=1e-6)
    assert right.side == 'right' and left.side == 'left'


def test_the_layout_is_the_papers():
    assert PARTS == {'pose': 45, 'shape': 10, 'quaternion': 4, 'scale': 1, 'translation': 3} and PARAMETERS == 63
    assert len(set(DOF_SLOTS)) == len(DOF_NAMES)
    # Flexion of the index's middle joint is the fifth bone's first number.
    assert DOF_SLOTS[DOF_NAMES.index('index_pip_flexion')] == 3 * 4
    model = load_hand_model()
    with pytest.raises(ValueError, match='11 shape parameters'):
        HandLayer(replace(model, vertex_basis=np.zeros((1597, 3, 11), np.float32), joint_basis=np.zeros((21, 3, 11))))


def test_quaternions_are_x_y_z_w():
    matrices = random_rotations(np.random.default_rng(0), 20)
    found = quaternion_matrices(torch.from_numpy(matrices_to_quaternions(matrices)))
    assert np.allclose(found.numpy(), matrices, atol=1e-6)


def test_scale_and_translation_are_a_perspective_camera():
    """With the pull that a camera's distance gives, a point is seen where a crop's camera sees it."""
    model = load_hand_model()
    joints = model.pose(*(values[0] for values in drawn(4, 1))).joints + (0.05, -0.02, 0.45)
    crop, size = PerspectiveRegion.of_hand(joints), hand_size(joints)
    turned = crop.from_camera(joints)
    wrist = turned[0]
    scale = size / (crop.reach * wrist[2])
    seen = into_crop(
        torch.from_numpy((turned - wrist) / size)[None],
        torch.tensor([[scale]]),
        torch.tensor([[*(wrist[:2] / wrist[2] / crop.reach), size / wrist[2]]]),
    )
    # What is left is the wrist's own offset from the line of sight, which the pull also acts on.
    direct = crop.project(joints)
    shifted = direct - direct[0] * (wrist[2] / turned[:, 2])[:, None]
    assert (seen[0].numpy() - direct[0]) == pytest.approx(shifted, abs=1e-9)
    weak = into_crop(torch.tensor([[[0.5, -0.25, 3.0]]]), torch.tensor([[0.6]]), torch.tensor([[0.1, 0.2, 0.0]]))
    assert weak.flatten().tolist() == pytest.approx([0.4, 0.05])


@MODELS
def test_losses_are_zero_where_they_should_be_and_pull_back(model):
    layer = HandLayer(model)
    rest, _ = layer.rest(torch.randn(2, 10))
    assert layer.laplacian_loss(rest, rest).tolist() == [0, 0]
    turned = rest @ torch.from_numpy(random_rotations(np.random.default_rng(0), 1)[0]).float() + 0.3
    assert layer.laplacian_loss(turned, rest).max() < 1e-4
    rough = rest + 0.002 * torch.randn_like(rest)
    assert layer.laplacian_loss(rough, rest).min() > 10 * layer.laplacian_loss(turned, rest).max()

    inside = layer.pose_of_angles(torch.from_numpy(drawn(5)[0]).float())
    assert layer.articulation_loss(inside) == pytest.approx(0, abs=1e-9)
    bent = inside.clone().requires_grad_()
    slot = DOF_SLOTS[DOF_NAMES.index('index_pip_flexion')]
    with torch.no_grad():
        bent[:, slot] = layer.high[slot] + 0.2
        bent[:, 3 * 4 + 2] = -0.4  # a middle joint does not roll
    loss = layer.articulation_loss(bent)
    assert loss.tolist() == pytest.approx([0.2**2 + 0.3**2] * 4, rel=1e-3)
    loss.sum().backward()
    assert (bent.grad[:, slot] > 0).all() and (bent.grad[:, 3 * 4 + 2] < 0).all()
    assert bent.grad.count_nonzero() == 8


def test_a_posed_hand_is_smoother_than_a_broken_one():
    layer = HandLayer(load_hand_model())
    angles, shapes = drawn(6, 8)
    vertices, _ = layer.skin(
        layer.bone_rotations(layer.pose_of_angles(torch.from_numpy(angles).float())), torch.from_numpy(shapes).float()
    )
    broken, _ = layer.skin(layer.bone_rotations(2.5 * torch.randn(8, 45)), torch.from_numpy(shapes).float())
    rest, _ = layer.rest(torch.from_numpy(shapes).float())
    assert layer.laplacian_loss(vertices, rest).max() < layer.laplacian_loss(broken, rest).min()


@pytest.mark.parametrize('model', [('ours', 'right'), ('ours', 'left'), ('mano', 'right')], indirect=True)
def test_the_skeleton_regressor_finds_the_joints_of_poses_it_has_not_seen(model):
    layer = HandLayer(model)
    weights = skeleton_regressor(layer)
    assert weights.shape == (21, len(model.vertices)) and weights.sum(1).tolist() == pytest.approx([1] * 21, abs=1e-4)
    angles, shapes = drawn(7, 30)
    vertices, joints = layer.skin(
        layer.bone_rotations(layer.pose_of_angles(torch.from_numpy(angles).float())), torch.from_numpy(shapes).float()
    )
    errors = 1000 * (weights @ vertices - joints).norm(dim=2)
    assert errors.mean() < 1.5 and errors.max() < 8


def test_gradients_reach_all_63_parameters():
    layer = HandLayer(load_hand_model())
    parameters = torch.cat(
        [0.1 * torch.randn(2, 45), torch.randn(2, 10), torch.randn(2, 4), torch.ones(2, 1), torch.full((2, 3), 0.1)], 1
    ).requires_grad_()
    hands = layer(parameters)
    (hands.seen.square().sum() + hands.vertices.square().sum()).backward()
    assert (parameters.grad.abs().amin(0) > 0).all()
    assert torch.isfinite(parameters.grad).all()
