"""How long the stages of a frame take."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager


class StageTimer:
    """Adds up the time of each stage: ``with stages('crop'): ...``.

    Args:
        names: of the stages that every frame has, in order.

    Attributes:
        seconds: of each stage since :meth:`begin`.

    """

    def __init__(self, names: tuple[str, ...] = ()) -> None:
        self.names = names
        self.seconds: dict[str, float] = {}

    def begin(self) -> None:
        """Start a frame: no stage has taken any time yet."""
        self.seconds = dict.fromkeys(self.names, 0.0)

    @contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        """Add the time of the block to a stage."""
        begun = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - begun
