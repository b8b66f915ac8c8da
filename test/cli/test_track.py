"""``hand-pose track``: from a recording to hands.jsonl and overlays."""

import io
import json
import re
import signal
import subprocess
import sys
import textwrap
import time
from dataclasses import replace

import cv2
import numpy as np
import pytest
from checkout import SHARED, child_environment
from synthetic_hand import CAMERA, depth_of, make_hand, open_hand

from hand_pose_ros.cli.arguments import NODE_SETTINGS, add_tracker_arguments, tracker_settings
from hand_pose_ros.cli.interruption import interruptible
from hand_pose_ros.cli.main import build_parser, main
from hand_pose_ros.geometry.camera import Camera
from hand_pose_ros.io.recording import write_bag
from hand_pose_ros.settings import TrackerSettings, compose

REAL = SHARED / 'data' / 'real'


class FakeTracker:
    """Answers with a hand at the nearest depth, none in an empty image, and keeps what it was given."""

    made: list['FakeTracker'] = []

    def __init__(self, settings, independent=False):
        self.settings, self.description, self.stage_seconds = settings, 'fake engine', {}
        self.independent = independent
        self.seen, self.frames, self.resets = [], [], 0
        FakeTracker.made.append(self)

    def process(self, frame):
        self.frames.append(frame)
        if frame.color is not None:
            self.seen.append((frame.color, frame.camera))
            return [make_hand('right', open_hand('right'))] if frame.color.any() else []
        depth = frame.depth[:]
        assert depth.dtype == np.float32 and depth.shape == (frame.camera.height, frame.camera.width)
        self.seen.append((depth, frame.camera))
        if not depth.any():
            return []
        return [make_hand('left', open_hand('left', (0, 0, float(depth[depth > 0].min()))))]

    def reset(self):
        self.resets += 1


@pytest.fixture(autouse=True)
def fake(monkeypatch):
    FakeTracker.made = []
    monkeypatch.setattr('hand_pose_ros.tracking.factory.make_tracker', FakeTracker)


@pytest.fixture
def bag(tmp_path):
    image = (depth_of(open_hand('left')) * 1000).astype(np.uint16)
    write_bag(tmp_path / 'bag', [(10.0, image), (10.5, image * 0), (11.0, image)], CAMERA)
    return tmp_path / 'bag'


def read_lines(out):
    return [json.loads(line) for line in (out / 'hands.jsonl').read_text().splitlines()]


def test_hands_jsonl_is_as_promised(bag, tmp_path, capsys):
    assert main(['track', str(bag), '--out', str(tmp_path / 'out')]) == 0
    lines = read_lines(tmp_path / 'out')
    assert [line['frame'] for line in lines] == ['10.000000000', '10.500000000', '11.000000000']
    assert [len(line['hands']) for line in lines] == [1, 0, 1]
    assert all(set(line) == {'frame', 'hands'} for line in lines)
    hand = lines[0]['hands'][0]
    assert set(hand) == {'side', 'score', 'track', 'metric', 'joints', 'confidence'}
    assert hand['side'] == 'left' and hand['score'] == 0.97 and hand['confidence'] == [0.9] * 21
    depth = FakeTracker.made[0].seen[0][0]
    nearest = float(depth[depth > 0].min())
    assert 0.4 < nearest < 0.6, 'depth reaches the tracker in meters'
    np.testing.assert_allclose(hand['joints'], open_hand('left', (0, 0, nearest)), atol=1e-6)
    assert '3 frames, hands in 2' in capsys.readouterr().out
    overlays = sorted(p.name for p in (tmp_path / 'out' / 'overlays').iterdir())
    assert overlays == ['10.000000000.png', '10.500000000.png', '11.000000000.png']
    assert cv2.imread(str(tmp_path / 'out' / 'overlays' / overlays[0])).shape == (720, 960, 3)


def test_a_folder_names_frames_by_file_and_takes_camera_and_unit(tmp_path):
    folder = tmp_path / 'frames'
    folder.mkdir()
    image = (depth_of(open_hand()) * 8000).astype(np.uint16)
    for name in ('0002.png', '0001.png'):
        cv2.imwrite(str(folder / name), image)
    calibration = tmp_path / 'camera.yaml'
    calibration.write_text(
        'image_width: 320\nimage_height: 240\ncamera_matrix: {data: [280, 0, 160, 0, 281, 120, 0, 0, 1]}\n'
    )
    command = ['track', str(folder), '--out', str(tmp_path / 'out'), '--depth-unit', '0.000125', '--overlays', 'none']
    assert main(command + ['--camera', str(calibration)]) == 0
    assert [line['frame'] for line in read_lines(tmp_path / 'out')] == ['0001.png', '0002.png']
    depth, camera = FakeTracker.made[0].seen[0]
    assert camera == Camera(320, 240, 280, 281, 160, 120)
    np.testing.assert_allclose(depth, image * 0.000125, rtol=1e-6)
    assert not (tmp_path / 'out' / 'overlays').exists()


def test_a_missing_camera_is_asked_for(tmp_path, capsys):
    cv2.imwrite(str(tmp_path / 'a.png'), np.ones((240, 320), np.uint16))
    assert main(['track', str(tmp_path), '--out', str(tmp_path / 'out')]) == 2
    assert '--camera' in capsys.readouterr().err


def test_overlays_as_a_video_and_a_limit(bag, tmp_path):
    assert main(['track', str(bag), '--out', str(tmp_path / 'o'), '--overlays', 'video', '--limit', '2']) == 0
    assert len(read_lines(tmp_path / 'o')) == 2
    video = cv2.VideoCapture(str(tmp_path / 'o' / 'overlay.mp4'))
    assert video.get(cv2.CAP_PROP_FPS) == pytest.approx(2.0)
    assert video.read()[1].shape == (720, 960, 3) and video.read()[0] and not video.read()[0]


def test_of_a_bag_with_both_images_the_modality_says_what_is_tracked(tmp_path, capsys):
    depth = np.full((240, 320), 500, np.uint16)
    color = [(10.0 + i / 10, np.full((240, 320, 3), 90, np.uint8)) for i in range(3)]
    write_bag(tmp_path / 'bag', color, CAMERA, color=True, registered_depth=[(10.0, depth), (10.2, depth)])
    for modality, channels, words in (
        (None, ['depth'] * 2, '2 frames, hands in 2'),
        ('color', ['color'] * 3, '3 frames, hands in 3'),
        ('rgbd', ['both', 'color', 'both'], '3 frames (1 without depth), hands in 3'),
    ):
        flags = ['--modality', modality] if modality else []
        assert main(['track', str(tmp_path / 'bag'), '--out', str(tmp_path / 'out'), '--overlays', 'none', *flags]) == 0
        made = FakeTracker.made[-1]
        assert made.settings.models.modality == (modality or 'depth')
        assert [
            'depth' if frame.color is None else 'color' if frame.depth is None else 'both' for frame in made.frames
        ] == channels
        assert words in capsys.readouterr().out


@pytest.mark.parametrize(
    ('depth', 'reason'), [(9000, 'half beyond 9.00 m'), (500, 'depth shows nothing of a hand where they are')]
)
def test_depth_that_does_not_tell_the_hands_distance_is_said(tmp_path, capsys, monkeypatch, depth, reason):
    hand = replace(make_hand('right', open_hand('right')), metric=False)
    monkeypatch.setattr(FakeTracker, 'process', lambda self, frame: [hand])
    images = [(10.0 + i / 10, depth + np.tile(np.arange(320, dtype=np.uint16) % 5, (240, 1))) for i in range(3)]
    color = [(stamp, np.full((240, 320, 3), 90, np.uint8)) for stamp, _ in images]
    write_bag(tmp_path / 'bag', color, CAMERA, color=True, registered_depth=images)
    command = [
        'track',
        str(tmp_path / 'bag'),
        '--modality',
        'rgbd',
        '--out',
        str(tmp_path / 'out'),
        '--overlays',
        'none',
    ]
    assert main(command) == 0
    said = capsys.readouterr().out
    assert (
        'hands in 3' in said and 'in 3 frames their distance follows from --hand-size, since' in said and reason in said
    )
    assert not read_lines(tmp_path / 'out')[0]['hands'][0]['metric']


def test_photographs_are_tracked_each_on_its_own_where_asked(tmp_path):
    folder = tmp_path / 'photographs'
    folder.mkdir()
    for name in 'abc':
        cv2.imwrite(str(folder / f'{name}.jpg'), np.full((48, 64, 3), 90, np.uint8))
    for flags, independent, resets in (([], False, 0), (['--independent'], True, 3)):
        assert main(['track', str(folder), '--out', str(tmp_path / 'out'), *flags]) == 0
        made = FakeTracker.made[-1]
        assert (made.independent, made.resets) == (independent, resets)
        assert [line['frame'] for line in read_lines(tmp_path / 'out')] == ['a.jpg', 'b.jpg', 'c.jpg']


def test_a_modality_that_is_not_there_is_refused(bag, tmp_path, capsys):
    for modality in ('color', 'rgbd'):
        assert main(['track', str(bag), '--out', str(tmp_path / 'out'), '--modality', modality]) == 2
        assert 'no image topic is of color' in capsys.readouterr().err


def test_a_video_is_tracked_by_color_with_an_assumed_camera(tmp_path, capsys):
    writer = cv2.VideoWriter(str(tmp_path / 'c.mp4'), cv2.VideoWriter_fourcc(*'mp4v'), 10, (64, 48))
    for _ in range(3):
        writer.write(np.full((48, 64, 3), (10, 120, 240), np.uint8))
    writer.release()
    out = tmp_path / 'out'
    assert main(['track', str(tmp_path / 'c.mp4'), '--out', str(out), '--hand-size', '0.07']) == 0
    assert 'horizontal field of view of 60 degrees is assumed' in capsys.readouterr().err
    (made,) = FakeTracker.made
    settings = made.settings
    assert settings.models.modality == 'color' and settings.tracking.hand_size == 0.07 and made.resets == 0
    image, camera = made.seen[0]
    assert camera.fx == pytest.approx(32 / np.tan(np.radians(30))) and (camera.width, camera.height) == (64, 48)
    assert image[24, 32, 2] > 200 > 50 > image[24, 32, 0], 'the image is not in bgr order'
    assert [line['hands'][0]['side'] for line in read_lines(out)] == ['right'] * 3
    assert len(list((out / 'overlays').iterdir())) == 3


def test_photographs_of_several_sizes_are_each_for_themselves(tmp_path):
    for name, shape in (('a.jpg', (48, 64)), ('b.png', (48, 64)), ('c.jpeg', (60, 40))):
        cv2.imwrite(str(tmp_path / name), np.full((*shape, 3), 90, np.uint8))
    assert main(['track', str(tmp_path), '--out', str(tmp_path / 'out')]) == 0
    (made,) = FakeTracker.made
    assert [image.shape[:2] for image, _ in made.seen] == [(48, 64), (48, 64), (60, 40)]
    assert [camera.width for _, camera in made.seen] == [64, 64, 40]
    assert sorted(p.name for p in (tmp_path / 'out' / 'overlays').iterdir()) == ['a.png', 'b.png', 'c.png']


def test_frames_before_a_damaged_one_are_kept(tmp_path, capsys):
    png = cv2.imencode('.png', np.ones((240, 320), np.uint16))[1].tobytes()
    (tmp_path / '1.png').write_bytes(png)
    (tmp_path / '2.png').write_bytes(png[:100])
    (tmp_path / 'camera_info.yaml').write_text(
        'image_width: 320\nimage_height: 240\ncamera_matrix: {data: [280, 0, 160, 0, 281, 120, 0, 0, 1]}\n'
    )
    assert main(['track', str(tmp_path), '--out', str(tmp_path / 'out')]) == 2
    assert '2.png' in capsys.readouterr().err
    assert [line['frame'] for line in read_lines(tmp_path / 'out')] == ['1.png']


def test_every_parameter_has_a_flag_and_reaches_the_tracker(bag, tmp_path):
    flags = [
        '--max-hands',
        '1',
        '--engine',
        'onnxruntime',
        '--no-mesh',
        '--near',
        '0.2',
        '--far',
        '0.9',
        '--min-score',
        '0.25',
        '--threads',
        '1',
        '--model',
        'x.onnx',
        '--hand-model',
        'y.npz',
    ]
    assert main(['track', str(bag), '--out', str(tmp_path / 'out'), '--overlays', 'none', *flags]) == 0
    assert FakeTracker.made[0].settings == compose(
        TrackerSettings,
        {
            'max_hands': 1,
            'engine': 'onnxruntime',
            'mesh': False,
            'near': 0.2,
            'far': 0.9,
            'min_score': 0.25,
            'threads': 1,
            'model': 'x.onnx',
            'hand_model': 'y.npz',
            'views': 4,
            'articulated_icp': True,
        },
    )


def test_flags_default_to_the_parameters_defaults(capsys):
    import argparse

    parser = argparse.ArgumentParser()
    add_tracker_arguments(parser)
    assert tracker_settings(parser.parse_args([])) == TrackerSettings()
    assert tracker_settings(parser.parse_args(['--no-publish-tf'])).node.publish_tf is False
    parser.print_help()
    assert capsys.readouterr().out.count('efault: on') == 3
    args = build_parser(['track']).parse_args(['track', 'x', '--out', 'y'])
    recorded = {'mirrored', 'pairing_tolerance'}  # mirrored images, and both images of a camera, are recorded too
    assert not (set(NODE_SETTINGS) - recorded) & set(vars(args))
    args = build_parser(['track']).parse_args(['track', 'x', '--out', 'y', '--pairing-tolerance', '0.03'])
    assert tracker_settings(args).node.pairing_tolerance == 0.03


def test_recordings_get_more_views_than_topics_by_default(capsys):
    parser = build_parser(['track'])

    def tracking(*flags):
        return tracker_settings(parser.parse_args(['track', 'x', '--out', 'y', *flags])).tracking

    assert tracking().views == 4 and tracking('--views', '1').views == 1
    assert tracking().articulated_icp and not tracking('--no-articulated-icp').articulated_icp
    with pytest.raises(SystemExit):
        parser.parse_args(['track', '--help'])
    shown = ' '.join(capsys.readouterr().out.split())
    assert 'Default: 4.' in shown and re.search(r'points .{0,240}Default: on\.', shown)


@pytest.mark.parametrize(
    'flags, words',
    [
        (['--near', '2', '--far', '1'], 'near'),
        (['--depth-unit', '5'], 'depth_unit'),
        (['--max-hands', '9'], 'max_hands'),
    ],
)
def test_values_out_of_range_name_the_parameter(bag, tmp_path, capsys, flags, words):
    assert main(['track', str(bag), '--out', str(tmp_path / 'out'), *flags]) == 2
    assert words in capsys.readouterr().err


@pytest.mark.parametrize('number, code', [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_an_interrupted_run_keeps_what_it_had(bag, tmp_path, number, code):
    script = tmp_path / 'slow.py'
    script.write_text(
        textwrap.dedent("""
        import sys, time
        from hand_pose_ros.cli.main import main
        from hand_pose_ros.tracking import factory
        class Slow:
            description = 'slow'
            def __init__(self, settings): self.count = 0
            def process(self, frame):
                self.count += 1
                if self.count == 3:
                    time.sleep(60)
                return []
        factory.make_tracker = Slow
        sys.exit(main(sys.argv[1:]))
    """)
    )
    out = tmp_path / 'out'
    process = subprocess.Popen(
        [sys.executable, str(script), 'track', str(bag), '--out', str(out), '--overlays', 'video'],
        stdout=subprocess.PIPE,
        text=True,
        env=child_environment(),
        # A shell starts what runs in its background with interrupts ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    for _ in range(300):
        part = out / 'hands.part.jsonl'
        if part.exists() and len(part.read_text().splitlines()) == 2:
            break
        time.sleep(0.05)
    process.send_signal(number)
    assert 'interrupted: 2 frames' in process.communicate(timeout=30)[0]
    assert process.returncode == code
    assert len(read_lines(out)) == 2
    assert cv2.VideoCapture(str(out / 'overlay.mp4')).read()[0], 'the video is finished and plays'
    assert sorted(path.name for path in out.iterdir()) == ['hands.jsonl', 'overlay.mp4']


@pytest.mark.skipif(not REAL.exists(), reason='the real frames are not on this machine')
def test_real_frames_reach_the_tracker_in_meters(tmp_path):
    command = [
        'track',
        str(REAL / 'sr305'),
        '--out',
        str(tmp_path / 'out'),
        '--depth-unit',
        '0.000125',
        '--overlays',
        'none',
        '--limit',
        '2',
    ]
    assert main(command) == 0
    depth, camera = FakeTracker.made[0].seen[0]
    assert (camera.width, camera.height, camera.fx) == (640, 480, 476.007)
    assert 0.2 < np.median(depth[depth > 0]) < 1.2


def test_overlays_of_files_of_one_name_do_not_overwrite_each_other(tmp_path, capsys, fake):
    folder = tmp_path / 'photographs'
    folder.mkdir()
    for name in ('a.jpg', 'a.png', 'A.jpeg'):
        cv2.imwrite(str(folder / name), np.full((48, 64, 3), 90, np.uint8))
    assert main(['track', str(folder), '--out', str(tmp_path / 'out')]) == 0
    assert len(list((tmp_path / 'out' / 'overlays').iterdir())) == 3


def test_a_rerun_that_fails_leaves_the_earlier_result(bag, tmp_path, capsys, fake, monkeypatch):
    command = ['track', str(bag), '--out', str(tmp_path / 'out'), '--overlays', 'video']
    assert main(command) == 0
    before = {path.name: path.read_bytes() for path in (tmp_path / 'out').iterdir()}
    calls = []

    def fail(self, frame):
        calls.append(frame)
        if len(calls) == 2:
            raise OSError(28, 'No space left on device')
        return []

    monkeypatch.setattr(FakeTracker, 'process', fail)
    assert main(command) == 2 and len(calls) == 2
    assert 'No space left on device' in capsys.readouterr().err
    assert {path.name: path.read_bytes() for path in (tmp_path / 'out').iterdir()} == before


def test_a_folder_that_cannot_be_written_is_said_before_models_load(bag, tmp_path, capsys, monkeypatch):
    (tmp_path / 'file').write_text('')
    monkeypatch.setattr('hand_pose_ros.tracking.factory.make_tracker', lambda *_: pytest.fail('models were loaded'))
    assert main(['track', str(bag), '--out', str(tmp_path / 'file' / 'out')]) == 2
    assert 'results cannot be written there' in capsys.readouterr().err


def test_an_interruption_before_the_first_frame_leaves_the_earlier_result(bag, tmp_path, capsys, monkeypatch):
    command = ['track', str(bag), '--out', str(tmp_path / 'out'), '--overlays', 'video']
    assert main(command) == 0
    before = {path.name: path.read_bytes() for path in (tmp_path / 'out').iterdir()}

    def interrupt(self, frame):
        raise KeyboardInterrupt

    monkeypatch.setattr(FakeTracker, 'process', interrupt)
    assert main(command) == 130 and 'interrupted: 0 frames' in capsys.readouterr().out
    assert {path.name: path.read_bytes() for path in (tmp_path / 'out').iterdir()} == before


def test_what_outlives_its_terminal_stays_so():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup has it
    try:
        with interruptible() as interruption:
            signal.raise_signal(signal.SIGHUP)
        assert not interruption.exit_code and signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize(
    'overlays, file, folder', [('png', 'overlays', ''), ('none', '', 'hands.jsonl'), ('video', '', 'overlay.mp4')]
)
def test_what_is_in_a_results_place_is_said_before_models_load(
    bag, tmp_path, capsys, monkeypatch, overlays, file, folder
):
    out = tmp_path / 'out'
    out.mkdir()
    if file:
        (out / file).write_text('')
    else:
        (out / folder).mkdir()
    monkeypatch.setattr('hand_pose_ros.tracking.factory.make_tracker', lambda *_: pytest.fail('models were loaded'))
    assert main(['track', str(bag), '--out', str(out), '--overlays', overlays]) == 2
    assert f'{out / (file or folder)}: ' in capsys.readouterr().err


def test_a_terminal_that_is_gone_does_not_cost_the_results(bag, tmp_path, monkeypatch):
    class Gone(io.StringIO):
        def isatty(self):
            return True

        def write(self, text):
            raise OSError(5, 'Input/output error')

    monkeypatch.setattr(sys, 'stderr', Gone())
    assert main(['track', str(bag), '--out', str(tmp_path / 'out')]) == 0 and len(read_lines(tmp_path / 'out')) == 3
