"""Networks and their training: the papers' parts, sizes, losses, schedules, resuming, export."""

import json
import math
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml

torch = pytest.importorskip('torch', reason='training requirements are not installed: make setup-training')

from checkout import ROOT  # noqa: E402
from training_aids import build, one_thread, recipe_of  # noqa: E402, F401

from hand_pose_ros.geometry.joints import BONES, PARENTS  # noqa: E402
from training.engine import shrink, trainer  # noqa: E402
from training.engine.averaging import moving_average  # noqa: E402
from training.engine.optimizers import make_optimizers  # noqa: E402
from training.engine.plan import plan  # noqa: E402
from training.engine.schedules import learning_rate_factor  # noqa: E402
from training.engine.weights import Trained, load_weights, read_trained  # noqa: E402
from training.networks import center_refiner, residual_attention, srn  # noqa: E402
from training.networks.heads import HEADS  # noqa: E402
from training.networks.jgr_p2o import JGRP2O, Residual, skeleton_adjacency  # noqa: E402
from training.networks.losses import joint_loss  # noqa: E402
from training.networks.offset_hourglass import OffsetHourglass  # noqa: E402
from training.networks.skeletons import skeleton  # noqa: E402
from training.recipe import RECIPES, Recipe, load_recipe, make_recipe  # noqa: E402
from training.registry import TrainingError  # noqa: E402
from training.tasks import depth_pose  # noqa: E402

pytestmark = pytest.mark.usefixtures('one_thread')


@pytest.fixture(scope='module')
def network():
    torch.manual_seed(0)
    return JGRP2O().eval()


def test_adjacency_is_the_skeletons_with_self_connections_normalized():
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
        joints, spread, at_joints = network.estimate_with_features(crop)
        stages, features = network.forward_stages(crop)
        found, estimates, weights = stages[-1]
        away = (estimates[1, 4] - found[1, 4][:, None]).norm(dim=0)
        assert torch.allclose(joints, found)
        assert spread[1, 4] == pytest.approx(float((away**2 * weights[1, 4]).sum() ** 0.5), rel=1e-4)
        assert torch.allclose(at_joints[1, 4], features[1].flatten(1) @ weights[1, 4], atol=1e-5)


def test_offset_loss_is_switched_by_beta_and_zero_at_the_truth(network):
    crop, truth = torch.rand(2, 1, 96, 96), torch.zeros(2, 21, 3)
    with_offsets, without = network.loss(crop, truth), network.loss(crop, truth, beta=0.0)
    assert with_offsets > without > 0


NETWORKS = {'jgr_p2o': JGRP2O, 'srn': srn.SRN, 'residual_attention': residual_attention.ResidualAttention}


@pytest.mark.parametrize(
    ('name', 'options'),
    [
        ('jgr_p2o', {'stacks': 1}),
        ('jgr_p2o', {'stacks': 3}),
        ('jgr_p2o', {'graph': False}),
        ('jgr_p2o', {'coordinates': False}),
        ('srn', {'stacks': 1, 'width': 16}),
        ('srn', {'stacks': 3, 'width': 16}),
        ('srn', {'kernel': 0.2, 'width': 16}),
        ('srn', {'reparameterization': False, 'width': 16}),
        ('srn', {'input_size': 128, 'width': 16}),
        ('residual_attention', {'width': 16, 'p': 2, 't': 1, 'r': 2}),
        ('residual_attention', {'components': 0}),
        ('residual_attention', {'input_size': 96}),
    ],
)
def test_ablations_run_and_train_every_weight_but_the_heads(name, options):
    network = NETWORKS[name](**options)
    size = network.input_size
    crop = torch.rand(2, 1, size, size) * 2 - 1
    network.loss(crop, torch.rand(2, 21, 3) - 0.5).backward()
    idle = {key.split('.')[0] for key, weight in network.named_parameters() if weight.grad is None}
    assert idle <= {'chirality', 'certainty'}
    with torch.no_grad():
        joints, spread, right = network.eval()(crop)
    assert joints.shape == (2, 21, 3) and spread.shape == (2, 21) and right.shape == (2,)
    assert (spread > 0).all()


@pytest.mark.parametrize('name', NETWORKS)
@pytest.mark.parametrize(('benchmark', 'joints'), [('nyu', 14), ('icvl', 16), ('msra', 21)])
def test_networks_estimate_the_benchmarks_skeletons(name, benchmark, joints):
    network = NETWORKS[name](joints=benchmark, **({'width': 16} if name != 'jgr_p2o' else {'stacks': 1})).eval()
    assert network(torch.zeros(1, 1, network.input_size, network.input_size))[0].shape == (1, joints, 3)


@pytest.mark.slow
@pytest.mark.parametrize(
    'network',
    [
        srn.SRN(stacks=2, width=8),
        pytest.param(residual_attention.ResidualAttention(width=16, input_size=96), marks=pytest.mark.slow),
    ],
    ids=['srn', 'attention'],
)
def test_exported_networks_agree_with_pytorch_for_any_batch(network, tmp_path):
    pytest.importorskip('onnxruntime')
    from training.export.to_onnx import export

    # In cube coordinates: 0.05 mm of an adult's cube of 133 mm is 4e-4.
    assert export(network.eval(), tmp_path / 'network.onnx') < 4e-4


def test_a_smaller_network_begins_as_the_larger_ones_first_stack():
    """The stack left out apart, it computes the same where the bottlenecks lost only what nobody reads."""
    torch.manual_seed(0)
    large, small = JGRP2O(stacks=2, channels=32).eval(), OffsetHourglass(channels=32, middle=11).eval()
    for module in large.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
    bodies = [module.body for module in large.modules() if isinstance(module, Residual)]
    with torch.no_grad():
        for body in bodies:  # bottlenecks of 16 of which 5 are worth nothing
            body[3].weight[[0, 3, 7, 9, 15]] = body[3].bias[[0, 3, 7, 9, 15]] = 0
            body[6].weight[[1, 2, 4, 8, 11]] = body[6].bias[[1, 2, 4, 8, 11]] = 0
    lacking = load_weights(small, shrink.cut(small, large.state_dict()))
    assert not lacking
    crops = torch.rand(2, 1, 96, 96) * 2 - 1
    assert torch.allclose(small.features(crops)[0], large.features(crops)[0], atol=1e-4)


def test_narrowed_bottlenecks_are_fitted_to_what_they_were(monkeypatch):
    torch.manual_seed(0)
    large, small = JGRP2O(stacks=2, channels=32).eval(), OffsetHourglass(channels=32, middle=13).eval()
    load_weights(small, shrink.cut(small, large.state_dict()))
    crops = torch.rand(12, 1, 96, 96) * 2 - 1
    wanted = large.features(crops)[0]

    def apart():
        return (small.features(crops)[0] - wanted).square().mean().item()

    before = apart()
    shrink.refit_bottlenecks(small, large, crops)
    assert apart() < 0.5 * before
    truth = 0.3 * torch.randn(12, 21, 3)
    monkeypatch.setattr(shrink, 'BATCH', 4)
    kept = {name: value.clone() for name, value in small.state_dict().items() if not name.startswith('heads')}
    assert shrink.fit_head(small, crops, truth) < joint_loss(torch.zeros(12, 21, 3), truth)
    assert all(torch.equal(small.state_dict()[name], value) for name, value in kept.items())


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
    prior.initialize(poses)
    flat = poses.flatten(1) - prior.rebuild.bias
    numbers = flat @ torch.linalg.pinv(prior.rebuild.weight).T
    assert torch.allclose(numbers @ prior.rebuild.weight.T, flat, atol=1e-3)
    assert torch.allclose(numbers.std(0, correction=0), torch.ones(3), atol=1e-3)
    assert not prior.rebuild.weight.requires_grad and prior.bottleneck.weight.requires_grad
    with pytest.raises(ValueError, match='too few'):
        prior.initialize(poses[:2])


@pytest.mark.parametrize(
    ('network', 'heads'),
    [(srn.SRN(width=16), {'chirality', 'certainty'}), (JGRP2O(stacks=1), {'chirality'})],
    ids=['srn', 'jgr_p2o'],
)
def test_heads_learn_the_side_and_the_error_without_touching_the_rest(network, heads):
    from training.engine.heads import extract_features, heads_loss

    crops, truth = torch.rand(4, 96, 96) * 2 - 1, torch.rand(4, 21, 3) - 0.5
    heads_loss(network.eval(), extract_features(network, crops), truth).backward()
    trained = {key.split('.')[0] for key, weight in network.named_parameters() if weight.grad is not None}
    assert trained == heads


def test_a_head_that_knows_the_side_is_never_wrong_and_one_that_has_it_backwards_always():
    from training.engine.heads import extract_features, wrong_share

    class Halves(torch.nn.Module):
        """Calls a hand right whose right half has more."""

        def estimate_with_features(self, crop):
            features = crop.float().mean(2)[:, 0]
            return torch.zeros(len(crop), 21, 3), torch.ones(len(crop), 21), features

        def chirality(self, features, joints, spread):
            return self.sign * (features[:, 48:].sum(1) - features[:, :48].sum(1))

    crops = torch.linspace(0, 1, 96).expand(5, 96, 96).contiguous()
    network = Halves()
    network.sign = 1
    assert wrong_share(network, extract_features(network, crops))[:2] == (0, 0)
    network.sign = -1
    assert wrong_share(network, extract_features(network, crops))[:2] == (1, 1)


@pytest.mark.parametrize('name', ['adam', 'adamw', 'muon'])
def test_every_optimizer_learns_a_few_crops_by_heart(name):
    torch.manual_seed(0)
    network = JGRP2O(stacks=1, channels=32)
    crop, truth = torch.rand(4, 1, 96, 96) * 2 - 1, torch.rand(4, 21, 3) - 0.5
    optimizers = make_optimizers(network, name, {'adam': 3e-3, 'adamw': 3e-3, 'muon': 0.02}[name])
    values = []
    for _ in range(30):
        value = network.loss(crop, truth)
        for optimizer in optimizers:
            optimizer.zero_grad()
        value.backward()
        for optimizer in optimizers:
            optimizer.step()
        values.append(float(value.detach()))
    assert values[-1] < 0.5 * values[0]
    with pytest.raises(TrainingError, match="'adamx'; did you mean 'adam"):
        make_optimizers(network, 'adamx', 0.1)


def factor(share, schedule, samples=100, epoch=10, step_epochs=0):
    recipe = Recipe(schedule=schedule, samples=samples, epoch=epoch, step_epochs=step_epochs)
    return learning_rate_factor(share, recipe)


def test_schedules():
    assert factor(0.0, 'cosine') < 0.01 and factor(1.0, 'cosine') < 1e-9
    assert factor(0.5, 'cosine') == pytest.approx(0.5)
    assert factor(0.55, 'exponential') == pytest.approx(0.96**5)
    assert factor(0.5, 'linear') == 0.5 and factor(0.001, 'linear') < 0.2
    assert factor(0.5, 'trapezoid') == 1 and factor(0.9, 'trapezoid') == pytest.approx(0.3)
    # SRN's: 80 epochs, divided by ten every 25.
    found = [factor(e / 80, 'steps', 800, 10, 25) for e in (0, 24.9, 25, 50, 79)]
    assert found == pytest.approx([1, 1, 0.1, 0.01, 0.001])
    assert [factor(e / 70, 'steps', 700, 10, [30]) for e in (29, 30, 69)] == pytest.approx([1, 0.1, 0.1])
    with pytest.raises(TrainingError, match='sawtooth'):
        factor(0.5, 'sawtooth')


def test_a_recipe_changes_its_base_table_by_table(tmp_path):
    (tmp_path / 'mine.yaml').write_text('base: jgr_p2o_synthetic\nbatch: 7\nnetwork_options: {stacks: 1}\n')
    recipe, base = load_recipe(str(tmp_path / 'mine.yaml')), load_recipe('jgr_p2o_synthetic')
    options = {**base.network_options, 'stacks': 1}
    assert recipe == replace(base, name='mine', batch=7, network_options=options)
    changes = ['batch=9', 'network_options.stacks=3', 'loss_options.beta=0.001', 'learning_rate=1e-3']
    recipe = load_recipe(str(tmp_path / 'mine.yaml'), changes)
    assert (recipe.batch, recipe.network_options['stacks'], recipe.loss_options['beta']) == (9, 3, 0.001)
    assert recipe.learning_rate == 0.001
    with pytest.raises(TrainingError, match='names no network'):
        build(load_recipe('synthetic'))


def test_options_of_another_network_or_data_source_than_the_bases_are_not_taken_over(tmp_path):
    (tmp_path / 'mine.yaml').write_text('base: jgr_p2o_synthetic\nnetwork: srn\nnetwork_options: {width: 8}\n')
    recipe = load_recipe(str(tmp_path / 'mine.yaml'))
    assert recipe.network_options == {'width': 8}
    assert recipe.data_options == load_recipe('jgr_p2o_synthetic').data_options


MISTAKES = {
    'batchs=3': "unknown key 'batchs'; did you mean 'batch'",
    'batch=many': "batch: 'many' is not a whole number",
    'batch': "'batch' is not KEY=VALUE",
    'task=depth': "no task 'depth'; did you mean 'depth_pose'",
    'data=render': "no data source 'render'; did you mean 'renders'",
    'network=jgr_p20': "no network 'jgr_p20'; did you mean 'jgr_p2o'",
    'network=no.such:Thing': 'no module no.such',
    'network=training.networks.srn:SNR': "has no SNR; did you mean 'SRN'",
    'network_options.chanels=2': "network_options: unknown key 'chanels'; did you mean 'channels'",
    'network_options.stacks=two': 'network_options.stacks: .* is not a whole number',
    'data_options.peple=3': "data_options: unknown key 'peple'; did you mean 'people'",
    'data_options.poses.opne=0.2': "data_options.poses: unknown key 'opne'; did you mean 'open'",
    'data_options.poses.open=0.9': 'shares are 1.74 together',
    'loss_options.betta=1': "loss_options: unknown key 'betta'; did you mean 'beta'",
    'optimizer=moun': "no optimizer 'moun'; did you mean 'muon'",
    'schedule=cosinus': "no schedule 'cosinus'; did you mean 'cosine'",
    'samples=0': 'samples is 0',
    'ema_decay=1.0': 'ema_decay is 1.0',
    'start=nowhere.pt': 'start: there is no file nowhere.pt',
}


@pytest.mark.parametrize('change', MISTAKES)
def test_a_mistake_in_a_recipe_is_named_before_anything_is_drawn(change, monkeypatch):
    monkeypatch.setattr(trainer, 'Feeder', lambda *_: pytest.fail('data was drawn'))
    with pytest.raises(TrainingError, match=MISTAKES[change]):
        plan(load_recipe('jgr_p2o_synthetic', [change]))


def test_mistakes_in_options_of_options_are_named():
    for name, change, message in (
        ('jgr_p2o_msra', 'data_options.augmentation.rotatoin=3', "unknown key 'rotatoin'; did you mean 'rotation'"),
        ('jgr_p2o_msra', 'data_options.options.subjct=3', "unknown key 'subjct'; did you mean 'subject'"),
        ('jgr_p2o_msra', 'data_options.dataset=mrsa', "no depth dataset 'mrsa'; did you mean 'msra'"),
        ('color_light_synthetic', 'network_options.head_options.atention=3', "did you mean 'attention'"),
        ('dense_synthetic', 'loss_options.weights.shap=3', "did you mean 'shape'"),
        ('srn_synthetic', 'network_options.input_size=128', 'data_options.size is 96'),
    ):
        with pytest.raises(TrainingError, match=message):
            plan(load_recipe(name, [change])).build()


def test_what_a_task_or_a_network_lacks_is_named(monkeypatch):
    monkeypatch.delattr(depth_pose, 'validate')
    with pytest.raises(TrainingError, match="task 'depth_pose' lacks validate: see training.tasks.protocol.Task"):
        plan(load_recipe('jgr_p2o_synthetic'))
    with pytest.raises(TrainingError, match="'pathlib:Path' is no class of torch.nn.Module"):
        plan(recipe_of('center_refiner', network='pathlib:Path'))
    with pytest.raises(TrainingError, match='has no loss, and task .center. has none'):
        plan(recipe_of('center_refiner', network='torch.nn:Identity'))


def test_every_recipe_is_whole():
    for path in RECIPES.glob('*.yaml'):
        recipe = load_recipe(path.stem).without_start()
        if recipe.network:
            plan(recipe)


def test_a_recipe_is_known_by_what_it_says():
    recipe = load_recipe('jgr_p2o_synthetic')
    again = make_recipe(recipe.content())
    assert again == recipe and again.digest() == recipe.digest() and not recipe.changes()
    changed = load_recipe('jgr_p2o_synthetic', ['batch=7'])
    assert changed.digest() != recipe.digest() and changed.changes() == {'batch': 7}


def test_recipes_build_and_unknown_ones_are_named():
    for name in (
        'jgr_p2o_synthetic',
        'srn_synthetic',
        'residual_attention_synthetic',
        'jgr_p2o_paper',
        'center_refiner',
    ):
        recipe = load_recipe(name)
        network = build(recipe)
        assert sum(p.numel() for p in network.parameters()) > 1e5
    paper = load_recipe('jgr_p2o_paper')
    assert (paper.optimizer, paper.learning_rate, paper.batch, paper.schedule) == ('adam', 1e-4, 32, 'exponential')
    with pytest.raises(TrainingError, match='jgr_p2o_synthetic'):
        load_recipe('nonsense')
    with pytest.raises(TrainingError, match="did you mean 'srn_nyu'"):
        load_recipe('srn_nyuu')


def test_average_follows_the_weights():
    layer = torch.nn.Linear(1, 1)
    average = moving_average(layer, 0.9)
    with torch.no_grad():
        layer.weight.fill_(5.0)
    for _ in range(200):
        average.update_parameters(layer)
    assert average.module.weight.item() == pytest.approx(5.0, abs=1e-3)


def test_refiner_loss_ignores_what_has_no_label():
    network = center_refiner.CenterRefiner().eval()
    crops = torch.rand(2, 1, 64, 64)
    labels = torch.tensor([[0.1, 0, 0, -0.5, 1, 1.0], [0.3, 0.2, 0, -0.5, -1, 0.0]])
    first = float(network.loss(crops, labels).detach())
    labels[1, :4] = 9
    assert float(network.loss(crops, labels).detach()) == pytest.approx(first)


@pytest.fixture
def quick(monkeypatch):
    """Training on random crops: a recipe of 16 samples, with validation after each batch of 8."""
    monkeypatch.setattr(trainer, 'Feeder', _FakeFeeder)
    crops, joints, _ = _FakeFeeder(None, None, 0, 0, 8).next()
    small = crops.numpy(), joints.numpy(), np.full(8, 0.13, np.float32)
    monkeypatch.setattr(depth_pose, 'validation_set', lambda size=96: small)
    return recipe_of(
        'jgr_p2o_synthetic',
        samples=16,
        batch=8,
        validate_every=8,
        bf16=False,
        network_options={'stacks': 1, 'channels': 32},
    )


def test_training_resumes_where_it_stopped_and_exports(tmp_path, quick):
    onnx = pytest.importorskip('onnx')
    pytest.importorskip('onnxruntime')
    from hand_pose_ros.inference.models import find_model
    from training.__main__ import main

    first = trainer.train(quick, tmp_path)
    assert first['seen'] == 16
    again = trainer.train(replace(quick, samples=32), tmp_path)
    assert again['seen'] == 32
    assert len((tmp_path / 'validation.jsonl').read_text().splitlines()) == 4
    assert main(['export', str(tmp_path / 'best.pt'), str(tmp_path / 'tiny.onnx')]) == 0
    trained = read_trained(tmp_path / 'best.pt')
    assert trained.recipe.samples in (16, 32) and trained.recipe.name == 'jgr_p2o_synthetic'
    # The recipe really used goes with the network.
    stored = {prop.key: prop.value for prop in onnx.load(tmp_path / 'tiny.onnx').metadata_props}
    assert make_recipe(json.loads(stored['training.recipe'])) == trained.recipe
    entry = yaml.safe_load((tmp_path / 'manifest.yaml').read_text())['tiny']
    assert entry['training']['recipe_sha256'] == stored['training.recipe_sha256'] == trained.recipe.digest()
    assert entry['training']['changes']['network_options'] == {'stacks': 1, 'channels': 32}
    (tmp_path / 'manifest.yaml').unlink()
    assert find_model(str(tmp_path / 'tiny.onnx')).confidence == tuple(entry['confidence']), 'the file says it itself'


def test_a_network_without_a_loss_is_trained_by_the_tasks(tmp_path, quick):
    recipe = replace(quick, network=f'{__name__}:Plain', network_options={'width': 8}, loss_options={'mirrored': 0.4})
    first = trainer.train(recipe, tmp_path)
    assert first['seen'] == 16 and math.isfinite(first['loss'])
    with pytest.raises(TrainingError, match="did you mean 'mirrored'"):
        plan(replace(recipe, loss_options={'mirored': 0.4}))


class Plain(torch.nn.Module):
    """A network of a dozen lines, as docs/develop/add_a_network.md has it."""

    input_size = 96

    def __init__(self, width: int = 16) -> None:
        super().__init__()
        self.body = torch.nn.Sequential(torch.nn.Conv2d(1, width, 3, 4), torch.nn.ReLU(), torch.nn.AdaptiveAvgPool2d(4))
        self.joints, self.sigma, self.side = (torch.nn.Linear(16 * width, size) for size in (63, 21, 1))

    def forward(self, crop):
        features = self.body(crop).flatten(1)
        joints = self.joints(features).unflatten(1, (21, 3))
        return joints, self.sigma(features).clamp(-6, 2).exp(), self.side(features)[:, 0]


def test_unseen_losses_are_the_training_loss_on_pictures_that_are_cut_once(monkeypatch):
    from training.evaluation import memorization
    from training.tasks.protocol import DataSource

    data, given = _FakeFeeder(None, None, 0, 0, 8).next(), {}

    def batches(seed, batch, **options):
        given.update(options, seed=seed, batch=batch)
        while True:
            yield tuple(part.numpy() for part in data)

    monkeypatch.setattr(depth_pose, 'SOURCES', {'renders': DataSource(batches, (depth_pose.crop_source,))})
    recipe = recipe_of('jgr_p2o_synthetic', bf16=False, network_options={'stacks': 1, 'channels': 32})
    network = build(recipe)
    losses = memorization.unseen_losses(network.state_dict(), recipe, 16, 8, people_seed=5)
    assert given['crops_per_view'] == 1 < recipe.data_options['crops_per_view']
    assert 'views' not in given, "an option that the recipe's data does not know"
    assert (given['people_seed'], given['seed'], given['batch']) == (5, memorization.SEED, 8)
    with torch.no_grad():
        expected = float(network.train().loss(*depth_pose.network_input(data)))
    assert losses == pytest.approx([expected] * 2, rel=1e-5)


def test_what_is_random_learns_before_the_rest_does_but_for_what_is_frozen(tmp_path, quick, capsys):
    before = build(quick)
    Trained(before.state_dict(), quick, {'seen': 0}, ('heads.0.offsets',)).save(tmp_path / 'start.pt')
    recipe = replace(
        quick,
        validate_every=80,
        freeze_started_samples=16,
        freeze=['stem.'],
        start=str(tmp_path / 'start.pt'),
    )

    def changed(samples):
        trainer.train(replace(recipe, samples=samples), tmp_path / 'run')
        after = torch.load(tmp_path / 'run' / 'checkpoint.pt', weights_only=True)['network']
        return {name for name, value in before.named_parameters() if not torch.equal(after[name], value)}

    assert changed(16) == {'heads.0.offsets.weight', 'heads.0.offsets.bias'}
    assert 'random initialization' in capsys.readouterr().out
    learnt = changed(32)
    assert {'hourglasses.0.skip.body.2.weight', 'heads.0.weights.weight'} < learnt
    assert not any(name.startswith('stem.') for name in learnt), 'what is frozen learnt'


def test_two_processes_learn_what_one_does(tmp_path):
    """Gradients are the mean over both, for weights that a loss leaves out too."""
    from training.engine.distributed import Processes

    script = tmp_path / 'two.py'
    script.write_text(
        'import sys, torch\n'
        'from training.engine.distributed import Processes\n'
        'processes = Processes.join("cpu")\n'
        'torch.manual_seed(0)\n'
        'network = torch.nn.ModuleDict({"used": torch.nn.Linear(3, 1), "unused": torch.nn.Linear(3, 1)})\n'
        'network.forward = lambda x: network["used"](x).sum()\n'
        'shared = processes.share(network)\n'
        'for _ in range(2):\n'
        '    network.zero_grad(set_to_none=True)\n'
        '    shared(torch.full((1, 3), 1.0 + 2 * processes.rank)).backward()\n'
        'assert network["unused"].weight.grad is None\n'
        'assert network["used"].weight.grad.tolist() == [[2.0, 2.0, 2.0]]\n'
        'assert processes.any(processes.rank == 1) and not processes.any(False)\n'
        'processes.leave()\n'
    )
    root = Path(trainer.__file__).parents[2]
    command = [sys.executable, '-m', 'torch.distributed.run', '--standalone', '--nproc-per-node', '2', str(script)]
    done = subprocess.run(command, env={**os.environ, 'PYTHONPATH': str(root)}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    assert Processes.join('cpu').count == 1


def test_a_compiled_training_goes_through_what_is_compiled(monkeypatch, capsys):
    monkeypatch.setattr(trainer.shutil, 'which', lambda _: '/usr/bin/g++')
    network, called = JGRP2O(stacks=1, channels=32), []
    monkeypatch.setattr(
        trainer.torch, 'compile', lambda method, **_: lambda *a: called.append(method.__name__) or method(*a)
    )
    trainer.compile_network(network)
    value = network.loss(torch.rand(2, 1, 96, 96), torch.rand(2, 21, 3))
    assert called == ['forward_stages'] and torch.isfinite(value)
    assert network.state_dict().keys() == JGRP2O(stacks=1, channels=32).state_dict().keys()
    monkeypatch.setattr(trainer.shutil, 'which', lambda _: None)
    trainer.compile_network(other := JGRP2O(stacks=1, channels=32))
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


@pytest.mark.slow
@pytest.mark.parametrize(
    ('way', 'tolerance'),
    [
        pytest.param((1e6, 1e6), 1e-4, marks=pytest.mark.slow),
        pytest.param((2000, 1e6), 0.01, marks=pytest.mark.slow),
        ((2000, 3000), 0.2),
    ],
)
def test_a_shipped_models_weights_are_read_back_to_train_on(tmp_path, monkeypatch, way, tolerance):
    """Folded normalizations are laid open: the same in evaluation, and nearly so on a batch's own statistics."""
    onnxruntime = pytest.importorskip('onnxruntime')
    from training.export import to_onnx
    from training.export.from_onnx import load_onnx, unfold

    torch.manual_seed(5)
    network, again = JGRP2O(channels=32), JGRP2O(channels=32)
    crops = torch.rand(16, 1, 96, 96) * 2 - 1
    (in_training,) = seasoned(network, [crops], 1.0)  # the normalizations have these crops' statistics
    monkeypatch.setattr(to_onnx, 'WHOLE', way)
    to_onnx.export(network.eval(), tmp_path / 'network.onnx')
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


@pytest.mark.parametrize('name', ['jgr_p2o_large', 'jgr_p2o', 'hourglass_compact', 'srn', 'residual_attention'])
def test_shipped_weights_mean_the_same_in_pytorch_and_onnx(name):
    """Within 0.05 mm in float32: a cube's half side is some 130 mm."""
    onnxruntime = pytest.importorskip('onnxruntime')
    from hand_pose_ros.inference.models import find_model, read_manifest
    from training.export.from_onnx import load_onnx

    path = find_model(name).path
    network = build(load_recipe(read_manifest()[name]['training']['recipe']))
    load_onnx(network, path)
    size = network.input_size
    crops = torch.rand(3, 1, size, size, generator=torch.Generator().manual_seed(7)) * 2 - 1
    with torch.no_grad():
        expected = network.eval()(crops)[0].numpy()
    found = onnxruntime.InferenceSession(str(path)).run(None, {'crop': crops.numpy()})[0]
    assert np.linalg.norm(found - expected, axis=2).max() * 130 < 0.05


@pytest.mark.slow
def test_weights_that_are_read_back_do_in_training_what_they_did(tmp_path):
    pytest.importorskip('onnxruntime')
    from training.export import to_onnx
    from training.export.from_onnx import load_onnx, unfold

    torch.manual_seed(5)
    network, again = JGRP2O(channels=32), JGRP2O(channels=32)
    # One batch unlike the other, as rare things make them: together they vary far more than each does.
    batches = torch.rand(8, 1, 96, 96) * 2 - 1, 0.1 * torch.rand(8, 1, 96, 96) - 0.9
    in_training = seasoned(network, batches, None)  # the mean over all batches
    to_onnx.export(network.eval(), tmp_path / 'network.onnx')
    unfold(again, load_onnx(again, tmp_path / 'network.onnx')[0], batches)
    with torch.no_grad():
        assert torch.allclose(again(batches[0])[0], network(batches[0])[0], atol=0.01)
        for batch, true in zip(batches, in_training):
            assert torch.allclose(again.train()(batch)[0], true, atol=0.03)


@pytest.mark.slow
def test_a_head_with_attention_is_exported_and_read_back(tmp_path):
    pytest.importorskip('onnxruntime')
    from training.export import to_onnx
    from training.export.from_onnx import load_onnx
    from training.networks.color_regression import ColorRegression

    torch.manual_seed(7)
    options = {
        'depths': [18],
        'width': 8,
        'head': 'graph',
        'input_size': 96,
        'head_options': {'width': 16, 'attention': 2},
    }
    network, again = ColorRegression(**options), ColorRegression(**options)
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    images = torch.rand(4, 3, 96, 96)
    with torch.no_grad():
        network(images)  # in training: normalizations come to know the features
        assert to_onnx.export(network.eval(), tmp_path / 'network.onnx') < 1e-5
        _, absent = load_onnx(again, tmp_path / 'network.onnx')
        assert absent == ['presence', *(f'stages.0.head.{part}' for part in ('heat', 'place', 'pose')), 'surface']
        for found, true in zip(again.eval()(images), network(images)):
            assert torch.allclose(found, true, atol=1e-5)


@pytest.mark.slow
def test_large_weights_are_stored_in_as_few_bits_as_the_file_needs(tmp_path, monkeypatch):
    onnx = pytest.importorskip('onnx')
    pytest.importorskip('onnxruntime')
    from training.export import to_onnx
    from training.export.from_onnx import read_whole

    torch.manual_seed(6)
    network = JGRP2O(channels=32).eval()
    whole, half, packed = (tmp_path / f'{name}.onnx' for name in ('whole', 'half', 'packed'))
    monkeypatch.setattr(to_onnx, 'HALVED', (1000, math.inf))
    monkeypatch.setattr(to_onnx, 'PACKED', (1000, 2000))
    assert to_onnx.export(network, whole) < 1e-5
    assert 1e-6 < to_onnx.export(network, half, whole.stat().st_size - 1) < 4e-3
    assert half.stat().st_size < 0.85 * whole.stat().st_size
    assert 1e-4 < to_onnx.export(network, packed, half.stat().st_size - 1) < 0.05
    assert packed.stat().st_size < 0.9 * half.stat().st_size
    with pytest.raises(ValueError, match='large.onnx would take .* MB .*: the network is too large'):
        to_onnx.export(network, tmp_path / 'large.onnx', packed.stat().st_size - 1)
    assert not (tmp_path / 'large.onnx').exists()
    weights, integers = (
        {t.name: t for t in (read_whole(packed) if widened else onnx.load(packed)).graph.initializer}
        for widened in (True, False)
    )
    name = next(name for name in integers if name.endswith('_steps')).removesuffix('_steps')
    assert integers[name].data_type == onnx.TensorProto.INT8 and weights[name].data_type == onnx.TensorProto.FLOAT
    assert f'{name}_steps' not in weights
    true, read = network.get_parameter(name).detach().numpy(), onnx.numpy_helper.to_array(weights[name])
    assert 0 < np.abs(read - true).max() <= np.abs(true).max() / 127
    assert np.array_equal(read.astype(np.float16), read), 'half precision does not hold them exactly'
    assert str(ROOT).encode() not in half.read_bytes() + whole.read_bytes()


def test_weights_are_packed_to_within_half_a_step_however_small_they_are():
    from training.export.to_onnx import pack

    weights = np.random.default_rng(0).normal(0, 1, (5, 4, 3, 3)).astype(np.float32)
    weights *= np.float32([1, 1e-3, 1e-5, 1e-9, 0])[:, None, None, None]
    integers, steps = pack(weights)
    assert integers.dtype == np.int8 and steps.shape == (5, 1, 1, 1)
    assert (np.abs(integers * steps - weights) <= steps / 2).all()
    assert (steps <= np.maximum(np.abs(weights).max((1, 2, 3), keepdims=True) * 2 / 127, 2.0**-24)).all()
    assert np.array_equal((integers * steps).astype(np.float16), integers * steps)
    assert np.array_equal(steps.astype(np.float16), steps)


def test_processes_share_muons_matrices(monkeypatch):
    """What two processes compute adds up to what one does."""
    from training.engine import optimizers

    torch.manual_seed(1)
    stacks = [torch.randn(3, 8, 4), torch.randn(1, 4, 6), torch.randn(2, 4, 4)]
    alone = optimizers._orthogonalize_together(stacks)
    shares = []
    for rank in range(2):
        for name, value in {'is_initialized': True, 'get_world_size': 2, 'get_rank': rank, 'all_reduce': None}.items():
            monkeypatch.setattr(optimizers.distributed, name, lambda *_, value=value: value)
        shares.append(optimizers._orthogonalize_together(stacks))
    for one, first, second in zip(alone, *shares):
        assert torch.allclose(first + second, one, atol=1e-6)
    done = [sum(int(matrix.abs().sum() > 0) for part in share for matrix in part) for share in shares]
    assert done == [3, 3]


class _FakeFeeder:
    """Random crops without rendering."""

    def __init__(self, draw, options, seed, workers, batch):
        self.generator, self.batch = torch.Generator().manual_seed(seed), batch

    def next(self):
        crops = torch.rand(self.batch, 96, 96, generator=self.generator) * 2 - 1
        return [
            crops,
            torch.rand(self.batch, len(BONES) + 1, 3, generator=self.generator) - 0.5,
            torch.full((self.batch,), 0.13),
        ]

    def close(self):
        pass
