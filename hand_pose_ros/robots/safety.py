"""When commands to a robot may be sent: one policy for all that hands move.

Nothing moves before the clutch was held for a while with the hand in view. Without a fresh hand, whatever the reason
(hand, camera or tracker), the policy first holds, then disengages, by a clock that only goes forward. Once it
disengaged, the clutch must be released and held again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from math import inf


class Phase(Enum):
    """What the policy lets through."""

    IDLE = 'idle'
    ENGAGING = 'engaging'
    FOLLOWING = 'following'
    HOLDING = 'holding'


@dataclass(frozen=True)
class SafetyLimits:
    """Times of the policy, seconds; see ``SafetySettings``."""

    engage_hold: float = 1.0
    engage_timeout: float = 0.0
    hold_after: float = 0.1
    disengage_after: float = 0.25
    max_age: float = 0.3
    ramp: float = 0.5


class SafetyPolicy:
    """The state of the clutch and of the hand; ``now`` is a steady clock's time in seconds, everywhere.

    Attributes:
        phase: what is let through: commands in ``FOLLOWING`` only.
        reason: why it last changed, for people.

    """

    def __init__(self, limits: SafetyLimits, on_change: Callable[[Phase], None] = lambda before: None) -> None:
        """Start idle.

        Args:
            limits: the times.
            on_change: called after every change, with the phase before it.

        """
        self.phase = Phase.IDLE
        self.reason = 'not engaged yet'
        self._limits, self._on_change = limits, on_change
        self._pressed_until = -inf
        self._released = True  # since it last disengaged
        self._since = inf  # when the clutch began to be held with the hand in view
        self._resumed = inf  # when following last began
        self._fresh = -inf  # when the last fresh hand came
        self._track: int | None = None

    def clutch(self, pressed: bool, now: float) -> None:
        """The clutch is pressed or released; a pressed one must be repeated where ``engage_timeout`` says so."""
        timeout = self._limits.engage_timeout
        if not pressed:
            self._pressed_until, self._released = -inf, True
            self._disengage('the clutch was released')
            return
        self._pressed_until = now + timeout if timeout else inf
        if self.phase is Phase.IDLE and self._released:
            self._released, self._since = False, inf
            self._change(Phase.ENGAGING, 'the clutch is held')

    def stop(self) -> None:
        """``teleop/stop``: disengage at once."""
        self._disengage('teleop/stop')

    def other_side(self, track: int) -> None:
        """A hand of the other side became its primary one; the followed track itself, changed: disengage at once."""
        if track == self._track:
            self._track = None
            self._disengage('the hand changed its side')

    def refuse(self, reason: str) -> None:
        """Something that a command needs is missing, or wrong: disengage at once."""
        self._disengage(reason)

    def primary(self, track: int) -> None:
        """The followed side's hand is this track; another than before disengages at once."""
        if track != self._track and self._track is not None:
            self._disengage('another hand became the primary one')
        self._track = track

    def hand(self, now: float, age: float) -> bool:
        """A hand came; returns whether its image is fresh enough to move anything.

        Args:
            now: see the class.
            age: of its image, seconds. One from the future is no fresher than one as long ago.

        """
        if self._limits.max_age and not abs(age) <= self._limits.max_age:
            return False
        self.tick(now)
        gap = now - self._fresh
        self._fresh = now
        if self.phase is Phase.HOLDING or (self.phase is Phase.FOLLOWING and gap > self._limits.hold_after):
            self._resumed = now
            self._change(Phase.FOLLOWING, 'the hand is back')
        elif self.phase is Phase.ENGAGING:
            self._since = min(self._since, now)
            if now - self._since >= self._limits.engage_hold:
                self._resumed = now
                self._change(Phase.FOLLOWING, 'engaged')
        return True

    def tick(self, now: float) -> None:
        """Let time pass; to be called often, whether or not anything comes."""
        if self.phase is Phase.IDLE:
            return
        gap = now - self._fresh
        if now > self._pressed_until:
            self._released = True  # nobody holds it any more
            self._disengage('the clutch was not repeated in time')
        elif self.phase is Phase.ENGAGING:
            if gap > self._limits.hold_after and self._since < inf:
                self._since = inf
                self._change(Phase.ENGAGING, f'no fresh hand for {self._limits.hold_after:g} s, the hold begins anew')
        elif gap > self._limits.disengage_after:
            self._disengage(f'no fresh hand for {self._limits.disengage_after:g} s')
        elif gap > self._limits.hold_after and self.phase is Phase.FOLLOWING:
            self._change(Phase.HOLDING, f'no fresh hand for {self._limits.hold_after:g} s')

    def speed(self, now: float) -> float:
        """Share of the speed limits that holds now: rises from 0 to 1 after it engaged and after every gap."""
        if self.phase is not Phase.FOLLOWING:
            return 0.0
        return min((now - self._resumed) / self._limits.ramp, 1.0) if self._limits.ramp else 1.0

    def _disengage(self, reason: str) -> None:
        if self.phase is not Phase.IDLE:
            self._change(Phase.IDLE, reason)

    def _change(self, phase: Phase, reason: str) -> None:
        before, self.phase, self.reason = self.phase, phase, reason
        self._on_change(before)
