"""Networks and their training: the papers' parts, sizes, losses, schedules, resuming, export."""

import math
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip('torch', reason='training requirements are not installed: make setup-training')

from hand_pose_ros.geometry.joints import BONES, PARENTS  # noqa: E402
from training.networks import centre_refiner, residual_attention, srn  # noqa: E402
from training.networks.heads import HEADS  # noqa: E402
from training.networks.jgr_p2o import JGRP2O, loss, skeleton_adjacency  # noqa: E402
from training.networks.skeletons import skeleton  # noqa: E402
from training.optimizers import make_optimizers  # noqa: E402
from training.train import Average, build, change, learning_rate, load_recipe  # noqa: E402


@pytest.fixture(scope='module')
def network():
    torch.manual_seed(0)
    return JGRP2O().eval()


def test_adjacency_is_the_skeletons_with_self_connections_normalised():
    adjacency = skeleton_adjacency(*skeleton()).numpy()
    plain = np.eye(21)
    for child, parent in enumerate(PARENTS[1:], 1):
        plain[child, parent] = plain[parent, child] = 1
    degree = np.diag(1 / np.sqrt(plain.sum(1)))
    assert np.allclose(adjacency, degree @ plain @ degree, atol=1e-6)


def test_jgr_p2o_has_the_papers_size(network):
    assert 1.2e6 < sum(p.numel() for p in network.parameters()) <= 1.5e6
    features = network.stem(torch.zeros(1, 3, 96, 96))
    assert features.shape == (1, 128, 24, 24)
    stages, _ = network.forward_stages(torch.zeros(2, 1, 96, 96))
    assert len(stages) == 2 and stages[0][0].shape == (2, 21, 3) and stages[0][1].shape == (2, 21, 3, 576)


def test_pixels_are_where_the_crop_has_them(network):
    crop = torch.ones(1, 1, 96, 96)
    crop[0, 0, 48:, :48] = -0.5
    pixels = network.pixels(crop)[0].reshape(3, 24, 24)
    assert pixels[0, 0, 0] == pytest.approx(-1 + 1 / 24) and pixels[1, 23, 0] == pytest.approx(1 - 1 / 24)
    assert (pixels[2, 12:, :12] == -0.5).all() and (pixels[2, :12] == 1).all()


def test_joints_are_weighted_means_of_pixels_plus_offsets(network):
    """Eq. 8: with zero offsets and weights every pixel says its own place, and a joint is the mean of them all."""
    head = network.heads[0]
    saved = {k: v.clone() for k, v in head.state_dict().items()}
    with torch.no_grad():
        for p in head.parameters():
            p.zero_()
        crop = torch.rand(1, 1, 96, 96)
        pixels = network.pixels(crop)
        joints, estimates, weights = head(torch.zeros(1, 128, 24, 24), pixels)
        assert (estimates == pixels).all() and torch.allclose(weights, torch.tensor(1 / 576))
        assert torch.allclose(joints[0], pixels[0].mean(1), atol=1e-5)
    head.load_state_dict(saved)


def test_spread_is_that_of_the_pixels_estimates_and_features_are_of_the_pixels_behind_a_joint(network):
    with torch.no_grad():
        crop = torch.rand(2, 1, 96, 96) * 2 - 1
        joints, spread, at_joints = network.look(crop)
        stages, features = network.forward_stages(crop)
        found, estimates, weights = stages[-1]
        away = (estimates[1, 4] - found[1, 4][:, None]).norm(dim=0)
        assert torch.allclose(joints, found)
        assert spread[1, 4] == pytest.approx(float((away ** 2 * weights[1, 4]).sum() ** 0.5), rel=1e-4)
        assert torch.allclose(at_joints[1, 4], features[1].flatten(1) @ weights[1, 4], atol=1e-5)


def test_offset_loss_is_switched_by_beta_and_zero_at_the_truth(network):
    crop, truth = torch.rand(2, 1, 96, 96), torch.zeros(2, 21, 3)
    with_offsets, without = loss(network, crop, truth), loss(network, crop, truth, beta=0.0)
    assert with_offsets > without > 0


NETWORKS = {'jgr_p2o': (JGRP2O, loss), 'srn': (srn.SRN, srn.loss),
            'residual_attention': (residual_attention.ResidualAttention, residual_attention.loss)}


@pytest.mark.parametrize(('name', 'options'), [
    ('jgr_p2o', {'stacks': 1}), ('jgr_p2o', {'stacks': 3}), ('jgr_p2o', {'graph': False}),
    ('jgr_p2o', {'coordinates': False}),
    ('srn', {'stacks': 1, 'width': 16}), ('srn', {'stacks': 3, 'width': 16}), ('srn', {'kernel': 0.2, 'width': 16}),
    ('srn', {'reparameterization': False, 'width': 16}), ('srn', {'input_size': 128, 'width': 16}),
    ('residual_attention', {'width': 16, 'p': 2, 't': 1, 'r': 2}), ('residual_attention', {'components': 0}),
    ('residual_attention', {'input_size': 96})])
def test_ablations_run_and_train_every_weight_but_the_heads(name, options):
    kind, criterion = NETWORKS[name]
    network = kind(**options)
    size = network.input_size
    crop = torch.rand(2, 1, size, size) * 2 - 1
    criterion(network, crop, torch.rand(2, 21, 3) - 0.5).backward()
    idle = {key.split('.')[0] for key, weight in network.named_parameters() if weight.grad is None}
    assert idle <= {'chirality', 'certainty'}
    with torch.no_grad():
        joints, spread, right = network.eval()(crop)
    assert joints.shape == (2, 21, 3) and spread.shape == (2, 21) and right.shape == (2,)
    assert (spread > 0).all()


@pytest.mark.parametrize('name', NETWORKS)
@pytest.mark.parametrize(('benchmark', 'joints'), [('nyu', 14), ('icvl', 16), ('msra', 21)])
def test_networks_estimate_the_benchmarks_skeletons(name, benchmark, joints):
    network = NETWORKS[name][0](joints=benchmark, **({'width': 16} if name != 'jgr_p2o' else {'stacks': 1})).eval()
    assert network(torch.zeros(1, 1, network.input_size, network.input_size))[0].shape == (1, joints, 3)


@pytest.mark.parametrize('network', [
    srn.SRN(stacks=2, width=8), residual_attention.ResidualAttention(width=16, input_size=96)], ids=['srn', 'attention'])
def test_exported_networks_agree_with_pytorch_for_any_batch(network, tmp_path):
    pytest.importorskip('onnxruntime')
    from training.export import export
    # In cube coordinates: 0.05 mm of an adult's cube of 133 mm is 4e-4.
    assert export(network.eval(), tmp_path / 'network.onnx') < 4e-4


def test_a_skeletons_bones_reach_every_joint():
    for name in ('ours', 'nyu', 'icvl', 'msra', 'hands17'):
        count, bones = skeleton(name)
        reached = {0}
        for _ in range(count):
            reached |= {b for a, b in bones if a in reached} | {a for a, b in bones if b in reached}
        assert reached == set(range(count)) and len(bones) == count - 1
    with pytest.raises(ValueError, match='nonsense'):
        skeleton('nonsense')


def test_srns_size_is_the_papers():
    """The paper's 21.3 "MB" are its 22.3 million parameters in units of 2^20. Half its width fits into 25 MB."""
    own = sum(p.numel() for name, p in srn.SRN(joints='nyu').named_parameters() if not name.startswith(HEADS))
    assert round(own / 2**20, 1) == 21.3
    assert 4 * sum(p.numel() for p in srn.SRN(width=32).parameters()) < 25e6


def test_reparameterization_is_distance_and_direction_within_the_kernel_on_the_hand():
    pixels = torch.ones(1, 3, 2, 2)
    pixels[0, :, 0, 0] = torch.tensor([0.1, 0.2, 0.3])
    pixels[0, :, 0, 1] = torch.tensor([0.1, 0.2, 0.9])  # too far from the joint
    pixels[0, :2, 1, 1] = torch.tensor([0.1, 0.2])  # background: depth 1
    joints = torch.tensor([[[0.1, 0.2, 0.5], [0.1, 0.2, 1.0]]])
    maps = srn.reparameterize(joints, pixels, 0.4)[0]
    assert maps.shape == (8, 2, 2)
    assert maps[0, 0, 0] == pytest.approx(0.2, abs=1e-4) and maps[0, 0, 1] == 0 == maps[0, 1, 1]
    assert maps[2:8:2, 0, 0].tolist() == pytest.approx([0, 0, 1], abs=1e-3)
    assert maps[1, 0, 1] == pytest.approx(0.3, abs=1e-4) and maps[1, 1, 1] == 0


def test_attention_is_one_plus_mask_times_trunk():
    module = residual_attention.AttentionModule(16, 2, 1, 1, 1).eval()
    x = torch.rand(1, 16, 12, 12)
    inner = module.before(x)
    mask = module.mask(inner)
    assert mask.shape == inner.shape and 0 < mask.min() and mask.max() < 1
    assert torch.allclose(module(x), module.after(module.trunk(inner) + mask * module.trunk(inner)), atol=1e-5)


def test_the_prior_layer_begins_as_the_pca_of_poses():
    generator = torch.Generator().manual_seed(0)
    few = torch.randn(3, 63, generator=generator)
    poses = (torch.randn(50, 3, generator=generator) @ few + 0.3).reshape(50, 21, 3)
    prior = residual_attention.PosePrior(8, 3, 21, frozen=True)
    prior.initialise(poses)
    flat = poses.flatten(1) - prior.rebuild.bias
    numbers = flat @ torch.linalg.pinv(prior.rebuild.weight).T
    assert torch.allclose(numbers @ prior.rebuild.weight.T, flat, atol=1e-3)
    assert torch.allclose(numbers.std(0, correction=0), torch.ones(3), atol=1e-3)
    assert not prior.rebuild.weight.requires_grad and prior.bottleneck.weight.requires_grad
    with pytest.raises(ValueError, match='too few'):
        prior.initialise(poses[:2])


@pytest.mark.parametrize(('network', 'heads'), [
    (srn.SRN(width=16), {'chirality', 'certainty'}), (JGRP2O(stacks=1), {'chirality'})], ids=['srn', 'jgr_p2o'])
def test_heads_learn_the_side_and_the_error_without_touching_the_rest(network, heads):
    from training.heads_task import heads_loss, look
    crops, truth = torch.rand(4, 96, 96) * 2 - 1, torch.rand(4, 21, 3) - 0.5
    heads_loss(network.eval(), look(network, crops), truth).backward()
    trained = {key.split('.')[0] for key, weight in network.named_parameters() if weight.grad is not None}
    assert trained == heads


def test_a_head_that_knows_the_side_is_never_wrong_and_one_that_has_it_backwards_always():
    from training.heads_task import look, wrong_share

    class Halves(torch.nn.Module):
        """Calls a hand right whose right half has more."""

        def look(self, crop):
            told = crop.float().mean(2)[:, 0]
            return torch.zeros(len(crop), 21, 3), torch.ones(len(crop), 21), told

        def chirality(self, features, joints, spread):
            return self.sign * (features[:, 48:].sum(1) - features[:, :48].sum(1))

    crops = torch.linspace(0, 1, 96).expand(5, 96, 96).contiguous()
    network = Halves()
    network.sign = 1
    assert wrong_share(network, look(network, crops))[:2] == (0, 0)
    network.sign = -1
    assert wrong_share(network, look(network, crops))[:2] == (1, 1)


@pytest.mark.parametrize('name', ['adam', 'adamw', 'muon'])
def test_every_optimizer_learns_a_few_crops_by_heart(name):
    torch.manual_seed(0)
    torch.set_num_threads(2)
    network = JGRP2O(stacks=1, channels=32)
    crop, truth = torch.rand(4, 1, 96, 96) * 2 - 1, torch.rand(4, 21, 3) - 0.5
    optimizers = make_optimizers(network, name, {'adam': 3e-3, 'adamw': 3e-3, 'muon': 0.02}[name])
    values = []
    for _ in range(30):
        value = loss(network, crop, truth)
        for optimizer in optimizers:
            optimizer.zero_grad()
        value.backward()
        for optimizer in optimizers:
            optimizer.step()
        values.append(float(value.detach()))
    assert values[-1] < 0.5 * values[0]
    with pytest.raises(ValueError, match='adamx'):
        make_optimizers(network, 'adamx', 0.1)


def test_schedules():
    assert learning_rate(0.0, 'cosine', 100, 10) < 0.01 and learning_rate(1.0, 'cosine', 100, 10) < 1e-9
    assert learning_rate(0.5, 'cosine', 100, 10) == pytest.approx(0.5)
    assert learning_rate(0.55, 'exponential', 100, 10) == pytest.approx(0.96 ** 5)
    assert learning_rate(0.5, 'linear', 100, 10) == 0.5 and learning_rate(0.001, 'linear', 100, 10) < 0.2
    assert learning_rate(0.5, 'trapezoid', 100, 10) == 1 and learning_rate(0.9, 'trapezoid', 100, 10) == pytest.approx(0.3)
    # SRN's: 80 epochs, divided by ten every 25.
    assert [learning_rate(e / 80, 'steps', 800, 10, 25) for e in (0, 24.9, 25, 50, 79)] == pytest.approx(
        [1, 1, 0.1, 0.01, 0.001])
    assert [learning_rate(e / 70, 'steps', 700, 10, [30]) for e in (29, 30, 69)] == pytest.approx([1, 0.1, 0.1])
    with pytest.raises(ValueError, match='sawtooth'):
        learning_rate(0.5, 'sawtooth', 1, 1)


def test_a_recipe_changes_its_base_table_by_table(tmp_path):
    (tmp_path / 'mine.yaml').write_text('base: jgr_p2o_synthetic\nbatch: 7\nnetwork_options: {stacks: 1}\n')
    recipe, base = load_recipe(str(tmp_path / 'mine.yaml')), load_recipe('jgr_p2o_synthetic')
    assert recipe == base | {'batch': 7, 'network_options': base['network_options'] | {'stacks': 1}}
    for text in ('batch=9', 'network_options.stacks=3', 'loss.beta=0.001'):
        change(recipe, text)
    assert (recipe['batch'], recipe['network_options']['stacks'], recipe['loss']['beta']) == (9, 3, 0.001)
    with pytest.raises(ValueError, match='names no network'):
        build(load_recipe('synthetic'))


def test_recipes_build_and_unknown_ones_are_named():
    for name in ('jgr_p2o_synthetic', 'srn_synthetic', 'residual_attention_synthetic', 'jgr_p2o_paper', 'centre_refiner'):
        recipe = load_recipe(name)
        network, _ = build(recipe)
        assert sum(p.numel() for p in network.parameters()) > 1e5
    paper = load_recipe('jgr_p2o_paper')
    assert (paper['optimizer'], paper['learning_rate'], paper['batch'], paper['schedule']) == ('adam', 1e-4, 32, 'exponential')
    with pytest.raises(FileNotFoundError, match='jgr_p2o_synthetic'):
        load_recipe('nonsense')


def test_average_follows_the_weights():
    layer = torch.nn.Linear(1, 1)
    average = Average(layer, 0.9)
    with torch.no_grad():
        layer.weight.fill_(5.0)
    for _ in range(200):
        average.update(layer)
    assert average.weights['weight'].item() == pytest.approx(5.0, abs=1e-3)


def test_refiner_loss_ignores_what_has_no_label():
    network = centre_refiner.CentreRefiner().eval()
    crops = torch.rand(2, 1, 64, 64)
    labels = torch.tensor([[0.1, 0, 0, -0.5, 1, 1.0], [0.3, 0.2, 0, -0.5, -1, 0.0]])
    first = float(centre_refiner.loss(network, crops, labels).detach())
    labels[1, :4] = 9
    assert float(centre_refiner.loss(network, crops, labels).detach()) == pytest.approx(first)


def test_training_resumes_where_it_stopped_and_exports(tmp_path, monkeypatch):
    pytest.importorskip('anny')
    pytest.importorskip('onnxruntime')
    from training import export, pose_task, train
    monkeypatch.setattr(train, 'Feeder', _FakeFeeder)
    data = _FakeFeeder(None, 0, 0, 8).next()
    small = tuple(t.numpy() for t in (data[0], data[1], torch.full((8,), 0.13)))
    monkeypatch.setattr(pose_task, 'validation_set', lambda size=96: small)
    recipe = load_recipe('jgr_p2o_synthetic') | {'samples': 16, 'batch': 8, 'validate_every': 8, 'bf16': False,
                                                 'network_options': {'stacks': 1, 'channels': 32}}
    recipe.pop('minutes', None)
    first = train.train(recipe, tmp_path, 1, 0, 'cpu')
    assert first['seen'] == 16
    again = train.train(recipe | {'samples': 32}, tmp_path, 1, 0, 'cpu')
    assert again['seen'] == 32
    assert len((tmp_path / 'validation.jsonl').read_text().splitlines()) == 4
    difference = export.export(export.load_trained(tmp_path / 'best.pt'), tmp_path / 'tiny.onnx')
    # Cube coordinates: 0.05 mm of an adult's cube of 133 mm is 4e-4.
    assert difference < 4e-4


def test_unseen_losses_are_the_training_loss_on_pictures_that_are_cut_once(monkeypatch):
    from training import measure_unseen, pose_task
    data, told = _FakeFeeder(None, 0, 0, 8).next(), {}

    def batches(source, options, seed, batch):
        told.update(options, source=source, seed=seed, batch=batch)
        while True:
            yield tuple(part.numpy() for part in data)

    monkeypatch.setattr(measure_unseen, 'make_batches', batches)
    recipe = load_recipe('jgr_p2o_synthetic') | {'bf16': False, 'network_options': {'stacks': 1, 'channels': 32}}
    network, loss = build(recipe)
    losses = measure_unseen.unseen_losses(network.state_dict(), recipe, 16, 8, people_seed=5)
    assert told['crops_per_view'] == 1 < recipe['data_options']['crops_per_view']
    assert 'views' not in told, 'an option that the recipe\'s data does not know'
    assert (told['people_seed'], told['seed'], told['batch']) == (5, measure_unseen.SEED, 8)
    with torch.no_grad():
        expected = float(loss(network.train(), *pose_task.network_input(data)))
    assert losses == pytest.approx([expected] * 2, rel=1e-5)


def test_what_begins_from_chance_settles_before_the_rest_learns_but_for_what_is_held(tmp_path, monkeypatch, capsys):
    from training import pose_task, train
    monkeypatch.setattr(train, 'Feeder', _FakeFeeder)
    data = _FakeFeeder(None, 0, 0, 8).next()
    small = tuple(t.numpy() for t in (data[0], data[1], torch.full((8,), 0.13)))
    monkeypatch.setattr(pose_task, 'validation_set', lambda size=96: small)
    options = {'stacks': 1, 'channels': 32}
    before = JGRP2O(**options)
    torch.save({'network': before.state_dict(), 'chance': ['heads.0.offsets']}, tmp_path / 'start.pt')
    recipe = load_recipe('jgr_p2o_synthetic') | {
        'batch': 8, 'validate_every': 80, 'bf16': False, 'network_options': options, 'settle': 16, 'compile': False,
        'hold': ['stem.'], 'start': str(tmp_path / 'start.pt')}

    def changed(samples):
        train.train(recipe | {'samples': samples}, tmp_path / 'run', 1, 0, 'cpu')
        after = torch.load(tmp_path / 'run' / 'checkpoint.pt', weights_only=True)['network']
        return {name for name, value in before.named_parameters() if not torch.equal(after[name], value)}

    assert changed(16) == {'heads.0.offsets.weight', 'heads.0.offsets.bias'}
    assert 'begins from chance' in capsys.readouterr().out
    learnt = changed(32)
    assert {'hourglasses.0.skip.body.2.weight', 'heads.0.weights.weight'} < learnt
    assert not any(name.startswith('stem.') for name in learnt), 'what is held back learnt'


def test_a_compiled_training_goes_through_what_is_compiled(monkeypatch, capsys):
    from training import train
    monkeypatch.setattr(train.shutil, 'which', lambda _: '/usr/bin/g++')
    network, called = JGRP2O(stacks=1, channels=32), []
    monkeypatch.setattr(train.torch, 'compile', lambda method, **_: lambda *a: called.append(method.__name__) or method(*a))
    train.compile_training(network)
    value = loss(network, torch.rand(2, 1, 96, 96), torch.rand(2, 21, 3))
    assert called == ['forward_stages'] and torch.isfinite(value)
    assert network.state_dict().keys() == JGRP2O(stacks=1, channels=32).state_dict().keys()
    monkeypatch.setattr(train.shutil, 'which', lambda _: None)
    train.compile_training(other := JGRP2O(stacks=1, channels=32))
    assert 'no g++' in capsys.readouterr().out and 'forward_stages' not in vars(other)


def seasoned(network, batches, momentum):
    """Make a network's normalizations uneven and let them meet batches in training; what it gives of these."""
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.ndim == 1:
                parameter.add_(0.2 * torch.randn_like(parameter))
        for module in network.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.momentum = momentum
        return [network(batch)[0] for batch in batches]


@pytest.mark.parametrize(('way', 'tolerance'), [((1e6, 1e6), 1e-4), ((2000, 1e6), 0.01), ((2000, 3000), 0.2)])
def test_a_shipped_models_weights_are_read_back_to_train_on(tmp_path, monkeypatch, way, tolerance):
    """Folded normalizations are laid open: the same in evaluation, and nearly so on a batch's own statistics."""
    onnxruntime = pytest.importorskip('onnxruntime')
    from training import export
    from training.from_onnx import load_onnx, unfold
    torch.manual_seed(5)
    network, again = JGRP2O(channels=32), JGRP2O(channels=32)
    crops = torch.rand(16, 1, 96, 96) * 2 - 1
    in_training, = seasoned(network, [crops], 1.0)  # the normalizations have these crops' statistics
    monkeypatch.setattr(export, 'WHOLE', way)
    export.export(network.eval(), tmp_path / 'network.onnx')
    folded, absent = load_onnx(again, tmp_path / 'network.onnx')
    assert len(folded) > 20 and absent == ['heads.0.offsets', 'heads.0.weights']
    unfold(again, folded, [crops])
    with torch.no_grad():
        expected = network(crops)
        for found, true in zip(again(crops), expected):
            assert torch.allclose(found, true, atol=tolerance)
        ran = onnxruntime.InferenceSession(tmp_path / 'network.onnx').run(None, {'crop': crops.numpy()})[0]
        assert np.allclose(again(crops)[0], ran, atol=1e-3)
        assert torch.allclose(again.train()(crops)[0], in_training, atol=max(tolerance, 0.03))
    with pytest.raises(ValueError, match='network.onnx is not an export of this network'):
        load_onnx(srn.SRN(width=8), tmp_path / 'network.onnx')


@pytest.mark.parametrize('name', ['jgr_p2o_large', 'jgr_p2o', 'srn', 'residual_attention'])
def test_shipped_weights_mean_the_same_in_pytorch_and_onnx(name):
    """Within 0.05 mm in float32: a cube's half side is some 130 mm."""
    onnxruntime = pytest.importorskip('onnxruntime')
    from hand_pose_ros.estimation.models import find_model, read_manifest
    from training.from_onnx import load_onnx
    path = find_model(name).path
    network, _ = build(load_recipe(read_manifest()[name]['training']['command'].split()[-1]))
    load_onnx(network, path)
    size = network.input_size
    crops = torch.rand(3, 1, size, size, generator=torch.Generator().manual_seed(7)) * 2 - 1
    with torch.no_grad():
        expected = network.eval()(crops)[0].numpy()
    found = onnxruntime.InferenceSession(str(path)).run(None, {'crop': crops.numpy()})[0]
    assert np.linalg.norm(found - expected, axis=2).max() * 130 < 0.05


def test_weights_that_are_read_back_do_in_training_what_they_did(tmp_path):
    pytest.importorskip('onnxruntime')
    from training import export
    from training.from_onnx import load_onnx, unfold
    torch.manual_seed(5)
    network, again = JGRP2O(channels=32), JGRP2O(channels=32)
    # One batch unlike the other, as rare things make them: together they vary far more than each does.
    batches = torch.rand(8, 1, 96, 96) * 2 - 1, 0.1 * torch.rand(8, 1, 96, 96) - 0.9
    in_training = seasoned(network, batches, None)  # the mean over all batches
    export.export(network.eval(), tmp_path / 'network.onnx')
    unfold(again, load_onnx(again, tmp_path / 'network.onnx')[0], batches)
    with torch.no_grad():
        assert torch.allclose(again(batches[0])[0], network(batches[0])[0], atol=0.01)
        for batch, true in zip(batches, in_training):
            assert torch.allclose(again.train()(batch)[0], true, atol=0.03)


def test_a_head_with_attention_is_exported_and_read_back(tmp_path):
    pytest.importorskip('onnxruntime')
    from training import export
    from training.from_onnx import load_onnx
    from training.networks.rgb_regression import RGBRegression
    torch.manual_seed(7)
    options = {'depths': [18], 'width': 8, 'head': 'graph', 'input_size': 96,
               'head_options': {'width': 16, 'attention': 2}}
    network, again = RGBRegression(**options), RGBRegression(**options)
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    images = torch.rand(4, 3, 96, 96)
    with torch.no_grad():
        network(images)  # in training: normalizations come to know the features
        assert export.export(network.eval(), tmp_path / 'network.onnx') < 1e-5
        _, absent = load_onnx(again, tmp_path / 'network.onnx')
        assert absent == ['presence', *(f'stages.0.head.{part}' for part in ('heat', 'place', 'pose')), 'surface']
        for found, true in zip(again.eval()(images), network(images)):
            assert torch.allclose(found, true, atol=1e-5)


def test_large_weights_are_stored_in_as_few_bits_as_the_file_needs(tmp_path, monkeypatch):
    onnx = pytest.importorskip('onnx')
    pytest.importorskip('onnxruntime')
    from hand_pose_ros.estimation.engines.half import half_precision, read_whole
    from training import export
    torch.manual_seed(6)
    network = JGRP2O(channels=32).eval()
    whole, half, packed = (tmp_path / f'{name}.onnx' for name in ('whole', 'half', 'packed'))
    monkeypatch.setattr(export, 'HALVED', (1000, math.inf))
    monkeypatch.setattr(export, 'PACKED', (1000, 2000))
    assert export.export(network, whole) < 1e-5
    assert 1e-6 < export.export(network, half, whole.stat().st_size - 1) < 4e-3
    assert half.stat().st_size < 0.85 * whole.stat().st_size
    assert 1e-4 < export.export(network, packed, half.stat().st_size - 1) < 0.05
    assert packed.stat().st_size < 0.9 * half.stat().st_size
    with pytest.raises(ValueError, match='large.onnx would take .* MB .*: the network is too large'):
        export.export(network, tmp_path / 'large.onnx', packed.stat().st_size - 1)
    assert not (tmp_path / 'large.onnx').exists()
    weights, integers = ({t.name: t for t in (read_whole(packed) if widened else onnx.load(packed)).graph.initializer}
                         for widened in (True, False))
    name = next(name for name in integers if name.endswith('_steps')).removesuffix('_steps')
    assert integers[name].data_type == onnx.TensorProto.INT8 and weights[name].data_type == onnx.TensorProto.FLOAT
    assert f'{name}_steps' not in weights
    true, read = network.get_parameter(name).detach().numpy(), onnx.numpy_helper.to_array(weights[name])
    assert 0 < np.abs(read - true).max() <= np.abs(true).max() / 127
    assert np.array_equal(read.astype(np.float16), read), 'half precision does not hold them exactly'
    short = {t.name: t for t in onnx.load_from_string(half_precision(packed)).graph.initializer}
    assert np.array_equal(onnx.numpy_helper.to_array(short[name]), read.astype(np.float16))
    assert str(Path(__file__).parents[1]).encode() not in half.read_bytes() + whole.read_bytes()


def test_weights_are_packed_to_within_half_a_step_however_small_they_are():
    from training.export import pack
    weights = np.random.default_rng(0).normal(0, 1, (5, 4, 3, 3)).astype(np.float32)
    weights *= np.float32([1, 1e-3, 1e-5, 1e-9, 0])[:, None, None, None]
    integers, steps = pack(weights)
    assert integers.dtype == np.int8 and steps.shape == (5, 1, 1, 1)
    assert (np.abs(integers * steps - weights) <= steps / 2).all()
    assert (steps <= np.maximum(np.abs(weights).max((1, 2, 3), keepdims=True) * 2 / 127, 2.0 ** -24)).all()
    assert np.array_equal((integers * steps).astype(np.float16), integers * steps)
    assert np.array_equal(steps.astype(np.float16), steps)


def test_processes_share_muons_matrices(monkeypatch):
    """What two processes compute adds up to what one does."""
    from training import optimizers
    torch.manual_seed(1)
    stacks = [torch.randn(3, 8, 4), torch.randn(1, 4, 6), torch.randn(2, 4, 4)]
    alone = optimizers._orthogonalise_together(stacks)
    shares = []
    for rank in range(2):
        for name, value in {'is_initialized': True, 'get_world_size': 2, 'get_rank': rank, 'all_reduce': None}.items():
            monkeypatch.setattr(optimizers.distributed, name, lambda *_, value=value: value)
        shares.append(optimizers._orthogonalise_together(stacks))
    for one, first, second in zip(alone, *shares):
        assert torch.allclose(first + second, one, atol=1e-6)
    done = [sum(int(matrix.abs().sum() > 0) for part in share for matrix in part) for share in shares]
    assert done == [3, 3]


class _FakeFeeder:
    """Random crops without rendering."""

    def __init__(self, recipe, seed, workers, batch):
        self.generator, self.batch = torch.Generator().manual_seed(seed), batch

    def next(self):
        crops = torch.rand(self.batch, 96, 96, generator=self.generator) * 2 - 1
        return [crops, torch.rand(self.batch, len(BONES) + 1, 3, generator=self.generator) - 0.5,
                torch.full((self.batch,), 0.13)]

    def close(self):
        pass
