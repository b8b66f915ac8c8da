"""Color crops that are cut and augmented many at once, as on a GPU: held against those of one at a time."""

from dataclasses import replace

import cv2
import numpy as np
import pytest

torch = pytest.importorskip('torch')
pytest.importorskip('numba')

from training_aids import one_thread  # noqa: E402, F401

from hand_pose_ros.geometry.camera import Camera  # noqa: E402
from hand_pose_ros.geometry.joints import JOINTS, hand_size  # noqa: E402
from hand_pose_ros.regions.cube import CUBE_PER_HAND  # noqa: E402
from hand_pose_ros.regions.perspective import CLOSER, PerspectiveRegion  # noqa: E402
from training import cut_color, photography  # noqa: E402
from training.cut_color import crop_rays, cut, look_at, project, sample, to_view, turned_up  # noqa: E402
from training.synthesis import photography as single  # noqa: E402
from training.synthesis.color_crops import BACKGROUND, FOLLOWED_OFF, OFF, ROUGH_OFF, SURFACES, CropShares  # noqa: E402
from training.synthesis.color_scenes import PIXELS  # noqa: E402

pytestmark = pytest.mark.usefixtures('one_thread')

MIDDLE = (PIXELS - 1) / 2
#: What an augmentation has of every image of a batch.
WHOLE = ('contrast', 'white', 'saturation', 'brightness', 'noise')
#: A flat open hand, wrist at the origin, fingers along -y, in hand sizes.
HAND = np.zeros((len(JOINTS), 3))
for finger in range(5):
    for bone in range(4):
        HAND[1 + 4 * finger + bone] = [0.25 * (finger - 2), -0.95 - 0.3 * bone, 0.02 * finger]
HAND /= hand_size(HAND)


def pictures(count, size=64, seed=0):
    """Smooth random images (N, 3, S, S), 0 to 255."""
    rng = np.random.default_rng(seed)
    return (
        torch.from_numpy(
            np.stack(
                [
                    cv2.resize(rng.uniform(0, 255, (9, 9, 3)), (size, size), interpolation=cv2.INTER_CUBIC).clip(0, 255)
                    for _ in range(count)
                ]
            )
        )
        .permute(0, 3, 1, 2)
        .float()
        .contiguous()
    )


def to_image(picture):
    return picture.permute(1, 2, 0).numpy()


def draw_views(count, seed=0, hands=True, side=PIXELS):
    """Views as ``view_batches`` yields them, or coarser: smooth layers, and a hand straight ahead."""
    rng = np.random.default_rng(seed)
    layers = (
        np.stack(
            [
                np.dstack(
                    [
                        cv2.resize(rng.uniform(0, 255, (12, 12)), (side, side), interpolation=cv2.INTER_CUBIC)
                        for _ in range(5)
                    ]
                )
                for _ in range(count)
            ]
        )
        .clip(0, 255)
        .astype(np.uint8)
    )
    layers[..., :3] = np.minimum(layers[..., :3], layers[..., 3:4])  # black where nothing is
    surfaces = np.stack([cv2.resize(one, (SURFACES, SURFACES), interpolation=cv2.INTER_AREA) for one in layers])
    distance, size = rng.uniform(0.3, 1, count), rng.uniform(0.05, 0.11, count)
    focal = PIXELS / 2 * distance / (1.4 * 1.4 * size)
    centers = np.stack([np.zeros(count), np.zeros(count), distance], 1)
    joints = size[:, None, None] * (HAND - HAND.mean(0)) + centers[:, None]
    if not hands:
        joints[:] = np.nan
    backgrounds = rng.integers(0, 256, (count, BACKGROUND, BACKGROUND, 3), np.uint8)
    return [
        torch.from_numpy(np.ascontiguousarray(part))
        for part in (
            layers,
            surfaces,
            np.stack([focal, *np.full((2, count), MIDDLE)], 1).astype(np.float32),
            joints.astype(np.float32),
            centers.astype(np.float32),
            size.astype(np.float32),
            backgrounds,
        )
    ]


@pytest.mark.parametrize('larger', [0.8, 1.2, 1.9])
def test_crops_are_cut_as_the_run_time_cuts_them(larger):
    layers, _, pinholes, joints, centers, sizes, _ = draw_views(4)
    rng = np.random.default_rng(2)
    centers = centers + sizes[:, None] * torch.from_numpy(rng.normal(0, 0.15, (4, 3)) * [1, 1, 0]).float()
    ways = torch.from_numpy(rng.normal(0, 1, (4, 2))).float()
    rotations, reaches = look_at(centers, 1.4 * larger * sizes)
    rotations = turned_up(rotations, ways)
    places = to_view(crop_rays(96, rotations, reaches), pinholes)
    crops = sample(layers.permute(0, 3, 1, 2).float(), places, reaches * pinholes[:, 0] >= 96)
    points = project(joints, rotations, reaches)
    for n in range(4):
        camera = Camera(PIXELS, PIXELS, *(float(f) for f in pinholes[n, [0, 0, 1, 2]]))
        crop = PerspectiveRegion.looking_at(centers[n].double().numpy(), float(1.4 * larger * sizes[n])).turned_up(
            ways[n].numpy()
        )
        np.testing.assert_allclose(rotations[n], crop.rotation, atol=1e-5)
        np.testing.assert_allclose(points[n], crop.project(joints[n].double().numpy()), atol=1e-4)
        expected = crop.cut(layers[n].numpy(), camera, 96, black_beyond=True)
        off = np.abs(to_image(crops[n]) - expected)
        # At the view's own edge, and in the fractions of pixels that OpenCV knows, they differ.
        assert np.mean(off > 6) < 0.02 and off.mean() < 1.2


def test_a_batch_is_what_the_task_describes():
    views = draw_views(6)
    for part, empty in zip(views, draw_views(1, seed=9, hands=False)):
        part[2] = empty[0]
    torch.manual_seed(0)
    slots = torch.tensor([0, 2, 5, 2] * 8)
    images, joints, points, masks, sizes, surfaces = cut(views, slots, 64, CropShares(rough=0.2, edges=0.3, styles=0.2))
    assert images.shape == (32, 64, 64, 3) and images.dtype == torch.uint8
    assert joints.shape == (32, 21, 3) and points.shape == (32, 21, 2) and masks.shape == (32, 64, 64)
    assert surfaces.shape == (32, 8, 8, 5) and surfaces.dtype == torch.uint8
    empty = slots == 2
    for labels in (joints, points, sizes[:, None]):
        assert labels[empty].isnan().all() and labels[~empty].isfinite().all()
    assert not masks[empty].any() and masks[~empty].amax((1, 2)).min() > 0.5 and masks.max() < 1.001
    # In hand sizes from the wrist, and seen in the crops where they are.
    spans = (joints[~empty][:, [5, 9, 13, 17]] - joints[~empty][:, :1]).norm(dim=2).mean(1)
    torch.testing.assert_close(spans, torch.ones_like(spans))
    assert not joints[~empty][:, 0].any()
    torch.testing.assert_close(
        sizes[~empty], (views[3][slots[~empty]][:, [5, 9, 13, 17]] - views[3][slots[~empty]][:, :1]).norm(dim=2).mean(1)
    )
    assert (images.float().std((1, 2, 3)) > 3).all()


@pytest.mark.parametrize('rough, followed, errors', [(0.0, 0.0, OFF), (1.0, 0.0, ROUGH_OFF), (0.0, 1.0, FOLLOWED_OFF)])
def test_crops_have_localizations_errors(rough, followed, errors):
    views = draw_views(2, side=8)
    views[-1] = views[-1][:, :8, :8]
    torch.manual_seed(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cut_color, 'augment', lambda images, _: images)
        _, _, points, *_ = cut(views, torch.zeros(1500, dtype=torch.long), 16, CropShares(rough, followed))
    place, extent, least, most, turn = errors
    wrong = -(points[:, 9] - points[:, 0]).norm(dim=1).log()
    wrong = wrong - wrong.median()
    assert wrong.std() == pytest.approx(extent, rel=0.2)
    assert wrong.min() > least - 0.03 and wrong.max() < most + 0.03
    off = points.mean(1).std(0)
    wanted = (place if rough else place * np.sqrt(0.8 + 0.2 * 4)) / (CUBE_PER_HAND / CLOSER)
    np.testing.assert_allclose(off, wanted, rtol=0.15)
    pointing = points[:, [5, 9, 13, 17]].mean(1) - points[:, 0]
    assert (pointing[:, 1] < 0).float().mean() == pytest.approx(
        1 if followed else 0.96, abs=0.02
    )  # the others any way up
    turns = torch.atan2(pointing[:, 0], -pointing[:, 1]).rad2deg()
    assert turns.abs().median() == pytest.approx(0.6745 * turn, rel=0.2)


def test_where_an_image_ends_its_last_pixels_go_on():
    views = draw_views(3)
    torch.manual_seed(0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cut_color, 'augment', lambda images, _: images)
        patch.setattr(
            cut_color,
            'draw_edges',
            lambda joints, pinholes: (torch.full((len(joints), 2), -0.3), torch.full((len(joints), 2), 0.3)),
        )
        patch.setattr(cut_color, 'turned_up', lambda rotations, directions: rotations)
        ended = cut(views, torch.tensor([0, 1, 2]), 64, CropShares(edges=1.0))[0].float()
    # Half of the crop's side is some 1 / 1.6 of the view's: what is beyond 0.3 of it repeats.
    assert (ended[:, :8] - ended[:, :1]).abs().mean() < 1 < (ended[:, 28:36] - ended[:, 28:29]).abs().mean()
    assert (ended[:, :, -8:] - ended[:, :, -1:]).abs().mean() < 1


def test_images_end_about_hands():
    views = draw_views(400, side=8)
    torch.manual_seed(0)
    low, high = cut_color.draw_edges(views[3], views[2])
    assert (low >= -1).all() and (high <= 1).all() and (high - low >= 0.24).all()
    points = (views[3][..., :2] / views[3][..., 2:] * views[2][:, None, :1] + MIDDLE + 0.5) / PIXELS * 2 - 1
    cut_off = ((points < low[:, None]) | (points > high[:, None])).any(2).any(1).float().mean()
    assert 0.3 < cut_off < 0.9
    empty = draw_views(5, hands=False)
    low, high = cut_color.draw_edges(empty[3], empty[2])
    assert (high - low >= 0.24).all()


def test_filters_are_those_of_one_image():
    images = pictures(3)
    kernels = torch.randn(3, 3, 5)
    sigmas = torch.tensor([0.5, 1.0, 1.5])
    filtered, blurred = photography.filtered(images, kernels), photography.blurred(images, sigmas)
    torch.testing.assert_close(photography.filtered_by_torch(images, kernels), filtered, rtol=0, atol=0.01)
    for n in range(3):
        np.testing.assert_allclose(
            to_image(filtered[n]), cv2.filter2D(to_image(images[n]), -1, kernels[n].numpy()), atol=0.01
        )
        np.testing.assert_allclose(
            to_image(blurred[n]), cv2.GaussianBlur(to_image(images[n]), (11, 11), float(sigmas[n])), atol=0.01
        )


def test_kernels_of_movements_are_lines():
    kernels = photography.shake_kernels(torch.tensor([3.0, 8.0, 7.0]), torch.tensor([0.4, 2.0, 0.0]))
    torch.testing.assert_close(kernels.sum((1, 2)), torch.ones(3))
    assert (kernels[2, 5, 2:9] > 0.12).all() and kernels[2, :5].abs().max() < 1e-6
    for length in (3, 5, 7):
        for direction in (0.0, 0.7, 2.4):
            line = single._line_kernel(length, direction)
            assert line.shape == (11, 11) and line.sum() == pytest.approx(1) and np.count_nonzero(line) <= length
            batch = photography.shake_kernels(torch.tensor([float(length)]), torch.tensor([direction]))[0].numpy()
            # Of whole pixels, and of parts of them: much the same movement.
            assert np.minimum(cv2.GaussianBlur(line, (0, 0), 1), cv2.GaussianBlur(batch, (0, 0), 1)).sum() > 0.7


@pytest.mark.parametrize('size, factor', [(64, 0.5), (50, 0.37), (80, 0.83)])
def test_coarse_images_are_alike_on_a_cpu_and_a_gpu(size, factor):
    images = pictures(2, size) + 20 * torch.randn(2, 3, size, size)
    few = max(photography.SMALLEST, int(size * factor))
    by_torch = photography.coarsened_by_torch(images, (few, few))
    torch.testing.assert_close(by_torch, photography.coarsened(images, factor), rtol=0, atol=0.02)
    torch.testing.assert_close(by_torch.mean((2, 3)), images.mean((2, 3)), rtol=0, atol=2.0)


@pytest.mark.parametrize('quality, size', [(25, 64), (60, 64), (95, 64), (60, 52)])
def test_compression_is_jpegs(quality, size):
    images = (pictures(2, size) + 6 * torch.randn(2, 3, size, size)).clamp(0, 255).round()
    qualities = torch.full((2,), float(quality))
    found, real = photography.compressed_by_torch(images, qualities), photography.compressed(images, qualities)
    assert torch.equal(found, found.round())
    for n in range(2):
        image, wanted = to_image(images[n]), to_image(real[n])
        lost = np.abs(wanted - image).mean()
        assert np.abs(to_image(found[n]) - wanted).mean() < 0.2 * lost + 0.5
        assert np.abs(to_image(found[n]) - image).mean() == pytest.approx(lost, rel=0.05)


def test_restyled_images_keep_their_brightness_and_contrast():
    images = pictures(8)
    torch.manual_seed(0)
    after = photography.restyled(images, photography.draw_styles(8, images.device))
    assert ((after - images).abs().mean((1, 2, 3)) > 1).sum() >= 6
    torch.testing.assert_close(after.mean((2, 3)), images.mean((2, 3)), rtol=0, atol=12.0)
    assert after.shape == images.shape and after.min() >= 0 and after.max() <= 255


def test_a_batch_is_augmented_as_much_as_one_at_a_time():
    """Two generators draw from one model: what comes out is alike."""
    images = pictures(300, 32)
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    many = photography.augment(images, photography.draw_augmentation(images))
    assert torch.equal(many, many.round()) and many.min() >= 0 and many.max() <= 255
    one = np.stack([single.augment(to_image(image).astype(np.uint8), rng) for image in images]).astype(float)
    many = many.permute(0, 2, 3, 1).numpy().astype(float)
    before = images.permute(0, 2, 3, 1).numpy()
    for measure in (
        lambda x: np.abs(x - before).mean((1, 2, 3)),  # everything
        lambda x: np.abs(np.diff(x, axis=1)).mean((1, 2, 3)),  # noise and blur
        lambda x: x.std((1, 2, 3)),  # contrast
    ):
        np.testing.assert_allclose(*(np.quantile(measure(x), [0.25, 0.5, 0.75]) for x in (many, one)), rtol=0.2)


def test_an_image_is_augmented_alike_alone_and_in_a_batch():
    image, other = (to_image(picture).astype(np.uint8) for picture in pictures(2, 48))
    drawn = [single.draw_augmentation(48, 48, np.random.default_rng(seed)) for seed in range(30)]
    assert [
        sum(bool(part) and len(part[0]) > 0 for part in parts)
        for parts in zip(
            *(([a.coarse[0][0]] if a.coarse else [], a.blurred, a.shaken, a.sharpened, a.compressed) for a in drawn)
        )
    ] > [4, 2, 1, 1, 6]
    for one in drawn[:6]:
        alone = photography.augment(single._to_tensor(image), one)
        batch = photography.augment(
            torch.cat([single._to_tensor(image), single._to_tensor(other)]),
            replace(one, **{name: torch.cat([getattr(one, name)] * 2) for name in WHOLE}),
        )
        torch.testing.assert_close(batch[:1], alone, rtol=0, atol=1.0)


def test_few_images_are_changed_too():
    for count in (1, 2, 3):
        images = pictures(count)
        assert photography.augment(images, photography.draw_augmentation(images)).shape == (count, 3, 64, 64)


def test_a_training_learns_from_cached_renders(tmp_path, monkeypatch):
    from training_aids import recipe_of

    from training import view_cache
    from training.engine.trainer import train
    from training.tasks import color_pose

    class Feeder:
        def __init__(self, draw, *_):
            assert draw is color_pose.views

        def next(self):
            return draw_views(8)

        def ready(self):
            return False

        def close(self):
            pass

    monkeypatch.setattr(view_cache, 'Feeder', Feeder)
    size = recipe_of('color_large_synthetic').data_options['size']
    images, joints, points, masks, sizes, _ = cut(draw_views(4), torch.arange(4), size)
    small = color_pose.Validation(*(part.numpy() for part in (images, joints, points, masks, sizes)))
    monkeypatch.setattr(color_pose, 'validation_renders', lambda size: small)
    recipe = recipe_of(
        'color_large_synthetic',
        samples=16,
        batch=8,
        bf16=False,
        compile=False,
        cached_views=8,
        network_options={'depths': [18], 'width': 16, 'widest': 32, 'head': 'graph', 'input_size': size},
    )
    assert train(recipe, tmp_path)['seen'] == 16
    assert (tmp_path / 'best.pt').is_file()


def test_views_are_drawn_of_renders():
    pytest.importorskip('anny')
    pytest.importorskip('skimage')
    from training.tasks import color_pose

    drawn = next(color_pose.views(3, 4, people=1, people_seed=None, empty=0.0, rough=0.1))
    views = [torch.from_numpy(part) for part in drawn]
    assert [part.shape for part in views] == [part.shape for part in draw_views(4)]
    assert [part.dtype for part in views] == [part.dtype for part in draw_views(4)]
    images, joints, points, masks, _, surfaces = color_pose.cut(views, torch.arange(4), people=1)
    # The hand is where its joints are, and what is known of its surface as well.
    palms = ((points[:, [0, 5, 9, 13, 17]].mean(1) + 1) / 2 * 128).long()
    assert masks[range(4), palms[:, 1], palms[:, 0]].mean() > 0.7
    for mask, surface in zip(masks, surfaces):
        small = cv2.resize(mask.numpy(), (16, 16), interpolation=cv2.INTER_AREA)
        assert mask.mean() > 0.02 and np.abs(small - surface[..., 0].numpy() / 255).mean() < 0.03
    assert (images.float().std((1, 2, 3)) > 2).all() and joints.isfinite().all()
