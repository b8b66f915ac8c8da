"""Other hand trackers, for ``hand-pose bench --peer``: each in an environment of its own, timed in turns with ours."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import venv
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

from hand_pose_ros.cli.clip import Clip
from hand_pose_ros.cli.measure import time_tracker
from hand_pose_ros.resources import cache_folder
from hand_pose_ros.settings import TrackerSettings

#: Peers -> what pip installs, and the newest Python that it is there for.
PEERS = {'mediapipe': ('mediapipe==0.10.21', (3, 12))}
#: Turns of ours and theirs: machines change their pace.
TURNS = 5


class PeerError(RuntimeError):
    """A peer that cannot be run here; one line that says why."""


def measure_peer(
    name: str, python: str | None, images: Clip, settings: TrackerSettings, clip: Clip, count: int
) -> dict[str, Any]:
    """Time another hand tracker in turns with ours on the same cores.

    Args:
        name: of ``PEERS``.
        python: that has it installed; None installs it.
        images: that it gets; depth is shown to it as the overlays show it, and then only its time counts.
        settings: of our tracker.
        clip: that ours gets.
        count: frames of each turn.

    Returns:
        What the peer prints of itself, its ``frame_ms`` being those of its median turn; ``ratios`` of our pipeline's
        time to its own, of each turn; ``ratio``, their median. Or ``reason`` where it cannot be run.

    """
    from hand_pose_ros.tracking.factory import make_tracker

    tracker = make_tracker(settings)
    ours, theirs = [], []
    try:
        with TemporaryDirectory() as folder:
            _write_images(images, Path(folder))
            runner = python or str(_environment(name))
            for _ in range(TURNS):
                theirs.append(_run(runner, name, folder))
                ours.append(time_tracker(tracker, settings, clip, count, None)['pipeline_ms']['median'])
    except PeerError as error:
        return {'name': name, 'reason': str(error)}
    ratios = [round(own / peer['frame_ms']['median'], 3) for own, peer in zip(ours, theirs)]
    middle = sorted(theirs, key=lambda one: one['frame_ms']['median'])[len(theirs) // 2]
    return {
        'name': name,
        'images': images.modality,
        **middle,
        'pipeline_ms': round(median(ours), 3),
        'ratios': ratios,
        'ratio': round(median(ratios), 3),
    }


def _write_images(images: Clip, folder: Path) -> None:
    import cv2

    from hand_pose_ros.visualization.drawing import depth_picture

    for number, frame in enumerate(images.frames):
        picture = frame.color
        if picture is None and frame.depth is not None:
            picture = depth_picture(frame.depth[:], frame.camera)
        if picture is not None:
            cv2.imwrite(str(folder / f'{number:05d}.png'), picture)


def _run(python: str, name: str, folder: str) -> dict[str, Any]:
    script = Path(__file__).with_name(f'peer_{name}.py')
    try:
        ran = subprocess.run([python, str(script), folder], capture_output=True, text=True)
    except OSError as error:
        raise PeerError(f'{python} cannot be run: {error.strerror or error}') from error
    if ran.returncode:
        last = (ran.stderr.strip().splitlines() or ['it printed nothing'])[-1]
        raise PeerError(f'{python} cannot run it: {last}')
    found: dict[str, Any] = json.loads(ran.stdout.strip().splitlines()[-1])
    return found


def _environment(name: str) -> Path:
    """Python of the peer's own environment, which is made and filled where it is not there yet."""
    package, newest = PEERS[name]
    folder = cache_folder('peers')
    if folder is None:
        raise PeerError(
            'there is no folder for its environment: the cache folder cannot be written; give --peer-python'
        )
    place = folder / package.replace('==', '-')
    python = place / 'bin' / 'python'
    done = place / 'installed'
    if done.is_file():
        return python
    if sys.version_info[:2] > newest:
        latest = '.'.join(map(str, newest))
        raise PeerError(
            f'{package} has no wheel for this Python; give --peer-python one of at most {latest} that has it'
        )
    print(f'installing {package} into {place}, once', file=sys.stderr)
    shutil.rmtree(place, ignore_errors=True)
    try:
        venv.create(place, with_pip=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise PeerError(f'{place} cannot be made an environment: {error}') from error
    command = [str(python), '-m', 'pip', 'install', '--quiet', '--disable-pip-version-check', package]
    ran = subprocess.run(command, capture_output=True, text=True)
    if ran.returncode:
        last = (ran.stderr.strip().splitlines() or ['pip said nothing'])[-1]
        raise PeerError(f'{package} cannot be installed: {last}')
    done.touch()
    return python
