"""Cameras as public reports have them, played through topics to a node of its own process.

They lie beside the checkout and are skipped where they do not; those that are files are in
``test/test_public_cases.py``.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from checkout import CASES, ROOT, child_environment

pytest.importorskip('rclpy')
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not CASES.is_dir(), reason=f'there are no cases at {CASES}'),
]

#: Case -> the least joints of the right hand that must come, and the words that must be said.
LIVE = {
    'camera_info_latched': (8, '2 hands in view'),
    'default_dds_720p': (20, '2 hands in view'),
    'image_4k': (6, 'in view'),
    'intrinsics_every_image': (24, '2 hands in view'),
    'stamps_zero_now_and_then': (24, 'tracking starts afresh'),
    'sim_time_without_clock': (15, 'nobody publishes /clock'),
    'tf_two_trackers': (0, 'frames with two parents: {}'),
    'wrong_type': (0, 'see the parameter image_transport'),
}


@pytest.mark.parametrize('name', LIVE)
def test_hands_are_found_or_it_is_said_why_not(name, tmp_path):
    least, words = LIVE[name]
    for file in ('caselib.py', 'seed.npz', 'live_case.py'):
        shutil.copy(CASES / file, tmp_path)
    path = f'{Path(sys.executable).parent}{os.pathsep}{os.environ["PATH"]}'
    run = subprocess.run(
        [sys.executable, 'live_case.py', name],
        cwd=tmp_path,
        env=child_environment(PATH=path, HP_REPO=str(ROOT)),
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert run.returncode == 0, run.stderr
    joints = re.search(r'joints of the right hand (\d+)', run.stdout)
    assert int(joints[1]) >= least and words in run.stdout, run.stdout
    assert 'Traceback' not in run.stdout
    ends = re.findall(r'node ended with (-?\d+)', run.stdout)
    assert set(ends) == {'0'}, run.stdout
