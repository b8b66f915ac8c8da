"""A search at several scales, for photographs: small hands in parts of the image, large ones in more than it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np

from hand_pose_ros.core.frame import CameraFrame
from hand_pose_ros.detection.base import Detection, HandDetector
from hand_pose_ros.regions.base import distinct
from hand_pose_ros.regions.perspective import PerspectiveRegion


@dataclass(frozen=True)
class ScalesConfiguration:
    """Where a photograph is searched."""

    #: Parts along a side, and how much of the image's side each one has; they overlap.
    parts: tuple[tuple[int, float], ...] = ((2, 0.62), (3, 0.42))
    #: Parts smaller than this along their shorter side show nothing that the whole does not, pixels.
    least_pixels: int = 96
    #: Border around the image, as a share of its longer side: a hand that fills the image is a smaller one in it.
    border: float = 0.5
    #: What is found in a part is another hand only when it is so far from those found in more of the image, in half
    #: sides of the larger region: a finger resembles a hand where one sees nothing else.
    apart: float = 1.0
    #: Share of a region's side about its center that must be in the part: what is cut off is found in another.
    inside: float = 0.5


class ScalesDetector:
    """Another detector, on the whole image, on the image in a border and on overlapping parts of it.

    Regions are directions from the camera, which no part of the image changes: what is found in a part is found in the
    whole.

    Args:
        detector: searches each.
        configuration: where.

    """

    def __init__(self, detector: HandDetector[Any], configuration: ScalesConfiguration = ScalesConfiguration()) -> None:
        self._detector, self._configuration = detector, configuration
        self.needs = detector.needs
        self.description = f'{detector.description}, at several scales'

    def detect(self, frame: CameraFrame, tracked: Sequence[PerspectiveRegion]) -> list[Detection]:
        """See ``HandDetector.detect``; what more of the image shows comes first."""
        limits, found = self._configuration, list[Detection]()
        for each in views_of(frame, limits):
            known = [*tracked, *(one.region for one in found)]
            for one in self._detector.detect(each, known):
                assert isinstance(one.region, PerspectiveRegion)
                if distinct(one.region, known, limits.apart) and self._is_inside(one.region, each, frame):
                    found.append(one)
        return found

    def _is_inside(self, region: PerspectiveRegion, part: CameraFrame, frame: CameraFrame) -> bool:
        """Whether the middle of a region is in a part of the frame, as far as it is in the frame."""
        corners = self._configuration.inside * np.array([[-1.0, -1], [1, -1], [-1, 1], [1, 1]])
        whole = np.clip(region.to_pixels(corners, frame.camera), 0, (frame.camera.width, frame.camera.height))
        pixels = whole + (part.camera.cx - frame.camera.cx, part.camera.cy - frame.camera.cy)
        return bool(((pixels >= 0) & (pixels <= (part.camera.width, part.camera.height))).all())


def views_of(frame: CameraFrame, limits: ScalesConfiguration = ScalesConfiguration()) -> Iterator[CameraFrame]:
    """Yield a frame of color as a whole, in a border of its edge's pixels, and overlapping parts of it."""
    yield frame
    assert frame.color is not None
    camera, image = frame.camera, frame.color
    border = round(limits.border * max(camera.width, camera.height))
    around = cv2.copyMakeBorder(image, border, border, border, border, cv2.BORDER_REPLICATE)
    yield _moved(frame, around, -border, -border)
    for count, share in limits.parts:
        width, height = round(share * camera.width), round(share * camera.height)
        if min(width, height) < limits.least_pixels:
            continue
        for top in np.linspace(0, camera.height - height, count).astype(int).tolist():
            for left in np.linspace(0, camera.width - width, count).astype(int).tolist():
                yield _moved(frame, image[top : top + height, left : left + width], left, top)


def _moved(frame: CameraFrame, image: np.ndarray, left: int, top: int) -> CameraFrame:
    """The frame whose image begins at another pixel of the frame's."""
    height, width = image.shape[:2]
    camera = replace(frame.camera, width=width, height=height, cx=frame.camera.cx - left, cy=frame.camera.cy - top)
    return CameraFrame(camera, frame.stamp_s, np.ascontiguousarray(image))
