"""Views that are cached and cut anew where a network is trained, and the mean of several trainings' weights."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip('torch')
pytest.importorskip('numba')

from training_aids import build, recipe_of  # noqa: E402

from hand_pose_ros.geometry.camera import Camera  # noqa: E402
from hand_pose_ros.geometry.joints import hand_center, hand_size  # noqa: E402
from hand_pose_ros.regions.cube import CUBE_PER_HAND, camera_to_cube, cut_cube  # noqa: E402
from training import cut_depth, view_cache  # noqa: E402
from training.__main__ import main  # noqa: E402
from training.cut_depth import cut_cubes, to_cubes  # noqa: E402
from training.engine.averaging import mean_weights, renew_statistics  # noqa: E402
from training.engine.plan import plan  # noqa: E402
from training.engine.trainer import train  # noqa: E402
from training.engine.weights import Trained, read_trained  # noqa: E402
from training.registry import TrainingError  # noqa: E402
from training.synthesis.crops import PACKED_UNIT, pack  # noqa: E402
from training.tasks import depth_pose  # noqa: E402
from training.tasks.protocol import DataSource  # noqa: E402
from training.view_cache import ViewCache  # noqa: E402

SIDE = 60


def draw_view(rng):
    """A view as ``CropSource.view_batches`` draws them, of no hand: noisy depth with holes, joints in its middle."""
    distance = rng.uniform(0.3, 1.2)
    depth = rng.uniform(distance - 0.2, distance + 0.2, (SIDE, SIDE))
    depth[rng.uniform(size=depth.shape) < 0.1] = 0
    pinhole = np.array([150 * distance / 0.5, *rng.uniform(20, 40, 2)])
    joints = rng.normal(0, 0.04, (21, 3)) + [0, 0, distance]
    return pack(depth), pinhole.astype(np.float32), joints.astype(np.float32)


def draw_views(count, seed=0):
    rng = np.random.default_rng(seed)
    return [torch.from_numpy(np.stack(part)) for part in zip(*(draw_view(rng) for _ in range(count)))]


def test_depth_is_packed_to_a_fraction_of_a_millimeter_and_what_is_too_far_is_a_hole():
    packed = pack(np.array([[0, 0.25, 1.2, 1.638, 1.7, 1e9]], np.float32))
    assert packed.dtype == np.int16
    back = (torch.from_numpy(packed).int() & 0xFFFF).numpy() * PACKED_UNIT
    np.testing.assert_allclose(back, [[0, 0.25, 1.2, 1.638, 0, 0]], atol=PACKED_UNIT)


@pytest.mark.parametrize('turn', [0.0, np.pi / 2, 1.1, -2.5])
def test_cubes_are_cut_as_the_run_time_cuts_them(turn):
    depth, pinholes, joints = draw_views(5)
    rng = np.random.default_rng(1)
    slots = torch.tensor([3, 0, 4, 4])
    centers = joints[slots].mean(1) + torch.from_numpy(rng.normal(0, 0.02, (4, 3))).float()
    halves = torch.tensor([0.08, 0.11, 0.13, 0.2])
    turns = torch.full((4,), turn)
    crops = cut_cubes(depth, slots, pinholes[slots], centers, halves, turns, 48)
    cubes = to_cubes(joints[slots], centers, halves, turns)
    back = np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
    for n, slot in enumerate(slots):
        meters = (depth[slot].int() & 0xFFFF).numpy().astype(np.float32) * np.float32(PACKED_UNIT)
        focal, cx, cy = pinholes[slot].tolist()
        center, half = centers[n].numpy().astype(float), float(halves[n])
        expected = cut_cube(meters, Camera(SIDE, SIDE, focal, focal, cx, cy), center, half, 48, turn=turn)
        assert (expected < 1).any() and (expected == 1).any()
        # A pixel that lies between two may be either of them.
        assert np.mean(np.abs(crops[n].numpy() - expected) > 1e-3) < 0.01
        uvz = camera_to_cube(joints[slot].numpy().astype(float), center, half)
        np.testing.assert_allclose(cubes[n], np.column_stack([uvz[:, :2] @ back.T, uvz[:, 2]]), atol=1e-4)


class _FakeFeeder:
    """Hands out views of this process; each batch is the next one of a row."""

    batches = 3

    def __init__(self, draw, options, seed, workers, batch, waiting=12):
        self.draw, self.given = draw, 0

    def next(self):
        self.given += 1
        return draw_views(8, self.given)

    def ready(self):
        return self.given < self.batches

    def close(self):
        pass


@pytest.fixture
def recipe(monkeypatch):
    monkeypatch.setattr(view_cache, 'Feeder', _FakeFeeder)
    return recipe_of('jgr_p2o_large_synthetic', cached_views=20)


def make_cache(recipe, batch):
    return ViewCache(plan(recipe).source, recipe.data_options, recipe.cached_views, 0, 1, batch, 'cpu')


def test_the_last_views_are_cached_and_the_newest_drawn_most(recipe):
    views = make_cache(recipe, 2000)
    assert views.feeder.draw is depth_pose.views
    crops, joints, halves = views.next()
    assert crops.shape == (2000, 96, 96) and joints.shape == (2000, 21, 3) and halves.shape == (2000,)
    # Three batches of eight came, and twenty are cached: the last four are in the place of the first.
    cached = views.views[2]
    assert views.count == 24 and len(cached) == 20
    newest = torch.cat([draw_views(8, n)[2] for n in (1, 2, 3)])
    assert torch.equal(cached[:4], newest[20:]) and torch.equal(cached[4:], newest[4:20])
    sizes = torch.tensor([hand_size(hand.numpy().astype(float)) for hand in cached])
    wrong = (halves[:, None] / (CUBE_PER_HAND * sizes)).log()
    # Each crop's half side is some cached hand's, within the error that localization makes.
    assert (wrong.abs().min(1).values < 0.2001).all()
    torch.manual_seed(0)
    drawn = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cut_depth, 'cut_cubes', lambda depth, slots, *_: drawn.append(slots) or torch.zeros(1))
        views.next()
    ages = (23 - drawn[0]).remainder(20)
    assert (ages < 10).float().mean() == pytest.approx(0.75, abs=0.05)


def test_crops_look_at_their_hands_with_localizations_errors(recipe):
    torch.manual_seed(0)
    views = make_cache(recipe, 4000)
    _, joints, _ = views.next()
    middle = joints.mean(1)
    # In half sides of cubes of 1.4 hand sizes; perspective bends it a little.
    off = middle[:, 2].std().item() * CUBE_PER_HAND
    assert off == pytest.approx(np.sqrt(0.8 * 0.075**2 + 0.2 * 0.14**2), rel=0.12)
    hands = [hand.numpy().astype(float) for hand in views.views[2]]
    spans = np.array([np.linalg.norm(hand - hand_center(hand), axis=1).max() / hand_size(hand) for hand in hands])
    assert (joints - middle[:, None]).norm(dim=2).max() < 2.2 * spans.max() / CUBE_PER_HAND


def test_what_draws_no_views_cannot_cache_any():
    with pytest.raises(TrainingError, match="data source 'renders' of task 'center' draws no views"):
        plan(recipe_of('center_refiner', cached_views=4))


def test_a_training_learns_from_cached_views(recipe, tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    small = (rng.uniform(-1, 1, (4, 96, 96)).astype(np.float32), rng.uniform(-1, 1, (4, 21, 3)), np.full(4, 0.13))
    monkeypatch.setattr(depth_pose, 'validation_set', lambda size=96: small)
    changes = {
        'samples': 16,
        'batch': 8,
        'bf16': False,
        'compile': False,
        'network_options': {'stacks': 1, 'channels': 32},
    }
    recipe = replace(recipe, **changes)
    assert train(recipe, tmp_path)['seen'] == 16
    assert (tmp_path / 'best.pt').is_file()


def test_views_are_drawn_of_people_of_their_own_where_the_recipe_names_no_seed_for_them():
    pytest.importorskip('anny')
    own, shared = (
        [next(depth_pose.views(seed, 2, people=1, people_seed=people)) for seed in (1, 2)] for people in (None, 11)
    )
    for depth, pinholes, joints in own + shared:
        assert depth.shape == (2, 218, 218) and depth.dtype == np.int16 and (depth != 0).any((1, 2)).all()
        assert pinholes.shape == (2, 3) and joints.shape == (2, 21, 3)
    sizes = [np.linalg.norm(hands[:, 9] - hands[:, 0], axis=1) for _, _, hands in own + shared]
    # Of one person in both of a batch's views; without a seed of theirs it is another in another process.
    for first, second in sizes:
        assert first == pytest.approx(second, rel=1e-3)
    assert sizes[0][0] != pytest.approx(sizes[1][0], rel=1e-3)
    assert sizes[2][0] == pytest.approx(sizes[3][0], rel=1e-3)


def test_mean_weights_are_by_shares_and_of_one_shape(tmp_path, monkeypatch, capsys):
    one, two = (
        {'a': torch.tensor([0.0, 4.0]), 'n': torch.tensor(3)},
        {'a': torch.tensor([4.0, 0.0]), 'n': torch.tensor(5)},
    )
    mean = mean_weights([one, two], [3, 1])
    assert mean['a'].tolist() == [1.0, 3.0] and mean['n'] == 3
    with pytest.raises(ValueError, match='different shapes'):
        mean_weights([one, {'a': torch.zeros(3), 'n': torch.tensor(1)}], [1, 1])


def test_normalizations_of_a_mean_take_the_statistics_of_what_reaches_them():
    torch.manual_seed(3)
    network = torch.nn.Sequential(torch.nn.Conv2d(1, 4, 1), torch.nn.BatchNorm2d(4))
    batches = [torch.randn(8, 1, 5, 5) + shift for shift in (0.0, 3.0)]
    with torch.no_grad():
        network(100 * torch.randn(8, 1, 5, 5))  # of what its weights made of data before
        network[0].weight.fill_(2.0)
        network[0].bias.fill_(1.0)
    renew_statistics(network, batches, network)
    norm = network[1]
    assert not network.training and norm.momentum == 0.1
    assert norm.running_mean.tolist() == pytest.approx([np.mean([2 * b.mean() + 1 for b in batches])] * 4, abs=1e-5)
    assert norm.running_var.tolist() == pytest.approx([np.mean([4 * b.var() for b in batches])] * 4, rel=1e-4)


def test_mean_weights_command_writes_what_a_recipe_can_start_from(tmp_path, monkeypatch, capsys):
    rng = np.random.default_rng(0)
    small = (rng.uniform(-1, 1, (4, 96, 96)).astype(np.float32), rng.uniform(-1, 1, (4, 21, 3)), np.full(4, 0.13))
    monkeypatch.setattr(depth_pose, 'validation_set', lambda size=96: small)
    recipe = recipe_of('jgr_p2o_synthetic', network_options={'stacks': 1, 'channels': 32})
    for name in 'ab':
        Trained(build(recipe).state_dict(), recipe, {'seen': 8, 'mean_mm': 9.0}).save(tmp_path / f'{name}.pt')
    paths = [str(tmp_path / f'{name}.pt') for name in ('a', 'b', 'mean')]
    assert main(['average', *paths, '--shares', '1', '3']) == 0
    stored = [read_trained(Path(path)) for path in paths]
    key = 'stem.0.weight'
    assert torch.allclose(stored[2].network[key], stored[0].network[key] / 4 + 3 * stored[1].network[key] / 4)
    assert stored[2].figures['seen'] == 8 and stored[2].figures['mean_mm'] != 9.0
    assert 'mean.pt' in capsys.readouterr().out
    # With statistics taken anew, the weights are the same and the normalizations' statistics are not.
    crops = tuple(part.astype(np.float32) for part in small)
    source = DataSource(lambda **_: iter([crops, crops]), (depth_pose.crop_source,))
    monkeypatch.setattr(depth_pose, 'SOURCES', {'renders': source})
    assert main(['average', *paths, '--shares', '1', '3', '--renew', '2']) == 0
    renewed = read_trained(Path(paths[2])).network
    assert torch.equal(renewed[key], stored[2].network[key])
    norms = [name for name in renewed if name.endswith('running_mean')]
    assert not any(stored[2].network[name].any() for name in norms)
    assert {name.split('.')[0] for name in norms if not renewed[name].any()} == {'chirality'}, (
        'which no pose is asked of'
    )
    assert main(['average', *paths, '--shares', '1']) == 1
    assert '2 weights and 1 shares' in capsys.readouterr().err
