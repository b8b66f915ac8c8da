"""Readers of the color benchmarks: small folders in the official formats, written here and read back; crops of them."""

import json
import pickle
from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip('scipy', reason='training requirements are not installed: make setup-training')
pytest.importorskip('torch', reason='training requirements are not installed: make setup-training')

import scipy.io
from freihand_files import LEFT, RIGHT, hand, picture, project, silhouette, write_freihand

from hand_pose_ros.geometry.camera import Camera
from hand_pose_ros.geometry.joint_orders import ORDERS, index_map
from hand_pose_ros.geometry.joints import JOINTS, hand_size
from hand_pose_ros.regions.perspective import PerspectiveRegion
from training.datasets import DatasetError, open_color_dataset
from training.datasets.color_crops import Backgrounds, ColorAugmentation, cut_example, draw_batches

RHD_CAMERA = (282.9, 282.9, 160.0, 160.0)


def write_rhd(folder: Path) -> None:
    """Left hand's joints first, thumb first, from tip to palm; frame 0 shows the left hand, frame 1 the right."""
    order = [0, *(4 * finger + level for finger in range(5) for level in (4, 3, 2, 1))]
    for name in ('training', 'evaluation'):
        for part in ('color', 'mask'):
            (folder / name / part).mkdir(parents=True)
        frames = {}
        for frame in (0, 1):
            left, right = hand(frame, LEFT), hand(frame + 2)
            uv = np.concatenate([project(left, RHD_CAMERA)[order], project(right, RHD_CAMERA)[order]])
            visible = np.zeros((42, 1))
            visible[21 * frame : 21 * frame + 15] = 1
            visible[21 * (1 - frame) : 21 * (1 - frame) + 4] = 1
            matrix = np.array([[282.9, 0, 160], [0, 282.9, 160], [0, 0, 1]], np.float32)
            frames[frame] = {
                'xyz': np.concatenate([left[order], right[order]]).astype(np.float32),
                'uv_vis': np.concatenate([uv, visible], 1).astype(np.float32),
                'K': matrix,
            }
            shown = project(right if frame else left, RHD_CAMERA)
            cv2.imwrite(str(folder / f'{name}/color/{frame:05d}.png'), picture(shown, 320, 320))
            mask = silhouette(shown, 320, 320) * (25 if frame else 9)
            mask[300:] = 1
            cv2.imwrite(str(folder / f'{name}/mask/{frame:05d}.png'), mask)
        # As Python 2 and numpy 1 wrote it.
        data = pickle.dumps(frames, protocol=2).replace(b'cnumpy._core.multiarray\n', b'cnumpy.core.multiarray\n')
        (folder / name / f'anno_{name}.pickle').write_bytes(data)


def write_stb(folder: Path, frames: int = 2) -> None:
    """Palm's center, then little finger to thumb from the knuckle to the tip; millimeters in each camera's label
    frame.
    """
    (folder / 'labels').mkdir(parents=True)
    order = [0, *(4 * finger + level for finger in (4, 3, 2, 1, 0) for level in (1, 2, 3, 4))]
    rotation = cv2.Rodrigues(np.array([0.00531, -0.01196, 0.00301]))[0]
    for sequence in (f'B{i}{kind}' for i in range(1, 7) for kind in ('Counting', 'Random')):
        place = folder / 'images' / sequence
        place.mkdir(parents=True)
        stereo, depth = [], []
        for frame in range(frames):
            joints = hand(frame, LEFT)
            shown = joints - (0.120054, 0, 0)
            for file, points, camera in (
                (f'BB_left_{frame}', joints, (822.79041, 822.79041, 318.47345, 250.31296)),
                (f'BB_right_{frame}', shown, (822.79041, 822.79041, 318.47345, 250.31296)),
                (f'SK_color_{frame}', joints, (607.92271, 607.88192, 314.78337, 236.42484)),
            ):
                cv2.imwrite(str(place / f'{file}.png'), picture(project(points, camera), 640, 480))
            labels = joints.copy()
            labels[0] = (joints[0] + joints[13]) / 2
            stereo.append(1000 * labels[order].T)
            # What the depth camera sees of joints that the color camera has in that place.
            depth.append(1000 * labels[order] @ rotation.T + (-24.0381, -0.4563, -1.2326))
        scipy.io.savemat(folder / f'labels/{sequence}_BB.mat', {'handPara': np.stack(stereo, 2)})
        scipy.io.savemat(folder / f'labels/{sequence}_SK.mat', {'handPara': np.stack([x.T for x in depth], 2)})


DEXTER_CAMERA = (587.45209, 600.67456, 325.0, 249.0)
DEXTER_ROTATION = np.array([[0.9999, 0.0034, 0.0161], [-0.0033, 1, -0.0079], [-0.0162, 0.0079, 0.9998]])
DEXTER_SHIFT = np.array([19.0473, -1.8514, -4.7501])


def write_dexter(folder: Path, frames: int = 2) -> None:
    """Tips in millimeters, x to the left and y up; the index's tip of the second frame is not known."""
    for sequence in ('Grasp1', 'Grasp2', 'Occlusion', 'Rigid', 'Pinch', 'Rotate'):
        for part in ('annotations', 'color', 'depth'):
            (folder / 'data' / sequence / part).mkdir(parents=True)
        lines = ''
        for frame in range(frames):
            joints = hand(frame, LEFT)
            tips = (1000 * joints[4::4] - DEXTER_SHIFT) @ np.linalg.inv(DEXTER_ROTATION).T * (-1, -1, 1)
            if frame == 1:
                tips[1] = (0, 0, 32001)
            lines += ' '.join(f'{x:.4f}, {y:.4f}, {z:.4f};' for x, y, z in tips) + '\n'
            image = picture(project(joints, DEXTER_CAMERA), 640, 480)
            cv2.imwrite(str(folder / f'data/{sequence}/color/image_{frame:05d}_color.png'), image)
        (folder / f'data/{sequence}/annotations/{sequence}3D.txt').write_text(lines)


WRITERS = {'freihand': write_freihand, 'rhd': write_rhd, 'stb': write_stb, 'dexter': write_dexter}


@pytest.fixture(scope='module')
def originals(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp('color')
    for name, write in WRITERS.items():
        write(folder / name)
    return folder


@pytest.fixture(autouse=True)
def datasets(originals, monkeypatch) -> Path:
    monkeypatch.setenv('HAND_POSE_DATASETS', str(originals))
    return originals


def color_at(image: np.ndarray, pixel: np.ndarray) -> int:
    u, v = np.round(pixel).astype(int)
    return int(image[v, u].argmax())


@pytest.mark.parametrize(
    ('name', 'options', 'side'),
    [
        ('freihand', {}, RIGHT),
        ('rhd', {}, None),
        ('stb', {}, LEFT),
        ('stb', {'camera': 'BB_left'}, LEFT),
        ('stb', {'camera': 'BB_right'}, LEFT),
        ('dexter', {}, LEFT),
    ],
)
def test_hands_come_back_in_the_optical_frame_where_the_picture_has_them(name, options, side):
    dataset = open_color_dataset(name, 'test', **options)
    joints = list(dataset.benchmark.joints)
    for index in (0, 1):
        frame = dataset[index]
        assert frame.image.shape == (dataset.height, dataset.width, 3) and frame.image.dtype == np.uint8
        flip = side or (LEFT, RIGHT)[index]
        expected = hand(index if name != 'rhd' or not index else 3, flip)
        assert frame.side == ('right' if flip == RIGHT else 'left')
        if options.get('camera') == 'BB_right':
            expected = expected - (0.120054, 0, 0)
        for joint in ('thumb_tip', 'index_tip', 'pinky_tip', 'index_mcp', 'thumb_cmc', 'ring_dip'):
            if joint in joints and not (name == 'dexter' and index == 1 and joint == 'index_tip'):
                assert frame.joints[joints.index(joint)] == pytest.approx(expected[JOINTS.index(joint)], abs=2e-5)
        # Red, green, blue: the thumb's tip is red, the little finger's blue.
        assert color_at(frame.image, frame.points[joints.index('thumb_tip')]) == 0
        assert color_at(frame.image, frame.points[joints.index('pinky_tip')]) == 2
        if 'wrist' in joints:
            assert color_at(frame.image, frame.points[joints.index('wrist')]) == 1


def test_freihand_has_four_backgrounds_masks_and_meshes():
    plain = open_color_dataset('freihand', 'train')
    every = open_color_dataset('freihand', 'train', backgrounds=('gs', 'auto'), vertices=True)
    assert (len(plain), len(every)) == (2, 4)
    assert every.names[3] == 'training/rgb/00000007.jpg' and every.masks[3] == 'training/mask/00000001.jpg'
    assert abs(int(every[3].image[2, 2, 0]) - 180) < 6 and every[3].joints == pytest.approx(plain[1].joints)
    assert every[3].vertices.shape == (778, 3)
    frame = plain[0]
    assert frame.mask[tuple(frame.points.mean(0).round().astype(int)[::-1])] and not frame.mask[0, 0]
    assert open_color_dataset('freihand', 'test')[0].mask is None
    with pytest.raises(DatasetError, match="background 'auto'"):
        open_color_dataset('freihand', 'test', backgrounds=('auto',))


def test_rhd_takes_the_hand_that_is_seen_more_of_and_its_mask():
    dataset = open_color_dataset('rhd', 'train')
    assert list(dataset.sides) == ['left', 'right']
    for frame in dataset:
        assert frame.visible.sum() == 15
        u, v = frame.points.mean(0).round().astype(int)
        assert frame.mask[v, u] and not frame.mask[310, 10], 'a person is not a hand'


class Evil:
    def __reduce__(self):
        return Path.touch, (Path('/tmp/evil'),)


def test_a_pickle_that_names_more_than_arrays_is_refused(tmp_path):
    write_rhd(tmp_path)
    path = tmp_path / 'training/anno_training.pickle'
    for content in ({0: Evil()}, {0: {'xyz': np.array([Evil()], object)}}, {0: {'xyz': 1}}, [1, 2]):
        path.write_bytes(pickle.dumps(content))
        with pytest.raises(DatasetError, match='anno_training.pickle is refused.*http'):
            open_color_dataset('rhd', 'train', tmp_path)


def test_stb_splits_by_custom_and_may_have_a_wrist():
    train, test = open_color_dataset('stb', 'train'), open_color_dataset('stb', 'test')
    assert (len(train), len(test)) == (20, 4)
    assert {name.split('/')[1] for name in test.names} == {'B1Counting', 'B1Random'}
    assert test.benchmark.joints[0] == 'palm_center' and test[0].our_joints(test.benchmark.ours)[0][0] != pytest.approx(
        0
    )
    wrist = open_color_dataset('stb', 'test', wrist=True)
    ours, _ = wrist[1].our_joints(wrist.benchmark.ours)
    assert ours == pytest.approx(hand(1, LEFT), abs=2e-5)


def test_dexter_says_what_it_does_not_know():
    dataset = open_color_dataset('dexter', 'test')
    assert len(dataset) == 12
    assert np.isnan(dataset[1].joints[1]).all() and list(dataset[1].visible) == [True, False, True, True, True]
    with pytest.raises(DatasetError, match='train'):
        open_color_dataset('dexter', 'train')
    with pytest.raises(DatasetError, match='the wrist'):
        cut_example(dataset[0], dataset.benchmark.ours, 64)


@pytest.mark.parametrize(
    ('name', 'file'),
    [
        ('freihand', 'training_xyz.json'),
        ('freihand', 'training_K.json'),
        ('rhd', 'training/anno_training.pickle'),
        ('stb', 'labels/B2Counting_SK.mat'),
        ('dexter', 'data/Rigid/annotations/Rigid3D.txt'),
    ],
)
def test_missing_and_truncated_labels_are_refused_by_name(tmp_path, name, file):
    WRITERS[name](tmp_path)
    path, split = tmp_path / file, 'test' if name == 'dexter' else 'train'
    whole = path.read_bytes()
    for data in (whole[: int(0.55 * len(whole))], b''):
        path.write_bytes(data)
        with pytest.raises(DatasetError, match=f'{Path(file).name}.*http'):
            open_color_dataset(name, split, tmp_path)
    path.unlink()
    with pytest.raises(DatasetError, match=f'{Path(file).name} is missing.*http'):
        open_color_dataset(name, split, tmp_path)


@pytest.mark.parametrize(
    ('name', 'file'),
    [
        ('freihand', 'training/rgb/00000000.jpg'),
        ('freihand', 'training/mask/00000000.jpg'),
        ('rhd', 'training/color/00000.png'),
        ('rhd', 'training/mask/00000.png'),
        ('stb', 'images/B2Counting/SK_color_0.png'),
    ],
)
def test_damaged_images_are_refused_by_name(tmp_path, name, file):
    WRITERS[name](tmp_path)
    path = tmp_path / file
    whole = path.read_bytes()
    for data in (whole[: int(0.7 * len(whole))], b''):
        path.write_bytes(data)
        with pytest.raises(DatasetError, match=f'{path.name}.*http'):
            open_color_dataset(name, 'train', tmp_path)[0]
    cv2.imwrite(str(path), np.zeros((100, 100, 3), np.uint8))
    with pytest.raises(DatasetError, match=f'{path.name} has 100x100 pixels'):
        open_color_dataset(name, 'train', tmp_path)[0]
    path.unlink()
    with pytest.raises(DatasetError, match=f'{path.name} is missing.*http'):
        open_color_dataset(name, 'train', tmp_path)[0]


def test_other_files_of_a_dataset_must_fit(tmp_path):
    write_freihand(tmp_path / 'freihand')
    (tmp_path / 'freihand/training_K.json').write_text(json.dumps([np.eye(3).tolist()]))
    with pytest.raises(DatasetError, match='training_K.json tells of 1 hands'):
        open_color_dataset('freihand', 'train', tmp_path / 'freihand')
    write_dexter(tmp_path / 'dexter')
    (tmp_path / 'dexter/data/Pinch/color/image_00001_color.png').unlink()
    with pytest.raises(DatasetError, match='holds 1 images, Pinch3D.txt tells of 2'):
        open_color_dataset('dexter', 'test', tmp_path / 'dexter')
    with pytest.raises(DatasetError, match='freihand, rhd, stb, dexter'):
        open_color_dataset('nyu', 'train')


# ---- orders ----


def test_orders_of_joints_both_ways():
    points = np.arange(21)
    for source in ORDERS:
        for target in ORDERS:
            moved = points[list(index_map(source, target))]
            assert (moved[list(index_map(target, source))] == points).all()
            assert [ORDERS[source][i] for i in moved] == list(ORDERS[target])
    # Written down by hand: thumb and index from the palm to the tip.
    ait, mano = index_map('ait', 'freihand'), index_map('mano', 'freihand')
    assert ait[:9] == (0, 1, 6, 11, 16, 2, 7, 12, 17)
    assert mano[:9] == (0, 13, 14, 15, 16, 1, 2, 3, 17) and mano[13:] == (10, 11, 12, 19, 7, 8, 9, 20)
    with pytest.raises(ValueError, match='nonsense'):
        index_map('ait', 'nonsense')


# ---- crops ----

CAMERA = Camera(640, 480, 600, 610, 310, 250)


@pytest.mark.parametrize('mirror', [False, True])
@pytest.mark.parametrize('turn', [0.0, 0.8])
def test_a_crop_is_what_a_turned_camera_sees(mirror, turn):
    joints = hand() + (0.12, -0.02, 0)
    image = picture(CAMERA.project(joints), 640, 480)
    for half in (0.1, 0.14):  # the larger one is shrunk first
        crop = PerspectiveRegion.looking_at(joints.mean(0), half, turn, mirror)
        seen = crop.project(joints)
        found = crop.cut(image, CAMERA, 128)
        for joint, channel in ((4, 2), (20, 0), (0, 1)):
            u, v = np.round((seen[joint] + 1) * 64 - 0.5).astype(int)
            assert found[v, u].argmax() == channel and found[v, u].max() > 150
        assert crop.to_camera(crop.from_camera(joints)) == pytest.approx(joints)
        assert crop.from_pixels(CAMERA.project(joints), CAMERA) == pytest.approx(seen)
        assert crop.to_pixels(seen, CAMERA) == pytest.approx(CAMERA.project(joints))
        assert crop.project(joints.mean(0)) == pytest.approx([0, 0], abs=1e-12)
        assert np.linalg.det(crop.rotation) == pytest.approx(-1 if mirror else 1)
        # The crop's frame has x to the right: what lies right in the crop has greater x.
        order = np.argsort(seen[:, 0])
        assert (np.diff((crop.from_camera(joints)[:, 0] / crop.from_camera(joints)[:, 2])[order]) >= 0).all()


def test_a_hand_looks_the_same_wherever_it_is():
    """Turned with the line of sight, the same hand gives the same crop coordinates and joints."""
    joints = hand()
    first = PerspectiveRegion.of_hand(joints)
    other = PerspectiveRegion.looking_at(np.array([0.3, -0.2, 0.6]), 0.1)
    moved = other.to_camera(first.from_camera(joints))
    second = PerspectiveRegion.of_hand(moved)
    assert second.project(moved) == pytest.approx(first.project(joints), abs=1e-6)
    assert second.from_camera(moved) == pytest.approx(first.from_camera(joints), abs=1e-6)


def test_a_square_of_pixels_and_a_mirrored_left_hand():
    square = PerspectiveRegion.of_square(CAMERA, np.array([400, 200]), 60)
    corners = square.from_pixels(np.array([[400, 200], [460, 200], [400, 260]]), CAMERA)
    assert corners == pytest.approx(np.array([[0, 0], [1, 0], [0, 1]]), abs=0.06)
    right, left = hand() * RIGHT, hand() * LEFT
    assert PerspectiveRegion.of_hand(left, mirror=True).project(left) == pytest.approx(
        PerspectiveRegion.of_hand(right).project(right)
    )
    assert (square.cut(np.full((480, 640, 3), 7, np.uint8), CAMERA, 32) == 7).all()
    assert (
        not PerspectiveRegion.of_square(CAMERA, np.array([-900, 200]), 60)
        .cut(np.full((480, 640), 7, np.uint8), CAMERA, 32, black_beyond=True)
        .any()
    )


@pytest.mark.parametrize('mirror', [False, True])
def test_a_hand_of_known_size_has_a_place(mirror):
    joints = hand() + (0.1, -0.05, 0.2)
    crop = PerspectiveRegion.of_hand(joints, mirror)
    relative, points = crop.from_camera(joints - joints[0]), crop.project(joints)
    assert crop.place(relative, points) == pytest.approx(joints[0], abs=1e-9)
    # A hand that is taken for a larger one is put as much farther away.
    assert np.linalg.norm(crop.place(1.1 * relative, points)) == pytest.approx(1.1 * np.linalg.norm(joints[0]))
    weights = np.ones(21)
    weights[8], points[8] = 0, 5  # one that is not believed
    assert crop.place(relative, points, weights) == pytest.approx(joints[0], abs=1e-9)


@pytest.mark.parametrize('mirror', [False, True])
def test_joints_are_drawn_to_where_they_are_seen(mirror):
    joints = hand() + (0.1, -0.05, 0.2)
    crop = PerspectiveRegion.of_hand(joints, mirror)
    points = crop.project(joints)
    assert crop.draw_to_points(joints, points) == pytest.approx(joints, abs=1e-9)
    points[8] += (0.2, -0.1)
    all_the_way, half = crop.draw_to_points(joints, points, 1.0), crop.draw_to_points(joints, points)
    assert crop.project(all_the_way) == pytest.approx(points)
    assert half == pytest.approx((joints + all_the_way) / 2)
    assert crop.from_camera(half)[:, 2] == pytest.approx(crop.from_camera(joints)[:, 2]), 'nearer or farther'


AUGMENTATION = {'rotation': 180, 'scale': 0.2, 'translation': 0.1, 'background': 1, 'occluders': 0.5, 'light': 0.2}


def test_examples_keep_labels_on_the_picture():
    dataset = open_color_dataset('freihand', 'train')
    plain = cut_example(dataset[0], dataset.benchmark.ours, 128)
    rng = np.random.default_rng(0)
    for trial in range(12):
        options = AUGMENTATION | {'occluders': 0, 'light': 0, 'flip': trial % 2}
        example = cut_example(
            dataset[0], dataset.benchmark.ours, 128, ColorAugmentation(**options), rng, Backgrounds('')
        )
        for joint, channel in ((4, 0), (20, 2), (0, 1)):
            u, v = np.round((example.points[joint] + 1) * 64 - 0.5).astype(int)
            assert example.image[v, u].argmax() == channel and example.mask[v, u] > 0.4
        assert hand_size(example.joints) == pytest.approx(1) and example.joints[0] == pytest.approx(0)
        distances = [np.linalg.norm(e.joints[:, None] - e.joints[None], axis=2) for e in (plain, example)]
        assert distances[0] == pytest.approx(distances[1], abs=1e-5), 'turning and mirroring change no length'
        thumb, index, pinky = example.joints[[1, 5, 17]] - example.joints[0]
        handed = np.linalg.det(np.stack([index, pinky, example.joints[8] - example.joints[6]]))
        straight = np.linalg.det(np.stack([*(plain.joints[[5, 17]]), plain.joints[8] - plain.joints[6]]))
        assert np.sign(handed) == np.sign(straight) * (-1 if trial % 2 else 1)
    assert not (example.image == plain.image).all()
    background = example.mask < 0.01
    assert background.any() and np.ptp(example.image[background].astype(int), axis=0).max() > 20, 'gray is replaced'


def test_batches_and_what_replaces_backgrounds(tmp_path):
    dataset = open_color_dataset('rhd', 'train')
    cv2.imwrite(str(tmp_path / 'wall.png'), np.full((50, 80, 3), (10, 200, 250), np.uint8))
    augmentation = ColorAugmentation(**AUGMENTATION, backgrounds=str(tmp_path))
    first, second = (next(draw_batches(dataset, 5, 3, 64, augmentation)) for _ in range(2))
    for a, b in zip(first, second):
        assert (np.nan_to_num(a) == np.nan_to_num(b)).all(), 'the seed says what is drawn'
    assert [part.shape for part in first] == [(3, 64, 64, 3), (3, 21, 3), (3, 21, 2), (3, 64, 64), (3,)]
    assert first[0].dtype == np.uint8 and first[4] == pytest.approx(hand_size(hand()), abs=1e-4)
    with pytest.raises(DatasetError, match='holds no PNG or JPEG'):
        Backgrounds(str(tmp_path / 'nothing'))
