"""A hand that is followed through frames: what depth and colour have in common of it."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from hand_pose_ros.hand_model.fitting import FitState
from hand_pose_ros.pipeline.smoothing import OneEuroFilter

#: Weight of the past in a track's belief in a side, each frame.
SIDE_MEMORY = 0.95
#: Log odds of a side that one frame can add, and from which on a track is sure of its side and looks only there.
SIDE_STEP, SIDE_SURE = 3.0, 12.0
#: Two hands in view are more often a pair than two of one side: below these log odds of its own, one gives way.
PAIR_ODDS = 2.0
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

    def give_way(self) -> bool:
        """Believe in the other side, as another hand in view is of this one, unless sure enough; returns whether it does."""
        if abs(self.right_odds) >= PAIR_ODDS:
            return False
        self.right_odds = -0.01 if self.side == 'right' else 0.01
        return True
