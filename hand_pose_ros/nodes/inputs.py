"""Camera messages to arrays and cameras; every problem becomes one ``ValueError`` with its reason."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from sensor_msgs.msg import CompressedImage, Image

from hand_pose_ros.imaging.compressed import decode_compressed
from hand_pose_ros.imaging.images import (
    COLOR_ENCODINGS,
    DEPTH_ENCODINGS,
    ENCODINGS,
    DepthImage,
    ImageError,
    color_in_bgr,
    view_image,
)


def read_depth(message: Image | CompressedImage, depth_unit: float) -> DepthImage:
    """Read a depth image.

    Args:
        message: raw image, or one packed by ``compressed_depth_image_transport``; it keeps the pixels.
        depth_unit: meters in one unit of an integer image.

    Raises:
        ImageError: the message is not a usable depth image, or all of it is holes.

    """
    image = _decompress(message) if isinstance(message, CompressedImage) else _view(message, DEPTH_ENCODINGS, 'depth')
    depth = DepthImage(image, depth_unit)
    if not (image if image.dtype.kind == 'u' else depth[:]).any():
        raise ImageError('every pixel is a hole (0, NaN or infinite): the camera sends no depth')
    return depth


def read_color(message: Image | CompressedImage) -> np.ndarray:
    """Read a color image: (H, W, 3) uint8 in bgr order; raises ImageError where the message is not a usable one."""
    if not isinstance(message, CompressedImage):
        return color_in_bgr(_view(message, tuple(COLOR_ENCODINGS), 'color'), message.encoding)
    image, encoding = decode_compressed(message.format, message.data)
    if encoding != 'bgr8':
        raise ImageError(f'format {message.format!r} holds depth, not color; set the parameter modality to depth')
    return image


def _view(message: Image, wanted: tuple[str, ...], what: str) -> np.ndarray:
    if message.encoding in wanted:
        return view_image(
            message.data, message.width, message.height, message.encoding, message.step, bool(message.is_bigendian)
        )
    if message.encoding in ENCODINGS:
        known = ', '.join(wanted[:6])
        raise ImageError(f'encoding {message.encoding!r} holds no {what}; {known} and others do')
    bridge = _cv_bridge()
    if isinstance(bridge, str):
        raise ImageError(
            f'encoding {message.encoding!r} is not one of {", ".join(wanted)}, '
            f'and cv_bridge, which may know it, {bridge}'
        )
    try:
        return np.asarray(bridge.imgmsg_to_cv2(message, desired_encoding='passthrough' if what == 'depth' else 'bgr8'))
    # cv_bridge lets through whatever its compiled part and OpenCV raise.
    except Exception as error:
        raise ImageError(
            f'encoding {message.encoding!r} is not one of {", ".join(wanted)}, '
            f'and cv_bridge failed on it ({type(error).__name__}: {error})'
        ) from error


def _decompress(message: CompressedImage) -> np.ndarray:
    image, encoding = decode_compressed(message.format, message.data)
    if encoding not in DEPTH_ENCODINGS:
        raise ImageError(f'format {message.format!r} holds no depth; use the compressedDepth transport')
    return image


@lru_cache(maxsize=1)
def _cv_bridge() -> Any:
    """Return a CvBridge, or a string that says why there is none; it is optional and breaks under NumPy 2."""
    try:
        from cv_bridge import CvBridge

        return CvBridge()
    except ModuleNotFoundError:
        return 'is not installed'
    # Built against NumPy 1, its compiled part fails with an ImportError or an AttributeError.
    except Exception as error:
        return f'does not load here ({type(error).__name__}: {error})'
