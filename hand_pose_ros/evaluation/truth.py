"""Ground truth of a recording, read along with it so that an hour takes no more memory than a minute."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

import numpy as np

from hand_pose_ros.geometry.joints import JOINTS, SIDES
from hand_pose_ros.io.bag import iterate_joints
from hand_pose_ros.io.frame import RecordedFrame, RecordingError

Hands = Mapping[str, np.ndarray]

#: A hand's message may be recorded this long before or after its image, nanoseconds.
_MAX_DELAY_NS = 2 * 10**9


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
                self._near.setdefault(self._last, {})[side] = points
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
        try:
            self._file = path.open('rb')
        except OSError as error:
            raise RecordingError(f'{path}: {error.strerror or error}') from error
        place = 0
        for number, line in enumerate(self._file, 1):
            if line.strip():
                self._places[str(self._parse(number, line)['frame'])] = place
            place += len(line)

    def _parse(self, number: int, line: bytes) -> dict:
        try:
            content = json.loads(line)
            for hand in content['hands']:
                if hand['side'] not in SIDES or np.shape(hand['joints']) != (len(JOINTS), 3):
                    raise ValueError('a hand has a side, left or right, and 21 joints')
            content['frame']
        except (ValueError, KeyError, TypeError) as error:
            raise RecordingError(f'{self._path}, line {number} is not a line of hands.jsonl: {error}') from error
        return content

    def hands(self, frame: RecordedFrame) -> Hands:
        if frame.name not in self._places:
            return {}
        self._file.seek(self._places[frame.name])
        content = json.loads(self._file.readline())
        return {hand['side']: np.array(hand['joints'], float) for hand in content['hands']}


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
