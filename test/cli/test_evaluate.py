"""``hand-pose evaluate``: figures worked out by hand, the same in every run, from bags and files, whole and damaged."""

import json
import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from checkout import child_environment
from synthetic_hand import CAMERA, open_hand

from hand_pose_ros.cli.main import main
from hand_pose_ros.core.frame import CameraFrame
from hand_pose_ros.core.hand import Hand
from hand_pose_ros.evaluation.figures import Distribution, Figures, Jitter
from hand_pose_ros.evaluation.metrics import _CURVES
from hand_pose_ros.evaluation.replay import WorstFrames
from hand_pose_ros.evaluation.truth import BagTruth
from hand_pose_ros.gestures.recognition import recognize
from hand_pose_ros.io.frame import RecordedFrame
from hand_pose_ros.io.recording import write_bag
from hand_pose_ros.tracking.one_euro import OneEuroFilter

STAMPS = [100 + i / 20 for i in range(12)]
#: The tracker below finds nothing in these frames, and the wrong side in the last.
LOST, SWAPPED = (4, 5), 11


def true_hand(i: int) -> np.ndarray:
    return open_hand('left', (0.001 * i, 0, 0.5))


def number(frame: CameraFrame) -> int:
    """Which of the images below it is, by its depth."""
    return round(float(frame.depth[:1, :1].item()) * 1000) - 1


class OffTracker:
    """Finds the left hand of each frame 3 mm to the right and 4 mm below."""

    description = 'fake engine'
    offset = np.array([0.003, 0.004, 0])

    def __init__(self, settings):
        self.model_name = settings.models.model or 'fake'
        self.off = self.offset * (2 if self.model_name == 'worse' else 1)

    def process(self, frame):
        i = number(frame)
        if i in LOST:
            return []
        side = 'right' if i == SWAPPED else 'left'
        return [Hand(side, 0.9, true_hand(i) + self.off, np.full(21, 0.8, np.float32), None, 1)]


def images():
    for i, stamp in enumerate(STAMPS):
        yield stamp, np.full((CAMERA.height, CAMERA.width), i + 1, np.uint16)


@pytest.fixture(autouse=True)
def fake(monkeypatch):
    monkeypatch.setattr('hand_pose_ros.tracking.factory.make_tracker', OffTracker)


@pytest.fixture(params=['mcap', 'sqlite3'])
def bag(request, tmp_path):
    joints = {'left': [(stamp, true_hand(i)) for i, stamp in enumerate(STAMPS)]}
    write_bag(tmp_path / 'bag', images(), CAMERA, joints=joints, storage=request.param)
    return tmp_path / 'bag'


def evaluated(capsys, *arguments):
    assert main(['evaluate', *map(str, arguments), '--json']) == 0
    return json.loads(capsys.readouterr().out)


def test_figures_are_those_of_the_hand(bag, tmp_path, capsys):
    metrics = evaluated(capsys, bag, '--out', tmp_path / 'out')
    run = metrics['run']
    assert metrics['ground_truth'] and metrics['complete']
    assert run['mean_joint_error_mm'] == pytest.approx(5, abs=0.001)
    assert run['aligned_joint_error_mm'] == pytest.approx(0, abs=0.001), 'all of it is a shift'
    assert run['median_joint_error_mm'] == pytest.approx(5, abs=0.05)
    assert (run['hands_known'], run['hands_found'], run['wrong_side'], run['hands_too_many']) == (12, 9, 1, 0)
    assert run['losses'] == 2 and run['recovery_s'] == {'median': 0.1, 'longest': 0.1} and run['not_recovered'] == 1
    assert run['error_jitter_mm'] == pytest.approx(0, abs=1e-3) == run['truth_jitter_mm']
    assert run['percent_within_mm']['10']['joints'] == 100 and run['curves']['joints'][4] == 0
    # A steady 3 mm to the right of a hand that moves 20 mm/s to the right is 150 ms early.
    assert run['lag_ms'] == pytest.approx(-150, abs=0.5)
    assert metrics['smoothed']['hands_found'] == 9


def test_two_runs_are_identical_and_everything_is_written(bag, tmp_path, capsys):
    for out in ('a', 'b'):
        evaluated(capsys, bag, '--out', tmp_path / out)
    assert (tmp_path / 'a' / 'metrics.json').read_bytes() == (tmp_path / 'b' / 'metrics.json').read_bytes()
    timings = json.loads((tmp_path / 'a' / 'timings.json').read_text())
    assert timings['run']['engine'] == 'fake engine' and timings['run']['frame_ms']['median'] >= 0
    page = (tmp_path / 'a' / 'report.html').read_text()
    assert 'http' not in page.replace('http://www.w3.org', '') and 'prefers-color-scheme: dark' in page
    assert '5.00 mm' in page and 'Gestures of the true joints' in page and '100.00 %' in page
    assert page.count('data:image/jpeg') == 2, 'the worst frames, half a second apart'
    video = cv2.VideoCapture(str(tmp_path / 'a' / 'overlay.mp4'))
    assert int(video.get(cv2.CAP_PROP_FRAME_COUNT)) == 12
    assert int(video.get(cv2.CAP_PROP_FRAME_WIDTH)) == 2 * CAMERA.width


def test_against_another_model_and_an_earlier_run(bag, tmp_path, capsys, monkeypatch):
    metrics = evaluated(capsys, bag, '--out', tmp_path / 'first', '--against', 'worse', '--no-video')
    assert metrics['against']['model'] == 'worse'
    assert metrics['against']['mean_joint_error_mm'] == pytest.approx(10, abs=0.001)
    assert not (tmp_path / 'first' / 'overlay.mp4').exists()
    earlier = tmp_path / 'first' / 'metrics.json'
    metrics = evaluated(capsys, bag, '--out', tmp_path / 'second', '--against', earlier, '--limit', 3, '--no-video')
    assert metrics['run']['frames'] == 3 and metrics['against']['frames'] == 12
    assert 'against' in (tmp_path / 'second' / 'report.html').read_text()
    assert main(['evaluate', str(bag), '--out', str(tmp_path / 'x'), '--against', str(tmp_path / 'none.json')]) == 2
    assert '--against' in capsys.readouterr().err
    replayed = []
    monkeypatch.setattr(OffTracker, 'process', lambda self, frame: replayed.append(frame) or [])
    part, run = tmp_path / 'part.json', {'model': 'm', 'frames': 1}
    for known, words in (
        ({'frames': 1}, 'not a metrics.json'),
        ({**run, 'per_joint_error_mm': {'wrist': None}}, 'no figure for a joint'),
        ({**run, 'curves': {name: [None] for name in _CURVES}}, 'no figure for a joint or in a curve'),
    ):
        part.write_text(json.dumps({'run': known}))
        assert main(['evaluate', str(bag), '--out', str(tmp_path / 'x'), '--against', str(part)]) == 2
        assert words in capsys.readouterr().err and not replayed, 'refused before the replay'


def test_an_earlier_run_may_lack_what_is_drawn(bag, tmp_path, capsys):
    earlier = tmp_path / 'earlier.json'
    for lacking in ({}, {'per_joint_error_mm': None, 'gestures': None, 'curves': None}):
        earlier.write_text(json.dumps({'run': {'model': 'm', 'frames': 1, **lacking}}))
        assert evaluated(capsys, bag, '--out', tmp_path / 'out', '--against', earlier, '--limit', 2, '--no-video')


def test_why_there_is_no_hand_is_said(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(OffTracker, 'process', lambda self, frame: [])
    write_bag(tmp_path / 'bag', [(100.0, np.zeros((CAMERA.height, CAMERA.width), np.uint16))], CAMERA)
    assert main(['evaluate', str(tmp_path / 'bag'), '--out', str(tmp_path / 'out'), '--no-video']) == 0
    assert 'hands in 0' in (said := capsys.readouterr().out)
    assert 'no hand, since the depth image holds nothing but holes' in said


def test_a_folder_in_a_results_place_is_said_before_the_replay(bag, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr('hand_pose_ros.tracking.factory.make_tracker', lambda *_: pytest.fail('models were loaded'))
    for name in ('metrics.json', 'report.html', 'overlay.mp4'):
        (tmp_path / name / name).mkdir(parents=True)
        assert main(['evaluate', str(bag), '--out', str(tmp_path / name)]) == 2
        assert f'{tmp_path / name / name}: a result cannot be written there' in capsys.readouterr().err


def test_interrupted_before_the_first_frame_it_leaves_what_there_was(bag, tmp_path, capsys, monkeypatch):
    command = ['evaluate', str(bag), '--out', str(tmp_path / 'out')]
    assert main(command) == 0
    before = {path.name: path.read_bytes() for path in (tmp_path / 'out').iterdir()}

    def interrupt(self, frame):
        raise KeyboardInterrupt

    monkeypatch.setattr(OffTracker, 'process', interrupt)
    assert main(command) == 130 and 'left as it was' in capsys.readouterr().err
    assert {path.name: path.read_bytes() for path in (tmp_path / 'out').iterdir()} == before


def test_truth_from_a_file_and_a_recording_without_any(bag, tmp_path, capsys):
    bare = tmp_path / 'bare'
    write_bag(bare, images(), CAMERA)
    metrics = evaluated(capsys, bare, '--out', tmp_path / 'out', '--no-video')
    assert not metrics['ground_truth'] and metrics['run']['frames_with_hands'] == 10
    assert 'mean_joint_error_mm' not in metrics['run'] and metrics['run']['losses'] == 2
    lines = [
        json.dumps({'frame': f'{stamp:.9f}', 'hands': [{'side': 'left', 'joints': true_hand(i).tolist()}]})
        for i, stamp in enumerate(STAMPS)
    ]
    side = tmp_path / 'truth.jsonl'
    side.write_text('\n'.join(lines))
    metrics = evaluated(capsys, bare, '--truth', side, '--out', tmp_path / 'out', '--no-video')
    assert metrics['run']['mean_joint_error_mm'] == pytest.approx(5, abs=0.001) and metrics['run']['hands_found'] == 9
    side.write_text('\n'.join([*lines[:3], lines[3][:50]]))
    assert main(['evaluate', str(bare), '--truth', str(side)]) == 2
    assert 'line 4' in capsys.readouterr().err
    assert main(['evaluate', str(bare), '--truth', '/elsewhere']) == 2
    assert '/elsewhere/hands/<side>/joints' in capsys.readouterr().err


def test_bags_that_cannot_be_used_get_one_line_and_2(bag, tmp_path, capsys):
    storage = next(path for path in bag.iterdir() if path.suffix in ('.mcap', '.db3'))
    whole = storage.read_bytes()

    def refused(path=bag):
        assert main(['evaluate', str(path), '--out', str(tmp_path / 'out'), '--no-video']) == 2
        captured = capsys.readouterr()
        assert captured.out == '' and captured.err.count('\n') == 1
        return captured.err

    storage.write_bytes(b'')
    assert bag.name in refused()
    storage.write_bytes(whole[: len(whole) // 3])
    assert bag.name in refused()
    storage.write_bytes(np.random.default_rng(0).bytes(5000))
    assert bag.name in refused()
    (tmp_path / 'letter.bag').write_bytes(b'#ROSBAG V2.0\n')
    assert 'letter.bag: empty, damaged' in refused(tmp_path / 'letter.bag')
    (tmp_path / 'images').mkdir()
    cv2.imwrite(str(tmp_path / 'images' / '0.png'), np.full((240, 320), 500, np.uint16))
    assert '--camera' in refused(tmp_path / 'images')
    assert 'no such file' in refused(tmp_path / 'absent')


def test_interrupted_it_reports_what_there_is(tmp_path, capsys, monkeypatch):
    write_bag(tmp_path / 'bag', images(), CAMERA, joints={'left': [(s, true_hand(i)) for i, s in enumerate(STAMPS)]})
    plain = OffTracker.process

    def process(self, frame):
        if number(frame) == 3:
            raise KeyboardInterrupt
        return plain(self, frame)

    monkeypatch.setattr(OffTracker, 'process', process)
    assert main(['evaluate', str(tmp_path / 'bag'), '--out', str(tmp_path / 'out')]) == 130
    assert capsys.readouterr().out.startswith('interrupted: 3 frames')
    metrics = json.loads((tmp_path / 'out' / 'metrics.json').read_text())
    assert not metrics['complete'] and metrics['run']['frames'] == 3
    assert 'interrupted' in (tmp_path / 'out' / 'report.html').read_text()


def test_truth_is_read_along_and_forgotten(tmp_path):
    stamps = [50 + i / 10 for i in range(100)]
    write_bag(
        tmp_path / 'bag',
        [(50.0, np.ones((4, 4), np.uint16))],
        CAMERA,
        joints={'left': [(s, np.full((21, 3), s)) for s in stamps]},
    )
    truth = BagTruth(tmp_path / 'bag')
    for stamp in stamps[::3]:
        frame = RecordedFrame('', round(stamp * 1e9), '', None)
        assert truth.hands(frame)['left'][0, 0] == pytest.approx(stamp)
        assert len(truth._near) <= 42, 'two seconds before and after'


@pytest.mark.slow
def test_memory_does_not_grow_with_an_hour():
    """Frames of two hands (108,000 by EVALUATE_FRAMES), in a process of its own: what is kept is 24 bytes a hand."""
    code = (
        'import resource, numpy as np\nfrom hand_pose_ros.evaluation.figures import Figures\n'
        'rng = np.random.default_rng(0)\nhands = {s: rng.normal(0, .05, (21, 3)) for s in ("left", "right")}\n'
        'off = {s: h + .003 for s, h in hands.items()}\nfigures = Figures(True)\n'
        'def run(start, count):\n    for i in range(start, start + count): figures.add(i / 30, off, hands)\n'
        'run(0, 2000)\nbefore = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n'
        f'run(2000, {os.environ.get("EVALUATE_FRAMES", 6000)})\n'
        'print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before, figures.summary()["frames"])'
    )
    result = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True)
    grown, frames = map(int, result.stdout.split())
    assert frames >= 8000 and grown < 1024 + 64 * frames / 1024, f'{grown} KiB'


@pytest.mark.slow
def test_memory_does_not_grow_with_a_bag(tmp_path):
    """The whole command on a short bag and on one of many times its length, each in a process of its own."""
    script = (
        'import resource, sys\nfrom hand_pose_ros.cli.main import main\n'
        'import hand_pose_ros.tracking.factory as m\n'
        'from test_evaluate import OffTracker\nm.make_tracker = OffTracker\n'
        'assert main(["evaluate", sys.argv[1], "--no-video", "--out", sys.argv[1] + "_out"]) == 0\n'
        'print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)'
    )
    environment = child_environment(Path(__file__).resolve().parent)
    peaks = []
    for count in (200, int(os.environ.get('EVALUATE_FRAMES', 1200))):
        stamps = [100 + i / 30 for i in range(count)]
        image = np.full((CAMERA.height, CAMERA.width), 1, np.uint16)
        write_bag(
            tmp_path / f'bag{count}',
            ((stamp, image) for stamp in stamps),
            CAMERA,
            joints={'left': ((stamp, true_hand(0)) for stamp in stamps)},
        )
        result = subprocess.run(
            [sys.executable, '-c', script, str(tmp_path / f'bag{count}')],
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        )
        assert f'{count} of {count} hands found' in result.stdout
        peaks.append(int(result.stdout.split()[-1]))
    print(f'peak memory: {peaks[0] // 1024} MiB, {peaks[1] // 1024} MiB with {count} images')
    assert peaks[1] - peaks[0] < 24 * 1024, f'{peaks} KiB; one image in meters is 300 KiB'


def test_distribution_and_jitter():
    values = Distribution()
    values.add(np.array([1.0, 2.0, 3.0, 1000.0]))
    assert values.quantile(0.5) == pytest.approx(2, abs=0.05)
    assert values.within(np.array([0.9, 1.1, 3.1])).tolist() == [0, 0.25, 0.75]
    assert Distribution().quantile(0.5) is None
    jitter = Jitter()
    for i in range(6):
        jitter.add(i, np.full((21, 3), 0.01 * i))
    assert jitter.millimeters() == pytest.approx(0, abs=1e-9), 'a steady motion is no jitter'
    jitter.add(9, np.zeros((21, 3)))  # after a gap
    assert jitter.millimeters() == pytest.approx(0, abs=1e-9)
    shaking = Jitter()
    for i in range(5):
        shaking.add(i, np.array([[0.001 * (i % 2), 0, 0]] * 21))
    assert shaking.millimeters() == pytest.approx(2)


def curled(joints):
    """A hand's joints with the four fingers' tips brought back to their knuckles."""
    joints = joints.copy()
    joints[8::4] = joints[5::4]
    return joints


def test_gestures_are_counted_by_what_the_true_joints_show():
    figures, hand = Figures(with_truth=True), open_hand('left', (0, 0, 0.5))
    for i, (found, known) in enumerate(((hand, hand), (hand + 0.01, hand), (curled(hand), hand), (hand, curled(hand)))):
        figures.add(i / 30, {'left': found}, {'left': known})
    found = figures.summary()
    straight, other = (recognize(joints, 'left').name for joints in (hand, curled(hand)))
    assert other != straight and found['gestures_seen'] == {straight: 3, other: 1}
    assert found['gestures'] == {straight: {'hands': 3, 'same_percent': 66.67}, other: {'hands': 1, 'same_percent': 0}}
    assert found['same_gesture_percent'] == 50
    figures = Figures(with_truth=False)
    figures.add(0, {'left': hand}, {})
    assert figures.summary()['gestures_seen'] == {straight: 1} and 'gestures' not in figures.summary()


def test_the_worst_frames_are_kept_apart():
    worst = WorstFrames()
    for i in range(200):
        worst.offer(float(17 * i % 37), i / 10, str(i), lambda: np.zeros(1))
    kept = worst.sorted()
    assert len(kept) == 10 and kept[0][0] == 36
    times = sorted(one[1] for one in kept)
    assert min(b - a for a, b in zip(times, times[1:])) >= 0.5


def test_losses_end_with_the_hand():
    figures, hand = Figures(True), true_hand(0)
    for i, (found, known) in enumerate([(1, 1), (0, 1), (0, 0), (0, 0), (1, 1)]):
        figures.add(i, {'left': hand} if found else {}, {'left': hand} if known else {})
    summary = figures.summary()
    assert summary['losses'] == 1 and summary['recovery_s'] is None and summary['not_recovered'] == 0


def test_one_euro_steadies_what_rests_and_lets_go_what_moves():
    rng = np.random.default_rng(0)
    rest, moving = OneEuroFilter(), OneEuroFilter()
    noise = rng.normal(0, 0.002, (300, 21, 3))
    steadied = np.array([rest(n, 1 / 30) for n in noise])[50:]
    assert steadied.std() < 0.6 * noise.std()
    motion = np.arange(300)[:, None, None] * np.full((21, 3), 0.02)  # 1 m/s
    followed = np.array([moving(m, 1 / 30) for m in motion])
    assert np.abs(followed - motion)[50:].max() < 0.005, 'less than 5 ms late'
    first = OneEuroFilter()
    assert (first(noise[0], 1 / 30) == noise[0]).all()
    assert (first(noise[1], 0.0) == noise[1]).all(), 'a clock that stands still starts afresh'
