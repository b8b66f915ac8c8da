"""A hand that is followed through frames: what depth and colour have in common of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

import numpy as np

from hand_pose_ros.geometry.camera import Camera
from hand_pose_ros.hand_model.fitting import FitState
from hand_pose_ros.hand_model.surface import SurfaceFitter
from hand_pose_ros.images import DepthImage
from hand_pose_ros.localization.crop import CUBE_PER_HAND, cut_view, hand_centre, hand_size
from hand_pose_ros.pipeline.smoothing import OneEuroFilter

#: Weight of the past in a track's belief in a side, each frame.
SIDE_MEMORY = 0.95
#: Log odds of a side that one frame can add, and from which on a track is sure of its side and looks only there.
SIDE_STEP, SIDE_SURE = 3.0, 12.0
#: Two hands in view are more often a pair than two of one side: below these log odds of its own, one gives way.
PAIR_ODDS = 2.0
#: Pixels along a side of the view of a hand that its surface is brought to.
VIEW = 96
#: Time between frames that carry no stamp, seconds.
FRAME_TIME = 1 / 30


@dataclass(kw_only=True, eq=False)
class Track:
    """A hand that is being followed; its side is what the frames so far add up to."""

    number: int
    right_odds: float = 0.0
    frames: int = 0
    fit: FitState = field(default_factory=FitState)
    smooth: OneEuroFilter = field(default_factory=OneEuroFilter)
    last_joints: np.ndarray | None = None

    @property
    def side(self) -> str:
        return 'right' if self.right_odds >= 0 else 'left'

    @property
    def sure(self) -> bool:
        """Whether it needs no look as the other side's hand."""
        return abs(self.right_odds) >= SIDE_SURE

    def hear(self, own: float, other: float | None) -> bool:
        """Take in what a frame says of the side.

        Args:
            own: log odds that the hand is of the track's side, from a look at it as such.
            other: the same of the other side, from a look at it as that one's; None where there was none.

        Returns:
            Whether the track now believes in the other side.

        """
        before = self.side
        odds = float(np.clip(own if other is None else own - other, -SIDE_STEP, SIDE_STEP))
        self.right_odds = SIDE_MEMORY * self.right_odds + odds * (1 if before == 'right' else -1)
        return self.side != before

    def on_surface(self, surfaces: SurfaceFitter, joints: np.ndarray, spread: np.ndarray, depth: DepthImage,
                   camera: Camera, others: Sequence[tuple[np.ndarray, np.ndarray]] = (),
                   elapsed: float = 0.0) -> np.ndarray:
        """Bring this hand's joints (21, 3) to the points that a pinhole's depth image has of it: ``SurfaceFitter.fit``.

        Its speed is told from where its joints were, ``elapsed`` seconds before; without these it counts as at rest.
        """
        known = self.last_joints is not None and elapsed > 0
        speed = np.linalg.norm(joints - self.last_joints, axis=1).mean() / elapsed if known else 0.0
        self.last_joints = joints
        # What is too far away to be a hand is seen past one.
        everything = replace(depth, near=0.0, far=np.inf)
        view = cut_view(everything, camera, hand_centre(joints), CUBE_PER_HAND * hand_size(joints), VIEW)
        return surfaces.fit(joints, spread, self.side, *view, self.fit, others, speed)


_T = TypeVar('_T', bound=Track)


def make_pair(followed: Sequence[_T], among: Sequence[_T],
              sureness: Callable[[_T], float] = lambda track: abs(track.right_odds)) -> _T | None:
    """Where two hands are of one side, have the least sure one believe in the other side, unless its odds are clear.

    Args:
        followed: all hands.
        among: those of them that may take the other side.
        sureness: by which they are compared.

    Returns:
        The one that now believes in the other side.

    """
    if not among or len({track.side for track in followed}) == len(followed):
        return None
    other = min(among, key=sureness)
    if abs(other.right_odds) >= PAIR_ODDS:
        return None
    other.right_odds = -0.01 if other.side == 'right' else 0.01
    return other
