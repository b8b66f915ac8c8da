"""What a tracker asks of a detector."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from hand_pose_ros.core.frame import CameraFrame, Channel
from hand_pose_ros.regions.base import HandRegion, RegionT


@dataclass(frozen=True)
class Detection:
    """A place where a hand may be.

    Attributes:
        region: where to look.
        score: how sure the detector is that a hand is there, 0 to 1.
        handedness_logit: log odds that the hand is of the region's side.

    """

    region: HandRegion
    score: float
    handedness_logit: float = 0.0


class HandDetector(Protocol[RegionT]):
    """Finds where new hands may be.

    Attributes:
        needs: channels that a frame must hold.
        description: engine and model, for people.

    """

    needs: frozenset[Channel]
    description: str

    def detect(self, frame: CameraFrame, tracked: Sequence[RegionT]) -> list[Detection]:
        """Find new hands, the likeliest first; none where ``tracked`` hands are."""
        ...


@dataclass(frozen=True)
class Verification:
    """What a verifier says of a region.

    Attributes:
        region: the same region, moved to where the hand is seen.
        presence: probability that a hand is there.
        coverage: share of the region's image in which depth shows something.

    """

    region: HandRegion
    presence: float
    coverage: float


@runtime_checkable
class HandVerifier(Protocol[RegionT]):
    """Says whether hands that are tracked are still hands; a detector may be one too."""

    def verify(self, frame: CameraFrame, regions: Sequence[RegionT]) -> list[Verification]:
        """Look at each region again."""
        ...
