"""How far a command is in a recording."""

from __future__ import annotations

import sys
import time
from contextlib import suppress


class FrameProgress:
    """Frames done, their rate and the time left, on stderr: a line that changes on a terminal, else one at times.

    Args:
        limit: frames to do at most; None for all.
        count: frames that there are; None where that is not known.

    """

    def __init__(self, limit: int | None, count: int | None) -> None:
        self._total = min((n for n in (limit, count) if n is not None), default=None)
        self._live = sys.stderr.isatty()
        self._begun = self._shown = time.monotonic()

    def show(self, count: int) -> None:
        """Say that ``count`` frames are done, unless it was said a moment ago."""
        now = time.monotonic()
        if now - self._shown < (0.2 if self._live else 10.0):
            return
        self._shown = now
        rate = count / (now - self._begun)
        text = f'{count}{f"/{self._total}" if self._total else ""} frames, {rate:.1f} a second'
        if self._total:
            text += f', {(self._total - count) / rate:.0f} s left'
        _say(f'\r\033[K{text}' if self._live else f'{text}\n')

    def close(self) -> None:
        """Leave the terminal's line empty."""
        if self._live:
            _say('\r\033[K')


def _say(text: str) -> None:
    """Write to stderr; a terminal that is gone must not cost the results."""
    with suppress(OSError):
        print(text, end='', file=sys.stderr, flush=True)
