"""Color renders: what they show is where their labels say, in colors, light and views that vary; and the detector."""

from itertools import pairwise

import numpy as np
import pytest

pytest.importorskip('torch', reason='training is not installed: pip install -r requirements/training.txt')

import torch
from training_aids import one_thread  # noqa: F401

from hand_pose_ros.detection.color import GRID, read_cells
from hand_pose_ros.geometry.camera import Camera
from hand_pose_ros.regions.perspective import CLOSER, PerspectiveRegion
from training.networks.color_detector import HandDetector, wanted_cells
from training.rasterizer import ZBuffer
from training.synthesis import backgrounds
from training.synthesis.backgrounds import BackgroundCache
from training.synthesis.color_crops import CropShares, crop_batches
from training.synthesis.detector_frames import CELLS, FRAME, frame_batches
from training.synthesis.people import draw_people
from training.synthesis.photography import restyle
from training.synthesis.shading import Lighting, Material, Surface, render
from training.tasks import color_detector, color_pose

pytestmark = pytest.mark.usefixtures('one_thread')


@pytest.fixture(scope='module')
def people():
    return draw_people(2, np.random.default_rng(3))


@pytest.fixture(scope='module')
def crops(people):
    return next(crop_batches(people, 5, 24, 96, crops_per_view=1, empty=0.25))


@pytest.fixture(scope='module')
def frames(people):
    return next(frame_batches(people, 8, 24))


def test_crops_hold_what_is_promised(crops):
    images, joints, points, masks, sizes, _ = crops
    assert images.shape == (24, 96, 96, 3) and images.dtype == np.uint8
    hands = np.isfinite(sizes)
    assert 0 < (~hands).sum() < 14
    assert np.isnan(joints[~hands]).all() and np.isnan(points[~hands]).all() and not masks[~hands].any()
    assert (np.abs(joints[hands, 0]) < 1e-6).all(), 'joints are not from the wrist'
    assert np.linalg.norm(joints[hands][:, [5, 9, 13, 17]], axis=2).mean(1) == pytest.approx(1, abs=1e-5)
    assert ((sizes[hands] > 0.04) & (sizes[hands] < 0.13)).all(), 'sizes are not in meters'
    assert len({tuple(image[0, 0]) for image in images}) > 15 and images.std() > 30


def test_crops_of_one_view_lie_apart(people):
    def poses(views):
        joints = next(crop_batches(people, 5, 36, 48, crops_per_view=3, empty=0, views=views))[1]
        return [round(float(np.linalg.norm(hand[8])), 4) for hand in joints]  # the same however the crop is turned

    one, many = poses(1), poses(6)
    assert len(set(one)) == 12 and one[0] == one[1] == one[2]
    assert len(set(many)) in range(10, 18) and many == poses(6)
    assert sum(a == b for a, b in pairwise(many)) < 12


def test_cached_backgrounds_are_cut_anew_and_give_way(monkeypatch):
    drawn = []
    monkeypatch.setattr(
        backgrounds,
        'draw_background',
        lambda width, height, rng: drawn.append(1) or rng.integers(0, 255, (height, width, 3), np.uint8),
    )
    background, rng = BackgroundCache(4, 32, uses=8), np.random.default_rng(3)
    cuts = [background.draw(32, 32, rng) for _ in range(200)]
    assert all(cut.shape == (32, 32, 3) and cut.dtype == np.uint8 for cut in cuts)
    assert len({cut.tobytes() for cut in cuts}) > 195, 'the same place is cut again and again'
    assert 4 + 10 < len(drawn) < 4 + 45


def test_joints_lie_on_the_hand(crops):
    _, _, points, masks, sizes, _ = crops
    on = total = 0
    for place, mask in zip(points[np.isfinite(sizes)], masks[np.isfinite(sizes)]):
        pixels = np.round((place + 1) / 2 * 96 - 0.5).astype(int)
        inside = ((pixels >= 0) & (pixels < 96)).all(1)
        on += (mask[pixels[inside, 1], pixels[inside, 0]] > 0.3).sum()
        total += inside.sum()
    assert on / total > 0.85, 'the labels are beside the hand'


def test_points_are_the_joints_as_the_crops_camera_sees_them(crops):
    _, joints, points, _, sizes, _ = crops
    for xyz, uv in zip(joints[np.isfinite(sizes)].astype(float), points[np.isfinite(sizes)].astype(float)):
        # Some wrist and reach must explain all points: x + X = reach u (z + Z), linear in X, Y, Z.
        ratio = np.ptp(uv, axis=0).max() / np.ptp(xyz[:, :2], axis=0).max()
        assert 0.3 < ratio < 2
        assert np.corrcoef(xyz[:, 0], uv[:, 0])[0, 1] > 0.7 and np.corrcoef(xyz[:, 1], uv[:, 1])[0, 1] > 0.7


def test_surfaces_say_what_of_the_hand_is_where(crops):
    _, joints, points, masks, sizes, surfaces = crops
    assert surfaces.shape == (24, 12, 12, 5) and surfaces.dtype == np.uint8
    hands = np.isfinite(sizes)
    shares = surfaces[..., 0] / 255
    coarse = masks.reshape(24, 12, 8, 12, 8).mean((2, 4))
    assert np.abs(shares - coarse)[hands].mean() < 0.03, 'a surface is beside its hand'
    assert (surfaces[..., 1:] <= surfaces[..., :1]).all()
    surfaces = surfaces.astype(float)
    seen, places, depths = [], [], []
    for row in np.nonzero(hands)[0]:
        cells = np.floor((points[row] + 1) * 6).astype(int).clip(0, 11)
        for joint in range(21):
            u, v = cells[joint]
            if shares[row, v, u] > 0.6:
                seen.append(joint)
                places.append(2 * surfaces[row, v, u, 1:4] / surfaces[row, v, u, 0] - 1)
                depths.append(
                    (
                        2 * surfaces[row, v, u, 4] / surfaces[row, v, u, 0] - 1,
                        joints[row, joint, 2] - joints[row].mean(0)[2],
                    )
                )
    assert len(seen) > 60
    seen, places = np.array(seen), np.array(places)
    # A joint is about the same place of every hand, in a cell of some 12 by 12 pixels; other joints are others.
    within = np.mean([places[seen == joint].std(0).mean() for joint in np.unique(seen) if (seen == joint).sum() > 2])
    assert within < 0.75 * places.std(0).mean()
    assert np.corrcoef(np.array(depths).T)[0, 1] > 0.4, 'what lies further away is said to be nearer'


def test_the_same_seed_gives_the_same_pictures(people, crops):
    again = next(crop_batches(people, 5, 24, 96, crops_per_view=1, empty=0.25))
    assert all(np.array_equal(a, b, equal_nan=a.dtype.kind == 'f') for a, b in zip(crops, again))


def test_crops_of_another_size_can_show_the_same_hands(people):
    small, large, others = (
        next(crop_batches(people, 7, 6, size, crops_per_view=1, empty=0, as_of=as_of))
        for size, as_of in ((64, 0), (96, 64), (96, 0))
    )
    assert large[0].shape == (6, 96, 96, 3)
    for part in (1, 2, 4):
        assert np.array_equal(small[part], large[part]), 'other hands, or cut otherwise'
    coarse = [
        masks.reshape(6, 16, side // 16, 16, side // 16).mean((2, 4))
        for masks, side in ((small[3], 64), (large[3], 96))
    ]
    assert np.abs(coarse[0] - coarse[1]).mean() < 0.02
    assert not np.array_equal(others[1], large[1])
    again = next(crop_batches(people, 7, 6, 64, crops_per_view=1, empty=0, as_of=64))
    assert all(np.array_equal(a, b) for a, b in zip(small, again))


def test_crops_with_room_show_the_same_hands_and_what_is_about_them(people):
    plain, wide = (next(crop_batches(people, 7, 6, 64, crops_per_view=1, empty=0, room=room)) for room in (1.0, 1.5))
    assert wide[0].shape == (6, 96, 96, 3) and wide[3].shape == (6, 96, 96)
    for part in (1, 2, 4, 5):
        assert np.array_equal(plain[part], wide[part]), 'other hands, or cut otherwise'
    assert np.abs(wide[3][:, 16:80, 16:80] - plain[3]).mean() < 0.01


def test_followed_hands_lie_as_their_joints_say(people):
    _, _, points, *_ = next(crop_batches(people, 9, 48, 32, crops_per_view=6, empty=0, shares=CropShares(followed=1.0)))
    up = points[:, [5, 9, 13, 17]].mean(1) - points[:, 0]
    turns = np.degrees(np.arctan2(up[:, 0], -up[:, 1]))
    assert 1.5 < np.median(np.abs(turns)) < 8 and np.abs(turns).max() < 45, turns
    others = next(crop_batches(people, 9, 48, 32, crops_per_view=6, empty=0))[2]
    beside, farther = (np.linalg.norm(seen.mean(1), axis=1).mean() for seen in (points, others))
    assert beside < 0.06 < 0.09 < farther, "the joints' mean is the crop's middle"


def test_frames_hold_hands_where_the_labels_say(frames):
    images, labels, _ = frames
    assert images.shape == (24, FRAME, FRAME, 3) and labels.shape == (24, 2, 7)
    there = labels[..., 6] == 1
    assert there.sum() > 8 and set(np.unique(labels[there][:, 5])) == {0.0, 1.0}, 'both sides are to be seen'
    assert (np.abs(labels[there][:, :2]) < 1.1).all() and (labels[there][:, 2] > 0.02).all()
    assert np.linalg.norm(labels[there][:, 3:5], axis=1) == pytest.approx(1, abs=1e-5)


def test_frames_tell_hands_from_the_rest_of_people(frames):
    images, labels, surfaces = frames
    assert surfaces.shape == (24, CELLS, CELLS, 9) and surfaces.dtype == np.uint8
    hands, people = surfaces[..., 0].astype(int), surfaces[..., 5].astype(int)
    assert (hands <= people + 1).all() and people.sum() > 2 * hands.sum() > 0
    assert (surfaces[..., 1:5] <= surfaces[..., :1]).all() and (surfaces[..., 6:] <= surfaces[..., 5:6]).all()
    for shown, rows in zip(hands, labels):
        for u, v, half, _, _, _, weight in rows:
            if weight == 1:
                low, high = (
                    np.clip((np.array([u, v]) + way * half + 1) / 2 * CELLS, 0, CELLS).astype(int) for way in (-1, 1)
                )
                assert shown[low[1] : high[1] + 1, low[0] : high[0] + 1].max() > 40, 'a surface is beside its hand'
    bars = (images.reshape(24, CELLS, FRAME // CELLS, CELLS, FRAME // CELLS, 3) == 0).all((2, 4, 5))
    assert bars.mean() > 0.05 and people[bars].mean() < 0.1 * people.mean(), 'people go on beyond the picture'
    # A person's hands are far from the middle, as arms are at rest; and forearms and bodies are nearer to it.
    aside = surfaces[..., 6] / np.maximum(surfaces[..., 5], 1)
    assert np.median(aside[hands > 200]) > np.median(aside[(people > 200) & (hands < 10)]) + 0.05


def test_frames_that_look_elsewhere_show_people_and_seldom_hands(people):
    (_, usual, _), (_, labels, surfaces) = (
        next(frame_batches(people, 8, 24, pictures_per_frame=1, elsewhere=share)) for share in (0.0, 1.0)
    )
    assert (labels[..., 6] == 1).sum() < 0.6 * (usual[..., 6] == 1).sum()
    assert (surfaces[..., 5] > 128).any((1, 2)).sum() >= 16, 'nobody is to be seen'


def test_another_style_keeps_shapes():
    picture = np.full((48, 64, 3), (90, 60, 40), np.uint8)
    picture[12:36, 20:44] = (200, 150, 120)
    rng = np.random.default_rng(4)
    changed = 0
    for _ in range(20):
        styled = restyle(picture, rng)
        assert styled.shape == picture.shape and styled.dtype == np.uint8
        # Flat parts stay flat, away from edges; the edges stay where they are.
        assert (np.ptp(styled[15:33, 23:41].reshape(-1, 3), axis=0) <= 1).all()
        steps = np.abs(np.diff(styled[24].astype(int), axis=0)).sum(1)
        assert set(np.nonzero(steps > 2)[0]) <= set(range(16, 23)) | set(range(40, 47))
        changed += np.abs(styled.astype(int) - picture).mean() > 5
    assert changed > 8
    flat = np.full((16, 16, 3), 70, np.uint8)
    assert np.array_equal(restyle(flat, rng), flat), 'a picture without shapes has no style'


def test_crops_in_another_style_show_the_same_hand(people):
    for seed in (1, 2, 3):
        (plain, *labels, _), (styled, *same, _) = (
            next(crop_batches(people, seed, 1, 96, crops_per_view=1, empty=0, shares=CropShares(styles=share)))
            for share in (0.0, 1.0)
        )
        assert all(np.array_equal(a, b) for a, b in zip(labels, same))
        assert np.abs(styled.astype(int) - plain).mean() > 1


def ball(center, radius=0.05):
    from training.synthesis.scene import CLUTTER, primitive

    points, faces, ids, _ = primitive('ball', np.eye(3), np.full(3, radius), np.array(center))
    return Surface(points, faces, ids, CLUTTER, points, Material(color=(0.8, 0.4, 0.2), mottle=0.0))


def light(direction, shadow=0.9):
    direction = np.array(direction, float) / np.linalg.norm(direction)
    return Lighting(np.full(3, 0.1), np.full(3, 0.1), np.array([0, -1.0, 0]), direction[None], np.ones((1, 3)), shadow)


def test_shading_covers_what_the_rasterizer_covers_and_is_lit_from_the_lamps_side():
    surface = ball((0, 0, 0.5))
    window = (120, 120, 400.0, 400.0, 59.5, 59.5)
    picture = render([surface], light((1, 0, -1)), Camera(*window), center=np.array([0, 0, 0.5]))
    buffer = ZBuffer.empty(120, 120)
    buffer.draw(surface.points, surface.faces, surface.face_ids, window[2:])
    assert np.array_equal(buffer.labels >= 0, picture.labels > 0) and np.array_equal(buffer.depth, picture.depth)
    shown = picture.labels > 0
    columns = np.nonzero(shown)[1]
    bright = picture.color[shown].mean(1)
    assert bright[columns > 75].mean() > 2 * bright[columns < 45].mean(), 'lit from the wrong side'
    assert picture.color[shown].mean(0)[0] > 1.5 * picture.color[shown].mean(0)[1]


def test_a_thing_before_the_lamp_casts_a_shadow():
    floor, blocker = ball((0, 0, 0.6), 0.08), ball((0.12, 0, 0.44), 0.02)
    towards = np.array([0.12, 0, -0.16])
    window = (160, 160, 300.0, 300.0, 79.5, 79.5)
    bright = [
        render(surfaces, light(towards), Camera(*window), center=np.array([0, 0, 0.6])).color
        for surfaces in ([floor], [floor, blocker])
    ]
    row = slice(70, 90)
    only_floor = (bright[0][row] > 0).all(2) & (bright[1][row] > 0).all(2)
    ratio = (bright[1][row] / np.maximum(bright[0][row], 1e-6)).mean(2)[only_floor]
    assert (ratio < 0.6).sum() > 10, 'no shadow'
    assert (np.abs(ratio - 1) < 0.05).mean() > 0.3, 'everything is in shadow'


def test_the_second_layer_shows_where_it_covers():
    surface = ball((0, 0, 0.5))
    surface.cover = surface.points[:, 1].copy()
    surface.cover_material = Material(color=(0.0, 0.0, 0.9), mottle=0.0)
    color = render(
        [surface], light((0, 0, -1), 0.0), Camera(120, 120, 400.0, 400.0, 59.5, 59.5), np.array([0, 0, 0.5])
    ).color
    below, above = color[75, 60], color[45, 60]
    assert below[2] > 3 * below[0] and above[0] > 2 * above[2]


# ---- the detector ----


def test_what_cells_should_say_is_what_is_read_from_them(frames):
    labels = torch.from_numpy(frames[1])
    heat, counts, box, inside = wanted_cells(labels)
    odds = torch.where(heat == 1, 4.0, -6.0)
    cells = torch.cat([odds[:, None], box[:, :1] - 0.5, box[:, 1:]], 1).numpy()
    figures = color_detector.compare([read_cells(one, 0.35) for one in cells], frames[1])
    # Two hands over one another may count as one.
    assert figures['missed_percent'] <= 10 and figures['false_percent'] <= 5 and figures['side_wrong_percent'] == 0
    assert figures['center_percent'] < 0.1 and figures['size_percent'] < 0.1 and figures['direction_median_deg'] < 0.1
    doubtful = (labels[..., 6] == 0).any(1)
    assert ((counts == 0).flatten(1).any(1) <= doubtful).all()
    assert inside.sum() >= (labels[..., 6] == 1).sum()


def test_misses_false_ones_and_wrong_sides_are_counted():
    label = np.array(
        [[[0.0, 0, 0.2, 0, -1, 1, 1], [0.5, 0.5, 0.2, 1, 0, 0, 1]], [[0.5, 0, 0.2, 0, -1, 1, 0], [-1] * 7]], np.float32
    )
    way = np.array([0.0, -1])
    found = [
        [(np.array([0.02, 0]), 0.2, way, 'left', 0.9), (np.array([-0.8, 0]), 0.2, way, 'left', 0.8)],
        [(np.array([0.5, 0.0]), 0.2, way, 'left', 0.7)],
    ]
    figures = color_detector.compare(found, label)
    assert figures['missed_percent'] == 50 and figures['false_percent'] == 50, 'a doubtful hand is neither'
    assert figures['side_wrong_percent'] == 100 and figures['center_percent'] == pytest.approx(10)


@pytest.mark.slow
def test_the_detector_learns_a_batch(frames):
    torch.manual_seed(0)
    network = HandDetector(width=16, joined=16)
    batch = color_detector.network_input([torch.from_numpy(part[:4]) for part in frames])
    first, corrected, _ = network.forward_stages(batch[0])
    assert torch.equal(first, corrected), 'the correction begins as none'
    optimizer = torch.optim.AdamW(network.parameters(), 3e-3)
    values = []
    for _ in range(25):
        value = network.loss(*batch)
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        values.append(float(value.detach()))
    assert network(batch[0]).shape == (4, 7, GRID, GRID)
    assert np.mean(values[-3:]) < 0.4 * values[0]


def test_presence_is_told_by_spread():
    rng = np.random.default_rng(0)
    intercept, slope = color_pose.presence_line(
        np.exp(rng.normal(-2.5, 0.3, (300, 21))), np.exp(rng.normal(-0.5, 0.3, (60, 21)))
    )
    assert slope > 0

    def probability(spread):
        return 1 / (1 + np.exp(-(intercept - slope * np.log(spread))))

    assert probability(0.08) > 0.95 and probability(0.6) < 0.05


def test_hands_are_measured_as_the_tracker_estimates_new_ones_and_follows_them(crops):
    from hand_pose_ros.core.hand import HandEstimate
    from hand_pose_ros.geometry.joints import NOMINAL_HAND_SIZE_M
    from training.evaluation.color_pose import estimate_as_tracker, reach_of

    _, joints, points, _, sizes, _ = (part[np.isfinite(crops[4])][:4] for part in crops)
    at = [PerspectiveRegion(np.eye(3), reach_of(*hand)) for hand in zip(joints.astype(float), points.astype(float))]
    truth = [
        hand * size + crop.place(hand * size, uv)
        for hand, size, uv, crop in zip(joints.astype(float), sizes, points.astype(float), at)
    ]
    estimated = []

    class Estimator:
        def estimate(self, frame, regions, views=1):
            assert frame.color.shape == (96, 96, 3)
            number = len(estimated) // 5
            estimated.append(regions)
            hand = truth[number] * NOMINAL_HAND_SIZE_M / sizes[number]
            sure, sigma = np.ones(21, np.float32), np.full(21, 0.1)
            return [HandEstimate(hand, sure, sigma, 1.0, 4.0, PerspectiveRegion.of_hand(hand)) for _ in regions]

    data = color_pose.Validation(np.zeros((4, 96, 96, 3), np.uint8), joints, points, None, sizes)
    (new, often), (followed, once) = estimate_as_tracker(Estimator(), data, at, 1)
    assert (often, once) == (4, 1) and len(estimated) == 20
    np.testing.assert_allclose(new, truth, rtol=1e-5)
    np.testing.assert_allclose(followed, truth, rtol=1e-5)
    # The first estimate is by the crop that is given, a followed hand's by that of its joints.
    for n in range(4):
        first, last = estimated[5 * n][0], estimated[5 * n + 4][0]
        assert first.rotation == pytest.approx(np.eye(3)) and first.reach == pytest.approx(at[n].reach * CLOSER)
        own = PerspectiveRegion.of_hand(truth[n])
        assert last.rotation == pytest.approx(own.rotation) and last.reach == pytest.approx(own.reach)


def test_a_crops_reach_is_found_by_its_joints(crops):
    from training.evaluation.color_pose import reach_of, silhouette

    _, joints, points, _, sizes, _ = crops
    for xyz, uv in zip(joints[np.isfinite(sizes)].astype(float), points[np.isfinite(sizes)].astype(float)):
        crop = PerspectiveRegion(np.eye(3), reach_of(xyz, uv))
        wrist = crop.place(xyz, uv)
        assert crop.project(xyz + wrist) == pytest.approx(uv, abs=0.01)
    square = np.array([[-0.1, -0.1, 1], [0.1, -0.1, 1], [0.1, 0.1, 1], [-0.1, 0.1, 1]], float)
    mask = silhouette(square, np.array([[0, 1, 2], [0, 2, 3]]), PerspectiveRegion(np.eye(3), 0.2), 64)
    assert mask.mean() == pytest.approx(0.25, abs=0.03) and mask[32, 32] and not mask[8, 8]
