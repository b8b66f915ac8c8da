"""Recordings as their readers see them."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from hand_pose_ros.io.frame import RecordedFrame, Recording, RecordingError
from hand_pose_ros.io.recording import open_recording


def recording(count, read, topic='', name='clip.mp4'):
    frames = [RecordedFrame(str(n), n, 'camera', None, np.zeros((4, 6, 3), np.uint8)) for n in range(read)]
    return Recording(Path(name), 'color', topic, count, lambda: iter(frames))


@pytest.mark.parametrize(('count', 'read'), [(4, 2), (4, 3), (1000, 800)])
def test_a_video_that_ends_early_says_so_after_its_last_frame(count, read):
    frames = iter(recording(count, read))
    assert [next(frames).name for _ in range(read)][-1] == str(read - 1)
    with pytest.raises(RecordingError, match=f'clip.mp4: ended early, after {read} of {count} frames'):
        next(frames)


@pytest.mark.parametrize(
    ('count', 'read', 'topic', 'name'),
    [
        (4, 4, '', 'clip.mp4'),
        (30, 28, '', 'clip.mp4'),
        (4, 9, '', 'clip.mp4'),
        (None, 2, '', 'clip.mp4'),
        (9, 2, '/a', 'clip.mcap'),
        (9, 2, '', 'clip.webm'),
    ],
)
def test_numbers_of_frames_that_are_not_exact_are_no_damage(count, read, topic, name):
    assert len(list(recording(count, read, topic, name))) == read


def test_a_damaged_video_is_read_up_to_its_damage(tmp_path):
    path = tmp_path / 'clip.mp4'
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*'mp4v'), 10, (64, 48))
    for seed in range(8):
        writer.write(np.random.default_rng(seed).integers(0, 255, (48, 64, 3)).astype(np.uint8))
    writer.release()
    whole = path.read_bytes()
    assert len(list(open_recording(path))) == 8
    middle = len(whole) // 2
    path.write_bytes(whole[:middle] + b'\x55' * (len(whole) // 4) + whole[middle + len(whole) // 4 :])
    with pytest.raises(RecordingError, match='ended early, after . of 8 frames'):
        list(open_recording(path))
