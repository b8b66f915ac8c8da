"""Photographs with labels: how they are read, cut, mixed with renders, and what a loss learns from them."""

from __future__ import annotations

import json
from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch
from synthetic_hand import open_hand

from hand_pose_ros.core.hand import Hand
from hand_pose_ros.detection.color import DETECTOR_INPUT
from hand_pose_ros.geometry.camera import Camera
from hand_pose_ros.geometry.joints import KNUCKLES, WRIST
from hand_pose_ros.regions.cube import CUBE_PER_HAND
from training.datasets import photograph_crops, photograph_frames
from training.datasets.drawn_crops import PARTS, read_crops, write_crops
from training.datasets.frames import DatasetError
from training.datasets.label_photographs import label_hands
from training.datasets.photographs import read_photographs
from training.networks.color_detector import HandDetector
from training.networks.color_regression import ColorRegression, expected_errors
from training.networks.losses import image_loss
from training.tasks.color_detector import network_input

CAMERA = Camera(160, 120, 150.0, 150.0, 79.5, 59.5)
SIZE = 64


def points_of(side: str) -> np.ndarray:
    return CAMERA.project(open_hand(side, center=(0, 0, 0.5)))


@pytest.fixture
def folder(tmp_path, rng):
    """Two sets with hands, one of them mirrored, and one without; their joints are bright spots."""
    rows = {'seen': [], 'kept': [], 'empty': []}
    for name, side in (('seen', 'right'), ('seen', 'left'), ('kept', 'right')):
        points = points_of(side)
        image = np.full((120, 160, 3), 40, np.uint8)
        for u, v in points[:1]:
            cv2.circle(image, (round(u), round(v)), 3, (255, 255, 255), -1)
        file = f'{name}_{side}.png'
        cv2.imwrite(str(tmp_path / file), image)
        hand = {'uv': points.tolist(), 'side': side}
        box = [*points.min(0), *points.max(0)]
        rows[name].append({'file': file, 'boxes': [box], 'hands': [hand, {**hand, 'sure': False}]})
    for n in range(12):
        cv2.imwrite(str(tmp_path / f'empty_{n}.png'), rng.integers(0, 255, (90, 120, 3), np.uint8))
        rows['empty'].append({'file': f'empty_{n}.png', 'source': f'collection{n}/{n}.png'})
    for name, lines in rows.items():
        (tmp_path / f'{name}.jsonl').write_text('\n'.join(json.dumps(line) for line in lines))
    return tmp_path


@pytest.fixture
def rng():
    return np.random.default_rng(5)


def test_what_is_learnt_from_and_what_is_held_out_are_all_of_the_folder(folder):
    learnt, tested = read_photographs(folder, ['kept']), read_photographs(folder, ['kept'], testing=True)
    assert len(learnt) + len(tested) == 15
    assert {one.name for one in learnt} == {'seen', 'empty'} and {one.name for one in tested} == {'kept', 'empty'}
    assert [len(one.hands) for one in learnt if one.name == 'seen'] == [1, 1]  # those that are sure
    assert not {one.path for one in learnt} & {one.path for one in tested}


@pytest.mark.parametrize(
    ('line', 'message'),
    [
        ('{"file": "a.png", "hands": [{"uv": [[1, 2]], "side": "left"}]}', '21 points'),
        ('{"hands": []}', "KeyError: 'file'"),
        ('{', 'no JSON'),
        ('[1]', 'line 1'),
    ],
)
def test_a_line_that_is_none_is_named(tmp_path, line, message):
    (tmp_path / 'mine.jsonl').write_text(line)
    with pytest.raises(DatasetError, match=message):
        read_photographs(tmp_path)
    with pytest.raises(DatasetError, match='no other.jsonl to hold out'):
        read_photographs(tmp_path, ['other'])


def test_mediapipes_points_come_to_our_joints(folder):
    joints = open_hand('left', center=(0, 0, 0.5))
    points = CAMERA.project(joints)
    label = {
        'uv': points.tolist(),
        'z': ((joints - joints[WRIST])[:, 2] * 300).tolist(),
        'world': (joints - joints.mean(0)).tolist(),
        'side': 'left',
    }
    (folder / 'theirs.jsonl').write_text(json.dumps({'file': 'x.png', 'hands': [label]}))
    (hand,) = next(one for one in read_photographs(folder) if one.name == 'theirs').hands
    moved = np.linalg.norm(hand.points - points, axis=1) / hand.size
    assert 0.01 < moved.mean() < 0.2
    assert hand.size == pytest.approx(np.linalg.norm(points[list(KNUCKLES)] - points[WRIST], axis=1).mean(), rel=0.15)


def test_a_left_hand_is_cut_as_the_right_one_that_it_resembles(folder):
    """The mirror image of a hand, cut, is the same crop; the wrist is where its spot is, however the crop is cut."""
    cut = {}
    for photograph in read_photographs(folder):
        for hand in photograph.hands:
            image = photograph.read()
            cut[hand.side] = photograph_crops.draw_hand(image, hand, SIZE)
            for seed in range(5):
                crop, points = photograph_crops.draw_hand(image, hand, SIZE, np.random.default_rng(seed))
                u, v = ((points[WRIST] + 1) / 2 * SIZE - 0.5).round().astype(int)
                if 2 < min(u, v) and max(u, v) < SIZE - 3:
                    assert crop[v, u].min() > 150
    assert cut['left'][1] == pytest.approx(cut['right'][1], abs=0.05)
    assert cut['right'][1][WRIST][1] > 0.3  # fingers up


def test_batches_hold_their_shares_of_photographs_and_of_crops_without_hands(folder, rng, monkeypatch):
    monkeypatch.setattr(photograph_crops, 'find_proposals', lambda photographs: [])
    shapes = ((SIZE, SIZE, 3), (21, 3), (21, 2), (SIZE, SIZE), (), (8, 8, 5))
    kinds = (np.uint8, np.float32, np.float32, np.float32, np.float32, np.uint8)
    batch = tuple(np.zeros((12, *shape), kind) for shape, kind in zip(shapes, kinds))
    list(write_crops(folder / 'drawn', iter([batch]), 10))
    assert all(len(array) == 10 for array in read_crops(folder / 'drawn').values()) and len(PARTS) == 5
    batches = photograph_crops.mixed_batches(folder, folder / 'drawn', 3, 16, SIZE, 0.5, 0.4, ['kept'])
    found = [next(batches) for _ in range(4)]
    assert [part.shape for part in found[0]] == [(16, *shape) for shape in shapes]
    assert [part.dtype for part in found[0]] == list(kinds)
    known, seen = (np.concatenate([np.isfinite(one[n]).all((1, 2)) for one in found]) for n in (1, 2))
    assert known.sum() == 4 * 8 and 5 <= (~seen).sum() <= 22 and (seen | ~known).all()
    with pytest.raises(DatasetError, match='holds crops of 64 pixels, not 96'):
        next(photograph_crops.mixed_batches(folder, folder / 'drawn', 3, 16, 96, 0.5, 0.4, []))


def test_a_whole_photographs_labels_move_with_it(folder):
    """The wrist's spot is where the label says that the hand begins, however the photograph is shown."""
    photograph = next(one for one in read_photographs(folder) if one.hands)
    hand, shown = photograph.hands[0], 0
    for seed in range(30):
        image, labels = photograph_frames.draw_frame(photograph, np.random.default_rng(seed))
        assert image.shape == (DETECTOR_INPUT, DETECTOR_INPUT, 3) and labels.shape == (photograph_frames.HANDS, 7)
        u, v, half, x, y, right, weight = labels[0]
        assert (labels[1:, 6] == -1).all() and half > 0 and np.hypot(x, y) == pytest.approx(1, abs=1e-3)
        # The wrist lies opposite to where the hand points, by its share of the square.
        back = np.linalg.norm(hand.points[WRIST] - hand.center) / (CUBE_PER_HAND * hand.size)
        at = ((np.array([u, v]) - back * half * np.array([x, y]) + 1) / 2 * DETECTOR_INPUT - 0.5).astype(int)
        reach = max(3, round(0.1 * half * DETECTOR_INPUT / 2))
        spot = image[max(at[1] - reach, 0) : at[1] + reach + 1, max(at[0] - reach, 0) : at[0] + reach + 1]
        if (np.abs(at - 128) < 120).all() and weight == 1:
            shown += 1
            assert spot.max() > image[..., :].mean() + 30
    assert shown > 10


def test_hands_that_nobody_is_sure_of_are_neither_hands_nor_none(folder):
    row = {'file': 'seen_left.png', 'boxes': [[10, 10, 50, 60], [60, 20, 90, 50]], 'hands': []}
    (folder / 'boxed.jsonl').write_text(json.dumps(row))
    boxed = next(one for one in read_photographs(folder) if one.name == 'boxed')
    assert photograph_frames.labels_of(boxed)[:, 6].tolist() == [0, 0]
    assert not photograph_frames.is_usable(boxed)  # what it shows is not known
    usable = [one for one in read_photographs(folder) if photograph_frames.is_usable(one)]
    assert {one.name for one in usable} == {'seen', 'kept', 'empty'}


def test_the_detector_learns_from_photographs_beside_renders(folder, monkeypatch):
    renders = [np.zeros((6, DETECTOR_INPUT, DETECTOR_INPUT, 3), np.uint8), np.full((6, 2, 7), -1, np.float32)]
    renders.append(np.zeros((6, 32, 32, 9), np.uint8))
    monkeypatch.setattr(photograph_frames, 'frame_batches', lambda crowd, seed, batch: iter([renders] * 2))
    images, labels, surfaces = next(photograph_frames.mixed_batches([], folder, 3, 16, 0.6, 0.3, ['kept']))
    assert images.shape[0] == 16 and labels.shape == (16, photograph_frames.HANDS, 7)
    assert (surfaces[6:] == photograph_frames.UNKNOWN).all() and (surfaces[:6] == 0).all()
    assert (labels[:6, :, 6] == -1).all() and (labels[6:, 0, 6] >= 0).any()
    torch.manual_seed(0)
    network = HandDetector(width=16, joined=16)
    batch = [torch.from_numpy(part[6:]) for part in (images, labels, surfaces)]
    value = network.loss(*network_input(batch))
    value.backward()
    assert value.isfinite() and network.surface.weight.grad.abs().sum() == 0


def test_a_photograph_teaches_its_points_and_no_depth():
    torch.manual_seed(0)
    network = ColorRegression(depths=(18,), width=8, head='graph', input_size=SIZE)
    images, points = torch.rand(4, 3, SIZE, SIZE), torch.rand(4, 21, 2) - 0.5
    unknown = torch.full((4, 21, 3), torch.nan)
    points[3] = torch.nan  # no hand
    surface = torch.zeros(4, 8, 8, 5, dtype=torch.uint8)
    value = network.loss(images, unknown, points, surface, surface_weight=1.0, image_weight=1.0, aligned_weight=0.5)
    value.backward()
    assert value.isfinite() and all(p.grad is None or p.grad.isfinite().all() for p in network.parameters())
    assert network.surface.weight.grad.abs().sum() == 0  # a surface that is not known is none that is not there


def test_joints_agree_with_the_image_whatever_their_depth_and_scale():
    joints = torch.randn(2, 21, 3)
    points = 0.4 * joints[..., :2] + 0.1
    counts = torch.tensor([[True], [False]]).expand(2, 21)
    assert image_loss(joints, points, counts) < 1e-4
    assert image_loss(joints, points.flip(1), counts) > 0.2
    assert image_loss(joints, points.flip(1), ~counts & counts) == 0


def test_errors_in_the_image_stand_for_those_in_space():
    truth, points = torch.zeros(2, 21, 3), torch.zeros(2, 21, 2)
    truth[1] = torch.nan
    errors = expected_errors(torch.full((2, 21, 3), 0.1), truth, torch.full((2, 21, 2), 0.05), points)
    assert errors[0] == pytest.approx(errors[1].numpy())
    truth[:], points[1] = torch.nan, torch.nan
    assert expected_errors(truth, truth, points, points)[1].isnan().all()


def test_labels_are_sure_where_a_mirror_image_agrees():
    joints = open_hand('right', center=(0.05, 0, 0.5))
    hand = Hand('right', 0.9, joints, np.ones(21))
    mirrored = replace(hand, side='left', joints=joints * (-1, 1, 1))
    (sure,) = label_hands([hand], [mirrored], CAMERA)
    assert sure['sure'] and sure['mirror_error'] < 0.001 and sure['side'] == 'right'
    for others in ([], [replace(mirrored, side='right')], [replace(mirrored, joints=mirrored.joints + 0.03)]):
        assert not label_hands([hand], others, CAMERA)[0]['sure']
