"""What this machine is, in words, for reports that state figures measured on it."""

from __future__ import annotations

import os
import platform
from pathlib import Path


def processor_name() -> str:
    """Return the processor's name, or its architecture where the system does not name it."""
    info = Path('/proc/cpuinfo')
    lines = info.read_text().splitlines() if info.is_file() else []
    names = [line.split(':', 1)[1].strip() for line in lines if line.startswith('model name')]
    return names[0] if names else platform.machine()


def usable_cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count() or 1


def describe_machine() -> str:
    """Return one line: system, architecture, processor, cores, Python."""
    return (
        f'{platform.system()} {platform.machine()}, {processor_name()}, {usable_cores()} cores, '
        f'Python {platform.python_version()}'
    )
