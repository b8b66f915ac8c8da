"""Ends of commands that write results: a request to terminate is an interrupt, so that what there is becomes whole."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

#: What asks a process to end: `kill` and the system; a terminal that was closed, or whose connection was lost.
_TERMINATIONS = tuple(getattr(signal, name) for name in ('SIGTERM', 'SIGHUP') if hasattr(signal, name))


@dataclass
class Interruption:
    """Whether and how a command was ended from outside.

    Attributes:
        exit_code: 0 while it was not; 130 after Ctrl-C, 143 after a request to terminate and 129 after the terminal
            was closed, as shells have it.

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
    before = on_termination(terminate) if ours else {}
    try:
        yield found
    except KeyboardInterrupt:
        found.exit_code = found.exit_code or 128 + signal.SIGINT
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def on_termination(handle: Callable[[int, object], object]) -> dict[int, Any]:
    """Have every request to terminate handled so; returns the handlers before, by their signals.

    What is ignored stays so: `nohup` has commands outlive their terminal.
    """
    before = {number: signal.getsignal(number) for number in _TERMINATIONS}
    replaced = {number: handler for number, handler in before.items() if handler != signal.SIG_IGN}
    for number in replaced:
        signal.signal(number, handle)
    return replaced
