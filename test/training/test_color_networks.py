"""Networks for color images: the papers' sizes, what their losses see, refinement, recipes, training from files,
export.
"""

import json
from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip('torch', reason='training requirements are not installed: make setup-training')

from freihand_files import write_freihand  # noqa: E402
from synthetic_mano import mano_arrays  # noqa: E402
from training_aids import InlineFeeder, build, one_thread, recipe_of  # noqa: E402, F401

from hand_pose_ros.evaluation.scoring import align  # noqa: E402
from training.datasets.color_crops import ColorAugmentation  # noqa: E402
from training.engine import trainer  # noqa: E402
from training.engine.schedules import learning_rate_factor  # noqa: E402
from training.engine.weights import load_backbone, load_weights, read_trained  # noqa: E402
from training.export.to_onnx import export, input_channels  # noqa: E402
from training.hand_layer import PARAMETERS, split  # noqa: E402
from training.networks import color_regression, dense_color  # noqa: E402
from training.networks.color_regression import ColorRegression  # noqa: E402
from training.networks.dense_color import WEIGHTS, DenseHand, points_error, refine  # noqa: E402
from training.networks.joint_attention import JointAttention  # noqa: E402
from training.networks.losses import aligned_loss, mirror_some, surface_loss  # noqa: E402
from training.networks.resnet import ResNet  # noqa: E402
from training.recipe import Recipe, load_recipe  # noqa: E402
from training.tasks import color_pose, dense_pose  # noqa: E402

LIGHT = {'depth': 18, 'width': 8}

pytestmark = pytest.mark.usefixtures('one_thread')


@pytest.fixture(scope='module')
def dense() -> DenseHand:
    torch.manual_seed(0)
    return DenseHand(**LIGHT)


def size_of(module: torch.nn.Module) -> int:
    return sum(weight.numel() for weight in module.parameters())


# ---- direct regression ----


@pytest.mark.parametrize(
    ('depth', 'count', 'channels'),
    [(18, 11_176_512, 512), (34, 21_284_672, 512), (50, 23_508_032, 2048), (101, 42_500_160, 2048)],
)
def test_resnets_have_the_well_known_sizes(depth, count, channels):
    with torch.device('meta'):
        network = ResNet(depth)
    assert size_of(network) == count and network.channels[-1] == channels
    with pytest.raises(ValueError, match='depth of 18, 26, 34, 50, 101, not 20'):
        ResNet(20)


def test_features_are_at_a_4th_to_a_32nd():
    maps = ResNet(18, width=8).eval()(torch.zeros(1, 3, 128, 128))
    assert [tuple(found.shape[1:]) for found in maps] == [(8, 32, 32), (16, 16, 16), (32, 8, 8), (64, 4, 4)]


@pytest.mark.parametrize(
    'options',
    [
        {'depths': [50]},
        {'depths': [18, 34]},
        {'depths': [18], 'head': 'pixels'},
        {'depths': [18], 'head': 'graph'},
        {'depths': [18], 'input_size': 96},
        {'depths': [18], 'head': 'graph', 'input_size': 160},
        {'depths': [18], 'head': 'graph', 'head_options': {'attention': 2}},
    ],
)
def test_every_weight_is_trained_and_outputs_are_what_the_runtime_takes(options):
    network = ColorRegression(**{'width': 8} | options)
    size = network.input_size
    torch.manual_seed(0)
    image, joints, points = torch.rand(4, 3, size, size), torch.randn(4, 21, 3), torch.rand(4, 21, 2)
    surface = torch.randint(0, 256, (4, size // 8, size // 8, 5), dtype=torch.uint8)
    value = network.loss(image, joints, points, surface, mirrored=0.5, surface_weight=0.3)
    value.backward()
    assert torch.isfinite(value)
    assert not [name for name, weight in network.named_parameters() if weight.grad is None]
    with torch.no_grad():
        found = dict(zip(network.outputs, network.eval()(image)))
    assert {name: tuple(part.shape) for name, part in found.items()} == {
        'joints': (4, 21, 3),
        'points': (4, 21, 2),
        'spread': (4, 21),
        'right': (4,),
    }
    assert (found['spread'] > 0).all()


def test_a_pipeline_shows_the_estimate_to_the_next_network():
    torch.manual_seed(0)
    network = ColorRegression([18, 18], width=8).eval()
    stage = network.stages[1]
    points = torch.zeros(1, 21, 2)
    points[0, 3] = torch.tensor([0.5, -0.25])
    joints = torch.zeros(1, 21, 3)
    joints[0, 3, 2] = -0.7
    maps = stage.show(joints, points)[0]
    assert maps.shape == (42, 32, 32)
    row, column = divmod(int(maps[3].argmax()), 32)
    # The middle of pixel i lies at (i + 0.5) / 16 - 1.
    assert (column, row) in {(23, 11), (23, 12), (24, 11), (24, 12)} and maps[3].max() > 0.8
    assert maps[21 + 3] == pytest.approx(-0.7 * maps[3]) and (maps[21 + 4] == 0).all()
    # With nothing to add, the second network's estimate is the first's; one loss trains both.
    with torch.no_grad():
        for weight in stage.head.parameters():
            weight.zero_()
        (first, second), *_ = network.forward_stages(torch.rand(2, 3, 128, 128))
    assert torch.equal(first[0], second[0]) and torch.equal(first[1], second[1])
    image = torch.rand(2, 3, 128, 128)
    found, *_ = network.forward_stages(image)
    torch.nn.init.normal_(stage.head.linear.weight)
    (gradient,) = torch.autograd.grad(
        network.forward_stages(image)[0][1][0].sum(), network.stages[0].head.linear.weight
    )
    assert gradient.abs().sum() > 0, 'the last estimate depends on the first through what is shown'


@pytest.mark.parametrize(
    'options',
    [
        {},
        {'head': 'pixels'},
        {'head': 'graph'},
        {'depths': [18, 18]},
        {'head': 'graph', 'head_options': {'attention': 1}},
    ],
)
def test_direct_regression_learns_a_batch(options):
    torch.manual_seed(0)
    network = ColorRegression(**{'depths': [18], 'width': 8} | options)
    image, joints, points = torch.rand(4, 3, 128, 128), torch.randn(4, 21, 3), torch.rand(4, 21, 2) - 0.5
    optimizer = torch.optim.Adam(network.parameters(), 3e-3)
    values = []
    for _ in range(30):
        value = network.loss(image, joints, points, heads_weight=0, mirrored=0)
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        values.append(float(value.detach()))
    assert values[-1] < 0.7 * values[0]


def test_unknown_joints_and_mirrored_images_are_nobodys_error():
    torch.manual_seed(0)
    network = ColorRegression([18], width=8)
    image, joints, points = torch.rand(3, 3, 128, 128), torch.randn(3, 21, 3), torch.rand(3, 21, 2)
    joints[:, 5], points[:, 9] = torch.nan, torch.nan
    value = network.loss(image, joints, points, mirrored=0)
    assert torch.isfinite(value)
    joints[0, 5], points[1, 9] = 1e3, torch.nan
    assert network.loss(image, joints, points, mirrored=0) > value + 1
    mirrored, right = mirror_some(image, 0.99)
    assert right[0] and not right[1:].all()
    assert torch.equal(mirrored[~right], image[~right].flip(3)) and torch.equal(mirrored[right], image[right])
    with pytest.raises(ValueError, match="loss 'l3'"):
        network.loss(image, joints, points, kind='l3')
    with pytest.raises(ValueError, match="head 'dense'"):
        ColorRegression(head='dense')


def zero(*layers: torch.nn.Module) -> None:
    for layer in layers:
        for weight in layer.parameters():
            torch.nn.init.zeros_(weight)


FEATURES = [torch.rand(1, c, s, s) for c, s in ((8, 32), (16, 16), (32, 8), (64, 4))]


def test_pixels_say_where_joints_are():
    """With even heat a joint is in the middle, and its place is what all pixels say."""
    head = color_regression.PixelHead((8, 16, 32, 64), 128, width=8).eval()
    zero(head.pose, head.heat, head.place)
    with torch.no_grad():
        head.place.bias.copy_(torch.arange(63.0))
        ((joints, points),), *_ = head(FEATURES, torch.zeros(1, 64))
    assert points.abs().max() < 1e-6
    assert joints[0].flatten() == pytest.approx(torch.arange(63.0))


def test_hourglasses_give_estimates_of_their_own():
    """The pixel head's estimate first, then each hourglass's; a pixel says how far from it the point lies."""
    head = color_regression.GraphHead((8, 16, 32, 64), 128, width=8, stacks=2).eval()
    zero(*head.says)
    with torch.no_grad():
        head.says[1].bias[21:] = torch.arange(105.0)
        (first, second, third), *_ = head(FEATURES, torch.zeros(1, 64))
        (alone,), *_ = color_regression.PixelHead.forward(head, FEATURES, torch.zeros(1, 64))
    assert torch.equal(first[0], alone[0]) and torch.equal(first[1], alone[1])
    assert second[0].abs().max() == 0 and second[1].abs().max() < 1e-6, 'even heat, and no offset'
    assert third[0][0].T.flatten() == pytest.approx(torch.arange(63.0))
    assert third[1][0].T.flatten() == pytest.approx(torch.arange(63.0, 105.0), abs=1e-4)


def test_the_aligned_loss_is_what_the_score_measures():
    """Of hands that are turned, scaled, moved and noisy, one mirrored, one half known, one unknown; in bfloat16 too."""
    draw = np.random.default_rng(0)
    truth = draw.normal(size=(6, 21, 3)).astype(np.float32)
    found = truth + 0.3 * draw.normal(size=truth.shape).astype(np.float32)
    found[1] = 0.4 * found[1] @ np.linalg.qr(draw.normal(size=(3, 3)))[0] + 5
    found[2, :, 0] *= -1
    truth[3, 10:], truth[4, 2:] = np.nan, np.nan
    far = np.linalg.norm(align(found, truth, 'procrustes') - truth, axis=2)
    joints = torch.from_numpy(found).requires_grad_()
    with torch.autocast('cpu', torch.bfloat16):
        value = aligned_loss(joints, torch.from_numpy(truth))
    value.backward()
    assert value.item() == pytest.approx(np.nansum(far) / far.size, abs=1e-5)
    assert joints.grad.isfinite().all() and joints.grad[4].abs().max() == 0 and joints.grad[3, 10:].abs().max() == 0
    assert joints.grad.sum(1).abs().max() < 1e-6, 'where the whole hand is does not count'
    nearer = joints.detach() - joints.grad
    gain = joints.grad.square().sum().item()
    assert value.item() - aligned_loss(nearer, torch.from_numpy(truth)).item() == pytest.approx(gain, rel=0.2)


def test_surfaces_cost_what_is_said_wrongly_of_what_is_seen():
    surface = torch.zeros(2, 4, 4, 5, dtype=torch.uint8)
    surface[0, 1, 2] = torch.tensor([255, 255, 0, 128, 64])
    surface[1] = 255
    said = torch.full((2, 5, 4, 4), 9.0)  # of nowhere near the truth, and counting where a cell shows the hand only
    said[:, 0] = -20
    said[0, :, 1, 2] = torch.tensor([20, 1, -1, 2 * 128 / 255 - 1, 2 * 64 / 255 - 1])
    first = torch.tensor([True, False])
    assert surface_loss(said, surface, first) < 1e-5
    said[0, 1, 1, 2] -= 1
    assert float(surface_loss(said, surface, first)) == pytest.approx(1 / 4, abs=1e-4)
    said[0, 0] = 0
    assert float(surface_loss(said, surface, first)) == pytest.approx(1 / 4 + np.log(2), abs=1e-4)
    assert surface_loss(said, surface, torch.zeros(2, dtype=torch.bool)) == 0


def test_a_training_starts_from_a_network_with_fewer_parts():
    torch.manual_seed(0)
    few = ColorRegression([18], width=8, head='pixels')
    more = ColorRegression([18], width=8, head='graph')
    lacking = load_weights(more, few.state_dict(), grown=True)
    assert lacking and {key.split('.')[3] for key in lacking} == {'hourglasses', 'after', 'reasoning', 'says'}
    image = torch.rand(1, 3, 128, 128)
    assert torch.equal(few.eval().forward_stages(image)[0][0][1], more.eval().forward_stages(image)[0][0][1])
    with pytest.raises(ValueError, match='do not fit the network: missing .*hourglasses'):
        load_weights(more, few.state_dict())
    with pytest.raises(ValueError, match='unexpected .*hourglasses'):
        load_weights(few, more.state_dict(), grown=True)


def test_blocks_that_a_trained_network_is_given_change_nothing_until_they_are_trained():
    torch.manual_seed(1)
    shallow, deep = ColorRegression([18], width=8, head='graph'), ColorRegression([26], width=8, head='graph')
    image = torch.rand(4, 3, 128, 128)
    shallow(image)  # in training: normalizations come to know the features
    for parameter in shallow.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    lacking = load_weights(deep, shallow.state_dict(), grown=True)
    assert {'.'.join(key.split('.')[4:6]) for key in lacking} == {'1.2', '2.2', '2.3', '2.4'}
    for before, after in zip(shallow.eval()(image), deep.eval()(image)):
        assert torch.equal(before, after)
    deep.train().forward_stages(image)[0][-1][0].square().sum().backward()
    assert all(deep.get_parameter(key).grad.any() for key in lacking if key.endswith('body.4.weight'))


def test_a_wider_network_begins_as_the_narrower_one_and_learns_with_all_of_its_channels():
    torch.manual_seed(1)
    narrow = ColorRegression([18], width=8, head='graph')
    wide = ColorRegression([26], width=12, widest=72, head='graph')
    assert wide.stages[0].backbone.channels == (12, 24, 48, 72)
    image = torch.rand(4, 3, 128, 128)
    narrow(image)
    for parameter in narrow.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    weights = {key: value.clone() for key, value in narrow.state_dict().items()}
    assert all('body' in key for key in load_weights(wide, weights, grown=True)), 'more is lacking than the new blocks'
    assert all(torch.equal(weights[key], value) for key, value in narrow.state_dict().items())
    for before, after in zip(narrow.eval()(image), wide.eval()(image)):
        assert torch.allclose(before, after, atol=1e-5)
    wide.train().forward_stages(image)[0][-1][0].square().sum().backward()
    first = wide.get_parameter('stages.0.backbone.layers.0.0.body.0.weight').grad
    assert first[:8, 8:].any(), 'nothing listens to the new channels'
    with pytest.raises(ValueError, match='cannot grow to'):
        load_weights(ColorRegression([18], width=4, head='graph'), weights, grown=True)


def test_a_wider_head_of_more_hourglasses_begins_with_the_narrower_ones_estimates():
    torch.manual_seed(1)
    narrow = ColorRegression([18], width=8, head='graph')
    wide = ColorRegression([18], width=8, head='graph', head_options={'width': 144, 'stacks': 2})
    image = torch.rand(4, 3, 128, 128)
    narrow(image)
    for parameter in narrow.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    lacking = load_weights(wide, narrow.state_dict(), grown=True)
    assert {tuple(key.split('.')[3:5]) for key in lacking} == {('back', '0')}
    before, after = (network.eval().forward_stages(image)[0] for network in (narrow, wide))
    assert len(before) == 2 and len(after) == 3  # the heat maps' estimate, and each hourglass's
    for first, second in zip([*before, before[-1]], after):
        assert all(torch.allclose(a, b, atol=1e-4) for a, b in zip(first, second))
    assert all(torch.allclose(a, b, atol=1e-4) for a, b in zip(narrow(image), wide(image)))
    torch.nn.init.normal_(wide.get_parameter('stages.0.head.says.1.bias'))
    found = wide.forward_stages(image)[0]
    assert not torch.allclose(found[1][0], found[2][0], atol=0.01)
    for said, first, second in zip(wide(image), *found[1:]):
        assert torch.allclose(said, (first + second) / 2)
    wide.train().forward_stages(image)[0][-1][0].square().sum().backward()
    assert wide.get_parameter('stages.0.head.back.0.weight').grad.any(), 'the second never hears of the first'


def test_attention_changes_nothing_until_it_is_trained_and_then_has_the_last_word():
    torch.manual_seed(1)
    before, after = (
        ColorRegression([18], width=8, head='graph', head_options=options) for options in ({}, {'attention': 1})
    )
    lacking = load_weights(after, before.state_dict(), grown=True)
    new = ('stages.0.head.attention.', 'joint_chirality.')
    assert {next((name for name in new if key.startswith(name)), key) for key in lacking} == set(new)
    image = torch.rand(2, 3, 128, 128)
    assert all(torch.equal(a, b) for a, b in zip(before.eval()(image), after.eval()(image)))
    torch.nn.init.normal_(after.joint_chirality.layers[-1].weight)
    *same, odds = zip(before(image), after(image))
    assert all(torch.equal(a, b) for a, b in same) and not torch.allclose(*odds), (
        'what is seen of joints tells the side'
    )
    with torch.no_grad():
        after.get_parameter('stages.0.head.attention.correction.bias').copy_(torch.arange(5.0))
        found = after.forward_stages(image)[0]
        assert len(found) == 3  # the heat maps' estimate, the hourglass's, and that one corrected
        assert torch.allclose(found[2][0], found[1][0] + torch.arange(3.0), atol=1e-5)
        assert torch.allclose(found[2][1], found[1][1] + torch.arange(3.0, 5.0), atol=1e-5)
        assert torch.equal(after(image)[0], found[2][0])


def test_joints_hear_of_one_another_and_of_the_image():
    torch.manual_seed(2)
    seen, joints, points = torch.randn(1, 5, 6), torch.randn(1, 5, 3), torch.randn(1, 5, 2)
    pooled = torch.randn(1, 8)
    attention = JointAttention(5, 8, 6, layers=1, channels=16)
    torch.nn.init.normal_(attention.correction.weight)

    def change(array: torch.Tensor) -> torch.Tensor:
        array = array.clone()
        array[0, 3] = -array[0, 3]
        return array

    with torch.no_grad():
        corrected = attention(seen, joints, points, pooled)[0]
        others = [
            attention(*told)[0]
            for told in (
                (change(seen), joints, points, pooled),
                (seen, change(joints), points, pooled),
                (seen, joints, change(points), pooled),
                (seen, joints, points, -pooled),
            )
        ]
    for other in others:
        assert (other - corrected)[0, [0, 1, 2, 4]].norm(dim=1).min() > 1e-3


@pytest.mark.parametrize(('share', 'expected'), [(0, 1), (0.3, 1), (0.5, 1), (0.75, 0.5), (1, 0)])
def test_late_cosine_stays_for_half_of_the_training(share, expected):
    assert learning_rate_factor(share, Recipe(schedule='late_cosine', samples=1000, epoch=100)) == pytest.approx(
        expected
    )


# ---- dense ----


def test_dense_layers_have_the_papers_sizes():
    network = DenseHand()
    assert network.mesh_estimator.weight.shape == (63, 2153) and network.refiner.weight.shape == (42, 2216)
    assert network.iterations == 3 and network.backbone.channels[-1] == 2048
    assert 2153 == 2048 + 42 + 63 and 2216 == 2153 + 63


def test_heat_maps_are_32_by_32_and_offsets_are_added_three_times(dense):
    image = torch.rand(2, 3, 128, 128)
    with torch.no_grad():
        estimate = dense.eval().estimate(image)
        assert estimate.heat.shape == (2, 21, 32, 32) and estimate.heat.sum((2, 3)) == pytest.approx(1, abs=1e-4)
        parameters = dense.start.expand(2, -1)
        for _ in range(3):
            seen = torch.cat([estimate.features, estimate.points.flatten(1), parameters], 1)
            parameters = parameters + dense.mesh_estimator(seen)
        assert torch.allclose(parameters, estimate.parameters, atol=1e-5)
        correction = dense.refiner(torch.cat([seen, parameters], 1))
        assert torch.allclose(estimate.refined, estimate.points + correction.view(2, 21, 2), atol=1e-5)
        joints, points, spread, right, last = dense(image)
    assert joints.shape == (2, 21, 3) and (joints[:, 0] == 0).all() and torch.equal(points, estimate.refined)
    assert torch.allclose(last, estimate.parameters) and (spread > 0).all() and right.shape == (2,)
    dense.train()


def target(network: DenseHand, count: int, seed: int = 0) -> tuple[torch.Tensor, ...]:
    """Parameters near where the network starts, and the joints, points and masks of their meshes."""
    generator = torch.Generator().manual_seed(seed)
    parameters = network.start.detach().expand(count, -1).clone()
    part = split(parameters)
    part['pose'] += 0.15 * torch.randn(count, 45, generator=generator)
    part['quaternion'] += 0.3 * torch.randn(count, 4, generator=generator)
    part['scale'] *= 0.8
    part['translation'][:, :2] += 0.1 * torch.randn(count, 2, generator=generator)
    with torch.no_grad():
        hands = network.hand(parameters)
        return parameters, network.joints(hands), network.project(hands, parameters), network.mask(hands)


def test_every_weight_of_the_dense_network_is_trained(dense):
    _, joints, points, mask = target(dense, 4)
    dense.zero_grad()
    value = dense.loss(torch.rand(4, 3, 128, 128), joints, points, mask, shape_within=1e3, mirrored=0.3)
    value.backward()
    assert not [name for name, weight in dense.named_parameters() if weight.grad is None]
    assert all(torch.isfinite(weight.grad).all() for weight in dense.parameters())
    with pytest.raises(ValueError, match='losses area are none of joints, points'):
        dense.loss(torch.rand(4, 3, 128, 128), joints, points, mask, weights={'area': 1})


def test_the_shape_loss_is_on_within_15_pixels_only(dense):
    """Two hands whose mesh is where the truth is, one 14 and one 17 pixels beside."""
    image = torch.rand(4, 3, 128, 128)
    dense.eval()
    with torch.no_grad():
        parameters = dense.estimate(image).parameters
        hands = dense.hand(parameters)
        joints, points, mask = dense.joints(hands), dense.project(hands, parameters), 1 - dense.mask(hands)
    points = points + torch.tensor([0.0, 0.0, 14 / 64, 17 / 64])[:, None, None] * torch.tensor([0.6, 0.8])
    assert points_error(points, dense.project(hands, parameters), 128).tolist() == pytest.approx(
        [0, 0, 14, 17], abs=1e-3
    )

    def shape(known: torch.Tensor) -> float:
        return float(dense_color.loss_parts(dense, image, joints, points, known, WEIGHTS, mirrored=0)['shape'].detach())

    alone = []
    for i in range(4):
        only = torch.full_like(mask, -1)  # masks of the others are not known
        only[i] = mask[i]
        alone.append(shape(only))
    assert min(alone[:3]) > 0.1 and alone[3] == 0
    assert shape(mask) == pytest.approx(sum(alone), rel=1e-4)
    everything = dense_color.loss_parts(dense, image, joints, points, mask, WEIGHTS, shape_within=20, mirrored=0)
    assert float(everything['shape'].detach()) > shape(mask) + 0.1
    dense.train()


def test_losses_of_weight_zero_are_not_computed(dense, monkeypatch):
    _, joints, points, mask = target(dense, 2)
    monkeypatch.setattr(dense, 'mask', lambda hands: pytest.fail('a silhouette was drawn'))
    weights = WEIGHTS | {'features': 0, 'shape': 0, 'heads': 0}
    parts = dense_color.loss_parts(dense, torch.rand(2, 3, 128, 128), joints, points, mask, weights)
    assert set(parts) == {'joints', 'points', 'articulation', 'laplacian', 'proportions'}


def test_the_refiner_learns_by_back_projection(dense):
    """Where no true point is known, its points are drawn to the mesh's."""
    image = torch.rand(2, 3, 128, 128)
    unknown = torch.full((2, 21, 2), torch.nan)
    weights = dict.fromkeys(WEIGHTS, 0.0) | {'points': 1.0}
    dense.zero_grad()
    value = dense.loss(
        image,
        torch.full((2, 21, 3), torch.nan),
        unknown,
        torch.full((2, 64, 64), -1.0),
        weights=weights,
        mirrored=0,
    )
    value.backward()
    assert value > 0 and dense.refiner.weight.grad.abs().sum() > 0
    # Through the refiner's input alone: the projection itself is the aim and stays.
    assert (dense.mesh_estimator.bias.grad.abs() < dense.refiner.bias.grad.abs().max()).all()


def test_features_of_a_hand_cut_away_differ(dense):
    image = torch.rand(2, 3, 128, 128)
    dense.eval()
    with torch.no_grad():
        whole = dense.pooled(image)[1]
        masks = torch.stack([torch.ones(64, 64), torch.zeros(64, 64)])
        found = dense_color.features_loss(dense, image, whole, masks)
    assert found[0] < 1e-9 and found[1] > 1e-4
    dense.train()
    before = [buffer.clone() for name, buffer in dense.backbone.named_buffers() if 'running' in name]
    dense_color.features_loss(dense, image, whole, masks)
    after = [buffer for name, buffer in dense.backbone.named_buffers() if 'running' in name]
    assert all(torch.equal(a, b) for a, b in zip(before, after)), 'cut images are not remembered'


def test_refinement_lowers_the_error_within_its_steps_and_its_time(dense):
    parameters, _, points, _ = target(dense, 3, seed=4)
    image = torch.rand(3, 3, 128, 128)
    weights = {name: value.clone() for name, value in dense.state_dict().items()}
    found = refine(dense, image, steps=50, points=points, features=0, rate=0.02)
    assert found.steps == 50 and found.parameters.shape == (3, PARAMETERS)
    assert (found.after < 0.5 * found.before).all() and (found.before > 3).all()
    with torch.no_grad():
        refined = dense.project(dense.hand(found.parameters), found.parameters)
        assert points_error(refined, points, 128) == pytest.approx(found.after.numpy(), abs=1e-3)
    full = refine(dense, image, steps=5, points=points)
    assert (full.after < full.before).all()
    none = refine(dense, image, seconds=0, points=points)
    assert none.steps == 0 and torch.equal(none.before, none.after)
    assert all(torch.equal(value, weights[name]) for name, value in dense.state_dict().items()) and dense.training


def test_it_runs_on_mano_where_its_files_are(tmp_path):
    for side in ('left', 'right'):
        np.savez(tmp_path / f'MANO_{side.upper()}.npz', **mano_arrays(side))
    network = DenseHand(hand_model=str(tmp_path), **LIGHT)
    assert network.skeleton.shape == (21, 778) and network.hand.pose_basis is not None
    _, joints, points, mask = target(network, 2)
    value = network.loss(torch.rand(2, 3, 128, 128), joints, points, mask, shape_within=1e3)
    value.backward()
    assert torch.isfinite(value) and torch.isfinite(network.mesh_estimator.weight.grad).all()


def test_the_dense_network_learns_one_image():
    torch.manual_seed(0)
    network = DenseHand(depth=18, width=16)
    _, joints, points, mask = target(network, 2, seed=1)
    image = torch.rand(2, 3, 128, 128)
    optimizer = torch.optim.Adam(network.parameters(), 1e-3)
    values = []
    for _ in range(25):
        value = network.loss(image, joints, points, mask, weights={'features': 0, 'heads': 0}, mirrored=0)
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        values.append(float(value.detach()))
    assert values[-1] < 0.5 * values[0]


# ---- training ----


def test_a_backbone_is_taken_from_another_network():
    torch.manual_seed(3)
    light = ColorRegression((18, 18), 8)
    dense = DenseHand(depth=18, width=8)
    load_backbone(dense, light.state_dict())
    image = torch.rand(2, 3, 128, 128)
    dense.eval(), light.eval()
    assert torch.equal(dense.backbone(image)[-1], light.stages[0].backbone(image)[-1])
    with pytest.raises(ValueError, match='backbone is not the network'):
        load_backbone(DenseHand(depth=18, width=16), light.state_dict())
    with pytest.raises(ValueError, match='backbone is not the network'):
        load_backbone(dense, {'layer.weight': torch.zeros(1)})


RECIPES = [
    'color_resnet34',
    'color_resnet50',
    'color_resnet101',
    'color_pipelined',
    'color_light_freihand',
    'dense_freihand',
]


@pytest.mark.parametrize('name', RECIPES)
def test_recipes_are_whole(name):
    recipe = load_recipe(name)
    if name.startswith('dense'):
        network = build(replace(recipe, network_options={**recipe.network_options, **LIGHT}))
    else:
        with torch.device('meta'):
            network = build(recipe)
        depths = (
            [18]
            if 'light' in name
            else [50, 50, 34]
            if 'pipelined' in name
            else [int(name.removeprefix('color_resnet'))]
        )
        assert recipe.network_options['depths'] == depths
    data = recipe.data_options
    assert network.input_size == data['size'] == 128 and input_channels(network) == 3
    assert recipe.samples % recipe.epoch == 0 and recipe.optimizer == 'adam'
    ColorAugmentation(**data['augmentation'])
    assert data['augmentation']['occluders'] == data['augmentation']['flip'] == 0
    assert 0 < learning_rate_factor(0.5, recipe) <= 1


@pytest.mark.parametrize(
    ('name', 'options'),
    [
        ('color_light_freihand', {'depths': [18], 'head': 'graph', 'width': 8}),
        pytest.param('dense_freihand', LIGHT, marks=pytest.mark.slow),  # a mesh in every step
    ],
)
def test_training_on_freihand_from_files_to_an_exported_network(tmp_path, monkeypatch, name, options):
    write_freihand(tmp_path / 'freihand')
    monkeypatch.setenv('HAND_POSE_DATASETS', str(tmp_path))
    monkeypatch.setattr(trainer, 'Feeder', InlineFeeder)
    recipe = recipe_of(name, samples=12, batch=4, validate_every=8, network_options=options)
    figures = trainer.train(recipe, tmp_path / 'run')
    assert figures == json.loads((tmp_path / 'run/validation.jsonl').read_text().splitlines()[-1])
    assert 5 < figures['pa_mm'] < figures['root_mm'] < 500 and 2 < figures['points_px'] < 100
    if name == 'dense_freihand':  # the hand model is a part of the network
        assert export(read_trained(tmp_path / 'run/best.pt').build()[1], tmp_path / 'network.onnx') < 1e-3


def exact(validation: color_pose.Validation, turn: np.ndarray) -> torch.nn.Module:
    class Exact(torch.nn.Module):
        """Knows the joints, turned, and the points, three pixels to the right of where they are."""

        def __init__(self):
            super().__init__()
            self.weight = torch.nn.Parameter(torch.zeros(1))

        def forward(self, image):
            joints, points = (torch.from_numpy(x) for x in (validation.joints @ turn, validation.points))
            return joints, points + torch.tensor([3 / 64, 0]), torch.ones(len(image), 21), torch.zeros(len(image))

    return Exact()


def test_validation_is_procrustes_aligned_and_in_millimeters(tmp_path, monkeypatch):
    write_freihand(tmp_path / 'freihand')
    monkeypatch.setenv('HAND_POSE_DATASETS', str(tmp_path))
    recipe = load_recipe('color_resnet50')
    validation = color_pose.validation_data(recipe)
    assert validation.images.shape == (2, 128, 128, 3) and (validation.masks == -1).all()
    mixed = dense_pose.validation_data(load_recipe('dense_freihand_self'))
    assert (mixed.images == validation.images).all()
    quarter = np.array([[0, -1, 0], [1, 0, 0], [0, 0, 1]], np.float32)
    figures = color_pose.validate(exact(validation, quarter), validation)
    assert figures['pa_mm'] == pytest.approx(0, abs=1e-3) and figures['points_px'] == pytest.approx(3, abs=1e-3)
    # A joint x, y from the wrist that is turned by a quarter is off by the root of 2 times its distance.
    flat = np.linalg.norm(validation.joints[..., :2] * validation.sizes[:, None, None], axis=2).mean()
    assert figures['root_mm'] == pytest.approx(1000 * np.sqrt(2) * flat, rel=1e-4)
    mirror = np.diag([-1, 1, 1]).astype(np.float32)
    assert color_pose.validate(exact(validation, mirror), validation)['pa_mm'] > 1, 'a mirrored hand is none'


def test_sigma_says_how_likely_an_error_is_small(tmp_path, monkeypatch):
    write_freihand(tmp_path / 'freihand')
    monkeypatch.setenv('HAND_POSE_DATASETS', str(tmp_path))
    recipe = load_recipe('color_resnet50')
    validation = color_pose.validation_data(recipe)
    slope = exact(validation, np.eye(3, dtype=np.float32))
    noise = np.random.default_rng(0).normal(size=(2, 21, 3)).astype(np.float32) * np.linspace(0.02, 0.4, 21)[:, None]

    def forward(image):
        spread = torch.from_numpy(np.linspace(0.02, 0.4, 21)).float().expand(2, -1)
        return torch.from_numpy(validation.joints + noise), torch.zeros(2, 21, 2), spread, torch.zeros(2)

    monkeypatch.setattr(slope, 'forward', forward)
    monkeypatch.setattr(color_pose, 'renders', lambda *args, **options: iter([(validation.images,)]))  # minutes
    level, fall = color_pose.calibrate(slope, recipe)['confidence']
    assert fall > 0 and level - fall * np.log(2.0) > 0 > level - fall * np.log(40.0)


def test_masks_are_scored_where_they_are_known(dense):
    parameters, _, _, mask = target(dense, 3)
    masks = mask.repeat_interleave(2, 1).repeat_interleave(2, 2)
    assert dense_pose.mask_overlap(dense, parameters, masks) == pytest.approx(100, abs=0.5)
    masks[1:] = -1
    assert dense_pose.mask_overlap(dense, parameters, masks) == pytest.approx(100, abs=0.5)
    assert np.isnan(dense_pose.mask_overlap(dense, parameters, torch.full((3, 128, 128), -1.0)))
