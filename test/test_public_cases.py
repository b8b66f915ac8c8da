"""Recordings, cameras and encodings as public reports have them: each case makes its own input, and is tracked.

They lie beside the checkout and are skipped where they do not; those that need topics are in ``test/nodes``.
"""

import importlib.util
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from checkout import CASES

from hand_pose_ros.cli.main import main

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not CASES.is_dir(), reason=f'there are no cases at {CASES}'),
]

#: Case -> further arguments, and what is to come: hands found as far as the case has them, or words of the refusal.
TRACKED = {
    'plumb_bob_8': ('depth', ()),
    'equidistant': ('depth', ()),
    'model_empty_d5': ('depth', ()),
    'rect_P_differs': ('depth', ()),
    'binning': ('depth', ()),
    'uncalibrated_zero': ('color', ()),
    'enc_8UC3': ('color', ()),
    'enc_yuyv': ('color', ()),
    'ir_mono16': ('color', ()),
    'png16_called_png': ('depth', ()),
    'rvl': ('depth', ()),
    'aligned_lag': ('color', ('--modality', 'rgbd')),
    'realsense_all_topics': ('color', ('--modality', 'rgbd')),
    'realsense_bag_converted': ('depth', ()),
    'mcap_unfinished': ('depth', ()),
    'sqlite_wal': ('depth', ()),
    'zstd_file_alone': ('depth', ()),
    'appledouble': ('depth', ('--camera', 'camera.yaml')),
}
#: Millimeters that joints may be off, where the place of the hand is known.
MOST_MM = {'depth': 10.0, 'aligned_lag': 15.0, 'realsense_all_topics': 15.0}
REFUSED = {
    'decimated': 'but its camera is',
    'nan_distortion': 'not finite',
    'mixed_folder': 'folder of its own',
}


@pytest.fixture
def case(tmp_path, monkeypatch, request):
    """A case's folder, made; with its library beside it."""
    name = request.param
    for file in ('caselib.py', 'seed.npz'):
        shutil.copy(CASES / file, tmp_path)
    shutil.copytree(CASES / name, tmp_path / name)
    for path in tmp_path.rglob('*'):
        path.chmod(0o755)
    subprocess.run([sys.executable, 'make.py'], cwd=tmp_path / name, check=True)
    monkeypatch.chdir(tmp_path / name)
    return name


def track(*more):
    quick = ('--views', '1', '--no-articulated-icp', '--no-mesh', '--overlays', 'none')
    return main(['track', 'input', '--out', 'out', *quick, *more])


def errors(kind):
    """Hands found of those there are, and the mean error of their joints, millimeters."""
    spec = importlib.util.spec_from_file_location('caselib', Path('..') / 'caselib.py')
    library = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(library)
    truth = [entry[-1] for entry in (library.DEPTH if kind == 'depth' else library.COLOR)]
    found, total, apart = 0, 0, []
    for line, true in zip(map(json.loads, Path('out/hands.jsonl').read_text().splitlines()), truth):
        for side, joints in true.items():
            total += 1
            for hand in (hand for hand in line['hands'] if hand['side'] == side):
                found += 1
                apart.append(1000 * np.linalg.norm(np.array(hand['joints']) - joints, axis=1).mean())
    return found / max(total, 1), float(np.mean(apart)) if apart else np.inf


@pytest.mark.parametrize('case', TRACKED, indirect=True)
def test_what_people_have_is_tracked(case):
    kind, more = TRACKED[case]
    assert track(*more) == 0
    share, apart = errors(kind)
    assert share > 0.9
    limit = MOST_MM.get(case, MOST_MM.get(kind))
    assert limit is None or apart < limit


@pytest.mark.parametrize('case', REFUSED, indirect=True)
def test_what_cannot_be_used_is_refused_in_a_line(case, capsys):
    assert track() == 2
    said = capsys.readouterr().err.strip().splitlines()[-1]
    assert REFUSED[case] in said and said.startswith('hand-pose: error: ')


@pytest.mark.parametrize('case', ['unit_L515'], indirect=True)
def test_nothing_found_says_why(case, capsys):
    assert track() == 0
    assert 'depth_unit' in capsys.readouterr().out.splitlines()[-1]


@pytest.mark.parametrize('case', ['calibration_forms'], indirect=True)
@pytest.mark.parametrize('form', ['echo.yaml', 'opencv.yaml', 'kalibr.yaml', 'open3d.json'])
def test_calibrations_of_others_are_read(case, form):
    assert track('--camera', form) == 0
    assert errors('depth')[0] > 0.9


@pytest.mark.parametrize('case', ['video_vfr'], indirect=True)
def test_a_video_keeps_its_own_times(case):
    from hand_pose_ros.io.recording import open_recording

    stamps = [frame.stamp for frame in open_recording('input.webm')]
    assert len(stamps) == 24 and 2.0 < stamps[-1] - stamps[0] < 3.0
