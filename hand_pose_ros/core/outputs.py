"""What a tracker publishes, as plain arrays: for who listens, records or shows it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Keypoints:
    """What ``hands/keypoints`` says of a frame: side -> (21, 3) joints in meters and (21,) confidence."""

    hands: Mapping[str, tuple[np.ndarray, np.ndarray]]


@dataclass(frozen=True)
class JointFrames:
    """What ``hands/<side>/joints`` says: (21, 3) positions in meters, (21, 3, 3) orientations."""

    side: str
    positions: np.ndarray
    rotations: np.ndarray


@dataclass(frozen=True)
class Meshes:
    """What ``hands/markers`` says: side -> (V, 3) vertices in meters and (F, 3) faces."""

    hands: Mapping[str, tuple[np.ndarray, np.ndarray]]


Output = Keypoints | JointFrames | Meshes
