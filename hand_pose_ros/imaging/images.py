"""Raw camera images to arrays: the encodings of ``sensor_msgs/Image``, without ROS and without copies."""

from __future__ import annotations

from array import array
from dataclasses import dataclass
from typing import TypeAlias

import cv2
import numpy as np

#: The bytes of a message: what rclpy and rosbags give, and what this package packs.
Buffer: TypeAlias = 'bytes | bytearray | memoryview | array[int] | np.ndarray'

#: Encoding -> (dtype, channels) of every raw encoding read here; those in parts have rows of their own below the first.
ENCODINGS = {
    '16UC1': ('u2', 1),
    'mono16': ('u2', 1),
    '32FC1': ('f4', 1),
    'mono8': ('u1', 1),
    '8UC1': ('u1', 1),
    '8UC3': ('u1', 3),
    '8UC4': ('u1', 4),
    'rgb8': ('u1', 3),
    'bgr8': ('u1', 3),
    'rgba8': ('u1', 4),
    'bgra8': ('u1', 4),
    'rgb16': ('u2', 3),
    'bgr16': ('u2', 3),
    'rgba16': ('u2', 4),
    'bgra16': ('u2', 4),
    '16UC3': ('u2', 3),
    **{f'bayer_{order}8': ('u1', 1) for order in ('rggb', 'bggr', 'gbrg', 'grbg')},
    **{f'bayer_{order}16': ('u2', 1) for order in ('rggb', 'bggr', 'gbrg', 'grbg')},
    **dict.fromkeys(('yuv422', 'uyvy', 'yuv422_yuy2', 'yuyv'), ('u1', 2)),
    **dict.fromkeys(('nv12', 'nv21', 'i420', 'yv12'), ('u1', 1)),
}

DEPTH_ENCODINGS = ('16UC1', 'mono16', '32FC1')

#: Encoding of a color (or gray) image -> what turns it into bgr8, once it has 8 bits.
COLOR_ENCODINGS = {
    'bgr8': None,
    'rgb8': cv2.COLOR_RGB2BGR,
    'rgba8': cv2.COLOR_RGBA2BGR,
    'bgra8': cv2.COLOR_BGRA2BGR,
    'mono8': cv2.COLOR_GRAY2BGR,
    'mono16': cv2.COLOR_GRAY2BGR,
    '8UC1': cv2.COLOR_GRAY2BGR,
    # What cv_bridge makes of an array without a word on its order is OpenCV's.
    '8UC3': None,
    '8UC4': cv2.COLOR_BGRA2BGR,
    '16UC3': None,
    'bgr16': None,
    'rgb16': cv2.COLOR_RGB2BGR,
    'rgba16': cv2.COLOR_RGBA2BGR,
    'bgra16': cv2.COLOR_BGRA2BGR,
    # ROS names a pattern by its first row, OpenCV by the second row's second and third pixel.
    **{f'bayer_rggb{bits}': cv2.COLOR_BayerBG2BGR for bits in (8, 16)},
    **{f'bayer_bggr{bits}': cv2.COLOR_BayerRG2BGR for bits in (8, 16)},
    **{f'bayer_gbrg{bits}': cv2.COLOR_BayerGR2BGR for bits in (8, 16)},
    **{f'bayer_grbg{bits}': cv2.COLOR_BayerGB2BGR for bits in (8, 16)},
    'yuv422': cv2.COLOR_YUV2BGR_UYVY,
    'uyvy': cv2.COLOR_YUV2BGR_UYVY,
    'yuv422_yuy2': cv2.COLOR_YUV2BGR_YUY2,
    'yuyv': cv2.COLOR_YUV2BGR_YUY2,
    'nv12': cv2.COLOR_YUV2BGR_NV12,
    'nv21': cv2.COLOR_YUV2BGR_NV21,
    'i420': cv2.COLOR_YUV2BGR_I420,
    'yv12': cv2.COLOR_YUV2BGR_YV12,
}
#: Encodings whose colors, at half the size, are in rows below those of the brightness.
PLANAR = ('nv12', 'nv21', 'i420', 'yv12')


#: What selects a part of an image: slices, masks, index arrays, one or two of them.
Index: TypeAlias = 'slice | np.ndarray | int | tuple[slice | np.ndarray | int, ...]'


class ImageError(ValueError):
    """An image that cannot be used; the message says what is wrong with it."""


def view_image(
    data: Buffer, width: int, height: int, encoding: str, step: int, is_bigendian: bool = False
) -> np.ndarray:
    """View the bytes of a raw image as an array, without copying them.

    Args:
        data: buffer of at least ``step * height`` bytes.
        width: pixels in a row.
        height: rows.
        encoding: one of ``ENCODINGS``.
        step: bytes from one row to the next; padding after the pixels is allowed.
        is_bigendian: byte order of samples wider than a byte.

    Returns:
        (height, width) or (height, width, channels) array that shares memory with ``data``; half as many rows again for
        ``PLANAR`` ones.

    Raises:
        ImageError: the encoding is unknown, or the sizes do not fit together.

    """
    if encoding not in ENCODINGS:
        raise ImageError(f'encoding {encoding!r} is not supported; use one of {", ".join(ENCODINGS)}')
    kind, channels = ENCODINGS[encoding]
    dtype = np.dtype(('>' if is_bigendian else '<') + kind)
    if width <= 0 or height <= 0:
        raise ImageError(f'the image is empty ({width}x{height})')
    if encoding in PLANAR:
        if width % 2 or height % 2:
            raise ImageError(f'an image of {width}x{height} cannot be {encoding}, which takes even sides')
        height += height // 2
    row = width * channels * dtype.itemsize
    if step < row:
        raise ImageError(f'step is {step} bytes, but a row of {width} {encoding} pixels takes {row}')
    raw = np.frombuffer(data, dtype=np.uint8)
    if raw.size < step * height:
        raise ImageError(f'the image holds {raw.size} bytes; {height} rows of {step} bytes need {step * height}')
    rows = raw[: step * height].reshape(height, step)[:, :row]
    pixels = (
        rows.view(dtype)
        if rows.flags.c_contiguous or dtype.itemsize == 1
        else np.ndarray((height, width * channels), dtype, buffer=raw, strides=(step, dtype.itemsize))
    )
    return pixels.reshape(height, width, channels) if channels > 1 else pixels


def color_in_bgr(image: np.ndarray, encoding: str) -> np.ndarray:
    """Convert an image of one of ``COLOR_ENCODINGS`` to (H, W, 3) uint8 in bgr order, without a copy where it is so."""
    if image.dtype.itemsize == 2:
        image = in_8_bits(image)
    # What cv_bridge made of another encoding is bgr8 already.
    conversion = COLOR_ENCODINGS.get(encoding)
    if conversion is None:
        return image
    try:
        return cv2.cvtColor(np.ascontiguousarray(image), conversion)
    except cv2.error as error:
        raise ImageError(f'{image.shape[1]}x{image.shape[0]} pixels cannot be of encoding {encoding!r}') from error


#: Bits that cameras with more than 8 use of the 16 of a pixel.
USED_BITS = (10, 12, 14, 16)


def in_8_bits(image: np.ndarray) -> np.ndarray:
    """Scale a color or gray image of uint16 to uint8 by the bits that are used: few cameras fill all 16."""
    # Drivers fill the opacity to the full whatever the colors have.
    greatest = int((image[..., :3] if image.ndim == 3 else image).max(initial=0))
    bits = next(bits for bits in USED_BITS if greatest < 1 << bits)
    return (image >> (bits - 8)).astype(np.uint8)


def depth_in_meters(image: np.ndarray, depth_unit: float, near: float = 0.0, far: float = np.inf) -> np.ndarray:
    """Convert a depth image to float32 meters with 0 for every hole.

    Args:
        image: (H, W) unsigned integers in units of ``depth_unit`` meters, or floats in meters.
        depth_unit: meters in one unit of an integer image.
        near: closer returns become holes, meters.
        far: farther returns become holes, meters.

    Returns:
        (H, W) float32 meters; 0, NaN, infinite and out-of-range pixels are 0.

    Raises:
        ImageError: the image is not a single-channel integer or float array.

    """
    if image.ndim != 2 or image.dtype.kind not in 'uif':
        raise ImageError(f'a depth image has one channel of integers or floats, not {image.shape} {image.dtype}')
    depth = image.astype(np.float32, order='C')
    if image.dtype.kind == 'f':
        cv2.patchNaNs(depth, 0)
    else:
        depth *= np.float32(depth_unit)
    cv2.threshold(depth, float(np.nextafter(np.float32(max(near, 1e-6)), np.float32(0))), 0, cv2.THRESH_TOZERO, depth)
    cv2.threshold(depth, min(far, float(np.finfo(np.float32).max)), 0, cv2.THRESH_TOZERO_INV, depth)
    return depth


@dataclass(frozen=True)
class DepthImage:
    """A depth image as its camera sent it, of which only those pixels become meters that are read.

    Tracking reads a few thousand of an image's hundreds of thousands.

    Attributes:
        pixels: (H, W) uint16 in units of ``unit`` meters, or float32 meters; 0, NaN and infinite are holes.
        unit: meters in one unit of an integer image.
        near: closer returns are holes, meters.
        far: farther returns are holes, meters.

    """

    pixels: np.ndarray
    unit: float = 1.0
    near: float = 0.0
    far: float = np.inf

    @property
    def shape(self) -> tuple[int, ...]:
        """Rows and columns."""
        return self.pixels.shape

    def __getitem__(self, where: Index) -> np.ndarray:
        """Return a part as numpy would, float32 meters with 0 for every hole."""
        return depth_in_meters(self.pixels[where], self.unit, self.near, self.far)

    def in_native_order(self) -> DepthImage:
        """The same with pixels as OpenCV takes them: uint16 or float32 in this machine's byte order."""
        if self.pixels.dtype in (np.uint16, np.float32):
            return self
        return DepthImage(depth_in_meters(self.pixels, self.unit), near=self.near, far=self.far)

    def warp(self, inverse: np.ndarray, size: int) -> np.ndarray:
        """Return (size, size) float32 meters, 0 for holes: each pixel the nearest to where ``inverse`` (2, 3) says."""
        warped = cv2.warpAffine(
            self.pixels,
            inverse,
            (size, size),
            flags=cv2.INTER_NEAREST | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_CONSTANT,
            borderValue=0,
        )
        return depth_in_meters(warped, self.unit, self.near, self.far)


#: With less than this share of the image within reach, and most of its depth outside, what is there is no hand's scene.
LEAST_WITHIN = 0.03
#: No camera for hands sees farther, meters.
MOST_METERS = 50.0
#: Neighbors differ at least so many times more as read than with swapped bytes where the bytes are swapped.
SWAPPED_RATIO = 10.0
#: Values that are no depth in any unit lie outside.
DEPTH_VALUES = (1e-3, 1e5)


def explain_emptiness(depth: DepthImage, near: float, far: float) -> str:
    """Say why no hand is found in a depth image, for people; empty where nothing is wrong with it.

    Args:
        depth: whatever its own limits are.
        near: closer returns are ignored, meters.
        far: farther returns are ignored, meters.

    """
    step = max(1, min(depth.shape[:2]) // 120)
    if _is_swapped(depth.pixels[::step]):
        return (
            'the bytes of its depth values are swapped: neighbors differ far less the other way round; correct '
            'is_bigendian of the image, or the byte order of what wrote it'
        )
    measured = DepthImage(depth.pixels[::step, ::step], depth.unit)[:]
    seen = measured[measured > 0]
    if not seen.size:
        return 'the depth image holds nothing but holes'
    within = np.count_nonzero((seen >= near) & (seen <= far)) / measured.size
    median = float(np.median(seen))
    if within < LEAST_WITHIN and not near <= median <= far:
        return _explain_distance(depth, within, median, near, far)
    if seen.size > 1 and seen.min() == seen.max():
        return f'all of the depth is {median:.3f} m: does the camera measure anything?'
    return ''


def _explain_distance(depth: DepthImage, within: float, median: float, near: float, far: float) -> str:
    """Say where the depth is instead, and which parameter that may come from."""
    where = (
        f'only {within:.1%} of the image lies within {near:g} to {far:g} m (parameters near, far), of its depth half '
        'beyond '
    )
    if depth.pixels.dtype.kind != 'f':
        return f'{where}{median:.2f} m: is depth_unit, {depth.unit:g} m, the unit of this camera?'
    if median > MOST_METERS:
        return f'{where}{median:g} m: a 32FC1 image is in meters, and this one seems to be in millimeters'
    return f'{where}{median:.2f} m'


def _is_swapped(pixels: np.ndarray) -> bool:
    """Whether the bytes of depth values are in the other order: neighbors are much alike, but not their low bytes."""
    return pixels.dtype.itemsize > 1 and _roughness(pixels) > SWAPPED_RATIO * _roughness(pixels.byteswap())


def _roughness(pixels: np.ndarray) -> float:
    """The mean difference of neighbors in a row, in the image's unit; infinite where most are no depth in any unit."""
    values = pixels.astype(np.float32)
    some = np.isfinite(values) & (values != 0)
    usable = some & (values >= DEPTH_VALUES[0]) & (values <= DEPTH_VALUES[1])
    pairs = usable[:, 1:] & usable[:, :-1]
    if 2 * np.count_nonzero(pairs) <= np.count_nonzero(some[:, 1:] & some[:, :-1]):
        return np.inf
    return float(np.abs(values[:, 1:] - values[:, :-1])[pairs].mean())
