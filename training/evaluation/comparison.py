"""Compare depth networks: ``python -m training compare MODEL ... [--frames FOLDER --out PICTURE.png]``.

A Markdown table of what each is and does on the first crops of the validation set, and a picture of what the tracker
makes of real frames with each of them, side by side.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np

from hand_pose_ros.geometry.joints import hand_size
from hand_pose_ros.inference.engines import open_engine
from hand_pose_ros.inference.models import find_model, read_manifest
from hand_pose_ros.io.frame import RecordedFrame
from hand_pose_ros.io.recording import open_recording
from hand_pose_ros.regions.cube import CUBE_PER_HAND
from hand_pose_ros.settings import ModelSettings, TrackerSettings, TrackingSettings
from hand_pose_ros.tracking.factory import make_tracker
from hand_pose_ros.tracking.tracker import HandTracker
from hand_pose_ros.visualization.drawing import draw_overlay
from training.evaluation.figures import Measurement
from training.evaluation.precision import measure_time, run_in_batches
from training.evaluation.subjects import open_subject
from training.tasks.depth_pose import joint_errors, validation_set

#: A joint is hidden where the surface lies so far before it, meters; a crop is hard with so many of them.
HIDDEN, MANY = 0.018, 8
#: Pixels along a side of a tile of the picture, and tiles in a row of it.
TILE, ROW = 240, 8


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table."""
    return '\n'.join('| ' + ' | '.join(row) + ' |' for row in (head, ['---'] * len(head), *rows))


def hard_crops(crops: np.ndarray, joints: np.ndarray, halves: np.ndarray) -> np.ndarray:
    """Find (N,) which crops (N, S, S) show a hand that hides many of its own joints (N, 21, 3)."""
    size = crops.shape[1]
    pixels = np.clip(((joints[..., :2] + 1) / 2 * size).astype(int), 0, size - 1)
    seen = crops[np.arange(len(crops))[:, None], pixels[..., 1], pixels[..., 0]]
    return ((joints[..., 2] - seen) * halves[:, None] > HIDDEN).sum(1) >= MANY


def compare(names: Sequence[str], count: int) -> str:
    """Measure each model by ONNX Runtime in float32; returns a Markdown table."""
    manifest, rows = read_manifest(), []
    for name in names:
        model = find_model(name)
        engine = open_engine(model, 'onnxruntime', precision='f32')
        crops, joints, halves = (part[:count] for part in validation_set(engine.input_shape[1]))
        found = np.concatenate([engine(crops[i : i + 8, None])[0] for i in range(0, len(crops), 8)])
        errors, hard = joint_errors(found, joints, halves), hard_crops(crops, joints, halves)
        entry = manifest.get(name, {})
        rows.append(
            [
                name,
                f'{entry["parameters"]:,}' if entry else '',
                f'{model.path.stat().st_size / 1e6:.1f} MB',
                f'{entry["training"]["images"]:,}' if entry else '',
                f'{errors.mean():.2f} mm',
                f'{np.median(errors):.2f} mm',
                f'{errors[hard].mean():.2f} mm',
                f'{measure_time(engine, engine.input_shape, 1):.2f} ms',
                f'{measure_time(open_engine(model), engine.input_shape, 1):.2f} ms',
            ]
        )
    return table(
        [
            'network',
            'parameters',
            'ONNX',
            'images',
            'validation',
            'median',
            'hard crops',
            'a call, f32',
            'a call, by default',
        ],
        rows,
    )


def tile(frame: RecordedFrame, tracker: HandTracker) -> np.ndarray:
    """Draw what the tracker makes of a frame that it sees first, around the nearest hand."""
    tracker.reset()
    hands = tracker.process(frame.camera_frame())
    picture = draw_overlay(frame.picture, hands, frame.camera)
    if not hands:
        return cv2.resize(picture, (TILE, TILE))
    joints = min(hands, key=lambda hand: hand.joints[:, 2].mean()).joints
    u, v = frame.camera.project(joints).mean(0).astype(int)
    reach = int(CUBE_PER_HAND * hand_size(joints) * frame.camera.fx / joints[:, 2].mean())
    padded = cv2.copyMakeBorder(picture, *4 * (reach,), cv2.BORDER_CONSTANT)
    return cv2.resize(padded[v : v + 2 * reach, u : u + 2 * reach], (TILE, TILE), interpolation=cv2.INTER_AREA)


def draw(names: Sequence[str], folder: Path, depth_unit: float, every: int) -> np.ndarray:
    """Draw a folder's frames with each model: a row of tiles for each model below one another."""
    frames = list(open_recording(folder, depth_unit=depth_unit))[::every]
    rows = []
    for name in names:
        settings = TrackerSettings(ModelSettings(model=name), TrackingSettings(max_hands=1))
        tracker = make_tracker(settings)
        tiles = [tile(frame, tracker) for frame in frames]
        cv2.putText(tiles[0], name, (6, 18), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (255, 255, 255), 1, cv2.LINE_AA)
        rows.append(tiles + [np.zeros_like(tiles[0])] * (-len(tiles) % ROW))
    return np.vstack([np.hstack(tiles[start : start + ROW]) for start in range(0, len(rows[0]), ROW) for tiles in rows])


def evaluate(subject: str, samples: int) -> Iterator[Measurement]:
    """Mean error on the hard ones among the first crops of the validation set."""
    engine = open_engine(open_subject(subject), 'onnxruntime', precision='f32')
    crops, joints, halves = (part[:samples] for part in validation_set(engine.input_shape[1]))
    hard = hard_crops(crops, joints, halves)
    found = run_in_batches(engine, crops[hard][:, None])[0]
    yield Measurement('hard_mean', float(joint_errors(found, joints[hard], halves[hard]).mean()), 'mm', int(hard.sum()))
