"""Ends of commands that write results: a request to terminate is an interrupt, so that what there is becomes whole."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass


@dataclass
class Interruption:
    """Whether and how a command was ended from outside.

    Attributes:
        exit_code: 0 while it was not; 130 after Ctrl-C, 143 after a request to terminate, as shells have it.

    """

    exit_code: int = 0


@contextmanager
def interruptible() -> Iterator[Interruption]:
    """Run a block that Ctrl-C or a request to terminate ends in order; says afterwards whether that was so."""
    found = Interruption()

    def terminate(number: int, frame: object) -> None:
        found.exit_code = 128 + number
        raise KeyboardInterrupt

    ours = threading.current_thread() is threading.main_thread()  # no other may set handlers
    before = signal.signal(signal.SIGTERM, terminate) if ours else None
    try:
        yield found
    except KeyboardInterrupt:
        found.exit_code = found.exit_code or 128 + signal.SIGINT
    finally:
        if ours:
            signal.signal(signal.SIGTERM, before)
