"""Images in the encodings and codes that cameras send."""

import struct

import cv2
import numpy as np
import pytest

from hand_pose_ros.imaging.compressed import decode_compressed, encode_depth, is_depth
from hand_pose_ros.imaging.images import (
    COLOR_ENCODINGS,
    ENCODINGS,
    DepthImage,
    ImageError,
    color_in_bgr,
    explain_emptiness,
    view_image,
)
from hand_pose_ros.imaging.rvl import decode_rvl

#: A picture of three even fields: blue, green and red.
PICTURE = np.zeros((32, 48, 3), np.uint8)
PICTURE[:, :16], PICTURE[:, 16:32], PICTURE[:, 32:] = (200, 30, 20), (20, 180, 40), (40, 20, 220)


def coded(encoding):
    """The picture's bytes in an encoding, and bytes in a row."""
    bgr = PICTURE
    if encoding.startswith('bayer'):
        pattern = encoding[6:10]
        image = np.zeros(bgr.shape[:2], np.uint8)
        for n, letter in enumerate(pattern):
            y, x = divmod(n, 2)
            image[y::2, x::2] = bgr[y::2, x::2, 'bgr'.index(letter)]
    elif encoding in ('yuv422', 'uyvy', 'yuv422_yuy2', 'yuyv'):
        yuv = cv2.cvtColor(bgr, cv2.COLOR_BGR2YUV)
        image = np.empty((*bgr.shape[:2], 2), np.uint8)
        luma = 1 if encoding in ('yuv422', 'uyvy') else 0
        image[..., luma] = yuv[..., 0]
        image[:, ::2, 1 - luma], image[:, 1::2, 1 - luma] = yuv[:, ::2, 1], yuv[:, ::2, 2]
    elif encoding in ('nv12', 'nv21', 'i420', 'yv12'):
        i420 = cv2.cvtColor(bgr, cv2.COLOR_BGR2YUV_I420)
        luma, u, v = np.split(i420.ravel(), [bgr[..., 0].size, bgr[..., 0].size * 5 // 4])
        parts = {'i420': (luma, u, v), 'yv12': (luma, v, u)}.get(encoding)
        if parts is None:
            parts = (luma, np.stack([u, v] if encoding == 'nv12' else [v, u], 1).ravel())
        return np.concatenate(parts).tobytes(), bgr.shape[1]
    else:
        channels = ENCODINGS[encoding][1]
        order = {'rgb': cv2.COLOR_BGR2RGB, 'rgba': cv2.COLOR_BGR2RGBA, 'bgra': cv2.COLOR_BGR2BGRA}
        name = encoding.rstrip('0123456789')
        image = cv2.cvtColor(bgr, order[name]) if name in order else bgr
        if channels == 1:
            image = cv2.cvtColor(bgr, cv2.COLOR_BGR2GRAY)
        elif channels == 4 and name not in order:
            image = cv2.cvtColor(bgr, cv2.COLOR_BGR2BGRA)
    if ENCODINGS[encoding][0] == 'u2':
        image = image.astype(np.uint16) * 257
    return image.tobytes(), image.strides[0]


@pytest.mark.parametrize('encoding', COLOR_ENCODINGS)
def test_every_color_encoding_shows_the_same(encoding):
    data, step = coded(encoding)
    image = color_in_bgr(view_image(data, 48, 32, encoding, step), encoding)
    assert image.shape == (32, 48, 3) and image.dtype == np.uint8
    middle = image[8:24, [8, 24, 40]].astype(float).mean(0)
    # OpenCV's yuv has another range than video's.
    tolerance = 40 if any(part in encoding for part in ('yu', 'yv', 'nv', 'i420')) else 3
    gray = encoding in ('mono8', 'mono16', '8UC1')
    expected = PICTURE[16, [8, 24, 40]].astype(float)
    if gray:
        expected = np.repeat(cv2.cvtColor(PICTURE, cv2.COLOR_BGR2GRAY)[16, [8, 24, 40]][:, None], 3, 1).astype(float)
    assert middle == pytest.approx(expected, abs=tolerance)


def test_odd_sizes_and_short_buffers_are_refused():
    with pytest.raises(ImageError, match='even'):
        view_image(bytes(100), 5, 4, 'nv12', 5)
    with pytest.raises(ImageError, match='holds'):
        view_image(bytes(24), 6, 4, 'nv12', 6)


def encode_rvl(image):
    """The code as Wilson's paper has it, number by number."""
    groups = []

    def put(value):
        while True:
            low, value = value & 7, value >> 3
            groups.append(low | 8 if value else low)
            if not value:
                return

    pixels, at, before = image.ravel().astype(int), 0, 0
    while at < len(pixels):
        start = at
        while at < len(pixels) and pixels[at] == 0:
            at += 1
        put(at - start)
        start = at
        while at < len(pixels) and pixels[at]:
            at += 1
        put(at - start)
        for value in pixels[start:at]:
            delta = int(value) - before
            put((delta << 1) ^ (delta >> 31))
            before = int(value)
    groups += [0] * (-len(groups) % 8)
    words = [int(''.join(f'{group:x}' for group in groups[n : n + 8]), 16) for n in range(0, len(groups), 8)]
    return struct.pack('<ii', *image.shape[::-1]) + struct.pack(f'<{len(words)}I', *words)


def test_rvl_is_read_as_it_was_written():
    rng = np.random.default_rng(3)
    image = rng.integers(300, 60000, (20, 31)).astype(np.uint16)
    image[rng.random(image.shape) < 0.4] = 0
    assert np.array_equal(decode_rvl(encode_rvl(image)), image)
    data = bytes(12) + encode_rvl(image)
    found, encoding = decode_compressed('16UC1; compressedDepth rvl', data)
    assert encoding == '16UC1' and np.array_equal(found, image)
    for damaged in (data[:15], data[:60], data[:20] + b'\xff' * 200):
        with pytest.raises(ImageError):
            decode_compressed('16UC1; compressedDepth rvl', damaged)


def test_what_a_payload_holds_its_bytes_tell():
    depth = np.full((8, 9), 700, np.uint16)
    png = cv2.imencode('.png', depth)[1].tobytes()
    for name in ('png', '16UC1; png compressed ', 'jpeg', ''):
        found, encoding = decode_compressed(name, png)
        assert encoding == '16UC1' and np.array_equal(found, depth), name
    assert is_depth('png', encode_depth(depth)[1]) and not is_depth('png', cv2.imencode('.png', PICTURE)[1].tobytes())
    assert decode_compressed('png', cv2.imencode('.png', PICTURE)[1].tobytes())[1] == 'bgr8'


def test_why_a_depth_image_can_hold_no_hand():
    far = DepthImage(np.full((48, 64), 2400, np.uint16), 0.001)
    assert 'depth_unit' in explain_emptiness(far, 0.15, 1.5) and '2.40 m' in explain_emptiness(far, 0.15, 1.5)
    millimeters = DepthImage(np.full((48, 64), 600.0, np.float32))
    assert 'millimeters' in explain_emptiness(millimeters, 0.15, 1.5)
    assert 'holes' in explain_emptiness(DepthImage(np.zeros((48, 64), np.uint16), 0.001), 0.15, 1.5)
    near = far.pixels.copy()
    near[10:20, 10:20] = 500
    assert explain_emptiness(DepthImage(near, 0.001), 0.15, 1.5) == ''
