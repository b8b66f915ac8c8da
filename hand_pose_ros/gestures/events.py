"""What happens to a person's hands, from frame to frame: they come and go, show gestures and move. Without ROS."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from hand_pose_ros.core.hand import Hand
from hand_pose_ros.geometry.hand_frame import palm_center
from hand_pose_ros.geometry.joints import FINGER_JOINTS, KNUCKLES, SIDES, WRIST, hand_size
from hand_pose_ros.gestures.library import NONE, GestureLibrary, Pair
from hand_pose_ros.gestures.movements import Moved, Movements
from hand_pose_ros.gestures.recognition import Recognized, recognize
from hand_pose_ros.gestures.shape import CAMERA_UP, Point, angle_deg, facing

#: The side of what both hands do.
BOTH = 'both'
APPEARED, LOST, PRIMARY, GESTURE, MOVEMENT, FINGERS = 'appeared', 'lost', 'primary', 'gesture', 'movement', 'fingers'


@dataclass(frozen=True)
class EventConfiguration:
    """When what goes on is said again."""

    count_hold_s: float = 0.4  # fingers are counted once their number stayed for so long
    ray_turn_deg: float = 5.0  # a ray is sent again when it turned by so much
    ray_period_s: float = 0.1  # but not more often than this


_DEFAULT = EventConfiguration()


@dataclass(frozen=True)
class Ray:
    """Where a finger points.

    Attributes:
        origin: (3,) its tip, meters.
        direction: (3,) unit vector.
        elevation_deg: angle over the horizontal.
        frame: that origin and direction are in; empty for the camera's.

    """

    origin: np.ndarray
    direction: np.ndarray
    elevation_deg: float
    frame: str = ''

    def transformed(self, transform: np.ndarray, frame: str) -> Ray:
        """The same ray in another frame, by the transform (4, 4) to it."""
        turn = transform[:3, :3]
        return Ray(turn @ self.origin + transform[:3, 3], turn @ self.direction, self.elevation_deg, frame)


@dataclass(frozen=True)
class Event:
    """Something that happened.

    Attributes:
        stamp: of the image, seconds.
        side: of the hand, or ``both``.
        track: of the hand; None where it is of both.
        what: ``appeared``, ``lost``, ``primary``, ``gesture``, ``movement`` or ``fingers``.
        name: of the gesture or movement, or the number of fingers; empty for the others.
        onset: when it began, seconds.
        confidence: 0 to 1.
        facing: which side of the hand the camera sees, with gestures of one hand.
        ray: where it points, with gestures that point.

    """

    stamp: float
    side: str
    track: int | None
    what: str
    name: str = ''
    onset: float | None = None
    confidence: float = 1.0
    facing: str = ''
    ray: Ray | None = None

    def to_json(self) -> str:
        """One JSON object, as ``hands/events`` carries it."""
        fields: dict[str, object] = {
            'stamp': self.stamp,
            'side': self.side,
            'track': self.track,
            'what': self.what,
            'name': self.name,
            'onset': self.stamp if self.onset is None else self.onset,
            'confidence': round(self.confidence, 3),
        }
        if self.facing:
            fields['facing'] = self.facing
        if self.ray is not None:
            origin, direction = (np.round(part, 5).tolist() for part in (self.ray.origin, self.ray.direction))
            fields['ray'] = {
                'frame': self.ray.frame,
                'origin': origin,
                'direction': direction,
                'elevation_deg': round(self.ray.elevation_deg, 1),
            }
        return json.dumps(fields)


class SteadyName:
    """A name that changes only once a new one was held for a while (debouncing).

    Attributes:
        name: the one that holds.
        onset: since when, seconds.

    """

    def __init__(self, name: str = NONE) -> None:
        self.name, self.onset = name, 0.0
        self._candidate: str | None = None
        self._since = 0.0

    def update(self, name: str, stamp: float, hold: float) -> bool:
        """Take the name of a frame; returns whether :attr:`name` changed.

        Args:
            name: of this frame.
            stamp: of the frame, seconds; one before the last starts the waiting anew.
            hold: a new name must last so long, seconds.

        """
        if name == self.name:
            self._candidate = None
        elif name != self._candidate or stamp < self._since:
            self._candidate, self._since = name, stamp
        if self._candidate is None or stamp - self._since < hold:
            return False
        self.name, self.onset, self._candidate = name, self._since, None
        return True


class HandEvents:
    """Makes events of the hands of one person.

    Args:
        library: the gestures that there are.
        configuration: when what goes on is said again.

    """

    def __init__(self, library: GestureLibrary, configuration: EventConfiguration = _DEFAULT) -> None:
        self._library, self._configuration = library, configuration
        self._names = {side: SteadyName() for side in SIDES}
        self._movements = {side: Movements(library) for side in SIDES}
        self._pair, self._pair_movements = SteadyName(), Movements(library, hands=2)
        self._count = SteadyName('')
        self._tracks: dict[str, int | None] = dict.fromkeys(SIDES)
        self._seen: dict[str, int | None] = dict.fromkeys(SIDES)
        self._straight: dict[str, tuple[bool, ...] | None] = {}
        self._rays: dict[str, tuple[float, Ray]] = {}

    def gesture(self, side: str) -> str:
        """Name of the gesture that the hand of a side shows."""
        return self._names[side].name

    def presence(self, tracks: Mapping[str, int], stamp: float) -> list[Event]:
        """Take the tracks of the primary hands by side; returns which hands came, went, or are others than before."""
        events = []
        for side in SIDES:
            before, now = self._tracks[side], tracks.get(side)
            if before is not None and before != now:
                events.append(Event(stamp, side, before, LOST))
            if now is not None and before != now:
                events += [Event(stamp, side, now, APPEARED), Event(stamp, side, now, PRIMARY)]
            self._tracks[side] = now
        return events

    def gestures(self, hands: Mapping[str, Hand], stamp: float, hold: float, up: Point = CAMERA_UP) -> list[Event]:
        """Take the primary hands of a frame by side; returns what they begin to show.

        Args:
            hands: in the camera optical frame.
            stamp: of the frame, seconds.
            hold: a form must last so long, seconds.
            up: direction (3,) in the same frame.

        """
        events: list[Event] = []
        for side in SIDES:
            events += self._of_hand(side, hands.get(side), stamp, hold, up)
        if len(hands) == len(SIDES):
            events += self._of_both(hands, stamp, hold)
        elif self._pair.update(NONE, stamp, hold):
            events.append(Event(stamp, BOTH, None, GESTURE, NONE, self._pair.onset))
        events += self._counted(hands, stamp)
        if (
            len(hands) == len(SIDES) and self._pair_movements.going
        ):  # What each hand does for it is no movement of its own.
            events = [event for event in events if event.what != MOVEMENT or event.side == BOTH]
        return events

    def _of_hand(self, side: str, hand: Hand | None, stamp: float, hold: float, up: Point) -> list[Event]:
        steady = self._names[side]
        if hand is not None and hand.track_id != self._seen[side]:
            self._movements[side].reset()
            self._seen[side] = hand.track_id
        track = self._seen[side]
        if hand is None:
            found = Recognized(NONE, 1.0)
        else:
            found = recognize(
                hand.joints, side, confidence=hand.confidence, up=up, before=steady.name, library=self._library
            )
        self._straight[side] = found.straight
        events = []
        changed = steady.update(found.name, stamp, hold)
        ray = None
        if hand is not None and found.name == steady.name:
            ray = self._ray(side, hand, steady.name, stamp, changed, up)
        if changed or ray is not None:
            shown = '' if hand is None else facing(hand.joints, side)
            events.append(Event(stamp, side, track, GESTURE, steady.name, steady.onset, found.confidence, shown, ray))
        if hand is not None:
            moved = self._movements[side].update(stamp, hand.joints, found.name, up)
            events += [_movement(stamp, side, track, one) for one in moved]
        return events

    def _ray(self, side: str, hand: Hand, name: str, stamp: float, anew: bool, up: Point) -> Ray | None:
        """Where a hand points, if its form does and that was not said already."""
        form = self._library.forms.get(name)
        if form is None or not form.ray:
            return None
        knuckle, *_, tip = hand.joints[list(FINGER_JOINTS[form.ray])]
        direction = (tip - knuckle) / max(float(np.linalg.norm(tip - knuckle)), 1e-9)
        limits = self._configuration
        sent, before = self._rays.get(side, (-math.inf, None))
        if not anew and before is not None and 0 <= stamp - sent:
            turned = angle_deg(direction.tolist(), before.direction.tolist())
            if turned < limits.ray_turn_deg or stamp - sent < limits.ray_period_s:
                return None
        self._rays[side] = stamp, Ray(tip, direction, 90 - angle_deg(direction.tolist(), up))
        return self._rays[side][1]

    def _of_both(self, hands: Mapping[str, Hand], stamp: float, hold: float) -> list[Event]:
        left, right = (hands[side].joints for side in SIDES)
        names = {self._names[side].name for side in SIDES}
        shown = next((one.name for one in self._library.pairs.values() if _fits(one, left, right, names)), NONE)
        events = []
        if self._pair.update(shown, stamp, hold):
            events.append(Event(stamp, BOTH, None, GESTURE, self._pair.name, self._pair.onset))
        moved = self._pair_movements.update_pair(stamp, left, right)
        return [*events, *(_movement(stamp, BOTH, None, one) for one in moved)]

    def _counted(self, hands: Mapping[str, Hand], stamp: float) -> list[Event]:
        """The number of fingers held out, once it changed and stayed; nothing where a finger is neither in nor out."""
        states = [self._straight[side] for side in hands]
        known = [one for one in states if one is not None]
        count = str(sum(sum(one) for one in known)) if len(known) == len(states) and known else ''
        if not self._count.update(count, stamp, self._configuration.count_hold_s) or not count:
            return []
        side = BOTH if len(hands) > 1 else next(iter(hands))
        track = None if side == BOTH else hands[side].track_id
        return [Event(stamp, side, track, FINGERS, count, self._count.onset)]


def _movement(stamp: float, side: str, track: int | None, moved: Moved) -> Event:
    return Event(stamp, side, track, MOVEMENT, moved.name, moved.onset, moved.confidence)


def _fits(pair: Pair, left: np.ndarray, right: np.ndarray, names: set[str]) -> bool:
    """Whether two hands (21, 3) make a form of both."""
    length = (hand_size(left) + hand_size(right)) / 2
    reach = pair.within * length
    ways = [(joints[KNUCKLES[1]] - joints[WRIST]).tolist() for joints in (left, right)]
    if not pair.angle[0] <= angle_deg(*ways) <= pair.angle[1] or (pair.forms and not names & set(pair.forms)):
        return False

    def touch(one: np.ndarray, other: np.ndarray) -> bool:
        return all(np.linalg.norm(_point(one, a) - _point(other, b)) <= reach for a, b in pair.touch)

    # Either hand may be the one that touches the other.
    return touch(left, right) or touch(right, left)


def _point(joints: np.ndarray, name: str) -> np.ndarray:
    return joints[FINGER_JOINTS[name][3]] if name in FINGER_JOINTS else palm_center(joints)
