"""RVL, a fast lossless code for depth images.

Wilson: "Fast Lossless Depth Image Compression", ISS 2017. Runs of holes and of depths take turns; each depth is its
difference from the one before. All numbers are groups of three bits with a fourth that says whether more follow, eight
groups in a word of 32 bits, the first one highest.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

import numpy as np

from hand_pose_ros.imaging.images import ImageError
from hand_pose_ros.imaging.sizes import check_pixels

_SIZE = struct.Struct('<ii')
#: Groups that a number of 16 bits, signs included, may take; a run's length may take more.
_MOST_GROUPS = 10
#: Bytes of code that a pixel may take: the lengths of both its runs and its depth, in whole words.
_MOST_BYTES = 16
#: Words that are decoded at once: an image that is full or damaged ends the work.
_BLOCK = 16_384


def decode_rvl(data: bytes) -> np.ndarray:
    """Decode an image as ``compressed_depth_image_transport`` stores it: width, height, then the code.

    Returns:
        (H, W) uint16, 0 for holes.

    Raises:
        ImageError: the data are damaged, cut short, or more than an image of this size can take.

    """
    if len(data) < _SIZE.size:
        raise ImageError('the RVL image is shorter than its header')
    width, height = _SIZE.unpack_from(data)
    check_pixels(width, height)
    count, code = width * height, data[_SIZE.size :]
    if len(code) > count * _MOST_BYTES:
        raise ImageError(f'the RVL image is damaged: {len(code)} bytes are too many for {width}x{height} pixels')
    image, numbers = np.zeros(count, np.uint16), np.zeros(0, np.int64)
    used = done = depths = before = 0
    for block in _numbers(code):
        numbers = np.concatenate([numbers[used:], block])
        runs, used, done, depths = _runs(numbers.tolist(), count, done, depths)
        before = _fill(image, numbers, runs, before)
        if done == count:
            return image.reshape(height, width)
    raise ImageError('the RVL image is cut short')


def _runs(numbers: list[int], count: int, done: int, depths: int) -> tuple[list[tuple[int, int, int]], int, int, int]:
    """Find the runs of depths in a block.

    Args:
        numbers: of the block.
        count: pixels of the image.
        done: pixels of the blocks before.
        depths: those of the last run that are still to come.

    Returns:
        Of each run its place in the image, its place in the numbers and its length; the numbers that were used;
        and what is done and still to come after this block.

    """
    runs, at = [], 0
    while done < count:
        if not depths:
            if at + 2 > len(numbers):
                break
            holes, depths = numbers[at], numbers[at + 1]
            done, at = done + holes, at + 2
            if done + depths > count or holes + depths == 0:
                raise ImageError('the RVL image is damaged or cut short')
        taken = min(depths, len(numbers) - at)
        runs.append((done, at, taken))
        done, at, depths = done + taken, at + taken, depths - taken
        if depths:
            break
    return runs, at, done, depths


def _fill(image: np.ndarray, numbers: np.ndarray, runs: list[tuple[int, int, int]], before: int) -> int:
    """Decode the depths of a block's runs.

    Args:
        image: flat, to be filled.
        numbers: of the block.
        runs: as :func:`_runs` finds them.
        before: the depth before them.

    Returns:
        The last depth.

    """
    places, origins, lengths = np.array(runs, int).reshape(-1, 3).T
    along = np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    coded = numbers[np.repeat(origins, lengths) + along]
    values = (np.cumsum((coded >> 1) ^ -(coded & 1)) + before).astype(np.uint16)
    image[np.repeat(places, lengths) + along] = values
    return int(values[-1]) if len(values) else before


def _numbers(code: bytes) -> Iterator[np.ndarray]:
    """Numbers (N,) of a code, block by block; a number that goes on in the next block comes with that."""
    words = np.frombuffer(code[: len(code) // 4 * 4], '<u4')
    rest = np.zeros(0, np.int64)
    for start in range(0, len(words), _BLOCK):
        new = (words[start : start + _BLOCK, None] >> np.arange(28, -1, -4, dtype=np.uint32)) & 15
        groups = np.concatenate([rest, new.astype(np.int64).ravel()])
        ends = np.flatnonzero(groups < 8) + 1
        lengths = np.diff(ends, prepend=0)
        rest = groups[ends[-1] if len(ends) else 0 :]
        if max(lengths.max(initial=0), len(rest)) > _MOST_GROUPS:
            raise ImageError('the RVL image is damaged: a number has too many bits')
        numbers = np.zeros(len(ends), np.int64)
        for n in range(lengths.max(initial=0)):
            has = lengths > n
            numbers[has] |= (groups[(ends - lengths)[has] + n] & 7) << (3 * n)
        yield numbers
