"""RVL, a fast lossless code for depth images.

Wilson: "Fast Lossless Depth Image Compression", ISS 2017. Runs of holes and of depths take turns; each depth is its
difference from the one before. All numbers are groups of three bits with a fourth that says whether more follow, eight
groups in a word of 32 bits, the first one highest.
"""

from __future__ import annotations

import struct

import numpy as np

from hand_pose_ros.imaging.images import ImageError
from hand_pose_ros.imaging.sizes import check_pixels

_SIZE = struct.Struct('<ii')
#: Groups that a number of 16 bits, signs included, may take; a run's length may take more.
_MOST_GROUPS = 10


def decode_rvl(data: bytes) -> np.ndarray:
    """Decode an image as ``compressed_depth_image_transport`` stores it: width, height, then the code.

    Returns:
        (H, W) uint16, 0 for holes.

    Raises:
        ImageError: the data are damaged or cut short.

    """
    if len(data) < _SIZE.size:
        raise ImageError('the RVL image is shorter than its header')
    width, height = _SIZE.unpack_from(data)
    check_pixels(width, height)
    numbers = _numbers(data[_SIZE.size :])
    count, at, done = width * height, 0, 0
    places, parts = [], []
    while done < count:
        if at + 2 > len(numbers):
            raise ImageError('the RVL image is cut short')
        holes, depths = int(numbers[at]), int(numbers[at + 1])
        start, at = done + holes, at + 2 + depths
        done = start + depths
        if done > count or at > len(numbers) or holes + depths == 0:
            raise ImageError('the RVL image is damaged or cut short')
        places.append((start, done))
        parts.append(numbers[at - depths : at])
    image = np.zeros(count, np.uint16)
    coded = np.concatenate(parts) if parts else np.zeros(0, np.int64)
    values = np.cumsum((coded >> 1) ^ -(coded & 1)).astype(np.uint16)
    taken = 0
    for start, end in places:
        image[start:end] = values[taken : taken + end - start]
        taken += end - start
    return image.reshape(height, width)


def _numbers(data: bytes) -> np.ndarray:
    """All numbers (N,) of a code."""
    words = np.frombuffer(data[: len(data) // 4 * 4], '<u4')
    groups = ((words[:, None] >> np.arange(28, -1, -4, dtype=np.uint32)) & 15).astype(np.int64).ravel()
    last = np.flatnonzero(groups < 8)
    first = np.concatenate([[0], last[:-1] + 1]) if len(last) else np.zeros(0, int)
    lengths = last - first + 1
    if len(lengths) and lengths.max() > _MOST_GROUPS:
        raise ImageError('the RVL image is damaged: a number has too many bits')
    numbers = np.zeros(len(last), np.int64)
    for n in range(int(lengths.max()) if len(lengths) else 0):
        has = lengths > n
        numbers[has] |= (groups[first[has] + n] & 7) << (3 * n)
    return numbers
