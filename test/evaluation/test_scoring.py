"""The benchmarks' measures against cases worked out by hand, and what must leave them unchanged."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hand_pose_ros.evaluation import scoring
from hand_pose_ros.evaluation.scoring import (
    align,
    area_under_curve,
    counts,
    f_score,
    joint_errors,
    mask_scores,
    mean_error,
    pck,
    per_joint,
    success_rate,
)
from hand_pose_ros.geometry.joints import JOINTS
from hand_pose_ros.geometry.rotations import random_rotations
from hand_pose_ros.io.benchmarks import BENCHMARKS, find_benchmark

ERRORS = np.array([[3.0, 4.0, 5.0], [10.0, 20.0, 30.0], [1.0, np.nan, 2.0]])


def test_errors_are_distances_and_their_means_leave_unknown_joints_out():
    truth = np.zeros((1, 2, 3))
    estimates = np.array([[[3.0, 4.0, 0], [0, 0, 12.0]]])
    assert joint_errors(estimates, truth).tolist() == [[5, 12]]
    assert mean_error(ERRORS) == pytest.approx(75 / 8)
    assert per_joint(ERRORS) == pytest.approx([14 / 3, 12, 37 / 3])
    assert np.isnan(mean_error(np.full((2, 2), np.nan)))
    assert np.isnan(per_joint(np.array([[1.0, np.nan]]))[1])


def test_success_is_by_the_worst_or_by_the_mean_joint():
    thresholds = np.array([2.0, 4.5, 5.0, 20.0, 29.9, 30.0])
    assert success_rate(ERRORS, thresholds, 'worst') * 3 == pytest.approx([1, 1, 2, 2, 2, 3])
    assert success_rate(ERRORS, thresholds, 'mean') * 3 == pytest.approx([1, 2, 2, 3, 3, 3])
    with pytest.raises(ValueError, match='best'):
        success_rate(ERRORS, thresholds, 'best')


def test_pck_counts_joints_and_its_area_is_a_share_of_the_whole():
    assert pck(ERRORS, np.array([0.5, 4, 30])) * 8 == pytest.approx([0, 4, 8])
    line = np.linspace(20, 50, 31)
    assert area_under_curve(line, pck(np.zeros((5, 21)), line)) == 1
    assert area_under_curve(line, pck(np.full((5, 21), 60.0), line)) == 0
    assert area_under_curve(np.array([0.0, 10]), np.array([0.0, 1])) == 0.5


@given(seed=st.integers(0, 10_000), scale=st.floats(0.3, 3))
@settings(max_examples=25, deadline=None)
def test_procrustes_undoes_any_similarity_but_no_reflection(seed, scale):
    rng = np.random.default_rng(seed)
    truth = rng.normal(0, 40, (2, 21, 3))
    moved = scale * truth @ random_rotations(rng, 1)[0] + rng.normal(0, 300, 3)
    assert joint_errors(align(moved, truth, 'procrustes'), truth).max() < 1e-6
    mirrored = moved * (-1, 1, 1)
    assert joint_errors(align(mirrored, truth, 'procrustes'), truth).mean() > 5


def test_procrustes_is_the_least_squares_optimum_and_ignores_unknown_joints():
    rng = np.random.default_rng(1)
    truth = rng.normal(0, 40, (1, 21, 3))
    estimates = truth + rng.normal(0, 10, truth.shape)
    best = (joint_errors(align(estimates, truth, 'procrustes'), truth) ** 2).sum()
    for how in ('root', 'scale', 'none'):
        assert best < (joint_errors(align(estimates, truth, how), truth) ** 2).sum()
    hidden = truth.copy()
    hidden[0, 3] = np.nan
    errors = joint_errors(align(2 * truth, hidden, 'procrustes'), hidden)
    assert np.isnan(errors[0, 3]) and np.nanmax(errors) < 1e-9


def test_root_and_scale_alignment():
    rng = np.random.default_rng(2)
    truth = rng.normal(0, 40, (3, 21, 3))
    assert joint_errors(align(truth + 7, truth, 'root', 4), truth).max() < 1e-9
    assert joint_errors(align(0.5 * truth + 7, truth, 'scale', None), truth).max() < 1e-9
    assert joint_errors(align(0.5 * truth + 7, truth, 'root', 0), truth).max() > 5
    with pytest.raises(ValueError, match='icp'):
        align(truth, truth, 'icp')


def test_f_score_is_the_harmonic_mean_of_precision_and_recall():
    truth = np.array([[[0.0, 0, 0], [100, 0, 0], [200, 0, 0], [300, 0, 0]]])
    estimates = np.array([[[4.0, 0, 0], [100, 14, 0], [500, 0, 0], [600, 0, 0]]])
    assert f_score(truth, truth, 5) == 1
    assert f_score(estimates, truth, 5) == pytest.approx(0.25)
    assert f_score(estimates, truth, 15) == pytest.approx(0.5)
    assert f_score(truth + 1000, truth, 15) == 0


def test_f_score_of_large_meshes_is_that_of_its_blocks(monkeypatch):
    rng = np.random.default_rng(4)
    truth, estimates = rng.normal(0, 30, (2, 50, 3)), rng.normal(0, 30, (2, 70, 3))
    whole = f_score(estimates, truth, 15)
    for block in (1, 99, 120, 1000):
        monkeypatch.setattr(scoring, '_BLOCK', block)
        assert f_score(estimates, truth, 15) == whole
    assert 0.2 < whole < 1


def test_masks():
    truth = np.zeros((1, 4, 4), bool)
    truth[0, :2] = True
    half = np.zeros_like(truth)
    half[0, 1:3] = True
    assert mask_scores(half, truth) == pytest.approx({'iou': 1 / 3, 'precision': 0.5, 'recall': 0.5, 'f1': 0.5})
    nothing = np.zeros_like(truth)
    assert mask_scores(nothing, truth)['recall'] == 0 == mask_scores(nothing, truth)['iou']
    assert mask_scores(nothing, nothing)['iou'] == 1


def test_counts_distinguish_unknown_from_missing():
    truth, estimates = np.zeros((2, 3, 3)), np.zeros((2, 3, 3))
    truth[0, 0] = np.nan
    estimates[0, 0] = estimates[1, 2] = np.nan
    assert counts(truth, estimates) == {'frames': 2, 'joints_compared': 4, 'joints_unknown': 1, 'joints_missing': 1}


@pytest.mark.parametrize('name', BENCHMARKS)
def test_benchmarks_are_consistent(name):
    benchmark = find_benchmark(name)
    assert len(set(benchmark.joints)) == len(benchmark.joints)
    tips = [joint for joint in benchmark.joints if joint.endswith('_tip')]
    assert sorted(tips) == sorted(joint for joint in JOINTS if joint.endswith('_tip'))
    for joint, own in zip(benchmark.joints, benchmark.ours):
        assert own is None or JOINTS[own] == joint
    assert not benchmark.source or (
        max(benchmark.source) < benchmark.annotated and len(benchmark.source) == len(benchmark.joints)
    )
    assert benchmark.center is None or not benchmark.joints[benchmark.center].endswith('tip')


def test_orders_are_the_datasets():
    """From the datasets' documents, joint by joint where orders are easily mistaken."""
    assert [JOINTS[i] for i in find_benchmark('msra').ours[1:5]] == ['index_mcp', 'index_pip', 'index_dip', 'index_tip']
    assert find_benchmark('msra').joints[17:] == ('thumb_cmc', 'thumb_mcp', 'thumb_ip', 'thumb_tip')
    assert find_benchmark('hands17').joints[:6] == (
        'wrist',
        'thumb_cmc',
        'index_mcp',
        'middle_mcp',
        'ring_mcp',
        'pinky_mcp',
    )
    assert find_benchmark('hands17').joints[6:12] == (
        'thumb_mcp',
        'thumb_ip',
        'thumb_tip',
        'index_pip',
        'index_dip',
        'index_tip',
    )
    assert find_benchmark('rhd').ours == (0, 4, 3, 2, 1, 8, 7, 6, 5, 12, 11, 10, 9, 16, 15, 14, 13, 20, 19, 18, 17)
    assert find_benchmark('stb').ours == (None, 17, 18, 19, 20, 13, 14, 15, 16, 9, 10, 11, 12, 5, 6, 7, 8, 1, 2, 3, 4)
    assert find_benchmark('freihand').ours == tuple(range(21))
    assert find_benchmark('nyu').joints[6] == 'index_tip' and find_benchmark('nyu').source[6] == 18
    with pytest.raises(ValueError, match='nyu, icvl'):
        find_benchmark('coco')
