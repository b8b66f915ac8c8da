"""Figures of the product's own commands, as they print them: ``hand-pose evaluate`` and ``hand-pose bench``."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from hand_pose_ros.geometry.joints import SIDES
from hand_pose_ros.io.recording import open_recording, read_joints, write_bag
from hand_pose_ros.resources import resource_path
from training.evaluation.figures import Measurement
from training.registry import TrainingError

#: Folders of the bundled clips, by the modality.
CLIPS = {'depth': 'clip', 'color': 'color'}
#: What a table holds of a clip.
CLIP_METRICS = (
    'mean_joint_error_mm',
    'aligned_joint_error_mm',
    'hands_found',
    'hands_known',
    'wrong_side',
    'hands_too_many',
    'jitter_mm',
    'same_gesture_percent',
)
#: Ends of names in metrics.json and the unit of the figure.
UNITS = {'_mm': 'mm', '_ms': 'ms', '_mb': 'MB', '_percent': '%'}


def evaluate_clip(subject: str, samples: int) -> Iterator[Measurement]:
    """Figures of the tracker on a bundled clip; the subject is its modality, and options of ``hand-pose evaluate``."""
    modality, *options = shlex.split(subject)
    with tempfile.TemporaryDirectory() as folder:
        if modality == 'rgbd':
            clip = Path(folder, 'both')
            write_joined_clip(clip)
            options += ['--modality', modality]
        else:
            clip = resource_path('demo', CLIPS[modality])
        out = str(Path(folder, 'out'))
        metrics = run_command(['evaluate', str(clip), '--json', '--no-video', '--out', out, *options])
    run = metrics['run']
    for name in CLIP_METRICS:
        if name in run:
            yield measurement(name, run[name], run['frames'])


def write_joined_clip(path: Path) -> None:
    """Write a bag of both bundled clips' cameras, with the true joints: one camera saw the same hands in both."""
    color_clip = resource_path('demo', 'color')
    depths = {frame.nanoseconds: frame.depth for frame in open_recording(resource_path('demo', 'clip'))}
    frames = [frame for frame in open_recording(color_clip) if frame.nanoseconds in depths]
    joints: dict[str, list[tuple[float, np.ndarray]]] = {side: [] for side in SIDES}
    for name, hands in read_joints(color_clip).items():
        for side, points in hands.items():
            joints[side].append((float(name), points))
    write_bag(
        path,
        [(frame.stamp, frame.color) for frame in frames],
        frames[0].camera,
        joints=joints,
        color=True,
        registered_depth=[(frame.stamp, depths[frame.nanoseconds].pixels) for frame in frames],
        frame_id=frames[0].frame_id,
        compressed=False,
    )


def evaluate_bench(subject: str, samples: int) -> Iterator[Measurement]:
    """Figures of ``hand-pose bench``; the subject is the modality and its options."""
    modality, *options = shlex.split(subject)
    figures = run_command(['bench', '--json', '--modality', modality, *options])
    for name, value in flatten({key: figures[key] for key in figures if key not in ('machine', 'engine', 'model')}):
        yield measurement(name, value, samples)


def run_command(arguments: Sequence[str]) -> Mapping[str, object]:
    """Run ``hand-pose`` and read the JSON that it prints.

    Raises:
        TrainingError: it failed.

    """
    command = [sys.executable, '-m', 'hand_pose_ros.cli.main', *arguments]
    done = subprocess.run(command, capture_output=True, text=True, cwd=Path.cwd(), check=False)
    if done.returncode:
        raise TrainingError(f'hand-pose {shlex.join(arguments)} failed: {done.stderr.strip().splitlines()[-1:]}')
    return json.loads(done.stdout)


def flatten(table: Mapping[str, object], before: str = '') -> Iterator[tuple[str, float]]:
    """Numbers of nested tables, with the names of their tables before their own."""
    for name, value in table.items():
        if isinstance(value, Mapping):
            yield from flatten(value, f'{before}{name}_')
        elif isinstance(value, (int, float)) and not isinstance(value, bool):
            yield f'{before}{name}', value


def measurement(name: str, value: float, samples: int) -> Measurement:
    """A measurement whose unit its name tells."""
    unit = next((unit for end, unit in UNITS.items() if f'{end}_' in f'{name}_'), '')
    return Measurement(name, value, unit, samples)
