"""Ground truth of a recording, read along with it so that an hour takes no more memory than a minute."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

import numpy as np

from hand_pose_ros.files import parse_json, reading
from hand_pose_ros.geometry.joints import JOINTS, SIDES
from hand_pose_ros.io.bag import iterate_joints
from hand_pose_ros.io.frame import RecordedFrame, RecordingError

Hands = Mapping[str, np.ndarray]

#: A hand's message may be recorded this long before or after its image, nanoseconds.
_MAX_DELAY_NS = 2 * 10**9
#: No true joint is farther from the camera, meters.
_FARTHEST_M = 1000.0


class Truth(Protocol):
    """What is known of a recording's hands."""

    def hands(self, frame: RecordedFrame) -> Hands:
        """Side -> (21, 3) joints in meters, camera optical frame, of the hands known in a frame."""


class BagTruth:
    """Joints that a bag holds on ``hands/<side>/joints``; frames must be asked for in order.

    Raises:
        RecordingError: the bag cannot be read.

    """

    def __init__(self, path: Path, prefix: str = '') -> None:
        self._path = path
        self._messages = iterate_joints(path, prefix)
        self._near: dict[int, dict[str, np.ndarray]] = {}
        self._last = -_MAX_DELAY_NS
        self._ended = False

    def hands(self, frame: RecordedFrame) -> Hands:
        now = frame.nanoseconds
        while not self._ended and self._last < now + _MAX_DELAY_NS:
            message = next(self._messages, None)
            if message is None:
                self._ended = True
            else:
                self._last, side, points = message
                with reading(self._path, RecordingError, 'a recording of true hands'):
                    self._near.setdefault(self._last, {})[side] = check_known(points)
        for stamp in [stamp for stamp in self._near if stamp < now - _MAX_DELAY_NS]:
            del self._near[stamp]
        return self._near.get(now, {})


class FileTruth:
    """Joints of a file in the form of ``hands.jsonl``; lines are looked up by their frame's name.

    Raises:
        RecordingError: the file is missing or a line is not of that form.

    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._places: dict[str, int] = {}
        with reading(path, RecordingError, 'a file like hands.jsonl'):
            self._file = path.open('rb')
            place = 0
            for number, line in enumerate(self._file, 1):
                if line.strip():
                    self._places[self._parse(number, line)[0]] = place
                place += len(line)

    def _parse(self, number: int, line: bytes) -> tuple[str, Hands]:
        """A line's frame and its hands."""
        with reading(f'{self._path}, line {number}', RecordingError, 'a line of hands.jsonl'):
            content = parse_json(line)
            hands = {}
            for hand in content['hands']:
                joints = np.array(hand['joints'], float)
                if hand['side'] not in SIDES or joints.shape != (len(JOINTS), 3):
                    raise ValueError('a hand has a side, left or right, and 21 joints')
                hands[hand['side']] = check_known(joints)
            return str(content['frame']), hands

    def hands(self, frame: RecordedFrame) -> Hands:
        if frame.name not in self._places:
            return {}
        self._file.seek(self._places[frame.name])
        return self._parse(0, self._file.readline())[1]


def check_known(joints: np.ndarray) -> np.ndarray:
    """Return true joints (21, 3), meters, as they are; raises ValueError where they cannot be before a camera."""
    with np.errstate(invalid='ignore'):
        if not (np.abs(joints) < _FARTHEST_M).all():
            raise ValueError(f'its joints are not all within {_FARTHEST_M:g} m')
    return joints


def open_truth(recording: Path, given: str = '') -> Truth | None:
    """Find a recording's ground truth.

    Args:
        recording: the bag or folder.
        given: a file in the form of ``hands.jsonl``, or what stands before ``hands/<side>/joints`` in the names of the
            bag's topics (such as ``/truth``); empty for any such topic of the bag.

    Returns:
        None where nothing was given and the recording holds none.

    Raises:
        RecordingError: what was given is not there.

    """
    if given and Path(given).is_file():
        return FileTruth(Path(given))
    is_bag = (
        recording.suffix in ('.mcap', '.db3')
        or (recording / 'metadata.yaml').exists()
        or (recording.is_dir() and not any(recording.glob('*.[pP][nN][gG]')))
    )
    found = is_bag and next(iterate_joints(recording, given), None) is not None
    if found:
        return BagTruth(recording, given)
    if given:
        raise RecordingError(f'{given} is no file, and {recording} holds no {given.rstrip("/")}/hands/<side>/joints')
    return None
