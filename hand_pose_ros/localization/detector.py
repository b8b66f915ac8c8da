"""What the hand detector takes and gives, as training and run time share it: hands in a whole colour image.

A network sees the image made to fit a square and says, for each cell of a grid, how likely a hand has its centre there
and is a right one, where in the cell, and how large the hand's square is (as CenterNet does: Zhou, Wang, Kraehenbuehl,
"Objects as Points", 2019, without its class for everything else).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np

#: Pixels along a side of the network's image, and of its image in one cell.
DETECTOR_INPUT, CELL = 256, 8
#: Cells along a side.
GRID = DETECTOR_INPUT // CELL
#: Channels of the network's output: log odds of a hand's centre, and of a right hand where one is; place in the cell u, v in
#: cells; logarithm of half the square's side in half sides of the image; where the hand points, u and v.
DETECTOR_OUTPUTS = 7


@dataclass(frozen=True)
class Detection:
    """A hand found in an image.

    Attributes:
        centre: (2,) pixels.
        half: half the side of the hand's square, pixels.
        direction: (2,) where it points in the image, see ``color_crop.pointing``; of any length.
        side: ``left`` or ``right``.
        score: 0 to 1.

    """

    centre: np.ndarray
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
    out[start[1]:start[1] + shape[1], start[0]:start[0] + shape[0]] = small
    return out, scale, start


def read_cells(output: np.ndarray, least: float) -> list[tuple[np.ndarray, float, np.ndarray, str, float]]:
    """Find the hands in what the network says of one image.

    Args:
        output: (DETECTOR_OUTPUTS, GRID, GRID).
        least: score below which nothing is a hand.

    Returns:
        Centre (2,) and half side in half sides of the network's image (-1 to 1), direction (2,), side and score of
        each, best first; of hands whose centres lie within half their half sides, the best.

    """
    scores = 1 / (1 + np.exp(-np.clip(output[0].astype(float), -30, 30)))
    rows, columns = np.nonzero((scores >= cv2.dilate(scores, np.ones((3, 3), np.uint8))) & (scores >= least))
    found = []
    for i in np.argsort(-scores[rows, columns]):
        row, column = rows[i], columns[i]
        centre = (np.array([column, row]) + output[2:4, row, column]) / GRID * 2 - 1
        half = float(np.exp(np.clip(output[4, row, column], -5, 1)))
        if all(np.linalg.norm(centre - other[0]) > 0.5 * max(half, other[1]) for other in found):
            side = 'right' if output[1, row, column] >= 0 else 'left'
            found.append((centre, half, output[5:7, row, column].astype(float), side, float(scores[row, column])))
    return found


def detect(image: np.ndarray, network: Callable[[np.ndarray], list[np.ndarray]], least: float = 0.3) -> list[Detection]:
    """Find hands in an image.

    Args:
        image: (H, W, 3) uint8, red green blue.
        network: takes (1, 3, DETECTOR_INPUT, DETECTOR_INPUT) float32 in [-1, 1], gives one
            (1, DETECTOR_OUTPUTS, GRID, GRID) array.
        least: score below which nothing is a hand.

    """
    square, scale, start = letterbox(image)
    output, = network(square.transpose(2, 0, 1)[None].astype(np.float32) / np.float32(127.5) - 1)
    found = []
    for centre, half, direction, side, score in read_cells(output[0], least):
        pixels = (centre + 1) / 2 * DETECTOR_INPUT - 0.5 - start
        found.append(Detection((pixels + 0.5) * scale - 0.5, half * DETECTOR_INPUT / 2 * scale, direction, side,
                               score))
    return found
