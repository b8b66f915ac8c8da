"""The tracker with the shipped models on the bundled clip: right joints, right side, meters, loss and recovery."""

from dataclasses import replace
from itertools import islice

import numpy as np
import pytest
from checkout import SHARED

from hand_pose_ros.core.frame import CameraFrame
from hand_pose_ros.detection import depth as detection
from hand_pose_ros.estimation.depth import DepthPoseEstimator
from hand_pose_ros.geometry.calibration import read_calibration
from hand_pose_ros.geometry.camera import Camera
from hand_pose_ros.geometry.joints import BONES, TIPS
from hand_pose_ros.hand_model.articulated_icp import ArticulatedIcp
from hand_pose_ros.imaging.images import DepthImage, depth_in_meters
from hand_pose_ros.inference.models import read_manifest
from hand_pose_ros.io.recording import open_recording
from hand_pose_ros.resources import resource_path
from hand_pose_ros.settings import TrackerSettings, TrackingSettings, compose
from hand_pose_ros.tracking.factory import make_tracker

REAL = SHARED / 'data' / 'real'


def tracker_of(**settings):
    return make_tracker(compose(TrackerSettings, settings))


def track(tracker, depth, camera):
    """What a tracker finds in a depth image in meters."""
    return tracker.process(CameraFrame(camera, depth=DepthImage(depth)))


@pytest.fixture(scope='module')
def clip():
    """Every third frame of the clip: (depth in meters, camera, side -> true joints)."""
    from rosbags.highlevel import AnyReader

    path = resource_path('demo', 'clip')
    truth = {}
    with AnyReader([path]) as reader:
        for connection, _, raw in reader.messages():
            if connection.topic.endswith('/joints'):
                message = reader.deserialize(raw, connection.msgtype)
                stamp = message.header.stamp.sec + 1e-9 * message.header.stamp.nanosec
                joints = np.array([[p.position.x, p.position.y, p.position.z] for p in message.poses])
                truth.setdefault(round(stamp, 3), {})[connection.topic.split('/')[-2]] = joints
    frames = [(f.depth[:], f.camera, truth[round(f.stamp, 3)]) for f in open_recording(path)]
    return frames[::3]


@pytest.fixture(scope='module')
def tracked(clip):
    """What the tracker finds in the clip, frame by frame, from its start."""
    tracker = tracker_of()
    return [track(tracker, depth, camera) for depth, camera, _ in clip]


def errors(hands, truth):
    """Side -> (21,) distances in meters for the hands whose side is in the truth."""
    return {h.side: np.linalg.norm(h.joints - truth[h.side], axis=1) for h in hands}


def test_both_hands_are_found_on_their_side_with_joints_in_place(clip, tracked):
    found = [e for hands, (_, _, truth) in zip(tracked, clip) for e in errors(hands, truth).values()]
    assert len(found) > 0.97 * 2 * len(clip)
    # A swapped side, a wrong joint order or millimeters for meters would all be far beyond this.
    assert np.mean(found) < 0.012
    assert np.median(found) < 0.009
    assert np.mean([np.mean(e) > 0.05 for e in found]) < 0.02


def test_fingers_are_not_interchanged(clip, tracked):
    """Each tip found is nearest to the true tip of the same finger."""
    right = total = 0
    for hands, (_, _, truth) in zip(tracked, clip):
        for hand in hands:
            tips, true_tips = hand.joints[list(TIPS)], truth[hand.side][list(TIPS)]
            if np.linalg.norm(true_tips[1:] - true_tips[:-1], axis=1).min() > 0.03:
                nearest = np.linalg.norm(tips[:, None] - true_tips, axis=2).argmin(1)
                right += (nearest == np.arange(5)).sum()
                total += 5
    assert total >= 50 and right / total > 0.95


def test_mirrored_frames_give_mirrored_hands_of_the_other_side(clip):
    """The camera's principal column is its middle, so that the flipped image is what a mirror would show."""
    plain, mirrored = tracker_of(), tracker_of()
    flipped = 0
    for depth, camera, _ in clip[:8]:
        first = {h.side: h for h in track(plain, depth, camera)}
        second = {h.side: h for h in track(mirrored, np.ascontiguousarray(depth[:, ::-1]), camera)}
        for side, other in (('left', 'right'), ('right', 'left')):
            if side in first and other in second:
                difference = first[side].joints * (-1, 1, 1) - second[other].joints
                flipped += np.linalg.norm(difference, axis=1).mean() < 0.012
    assert flipped >= 10


def test_tracks_keep_their_number_and_are_found_again_after_a_loss(clip):
    tracker = tracker_of()
    before = [{h.side: h.track_id for h in track(tracker, d, c)} for d, c, _ in clip[:6]]
    assert set(before[-1]) == {'left', 'right'} and before[-1] == before[-2]
    depth, camera, _ = clip[6]
    assert track(tracker, np.zeros_like(depth), camera) == []
    again = [{h.side for h in track(tracker, d, c)} for d, c, _ in clip[6:14]]
    assert again[-1] == {'left', 'right'}


def test_a_hand_that_verification_doubts_is_tracked_while_it_is_seen(clip, monkeypatch):
    """Doubts, of fists that point at the camera, cost a hand nothing for a while; a hand that is gone is gone."""
    tracker = tracker_of(mesh=False)
    for depth, camera, _ in clip[:5]:
        numbers = {hand.track_id for hand in track(tracker, depth, camera)}
    refine = detection.refine

    def doubt(*args):
        found = refine(*args)
        return replace(found, presence=0.1 * found.presence)

    monkeypatch.setattr(detection, 'refine', doubt)
    for _ in range(5):
        assert {hand.track_id for hand in track(tracker, depth, camera)} == numbers and len(numbers) == 2
    assert track(tracker, np.zeros_like(depth), camera) == []


def test_what_is_no_hand_is_not_reported(clip):
    _, camera, _ = clip[0]
    tracker = tracker_of()
    nothing = np.zeros((camera.height, camera.width), np.float32)
    wall = np.full_like(nothing, 0.6)
    bad = np.full_like(nothing, np.nan)
    bad[::2] = np.inf
    ball = nothing.copy()
    v, u = np.mgrid[: camera.height, : camera.width]
    ball[(u - 300) ** 2 + (v - 200) ** 2 < 120**2] = 0.5
    for depth in (nothing, wall, bad, ball):
        assert track(tracker, depth, camera) == []


def test_joints_in_one_place_are_no_hand(clip, monkeypatch):
    """A wrist a hand's size away from all the others cannot be fitted: it is dropped, and nothing is raised."""
    tracker, estimate = tracker_of(), DepthPoseEstimator.estimate

    def collapsed(*args):
        joints = np.full((21, 3), (0.0, 0.0, 0.5))
        joints[0, 0] = 0.024
        return [replace(one, joints=joints) for one in estimate(*args)]

    monkeypatch.setattr(DepthPoseEstimator, 'estimate', collapsed)
    depth, camera, _ = clip[0]
    assert track(tracker, depth, camera) == []


def test_max_hands_and_mesh_are_obeyed(clip):
    tracker = tracker_of(max_hands=1, mesh=False)
    for depth, camera, _ in clip[:4]:
        hands = track(tracker, depth, camera)
        assert len(hands) <= 1 and all(h.fit.vertices is None and h.fit.angles for h in hands)
    assert hands


def test_a_frame_that_is_finished_early_changes_nothing_and_is_not_finished_twice(clip, tracked, monkeypatch):
    refine, calls = detection.refine, []
    monkeypatch.setattr(detection, 'refine', lambda *args: calls.append(1) or refine(*args))
    tracker = tracker_of()
    for hands, (depth, camera, _) in zip(tracked[:20], clip):
        early = track(tracker, depth, camera)
        assert [h.side for h in early] == [h.side for h in hands]
        assert all(np.array_equal(a.joints, b.joints) for a, b in zip(early, hands))
        tracker.finish_frame()
        done = len(calls)
        tracker.finish_frame()
        assert len(calls) == done


def test_confirmed_hands_are_verified_in_turn_and_a_doubted_one_at_once(clip, monkeypatch):
    refine, verified, doubted = detection.refine, [], []

    def counted(depth, camera, centers, network):
        verified.append(len(centers))
        found = refine(depth, camera, centers, network)
        return replace(found, presence=0.1 * found.presence) if doubted else found

    tracker = tracker_of(mesh=False)
    for depth, camera, _ in clip[:8]:
        assert len(track(tracker, depth, camera)) == 2
        tracker.finish_frame()
    monkeypatch.setattr(detection, 'refine', counted)
    for depth, camera, _ in clip[8:12]:
        track(tracker, depth, camera)
        tracker.finish_frame()
    assert verified == [1, 1, 1, 1]
    doubted.append(True)
    for depth, camera, _ in clip[12:15]:
        track(tracker, depth, camera)
        tracker.finish_frame()
    assert verified[4:] == [1, 2, 2]


def test_a_hand_that_stays_is_found_without_verification(clip, monkeypatch):
    tracker = tracker_of()
    depth, camera, _ = clip[0]
    for _ in range(3):
        assert len(track(tracker, depth, camera)) == 2
    tracker.finish_frame()
    monkeypatch.setattr(detection, 'refine', None)
    assert len(track(tracker, depth, camera)) == 2


def test_more_views_are_taken_and_are_more_accurate(clip, tracked, monkeypatch):
    tracker, estimate, taken = tracker_of(views=4), DepthPoseEstimator.estimate, []

    def count(self, frame, regions, views=1):
        taken.append(views)
        return estimate(self, frame, regions, views)

    monkeypatch.setattr(DepthPoseEstimator, 'estimate', count)
    four = [errors(track(tracker, depth, camera), truth) for depth, camera, truth in clip[:25]]
    assert taken.count(4) >= 25
    one = [errors(hands, truth) for hands, (_, _, truth) in zip(tracked, clip)][:25]

    def mean(found):
        return np.mean([distance for frame in found for distance in frame.values()])

    assert mean(four) < 0.97 * mean(one)
    tracker.update(TrackingSettings(views=2))
    track(tracker, *clip[25][:2])
    assert 2 in taken, 'it is a live parameter'


def test_articulated_icp_brings_joints_nearer_to_the_truth(clip, tracked):
    tracker = tracker_of(articulated_icp=True)
    found = [track(tracker, depth, camera) for depth, camera, _ in clip[:25]]

    def mean(hands_of_frames):
        return np.mean(
            [
                distance
                for hands, (_, _, truth) in zip(hands_of_frames, clip)
                for distance in errors(hands, truth).values()
            ]
        )

    assert mean(found) < 0.7 * mean(tracked[:25])
    assert np.median([h.fit.residual for hands in found for h in hands]) < 0.001, "the joints are the model's own"
    tracker.update(TrackingSettings())
    plain = track(tracker, *clip[25][:2])
    tracker.reset()
    assert np.median([h.fit.residual for h in plain]) > 0.001, 'it is a live parameter'


def test_articulated_icp_sees_what_is_too_far_to_be_a_hand_behind_one(clip, monkeypatch):
    tracker, fit, views = tracker_of(articulated_icp=True, far=0.8), ArticulatedIcp.fit, []
    monkeypatch.setattr(ArticulatedIcp, 'fit', lambda *given: views.append(given[4]) or fit(*given))
    depth, camera, _ = clip[0]
    behind = np.where(depth == 0, np.float32(2.0), depth)
    assert track(tracker, behind, camera)
    assert views and all((view > 0.8).any() for view in views)


def test_the_fit_lies_on_the_joints(tracked):
    hands = [h for hands in tracked for h in hands]
    assert np.median([h.fit.residual for h in hands]) < 0.006
    for hand in hands[::10]:
        assert np.linalg.norm(hand.fit.vertices[:, None] - hand.joints[None], axis=2).min(1).max() < 0.06
        lengths = np.linalg.norm(hand.joints[[b for _, b in BONES]] - hand.joints[[a for a, _ in BONES]], axis=1)
        assert lengths.max() < 0.15


def test_a_camera_of_another_size_is_refused(clip):
    depth, camera, _ = clip[0]
    with pytest.raises(ValueError, match='640x480'):
        track(tracker_of(), depth, Camera(320, 240, 200, 200, 160, 120))
    assert depth.shape == (camera.height, camera.width)


def test_distortion_is_undone(clip):
    """A lens's distortion, put into the image, does not move the joints."""
    import cv2

    depth, camera, _ = clip[0]
    bent = Camera(camera.width, camera.height, camera.fx, camera.fy, camera.cx, camera.cy, (0.12, -0.05, 0, 0, 0))
    v, u = np.mgrid[: camera.height, : camera.width].astype(np.float32)
    straight = camera.project(bent.unproject(np.stack([u, v], -1), np.ones_like(u))).astype(np.float32)
    image = cv2.remap(depth, straight[..., 0], straight[..., 1], cv2.INTER_NEAREST)
    plain = {h.side: h.joints for h in track(tracker_of(), depth, camera)}
    undone = {h.side: h.joints for h in track(tracker_of(), image, bent)}
    assert set(plain) == set(undone) != set()
    for side in plain:
        assert np.linalg.norm(plain[side] - undone[side], axis=1).mean() < 0.004


def test_engines_agree(clip):
    pytest.importorskip('openvino')
    pytest.importorskip('onnxruntime')
    depth, camera, _ = clip[0]
    results = []
    for engine in ('openvino', 'onnxruntime'):
        tracker = tracker_of(engine=engine)
        assert ('OpenVINO' if engine == 'openvino' else 'ONNX Runtime') in tracker.description
        results.append(sorted(track(tracker, depth, camera), key=lambda h: h.side))
    assert len(results[0]) == len(results[1]) > 0
    for a, b in zip(*results):
        difference = np.linalg.norm(a.joints - b.joints, axis=1)
        # OpenVINO computes in bf16 where it can.
        assert a.side == b.side and difference.mean() < 2e-3 and difference.max() < 6e-3


def test_manifest_says_what_a_model_is():
    manifest = read_manifest()
    assert {entry['task'] for entry in manifest.values()} >= {'pose', 'center'}
    for name, entry in manifest.items():
        path = resource_path('models', entry['file'])
        assert path.stat().st_size < 25e6
        assert {'sha256', 'license'} <= set(entry), name


@pytest.mark.skipif(not REAL.is_dir(), reason='real depth frames are not beside this checkout')
@pytest.mark.parametrize('sensor, unit, side', [('kinect2', 0.001, 'left'), ('sr305', 0.000125, 'right')])
def test_real_frames(sensor, unit, side):
    """Every real frame shows one hand: it is found, on the right side, its joints on or under the hand's surface."""
    camera = read_calibration(REAL / sensor / 'camera_info.yaml').whole()
    tracker = tracker_of()
    found, on_hand = [], []
    for frame in open_recording(REAL / sensor, camera, unit):
        depth = depth_in_meters(frame.depth.pixels, unit)
        hands = track(tracker, depth, camera)
        found.append(hands[0].side == side if hands else False)
        if hands:
            pixels = np.round(camera.project(hands[0].joints)).astype(int)
            surface = depth[pixels[:, 1].clip(0, camera.height - 1), pixels[:, 0].clip(0, camera.width - 1)]
            on_hand.append(np.mean(np.abs(surface - hands[0].joints[:, 2]) < 0.05))
    assert np.mean(found) >= 0.95
    assert np.mean(on_hand) > 0.8


@pytest.mark.parametrize('degrees', [90, 180])
def test_a_camera_on_its_side_gives_hands_in_its_own_frame(degrees):
    """Images that were turned the other way are tracked as those that were not."""
    from hand_pose_ros.imaging.orientation import turned

    frames = [frame.camera_frame() for frame in islice(open_recording(resource_path('demo', 'clip')), 3)]
    upright = make_tracker(compose(TrackerSettings, {'model': 'srn', 'mesh': False}))
    fallen = make_tracker(compose(TrackerSettings, {'model': 'srn', 'mesh': False, 'image_rotation': degrees}))
    for frame in frames:
        expected = {hand.side: hand.joints for hand in upright.process(frame)}
        found = {hand.side: hand.joints for hand in fallen.process(turned(frame, 360 - degrees))}
        assert set(found) == set(expected)
        for side, joints in found.items():
            point, other = joints.mean(0), expected[side].mean(0)
            turn = {90: other[[1, 0, 2]] * (1, -1, 1), 180: other * (-1, -1, 1)}[degrees]
            assert point == pytest.approx(turn, abs=0.012)


def test_estimates_of_new_hands_can_be_limited(monkeypatch):
    """On a slow machine no frame of a camera may take many times as long as others."""
    tracker = make_tracker(compose(TrackerSettings, {'model': 'srn', 'mesh': False}))
    counts = []
    estimate = tracker.estimator.estimate

    def counted(frame, regions, views=1):
        counts[-1] += len(regions) * views
        return estimate(frame, regions, views)

    monkeypatch.setattr(tracker.estimator, 'estimate', counted)

    def run(most):
        tracker.reset()
        tracker.limit_estimates(most)
        counts.clear()
        found = []
        for frame in islice(open_recording(resource_path('demo', 'clip')), 12):
            counts.append(0)
            found.append({hand.side for hand in tracker.process(frame.camera_frame())})
            tracker.finish_frame()
        return found

    unlimited = run(0)
    assert counts[0] > 8
    assert run(3)[1:] == unlimited[1:] and max(counts) <= 6, 'the same hands, by far fewer estimates'
