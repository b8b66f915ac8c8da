"""The account of frames: what was missed, whoever numbers them."""

import pytest

pytest.importorskip('rclpy', reason='ROS 2 is not installed')
from hand_pose_ros.nodes.diagnostics import FrameStatistics


def dropped(numbers, publishers=1):
    statistics = FrameStatistics(publishers=lambda: publishers)
    for number in numbers:
        statistics.arrive(number)
    return statistics.dropped


@pytest.mark.parametrize(
    'numbers, publishers, missed',
    [
        ([5, 6, 7], 1, 0),
        ([5, 8, 9], 1, 2),
        ([500, 501, 1, 2, 4], 1, 1),  # a publisher that starts anew
        ([5, 1000, 6, 1001, 7, 1003], 2, 1),  # two that take turns, one image of the second is lost
        ([1000, 5, 1001, 6, 1002, 9], 2, 2),
        ([1, 1, 2, 2, 3, 5], 2, 1),  # two that began together
        ([5, 6, 1000, 1001, 7], 2, 0),
        ([10, None, 20], 1, None),  # a middleware that does not number messages
    ],
)
def test_each_publisher_is_counted_by_its_own_numbers(numbers, publishers, missed):
    assert dropped(numbers, publishers) == missed


def test_a_publisher_that_left_is_forgotten():
    there = [2]
    statistics = FrameStatistics(publishers=lambda: there[0])
    for number in (5, 1000, 6, 1001):
        statistics.arrive(number)
    there[0] = 1
    statistics.arrive(1005)
    assert statistics.dropped == 3


def test_numbers_of_publishers_without_end_are_not_kept():
    statistics = FrameStatistics(publishers=lambda: 10**6)
    for number in range(10**6, 10**6 + 5000, 2):
        statistics.arrive(number)
    assert len(statistics._last_numbers) <= 8
