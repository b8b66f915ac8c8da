"""The payloads of ``sensor_msgs/CompressedImage``: compressed depth and compressed color.

Depth follows ``compressed_depth_image_transport``: twelve bytes of header (an int32 and two float32 quantization
parameters), then a 16-bit PNG. A 16UC1 image is stored as it is; a 32FC1 image is stored as
``round(a / depth + b)``, so that the steps grow with the distance.
"""

from __future__ import annotations

import struct
import zlib

import cv2
import numpy as np

from hand_pose_ros.imaging.images import Buffer, ImageError

_HEADER = struct.Struct('<iff')
_INVERSE_DEPTH = 0
_PNG_SIGNATURE = b'\x89PNG\r\n\x1a\n'

# The transport's own defaults: steps of 0.1 mm at 1 m, and nothing beyond 10 m.
_QUANTIZATION = 100.0
_MAX_DEPTH_M = 10.0


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


def is_depth(message_format: str) -> bool:
    """Whether a ``CompressedImage`` of this ``format`` holds depth."""
    return 'compressedDepth' in message_format or message_format.split(';')[0].strip() in ('16UC1', '32FC1')


def decode_compressed(message_format: str, data: Buffer) -> tuple[np.ndarray, str]:
    """Decompress the payload of a ``CompressedImage``.

    Args:
        message_format: the message's ``format``, e.g. ``16UC1; compressedDepth png`` or ``jpeg``.
        data: the message's bytes.

    Returns:
        The image and its encoding: (H, W) uint16 ``16UC1``, (H, W) float32 meters with NaN holes ``32FC1``, or
        (H, W, 3) uint8 ``bgr8``.

    Raises:
        ImageError: the format is not supported, or the data are damaged.

    """
    data = bytes(data)
    if not is_depth(message_format):
        return decode_color(data), 'bgr8'
    encoding, _, transport = (part.strip() for part in message_format.partition(';'))
    if 'compressedDepth' not in transport:
        return decode_depth_png(data), '16UC1'
    if encoding not in ('16UC1', 'mono16', '32FC1') or transport not in ('compressedDepth', 'compressedDepth png'):
        raise ImageError(
            f'compressed depth of format {message_format!r} is not supported; '
            'record it with the png format of compressedDepth, or uncompressed'
        )
    if len(data) < _HEADER.size:
        raise ImageError(f'a compressedDepth image of {len(data)} bytes is shorter than its header')
    _, a, b = _HEADER.unpack_from(data)
    stored = decode_depth_png(data[_HEADER.size :])
    if encoding != '32FC1':
        return stored, '16UC1'
    with np.errstate(divide='ignore'):
        depth = np.float32(a) / (stored.astype(np.float32) - np.float32(b))
    depth[stored == 0] = np.nan
    return depth, '32FC1'


def decode_depth_png(data: bytes) -> np.ndarray:
    """Decode a 16-bit, one-channel PNG to a (H, W) uint16 array.

    Raises:
        ImageError: the data are not a PNG, are damaged or cut short, or hold another kind of image.

    """
    _check_png(data)
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if image is None:
        raise ImageError('the PNG is damaged')
    if image.ndim != 2 or image.dtype != np.uint16:
        channels = 1 if image.ndim == 2 else image.shape[2]
        raise ImageError(
            f'a depth PNG has 16 bits and one channel; this one has {8 * image.itemsize} bits and {channels}'
        )
    return image


def decode_color(data: bytes) -> np.ndarray:
    """Decode a PNG or JPEG to a (H, W, 3) uint8 bgr array.

    Raises:
        ImageError: the data cannot be decoded.

    """
    if data[:8] == _PNG_SIGNATURE:
        _check_png(data)
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR) if data else None
    if image is None:
        raise ImageError('the compressed image is damaged or neither PNG nor JPEG')
    return image


def _check_png(data: bytes) -> None:
    """Walk the PNG's chunks: decoders differ in what they make of a damaged file, some return half an image."""
    if not data:
        raise ImageError('the PNG is empty')
    if data[:8] != _PNG_SIGNATURE:
        raise ImageError('not a PNG')
    at, kind = 8, b''
    while kind != b'IEND':
        if at + 12 > len(data):
            raise ImageError('the PNG is cut short')
        length = int.from_bytes(data[at : at + 4], 'big')
        kind, end = data[at + 4 : at + 8], at + 12 + length
        if end > len(data):
            raise ImageError('the PNG is cut short')
        if zlib.crc32(data[at + 4 : end - 4]) != int.from_bytes(data[end - 4 : end], 'big'):
            raise ImageError('the PNG is damaged: a checksum does not match')
        at = end
