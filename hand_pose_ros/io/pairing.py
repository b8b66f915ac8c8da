"""Pairs of color and depth images of one moment, from two streams."""

from __future__ import annotations

from typing import Generic, TypeVar

C = TypeVar('C')
D = TypeVar('D')

#: What to do where depth is not registered to color.
REGISTER = (
    'depth must be registered to color, pixel for pixel. RealSense: start the driver with align_depth.enable:=true and '
    'read /camera/camera/aligned_depth_to_color/image_raw. Orbbec: depth_registration:=true. Azure Kinect: read '
    'depth_to_rgb/image_raw. ZED: read depth/depth_registered'
)

#: Two images belong together when their stamps are no further apart, nanoseconds: half a frame at 30 Hz.
MAX_STAMP_DIFFERENCE_NS = 17_000_000


class DepthPairing(Generic[C, D]):
    """Holds a color image until the depth image of its moment has come, or the next color image.

    Both methods return what is complete now: color images in order, each with its depth image or None.
    """

    def __init__(self) -> None:
        self._waiting: tuple[int, C] | None = None
        self._depth: tuple[int, D] | None = None

    def color(self, stamp: int, image: C) -> list[tuple[C, D | None]]:
        """Take a color image, its stamp in nanoseconds."""
        ready = self.flush()
        if self._depth is not None and abs(stamp - self._depth[0]) <= MAX_STAMP_DIFFERENCE_NS:
            ready.append((image, self._depth[1]))
        else:
            self._waiting = stamp, image
        return ready

    def depth(self, stamp: int, image: D) -> list[tuple[C, D | None]]:
        """Take a depth image, its stamp in nanoseconds."""
        self._depth = stamp, image
        if self._waiting is None or abs(stamp - self._waiting[0]) > MAX_STAMP_DIFFERENCE_NS:
            return []
        return [(one, image) for one, _ in self.flush()]

    def flush(self) -> list[tuple[C, D | None]]:
        """Return the color image that still waits, without depth."""
        waiting, self._waiting = self._waiting, None
        return [(waiting[1], None)] if waiting else []
