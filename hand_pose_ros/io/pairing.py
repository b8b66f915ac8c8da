"""Colour and depth images of one moment, brought together from two streams."""

from __future__ import annotations

from typing import Generic, TypeVar

C, D = TypeVar('C'), TypeVar('D')

#: Two images belong together when their stamps are no further apart, nanoseconds: half a frame at 30 Hz.
TOGETHER = 17_000_000


class DepthPairing(Generic[C, D]):
    """Holds a colour image until the depth image of its moment has come, or the next colour image.

    Both methods return what is complete now: colour images in order, each with its depth image or None.
    """

    def __init__(self) -> None:
        self._waiting: tuple[int, C] | None = None
        self._depth: tuple[int, D] | None = None

    def color(self, stamp: int, image: C) -> list[tuple[C, D | None]]:
        """Take a colour image, its stamp in nanoseconds."""
        ready = self.rest()
        if self._depth is not None and abs(stamp - self._depth[0]) <= TOGETHER:
            ready.append((image, self._depth[1]))
        else:
            self._waiting = stamp, image
        return ready

    def depth(self, stamp: int, image: D) -> list[tuple[C, D | None]]:
        """Take a depth image, its stamp in nanoseconds."""
        self._depth = stamp, image
        if self._waiting is None or abs(stamp - self._waiting[0]) > TOGETHER:
            return []
        return [(one, image) for one, _ in self.rest()]

    def rest(self) -> list[tuple[C, D | None]]:
        """Give back the colour image that still waits, without depth."""
        waiting, self._waiting = self._waiting, None
        return [(waiting[1], None)] if waiting else []
