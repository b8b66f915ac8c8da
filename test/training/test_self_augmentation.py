"""Self-supervised augmentation: fitted meshes drawn again, of other shape, from other sides, with their own colors."""

import numpy as np
import pytest

torch = pytest.importorskip('torch', reason='training requirements are not installed: make setup-training')
pytest.importorskip('scipy', reason='training requirements are not installed: make setup-training')

from training_aids import one_thread  # noqa: E402, F401

from hand_pose_ros.geometry.joints import hand_size  # noqa: E402
from training.datasets.color_crops import Backgrounds  # noqa: E402
from training.datasets.frames import DatasetError  # noqa: E402
from training.engine.plan import plan  # noqa: E402
from training.hand_layer import split  # noqa: E402
from training.networks.dense_color import DenseHand  # noqa: E402
from training.recipe import load_recipe  # noqa: E402
from training.tasks import color_pose, self_augmentation  # noqa: E402
from training.tasks.color_pose import to_input  # noqa: E402
from training.tasks.protocol import DataSource  # noqa: E402
from training.tasks.self_augmentation import Seeds, crops, draw, fit_seeds, paint, vertex_colors  # noqa: E402

SIZE = 96

pytestmark = pytest.mark.usefixtures('one_thread')


@pytest.fixture(scope='module')
def network() -> DenseHand:
    torch.manual_seed(0)
    return DenseHand(depth=18, width=4, input_size=SIZE)


@pytest.fixture(scope='module')
def hand(network) -> tuple[torch.Tensor, torch.Tensor, np.ndarray]:
    """Parameters (1, 63), colors of the vertices by where they lie on the hand, and the picture of both on gray."""
    parameters = network.start.detach().clone()[None]
    split(parameters)['quaternion'][:] = torch.tensor([0.1, 0.7, 0.2, 0.6])
    with torch.no_grad():
        hands = network.hand(parameters)
        split(parameters)['translation'][:, :2] -= network.project(hands, parameters).mean(1)
        hands = network.hand(parameters)
        rest = hands.rest[0]
        colors = 255 * (rest - rest.amin(0)) / (rest.amax(0) - rest.amin(0))
        image, _ = paint(network.hand, hands.seen[0], hands.vertices[0, :, 2], colors, np.full((SIZE, SIZE, 3), 128))
    return parameters, colors, image


@pytest.fixture(scope='module')
def seeds(network, hand, tmp_path_factory) -> str:
    path = tmp_path_factory.mktemp('seeds') / 'seeds.npz'
    np.savez(
        path,
        images=np.stack([hand[2]] * 2),
        parameters=hand[0].repeat(2, 1).numpy(),
        sizes=np.float32([0.09, 0.1]),
        hand_model='',
    )
    return str(path)


def test_the_nearest_triangle_is_drawn():
    """Two triangles one before the other, at an angle: which is nearer changes across the picture."""
    seen = torch.tensor([[-0.9, -0.9], [0.9, -0.9], [0.0, 0.9]] * 2)
    depth = torch.tensor([1.0, 3.0, 2.0, 2.0, 2.0, 2.0])
    drawing = draw(seen, depth, torch.tensor([[0, 1, 2], [3, 4, 5]]), 40)
    assert drawing.faces[5, 8] == 0 and drawing.faces[5, 31] == 1 and drawing.faces[38, 2] == -1
    shown = drawing.faces >= 0
    assert drawing.weights[shown].sum(1) == pytest.approx(1, abs=1e-5)
    u = (drawing.weights[shown][:, :, None] * seen[:3]).sum(1)[:, 0]
    assert u == pytest.approx(((shown.nonzero()[:, 1] + 0.5) / 20 - 1).numpy(), abs=1e-5)


def test_vertices_get_their_colors_back(network, hand):
    parameters, colors, image = hand
    hands = network.hand(parameters)
    found = vertex_colors(network.hand, image, hands.seen[0], hands.vertices[0, :, 2])
    assert found.shape == colors.shape and torch.isfinite(found).all()
    errors = (found - colors).abs().amax(1)
    # Half of the hand faces the camera; the rest has the colors of what is around it.
    assert (errors < 20).float().mean() > 0.4 and errors.mean() < 60


def test_a_varied_seed_is_the_hand_from_another_side_with_its_labels(seeds, network):
    stored, rng = Seeds(seeds), np.random.default_rng(0)
    colors = stored.colors(0)
    pictures = []
    for _ in range(5):
        image, joints, points, mask, size = stored.vary(0, colors, rng, Backgrounds(''))
        assert image.shape == (SIZE, SIZE, 3) and image.dtype == np.uint8 and size == pytest.approx(0.09)
        assert hand_size(joints) == pytest.approx(1, abs=0.02) and joints[0] == pytest.approx(0)
        assert np.abs(points.mean(0)).max() < 0.2 and np.abs(points).max() < 1.2
        # Joints lie in the hand: its mask covers nearly all of them.
        u, v = np.clip(((points + 1) * SIZE / 2 - 0.5).round().astype(int), 0, SIZE - 1).T
        assert (mask[v, u] > 0.5).sum() >= 18 and 0.03 < mask.mean() < 0.6
        pictures.append(joints)
    for other in pictures[1:]:
        assert np.abs(pictures[0] - other).max() > 0.1


def source(seed: int, batch: int):
    """Batches of a source: white pictures."""
    while True:
        yield (
            np.full((batch, SIZE, SIZE, 3), 255, np.uint8),
            np.zeros((batch, 21, 3), np.float32),
            np.zeros((batch, 21, 2), np.float32),
            np.ones((batch, SIZE, SIZE), np.float32),
            np.full(batch, 0.08, np.float32),
        )


def test_a_share_of_every_batch_is_drawn_three_of_each_seed(seeds, monkeypatch):
    drawn = []
    vary = Seeds.vary
    monkeypatch.setitem(color_pose.SOURCES, 'white', DataSource(source))
    monkeypatch.setattr(Seeds, 'vary', lambda self, index, *rest: drawn.append(index) or vary(self, index, *rest))
    batches = crops(3, 6, seeds, 'white', {}, per_seed=3, share=0.5)
    for _ in range(2):
        images, joints, points, masks, sizes = next(batches)
        assert images.dtype == np.uint8 and (images[3:] == 255).all() and not (images[:3] == 255).all()
        assert [part.dtype for part in (joints, points, masks, sizes)] == [np.float32] * 4
    assert sorted(drawn) == [0, 0, 0, 1, 1, 1] and drawn[0] == drawn[1] == drawn[2]
    plain = next(crops(3, 6, seeds, 'white', {}, share=0.0))
    assert (plain[0] == 255).all()
    with pytest.raises(DatasetError, match='nothing.npz: no seeds.*makes them'):
        next(crops(3, 6, 'nothing.npz', 'white', {}))


def test_seeds_are_the_fits_that_lie_on_their_images(network, hand):
    _, _, image = hand
    with torch.no_grad():
        found = network.estimate(to_input(torch.from_numpy(image)[None])).parameters
        near = network.project(network.hand(found), found)[0].numpy()
    far = np.random.default_rng(0).uniform(-3, 3, (21, 2)).astype(np.float32)
    unknown = np.where(np.arange(21)[:, None] == 4, np.nan, near).astype(np.float32)

    def batches():
        while True:
            yield (np.stack([image] * 3), None, np.stack([near, far, unknown]), None, np.float32([0.08, 0.09, 0.1]))

    images, kept, sizes = fit_seeds(network, batches(), 3, within=5, steps=3)
    assert len(images) == 1 and kept.shape == (1, 63) and sizes == pytest.approx([0.08])


def test_the_recipe_begins_where_the_other_ends():
    first, second = load_recipe('dense_freihand'), load_recipe('dense_freihand_self')
    assert second.samples == first.samples - 20 * first.epoch
    options = second.data_options
    assert options['per_seed'] == 3 and options['source'] == first.data == 'frames'
    assert options['source_options'] == first.data_options
    assert second.network == first.network and second.start
    assert plan(second.without_start()).source.draw is self_augmentation.crops
