"""What hands do over time: gestures that hold, movements within their time, both hands, counting, rays."""

from __future__ import annotations

import json

import numpy as np
import pytest
from posed_hands import FIST, OPEN, posed

from hand_pose_ros.core.hand import Hand
from hand_pose_ros.geometry.joints import SIDES
from hand_pose_ros.gestures.events import HandEvents, SteadyName
from hand_pose_ros.gestures.library import NONE, shipped_library
from hand_pose_ros.gestures.movements import Reversals
from hand_pose_ros.gestures.recognition import recognize
from hand_pose_ros.io.recording import open_recording, read_joints
from hand_pose_ros.resources import resource_path

RATE = 30
OVER = {'thumb_cmc_flexion': 0.7, 'thumb_cmc_abduction': 0.35, 'thumb_mcp_flexion': 0.9, 'thumb_ip_flexion': 0.7}
POINT = FIST | OVER | {name: 0.0 for name in FIST if name.startswith('index')}
HAND, POINTING = posed(OPEN), posed(POINT)


def watch(hands_at, seconds=3.0, noise=0.002, hold=0.2, **options):
    """Events of hands, side -> joints at each time, seen with a network's noise."""
    rng, events, found = np.random.default_rng(0), HandEvents(shipped_library()), []
    for frame in range(round(seconds * RATE)):
        stamp = frame / RATE
        hands = {
            side: Hand(side, 1.0, joints + rng.normal(0, noise, joints.shape), np.ones(21), None, 7)
            for side, joints in hands_at(stamp).items()
        }
        found += events.gestures(hands, stamp, hold, **options)
    return found


def movements(found):
    return [(event.name, event.side) for event in found if event.what == 'movement']


def swung(joints, degrees):
    """A hand turned about its wrist in the image."""
    angle = np.radians(degrees)
    turn = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    return (joints - joints[0]) @ turn.T + joints[0]


def wave(seconds, rate, start=0.5):
    """A sine that begins after a while."""
    return np.sin(2 * np.pi * rate * max(0.0, seconds - start))


@pytest.mark.parametrize('rate', [1.0, 1.5, 2.0, 3.0])
@pytest.mark.parametrize('by', ['wrist', 'elbow'])
def test_a_wave_is_recognized_within_a_second_and_a_half(rate, by):
    def hand(seconds):
        turn = wave(seconds, rate)
        return {'right': swung(HAND, 20 * turn) if by == 'wrist' else HAND + [0.08 * turn, 0, 0]}

    found = watch(hand)
    assert movements(found) == [('wave', 'right')], 'once, however long it goes on'
    (event,) = (event for event in found if event.what == 'movement')
    assert event.stamp - 0.5 <= 1.5 and event.onset == pytest.approx(0.5, abs=0.2)


def test_a_wave_is_recognized_by_what_is_up():
    """With the camera on its side the hand goes up and down in the image."""
    sideways = [1.0, 0.0, 0.0]
    assert movements(watch(lambda t: {'left': HAND + [0, 0.08 * wave(t, 1.5), 0]}, up=sideways)) == [('wave', 'left')]


def glide(seconds, distance=0.2, start=1.0, takes=0.4):
    """A smooth way that begins and ends at rest."""
    share = np.clip((seconds - start) / takes, 0, 1)
    return distance * share**2 * (3 - 2 * share)


AXES = np.eye(3)
MOTIONS = {
    'no_no': lambda t: {'right': swung(POINTING, 20 * wave(t, 1.5))},
    'come': lambda t: {'right': posed({name: angle * wave(t, 0.7) ** 2 for name, angle in FIST.items()})},
    'flap': lambda t: {'right': HAND + [0, 0.03 * wave(t, 3), 0]},
    'swipe_left': lambda t: {'right': HAND + AXES[0] * glide(t)},
    'swipe_right': lambda t: {'right': HAND - AXES[0] * glide(t)},
    'swipe_up': lambda t: {'right': HAND - AXES[1] * glide(t)},
    'swipe_down': lambda t: {'right': HAND + AXES[1] * glide(t)},
    'clap': lambda t: {
        side: posed(OPEN, side) + [sign * (0.02 + 0.1 * abs(wave(t, 1))), 0, 0] for side, sign in zip(SIDES, (1, -1))
    },
}


@pytest.mark.parametrize('name', MOTIONS)
def test_a_movement_has_its_name_and_no_other(name):
    side = 'both' if name == 'clap' else 'right'
    assert movements(watch(MOTIONS[name])) == [(name, side)]


@pytest.mark.parametrize(
    'hands',
    [
        lambda t: {'right': HAND},
        lambda t: {'right': HAND + AXES[2] * glide(t)},
        lambda t: {'right': HAND + AXES[0] * glide(t, takes=2.0)},
        lambda t: {'right': HAND + AXES[0] * (glide(t) - glide(t, start=1.4))},
        lambda t: {'right': posed(FIST | OVER) + [0.08 * wave(t, 1.5), 0, 0]},
        lambda t: {'right': HAND} if t % 0.2 < 0.1 else {},
    ],
    ids=['still', 'reaching', 'slow', 'there and back', 'a fist that sways', 'a flickering hand'],
)
def test_what_is_no_movement_has_no_name(hands):
    assert movements(watch(hands)) == []


def test_a_swipe_and_the_way_back_are_one_swipe():
    found = watch(lambda t: {'right': HAND + AXES[0] * (glide(t) - glide(t, start=1.9))}, 4.0)
    assert movements(found) == [('swipe_left', 'right')]


def test_reversals_are_counted_from_the_amplitude_on():
    reversals = Reversals()
    for index, value in enumerate((0, 1, 2, 1.5, 2.5, 0, 0.4, -0.2, 3)):
        reversals.update(index, value, 1.0)
    assert reversals.recent(0) == [0, 4, 7], 'the beginning, the top and the bottom'
    assert reversals.recent(5) == [7]


def test_a_gesture_tells_its_onset_its_confidence_and_how_the_hand_faces():
    found = watch(lambda t: {'right': posed(FIST | OVER) if t < 1 else HAND}, 2.0)
    shown = [event for event in found if event.what == 'gesture']
    assert [event.name for event in shown] == ['fist', 'stop']
    assert shown[1].onset == pytest.approx(1.0, abs=0.05) and shown[1].stamp == pytest.approx(1.2, abs=0.05)
    fields = json.loads(shown[1].to_json())
    assert list(fields) == ['stamp', 'side', 'track', 'what', 'name', 'onset', 'confidence', 'facing']
    assert fields['track'] == 7 and 0.4 < fields['confidence'] <= 1 and fields['facing'] == 'palm'


def test_a_hand_that_points_sends_a_ray_again_when_it_turns():
    found = watch(lambda t: {'right': swung(POINTING, 20 * (t > 1))}, 2.0, noise=0.0)
    rays = [event.ray for event in found if event.ray is not None]
    assert len(rays) == 2
    knuckle, tip = POINTING[5], POINTING[8]
    assert rays[0].origin == pytest.approx(tip) and np.linalg.norm(rays[0].direction) == pytest.approx(1)
    assert rays[0].direction == pytest.approx((tip - knuckle) / np.linalg.norm(tip - knuckle))
    assert np.degrees(np.arccos(rays[0].direction @ rays[1].direction)) == pytest.approx(20, abs=1)
    assert rays[0].elevation_deg == pytest.approx(90, abs=15), 'the finger points up'
    transform = np.eye(4)
    transform[:3, :3], transform[:3, 3] = [[0, 0, 1], [-1, 0, 0], [0, -1, 0]], (1, 2, 3)
    moved = rays[0].transformed(transform, 'map')
    x, y, z = rays[0].direction
    assert moved.direction == pytest.approx((z, -x, -y)) and moved.frame == 'map'
    assert moved.origin == pytest.approx((1 + tip[2], 2 - tip[0], 3 - tip[1]))


def test_both_hands_make_a_heart_and_a_timeout():
    right = swung(posed(FIST), 30)
    right[[4, 8]] = right[0] + [[0.06, -0.02, 0], [0.06, -0.11, 0]]
    heart = {'right': right, 'left': right * [-1, 1, 1] + [2 * right[4, 0] + 0.01, 0, 0]}
    found = watch(lambda t: heart, 1.0)
    assert [(e.name, e.side, e.track) for e in found if e.what == 'gesture' and e.side == 'both'] == [
        ('heart', 'both', None)
    ]
    flat = posed(OPEN, 'left')
    upright = posed(OPEN, 'right')
    lying = swung(flat, 90)
    timeout = {'right': upright - upright[12], 'left': lying - lying[[0, 5, 9, 13, 17]].mean(0)}
    assert ('timeout', 'gesture') in [(e.name, e.what) for e in watch(lambda t: timeout, 1.0) if e.side == 'both']


def test_fingers_of_both_hands_are_counted():
    found = watch(lambda t: {'right': HAND} | ({'left': posed(POINT, 'left')} if t > 1 else {}), 2.5)
    assert [(e.name, e.side) for e in found if e.what == 'fingers'] == [('5', 'right'), ('6', 'both')]


def test_hands_come_go_and_change():
    events = HandEvents(shipped_library())
    said = [
        [(event.what, event.side, event.track) for event in events.presence(tracks, stamp)]
        for stamp, tracks in enumerate(({}, {'left': 1}, {'left': 1, 'right': 2}, {'left': 3}, {}))
    ]
    assert said == [
        [],
        [('appeared', 'left', 1), ('primary', 'left', 1)],
        [('appeared', 'right', 2), ('primary', 'right', 2)],
        [('lost', 'left', 1), ('appeared', 'left', 3), ('primary', 'left', 3), ('lost', 'right', 2)],
        [('lost', 'left', 3)],
    ]


def test_a_name_changes_once_another_was_held():
    steady = SteadyName()
    changed = [
        steady.update(name, stamp, 0.2)
        for stamp, name in (
            (0.0, 'fist'),
            (0.1, 'open'),
            (0.2, 'open'),
            (0.25, 'fist'),
            (0.3, 'open'),
            (0.45, 'open'),
            (0.51, 'open'),
            (0.6, 'open'),
            (0.7, NONE),
            (0.8, 'open'),
            (5.0, NONE),
            (4.0, NONE),
            (4.1, NONE),
            (4.3, NONE),
        )
    ]
    assert [i for i, one in enumerate(changed) if one] == [6, 13], 'time that jumps back begins anew'
    assert steady.name == NONE
    assert SteadyName().update('fist', 1.0, 0.0), 'without a hold at once'


@pytest.mark.slow
def test_the_clips_gestures_are_recognized_as_those_of_the_true_joints():
    from hand_pose_ros.tracking.factory import make_tracker

    clip = resource_path('demo', 'clip')
    truth, tracker = read_joints(clip), make_tracker()
    same, recognized = [], {'true': [], 'found': []}
    events = {who: HandEvents(shipped_library()) for who in recognized}
    for frame in open_recording(clip):
        known = {side: Hand(side, 1.0, one, np.ones(21), None, 0) for side, one in truth[frame.name].items()}
        found = {hand.side: hand for hand in tracker.process(frame.camera_frame())}
        for side, hand in known.items():
            name = recognize(hand.joints, side).name
            same.append(side in found and name == recognize(found[side].joints, side).name)
        for who, hands in (('true', known), ('found', found)):
            recognized[who] += [
                (event.side, event.name)
                for event in events[who].gestures(hands, frame.stamp, 0.2)
                if event.what == 'gesture' and event.name != NONE and event.ray is None
            ]
    print(f'{100 * np.mean(same):.1f} % of {len(same)} hands; {recognized["found"]}')
    assert len(same) > 400 and np.mean(same) > 0.93
    for side in SIDES:
        assert [name for who, name in recognized['found'] if who == side] == [
            n for who, n in recognized['true'] if who == side
        ]
    assert {'fist', 'two', 'three', 'four', 'open', 'stop', 'ok'} <= {name for _, name in recognized['found']}
