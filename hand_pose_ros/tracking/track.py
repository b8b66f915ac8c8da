"""A hand that is tracked, and its side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from hand_pose_ros.core.hand import HandEstimate
from hand_pose_ros.geometry.joints import SIDES, hand_center
from hand_pose_ros.hand_model.inverse_kinematics import HandShapeState
from hand_pose_ros.regions.base import HandRegion
from hand_pose_ros.tracking.configuration import HandednessConfiguration
from hand_pose_ros.tracking.one_euro import OneEuroFilter


@dataclass(kw_only=True, eq=False)
class Track:
    """A hand that is tracked from frame to frame.

    Attributes:
        track_id: stays with the hand.
        region: where it is looked for next; of the side that the track believes in.
        right_logit: log odds that it is a right hand, as its frames add up to.
        estimate: of the frame in work.
        frames: in which it was found.
        presence: probability that it is a hand, as a detector verified it.
        doubtful: whether the last verification said that it is none.
        confirmed: whether its score was once high enough to be reported beside other hands.
        coverage: share of its region's image in which depth showed something; None without depth.
        size_m: of the hand (``geometry.joints.hand_size``), once depth has measured it.
        elapsed_s: seconds between the last two frames.
        shape: what inverse kinematics has learned of the hand.
        filter: of its joints.
        last_joints: (21, 3) that articulated ICP began with in the last frame.

    """

    track_id: int
    region: HandRegion
    right_logit: float
    estimate: HandEstimate = field(init=False)
    frames: int = 0
    presence: float = 1.0
    doubtful: bool = False
    confirmed: bool = False
    coverage: float | None = None
    size_m: float | None = None
    elapsed_s: float = 0.0
    shape: HandShapeState = field(default_factory=HandShapeState)
    filter: OneEuroFilter = field(default_factory=OneEuroFilter)
    last_joints: np.ndarray | None = None

    @property
    def side(self) -> str:
        """The side that the track believes in."""
        return 'right' if self.right_logit >= 0 else 'left'

    def sure(self, limits: HandednessConfiguration) -> bool:
        """Whether it need not be estimated as the other side's hand."""
        return abs(self.right_logit) >= limits.sure

    def update_handedness(self, own: float, other: float | None, limits: HandednessConfiguration) -> bool:
        """Add a frame's evidence.

        Args:
            own: log odds that the hand is of the track's side, estimated in a region of that side.
            other: log odds that it is of the other side, estimated as such; None where it was not.
            limits: how frames add up.

        Returns:
            Whether the track now believes in the other side; its region is mirrored then.

        """
        before = self.side
        logit = float(np.clip(own if other is None else own - other, -limits.step, limits.step))
        self.right_logit = limits.memory * self.right_logit + logit * (1 if before == 'right' else -1)
        return self._mirror_if_needed()

    def take_other_side(self) -> None:
        """Believe in the other side, by a little."""
        self.right_logit = -0.01 if self.side == 'right' else 0.01
        self._mirror_if_needed()

    def _mirror_if_needed(self) -> bool:
        if self.region.side == self.side:
            return False
        self.region = self.region.mirrored()
        return True


def resolve_pair(tracks: Sequence[Track], may_change: Sequence[Track], limits: HandednessConfiguration) -> Track | None:
    """Where two hands are of one side, let the least sure one take the other, unless its odds are clear.

    What is much farther is rather mistaken for a hand of that side. More than two hands are not one person's.

    Args:
        tracks: all hands.
        may_change: those of them that may take the other side.
        limits: when odds are clear.

    Returns:
        The one that took the other side; None where none did.

    """
    if not may_change or len({track.side for track in tracks}) == len(tracks) or len(tracks) > len(SIDES):
        return None

    def sureness(track: Track) -> float:
        return abs(track.right_logit) - limits.pair_per_m * float(hand_center(track.estimate.joints)[2])

    other = min(may_change, key=sureness)
    if abs(other.right_logit) >= limits.pair:
        return None
    other.take_other_side()
    return other
