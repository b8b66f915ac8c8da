"""What a run leaves behind: ``hands.jsonl`` and overlay videos."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from hand_pose_ros.core.hand import Hand
from hand_pose_ros.files import writing


def result_line(frame: str, hands: Sequence[Hand]) -> str:
    """Write the hands of one frame as a line of ``hands.jsonl``: meters to the micrometer, newline included."""
    return (
        json.dumps(
            {
                'frame': frame,
                'hands': [
                    {
                        'side': hand.side,
                        'score': round(float(hand.score), 4),
                        'track': int(hand.track_id),
                        'metric': bool(hand.metric),
                        'joints': np.round(np.asarray(hand.joints, float), 6).tolist(),
                        'confidence': np.round(np.asarray(hand.confidence, float), 4).tolist(),
                    }
                    for hand in hands
                ],
            }
        )
        + '\n'
    )


class VideoWriter:
    """Writes pictures of one size to an MP4 (MPEG-4, the codec that every OpenCV build can write and read).

    Use it as a context manager: leaving it finishes the file, also after an interruption, and puts it in its place.
    """

    def __init__(self, path: str | Path, rate: float) -> None:
        self.path = Path(path)
        self._rate = float(np.clip(rate, 1, 120))
        self._writer: cv2.VideoWriter | None = None
        self._place = writing(self.path)

    def __enter__(self) -> VideoWriter:
        self._part = self._place.__enter__()
        return self

    def __exit__(self, *error: Any) -> bool | None:
        if self._writer is None:
            return self._place.__exit__(*error)
        self._writer.release()
        if error[0] is not None or _is_readable(self._part):
            return self._place.__exit__(*error)
        # The codec says nothing of a disk that is full.
        full = OSError(f'{self.path}: the video could not be written to its end; is the disk full?')
        return self._place.__exit__(OSError, full, None)

    def write(self, picture: np.ndarray) -> None:
        """Append a (H, W, 3) bgr8 picture; odd sizes lose their last row or column, which the codec cannot hold.

        Raises:
            OSError: the file cannot be written.

        """
        height, width = (size // 2 * 2 for size in picture.shape[:2])
        if self._writer is None:
            form = cv2.VideoWriter.fourcc(*'mp4v')
            self._writer = cv2.VideoWriter(str(self._part), form, self._rate, (width, height))
            if not self._writer.isOpened():
                raise OSError(f'{self.path}: the video cannot be written; is its folder writable?')
        self._writer.write(np.ascontiguousarray(picture[:height, :width]))


def _is_readable(path: Path) -> bool:
    capture = cv2.VideoCapture(str(path))
    try:
        return bool(capture.read()[0])
    finally:
        capture.release()
