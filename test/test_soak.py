"""One minute of ``test/soak.py``."""

import subprocess
import sys
from pathlib import Path

import pytest
from checkout import child_environment

pytest.importorskip('rclpy', reason='ROS 2 is not installed')


@pytest.mark.ros
@pytest.mark.slow
def test_a_camera_that_misbehaves_costs_no_frame_that_is_not_accounted_for():
    command = [sys.executable, str(Path(__file__).with_name('soak.py')), '--minutes', '1']
    result = subprocess.run(command, capture_output=True, text=True, timeout=600, env=child_environment())
    assert result.returncode == 0, result.stdout + result.stderr
    assert ' 0 not accounted for' in result.stdout
