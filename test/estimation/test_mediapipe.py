"""MediaPipe's palms and landmarks: their files, regions and mapping, and their published behavior on photographs."""

from __future__ import annotations

import hashlib
import json
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest
from checkout import SHARED
from synthetic_hand import open_hand

from hand_pose_ros.core.frame import CameraFrame
from hand_pose_ros.core.stage_timer import StageTimer
from hand_pose_ros.detection import mediapipe_palms as palms
from hand_pose_ros.estimation import mediapipe_landmarks as landmarks
from hand_pose_ros.estimation.mediapipe_mapping import OFFSETS, bone_frames, joint_offsets
from hand_pose_ros.geometry.camera import Camera
from hand_pose_ros.geometry.joints import hand_size
from hand_pose_ros.inference import mediapipe_files
from hand_pose_ros.inference.models import ModelError
from hand_pose_ros.regions.perspective import PerspectiveRegion
from hand_pose_ros.settings import ModelSettings

#: Photographs with MediaPipe's own landmarks, where a machine has them; they are in no repository.
PHOTOGRAPHS = SHARED / 'data' / 'photographs'
CAMERA = Camera(640, 480, 600.0, 600.0, 319.5, 239.5)
SETTINGS = ModelSettings(modality='color', threads=1)

needs_files = pytest.mark.skipif(
    mediapipe_files.mediapipe_models() is None, reason='no MediaPipe files here: `hand-pose models get mediapipe`'
)


@pytest.fixture(scope='module')
def estimator() -> landmarks.MediaPipeLandmarks:
    return landmarks.mediapipe_landmarks(SETTINGS, StageTimer())


@pytest.fixture(scope='module')
def detector() -> palms.MediaPipePalms:
    return palms.mediapipe_palms(SETTINGS, StageTimer())


def fake_wheel(path: Path, content: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, 'w') as archive:
        for name, data in content.items():
            archive.writestr(mediapipe_files.FILES[name].member, data)
    return path


class TestFiles:
    def test_only_the_right_files_are_taken_out_of_a_wheel_and_all_or_none(self, tmp_path, monkeypatch):
        content = {name: f'content of {name}'.encode() for name in mediapipe_files.FILES}
        wheel = fake_wheel(tmp_path / 'a.whl', content)
        with pytest.raises(ModelError, match='sha256'):
            mediapipe_files.unpack(wheel, tmp_path / 'out')
        assert not (tmp_path / 'out').exists()
        for name, data in content.items():
            file = mediapipe_files.FILES[name]
            right = mediapipe_files.MediaPipeFile(file.member, hashlib.sha256(data).hexdigest())
            monkeypatch.setitem(mediapipe_files.FILES, name, right)
        mediapipe_files.unpack(wheel, tmp_path / 'out')
        assert {path.name for path in (tmp_path / 'out').iterdir()} == {*content, 'NOTICE'}
        assert mediapipe_files.get_mediapipe(tmp_path / 'out') == tmp_path / 'out'  # whole: pip is not asked

    def test_a_wheel_without_them_is_refused(self, tmp_path):
        with pytest.raises(ModelError, match='does not hold'):
            mediapipe_files.unpack(fake_wheel(tmp_path / 'a.whl', {}), tmp_path / 'out')

    def test_where_they_are_absent_parts_say_how_to_get_them(self, tmp_path, monkeypatch):
        monkeypatch.setattr(mediapipe_files, 'candidate_folders', lambda: (tmp_path,))
        assert mediapipe_files.mediapipe_models() is None
        with pytest.raises(ModelError, match='hand-pose models get mediapipe'):
            palms.mediapipe_palms(SETTINGS, StageTimer())

    def test_an_unreachable_registry_is_one_line(self, tmp_path, monkeypatch):
        monkeypatch.setenv('PIP_INDEX_URL', 'http://127.0.0.1:9/simple')
        monkeypatch.setenv('PIP_RETRIES', '0')
        with pytest.raises(ModelError, match='^pip cannot get mediapipe') as caught:
            mediapipe_files.get_mediapipe(tmp_path / 'out')
        assert '\n' not in str(caught.value)


class TestPalms:
    def test_anchors_cover_both_grids(self):
        anchors = palms.palm_anchors()
        assert anchors.shape == (2016, 2)
        assert anchors[0] == pytest.approx([0.5 / 24, 0.5 / 24]) and anchors[2] == pytest.approx([1.5 / 24, 0.5 / 24])
        assert anchors[1152] == pytest.approx([0.5 / 12, 0.5 / 12]) and anchors[-1] == pytest.approx([11.5 / 12] * 2)

    def test_overlapping_boxes_become_their_mean_and_the_others_stay(self):
        one = np.array([[0.1, 0.1], [0.3, 0.3], [0.2, 0.2]])
        found = palms.merge_palms(np.stack([one, one + 0.02, one + 0.5]), np.array([0.9, 0.6, 0.7]))
        assert [score for _, score in found] == [0.9, 0.7]
        assert found[0][0] == pytest.approx(one + 0.02 * 0.6 / 1.5)

    def test_a_palm_is_found_where_the_network_says(self):
        def network(image):
            assert image.shape == (1, 192, 192, 3) and image.max() == 1.0
            boxes, logits = np.zeros((1, 2016, 18), np.float32), np.full((1, 2016, 1), -9, np.float32)
            cell = 2 * (24 * 12 + 12)  # its anchor is at 12.5 / 24 of the square
            boxes[0, cell] = [-4, -4, 40, 20, *([-4, 16] * 2), -4, -24, *([0, 0] * 4)]
            logits[0, cell] = 2
            return [boxes, logits]

        (palm,) = palms.find_palms(np.full((240, 320, 3), 255, np.uint8), network)
        # A pixel of the square is 320 / 192 of the image's, whose first row lies 24 pixels down in it.
        scale, center = 320 / 192, np.array([96.0, 96 - 24])
        assert palm.box == pytest.approx((center + [[-20, -10], [20, 10]]).ravel() * scale - 0.5)
        assert palm.points[0] == pytest.approx((center + [0, 20]) * scale - 0.5)
        center, half, direction = palm.square()
        assert direction == pytest.approx([0, -1]) and half == pytest.approx(1.3 * 40 * scale)
        assert center == pytest.approx(np.array([96, 72 - 10]) * scale - 0.5)


class TestLandmarks:
    def test_the_next_square_turns_and_moves_with_the_hand(self):
        joints = open_hand()
        points = CAMERA.project(joints)
        center, half, direction = landmarks.landmark_square(points)
        turn = np.array([[0.0, -1], [1, 0]])
        turned = landmarks.landmark_square(points @ turn.T)
        assert turned[0] == pytest.approx(turn @ center) and turned[1] == pytest.approx(half)
        assert turned[2] == pytest.approx(turn @ direction)
        assert (np.abs(points - center) < half).all()  # the whole hand is in it

    def test_views_of_a_hand_merge_to_what_each_of_them_shows(self):
        joints = open_hand()
        region = PerspectiveRegion.of_hand(joints)
        views = [region.view(view) for view in landmarks.VIEWS[4]]
        views += [view.mirrored() for view in views]

        def look(place):
            points = np.concatenate([place.project(joints), np.zeros((21, 1))], 1)
            right = 2.0 if place.side == 'right' else -2.0
            return landmarks.Landmarks(points, place.from_camera(joints - joints.mean(0)), 0.9, right)

        merged = landmarks.merge_landmarks([look(view) for view in views], views, region)
        assert merged.points[:, :2] == pytest.approx(region.project(joints), abs=1e-9)
        assert merged.right_logit == 2.0
        assert merged.world == pytest.approx(region.from_camera(joints - joints.mean(0)), abs=1e-9)

    @pytest.mark.parametrize('side', ['left', 'right'])
    def test_offsets_bend_with_the_hand_and_are_mirrored_with_it(self, side):
        joints = open_hand('right')
        right = joint_offsets(joints, right=True)
        assert np.linalg.norm(right, axis=1) == pytest.approx(
            hand_size(joints) * np.linalg.norm(OFFSETS, axis=1), rel=1e-6
        )
        frames = bone_frames(joints)
        assert frames @ frames.swapaxes(1, 2) == pytest.approx(np.broadcast_to(np.eye(3), (21, 3, 3)), abs=1e-9)
        assert np.linalg.det(frames) == pytest.approx(np.ones(21))
        flip = np.array([-1.0, 1, 1]) if side == 'left' else np.ones(3)
        assert joint_offsets(joints * flip, right=side == 'right') == pytest.approx(right * flip)

    def test_joints_lie_on_the_lines_of_sight_of_their_points(self):
        joints = open_hand()
        region = PerspectiveRegion.of_hand(joints)
        local = region.from_camera(joints)
        points = np.concatenate([region.project(joints), (local[:, 2:] - local[0, 2]) / 0.5 / region.reach], 1)
        marks = landmarks.Landmarks(points, local - local.mean(0), 1.0, 3.0)
        placed, sigma = landmarks.place_joints(marks, region)
        wanted = points[:, :2] + marks.scale * joint_offsets(marks.shape(), True)[:, :2]
        assert region.project(placed) == pytest.approx(wanted, abs=1e-9)
        assert hand_size(placed) == pytest.approx(0.09, rel=0.1) and (sigma > 0).all()

    @needs_files
    def test_a_hand_whose_side_is_open_is_shown_mirrored_too(self, estimator, monkeypatch):
        image = np.random.default_rng(0).integers(0, 255, (480, 640, 3), dtype=np.uint8)
        frame = CameraFrame(CAMERA, None, image)
        region = PerspectiveRegion.of_square(CAMERA, np.array([300.0, 200]), 90)
        crops, network = [], estimator._network
        monkeypatch.setattr(estimator, '_network', lambda batch: crops.append(batch) or network(batch))
        (alone,) = estimator.estimate(frame, [region.mirrored()])
        right, left = estimator.estimate(frame, [region, region.mirrored()])
        assert [len(batch) for batch in crops] == [1, 2]
        assert np.abs(crops[0][0] - crops[1][0]).max() == 0  # not mirrored, though the region is
        assert np.abs(crops[1][1] - crops[1][0][:, ::-1]).max() < 0.05
        assert (alone.region.side, right.region.side, left.region.side) == ('left', 'right', 'left')
        assert right.handedness_logit == -left.handedness_logit and (right.joints == left.joints).all()
        _, presence, logit, _ = network(crops[1])
        assert right.presence == pytest.approx(presence.mean()) and not right.metric
        odds = np.log(logit[:, 0] / (1 - logit[:, 0]))
        assert right.handedness_logit == pytest.approx((odds[0] - odds[1]) / 2, abs=1e-3)


def labeled(name: str, count: int) -> list[tuple[np.ndarray, dict]]:
    """Some photographs of a set with one sure hand, with its label."""
    rows = [json.loads(line) for line in (PHOTOGRAPHS / f'{name}.jsonl').read_text().splitlines()]
    sure = [row for row in rows if len(row['hands']) == 1 and row['hands'][0]['sure']]
    chosen = sure[:: max(len(sure) // count, 1)][:count]
    return [(cv2.imread(str(PHOTOGRAPHS / row['file'])), row['hands'][0]) for row in chosen]


@needs_files
@pytest.mark.skipif(not PHOTOGRAPHS.is_dir(), reason='no labeled photographs here')
@pytest.mark.parametrize('name', ['fingers', 'scenes', 'letters'])
def test_landmarks_and_sides_are_those_of_mediapipe(name, detector, estimator):
    errors, sides = [], []
    for image, hand in labeled(name, 20):
        camera = Camera.from_field_of_view(image.shape[1], image.shape[0], 60.0)
        frame = CameraFrame(camera, None, image)
        # MediaPipe counts pixels from their corners.
        points = np.array(hand['uv']) - 0.5
        found = detector.detect(frame, [])
        regions = [one.region for one in found]
        for region in regions[:1]:
            (marks,) = estimator.landmarks(image, camera, [region])
            off = np.linalg.norm(region.to_pixels(marks.points[:, :2], camera) - points, axis=1)
            errors.append(off.mean() / np.linalg.norm(np.ptp(points, axis=0)))
            sides.append(('right' if marks.right_logit > 0 else 'left') == hand['side'])
    assert len(errors) >= 19
    assert np.mean(np.array(errors) < 0.02) >= 0.9 and np.median(errors) < 0.012
    assert np.mean(sides) >= 0.97
