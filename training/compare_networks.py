"""Compare depth networks: ``python -m training.compare_networks MODEL ... [--frames FOLDER --out PICTURE.png]``.

Prints a Markdown table of what each is and does on the first crops of the validation set, and draws what the tracker
makes of real frames with each of them, side by side.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from hand_pose_ros.drawing import draw_overlay
from hand_pose_ros.estimation.engines import open_engine
from hand_pose_ros.estimation.models import find_model, read_manifest
from hand_pose_ros.io.frame import RecordedFrame
from hand_pose_ros.io.recording import open_recording
from hand_pose_ros.localization.crop import CUBE_PER_HAND, hand_size
from hand_pose_ros.parameters import TrackerParameters
from hand_pose_ros.pipeline.tracker import HandTracker
from training.measure_precision import measure_time, table
from training.pose_task import joint_errors, validation_set

#: A joint is hidden where what is seen lies so far before it, metres; a crop is hard with so many of them.
HIDDEN, MANY = 0.018, 8
#: Pixels along a side of a tile of the picture, and tiles in a row of it.
TILE, ROW = 240, 8


def hard_crops(crops: np.ndarray, joints: np.ndarray, halves: np.ndarray) -> np.ndarray:
    """Tell (N,) which crops (N, S, S) show a hand that hides many of its own joints (N, 21, 3)."""
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
        found = np.concatenate([engine(crops[i:i + 8, None])[0] for i in range(0, len(crops), 8)])
        errors, hard = joint_errors(found, joints, halves), hard_crops(crops, joints, halves)
        entry = manifest.get(name, {})
        rows.append([name, f'{entry["parameters"]:,}' if entry else '', f'{model.path.stat().st_size / 1e6:.1f} MB',
                     f'{entry["training"]["images"]:,}' if entry else '', f'{errors.mean():.2f} mm',
                     f'{np.median(errors):.2f} mm', f'{errors[hard].mean():.2f} mm',
                     f'{measure_time(engine, engine.input_shape, 1):.2f} ms',
                     f'{measure_time(open_engine(model), engine.input_shape, 1):.2f} ms'])
    return table(['network', 'parameters', 'ONNX', 'images', 'validation', 'median', 'hard crops', 'a call, f32',
                  'a call, by default'], rows)


def tile(frame: RecordedFrame, tracker: HandTracker) -> np.ndarray:
    """Draw what the tracker makes of a frame that it sees first, around the nearest hand."""
    tracker.reset()
    hands = tracker.process(frame.picture(), **frame.for_tracker())
    picture = draw_overlay(frame.picture(), hands, frame.camera)
    if not hands:
        return cv2.resize(picture, (TILE, TILE))
    joints = min(hands, key=lambda hand: hand.joints[:, 2].mean()).joints
    u, v = frame.camera.project(joints).mean(0).astype(int)
    reach = int(CUBE_PER_HAND * hand_size(joints) * frame.camera.fx / joints[:, 2].mean())
    padded = cv2.copyMakeBorder(picture, *4 * (reach,), cv2.BORDER_CONSTANT)
    return cv2.resize(padded[v:v + 2 * reach, u:u + 2 * reach], (TILE, TILE), interpolation=cv2.INTER_AREA)


def draw(names: Sequence[str], folder: Path, depth_unit: float, every: int) -> np.ndarray:
    """Draw a folder's frames with each model: a row of tiles for each model below one another."""
    frames = list(open_recording(folder, depth_unit=depth_unit))[::every]
    rows = []
    for name in names:
        tracker = HandTracker(TrackerParameters(model=name, max_hands=1))
        tiles = [tile(frame, tracker) for frame in frames]
        cv2.putText(tiles[0], name, (6, 18), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (255, 255, 255), 1, cv2.LINE_AA)
        rows.append(tiles + [np.zeros_like(tiles[0])] * (-len(tiles) % ROW))
    return np.vstack([np.hstack(tiles[start:start + ROW]) for start in range(0, len(rows[0]), ROW) for tiles in rows])


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('names', nargs='+', metavar='MODEL', help='pose models of models/manifest.yaml, or .onnx files')
    parser.add_argument('--crops', type=int, default=1024, help='of the validation set (1024); 0 for no table')
    parser.add_argument('--frames', type=Path, help='folder of depth images with their camera_info.yaml')
    parser.add_argument('--depth-unit', type=float, default=0.001, help='metres in one unit of the images (0.001)')
    parser.add_argument('--every', type=int, default=1, help='draw each n-th frame (1)')
    parser.add_argument('--out', type=Path, default=Path('out/compare.png'), help='where the picture goes (out/compare.png)')
    arguments = parser.parse_args()
    if arguments.crops:
        print(compare(arguments.names, arguments.crops))
    if arguments.frames:
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(arguments.out), draw(arguments.names, arguments.frames, arguments.depth_unit, arguments.every))
        print(arguments.out)


if __name__ == '__main__':
    main()
