"""MediaPipe's palm detector: finds hands in a whole color image by their palms.

The network and its anchors are MediaPipe's (Zhang et al., "MediaPipe Hands: On-device Real-time Hand Tracking", 2020,
section 2.1; anchors as in Liu et al., "SSD", 2016, and Bazarevsky et al., "BlazeFace", 2019); what stands about them
here is our own code, which gives the regions that MediaPipe's own graph gives.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from hand_pose_ros.core.frame import CameraFrame, Channel
from hand_pose_ros.core.stage_timer import StageTimer
from hand_pose_ros.detection.base import Detection
from hand_pose_ros.inference.mediapipe_files import PALMS, PALMS_LITE, find_file
from hand_pose_ros.inference.tflite import open_tflite
from hand_pose_ros.regions.base import distinct
from hand_pose_ros.regions.perspective import PerspectiveRegion
from hand_pose_ros.settings import ModelSettings

Network = Callable[[np.ndarray], list[np.ndarray]]


@dataclass(frozen=True)
class PalmConstants:
    """Numbers of the network and of MediaPipe's graph ``palm_detection_cpu``, and two of ours."""

    #: Pixels along a side of the network's image.
    input_pixels: int = 192
    #: Pixels of a cell, and anchors in one, of each of the network's two grids.
    grids: tuple[tuple[int, int], ...] = ((8, 2), (16, 6))
    #: Points of a palm that the network gives; the first is the wrist, the third the middle finger's knuckle.
    points: int = 7
    wrist: int = 0
    middle_knuckle: int = 2
    #: Below this score nothing is a palm. MediaPipe takes 0.5; ours is lower, because the landmark network knows better
    #: what is a hand: of 250 hands in photographs 93 % are found instead of 86 %, and none besides.
    score: float = 0.05
    #: Boxes that overlap by more than this (intersection over union) are one.
    overlap: float = 0.3
    #: The hand's square in palm boxes, and how far ahead of the palm its center lies, in heights of the box.
    square_per_box: float = 2.6
    ahead: float = 0.5
    #: A palm belongs to a tracked hand whose region's center is closer than this, in half sides. Ours: MediaPipe
    #: compares boxes.
    apart: float = 0.55


PALM = PalmConstants()


@dataclass(frozen=True)
class Palm:
    """A palm in an image.

    Attributes:
        box: (4,) left, top, right, bottom, pixels.
        points: (7, 2) pixels.
        score: 0 to 1.

    """

    box: np.ndarray
    points: np.ndarray
    score: float

    def square(self) -> tuple[np.ndarray, float, np.ndarray]:
        """The hand's square: its center (2,) and half its side in pixels, and where the hand points, (2,)."""
        direction = self.points[PALM.middle_knuckle] - self.points[PALM.wrist]
        direction = direction / max(float(np.linalg.norm(direction)), 1e-6)
        size = self.box[2:] - self.box[:2]
        center = (self.box[:2] + self.box[2:]) / 2 + PALM.ahead * size[1] * direction
        return center, PALM.square_per_box / 2 * float(size.max()), direction


def palm_anchors() -> np.ndarray:
    """Centers (2016, 2) of the network's anchors, 0 to 1 over its image; all of one size."""
    anchors = []
    for cell, count in PALM.grids:
        cells = PALM.input_pixels // cell
        v, u = np.mgrid[:cells, :cells]
        anchors.append((np.stack([u, v], -1).reshape(-1, 2) + 0.5).repeat(count, 0) / cells)
    return np.concatenate(anchors)


_ANCHORS = palm_anchors()


def find_palms(image: np.ndarray, network: Network, least: float = PALM.score) -> list[Palm]:
    """Find palms in an image.

    Args:
        image: (H, W, 3) uint8 in bgr order.
        network: takes (1, 192, 192, 3) float32, red green blue, 0 to 1; gives boxes and points (1, 2016, 18), and
            logits (1, 2016, 1).
        least: score below which nothing is a palm.

    Returns:
        Palms, the likeliest first.

    """
    square, scale, start = _letterbox(image)
    boxes, logits = network(square[None, ..., ::-1].astype(np.float32) / np.float32(255))
    scores = 1 / (1 + np.exp(-np.clip(logits[0, :, 0].astype(float), -100, 100)))
    chosen = scores >= least
    found = boxes[0, chosen].astype(float).reshape(-1, 2 + PALM.points, 2) / PALM.input_pixels
    anchors = _ANCHORS[chosen]
    # Center and points lie against the anchor; the second row is the size.
    found[:, [0, *range(2, 2 + PALM.points)]] += anchors[:, None]
    center, size = found[:, 0], found[:, 1]
    corners = np.stack([center - size / 2, center + size / 2], 1)
    merged = merge_palms(np.concatenate([corners, found[:, 2:]], 1), scores[chosen])
    palms = []
    for points, score in merged:
        pixels = (points * PALM.input_pixels - start) * scale - 0.5
        palms.append(Palm(pixels[:2].ravel(), pixels[2:], score))
    return palms


def merge_palms(palms: np.ndarray, scores: np.ndarray) -> list[tuple[np.ndarray, float]]:
    """Average what overlaps the likeliest box, weighted by score (MediaPipe's weighted non-maximum suppression).

    Args:
        palms: (N, 2 + points, 2), each a box's first and last corner, and points.
        scores: (N,).

    Returns:
        Palms (2 + points, 2) with their best scores, the likeliest first.

    """
    left = np.argsort(-scores)
    merged = []
    while len(left):
        same = box_overlap(palms[left[0], :2], palms[left, :2]) > PALM.overlap
        same[0] = True
        group = left[same]
        merged.append((np.average(palms[group], axis=0, weights=scores[group]), float(scores[left[0]])))
        left = left[~same]
    return merged


def box_overlap(box: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """Intersection over union (N,) of a box (2, 2), its first and last corner, with boxes (N, 2, 2)."""
    common = np.minimum(box[1], boxes[:, 1]) - np.maximum(box[0], boxes[:, 0])
    common = np.clip(common, 0, None).prod(1)
    areas = (boxes[:, 1] - boxes[:, 0]).prod(1)
    return common / np.maximum((box[1] - box[0]).prod() + areas - common, 1e-12)


def _letterbox(image: np.ndarray) -> tuple[np.ndarray, float, np.ndarray]:
    """Fit an image into the network's square with black bars: that, pixels in one of it, and where the image begins."""
    height, width = image.shape[:2]
    side = PALM.input_pixels
    scale = max(height, width) / side
    size = max(1, round(width / scale)), max(1, round(height / scale))
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA if scale > 1 else cv2.INTER_LINEAR)
    start = (side - np.array(size)) // 2
    square = np.zeros((side, side, 3), np.uint8)
    square[start[1] : start[1] + size[1], start[0] : start[0] + size[0]] = small
    return square, scale, start


class MediaPipePalms:
    """Hands by MediaPipe's palms.

    The network does not tell sides: regions are of a right hand, with log odds of 0.

    Args:
        file: of ``mediapipe_files.FILES``.
        settings: which engine computes it.
        timer: takes the time of ``localize``.

    Raises:
        ModelError: MediaPipe's files are not on this machine, or are damaged.
        EngineError: OpenVINO is not installed or cannot compute so.

    """

    needs = frozenset({Channel.COLOR})

    def __init__(self, file: str, settings: ModelSettings, timer: StageTimer) -> None:
        self._timer = timer
        self._network = open_tflite(find_file(file), (1,), settings.engine, settings.precision, settings.threads)
        self.model_name = file.removesuffix('.tflite')
        self.description = f'{self._network.description}, {self.model_name}'

    def palms(self, image: np.ndarray, least: float = PALM.score) -> list[Palm]:
        """Find palms in an image (H, W, 3) uint8 in bgr order; see :func:`find_palms`."""
        return find_palms(image, self._network, least)

    def detect(self, frame: CameraFrame, tracked: Sequence[PerspectiveRegion]) -> list[Detection]:
        """See ``HandDetector.detect``."""
        assert frame.color is not None
        with self._timer('localize'):
            palms = self.palms(frame.color)
        found = [Detection(PerspectiveRegion.of_square(frame.camera, *palm.square()), palm.score) for palm in palms]
        return [one for one in found if distinct(one.region, tracked, PALM.apart)]


def mediapipe_palms(settings: ModelSettings, timer: StageTimer) -> MediaPipePalms:
    """Make the full detector."""
    return MediaPipePalms(PALMS, settings, timer)


def mediapipe_palms_lite(settings: ModelSettings, timer: StageTimer) -> MediaPipePalms:
    """Make the lite detector: a third faster, for near hands."""
    return MediaPipePalms(PALMS_LITE, settings, timer)
