"""The human hand as URDF, read by another reader."""

import numpy as np
import pytest

from hand_pose_ros.cli.main import main
from hand_pose_ros.geometry.joints import JOINTS, SIDES, hand_size
from hand_pose_ros.hand_model.kinematics import BONE_JOINTS, DOF_NAMES, LOWER, UPPER
from hand_pose_ros.hand_model.model import load_hand_model

yourdfpy = pytest.importorskip('yourdfpy', reason='yourdfpy is not installed')


@pytest.mark.parametrize('side, size', [('right', 0.07), ('left', None)])
def test_it_moves_as_the_hand_model_does(tmp_path, capsys, side, size):
    arguments = ['--size', str(size)] if size else []
    assert main(['urdf', '--side', side, '--out', str(tmp_path / 'new'), *arguments]) == 0
    path = tmp_path / 'new' / f'{side}_hand.urdf'
    assert capsys.readouterr().out.strip() == str(path)
    urdf = yourdfpy.URDF.load(str(path))
    assert urdf.validate()
    assert urdf.base_link == f'{side}_hand_wrist'
    assert all(link.startswith(f'{side}_hand_model_') for link in urdf.link_map if link != urdf.base_link)
    assert sorted(urdf.actuated_joint_names) == sorted(f'{side}_{name}' for name in DOF_NAMES)
    for name, low, high in zip(DOF_NAMES, LOWER, UPPER):
        limit = urdf.joint_map[f'{side}_{name}'].limit
        assert (limit.lower, limit.upper) == pytest.approx((low, high), abs=1e-5)
    model = load_hand_model() if side == 'right' else load_hand_model().mirrored()
    scale = size / hand_size(model.joints) if size else 1.0
    rng = np.random.default_rng(0)
    for _ in range(3):
        angles = rng.uniform(LOWER, UPPER)
        urdf.update_cfg({f'{side}_{name}': angle for name, angle in zip(DOF_NAMES, angles)})
        hand = model.pose(angles)
        found = np.array([urdf.get_transform(f'{side}_hand_model_{joint}') for joint in JOINTS])
        expected = (hand.joints - hand.joints[0]) @ hand.rotations[0] * scale
        assert np.allclose(found[:, :3, 3], expected, atol=1e-6)
        bones = list(BONE_JOINTS)
        assert np.allclose(found[bones, :3, :3], (hand.rotations[0].T @ hand.rotations)[bones], atol=1e-6)


@pytest.mark.parametrize('side', SIDES)
def test_its_meshes_make_up_the_hand(tmp_path, side):
    main(['urdf', '--side', side, '--out', str(tmp_path)])
    model = load_hand_model() if side == 'right' else load_hand_model().mirrored()
    urdf = yourdfpy.URDF.load(str(tmp_path / f'{side}_hand.urdf'))
    urdf.update_cfg({f'{side}_{name}': angle for name, angle in zip(DOF_NAMES, model.rest_angles)})
    meshes = urdf.scene.dump()
    assert len(meshes) == 16 and sum(len(mesh.faces) for mesh in meshes) == len(model.faces)
    # At rest every vertex is where the model has it, and triangles look outwards.
    whole = np.concatenate([mesh.triangles for mesh in meshes])
    expected = ((model.vertices - model.joints[0]) @ model.frames[0])[model.faces]
    assert np.allclose(sorted(whole.mean(1)[:, 0]), sorted(expected.mean(1)[:, 0]), atol=1e-5)
    volume = np.einsum('ij,ij->i', whole[:, 0], np.cross(whole[:, 1], whole[:, 2])).sum() / 6
    assert volume == pytest.approx(
        np.einsum('ij,ij->i', expected[:, 0], np.cross(expected[:, 1], expected[:, 2])).sum() / 6, rel=1e-3
    )
    assert volume > 0


def test_a_size_in_another_unit_is_refused(tmp_path, capsys):
    assert main(['urdf', '--side', 'right', '--size', '95', '--out', str(tmp_path)]) == 2
    assert capsys.readouterr().err.strip() == 'hand-pose: error: --size 95: a palm is 0.03 to 0.2 m long'
    assert not list(tmp_path.iterdir())
