"""Targets from a trained network that looks at every crop four times."""

import itertools

import numpy as np
import pytest

pytest.importorskip('torch')

from hand_pose_ros.estimation.pose import Pose, PoseEstimator  # noqa: E402
from hand_pose_ros.geometry.joints import JOINTS  # noqa: E402
from training import pose_task, teacher  # noqa: E402

SIZE = 24


def place(crop):
    """Where a crop is nearest: what stands in it for every joint."""
    row, column = np.unravel_index(crop.argmin(), crop.shape)
    return np.array([(column + 0.5) / SIZE * 2 - 1, (row + 0.5) / SIZE * 2 - 1, crop.min()])


class Engine:
    """Says of a crop that all joints are where it is nearest, and a little to the right of that."""

    input_shape = 1, SIZE, SIZE

    def __call__(self, crops):
        places = np.stack([place(crop[0]) for crop in crops]) + [0.2, 0, 0]
        joints = np.repeat(places[:, None], len(JOINTS), 1).astype(np.float32)
        return joints, np.full(joints.shape[:2], 0.05, np.float32), np.zeros(len(crops), np.float32)


@pytest.fixture(autouse=True)
def known_teacher(monkeypatch):
    monkeypatch.setattr('hand_pose_ros.estimation.pose.open_engine', lambda *_: Engine())


def draw(seed, batch, off=0.1):
    """Endless crops with one near pixel; the true joints are ``off`` from there. Each has a size of its own."""
    rng = np.random.default_rng(seed)
    for number in itertools.count():
        images = np.ones((batch, SIZE, SIZE), np.float32)
        images.reshape(batch, -1)[np.arange(batch), rng.integers(SIZE * SIZE, size=batch)] = -0.25
        joints = np.stack([np.repeat(place(image)[None], len(JOINTS), 0) for image in images]) + off
        yield images, joints.astype(np.float32), 0.1 + 1e-4 * (number * batch + np.arange(batch))


def test_what_errs_to_one_side_of_the_crop_errs_no_more_after_four_looks():
    images, joints, halves = next(draw(0, 6, off=0.0))
    estimator = PoseEstimator('jgr_p2o')
    assert np.abs(estimator.engine(images[:, None])[0] - joints).max() == pytest.approx(0.2, abs=1e-6)
    np.testing.assert_allclose(teacher.opinion(estimator, images, halves), joints, atol=1e-4)


def test_targets_are_on_the_way_to_the_teachers_word_and_each_crop_comes_as_often_as_asked(monkeypatch):
    monkeypatch.setattr(pose_task, 'crops', draw)
    batches = list(itertools.islice(teacher.crops(3, 8, times=3, shuffled=48, off=0.1), 60))
    for images, joints, halves in batches:
        assert images.shape == (8, SIZE, SIZE) and joints.shape == (8, 21, 3) and halves.shape == (8,)
        assert joints.dtype == np.float32
        # Of the 0.1 between the truth and what the teacher says a quarter is left.
        for image, target in zip(images, joints):
            np.testing.assert_allclose(target - place(image), 0.025, atol=1e-4)
    sizes = np.concatenate([halves for *_, halves in batches])
    _, often = np.unique(sizes, return_counts=True)
    assert often.max() == 3 and (often == 3).mean() > 0.8
    near = [np.sum(np.isin(late, early)) for (*_, early), (*_, late) in itertools.pairwise(batches)]
    assert np.mean(near) < 2, 'a crop does not come again at once'


def test_the_same_seed_gives_the_same_batches(monkeypatch):
    monkeypatch.setattr(pose_task, 'crops', draw)
    one, same, other = (next(teacher.crops(seed, 4, shuffled=16)) for seed in (1, 1, 2))
    for a, b in zip(one, same):
        np.testing.assert_array_equal(a, b)
    assert not np.array_equal(one[0], other[0])
