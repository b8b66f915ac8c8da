"""Labels of photographs by MediaPipe's networks, in the format of :mod:`training.datasets.photographs`."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from hand_pose_ros.core.frame import CameraFrame
from hand_pose_ros.core.hand import Hand
from hand_pose_ros.geometry.camera import Camera
from hand_pose_ros.geometry.joints import other_side
from hand_pose_ros.settings import ModelSettings, TrackerSettings, TrackingSettings
from hand_pose_ros.tracking.factory import make_tracker
from hand_pose_ros.tracking.tracker import HandTracker
from hand_pose_ros.visualization.drawing import draw_overlay
from training.datasets.frames import DatasetError

#: Mean distance over the hand's diagonal between the joints in a photograph and in its mirror image: below it a hand is
#: sure.
SURE_BELOW = 0.04
#: Files that are photographs; and the horizontal field of view that they are taken to have, degrees.
SUFFIXES, FIELD_OF_VIEW_DEG = ('.jpg', '.jpeg', '.png'), 60.0


def label_hands(found: Sequence[Hand], mirrored: Sequence[Hand], camera: Camera) -> list[dict]:
    """Make the labels of hands that were found in a photograph, by those that were found in its mirror image."""
    others = [(camera.project(hand.joints), other_side(hand.side)) for hand in mirrored]
    labels = []
    for hand in found:
        points = camera.project(hand.joints)
        diagonal = float(np.linalg.norm(np.ptp(points, axis=0)))
        errors = [
            (float(np.linalg.norm(points - (other * (-1, 1) + (camera.width - 1, 0)), axis=1).mean()) / diagonal, side)
            for other, side in others
        ]
        error, side = min(errors, default=(1.0, ''))
        labels.append(
            {
                'uv': points.round(1).tolist(),
                'side': hand.side,
                'score': round(float(hand.score), 3),
                'mirror_error': round(error, 3),
                'sure': bool(error < SURE_BELOW and side == hand.side),
            }
        )
    return labels


def label_photograph(tracker: HandTracker, image: np.ndarray) -> tuple[list[dict], list[Hand], Camera]:
    """Find the hands in a photograph (H, W, 3), bgr, twice: labels, hands, and the camera that is assumed."""
    height, width = image.shape[:2]
    camera = Camera.from_field_of_view(width, height, FIELD_OF_VIEW_DEG)
    found = []
    for shown in image, np.ascontiguousarray(image[:, ::-1]):
        tracker.reset()
        found.append(tracker.process(CameraFrame(camera, None, shown)))
    return label_hands(*found, camera), found[0], camera


def label_set(folder: Path, name: str, nothing: bool = False, overlays: Path | None = None) -> Counter:
    """Label the photographs in ``folder/name`` and write ``folder/name.jsonl``; returns what was counted.

    Args:
        folder: of sets.
        name: of the set.
        nothing: there is no hand in them.
        overlays: where to draw what was found; nowhere by default.

    Raises:
        DatasetError: there is no photograph, or one is damaged.
        ModelError: MediaPipe's files are not on this machine.

    """
    files = sorted(path for path in (folder / name).rglob('*') if path.suffix.lower() in SUFFIXES)
    if not files:
        raise DatasetError(f'{folder / name} holds no {", ".join(SUFFIXES)}')
    models = ModelSettings(modality='color', detector='mediapipe_palms', estimator='mediapipe_landmarks')
    tracker = None if nothing else make_tracker(TrackerSettings(models, TrackingSettings(mesh=False)), independent=True)
    counts: Counter = Counter(photographs=0, hands=0, sure=0)
    with (folder / f'{name}.jsonl').open('w', encoding='utf-8') as lines:
        for path in files:
            image = cv2.imread(str(path))
            if image is None:
                raise DatasetError(f'{path} is no photograph that OpenCV reads')
            row: dict[str, object] = {
                'file': path.relative_to(folder).as_posix(),
                'size': [image.shape[1], image.shape[0]],
                'source': path.relative_to(folder / name).as_posix(),
            }
            if tracker is not None:
                labels, hands, camera = label_photograph(tracker, image)
                row['hands'] = labels
                counts.update(hands=len(labels), sure=sum(label['sure'] for label in labels))
                if overlays is not None:
                    out = (overlays / path.relative_to(folder)).with_suffix('.jpg')
                    out.parent.mkdir(parents=True, exist_ok=True)
                    cv2.imwrite(str(out), draw_overlay(image, hands, camera))
            lines.write(json.dumps(row) + '\n')
            counts['photographs'] += 1
    return counts
