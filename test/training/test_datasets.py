"""Readers of the benchmarks: small folders in the official formats, written here and read back; what feeds training."""

import json
import queue
import struct
import threading
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

pytest.importorskip('scipy', reason='training requirements are not installed: make setup-training')
torch = pytest.importorskip('torch', reason='training requirements are not installed: make setup-training')

import scipy.io  # noqa: E402
from training_aids import InlineFeeder, build, recipe_of  # noqa: E402

from hand_pose_ros.geometry.joints import JOINTS  # noqa: E402
from training.__main__ import main  # noqa: E402
from training.datasets import DatasetError, hands17, msra, nyu, open_dataset  # noqa: E402
from training.datasets.crops import Augmentation, Cube, draw_batches, hand_center  # noqa: E402
from training.engine import feeder, precision, trainer  # noqa: E402
from training.engine.weights import Trained  # noqa: E402
from training.recipe import Recipe, load_recipe  # noqa: E402
from training.registry import TrainingError  # noqa: E402
from training.tasks import depth_benchmark, depth_pose  # noqa: E402

NYU_EVALUATED = [0, 3, 6, 9, 12, 15, 18, 21, 24, 25, 27, 30, 31, 32]

SRN = {'rotation': 180, 'scale': 0.1, 'translation_mm': 10}


def hand(count: int, frame: int) -> np.ndarray:
    """Joints (J, 3) in meters, camera optical frame: off the axis, none like another, none mirrored to itself."""
    joint = np.arange(count)
    return np.stack([0.05 + 0.021 * (joint % 5), -0.06 + 0.023 * (joint // 5), 0.45 + 0.004 * joint + 0.01 * frame], -1)


def picture(joints: np.ndarray, width: int, height: int, fx: float, fy: float, cx: float, cy: float) -> np.ndarray:
    """Depth (H, W) in millimeters, 0 where nothing is: a square at every joint, at the joint's depth."""
    image = np.zeros((height, width), np.uint16)
    for x, y, z in joints:
        u, v = round(fx * x / z + cx), round(fy * y / z + cy)
        image[v - 2 : v + 3, u - 2 : u + 3] = round(1000 * z)
    return image


def write_nyu(folder: Path, split: str, frames: int) -> None:
    """Y points up, millimeters; depth's high byte is green, its low byte blue."""
    (folder / split).mkdir(parents=True)
    xyz, uvd = np.full((3, frames, 36, 3), 999.0), np.full((3, frames, 36, 3), 999.0)
    for view in range(3):
        for frame in range(frames):
            joints = hand(14, frame + 3 * view)
            xyz[view, frame, NYU_EVALUATED] = 1000 * joints * (1, -1, 1)
            image = picture(joints, 640, 480, 588.03, 587.07, 320, 240)
            cv2.imwrite(
                str(folder / split / f'depth_{view + 1}_{frame + 1:07d}.png'),
                np.dstack([image & 255, image >> 8, np.full_like(image, 77)]).astype(np.uint8),
            )
    scipy.io.savemat(folder / split / 'joint_data.mat', {'joint_xyz': xyz, 'joint_uvd': uvd}, do_compression=True)


def icvl_line(name: str, joints: np.ndarray) -> str:
    """U v in pixels and d in millimeters, with the space that the real files have at a line's end."""
    u, v = 240.99 * joints[:, 0] / joints[:, 2] + 160, 240.96 * joints[:, 1] / joints[:, 2] + 120
    return f'{name} ' + ''.join(f'{value:.3f} ' for value in np.stack([u, v, 1000 * joints[:, 2]], -1).flatten()) + '\n'


def write_icvl(folder: Path) -> None:
    sequences = {
        'Training/labels.txt': [
            '201403121135/image_0000.png',
            '201403121135/image_0001.png',
            '22-5/201403121135/image_0000.png',
            '180/201403121135/image_0000.png',
        ],
        'Testing/test_seq_1.txt': ['test_seq_1/image_0000.png'],
        'Testing/test_seq_2.txt': ['test_seq_2/image_0000.png', 'test_seq_2/image_0001.png'],
    }
    for file, names in sequences.items():
        lines = ''
        for frame, name in enumerate(names):
            path = folder / Path(file).parent / 'Depth' / name
            path.parent.mkdir(parents=True, exist_ok=True)
            joints = hand(16, frame)
            image = picture(joints, 320, 240, 240.99, 240.96, 160, 120)
            image[0, 0] = 32001
            cv2.imwrite(str(path), image)
            lines += icvl_line(name, joints)
        (folder / file).write_text(lines + '\n')


def write_msra(folder: Path, frames: int = 1) -> None:
    """Y up and z towards the viewer; an image is a header and the box around the hand."""
    for person in range(9):
        for gesture in ['1', '2', '3', '4', '5', '6', '7', '8', '9', 'I', 'IP', 'L', 'MP', 'RP', 'T', 'TIP', 'Y']:
            place = folder / f'P{person}' / gesture
            place.mkdir(parents=True)
            lines = f'{frames}\n'
            for frame in range(frames):
                joints = hand(21, person)
                lines += ' '.join(f'{value:.4f}' for value in (1000 * joints * (1, -1, -1)).flatten()) + '\n'
                image = picture(joints, 320, 240, 241.42, 241.42, 160, 120)
                rows, columns = np.nonzero(image)
                left, top, right, bottom = columns.min(), rows.min(), columns.max() + 1, rows.max() + 1
                box = image[top:bottom, left:right].astype('<f4').tobytes()
                header = struct.pack('<6i', 320, 240, left, top, right, bottom)
                (place / f'{frame:06d}_depth.bin').write_bytes(header + box)
            (place / 'joint.txt').write_text(lines)


def write_hands17(folder: Path, frames: int = 4) -> None:
    for part in ('training/images', 'frame/images'):
        (folder / part).mkdir(parents=True)
    labels, boxes = '', ''
    for frame in range(frames):
        joints = hand(21, frame)
        name = f'image_D{frame + 1:08d}.png'
        image = picture(joints, 640, 480, 475.065948, 475.065857, 315.944855, 245.287079)
        rows, columns = np.nonzero(image)
        image[400:, :300] = 2000
        for part in ('training', 'frame'):
            cv2.imwrite(str(folder / part / 'images' / name), image)
        labels += f'{name}\t' + '\t'.join(f'{value:.4f}' for value in 1000 * joints.flatten()) + '\n'
        boxes += f'{name}\t{columns.min()}\t{rows.min()}\t{columns.max() + 1}\t{rows.max() + 1}\n'
    (folder / 'training/Training_Annotation.txt').write_text(labels)
    (folder / 'frame/BoundingBox.txt').write_text(boxes)


@pytest.fixture(scope='module')
def originals(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp('datasets')
    for split in ('train', 'test'):
        write_nyu(folder / 'nyu', split, 2)
    write_icvl(folder / 'icvl')
    write_msra(folder / 'msra')
    write_hands17(folder / 'hands17')
    return folder


@pytest.fixture(autouse=True)
def datasets(originals, monkeypatch) -> Path:
    monkeypatch.setenv('HAND_POSE_DATASETS', str(originals))
    return originals


@pytest.fixture
def damaged(tmp_path, monkeypatch) -> Path:
    """An own copy of the smaller datasets, to be damaged."""
    for split in ('train', 'test'):
        write_nyu(tmp_path / 'nyu', split, 2)
    write_icvl(tmp_path / 'icvl')
    write_hands17(tmp_path / 'hands17')
    monkeypatch.setenv('HAND_POSE_DATASETS', str(tmp_path))
    return tmp_path


@pytest.mark.parametrize('name', ['nyu', 'icvl', 'msra', 'hands17'])
def test_frames_come_back_in_meters_and_in_the_optical_frame(name):
    for split in ('train', 'test') if name != 'hands17' else ('train',):
        dataset = open_dataset(name, split)
        for index, frame in enumerate(dataset):
            number = int(frame.subject[1:]) if name == 'msra' else index % 2 if name != 'hands17' else index
            if name == 'icvl' and frame.subject == 'test_seq_1':
                number = 0
            elif name == 'icvl' and split == 'test':
                number = index - 1
            assert frame.joints == pytest.approx(hand(len(frame.joints), number), abs=1e-4)
            assert frame.depth.dtype == np.float32
            assert frame.depth.shape == (frame.camera.height, frame.camera.width)
            # The camera is an ordinary one, x right and y down: joints land on what was drawn for them.
            assert frame.camera.fy > 0
            u, v = np.round(frame.camera.project(frame.joints)).astype(int).T
            assert frame.depth[v, u] == pytest.approx(frame.joints[:, 2], abs=1e-3)
            assert frame.depth.max() < 3, 'a pixel without depth is a hole'
        assert len(dataset.benchmark.joints) == dataset.joints.shape[1]


def test_joints_are_in_the_datasets_own_order():
    """Which joint is which: tips and wrists where the datasets' documents put them."""
    tips = {'msra': [20, 4, 16], 'hands17': [8, 11, 20], 'icvl': [3, 6, 15], 'nyu': [8, 6, 0]}
    for name, places in tips.items():
        joints = open_dataset(name, 'train').benchmark.joints
        assert [joints.index(f'{finger}_tip') for finger in ('thumb', 'index', 'pinky')] == places


def test_nothing_is_read_before_it_is_asked_for(damaged):
    for image in damaged.rglob('*.png'):
        image.unlink()
    for name in ('nyu', 'icvl', 'hands17'):
        dataset = open_dataset(name, 'train')
        assert len(dataset)
        with pytest.raises(DatasetError, match=r'\.png is missing.*http'):
            dataset[0]


def test_nyu_has_three_views_and_two_test_subjects(monkeypatch):
    monkeypatch.setattr(nyu, 'FIRST_SUBJECT', 1)
    assert [(frame.subject, frame.half) for frame in open_dataset('nyu', 'test')] == [
        ('test_1', 0.15),
        ('test_2', 0.125),
    ]
    assert [frame.name for frame in open_dataset('nyu', 'test', views=(1, 3))] == [
        f'test/depth_{view}_{frame:07d}.png' for view in (1, 3) for frame in (1, 2)
    ]
    assert open_dataset('nyu', 'train', views=(3,))[1].joints == pytest.approx(hand(14, 7), abs=1e-4)
    with pytest.raises(DatasetError, match='view'):
        open_dataset('nyu', 'train', views=(4,))


def test_icvl_with_and_without_rotated_copies():
    assert [str(name) for name in open_dataset('icvl', 'train').names] == [
        f'Training/Depth/201403121135/image_000{frame}.png' for frame in range(2)
    ]
    everything = open_dataset('icvl', 'train', rotated=True)
    assert len(everything) == 4
    assert set(everything.subjects) == {'201403121135'}
    assert list(open_dataset('icvl', 'test').subjects) == ['test_seq_1', 'test_seq_2', 'test_seq_2']


def test_msra_leaves_one_subject_out():
    train, test = open_dataset('msra', 'train', subject=3), open_dataset('msra', 'test', subject=3)
    assert set(test.subjects) == {'P3'}
    assert set(train.subjects) == {f'P{i}' for i in range(9)} - {'P3'}
    assert (len(train), len(test)) == (8 * 17, 17)
    assert train[0].half > train[-1].half, 'smaller hands have smaller cubes'
    with pytest.raises(DatasetError, match='subject 9'):
        open_dataset('msra', 'train', subject=9)


def test_hands17_keeps_frames_for_validation_and_has_boxes_for_the_test(monkeypatch):
    monkeypatch.setattr(hands17, 'VALIDATION_EVERY', 4)
    train, validation, test = (open_dataset('hands17', split) for split in ('train', 'validation', 'test'))
    assert (len(train), len(validation), len(test)) == (3, 1, 4)
    assert not set(train.names) & set(validation.names)
    frame = test[2]
    assert frame.joints is None
    # The center comes from the box alone, and the ground beside the hand does not draw it away.
    assert hand_center(frame, 'mass') == pytest.approx(hand(21, 2).mean(0), abs=0.015)
    with pytest.raises(DatasetError, match='no joints'):
        hand_center(frame, 'joints')


def cut_off(path: Path, share: float = 0.6) -> None:
    data = path.read_bytes()
    path.write_bytes(data[: int(share * len(data))])


@pytest.mark.parametrize(
    'name, split, file',
    [
        ('nyu', 'train', 'train/joint_data.mat'),
        ('icvl', 'train', 'Training/labels.txt'),
        ('icvl', 'test', 'Testing/test_seq_2.txt'),
        ('hands17', 'train', 'training/Training_Annotation.txt'),
        ('hands17', 'test', 'frame/BoundingBox.txt'),
    ],
)
def test_missing_and_truncated_labels_are_refused_by_name(damaged, name, split, file):
    path = damaged / name / file
    cut_off(path, 0.3)
    with pytest.raises(DatasetError, match=f'{file}.*http'):
        open_dataset(name, split)
    path.write_bytes(b'')
    with pytest.raises(DatasetError, match=f'{file}.*http'):
        open_dataset(name, split)
    path.unlink()
    with pytest.raises(DatasetError, match=f'{file} is missing.*http'):
        open_dataset(name, split)


@pytest.mark.parametrize(
    'name, file',
    [
        ('nyu', 'train/depth_1_0000001.png'),
        ('icvl', 'Training/Depth/201403121135/image_0000.png'),
        ('hands17', 'training/images/image_D00000001.png'),
    ],
)
def test_damaged_images_are_refused_by_name(damaged, name, file):
    path = damaged / name / file
    cut_off(path)
    with pytest.raises(DatasetError, match=f'{file}.*http'):
        open_dataset(name, 'train')[0]
    cv2.imwrite(str(path), np.zeros((100, 100, 3), np.uint8) if name == 'nyu' else np.zeros((100, 100), np.uint16))
    with pytest.raises(DatasetError, match=f'{file} has 100x100 pixels'):
        open_dataset(name, 'train')[0]


def test_damaged_msra_files_are_refused_by_name(tmp_path):
    write_msra(tmp_path, frames=2)
    image, labels = tmp_path / 'P0/1/000000_depth.bin', tmp_path / 'P0/1/joint.txt'
    whole = image.read_bytes()
    for data, says in (
        (whole[:-4], 'cut off'),
        (whole[:20], 'cut off'),
        (whole + b'1234', 'tells of'),
        (struct.pack('<6i', 320, 240, 300, 0, 400, 9), 'does not lie in'),
    ):
        image.write_bytes(data)
        with pytest.raises(DatasetError, match=f'P0/1/000000_depth.bin.*{says}'):
            msra.open_msra(tmp_path, 'test')[0]
    lines = labels.read_text().splitlines()
    for text in ('\n'.join(lines[:2]), '\n'.join([*lines[:2], lines[2][:50]]), '\n'.join(lines[1:]), ''):
        labels.write_text(text)
        with pytest.raises(DatasetError, match='P0/1/joint.txt.*http'):
            msra.open_msra(tmp_path, 'test')
    labels.unlink()
    with pytest.raises(DatasetError, match='P0/1/joint.txt is missing'):
        msra.open_msra(tmp_path, 'test')


def test_what_there_is_not_is_told(tmp_path):
    with pytest.raises(DatasetError, match='nyu, icvl, msra, hands17'):
        open_dataset('freihand', 'train')
    with pytest.raises(DatasetError, match='README.md.*HAND_POSE_DATASETS'):
        open_dataset('nyu', 'train', tmp_path / 'nowhere')
    for name in ('nyu', 'icvl', 'msra', 'hands17'):
        with pytest.raises(DatasetError, match="'tests'"):
            open_dataset(name, 'tests')


def at_joints(crop: np.ndarray, uvz: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Depth of the crop at the joints that lie in it, and the joints' own."""
    inside = (np.abs(uvz) < 0.95).all(1)
    u, v = np.round((uvz[inside, :2] + 1) / 2 * len(crop) - 0.5).astype(int).T
    return crop[v, u], uvz[inside, 2]


@pytest.mark.parametrize(
    'changes',
    [
        {},
        {'rotation': 180},
        {'scale': 0.1},
        {'translation_mm': 10},
        {'translation_pixels': 10},
        SRN,
        {**SRN, 'one': True},
    ],
)
@pytest.mark.parametrize('name', ['nyu', 'icvl', 'msra'])
def test_joints_stay_on_what_was_drawn_for_them(name, changes):
    dataset = open_dataset(name, 'train')
    crops, joints, halves = next(draw_batches(dataset, 3, 12, 192, augmentation=Augmentation(**changes)))
    checked = 0
    for crop, uvz, half in zip(crops, joints, halves):
        seen, own = at_joints(crop, uvz)
        assert seen == pytest.approx(own, abs=1.1e-3 / float(half))
        checked += len(own)
    assert checked > 12 * 8
    assert crops.dtype == joints.dtype == halves.dtype == np.float32


def test_each_change_changes_what_it_says():
    frame = open_dataset('nyu', 'train')[0]
    cube = Cube(np.array([0.05, -0.02, 0.5]), 0.1)

    def draw(seed: int = 0, **changes) -> Cube:
        return Augmentation(**changes).draw(cube, frame.camera, np.random.default_rng(seed))

    assert (draw().half, draw().turn, *draw().center) == (0.1, 0, *cube.center)
    turns = [draw(seed, rotation=180).turn for seed in range(200)]
    assert np.pi * 0.9 < max(turns) < np.pi and -np.pi < min(turns) < -np.pi * 0.9
    sizes = [0.1 / draw(seed, scale=0.1).half for seed in range(200)]
    assert 0.9 < min(sizes) < 0.91 and 1.09 < max(sizes) < 1.1
    moves = np.array([draw(seed, translation_mm=10).center for seed in range(200)]) - cube.center
    assert 0.0095 < np.abs(moves).max(0).min() and np.abs(moves).max() < 0.01
    pixels = np.array(
        [
            frame.camera.project(draw(seed, translation_pixels=10).center * (1, 1, 0) + (0, 0, 0.5))
            for seed in range(200)
        ]
    ) - frame.camera.project(cube.center)
    assert 9.5 < np.abs(pixels).max(0).min() and np.abs(pixels).max() < 10
    kinds = {
        (c.turn != 0, c.half != 0.1, bool((c.center != cube.center).any()))
        for c in (draw(seed, **SRN, one=True) for seed in range(40))
    }
    assert kinds == {(False, False, False), (True, False, False), (False, True, False), (False, False, True)}


def test_turned_cubes_lead_back_to_the_camera():
    cube = Cube(np.array([0.1, -0.05, 0.6]), 0.12, 2.0)
    points = hand(21, 1)
    assert cube.to_camera(cube.from_camera(points)) == pytest.approx(points)
    # A quarter turn brings what was on the right to the top.
    right = Cube(cube.center, 0.12).to_camera(np.array([0.5, 0, 0]))
    assert Cube(cube.center, 0.12, np.pi / 2).from_camera(right) == pytest.approx([0, -0.5, 0])


def test_centers(tmp_path):
    write_nyu(tmp_path, 'test', 3)
    plain = open_dataset('nyu', 'test', tmp_path)
    assert hand_center(plain[1], 'joints') == pytest.approx(hand(14, 1).mean(0), abs=1e-4)
    # What was drawn is as many pixels for every joint.
    assert hand_center(plain[1], 'mass') == pytest.approx(hand(14, 1).mean(0), abs=0.004)
    with pytest.raises(DatasetError, match='nobody.*joints, mass, published'):
        hand_center(plain[0], 'nobody')
    with pytest.raises(DatasetError, match='published'):
        hand_center(plain[0], 'published')
    with pytest.raises(DatasetError, match='center_test_refined.txt is missing'):
        open_dataset('nyu', 'test', tmp_path, centers=True)
    (tmp_path / 'center_test_refined.txt').write_text('10.5 20.5 700\ninvalid\n-1 -2 500.5\n')
    found = open_dataset('nyu', 'test', tmp_path, centers=True)
    assert hand_center(found[0], 'published') == pytest.approx([0.0105, -0.0205, 0.7])
    options = {'dataset': 'nyu', 'size': 32, 'center': 'published', 'folder': str(tmp_path)}
    recipe = Recipe(data_options=options)
    assert len(depth_benchmark.validation_data(recipe).crops) == 2, 'frames without a center are left out'
    (tmp_path / 'center_test_refined.txt').write_text('10.5 20.5 700\n')
    with pytest.raises(DatasetError, match='1 centers.*3 frames'):
        open_dataset('nyu', 'test', tmp_path, centers=True)


def test_the_seed_says_what_is_drawn():
    def draw(seed: int) -> tuple[np.ndarray, ...]:
        options = {'dataset': 'icvl', 'size': 32, 'center': 'mass', 'augmentation': SRN}
        return next(depth_benchmark.crops(seed, 5, **options))

    for first, second, other in zip(draw(1), draw(1), draw(2)):
        assert (first == second).all()
        assert (first != other).any()
    assert [part.shape for part in draw(1)] == [(5, 32, 32), (5, 16, 3), (5,)]


def test_every_frame_is_drawn_before_any_is_drawn_again():
    dataset = open_dataset('msra', 'train', subject=1)
    unlike = dataset.select(np.searchsorted(dataset.subjects, ['P0', 'P3', 'P6', 'P7']))
    batches = draw_batches(unlike, 0, 4, 32)
    for _ in range(3):
        assert sorted(next(batches)[2]) == pytest.approx([0.08, 0.085, 0.09, 0.1])


RECIPES = [
    f'{network}_{dataset}'
    for network in ('jgr_p2o', 'srn', 'residual_attention')
    for dataset in ('nyu', 'icvl', 'msra')
] + ['srn_hands17']


@pytest.mark.parametrize('name', RECIPES)
def test_recipes_fit_their_datasets(name):
    recipe = load_recipe(name)
    data = recipe.data_options
    assert name.endswith(data['dataset']) and recipe.network_options['joints'] == data['dataset']
    network = build(recipe)
    assert network.input_size == data['size']
    Augmentation(**data.get('augmentation', {}))
    assert recipe.epoch == recipe.validate_every and recipe.samples % recipe.epoch == 0


def test_recipes_have_the_papers_values():
    values = {
        name: {
            key: getattr(load_recipe(f'{name}_icvl'), key)
            for key in ('optimizer', 'learning_rate', 'batch', 'weight_decay', 'schedule', 'step_epochs')
        }.values()
        for name in ('jgr_p2o', 'srn', 'residual_attention')
    }
    assert [*values['jgr_p2o']] == ['adam', 1e-4, 32, 0, 'exponential', 0]
    assert [*values['srn']] == ['sgd', 0.3, 32, 5e-4, 'steps', 25]
    assert [*values['residual_attention']] == ['adam', 1e-4, 128, 3e-4, 'steps', [30]]
    assert 'augmentation' not in load_recipe('residual_attention_icvl').data_options


def test_training_on_nyu_from_files_to_millimeters(tmp_path, monkeypatch):
    monkeypatch.setattr(trainer, 'Feeder', InlineFeeder)
    recipe = recipe_of(
        'jgr_p2o_nyu',
        samples=16,
        batch=4,
        validate_every=8,
        learning_rate=1e-3,
        network_options={'stacks': 1, 'channels': 32, 'joints': 'nyu'},
        data_options={**load_recipe('jgr_p2o_nyu').data_options, 'center': 'joints'},
    )
    figures = trainer.train(recipe, tmp_path)
    assert figures['seen'] == 16
    assert len((tmp_path / 'validation.jsonl').read_text().splitlines()) == 2
    assert json.loads((tmp_path / 'validation.jsonl').read_text().splitlines()[-1]) == figures
    # An estimate in the middle of the cube is about 50 mm off, and an hourglass of random weights is no better.
    assert 5 < figures['mean_mm'] < 300


def test_validation_is_in_millimeters_of_the_camera_frame():
    data = depth_benchmark.validation_data(Recipe(data_options={'dataset': 'nyu', 'size': 32, 'center': 'mass'}))

    class Exact(torch.nn.Module):
        """Knows the joints, all of them 6 mm too far away in the first frame."""

        def __init__(self):
            super().__init__()
            self.weight = torch.nn.Parameter(torch.zeros(1))

        def forward(self, crop):
            off = np.zeros((len(crop), 1, 3))
            off[0, 0, 2] = 0.006
            joints = np.stack([cube.from_camera(points) for cube, points in zip(data.cubes, data.joints + off)])
            return torch.from_numpy(joints), torch.ones(len(crop), 14), torch.zeros(len(crop))

    assert depth_benchmark.validate(Exact(), data) == {
        'mean_mm': pytest.approx(3, abs=1e-3),
        'median_mm': pytest.approx(3, abs=0.01),
        'within_20mm_percent': 100,
    }


MY_READER = """
from dataclasses import replace
import numpy as np
from training.datasets.msra import open_msra

def open_mine(folder, split):
    dataset = open_msra(folder, split)
    return replace(dataset, sides=np.full(len(dataset), 'left'))
"""


@pytest.fixture
def mine(datasets, tmp_path, monkeypatch) -> str:
    """A reader of one's own, of MSRA's frames as if they showed left hands, in the folder ``mine``."""
    (tmp_path / 'my_reader_of_depth.py').write_text(MY_READER)
    (tmp_path / 'mine').symlink_to(datasets / 'msra')
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv('HAND_POSE_DATASETS', str(tmp_path))
    return 'my_reader_of_depth:open_mine'


def test_frames_of_ones_own_are_right_hands_in_our_order(datasets, mine):
    options = {'seed': 3, 'batch': 5, 'size': 32}
    theirs = depth_benchmark.crops(**options, dataset='msra', center='mass', folder=str(datasets / 'msra'))
    ours = depth_pose.frames(**options, dataset=mine, center='mass')
    (crops, joints, halves), (mirrored, own, own_halves) = next(theirs), next(ours)
    assert (mirrored == crops[:, :, ::-1]).all() and (own_halves == halves).all()
    names = open_dataset('msra', 'train', datasets / 'msra').benchmark.joints
    for joint, name in enumerate(JOINTS):
        assert own[:, joint] == pytest.approx(joints[:, names.index(name)] * (-1, 1, 1), abs=1e-6)
    tested = depth_pose.validation_data(Recipe(data_options={'dataset': mine, 'size': 32}))
    assert [part.shape for part in tested] == [(17, 32, 32), (17, 21, 3), (17,)]
    with pytest.raises(DatasetError, match='icvl lacks wrist.*depth_benchmark'):
        next(depth_pose.frames(1, 2, 'icvl', folder=str(datasets / 'icvl')))


def test_a_trained_network_learns_from_frames_of_ones_own(mine, tmp_path, monkeypatch):
    monkeypatch.setattr(trainer, 'Feeder', InlineFeeder)
    (tmp_path / 'mine.yaml').write_text(
        f'base: jgr_p2o_synthetic\ndata: frames\ndata_options: {{dataset: {mine}}}\n'
        'network_options: {stacks: 1, channels: 32}\nbatch: 4\nsamples: 8\nvalidate_every: 8\n'
    )
    recipe = load_recipe(str(tmp_path / 'mine.yaml'))
    start = tmp_path / 'start.pt'
    Trained(build(recipe).state_dict(), recipe, {'seen': 1}).save(start)
    figures = trainer.train(load_recipe(str(tmp_path / 'mine.yaml'), [f'start={start}']), tmp_path / 'run')
    assert figures['seen'] == 8 and 5 < figures['mean_mm'] < 300


@pytest.mark.parametrize(
    'changes, says',
    [
        ('center=joint', "center 'joint' is not one of joints, mass, published"),
        ('center=published', 'takes no centers: set it to joints or mass'),
        ('dataset=icvm', "no depth dataset 'icvm'; did you mean 'icvl'"),
        ('folder=/nowhere', 'no folder /nowhere for dataset'),
    ],
)
def test_what_is_wrong_with_a_dataset_is_one_line(mine, tmp_path, capsys, changes, says):
    (tmp_path / 'mine.yaml').write_text(f'base: jgr_p2o_msra\ndata_options: {{dataset: {mine}, options: null}}\n')
    given = ['data_options.center=joints', f'data_options.{changes}', 'samples=4']
    assert main(['train', str(tmp_path / 'mine.yaml'), '--out', str(tmp_path / 'run'), '--set', *given]) == 1
    error = capsys.readouterr().err
    assert says in error and error.count('\n') == 1


def damaged_batches(seed, batch):
    yield (np.zeros(batch),)
    raise DatasetError('image_0000.png is cut off')


def test_an_error_of_a_worker_ends_the_training_with_its_words(monkeypatch):
    threads = SimpleNamespace(Queue=queue.Queue, Process=threading.Thread)
    monkeypatch.setattr(feeder.multiprocessing, 'get_context', lambda _: threads)
    batches = feeder.Feeder(damaged_batches, {}, 1, 1, 2)
    assert len(batches.next()[0]) == 2
    with pytest.raises(DatasetError, match=r'image_0000\.png is cut off'):
        batches.next()
    monkeypatch.setattr(feeder, 'LOOK_SECONDS', 0.01)
    with pytest.raises(TrainingError, match='1 data workers died'):
        batches.next()


@pytest.mark.parametrize('instructions, expected', [({}, False), ({'amx_bf16': True}, True), ({'bf16': True}, True)])
def test_bfloat16_is_for_processors_that_have_it(monkeypatch, instructions, expected):
    monkeypatch.setattr(torch.cpu, 'get_capabilities', lambda: instructions)
    with precision.autocast('cpu'):
        assert torch.is_autocast_enabled('cpu') == expected
    with precision.autocast('cpu', wanted=False):
        assert not torch.is_autocast_enabled('cpu')
