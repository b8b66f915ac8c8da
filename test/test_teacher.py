"""Targets from a trained network that looks at every crop four times."""

import numpy as np
import pytest

torch = pytest.importorskip('torch')
pytest.importorskip('numba')

from hand_pose_ros.geometry.camera import Camera  # noqa: E402
from hand_pose_ros.localization.crop import camera_to_cube, cut_cube  # noqa: E402
from training.teacher import SHUFFLED, TURNS, Taught, look_around, turn_crops, turn_joints  # noqa: E402
from training.train import build, load_recipe, train  # noqa: E402

SIZE = 24


class Brightest(torch.nn.Module):
    """Says of a crop that every joint is where it is least, and a little to the right of that."""

    def __init__(self, off: float = 0.0) -> None:
        super().__init__()
        self.off = torch.nn.Parameter(torch.tensor(off))

    def forward(self, crop):
        place = crop.flatten(1).argmin(1)
        line = (torch.arange(SIZE) + 0.5) / SIZE * 2 - 1
        found = torch.stack([line[place % SIZE] + self.off, line[place // SIZE], crop.flatten(1).amin(1)], 1)
        return found[:, None].expand(-1, 21, -1), None


class Crops:
    """Endless batches of crops with one near pixel, which is where all joints are, or ``off`` from there."""

    def __init__(self, batch: int, off: float = 0.0) -> None:
        self.batch, self.off, self.drawn, self.closed = batch, off, 0, False
        self.generator = torch.Generator().manual_seed(0)

    def next(self):
        self.drawn += 1
        crops = torch.ones(self.batch, SIZE, SIZE)
        places = torch.randint(SIZE * SIZE, (self.batch,), generator=self.generator)
        crops.view(self.batch, -1)[torch.arange(self.batch), places] = -0.25
        return [crops, Brightest()(crops[:, None])[0] + self.off, torch.full((self.batch,), 0.1)]

    def close(self):
        self.closed = True


@pytest.mark.parametrize('quarters', range(4))
def test_joints_turn_as_the_run_time_turns_the_crops_that_show_them(quarters):
    rng = np.random.default_rng(quarters)
    camera = Camera(60, 60, 150, 150, 29.5, 29.5)
    depth = rng.uniform(0.4, 0.6, (60, 60)).astype(np.float32)
    centre, half, joints = np.array([0, 0, 0.5]), 0.08, rng.normal(0, 0.03, (21, 3)) + [0, 0, 0.5]
    upright = torch.from_numpy(cut_cube(depth, camera, centre, half, SIZE))[None]
    there = camera_to_cube(joints, centre, half)
    turn = np.pi / 2 * quarters
    back = np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
    np.testing.assert_allclose(turn_joints(torch.from_numpy(there)[None], quarters)[0],
                               np.column_stack([there[:, :2] @ back.T, there[:, 2]]), atol=1e-6)
    turned = cut_cube(depth, camera, centre, half, SIZE, turn=turn)
    same = np.abs(turn_crops(upright, quarters)[0].numpy() - turned) < 1e-6
    assert same.mean() > 0.95, 'all but pixels whose place is rounded to another neighbour'


def test_what_errs_to_one_side_of_the_crop_looks_around_and_errs_no_more():
    crops, joints, _ = Crops(6).next()
    wrong = Brightest(off=0.2)
    assert float((wrong(crops[:, None])[0] - joints).detach().norm(dim=2).mean()) == pytest.approx(0.2)
    torch.testing.assert_close(look_around(wrong, crops, bfloat16=False), joints)


def test_every_crop_comes_at_four_turns_with_joints_on_the_way_to_the_teachers_word():
    source = Crops(5, off=0.1)
    taught = Taught(source, Brightest(), share=0.75, bfloat16=False)
    batches = [taught.next() for _ in range(TURNS * SHUFFLED)]
    assert source.drawn == SHUFFLED
    crops, joints, halves = (torch.cat(part) for part in zip(*batches))
    assert len(halves) == TURNS * SHUFFLED * 5 and all(len(batch[2]) == 5 for batch in batches)
    # The true joints were 0.1 off in every coordinate, of which a quarter is left; the turn changes signs only.
    off = joints - Brightest()(crops[:, None])[0]
    torch.testing.assert_close(off.abs(), torch.full_like(off, 0.025), atol=1e-6, rtol=0)
    assert {tuple(sign) for sign in off[:, 0, :2].sign().int().tolist()} == {(1, 1), (1, -1), (-1, -1), (-1, 1)}
    first = source.drawn
    taught.next()
    assert source.drawn == first + SHUFFLED
    taught.close()
    assert source.closed


class FewCrops:
    """In the place of the workers of a training: crops of noise."""

    def __init__(self, recipe, seed, workers, batch):
        self.batch = batch

    def next(self):
        return [torch.rand(self.batch, 96, 96), torch.rand(self.batch, 21, 3) - 0.5, torch.full((self.batch,), 0.1)]

    def close(self):
        pass


def test_a_training_learns_from_a_teacher(tmp_path, monkeypatch):
    from training import pose_task
    small = np.ones((2, 96, 96), np.float32), np.zeros((2, 21, 3), np.float32), np.full(2, 0.1)
    monkeypatch.setattr(pose_task, 'validation_set', lambda size=96: small)
    monkeypatch.setattr('training.train.Feeder', FewCrops)
    recipe = load_recipe('jgr_p2o_large_taught')
    recipe |= {'network_options': {'stacks': 1, 'channels': 32}, 'batch': 4, 'samples': 8, 'bf16': False, 'compile': False}
    network, _ = build(recipe)
    weights = tmp_path / 'weights.pt'
    torch.save({'network': network.state_dict(), 'recipe': recipe}, weights)
    recipe |= {'start': str(weights), 'teacher': recipe['teacher'] | {'weights': str(weights)}}
    assert train(recipe, tmp_path / 'out', 1, 0, 'cpu')['seen'] == 8
    assert (tmp_path / 'out' / 'best.pt').is_file()
