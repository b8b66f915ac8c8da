"""Color and depth of one moment find each other by their stamps, whenever they come."""

from hand_pose_ros.io.pairing import LIVE_WAITING, DepthPairing

STEP = 33_000_000


def play(pairing, events):
    """Let images come: ('c' or 'd', number of the frame); returns the pairs."""
    found = []
    for kind, n in events:
        found += (pairing.color if kind == 'c' else pairing.depth)(n * STEP, n)
    return found


def test_depth_that_is_written_later_finds_its_color():
    pairing = DepthPairing(recorded=True)
    late = [('c', n) for n in range(5)] + [event for n in range(5) for event in (('d', n), ('c', n + 5))]
    assert play(pairing, late) + pairing.flush() == [(n, n) for n in range(5)] + [(n, None) for n in range(5, 10)]


def test_depth_that_comes_first_waits_for_its_color():
    assert play(DepthPairing(), [('d', 0), ('d', 1), ('c', 0), ('c', 1)]) == [(0, 0), (1, 1)]


def test_color_whose_depth_never_comes_goes_on_alone():
    assert play(DepthPairing(), [('c', 0), ('d', 1), ('c', 1), ('c', 2), ('d', 2)]) == [(0, None), (1, 1), (2, 2)]


def test_where_depth_has_stopped_nothing_waits_long():
    pairing = DepthPairing()
    assert play(pairing, [('d', 0), ('c', 0)]) == [(0, 0)]
    found = play(pairing, [('c', n) for n in range(40, 50)])
    assert found == [(n, None) for n in range(40, 49)], 'each goes when the next one comes'
    flowing = DepthPairing()
    play(flowing, [('d', 0), ('c', 0)])
    waiting = play(flowing, [('c', n) for n in range(1, LIVE_WAITING + 3)])
    assert waiting == [(1, None), (2, None)], 'while depth flows a few wait for it'


def test_the_tolerance_decides():
    near = DepthPairing(tolerance_s=0.001)
    assert near.color(0, 'c') == [] and near.depth(5_000_000, 'd') == [('c', None)]
    far = DepthPairing(tolerance_s=0.010)
    assert far.color(0, 'c') == [] and far.depth(5_000_000, 'd') == [('c', 'd')]


def test_how_far_off_depth_was_is_kept_of_color_without_it():
    pairing = DepthPairing(recorded=True)
    found = []
    for n in range(3):
        found += pairing.color(10 * n * STEP, n) + pairing.depth(10 * n * STEP + 20_000_000, n)
    assert found + pairing.flush() == [(n, None) for n in range(3)]
    assert pairing.missed_s() == 0.02
    assert play(paired := DepthPairing(), [('d', 0), ('c', 0)]) == [(0, 0)] and not paired.missed
