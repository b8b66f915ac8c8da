"""The fit of MediaPipe's points to our joints, and what is counted on labeled photographs."""

from __future__ import annotations

import json

import cv2
import numpy as np
import pytest
from synthetic_hand import open_hand

from hand_pose_ros.core.hand import Hand
from hand_pose_ros.estimation.mediapipe_landmarks import Landmarks
from hand_pose_ros.estimation.mediapipe_mapping import joint_offsets
from hand_pose_ros.geometry.camera import Camera
from hand_pose_ros.geometry.rotations import rotation_vector_to_matrix
from hand_pose_ros.regions.perspective import PerspectiveRegion
from training.assets import mediapipe_mapping as mapping
from training.evaluation import photographs

CAMERA = Camera(640, 480, 600.0, 600.0, 319.5, 239.5)


def seen(rng: np.random.Generator, offsets: np.ndarray) -> mapping.Seen:
    """A hand far away, any way round, whose network is right but for the offsets."""
    points = open_hand() - open_hand().mean(0)
    points = points @ rotation_vector_to_matrix(rng.normal(size=3) * 2).T + [0, 0, 50.0]
    region = PerspectiveRegion.of_hand(points)
    local = region.from_camera(points)
    local[:, 2] -= local[0, 2]
    flat = np.concatenate([region.project(points), local[:, 2:] / (50.0 * region.reach)], 1)
    marks = Landmarks(flat, local - local.mean(0), 1.0, 5.0)
    joints = points + region.to_camera(joint_offsets(local, True, offsets))
    return mapping.Seen(marks, region, joints)


def test_offsets_and_the_mix_of_depths_are_found_again(monkeypatch):
    rng = np.random.default_rng(3)
    offsets = rng.normal(0, 0.05, (21, 3))
    hands = [seen(rng, np.zeros((21, 3))) for _ in range(60)]
    assert sum(mapping.fit_depth(hands)) == pytest.approx(1.0, abs=0.02)
    monkeypatch.setattr(mapping.part, 'DEPTH_MIX', (0.5, 0.5))
    found = mapping.fit_offsets([seen(rng, offsets) for _ in range(120)])
    assert found == pytest.approx(offsets, abs=0.01)


def test_sigma_and_confidence_are_fitted_to_errors():
    rng = np.random.default_rng(0)
    apart = rng.uniform(0, 0.3, (4000, 21))
    floors = np.linspace(0.1, 0.3, 21)
    errors = np.abs(rng.normal(size=apart.shape)) * (floors + 0.5 * apart) * np.sqrt(np.pi / 2)
    found, gain = mapping.fit_sigma(apart, errors)
    assert found == pytest.approx(floors, abs=0.02) and gain == pytest.approx(0.5, abs=0.05)
    sigmas = 90 * (floors + 0.5 * apart)
    intercept, slope = mapping.fit_confidence(sigmas, 90 * errors < 10)
    share = 1 / (1 + np.exp(slope * np.log(sigmas) - intercept))
    assert share.mean() == pytest.approx((90 * errors < 10).mean(), abs=0.01)


def hand(side: str, joints: np.ndarray) -> Hand:
    return Hand(side, 0.9, joints, np.ones(21))


def test_what_is_found_false_and_of_the_wrong_side():
    joints = open_hand('right', center=(0.1, 0, 0.6))
    points = CAMERA.project(joints)
    box = [*(points.min(0) - 5), *(points.max(0) + 5)]
    label = {'uv': points.tolist(), 'side': 'right', 'sure': True}
    elsewhere = open_hand('left', center=(-0.2, 0, 0.6))
    row = {'boxes': [box, [0, 0, 30, 30]], 'hands': [label, {**label, 'sure': False}]}
    counts = photographs.compare(row, [hand('left', joints), hand('left', elsewhere)], CAMERA)
    assert (counts['boxes'], counts['found_boxes'], counts['beside_boxes']) == (2, 1, 1)
    assert (counts['sure'], counts['found_sure'], counts['side_right'], counts['off']) == (1, 1, 0, 0)
    moved = photographs.compare(row, [hand('right', joints + [0.04, 0, 0])], CAMERA)
    assert (moved['found_sure'], moved['side_right'], moved['off']) == (1, 1, 1)
    assert photographs.compare(row, [], CAMERA)['found_sure'] == 0


def test_photographs_are_read_with_their_labels(tmp_path):
    rows = [{'file': f'{n}.png', 'boxes': None, 'hands': []} for n in range(3)]
    (tmp_path / 'some.jsonl').write_text('\n'.join(map(json.dumps, rows)))
    for n in range(3):
        cv2.imwrite(str(tmp_path / f'{n}.png'), np.full((48, 64, 3), n, np.uint8))
    found = list(photographs.photographs(tmp_path, 'some', 2, 0))
    assert len(found) == 2
    for row, frame in found:
        assert frame.camera.width == 64 and (frame.color == int(row['file'][0])).all()
