"""What differs between depth, color and RGB-D in tracking: the parts, and how much their word is worth.

Distances between regions are in half sides of a region, which is ``CUBE_PER_HAND`` times the hand's size, so that a
child's hand is treated as an adult's.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import pi

from hand_pose_ros.regions.base import View


@dataclass(frozen=True)
class FurtherRound:
    """One more estimate of hands in the same frame, in the region where they were found.

    It is made where the region before was far off, and where one of these says so.
    """

    #: What is shown.
    views: tuple[View, ...]
    #: At hands that are new.
    at_new: bool = False
    #: At hands that are not estimated clearly.
    at_unclear: bool = False
    #: At all for which the round before was made.
    at_all_before: bool = False
    #: What was estimated in a region that was far off does not count.
    replaces_far: bool = False


@dataclass(frozen=True)
class HandednessConfiguration:
    """How frames add up to a track's side, in log odds."""

    #: Weight of the past, each frame.
    memory: float = 0.95
    #: What one frame can add at most.
    step: float = 3.0
    #: From which on a track is sure of its side and is not estimated as the other side's.
    sure: float = 12.0
    #: Two hands in view are more often a pair than two of one side: below this, the less sure one gives way.
    pair: float = 2.0
    #: What a meter of distance costs the one of two hands of one side that gives way.
    pair_per_m: float = 0.0


@dataclass(frozen=True)
class VerificationConfiguration:
    """When a tracked hand is still one, where a detector verifies hands."""

    #: Frames from one verification of a hand to the next, once it is confirmed and while nothing speaks against it.
    every: int = 2
    #: A hand is doubted below this probability, and lost when what is remembered falls below it.
    lost: float = 0.2
    #: Weight of the past in the probability, each frame: fists that point at the camera look like none for a while.
    memory: float = 0.9
    #: A verified center farther off than this moves the region: of small motions the last joints know more.
    moved: float = 0.25
    #: A hand that is doubted must fill its region as before, within this factor.
    same_coverage: float = 1.5


@dataclass(frozen=True)
class TrackingConfiguration:
    """A modality's parts, by their registered names, and thresholds."""

    detector: str
    #: One, or one for color and one for depth, which are fused.
    estimators: tuple[str, ...]
    #: Estimates made beyond the first of a frame.
    rounds: tuple[FurtherRound, ...]
    handedness: HandednessConfiguration = HandednessConfiguration()
    verification: VerificationConfiguration = VerificationConfiguration()
    #: Views of a hand that is new, at least.
    new_views: int = 1
    #: A new hand is tracked from this presence on, and a tracked one is lost below the second.
    found: float = 0.0
    lost: float = 0.0
    #: An estimate is clear from this presence on, if no joint's confidence is below the second.
    clear: float = 0.6
    clear_joint: float = 0.4
    #: A region was far off when the hand's own lies further beside it, is larger or smaller by more than a factor of
    #: e to this, or turned by more than this.
    far_shift: float = 0.16
    far_log_scale: float = 0.12
    far_turn_rad: float = 2 * pi
    #: Two hands whose regions are closer than this are one.
    apart: float = 0.55
    #: A new hand this close to one that was lost in the same frame is that one; 0 for never.
    jump: float = 0.0
    #: Weight of the past in a region's size, each frame: bones do not grow.
    size_memory: float = 0.0
    #: Frames between searches for further hands while one is tracked.
    search_every: int = 6
    #: Detections estimated in a search beyond the hands that may still be tracked: the estimator decides.
    spare_detections: int = 0
    #: A hand beside others is reported once its score has been this high, and the largest of them no larger than by
    #: this factor: an adult's hand is 1.8 times a small child's.
    confirmed: float = 0.0
    confirmed_size_factor: float = 1.8
    #: Score that a meter of distance costs a hand against another one of its side.
    score_per_m: float = 0.0
    #: Time between frames that carry no stamp, seconds.
    frame_time_s: float = 1 / 30


DEPTH = TrackingConfiguration(
    detector='depth_cells',
    estimators=('depth_network',),
    rounds=(
        FurtherRound((View(pi / 2), View(pi), View(3 * pi / 2)), at_unclear=True, replaces_far=True),
        FurtherRound((View(),), at_all_before=True),
    ),
    handedness=HandednessConfiguration(pair_per_m=8.0),
    new_views=4,
    jump=1.9,
    size_memory=0.85,
    search_every=5,
    confirmed=0.84,
    score_per_m=0.5,
)

#: Color by our own networks. From 0.65 to 0.85 the presence that a new hand must have costs 4 of 100 hands in
#: photographs, and spares one false one of 206 where there is none.
COLOR = TrackingConfiguration(
    detector='color_detector',
    estimators=('color_network',),
    rounds=tuple(FurtherRound((view,), at_new=True) for view in (View(), View(0.15), View(-0.15, 1.05))),
    found=0.65,
    lost=0.25,
    far_shift=0.17,
    far_log_scale=0.2,
    far_turn_rad=0.35,
    spare_detections=2,
)

#: Color by MediaPipe's networks. Its palms' regions are what its landmarks want, so that one further round is enough; a
#: view from farther away tells hands from what only resembles one nearby. Presence must be high for a new hand, since
#: most of what is estimated then is none: of 643 photographs without hands one is taken for a hand, a foot.
MEDIAPIPE = replace(
    COLOR,
    detector='palms_and_squares',
    estimators=('mediapipe_landmarks',),
    rounds=(FurtherRound((View(), View(zoom=0.8)), at_new=True),),
    found=0.75,
    lost=0.4,
)

RGBD = replace(COLOR, estimators=('color_network', 'depth_network'))

#: By the parameter ``modality``.
CONFIGURATIONS = {'depth': DEPTH, 'color': COLOR, 'rgbd': RGBD}
