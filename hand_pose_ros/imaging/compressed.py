"""The payloads of ``sensor_msgs/CompressedImage``: compressed depth and compressed color.

Depth follows ``compressed_depth_image_transport``: twelve bytes of header (an int32 and two float32 quantization
parameters), then a 16-bit PNG. A 16UC1 image is stored as it is; a 32FC1 image is stored as
``round(a / depth + b)``, so that the steps grow with the distance.
"""

from __future__ import annotations

import struct

import cv2
import numpy as np

from hand_pose_ros.files import reason
from hand_pose_ros.imaging.images import Buffer, ImageError, in_8_bits
from hand_pose_ros.imaging.rvl import decode_rvl
from hand_pose_ros.imaging.sizes import PNG_SIGNATURE, check_size, image_format, is_gray_tiff

_HEADER = struct.Struct('<iff')
_INVERSE_DEPTH = 0

# The transport's own defaults: steps of 0.1 mm at 1 m, and nothing beyond 10 m.
_QUANTIZATION = 100.0
_MAX_DEPTH_M = 10.0
#: Limits of depth that a header's steps may name where nothing else says that the depth is quantized, meters.
_DEPTH_LIMITS_M = (0.1, 1000.0)
#: Letters of a message's format that errors show.
_FORMAT_LETTERS = 60


def encode_depth(image: np.ndarray) -> tuple[str, bytes]:
    """Compress a depth image as the ``compressedDepth`` transport does.

    Args:
        image: (H, W) uint16, kept exactly, or float32 meters, kept to 0.1 mm at 1 m; holes (0, NaN, infinity)
            and, for floats, depths under 0.16 m or from 10 m on come back as holes.

    Returns:
        The message's ``format`` and ``data``.

    Raises:
        ImageError: the image is neither.

    """
    encoding, stored = depth_encoding(image), image
    a = b = 0.0
    if encoding == '32FC1':
        a = _QUANTIZATION * (_QUANTIZATION + 1)
        b = 1 - a / _MAX_DEPTH_M
        with np.errstate(divide='ignore', invalid='ignore'):
            steps = np.rint(a / image + b)
        valid = (image > 0) & (image < _MAX_DEPTH_M) & (steps >= 1) & (steps <= 65535)
        stored = np.where(valid, steps, 0).astype(np.uint16)
    png = cv2.imencode('.png', stored, (cv2.IMWRITE_PNG_COMPRESSION, 9))[1]
    return f'{encoding}; compressedDepth png', _HEADER.pack(_INVERSE_DEPTH, a, b) + png.tobytes()


def depth_encoding(image: np.ndarray) -> str:
    """Return the encoding of a (H, W) depth array: ``16UC1`` for uint16, ``32FC1`` for float32.

    Raises:
        ImageError: the array is neither.

    """
    if image.ndim != 2 or image.dtype not in (np.uint16, np.float32):
        raise ImageError(f'a depth image has one channel of uint16 or float32, not {image.shape} {image.dtype}')
    return '16UC1' if image.dtype == np.uint16 else '32FC1'


#: The ``format`` of a CompressedImage that holds what :func:`encode_jpeg` makes.
JPEG_FORMAT = 'bgr8; jpeg compressed bgr8'


def encode_jpeg(image: np.ndarray, quality: int = 95) -> bytes:
    """Compress a (H, W, 3) uint8 bgr image."""
    return cv2.imencode('.jpg', image, [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()


def is_depth(message_format: str, data: Buffer = b'') -> bool:
    """Whether a ``CompressedImage`` holds depth: by its ``format``, and by its bytes, since names are often wrong."""
    named = 'compressedDepth' in message_format or message_format.split(';')[0].strip() in ('16UC1', '32FC1')
    start = bytes(data[:_HEAD_BYTES])
    return named or _is_deep_png(start) or start[_HEADER.size : _HEADER.size + 8] == PNG_SIGNATURE


#: Bytes that tell what a payload is.
_HEAD_BYTES = 40


def _is_deep_png(start: bytes) -> bool:
    """Whether a PNG has one channel of 16 bits."""
    return start[:8] == PNG_SIGNATURE and start[24:26] == b'\x10\x00'


def _is_rvl(message_format: str) -> bool:
    return 'rvl' in message_format.lower()


def decode_compressed(message_format: str, data: Buffer) -> tuple[np.ndarray, str]:
    """Decompress the payload of a ``CompressedImage``.

    Args:
        message_format: the message's ``format``, e.g. ``16UC1; compressedDepth png``, ``16UC1; compressedDepth rvl`` or
            ``jpeg``; whether it is of depth the bytes tell.
        data: the message's bytes.

    Returns:
        The image and its encoding: (H, W) uint16 ``16UC1``, (H, W) float32 meters with NaN holes ``32FC1``, or
        (H, W, 3) uint8 ``bgr8``.

    Raises:
        ImageError: the format is not supported, or the data are damaged.

    """
    try:
        return _decode_compressed(message_format, bytes(data))
    except ImageError as error:
        raise ImageError(f'{error} (the format of the message is {message_format[:_FORMAT_LETTERS]!r})') from error


def _decode_compressed(message_format: str, data: bytes) -> tuple[np.ndarray, str]:
    if not is_depth(message_format, data):
        return decode_color(data), 'bgr8'
    if _is_deep_png(data[:_HEAD_BYTES]):
        return decode_depth_png(data), '16UC1'
    if len(data) < _HEADER.size:
        raise ImageError(f'a compressedDepth image of {len(data)} bytes is shorter than its header')
    _, a, b = _HEADER.unpack_from(data)
    body = data[_HEADER.size :]
    stored = decode_rvl(body) if _is_rvl(message_format) else decode_depth_png(body)
    if not _is_quantized(message_format, a, b):
        return stored, '16UC1'
    if not (np.isfinite([a, b]).all() and a > 0):
        raise ImageError(f'the compressed depth is damaged: its steps are {a:g}, {b:g}')
    with np.errstate(divide='ignore'):
        depth = np.float32(a) / (stored.astype(np.float32) - np.float32(b))
    depth[stored == 0] = np.nan
    return depth, '32FC1'


def _is_quantized(message_format: str, a: float, b: float) -> bool:
    """Whether compressed depth was 32FC1: as its format says, or its header's steps where no encoding is named."""
    encoding = message_format.split(';')[0].strip()
    if encoding in ('16UC1', 'mono16', '32FC1'):
        return encoding == '32FC1'
    if not (np.isfinite([a, b]).all() and a > 0 and b < 1):
        return False
    # Beside 16UC1 some drivers leave what was in the memory: only steps that name a sensible limit of depth count.
    return _DEPTH_LIMITS_M[0] <= a / (1 - b) <= _DEPTH_LIMITS_M[1]


def decode_depth_png(data: bytes) -> np.ndarray:
    """Decode a 16-bit, one-channel PNG to a (H, W) uint16 array.

    Raises:
        ImageError: the data are not a PNG, are damaged or cut short, or hold another kind of image.

    """
    if data[:8] != PNG_SIGNATURE:
        raise ImageError('not a PNG' if data else 'the PNG is empty')
    image = _decode(data, cv2.IMREAD_UNCHANGED)
    if image is None:
        raise ImageError('the PNG is damaged')
    if image.ndim != 2 or image.dtype != np.uint16:
        channels = 1 if image.ndim == 2 else image.shape[2]
        raise ImageError(
            f'a depth PNG has 16 bits and one channel; this one has {8 * image.itemsize} bits and {channels}'
        )
    return image


def holds_depth(data: bytes) -> bool:
    """Whether an image file holds depth: a PNG or TIFF of one channel with 16 bits, or 32 in a TIFF.

    Args:
        data: the file, of a PNG its first bytes at least.

    """
    return _is_deep_png(data[:_HEAD_BYTES]) or (image_format(data) == 'TIFF' and is_gray_tiff(data, (16, 32)))


def decode_depth(data: bytes) -> np.ndarray:
    """Decode a depth image from a file: (H, W) uint16, or float32 meters of a TIFF with 32 bits.

    Raises:
        ImageError: the data are damaged or hold another kind of image.

    """
    if image_format(data) != 'TIFF':
        return decode_depth_png(data)
    image = _decode(data, cv2.IMREAD_UNCHANGED)
    if image is None:
        raise ImageError('the TIFF is damaged')
    if image.ndim != 2 or image.dtype not in (np.uint16, np.float32):
        raise ImageError(f'a depth TIFF has one channel of uint16 or float32, not {image.shape} {image.dtype}')
    return image


def decode_mask(data: bytes) -> np.ndarray:
    """Decode an image to a (H, W) bool array: not zero, as gray, is True; raises ImageError where it cannot."""
    image = _decode(data, cv2.IMREAD_GRAYSCALE)
    if image is None:
        raise ImageError('the image is damaged')
    return image > 0


def decode_color(data: bytes) -> np.ndarray:
    """Decode a PNG, JPEG, TIFF, BMP or WebP to a (H, W, 3) uint8 bgr array.

    Raises:
        ImageError: the data cannot be decoded, or make too large an image.

    """
    image = _decode(data, cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH)
    if image is None:
        raise ImageError(f'the {image_format(data)} is damaged or of a kind that is not read')
    if image.dtype not in (np.uint8, np.uint16):
        raise ImageError(f'a color image has 8 or 16 bits a channel; this one is {image.dtype}')
    return image if image.dtype == np.uint8 else in_8_bits(image)


def _decode(data: bytes, how: int) -> np.ndarray | None:
    """Decode an image whose size has been looked at; None where OpenCV cannot. The one place that decodes."""
    check_size(data)
    try:
        return cv2.imdecode(np.frombuffer(data, np.uint8), how)
    except (cv2.error, MemoryError) as error:
        raise ImageError(f'the compressed image cannot be decoded: {reason(error)}') from error
