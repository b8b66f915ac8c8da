"""Soft silhouettes against ray casting, and their gradients against finite differences and by what descent does."""

import numpy as np
import pytest

torch = pytest.importorskip('torch', reason='training requirements are not installed: make setup-training')
pytest.importorskip('embreex', reason='training requirements are not installed: make setup-training')

from embreex import rtcore_scene  # noqa: E402
from embreex.mesh_construction import TriangleMesh  # noqa: E402
from training_aids import one_thread  # noqa: E402, F401

from hand_pose_ros.hand_model.model import load_hand_model  # noqa: E402
from training.hand_layer import PARAMETERS, HandLayer, split  # noqa: E402
from training.rasterizer import ZBuffer  # noqa: E402
from training.silhouette import Silhouette, silhouette_overlap  # noqa: E402

SIZE = 64

pytestmark = pytest.mark.usefixtures('one_thread')


@pytest.fixture(scope='module')
def layer() -> HandLayer:
    return HandLayer(load_hand_model())


def drawn(layer: HandLayer, count: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    parameters = torch.zeros(count, PARAMETERS)
    part = split(parameters)
    part['pose'][:] = (layer.low + torch.rand(count, 45, generator=generator) * (layer.high - layer.low)) / 2
    part['quaternion'][:] = torch.randn(count, 4, generator=generator)
    part['scale'][:] = 0.6
    part['translation'][:, 2] = 0.2
    seen = layer(parameters).seen
    part['translation'][:, :2] -= (seen.amin(1) + seen.amax(1)) / 2
    return parameters


def cast(seen: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Mask (S, S), bool: rays along z through the pixels' middles at vertices (V, 2) in crop coordinates."""
    scene = rtcore_scene.EmbreeScene()
    corners = np.concatenate([seen, np.zeros((len(seen), 1))], 1)[faces].astype(np.float32)
    mesh = TriangleMesh(scene, corners)
    line = (np.arange(SIZE) + 0.5) / SIZE * 2 - 1
    u, v = np.meshgrid(line, line)
    origins = np.stack([u.ravel(), v.ravel(), np.full(u.size, -1)], 1).astype(np.float32)
    hits = scene.run(origins, np.tile(np.float32([0, 0, 1]), (len(origins), 1)))
    del mesh
    return (hits >= 0).reshape(SIZE, SIZE)


def test_silhouettes_are_what_rays_hit(layer):
    seen = layer(drawn(layer, 8)).seen
    found = Silhouette(layer.faces.numpy(), SIZE)(seen)
    assert found.shape == (8, SIZE, SIZE) and found.min() >= 0 and found.max() <= 1
    for mask, points in zip(found, seen):
        true = torch.from_numpy(cast(points.numpy(), layer.faces.numpy()))
        assert true.sum() > 150
        assert silhouette_overlap(mask[None], true[None].float()) > 0.99
        # Soft only near the outline: the middle of the hand has no seams, and nothing is seen far from it.
        inner = -torch.nn.functional.max_pool2d(-true[None].float(), 7, 1, 3)[0] > 0
        assert (mask[inner] > 0.9).all()
        outer = torch.nn.functional.max_pool2d(true[None].float(), 9, 1, 4)[0] == 0
        assert (mask[outer] == 0).all()


def test_what_is_covered_is_what_the_rasterizer_covers(layer):
    """One formula in torch and in numba: but for pixels whose center an edge passes, the same."""
    seen = layer(drawn(layer, 6, seed=1)).seen
    faces = layer.faces.numpy().astype(np.int32)
    covered, _ = Silhouette(layer.faces.numpy(), SIZE).cover((seen + 1) * (SIZE / 2) - 0.5)
    for mask, points in zip(covered.numpy(), seen.numpy()):
        buffer, middle = ZBuffer.empty(SIZE, SIZE), (SIZE - 1) / 2
        flat = np.column_stack([points, np.zeros(len(points))]).astype(np.float32)
        every = np.arange(len(faces), dtype=np.int32)
        buffer.draw(flat, faces, every, (SIZE / 2, SIZE / 2, middle, middle), perspective=False)
        assert mask.sum() > 150 and (mask != (buffer.labels >= 0)).sum() <= 1


def test_area_is_that_of_the_shape():
    """A square's soft area is its area, whole or between pixels, and its outline is at one half."""
    corners = torch.tensor([[[-1.0, -1], [1, -1], [1, 1], [-1, 1]]])
    silhouette = Silhouette(np.array([[0, 1, 2], [0, 2, 3]]), SIZE, softness=0.5)
    for scale in (0.3, 0.31, 0.5123):
        area = silhouette(corners * scale).sum()
        assert area == pytest.approx((scale * SIZE) ** 2, rel=0.02)
    # The edge at -0.5 runs between pixels 15 and 16: half a pixel either way.
    profile = silhouette(corners * 0.5)[0, 32, 13:19]
    assert profile[2] == pytest.approx(1 / (1 + np.e), abs=1e-3) and profile[3] == pytest.approx(
        1 / (1 + 1 / np.e), abs=1e-3
    )
    assert (profile.diff() >= 0).all()


@pytest.mark.parametrize('faces', [[[0, 1, 2], [0, 2, 3]], [[0, 2, 1], [3, 2, 0]], [[1, 0, 2]]])
def test_gradients_are_the_finite_differences(faces):
    """Of a weighted sum of pixels, for every coordinate of a mesh, whichever way its faces are turned."""
    torch.manual_seed(0)
    silhouette = Silhouette(np.array(faces), SIZE, softness=0.7)
    weights = torch.rand(SIZE, SIZE)
    corners = torch.tensor([[[-0.61, -0.52], [0.57, -0.44], [0.47, 0.63], [-0.53, 0.41]]], requires_grad=True)
    (gradient,) = torch.autograd.grad((silhouette(corners) * weights).sum(), corners)
    step = 2e-3
    for vertex in range(len(set(np.ravel(faces)))):
        for axis in range(2):
            moved = torch.zeros_like(corners)
            moved[0, vertex, axis] = step
            values = [float((silhouette(corners.detach() + sign * moved) * weights).sum()) for sign in (1, -1)]
            assert float(gradient[0, vertex, axis]) == pytest.approx(
                (values[0] - values[1]) / (2 * step), rel=0.05, abs=6
            )


def test_a_growing_hand_grows_and_a_moving_one_moves(layer):
    """Gradients of the whole hand: of the area by the scale, and of its first moment by the translation."""
    parameters = drawn(layer, 6, seed=3).requires_grad_()
    silhouette = Silhouette(layer.faces.numpy(), SIZE)
    areas = silhouette(layer(parameters).seen).sum((1, 2))
    (by_scale,) = torch.autograd.grad(areas.sum(), parameters)
    # An area grows with the square of the scale.
    expected = 2 * areas.detach() / parameters.detach()[:, 55 + 4]
    assert by_scale[:, 59] == pytest.approx(expected.numpy(), rel=0.35)
    line = (torch.arange(SIZE) + 0.5) / SIZE * 2 - 1
    moments = (silhouette(layer(parameters).seen) * line).sum((1, 2))
    (by_shift,) = torch.autograd.grad(moments.sum(), parameters)
    assert by_shift[:, 60] == pytest.approx(areas.detach().numpy(), rel=0.35)


def test_descent_finds_a_silhouette_again(layer):
    """From 8 pixels beside and another size, by the silhouette alone."""
    silhouette = Silhouette(layer.faces.numpy(), SIZE, softness=1.0)
    true = drawn(layer, 2, seed=5)
    with torch.no_grad():
        wanted = silhouette(layer(true).seen)
    parameters = true.clone()
    parameters[:, 59] *= 0.85
    parameters[:, 60:62] += torch.tensor([0.12, -0.1])
    place = parameters[:, 59:62].clone().requires_grad_()
    optimizer = torch.optim.Adam([place], 0.015)
    overlaps = []
    for _ in range(30):
        found = silhouette(layer(torch.cat([parameters[:, :59], place, parameters[:, 62:]], 1)).seen)
        overlaps.append(silhouette_overlap(found.detach(), wanted))
        optimizer.zero_grad()
        (found - wanted).square().sum().backward()
        optimizer.step()
    assert (overlaps[-1] > 0.9).all() and (overlaps[-1] > overlaps[0] + 0.2).all()


def test_empty_open_and_far_away_meshes_are_drawn():
    silhouette = Silhouette(np.array([[0, 1, 2], [0, 0, 1]]), SIZE)
    outside = torch.tensor(
        [[[3.0, 3], [4, 3], [3, 4]], [[0.1, 0.1], [0.1, 0.1], [0.1, 0.1]], [[-9.0, -9], [9, -9], [0, 20]]],
        requires_grad=True,
    )
    found = silhouette(outside)
    assert (found[0] == 0).all() and (found[2] == 1).all()
    assert (found[1] > 0.6).sum() == 0
    found.sum().backward()
    assert torch.isfinite(outside.grad).all()
    assert silhouette(torch.zeros(0, 3, 2)).shape == (0, SIZE, SIZE)
