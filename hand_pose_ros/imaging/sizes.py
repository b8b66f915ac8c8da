"""Sizes of compressed images from their headers: looked at before anything is decoded.

A PNG of 800 kB can hold 400 megapixels of one color. Only formats whose headers are read here are decoded at all.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Collection, Iterator

from hand_pose_ros.imaging.images import ImageError

#: Pixels that an image may have: more than the largest phone camera that fits a folder of photographs (50 megapixels);
#: decoded as color it takes 200 MB.
MAX_PIXELS = 64_000_000

PNG_SIGNATURE = b'\x89PNG\r\n\x1a\n'
#: JPEG markers that begin a frame header: SOF0 to SOF15 without DHT, JPG and DAC.
_JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
#: Those among them whose image comes in several scans that each go over all of it.
_JPEG_PROGRESSIVE = frozenset((0xC2, 0xC6, 0xCA, 0xCE))
#: JPEG markers without a length: TEM, RST0 to RST7, SOI.
_JPEG_BARE = frozenset((0x01, *range(0xD0, 0xD9)))
#: A progressive JPEG may go over its image this often; encoders make about ten scans.
_JPEG_SCANS = 100

#: Flag of a WebP that is an animation.
_WEBP_ANIMATION = 0x02

#: TIFF tags of the sizes of the image and of its tiles.
_TIFF_WIDTHS, _TIFF_HEIGHTS = (256, 322), (257, 323)
#: And of the bits of a channel, and of the channels.
_TIFF_BITS, _TIFF_CHANNELS = 258, 277
#: TIFF types of one number -> its format.
_TIFF_TYPES = {1: 'B', 3: 'H', 4: 'I', 16: 'Q'}


def check_pixels(width: int, height: int) -> None:
    """Raise ImageError where an image of this size is larger than any that is decoded, or empty."""
    if width <= 0 or height <= 0:
        raise ImageError(f'the image is empty ({width}x{height})')
    if width * height > MAX_PIXELS:
        raise ImageError(
            f'the image has {width}x{height} pixels; at most {MAX_PIXELS // 10**6} megapixels are decoded: make it '
            'smaller'
        )


def check_size(data: bytes) -> tuple[int, int]:
    """Check the size of a compressed image (PNG, JPEG, TIFF, BMP or WebP) by its header.

    Args:
        data: the file or the message's payload, from its first byte.

    Returns:
        Width and height in pixels, as the header has them.

    Raises:
        ImageError: it is of another format, its header is damaged, or it is too large.

    """
    try:
        width, height = _size(data)
    except (struct.error, IndexError, OverflowError) as error:
        raise ImageError('the compressed image is cut short or damaged: its header has no size') from error
    check_pixels(width, height)
    return width, height


def image_format(data: bytes) -> str:
    """The format of an image by its first bytes, such as ``PNG``; empty for none that is known here.

    HEIC (and AVIF, its like) and GIF are known by name only: they are not decoded.
    """
    if data[:8] == PNG_SIGNATURE:
        return 'PNG'
    if data[:2] == b'\xff\xd8':
        return 'JPEG'
    if data[:4] in (b'II*\0', b'MM\0*', b'II+\0', b'MM\0+'):
        return 'TIFF'
    if data[:2] == b'BM':
        return 'BMP'
    if data[:4] == b'RIFF' and data[8:12] == b'WEBP':
        return 'WebP'
    if data[4:8] == b'ftyp':
        return 'HEIC'
    return 'GIF' if data[:4] == b'GIF8' else ''


def _size(data: bytes) -> tuple[int, int]:
    measure = _SIZES.get(image_format(data))
    if measure is None:
        raise ImageError(f'the image is damaged or none of {", ".join(_SIZES)}')
    return measure(data)


def _bmp_size(data: bytes) -> tuple[int, int]:
    if struct.unpack_from('<I', data, 14)[0] < 16:
        return struct.unpack_from('<HH', data, 18)
    width, height = struct.unpack_from('<ii', data, 18)
    return width, abs(height)


def _png_size(data: bytes) -> tuple[int, int]:
    """Walk all chunks: decoders differ in what they make of damage, and give memory to a chunk before they read it."""
    if data[12:16] != b'IHDR':
        raise ImageError('the PNG is damaged: it does not begin with its header')
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
        if kind == b'acTL':
            raise _animated('PNG')
        at = end
    width, height = struct.unpack_from('>II', data, 16)
    return width, height


def _animated(kind: str) -> ImageError:
    # Whatever their number of frames, decoders keep several of the whole size.
    return ImageError(f'the {kind} is an animation, which is not decoded: give its frames as single images')


def _jpeg_size(data: bytes) -> tuple[int, int]:
    """The largest of all frame headers: a decoder takes one of them."""
    at, size, scans, progressive = 2, (0, 0), 0, False
    while (at := data.find(b'\xff', at)) >= 0 and at + 1 < len(data):
        marker = data[at + 1]
        if marker == 0xD9:
            break
        if marker in (0x00, 0xFF) or marker in _JPEG_BARE:  # a stuffed byte, filling, or no length
            at += 1 if marker == 0xFF else 2
            continue
        if at + 4 > len(data):
            break
        if marker in _JPEG_FRAMES and at + 9 <= len(data):
            height, width = struct.unpack_from('>HH', data, at + 5)
            size = max(size, (width, height), key=lambda one: one[0] * one[1])
            progressive |= marker in _JPEG_PROGRESSIVE
        scans += marker == 0xDA
        if scans and not progressive:
            break
        if scans > _JPEG_SCANS:
            raise ImageError(f'the JPEG goes over its image more than {_JPEG_SCANS} times')
        at += 2 + struct.unpack_from('>H', data, at + 2)[0]
    if size == (0, 0):
        raise ImageError('the compressed image is damaged: the JPEG has no frame header')
    return size


def _tiff_tags(data: bytes, tags: Collection[int]) -> Iterator[tuple[int, int]]:
    """Yield those tags of the first directory, and the number that each has in its entry."""
    order, big = '<' if data[:2] == b'II' else '>', data[2] == 43 or data[3] == 43
    (at,) = struct.unpack_from(f'{order}Q', data, 8) if big else struct.unpack_from(f'{order}I', data, 4)
    (count,) = struct.unpack_from(f'{order}Q' if big else f'{order}H', data, at)
    entry, start, value = (20, at + 8, 12) if big else (12, at + 2, 8)
    for n in range(min(count, 10_000)):
        tag, kind = struct.unpack_from(f'{order}HH', data, start + n * entry)
        if tag in tags:
            if kind not in _TIFF_TYPES:
                raise ImageError('the TIFF is damaged: its size is no whole number')
            yield tag, *struct.unpack_from(f'{order}{_TIFF_TYPES[kind]}', data, start + n * entry + value)


def _tiff_size(data: bytes) -> tuple[int, int]:
    """The largest sizes that the first directory names, of the image or of its tiles."""
    width = height = 0
    for tag, number in _tiff_tags(data, (*_TIFF_WIDTHS, *_TIFF_HEIGHTS)):
        width = max(width, number) if tag in _TIFF_WIDTHS else width
        height = max(height, number) if tag in _TIFF_HEIGHTS else height
    return width, height


def is_gray_tiff(data: bytes, bits: Collection[int]) -> bool:
    """Whether a TIFF has one channel of so many bits; False where its header is damaged."""
    try:
        found = dict(_tiff_tags(data, (_TIFF_BITS, _TIFF_CHANNELS)))
    except (struct.error, IndexError, OverflowError, ImageError):
        return False
    return found.get(_TIFF_CHANNELS, 1) == 1 and found.get(_TIFF_BITS, 1) in bits


def _webp_size(data: bytes) -> tuple[int, int]:
    kind = data[12:16]
    if kind == b'VP8X':
        if data[20] & _WEBP_ANIMATION:
            raise _animated('WebP')
        return 1 + int.from_bytes(data[24:27], 'little'), 1 + int.from_bytes(data[27:30], 'little')
    if kind == b'VP8L':
        bits = int.from_bytes(data[21:25], 'little')
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    width, height = struct.unpack_from('<HH', data, 26)
    return width & 0x3FFF, height & 0x3FFF


#: What reads the size of an image from its header, by format.
_SIZES: dict[str, Callable[[bytes], tuple[int, int]]] = {
    'PNG': _png_size,
    'JPEG': _jpeg_size,
    'TIFF': _tiff_size,
    'BMP': _bmp_size,
    'WebP': _webp_size,
}
