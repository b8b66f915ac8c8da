"""Color: the tracker that follows hands in images, with networks that know the answer."""

from dataclasses import replace
from itertools import islice

import numpy as np
import pytest
from color_cells import CAMERA, cells_of
from synthetic_hand import open_hand

from hand_pose_ros.core.frame import CameraFrame, FrameError
from hand_pose_ros.core.hand import HandEstimate
from hand_pose_ros.detection import color as detection
from hand_pose_ros.detection.color import DETECTOR_INPUT
from hand_pose_ros.estimation import color as estimation
from hand_pose_ros.estimation import pose_network
from hand_pose_ros.estimation.fusion import merge
from hand_pose_ros.geometry.joints import WRIST, hand_center, hand_size
from hand_pose_ros.imaging.images import DepthImage
from hand_pose_ros.inference.models import Model, ModelError
from hand_pose_ros.io.recording import open_recording, read_joints
from hand_pose_ros.regions.base import View
from hand_pose_ros.regions.perspective import CLOSER, PerspectiveRegion, pointing
from hand_pose_ros.resources import resource_path
from hand_pose_ros.settings import ModelSettings, TrackerSettings, compose
from hand_pose_ros.tracking import factory
from hand_pose_ros.tracking.configuration import COLOR
from hand_pose_ros.tracking.factory import make_tracker
from hand_pose_ros.tracking.rounds import estimate_further
from hand_pose_ros.tracking.track import Track

BLACK = np.zeros((480, 640, 3), np.uint8)


class World:
    """Hands before a camera, and networks that see them; keeps the regions that were estimated."""

    def __init__(self, hands):
        self.hands = hands
        self.regions = []
        self.detections = 0

    def detector(self, images):
        assert images.shape == (1, 3, DETECTOR_INPUT, DETECTOR_INPUT) and images.dtype == np.float32
        self.detections += 1
        return [cells_of([(joints, side, 0.9) for side, joints in self.hands.items()])[None]]

    def pose(self, crops):
        """Answer as a network would: the hand nearest to each crop's middle."""
        found = []
        for crop in crops:
            self.regions.append(crop)
            near = sorted(self.hands.items(), key=lambda one: np.linalg.norm(crop.project(hand_center(one[1]))))
            mirrored = np.linalg.det(crop.rotation) < 0
            if not near or np.linalg.norm(crop.project(hand_center(near[0][1]))) > 1:
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

        shown = []

        def cut(self, image, camera, regions):
            shown[:] = regions
            return np.zeros((len(regions), 3, 128, 128), np.float32)

        monkeypatch.setattr(detection, 'find_model', lambda name, task: Model(task, None, task))
        monkeypatch.setattr(detection, 'open_engine', lambda *args: Network(world.detector))
        monkeypatch.setattr(
            pose_network, 'choose_model', lambda name, task, others: Model(task, None, task, (4, 2), (-6, 6))
        )
        monkeypatch.setattr(pose_network, 'open_engine', lambda *args: Network(lambda images: world.pose(shown)))
        for module in (detection, pose_network):
            monkeypatch.setattr(module, 'warm_up', lambda engine: None)
        monkeypatch.setattr(pose_network.PoseNetwork, '_try_out', lambda self, wanted: None)
        monkeypatch.setattr(estimation.ColorPoseEstimator, 'cut', cut)
        return make_tracker(compose(TrackerSettings, {'modality': 'color', 'model': 'color_light', **settings}))

    return make


def track(tracker, stamp_s=None, camera=CAMERA):
    return tracker.process(CameraFrame(camera, stamp_s, BLACK))


def hands_at(size=0.09, left=(-0.12, 0, 0.6), right=(0.12, 0.02, 0.7)):
    found = {}
    for side, place in (('left', left), ('right', right)):
        joints = open_hand(side, place)
        joints = joints - joints[WRIST]
        found[side] = joints * size / hand_size(joints) + place
    return found


def test_hands_are_found_and_placed_by_their_size_and_side(tracked):
    world = World(hands_at())
    tracker = tracked(world, hand_size=0.09)
    hands = {hand.side: hand for hand in track(tracker, 0.0)}
    assert set(hands) == {'left', 'right'}
    for side, joints in world.hands.items():
        assert np.abs(hands[side].joints - joints).max() < 1e-4, 'not where it is'
        assert hands[side].fit.vertices is not None and hands[side].score > 0.9


def test_distance_follows_the_hands_size(tracked):
    world = World(hands_at())
    (near,) = {h.joints[WRIST, 2] for h in track(tracked(world, hand_size=0.06)) if h.side == 'left'}
    assert near == pytest.approx(0.6 * 0.06 / 0.09, rel=1e-3)


def test_another_camera_is_another_scene(tracked):
    world = World(hands_at())
    tracker = tracked(world)
    before = {hand.track_id for hand in track(tracker)}
    assert {hand.track_id for hand in track(tracker)} == before
    after = {hand.track_id for hand in track(tracker, camera=replace(CAMERA, cx=CAMERA.cx + 60))}
    assert len(after) == 2 and not after & before


def test_a_followed_hand_needs_no_detector_and_keeps_its_number(tracked):
    world = World(hands_at())
    tracker = tracked(world)
    numbers = {h.side: h.track_id for h in track(tracker, 0.0)}
    for step in range(1, 12):
        world.hands = {side: joints + (0.01, 0.002, 0.01) for side, joints in world.hands.items()}
        hands = track(tracker, step / 30)
        assert {h.side: h.track_id for h in hands} == numbers
        assert all(np.abs(h.joints - world.hands[h.side]).max() < 2e-3 for h in hands)
    assert world.detections == 1, 'two hands of two are followed: there is nothing to search for'
    # Once sure of the sides, one view a hand is enough.
    world.regions.clear()
    track(tracker, 1.0)
    assert len(world.regions) == 2


def test_a_second_hand_is_searched_for_between_images(tracked):
    both = hands_at()
    world = World({'left': both['left']})
    tracker = tracked(world)
    track(tracker)
    world.hands = both
    for _ in range(2 * COLOR.search_every):
        before = world.detections
        hands = track(tracker)
        assert world.detections == before, 'a followed hand does not wait for the search'
        tracker.finish_frame()
        if len(hands) == 2:
            break
    assert {hand.side for hand in hands} == {'left', 'right'}


def test_a_hand_that_goes_is_lost_and_found_again(tracked):
    world = World(hands_at())
    tracker = tracked(world)
    track(tracker, 0.0)
    gone = world.hands.pop('left')
    assert [h.side for h in track(tracker, 0.1)] == ['right']
    for step in range(8):
        track(tracker, 0.2 + step / 30)
    world.hands['left'] = gone + (0, 0.05, 0)
    found = [{h.side for h in track(tracker, 1 + step / 30)} for step in range(8)]
    assert found[-1] == {'left', 'right'}


def test_a_hand_that_jumps_is_found_in_the_same_frame(tracked):
    world = World({'right': hands_at()['right']})
    tracker = tracked(world)
    track(tracker, 0.0)
    world.hands['right'] = world.hands['right'] - (0.35, 0, 0)
    (hand,) = track(tracker, 0.1)
    assert np.abs(hand.joints - world.hands['right']).max() < 1e-3


def test_the_network_overrules_the_detector_on_the_side(tracked):
    world = World({'left': hands_at()['left']})
    world.detector = lambda images: [cells_of([(world.hands['left'], 'right', 0.9)])[None]]
    tracker = tracked(world, max_hands=1)
    sides = [[h.side for h in track(tracker, step / 30)] for step in range(3)]
    assert sides[-1] == ['left']


@pytest.mark.parametrize('certain', [False, True], ids=['hardly', 'clearly'])
def test_two_hands_that_hardly_differ_in_side_are_a_pair(tracked, certain):
    world = World(hands_at())
    pose = world.pose

    def all_right(crops):
        joints, points, spread, right = pose(crops)
        mirrored = np.array([np.linalg.det(crop.rotation) < 0 for crop in crops])
        left = np.array(
            [
                abs(
                    crop.to_pixels(np.zeros(2), CAMERA)[0]
                    - CAMERA.project(hand_center(world.hands['left'])[None])[0, 0]
                )
                < 100
                for crop in crops
            ]
        )
        # Log odds of what the crop shows being a right hand: the true left hand looks like a right one.
        right[left] = np.where(mirrored[left], -1, 1) * (1.4 if certain else 0.7)
        return [joints, points, spread, right]

    world.pose = all_right
    tracker = tracked(world)
    for step in range(5):
        hands = track(tracker, step / 30)
        assert {hand.side for hand in hands} == ({'right'} if certain else {'left', 'right'})
        if not certain:
            assert all(np.abs(hand.joints - world.hands[hand.side]).max() < 2e-3 for hand in hands)


def test_three_hands_are_several_peoples_and_are_not_made_a_pair(tracked):
    world = World(hands_at())
    world.hands['other'] = world.hands['right'] + (0.0, 0.16, 0)
    detector = cells_of([(joints, 'left' if side == 'left' else 'right', 0.9) for side, joints in world.hands.items()])
    world.detector = lambda images: [detector[None]]
    tracker = tracked(world, max_hands=3)
    hands = track(tracker)
    assert sorted(hand.side for hand in hands) == ['left', 'right', 'right']


def test_more_views_show_a_hand_turned_and_closer_and_agree(tracked):
    world = World({'right': hands_at()['right']})
    tracker = tracked(world, views=4, max_hands=1)
    track(tracker)
    world.regions.clear()
    (hand,) = track(tracker)
    assert hand.joints == pytest.approx(world.hands['right'], abs=1e-4)
    shown = world.regions[:8:2]  # the track is not sure of its side yet: every other view is of the mirror image
    ways = [np.degrees(np.arctan2(*(pointing(one.project(hand.joints)) * (1, -1)))) for one in shown]
    assert ways == pytest.approx([5.7, -5.7, 17.2, -17.2], abs=1), 'clockwise is to the right of up'
    reach = PerspectiveRegion.of_hand(hand.joints).reach / CLOSER
    assert [one.reach for one in shown] == pytest.approx([reach] * 4)


def estimate_of(joints, presence, sigma=0.01):
    region = PerspectiveRegion.of_hand(joints)
    return HandEstimate(joints, np.full(21, 0.9), np.full(21, sigma), presence, 1.0, region, metric=False)


class KnownEstimator:
    """Gives what a function makes of each region; keeps the regions."""

    def __init__(self, answer):
        self.answer, self.regions = answer, []

    def estimate(self, frame, regions, views=1):
        self.regions += regions
        return [self.answer(len(self.regions)) for _ in regions]


def further(estimator, region, first, new=False):
    """What further rounds make of a hand that was estimated in a region."""
    one = Track(track_id=1, region=region, right_logit=1.0, frames=0 if new else 5)
    one.estimate = first
    estimate_further(estimator, CameraFrame(CAMERA, color=BLACK), [one], COLOR)
    return one


@pytest.mark.parametrize(
    'wrong, again',
    [(View(0.2, 1.1), 0), (View(-0.8), 1), (View(zoom=0.7), 1)],
    ids=['near', 'turned', 'small'],
)
def test_a_hand_is_estimated_again_where_its_region_was_far_off(wrong, again):
    joints = open_hand('right', (0.05, 0, 0.5))
    right = PerspectiveRegion.of_hand(joints)
    estimator = KnownEstimator(lambda n: estimate_of(joints + (0, 0, 0.02), 0.9))
    found = further(estimator, right.view(wrong), estimate_of(joints, 0.4))
    assert len(estimator.regions) == again
    assert found.region.rotation == pytest.approx(right.rotation, abs=5e-3)
    assert found.estimate.joints == pytest.approx(joints + (0, 0, 0.01 * again)), 'both views count'


def test_a_new_hand_is_estimated_four_times_each_time_otherwise():
    joints = open_hand('right', (0.05, 0, 0.5))
    right = PerspectiveRegion.of_hand(joints)
    estimator = KnownEstimator(lambda n: estimate_of(joints + (0, 0, 0.004 * n), 0.8))
    found = further(estimator, right, estimate_of(joints, 0.8), new=True)
    assert [one.reach / right.reach for one in estimator.regions] == pytest.approx([1, 1, 1 / 1.05], rel=0.015)
    ways = [np.arctan2(*(pointing(one.project(joints)) * (1, -1))) for one in estimator.regions]
    assert ways == pytest.approx([0, 0.15, -0.15], abs=0.02)
    assert found.region.rotation == pytest.approx(right.rotation, abs=5e-3), 'it is followed in a region as any other'
    assert found.region.reach == pytest.approx(right.reach, rel=0.015)
    assert found.estimate.joints == pytest.approx(joints + (0, 0, 0.006)), 'the mean of all'


@pytest.mark.parametrize('presence, count', [(0.1, 0), (0.9, len(COLOR.rounds))], ids=['no hand', 'never still'])
def test_rounds_end(presence, count):
    joints = open_hand('right', (0.1, 0, 0.5))
    estimator = KnownEstimator(lambda n: estimate_of(open_hand('right', (0.1 * (-1) ** n, 0, 0.5)), 0.9, 0.01 / 2**n))
    further(estimator, PerspectiveRegion.of_hand(joints).view(View(1.0)), estimate_of(joints, presence))
    assert len(estimator.regions) == count


def test_of_several_views_the_surer_counts_for_a_joint_and_all_for_the_place():
    joints = open_hand('right', (0, 0, 0.5))
    sure, other = estimate_of(joints, 0.8), joints + (0, 0, 0.1)
    other[8] += (0.02, 0, 0)
    both = merge([sure, replace(estimate_of(other, 0.4, 0.02), handedness_logit=-1.0)])
    assert merge([sure]) is sure
    middle = hand_center(joints) * 0.5 + hand_center(other) * 0.5
    assert hand_center(both.joints) == pytest.approx(middle, abs=1e-9)
    assert both.joints[8] - joints[8] == pytest.approx([0.2 * 0.02 + 0.3 * 0.02 / 21, 0, 0.05], abs=1e-9)
    assert both.handedness_logit == 0 and both.presence == pytest.approx(0.6)


def test_frames_that_do_not_fit_are_refused(tracked):
    tracker = tracked(World({}))
    with pytest.raises(FrameError, match='320x240, its camera 640x480'):
        CameraFrame(CAMERA, color=np.zeros((240, 320, 3), np.uint8))
    with pytest.raises(FrameError, match='three channels'):
        CameraFrame(CAMERA, color=np.zeros((480, 640), np.float32))
    with pytest.raises(FrameError, match='neither color nor depth'):
        CameraFrame(CAMERA)
    with pytest.raises(FrameError, match='no color image'):
        tracker.process(CameraFrame(CAMERA, depth=DepthImage(np.zeros((480, 640), np.float32))))
    assert track(tracker) == []


def test_parts_are_named_by_settings():
    with pytest.raises(ValueError, match="parameter detector: 'eyes' is not one of depth_cells, color_detector"):
        make_tracker(compose(TrackerSettings, {'detector': 'eyes'}))
    with pytest.raises(ValueError, match='does not carry color images'):
        compose(TrackerSettings, {'modality': 'color', 'image_transport': 'compressedDepth'})
    with pytest.raises(ValueError, match='does not carry depth images'):
        compose(TrackerSettings, {'image_transport': 'compressed'})


def test_a_color_model_that_there_is_not_is_an_error():
    with pytest.raises(ModelError, match="no color_pose model 'color_lihgt'"):
        make_tracker(compose(TrackerSettings, {'modality': 'color', 'model': 'color_lihgt'}))


def test_color_is_by_mediapipe_where_nothing_else_is_named_and_its_files_are_there(monkeypatch, caplog):
    def parts(**settings):
        chosen = factory.choose_configuration(ModelSettings(**settings))
        return chosen.detector, *chosen.estimators

    theirs, ours = ('palms_and_squares', 'mediapipe_landmarks'), ('color_detector', 'color_network')
    monkeypatch.setattr(factory, 'mediapipe_models', lambda: resource_path('models'))
    assert parts(modality='color') == theirs and parts(modality='color', model='color_light') == ours
    assert parts(modality='rgbd', model='jgr_p2o') == (*theirs, 'depth_network')
    assert parts(modality='rgbd', model='jgr_p2o, color_light') == (*ours, 'depth_network')
    assert parts(modality='color', estimator='color_network') == ours
    # A network of one's own, or a name that is none: the estimator opens it, or says what is wrong.
    assert parts(modality='color', model='own.onnx') == parts(modality='color', model='no such model') == ours
    assert parts(modality='rgbd', model='own.onnx') == (*ours, 'depth_network')
    assert parts(modality='depth', estimator='mine') == ('depth_cells', 'mine')
    lite = parts(modality='color', estimator='mediapipe_landmarks_lite')
    assert lite == ('palms_and_squares', 'mediapipe_landmarks_lite')
    assert parts(modality='depth') == ('depth_cells', 'depth_network') and not caplog.records
    monkeypatch.setattr(factory, 'mediapipe_models', lambda: None)
    assert parts(modality='color') == ours
    assert [record.message for record in caplog.records if 'hand-pose models get mediapipe' in record.message]


# ---- the shipped models on the bundled clip ----


@pytest.mark.parametrize('model', ['color_light', ''], ids=['ours', 'default'])
def test_the_bundled_color_clip_is_tracked(model):
    from hand_pose_ros.evaluation.scoring import align

    clip = resource_path('demo', 'color')
    truth, tracker = (
        read_joints(clip),
        make_tracker(compose(TrackerSettings, {'modality': 'color', 'model': model, 'mesh': False})),
    )
    hands, errors, pixels_off = 0, [], []
    for frame in islice(open_recording(clip), 0, None, 2):
        found = {hand.side: hand.joints for hand in tracker.process(frame.camera_frame())}
        for side, joints in truth[frame.name].items():
            hands += 1
            if side in found:
                aligned = align(found[side][None], joints[None], 'procrustes')[0]
                errors.append(np.linalg.norm(aligned - joints, axis=1).mean())
                pixels = [frame.camera.project(points) for points in (found[side], joints)]
                pixels_off.append(np.linalg.norm(pixels[0] - pixels[1], axis=1).mean())
    assert len(errors) > 0.9 * hands, 'hands are lost, or taken for ones of the other side'
    assert np.mean(errors) < 0.012 and np.mean(pixels_off) < 12
