"""Two detectors of color images, of which each finds hands that the other misses."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from hand_pose_ros.core.frame import CameraFrame
from hand_pose_ros.core.stage_timer import StageTimer
from hand_pose_ros.detection.base import Detection
from hand_pose_ros.detection.color import ColorDetector
from hand_pose_ros.detection.mediapipe_palms import PALM, mediapipe_palms
from hand_pose_ros.regions.base import distinct
from hand_pose_ros.regions.perspective import PerspectiveRegion
from hand_pose_ros.settings import ModelSettings

#: From this score on palms come first: their regions show sides best.
SURE = 0.5


class PalmsAndSquares:
    """Hands by MediaPipe's palms and by our own detector's squares.

    Palms are found surely; squares also of fists, of backs of hands and of hands that are cut off, but more often where
    there is none: what is a hand, the estimator has to know. While a hand is tracked, the two search by turns.
    """

    def __init__(self, settings: ModelSettings, timer: StageTimer) -> None:
        with ThreadPoolExecutor(1) as pool:  # the other one is loaded meanwhile
            palms = pool.submit(mediapipe_palms, settings, timer)
            self._squares = ColorDetector(settings, timer)
            self._palms = palms.result()
        self.needs = self._palms.needs
        self.description = f'{self._palms.description}; {self._squares.description}'
        self._palms_turn = False

    def detect(self, frame: CameraFrame, tracked: Sequence[PerspectiveRegion]) -> list[Detection]:
        """See ``HandDetector.detect``."""
        self._palms_turn = not self._palms_turn
        palms = self._palms.detect(frame, tracked) if self._palms_turn or not tracked else []
        squares = self._squares.detect(frame, tracked) if not (self._palms_turn and tracked) else []
        rest = sorted([*(one for one in palms if one.score < SURE), *squares], key=lambda one: -one.score)
        found: list[Detection] = []
        for one in [*(one for one in palms if one.score >= SURE), *rest]:
            if distinct(one.region, [other.region for other in found], PALM.apart):
                found.append(one)
        return found
