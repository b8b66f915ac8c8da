"""Hands in whole color images; what the network takes and gives is shared with its training.

A network sees the image made to fit a square and says, for each cell of a grid, how likely a hand has its center there
and is a right one, where in the cell, and how large the hand's square is (as CenterNet does: Zhou, Wang, Kraehenbuehl,
"Objects as Points", 2019, without its class for everything else).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from hand_pose_ros.core.frame import CameraFrame, Channel
from hand_pose_ros.core.stage_timer import StageTimer
from hand_pose_ros.detection.base import Detection
from hand_pose_ros.geometry.camera import Camera
from hand_pose_ros.inference.engines import open_engine, warm_up
from hand_pose_ros.inference.models import DETECTOR, find_model
from hand_pose_ros.regions.base import distinct
from hand_pose_ros.regions.perspective import PerspectiveRegion
from hand_pose_ros.settings import AUTO, ModelSettings

#: Pixels along a side of the network's image, and of its image in one cell.
DETECTOR_INPUT, CELL = 256, 8
#: Cells along a side.
GRID = DETECTOR_INPUT // CELL
#: Channels of the network's output: log odds of a hand's center, and of a right hand where one is; place in the cell
#: u, v in cells; logarithm of half the square's side in half sides of the image; where the hand points, u and v.
DETECTOR_OUTPUTS = 7


@dataclass(frozen=True)
class DetectedSquare:
    """A hand found in an image.

    Attributes:
        center: (2,) pixels.
        half: half the side of the hand's square, pixels.
        direction: (2,) where it points in the image, see ``regions.perspective.pointing``; of any length.
        side: ``left`` or ``right``.
        score: 0 to 1.

    """

    center: np.ndarray
    half: float
    direction: np.ndarray
    side: str
    score: float


def letterbox(image: np.ndarray) -> tuple[np.ndarray, float, np.ndarray]:
    """Make an image fit the network's square.

    Args:
        image: (H, W, 3) uint8.

    Returns:
        (DETECTOR_INPUT, DETECTOR_INPUT, 3) uint8 with black bars; pixels of the image in one of it; and (2,) where in
        it the image begins.

    """
    height, width = image.shape[:2]
    scale = max(height, width) / DETECTOR_INPUT
    shape = max(1, round(width / scale)), max(1, round(height / scale))
    small = cv2.resize(image, shape, interpolation=cv2.INTER_AREA if scale > 1 else cv2.INTER_LINEAR)
    start = (DETECTOR_INPUT - np.array(shape)) // 2
    out = np.zeros((DETECTOR_INPUT, DETECTOR_INPUT, 3), np.uint8)
    out[start[1] : start[1] + shape[1], start[0] : start[0] + shape[0]] = small
    return out, scale, start


def read_cells(output: np.ndarray, least: float) -> list[tuple[np.ndarray, float, np.ndarray, str, float]]:
    """Find the hands in what the network says of one image.

    Args:
        output: (DETECTOR_OUTPUTS, GRID, GRID).
        least: score below which nothing is a hand.

    Returns:
        Center (2,) and half side in half sides of the network's image (-1 to 1), direction (2,), side and score of
        each, best first; of hands whose centers lie within half their half sides, the best.

    """
    scores = 1 / (1 + np.exp(-np.clip(output[0].astype(float), -30, 30)))
    rows, columns = np.nonzero((scores >= cv2.dilate(scores, np.ones((3, 3), np.uint8))) & (scores >= least))
    found: list[tuple[np.ndarray, float, np.ndarray, str, float]] = []
    for i in np.argsort(-scores[rows, columns]):
        row, column = rows[i], columns[i]
        center = (np.array([column, row]) + output[2:4, row, column]) / GRID * 2 - 1
        half = float(np.exp(np.clip(output[4, row, column], -5, 1)))
        if all(np.linalg.norm(center - other[0]) > 0.5 * max(half, other[1]) for other in found):
            side = 'right' if output[1, row, column] >= 0 else 'left'
            found.append((center, half, output[5:7, row, column].astype(float), side, float(scores[row, column])))
    return found


def detect(
    image: np.ndarray, network: Callable[[np.ndarray], list[np.ndarray]], least: float = 0.3
) -> list[DetectedSquare]:
    """Find hands in an image.

    Args:
        image: (H, W, 3) uint8, red green blue.
        network: takes (1, 3, DETECTOR_INPUT, DETECTOR_INPUT) float32 in [-1, 1], gives one
            (1, DETECTOR_OUTPUTS, GRID, GRID) array.
        least: score below which nothing is a hand.

    """
    square, scale, start = letterbox(image)
    (output,) = network(square.transpose(2, 0, 1)[None].astype(np.float32) / np.float32(127.5) - 1)
    found = []
    for center, half, direction, side, score in read_cells(output[0], least):
        pixels = (center + 1) / 2 * DETECTOR_INPUT - 0.5 - start
        found.append(
            DetectedSquare((pixels + 0.5) * scale - 0.5, half * DETECTOR_INPUT / 2 * scale, direction, side, score)
        )
    return found


@dataclass(frozen=True)
class ColorDetectorConfiguration:
    """Where it is worth to let the pose network decide, which sees more of a hand than the detector does."""

    #: Score from which on a square may be a hand's.
    found: float = 0.15
    #: Squares given at most.
    most: int = 4
    #: Without a square of this score, a hand may be where the detector does not see it.
    likely: float = 0.4
    #: Searches without a tracked hand between guesses where such a hand might be.
    guess_every: int = 3
    #: Half side of such a guess, as a share of the image's shorter side, and the ways in which it may point.
    guess_half: float = 0.55
    guess_directions: tuple[tuple[float, float], ...] = ((0.0, -1.0), (1.0, 0.0), (-1.0, 0.0))
    #: Log odds that the detector's side is worth: which side is estimated first, and little more.
    handedness_logit: float = 0.3
    #: Two squares whose centers are so close are one hand, in half sides of the larger.
    apart: float = 0.55


class ColorDetector:
    """Finds hands by a network on the whole color image.

    Hands that fill the image are what it sees least well; while none is tracked, such a one is guessed now and then.

    Raises:
        ModelError: the model is missing or damaged.
        EngineError: the engine is not installed.

    """

    needs = frozenset({Channel.COLOR})

    def __init__(
        self,
        settings: ModelSettings,
        timer: StageTimer,
        configuration: ColorDetectorConfiguration = ColorDetectorConfiguration(),
    ) -> None:
        self._engine = open_engine(find_model(AUTO, DETECTOR), settings.engine, settings.threads, settings.precision)
        warm_up(self._engine)
        self.description = f'{self._engine.description}, {DETECTOR}'
        self._timer = timer
        self._configuration = configuration
        self._searches_since_guess = configuration.guess_every

    def detect(self, frame: CameraFrame, tracked: Sequence[PerspectiveRegion]) -> list[Detection]:
        """See ``HandDetector.detect``."""
        with self._timer('localize'):
            assert frame.color is not None
            limits = self._configuration
            squares = detect(frame.color[..., ::-1], self._engine, limits.found)[: limits.most]
            found: list[Detection] = []
            for square in squares:
                region = PerspectiveRegion.of_square(
                    frame.camera, square.center, square.half, square.direction, mirror=square.side == 'left'
                )
                if distinct(region, [*tracked, *(one.region for one in found)], limits.apart):
                    found.append(Detection(region, square.score, limits.handedness_logit))
            if not tracked and not any(square.score >= limits.likely for square in squares):
                found += self._guess(frame.camera)
            return found

    def _guess(self, camera: Camera) -> list[Detection]:
        limits = self._configuration
        self._searches_since_guess += 1
        if self._searches_since_guess < limits.guess_every:
            return []
        self._searches_since_guess = 0
        middle = np.array([camera.width - 1, camera.height - 1]) / 2
        half = limits.guess_half * min(camera.width, camera.height)
        regions = (PerspectiveRegion.of_square(camera, middle, half, way) for way in limits.guess_directions)
        return [Detection(region, limits.found) for region in regions]
