"""What this machine is, in words, for reports that state figures measured on it."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from pathlib import Path

#: Instruction sets that decide how fast networks run, by the flags that Linux gives them: of x86-64 and of aarch64.
INSTRUCTION_SETS = {
    'avx2': 'AVX2',
    'avx512f': 'AVX-512',
    'avx_vnni': 'VNNI',
    'avx512_vnni': 'VNNI',
    'amx_int8': 'AMX',
    'asimd': 'NEON',
    'asimddp': 'dot product',
    'i8mm': 'int8 matrices',
}
CPU_INFO = Path('/proc/cpuinfo')
#: What oneDNN, which OpenVINO computes with, takes to leave newer instruction sets alone, and what that leaves.
ISA_VARIABLE = 'ONEDNN_MAX_CPU_ISA'
IMITATED = {'avx2': 'AVX2'}


def processor_name() -> str:
    """Return the processor's name, or its architecture where the system does not name it."""
    return next(iter(_cpu_info('model name')), platform.machine())


def instruction_sets() -> list[str]:
    """Return which of ``INSTRUCTION_SETS`` the processor has; none where the system does not say."""
    flags = {flag for name in ('flags', 'Features') for line in _cpu_info(name) for flag in line.split()}
    return list(dict.fromkeys(words for flag, words in INSTRUCTION_SETS.items() if flag in flags))


def imitated_isa(environment: Mapping[str, str] = os.environ) -> str:
    """Return the older processor that networks are to be computed as on, e.g. ``avx2``, or an empty string."""
    isa = environment.get(ISA_VARIABLE, '').lower()
    return isa if isa in IMITATED else ''


def _cpu_info(name: str) -> list[str]:
    lines = CPU_INFO.read_text().splitlines() if CPU_INFO.is_file() else []
    return [line.split(':', 1)[1].strip() for line in lines if line.split(':', 1)[0].strip() == name]


def usable_cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count() or 1


def describe_machine() -> str:
    """Return one line: system, architecture, processor, its instruction sets, cores, Python."""
    able = ' '.join(instruction_sets()) or 'instruction sets unknown'
    if isa := imitated_isa():
        able += f' (imitates one with {IMITATED[isa]} alone: times are right relative to one another)'
    return (
        f'{platform.system()} {platform.machine()}, {processor_name()}, {able}, {usable_cores()} cores, '
        f'Python {platform.python_version()}'
    )
