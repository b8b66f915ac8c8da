"""Where the checkout is, what lies beside it, and how a test starts a process of its own there."""

from __future__ import annotations

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SUPPORT = Path(__file__).resolve().parent
#: Data that is not part of the repository: beside the checkout, or where the environment says.
SHARED = Path(os.environ.get('HAND_POSE_SHARED', ROOT.parent / 'shared')).resolve()
#: Recordings, cameras and encodings as public reports have them.
CASES = SHARED / 'cases' / 'input'


def child_environment(*folders: Path, **variables: str) -> dict[str, str]:
    """Return the environment of a process that imports this checkout, the tests' support and modules of ``folders``."""
    return {**os.environ, 'PYTHONPATH': os.pathsep.join(map(str, (*folders, SUPPORT, ROOT))), **variables}
