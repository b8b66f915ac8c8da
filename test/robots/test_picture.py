"""Pictures of a robot hand beside a person's."""

import numpy as np
import pytest
from posed_hands import FIST, OPEN, posed

from hand_pose_ros.geometry.joints import SIDES
from hand_pose_ros.robots.description import RobotError
from hand_pose_ros.robots.picture import RobotPicture
from hand_pose_ros.robots.retargeting import ObservedHand

SIZE = (240, 320)


def drawn(picture):
    """Rows and columns of what is drawn."""
    return np.nonzero((picture != picture[0, 0]).any(2))


@pytest.mark.parametrize('side', SIDES)
def test_it_is_turned_as_the_hand_is_and_closes_with_it(side):
    pictures = RobotPicture('angles')
    stretched = pictures.draw(ObservedHand(side, posed(OPEN, side), OPEN), SIZE)
    assert stretched.shape == (*SIZE, 3) and stretched.dtype == np.uint8
    rows, columns = drawn(stretched)
    fist_rows, _ = drawn(pictures.draw(ObservedHand(side, posed(FIST, side), FIST), SIZE))
    assert np.ptp(rows) > 1.2 * np.ptp(fist_rows) > 50  # fingers up, and shorter when closed
    other = 'left' if side == 'right' else 'right'
    mirrored = pictures.draw(ObservedHand(other, posed(OPEN, other), OPEN), SIZE)
    assert np.abs(np.sort(SIZE[1] - columns) - np.sort(drawn(mirrored)[1])).mean() < 2


def test_a_hand_that_is_none():
    with pytest.raises(RobotError):
        RobotPicture('angles').draw(ObservedHand('right', np.zeros((21, 3)), OPEN), SIZE)
