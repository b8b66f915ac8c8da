"""The safety policy, on a clock that the test moves."""

import pytest

from hand_pose_ros.robots.safety import Phase, SafetyLimits, SafetyPolicy

LIMITS = SafetyLimits(engage_hold=1.0, ramp=0.5)
FRAME = 0.033


class Clock:
    """A policy and the time that it is told."""

    def __init__(self, limits=LIMITS):
        self.now, self.changes = 100.0, []
        self.policy = SafetyPolicy(limits, lambda before: self.changes.append((before, self.policy.phase)))

    def see(self, seconds, age=0.05):
        """Let hands come for a while."""
        end = self.now + seconds
        while self.now < end:
            self.now += FRAME
            self.policy.hand(self.now, age)

    def wait(self, seconds):
        """Let nothing come for a while; returns the phases passed through."""
        end, phases = self.now + seconds, []
        while self.now < end:
            self.now += 0.02
            self.policy.tick(self.now)
            phases.append((self.policy.phase, self.now))
        return phases

    def engage(self):
        self.policy.clutch(False, self.now)
        self.policy.clutch(True, self.now)
        self.see(1.2)
        return self


def test_nothing_before_the_clutch_was_held_with_the_hand_in_view():
    clock = Clock()
    clock.see(3)
    assert clock.policy.phase is Phase.IDLE and clock.policy.speed(clock.now) == 0
    clock.policy.clutch(True, clock.now)
    clock.see(0.9)
    assert clock.policy.phase is Phase.ENGAGING
    clock.see(0.2)
    assert clock.policy.phase is Phase.FOLLOWING
    assert clock.changes == [(Phase.IDLE, Phase.ENGAGING), (Phase.ENGAGING, Phase.FOLLOWING)]


def test_the_hold_begins_anew_when_the_hand_is_lost_in_it():
    clock = Clock()
    clock.policy.clutch(True, clock.now)
    clock.see(0.7)
    clock.wait(0.2)
    assert clock.policy.reason == 'no fresh hand for 0.1 s, the hold begins anew'
    assert clock.changes[1:] == [(Phase.ENGAGING, Phase.ENGAGING)]
    clock.see(0.7)
    assert clock.policy.phase is Phase.ENGAGING
    clock.see(0.4)
    assert clock.policy.phase is Phase.FOLLOWING


def test_without_a_fresh_hand_it_holds_then_disengages():
    clock = Clock().engage()
    lost = clock.now
    phases = clock.wait(0.5)
    held = next(when for phase, when in phases if phase is Phase.HOLDING)
    ended = next(when for phase, when in phases if phase is Phase.IDLE)
    assert 0.1 < held - lost < 0.13 and 0.25 < ended - lost < 0.28
    assert clock.policy.reason == 'no fresh hand for 0.25 s'
    clock.see(3)
    assert clock.policy.phase is Phase.IDLE  # the clutch was never let go
    clock.engage()
    assert clock.policy.phase is Phase.FOLLOWING


def test_after_a_gap_it_goes_on_slowly():
    clock = Clock().engage()
    clock.see(1)
    assert clock.policy.speed(clock.now) == 1
    clock.wait(0.16)
    assert clock.policy.phase is Phase.HOLDING and clock.policy.speed(clock.now) == 0
    clock.see(0.01)
    assert clock.policy.phase is Phase.FOLLOWING and clock.policy.speed(clock.now) < 0.1
    clock.see(0.25)
    assert 0.3 < clock.policy.speed(clock.now) < 0.7


def test_a_gap_that_no_tick_saw_counts():
    clock = Clock().engage()
    clock.now += 0.2
    clock.policy.hand(clock.now, 0.0)
    assert clock.policy.speed(clock.now) < 0.1
    clock.now += 0.4
    clock.policy.hand(clock.now, 0.0)
    assert clock.policy.phase is Phase.IDLE


@pytest.mark.parametrize(
    'end, reason',
    [
        (lambda policy, now: policy.clutch(False, now), 'the clutch was released'),
        (lambda policy, now: policy.stop(), 'teleop/stop'),
        (lambda policy, now: policy.primary(8), 'another hand became the primary one'),
        (lambda policy, now: policy.other_side(7), 'the hand changed its side'),
        (lambda policy, now: policy.refuse('no TF'), 'no TF'),
    ],
)
def test_it_disengages_at_once(end, reason):
    clock = Clock()
    clock.policy.primary(7)
    clock.engage()
    clock.policy.primary(7)
    clock.policy.other_side(6)
    assert clock.policy.phase is Phase.FOLLOWING
    end(clock.policy, clock.now)
    assert clock.policy.phase is Phase.IDLE and clock.policy.reason == reason
    clock.policy.clutch(True, clock.now)
    clock.see(0.9)
    assert clock.policy.phase is not Phase.FOLLOWING  # the hold is taken again, where the clutch was let go at all


def test_a_clutch_still_held_after_a_stop_engages_nothing():
    clock = Clock().engage()
    clock.policy.stop()
    clock.policy.clutch(True, clock.now)
    clock.see(3)
    assert clock.policy.phase is Phase.IDLE


def test_old_images_move_nothing():
    clock = Clock()
    clock.policy.clutch(True, clock.now)
    clock.see(3, age=0.31)
    assert clock.policy.phase is Phase.ENGAGING
    clock.see(3, age=-0.31)
    assert clock.policy.phase is Phase.ENGAGING
    clock = Clock().engage()
    clock.see(0.5, age=float('nan'))
    assert clock.policy.phase is Phase.FOLLOWING  # not told of time but by ticks ...
    clock.wait(0.02)
    assert clock.policy.phase is Phase.IDLE  # ... of which the first one ends it
    unlimited = Clock(SafetyLimits(max_age=0.0))
    unlimited.policy.clutch(True, unlimited.now)
    unlimited.see(1.2, age=1e6)
    assert unlimited.policy.phase is Phase.FOLLOWING


def test_a_clutch_that_must_be_repeated():
    clock = Clock(SafetyLimits(engage_hold=0.2, engage_timeout=0.5))
    for _ in range(6):
        clock.policy.clutch(True, clock.now)
        clock.see(0.1)
    assert clock.policy.phase is Phase.FOLLOWING
    clock.see(0.6)
    assert clock.policy.phase is Phase.IDLE and 'not repeated' in clock.policy.reason
