"""Colour: detections, crops and the tracker that follows hands by them, with networks that know the answer."""

from dataclasses import replace

import numpy as np
import pytest

from hand_pose_ros.estimation import color_pose
from hand_pose_ros.estimation.color_pose import ColorPose
from hand_pose_ros.estimation.models import Model
from hand_pose_ros.geometry.camera import Camera
from hand_pose_ros.geometry.joints import WRIST
from hand_pose_ros.localization.color_crop import CLOSER, ColorCrop, pointing
from hand_pose_ros.localization.crop import CUBE_PER_HAND, hand_centre, hand_size
from hand_pose_ros.localization.detector import CELL, DETECTOR_INPUT, GRID, detect, letterbox, read_cells
from hand_pose_ros.parameters import TrackerParameters
from hand_pose_ros.pipeline import color_tracker
from hand_pose_ros.pipeline.color_tracker import AGAIN, look_closer
from hand_pose_ros.pipeline.modality import make_tracker
from synthetic_hand import open_hand

CAMERA = Camera(640, 480, 500, 500, 319.5, 239.5)
BLACK = np.zeros((480, 640, 3), np.uint8)


def cells_of(hands, image_shape=(480, 640), camera=CAMERA):
    """What a perfect detector says of hands: (joints, side, score)."""
    out = np.full((7, GRID, GRID), -8, np.float32)
    height, width = image_shape
    scale = max(height, width) / DETECTOR_INPUT
    start = (DETECTOR_INPUT - np.array([round(width / scale), round(height / scale)])) // 2
    for joints, side, score in hands:
        crop = ColorCrop.of_hand(joints)
        at = ((camera.project(hand_centre(joints)[None])[0] + 0.5) / scale + start) / CELL
        column, row = np.floor(at).astype(int)
        out[:2, row, column] = np.log(score / (1 - score)), 4 if side == 'right' else -4
        out[2:4, row, column] = at - (column, row)
        out[4, row, column] = np.log(crop.reach * camera.fx / scale / (DETECTOR_INPUT / 2))
        out[5:7, row, column] = pointing(camera.project(joints))
    return out


class World:
    """Hands before a camera, and networks that see them; keeps which crops were looked at."""

    def __init__(self, hands):
        self.hands = hands
        self.looked = []
        self.detections = 0

    def detector(self, images):
        assert images.shape == (1, 3, DETECTOR_INPUT, DETECTOR_INPUT) and images.dtype == np.float32
        self.detections += 1
        return [cells_of([(joints, side, 0.9) for side, joints in self.hands.items()])[None]]

    def pose(self, crops):
        """Answer as a network would: the hand nearest to each crop's middle."""
        found = []
        for crop in crops:
            self.looked.append(crop)
            near = sorted(self.hands.items(), key=lambda one: np.linalg.norm(crop.project(hand_centre(one[1]))))
            mirrored = np.linalg.det(crop.rotation) < 0
            if not near or np.linalg.norm(crop.project(hand_centre(near[0][1]))) > 1:
                found.append((np.zeros((21, 3)), np.zeros((21, 2)), np.full(21, 1.0), 0.0))
                continue
            side, joints = near[0]
            local = crop.from_camera(joints - joints[WRIST]) / hand_size(joints)
            right = 3.0 if (side == 'left') == mirrored else -3.0
            found.append((local, crop.project(joints), np.full(21, 0.05), right))
        return [np.stack(part).astype(np.float32) for part in zip(*found)]


@pytest.fixture
def tracked(monkeypatch):
    """Make a tracker whose networks see a world."""
    def make(world, **settings):
        class Network:
            description, input_shape = 'known', (3, 128, 128)

            def __init__(self, answer):
                self.answer = answer

            def __call__(self, images):
                return self.answer(images)

        estimator = color_pose.ColorPoseEstimator

        def cut(self, image, camera, crops):
            self.crops = crops
            return np.zeros((len(crops), 3, 128, 128), np.float32)

        monkeypatch.setattr(color_tracker, 'find_model', lambda name, task: Model(task, None, task))
        monkeypatch.setattr(color_pose, 'find_model', lambda name, task: Model(task, None, task, (4, 2), (-6, 6)))
        monkeypatch.setattr(color_tracker, 'open_engine', lambda *args: Network(world.detector))
        monkeypatch.setattr(color_pose, 'open_engine', lambda *args: Network(None))
        monkeypatch.setattr(color_tracker, 'warm_up', lambda engine: None)
        monkeypatch.setattr(estimator, 'cut', cut)
        tracker = color_tracker.ColorHandTracker(TrackerParameters(modality='rgb', **settings))
        tracker._estimator.engine.answer = lambda images: world.pose(tracker._estimator.crops)
        return tracker
    return make


def hands_at(size=0.09, left=(-0.12, 0, 0.6), right=(0.12, 0.02, 0.7)):
    found = {}
    for side, place in (('left', left), ('right', right)):
        joints = open_hand(side, place)
        joints = joints - joints[WRIST]
        found[side] = joints * size / hand_size(joints) + place
    return found


def test_hands_are_found_placed_by_their_size_and_told_apart(tracked):
    world = World(hands_at())
    tracker = tracked(world, hand_size=0.09)
    hands = {hand.side: hand for hand in tracker.process(BLACK, CAMERA, 0.0)}
    assert set(hands) == {'left', 'right'}
    for side, joints in world.hands.items():
        assert np.abs(hands[side].joints - joints).max() < 1e-4, 'not where it is'
        assert hands[side].fit.vertices is not None and hands[side].score > 0.9


def test_distance_follows_the_hands_size(tracked):
    world = World(hands_at())
    near, = {h.joints[WRIST, 2] for h in tracked(world, hand_size=0.06).process(BLACK, CAMERA) if h.side == 'left'}
    assert near == pytest.approx(0.6 * 0.06 / 0.09, rel=1e-3)


def test_depth_beside_it_tells_size_and_distance_until_it_is_gone(tracked):
    world = World(hands_at(0.07))
    tracker = tracked(world, hand_size=0.09)
    depth = np.full(BLACK.shape[:2], 1.4, np.float32)
    for joints in world.hands.values():
        for (u, v), z in zip(np.rint(CAMERA.project(joints)).astype(int), joints[:, 2]):
            depth[v - 2:v + 3, u - 2:u + 3] = z - 0.0056
    for given in (depth, np.zeros_like(depth), None):
        found = {hand.side: hand.joints for hand in tracker.process(BLACK, CAMERA, depth=given)}
        for side, joints in world.hands.items():
            assert np.linalg.norm(found[side] - joints, axis=1).max() < 0.006
    with pytest.raises(ValueError, match='the depth image is 64x48'):
        tracker.process(BLACK, CAMERA, depth=np.zeros((48, 64), np.float32))


def test_another_camera_is_another_scene(tracked):
    world = World(hands_at())
    tracker = tracked(world)
    before = {hand.track for hand in tracker.process(BLACK, CAMERA)}
    assert {hand.track for hand in tracker.process(BLACK, CAMERA)} == before
    after = {hand.track for hand in tracker.process(BLACK, replace(CAMERA, cx=320.5))}
    assert len(after) == 2 and not after & before


def test_a_followed_hand_needs_no_detector_and_keeps_its_number(tracked):
    world = World(hands_at())
    tracker = tracked(world)
    numbers = {h.side: h.track for h in tracker.process(BLACK, CAMERA, 0.0)}
    for step in range(1, 12):
        world.hands = {side: joints + (0.01, 0.002, 0.01) for side, joints in world.hands.items()}
        hands = tracker.process(BLACK, CAMERA, step / 30)
        assert {h.side: h.track for h in hands} == numbers
        assert all(np.abs(h.joints - world.hands[h.side]).max() < 2e-3 for h in hands)
    assert world.detections == 1, 'two hands of two are followed: there is nothing to search for'
    # Once sure of the sides, one look a hand is enough.
    world.looked.clear()
    tracker.process(BLACK, CAMERA, 1.0)
    assert len(world.looked) == 2


def test_a_second_hand_is_searched_for_between_images(tracked):
    both = hands_at()
    world = World({'left': both['left']})
    tracker = tracked(world)
    tracker.process(BLACK, CAMERA)
    world.hands = both
    for _ in range(2 * color_tracker.SEARCH_EVERY):
        before = world.detections
        hands = tracker.process(BLACK, CAMERA)
        assert world.detections == before, 'a followed hand does not wait for the search'
        tracker.prepare()
        if len(hands) == 2:
            break
    assert {hand.side for hand in hands} == {'left', 'right'}


def test_a_hand_that_goes_is_lost_and_found_again(tracked):
    world = World(hands_at())
    tracker = tracked(world)
    tracker.process(BLACK, CAMERA, 0.0)
    gone = world.hands.pop('left')
    assert [h.side for h in tracker.process(BLACK, CAMERA, 0.1)] == ['right']
    for step in range(8):
        tracker.process(BLACK, CAMERA, 0.2 + step / 30)
    world.hands['left'] = gone + (0, 0.05, 0)
    found = [{h.side for h in tracker.process(BLACK, CAMERA, 1 + step / 30)} for step in range(8)]
    assert found[-1] == {'left', 'right'}


def test_a_hand_that_jumps_is_found_in_the_same_frame(tracked):
    world = World({'right': hands_at()['right']})
    tracker = tracked(world)
    tracker.process(BLACK, CAMERA, 0.0)
    world.hands['right'] = world.hands['right'] - (0.35, 0, 0)
    hand, = tracker.process(BLACK, CAMERA, 0.1)
    assert np.abs(hand.joints - world.hands['right']).max() < 1e-3


def test_the_network_overrules_the_detector_on_the_side(tracked):
    world = World({'left': hands_at()['left']})
    world.detector = lambda images: [cells_of([(world.hands['left'], 'right', 0.9)])[None]]
    tracker = tracked(world, max_hands=1)
    sides = [[h.side for h in tracker.process(BLACK, CAMERA, step / 30)] for step in range(3)]
    assert sides[-1] == ['left']


@pytest.mark.parametrize('certain', [False, True], ids=['hardly', 'clearly'])
def test_two_hands_that_hardly_differ_in_side_are_a_pair(tracked, certain):
    world = World(hands_at())
    pose = world.pose

    def all_right(crops):
        joints, points, spread, right = pose(crops)
        mirrored = np.array([np.linalg.det(crop.rotation) < 0 for crop in crops])
        left = np.array([abs(crop.to_pixels(np.zeros(2), CAMERA)[0] - CAMERA.project(
            hand_centre(world.hands['left'])[None])[0, 0]) < 100 for crop in crops])
        # Log odds of what the crop shows being a right hand: the true left hand looks like a right one.
        right[left] = np.where(mirrored[left], -1, 1) * (1.4 if certain else 0.7)
        return [joints, points, spread, right]

    world.pose = all_right
    tracker = tracked(world)
    for step in range(5):
        hands = tracker.process(BLACK, CAMERA, step / 30)
        assert {hand.side for hand in hands} == ({'right'} if certain else {'left', 'right'})
        if not certain:
            assert all(np.abs(hand.joints - world.hands[hand.side]).max() < 2e-3 for hand in hands)


def test_more_looks_see_a_hand_turned_and_closer_and_agree(tracked):
    world = World(hands_at())
    tracker = tracked(world)
    once = {hand.side: hand for hand in tracker.process(BLACK, CAMERA)}
    tracker.process(BLACK, CAMERA)
    tracker.parameters = replace(tracker.parameters, looks=4)
    world.looked.clear()
    tracker._tracks = tracker._tracks[:1]
    side = tracker._tracks[0].side
    hand = next(hand for hand in tracker.process(BLACK, CAMERA) if hand.side == side)
    assert hand.joints == pytest.approx(once[side].joints, abs=1e-4)
    looked = world.looked[:8:2]  # the track is not sure of its side yet: every other look is at the mirror image
    ways = [np.degrees(np.arctan2(*(pointing(crop.project(hand.joints)) * (1, -1)))) for crop in looked]
    assert ways == pytest.approx([5.7, -5.7, 17.2, -17.2], abs=1), 'clockwise is to the right of up'
    assert [crop.reach for crop in looked] == pytest.approx([ColorCrop.of_hand(hand.joints).reach / CLOSER] * 4)


def test_of_several_looks_the_surer_counts_for_a_joint_and_all_for_the_place():
    joints = open_hand('right', (0, 0, 0.5))
    sure = ColorPose(joints, np.full(21, 0.9), 0.8, 2.0, np.full(21, 0.01))
    other = joints + (0, 0, 0.1)
    other[8] += (0.02, 0, 0)
    doubtful = ColorPose(other, np.full(21, 0.5), 0.4, -1.0, np.full(21, 0.02))
    both = color_pose.merge([sure, doubtful])
    assert color_pose.merge([sure]) is sure
    middle = hand_centre(joints) * 0.5 + hand_centre(other) * 0.5
    assert hand_centre(both.joints) == pytest.approx(middle, abs=1e-9)
    assert both.joints[8] - joints[8] == pytest.approx([0.2 * 0.02 + 0.3 * 0.02 / 21, 0, 0.05], abs=1e-9)
    assert both.side_odds == 0.5 and both.presence == pytest.approx(0.6) and both.confidence[0] == pytest.approx(0.7)


@pytest.mark.parametrize('wrong, again', [({'turn': 0.2, 'zoom': 1.1}, 0), ({'turn': -0.8}, 1), ({'zoom': 0.7}, 1)],
                         ids=['near', 'turned', 'small'])
def test_a_hand_is_looked_at_again_where_its_crop_was_far_off(wrong, again):
    joints = open_hand('right', (0.05, 0, 0.5))
    right = ColorCrop.of_hand(joints)
    crops, looked = [right.seen(**wrong)], []

    def pose(joints, presence):
        return ColorPose(joints, np.full(21, 0.9), presence, 1.0, np.full(21, 0.01))

    def look(crops):
        looked.extend(crops)
        return [pose(joints + (0, 0, 0.02), 0.9) for _ in crops]

    poses = [pose(joints, 0.4)]
    look_closer(look, crops, poses, [False], [False], CAMERA)
    assert len(looked) == again
    assert crops[0].rotation == pytest.approx(right.rotation, abs=5e-3)
    assert poses[0].joints == pytest.approx(joints + (0, 0, 0.01 * again)), 'both looks count for where joints are'
    assert poses[0].presence == (0.9 if again else 0.4), 'the last one for whether it is a hand'


def test_a_new_hand_is_looked_at_four_times_each_time_otherwise():
    joints = open_hand('right', (0.05, 0, 0.5))
    right = ColorCrop.of_hand(joints)
    crops, looked = [right], []

    def look(crops):
        looked.extend(crops)
        moved = joints + (0, 0, 0.004 * len(looked))
        return [ColorPose(moved, np.full(21, 0.9), 0.9 - 0.1 * len(looked), 1.0, np.full(21, 0.01)) for _ in crops]

    poses = [ColorPose(joints, np.full(21, 0.9), 0.4, 1.0, np.full(21, 0.01))]
    look_closer(look, crops, poses, [False], [True], CAMERA)
    assert [crop.reach / right.reach for crop in looked] == pytest.approx([1, 1, 1 / 1.05], rel=0.015)
    ways = [np.arctan2(*(pointing(crop.project(joints)) * (1, -1))) for crop in looked]
    assert ways == pytest.approx([0, 0.15, -0.15], abs=0.02)
    assert crops[0].rotation == pytest.approx(right.rotation, abs=5e-3), 'it is followed in a crop as any other'
    assert crops[0].reach == pytest.approx(right.reach, rel=0.015)
    assert poses[0].joints == pytest.approx(joints + (0, 0, 0.006)), 'the mean of all'
    assert poses[0].presence == pytest.approx(0.6)


def test_what_is_no_hand_or_never_lies_still_is_not_looked_at_without_end():
    looked = []

    def look(crops):
        looked.extend(crops)
        return [ColorPose(open_hand('right', (0.1 * (-1) ** len(looked), 0, 0.5)), np.full(21, 0.9), 0.9, 1.0,
                          np.full(21, 0.01 / 2 ** len(looked))) for _ in crops]

    for presence, count in ((0.1, 0), (0.9, len(AGAIN))):
        looked.clear()
        joints = open_hand('right', (0.1, 0, 0.5))
        poses = [ColorPose(joints, np.full(21, 0.9), presence, 1.0, np.full(21, 0.01))]
        look_closer(look, [ColorCrop.of_hand(joints).seen(turn=1.0)], poses, [False], [False], CAMERA)
        assert len(looked) == count


def test_images_that_do_not_fit_are_refused(tracked):
    tracker = tracked(World({}))
    with pytest.raises(ValueError, match='320x240, its camera 640x480'):
        tracker.process(np.zeros((240, 320, 3), np.uint8), CAMERA)
    with pytest.raises(ValueError, match='three channels'):
        tracker.process(np.zeros((480, 640), np.float32), CAMERA)
    assert tracker.process(BLACK, CAMERA) == []


def test_the_modality_makes_the_tracker(monkeypatch):
    for modality, name in (('rgb', 'ColorHandTracker'), ('depth', 'HandTracker')):
        monkeypatch.setattr(f'hand_pose_ros.pipeline.modality.{name}', lambda parameters, name=name: name)
        assert make_tracker(TrackerParameters(modality=modality)) == name
    with pytest.raises(ValueError, match='does not carry rgb images'):
        TrackerParameters(modality='rgb', image_transport='compressedDepth')
    with pytest.raises(ValueError, match='does not carry depth images'):
        replace(TrackerParameters(), image_transport='compressed')


# ---- the detector's coordinates ----

@pytest.mark.parametrize('shape', [(480, 640), (720, 1280), (640, 360), (200, 200)])
def test_letterbox_and_back(shape):
    image = np.zeros((*shape, 3), np.uint8)
    image[shape[0] // 4 - 8:shape[0] // 4 + 8, shape[1] // 3 - 8:shape[1] // 3 + 8] = 255
    square, scale, start = letterbox(image)
    assert square.shape == (DETECTOR_INPUT, DETECTOR_INPUT, 3)
    rows, columns = np.nonzero(square[..., 0] > 128)
    back = (np.array([columns.mean(), rows.mean()]) - start + 0.5) * scale - 0.5
    assert np.abs(back - (shape[1] // 3 - 0.5, shape[0] // 4 - 0.5)).max() < scale
    camera = Camera(shape[1], shape[0], 400, 400, (shape[1] - 1) / 2, (shape[0] - 1) / 2)
    joints = open_hand('left', (0.02, -0.03, 0.8))
    found, = detect(image, lambda images: [cells_of([(joints, 'left', 0.8)], shape, camera)[None]])
    assert found.side == 'left' and found.score == pytest.approx(0.8, abs=1e-3)
    assert np.abs(found.centre - camera.project(hand_centre(joints)[None])[0]).max() < 0.05
    assert found.half == pytest.approx(CUBE_PER_HAND * hand_size(joints) * 400
                                       / np.linalg.norm(hand_centre(joints)), rel=0.01)


def test_a_detector_gets_red_green_blue():
    image = np.zeros((100, 100, 3), np.uint8)
    image[..., 0] = 255
    seen = []
    detect(image, lambda images: seen.append(images) or [np.full((1, 7, GRID, GRID), -9, np.float32)])
    assert seen[0][0, :, 128, 128] == pytest.approx([1, -1, -1])


def test_one_hand_is_found_once():
    out = np.full((7, GRID, GRID), -8, np.float32)
    out[2:4], out[4] = 0.5, np.log(0.3)
    out[0, 10, 10], out[0, 10, 11], out[0, 11, 10], out[0, 25, 25] = 3, 2.5, 1.0, 2.0
    out[1, 10, 10], out[1, 25, 25] = 0.4, -0.4
    found = read_cells(out, 0.35)
    assert [(one[3], round(one[4], 2)) for one in found] == [('right', 0.95), ('left', 0.88)]
    assert found[0][0] == pytest.approx((10.5 / GRID * 2 - 1,) * 2) and found[0][1] == pytest.approx(0.3)


# ---- crops ----

def test_a_mirrored_crop_is_the_other_sides():
    joints = open_hand('left', (0.1, -0.05, 0.5))
    crop = ColorCrop.of_hand(joints)
    assert crop.mirrored().project(joints) == pytest.approx(crop.project(joints) * (-1, 1))
    assert crop.mirrored().mirrored().rotation == pytest.approx(crop.rotation)
    assert crop.to_camera(crop.from_camera(joints)) == pytest.approx(joints)
    assert crop.mirrored().to_camera(crop.mirrored().from_camera(joints)) == pytest.approx(joints)


@pytest.mark.parametrize('side', ['left', 'right'])
def test_hands_point_up_in_their_crops(side):
    for turn in (0.3, 2.0, -2.5):
        spin = np.array([[np.cos(turn), -np.sin(turn), 0], [np.sin(turn), np.cos(turn), 0], [0, 0, 1]])
        joints = open_hand(side, (0, 0, 0)) @ spin.T + (0.1, 0.05, 0.6)
        crop = ColorCrop.of_hand(joints, mirror=side == 'left')
        way = pointing(crop.project(joints))
        assert way[0] == pytest.approx(0, abs=1e-9) and way[1] < -0.2
        assert np.linalg.det(crop.rotation) == pytest.approx(-1 if side == 'left' else 1)
        square = ColorCrop.of_square(CAMERA, CAMERA.project(hand_centre(joints)[None])[0], 60,
                                     pointing(CAMERA.project(joints)), mirror=side == 'left')
        assert abs(pointing(square.project(joints))[0]) < 0.05 and pointing(square.project(joints))[1] < 0


@pytest.mark.parametrize('distortion', [(), (0.1, -0.2, 0.001, 0.002, 0.03)], ids=['pinhole', 'distorted'])
@pytest.mark.parametrize('half', [0.04, 0.15], ids=['magnified', 'shrunk'])
def test_a_crop_shows_what_its_camera_sees(distortion, half):
    camera = replace(CAMERA, distortion=distortion)
    v, u = np.mgrid[:480, :640].astype(np.float32)
    image = np.dstack([u / 3, v / 2, 255 - u / 3]).round().astype(np.uint8)   # every pixel says where it is
    crop = ColorCrop.looking_at(np.array([0.06, -0.04, 0.3]), half, turn=0.5, mirror=True)
    shown = crop.cut(image, camera, 64).astype(float)
    line = (np.arange(64) + 0.5) / 32 - 1
    places = crop.to_pixels(np.stack(np.meshgrid(line, line), -1), camera)
    inside = ((places > 12) & (places < (627, 467))).all(-1)
    assert 0.3 < inside.mean()
    expected = np.stack([places[..., 0] / 3, places[..., 1] / 2, 255 - places[..., 0] / 3], -1)
    assert np.abs(shown - expected)[inside].max() < 1.5
    beyond = ((places < -6) | (places > (646, 486))).any(-1)
    black = crop.cut(image, camera, 64, black_beyond=True)
    assert half < 0.1 or (beyond.any() and not black[beyond].any() and shown[beyond].any(1).all())


def test_beside_is_in_half_sides():
    crop = ColorCrop.looking_at(np.array([0, 0, 1.0]), 0.1)
    assert crop.beside(ColorCrop.looking_at(np.array([0.05, 0, 1.0]), 0.3)) == pytest.approx(0.5)
    assert crop.beside(crop) == pytest.approx(0)


# ---- the shipped models on the bundled clip ----

def test_the_bundled_colour_clip_is_tracked():
    from hand_pose_ros.io.recording import open_recording, read_joints
    from hand_pose_ros.resources import resource_path
    from hand_pose_ros.scoring import align
    clip = resource_path('demo', 'color')
    truth, tracker = read_joints(clip), make_tracker(TrackerParameters(modality='rgb', mesh=False))
    hands, errors, beside = 0, [], []
    for frame in open_recording(clip):
        found = {hand.side: hand.joints for hand in tracker.process(frame.image, frame.camera, frame.stamp)}
        for side, joints in truth[frame.name].items():
            hands += 1
            if side in found:
                errors.append(np.linalg.norm(align(found[side][None], joints[None], 'procrustes')[0] - joints, axis=1).mean())
                pixels = [frame.camera.project(points) for points in (found[side], joints)]
                beside.append(np.linalg.norm(pixels[0] - pixels[1], axis=1).mean())
    assert len(errors) > 0.9 * hands, 'hands are lost, or taken for ones of the other side'
    assert np.mean(errors) < 0.012 and np.mean(beside) < 12


@pytest.mark.parametrize('fit_surface, far_off', [(False, 0.025), (True, 0.005)])
def test_depth_of_the_same_camera_gives_the_bundled_clips_distances(fit_surface, far_off):
    from itertools import islice

    from hand_pose_ros.io.recording import open_recording, read_joints
    from hand_pose_ros.resources import resource_path
    clip = resource_path('demo', 'color')
    truth, tracker = read_joints(clip), make_tracker(TrackerParameters(modality='rgb', mesh=False, fit_surface=fit_surface))
    depths = {frame.name: frame.depth() for frame in open_recording(resource_path('demo', 'clip'))}
    errors = [np.linalg.norm(hand.joints - truth[frame.name][hand.side], axis=1).mean()
              for frame in islice(open_recording(clip), 40)
              for hand in tracker.process(frame.image, frame.camera, frame.stamp, depths[frame.name])]
    assert len(errors) > 70 and np.mean(errors) < far_off, 'by hand_size alone it is 0.1'
