"""Images in the encodings and codes that cameras send."""

import struct

import cv2
import numpy as np
import pytest

from hand_pose_ros.imaging.compressed import (
    decode_color,
    decode_compressed,
    decode_depth,
    encode_depth,
    holds_depth,
    is_depth,
)
from hand_pose_ros.imaging.images import (
    COLOR_ENCODINGS,
    ENCODINGS,
    DepthImage,
    ImageError,
    color_in_bgr,
    explain_emptiness,
    in_8_bits,
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


@pytest.mark.parametrize('bits', [10, 12, 14, 16])
@pytest.mark.parametrize('encoding', [one for one in COLOR_ENCODINGS if ENCODINGS[one][0] == 'u2'])
def test_colors_of_fewer_than_16_bits_are_as_bright(encoding, bits):
    data, step = coded(encoding)
    full = view_image(data, 48, 32, encoding, step)
    used = full >> (16 - bits)
    if full.ndim == 3 and full.shape[2] == 4:
        used[..., 3] = 65535
    # The fields' greatest value is 220 of 255: of each number of bits it takes the highest one.
    np.testing.assert_array_equal(color_in_bgr(used, encoding), color_in_bgr(full, encoding))


@pytest.mark.parametrize('suffix', ['.png', '.tiff'])
@pytest.mark.parametrize('bits', [12, 16])
@pytest.mark.parametrize('channels', [1, 3])
def test_files_of_16_bits_are_read_as_color_too(suffix, bits, channels):
    image = PICTURE if channels == 3 else PICTURE[..., 2]
    data = cv2.imencode(suffix, (image.astype(np.uint16) * 257) >> (16 - bits))[1].tobytes()
    np.testing.assert_array_equal(decode_color(data), image if channels == 3 else np.repeat(image[..., None], 3, 2))
    assert holds_depth(data) == (channels == 1)


def test_black_stays_black():
    assert not in_8_bits(np.zeros((4, 4), np.uint16)).any()


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


@pytest.mark.parametrize(
    ('shape', 'holes'), [((20, 31), 0.4), ((20, 31), 0.9), ((200, 401), 0.4), ((200, 401), 0)], ids=str
)
def test_rvl_is_read_as_it_was_written(shape, holes):
    rng = np.random.default_rng(3)
    image = rng.integers(300, 60000, shape).astype(np.uint16)
    image[rng.random(image.shape) < holes] = 0
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


def test_depth_is_read_from_tiff_files():
    depth = np.arange(300, 372, dtype=np.uint16).reshape(8, 9)
    for image in (depth, depth.astype(np.float32) / 1000):
        data = cv2.imencode('.tiff', image)[1].tobytes()
        assert holds_depth(data)
        np.testing.assert_array_equal(decode_depth(data), image)
    color = cv2.imencode('.tiff', PICTURE)[1].tobytes()
    assert not holds_depth(color) and not holds_depth(color[:40])
    with pytest.raises(ImageError, match='one channel'):
        decode_depth(color)
    with pytest.raises(ImageError, match='8 or 16 bits'):
        decode_color(cv2.imencode('.tiff', PICTURE.astype(np.float32))[1].tobytes())


@pytest.mark.parametrize('name', ['32FC1; compressedDepth png', 'compressedDepth', 'png', ''])
def test_quantized_depth_is_meters_whatever_its_format_says(name):
    depth = np.linspace(0.3, 1.4, 72, dtype=np.float32).reshape(8, 9)
    found, encoding = decode_compressed(name, encode_depth(depth)[1])
    assert encoding == '32FC1' and found == pytest.approx(depth, rel=3e-4)


@pytest.mark.parametrize('name', ['16UC1; compressedDepth', 'mono16; compressedDepth', 'compressedDepth'])
@pytest.mark.parametrize('steps', [(0, 0), (1e-38, 3e20), (-4.0, 1.0), (float('nan'), 0.0), (5.0, 0.999999)])
def test_steps_that_mean_nothing_are_left_alone(name, steps):
    depth = np.full((8, 9), 700, np.uint16)
    data = struct.pack('<iff', 0, *steps) + cv2.imencode('.png', depth)[1].tobytes()
    found, encoding = decode_compressed(name, data)
    assert encoding == '16UC1' and np.array_equal(found, depth)


@pytest.mark.parametrize(
    ('name', 'data'),
    [
        ('h264', b'\0\0\0\1gabc' * 10),
        ('16UC1; zstd', b'\x28\xb5\x2f\xfd' + bytes(100)),
        ('16UC1; tiff compressed', cv2.imencode('.tiff', np.full((8, 9), 700, np.uint16))[1].tobytes()),
    ],
)
def test_what_cannot_be_unpacked_names_its_format(name, data):
    with pytest.raises(ImageError, match=f"the format of the message is '{name}'"):
        decode_compressed(name, data)


def slope(distance):
    """Millimeters of a surface that is about so far away, with the noise of a camera."""
    rows, columns = np.mgrid[:48, :64]
    noise = np.random.default_rng(0).normal(0, 1.5, (48, 64))
    return (distance + 3 * rows + 2 * columns + noise).astype(np.uint16)


def some(image, share, value):
    """The image with a share of its pixels at another value, spread over it."""
    return np.where(np.random.default_rng(1).random(image.shape) < share, value, image).astype(image.dtype)


def strip(image, rows, value):
    """The image with another value in its last rows."""
    return np.concatenate([image[:-rows], np.full_like(image[-rows:], value)])


HAND = np.zeros((48, 64), np.uint16)
HAND[20:25, 30:36] = slope(500)[20:25, 30:36]
BACKGROUND = np.where(HAND > 0, HAND, slope(2400))


@pytest.mark.parametrize(
    ('pixels', 'words'),
    [
        (np.zeros((48, 64), np.uint16), 'nothing but holes'),
        (np.full((48, 64), 2400, np.uint16), 'half beyond 2.40 m: is depth_unit'),
        (np.full((48, 64), 600.0, np.float32), 'millimeters'),
        (np.full((48, 64), 700, np.uint16), 'all of the depth is 0.700 m'),
        (np.where(HAND > 0, 700, 0).astype(np.uint16), 'all of the depth is 0.700 m'),
        (slope(600).byteswap(), 'is_bigendian'),
        (HAND.byteswap(), 'is_bigendian'),
        ((slope(600) / 1000).astype(np.float32).byteswap(), 'is_bigendian'),
        (some(4 * slope(600), 0.003, 1000), 'is depth_unit, 0.001 m, the unit of this camera'),
        (
            strip(slope(2000), 1, 1000),
            'only 2.1% of the image lies within 0.15 to 1.5 m (parameters near, far), of its depth half',
        ),
        ((strip(slope(2000), 1, 1000) / 1000).astype(np.float32), 'half beyond 2.'),
    ],
)
def test_nothing_found_in_depth_says_why(pixels, words):
    assert words in explain_emptiness(DepthImage(pixels, 0.001), 0.15, 1.5)
    assert words in explain_emptiness(DepthImage(pixels.astype(pixels.dtype.newbyteorder('>')), 0.001), 0.15, 1.5)


@pytest.mark.parametrize(
    'pixels',
    [slope(600), HAND, strip(slope(2000), 20, 1000), some(slope(600), 0.3, 0), slope(60), slope(1200) // 10 * 10],
    ids=['near', 'hand', 'table', 'holes', 'close', 'steps'],
)
@pytest.mark.parametrize('kind', ['integers', 'floats'])
def test_a_depth_image_that_could_show_a_hand_is_not_blamed(pixels, kind):
    seen = pixels if kind == 'integers' else np.where(pixels > 0, pixels / 1000, np.nan).astype(np.float32)
    assert explain_emptiness(DepthImage(seen, 0.001), 0.1, 1.5) == ''


def test_a_hand_before_a_far_wall_is_beside_the_point():
    # Asked for only where no hand is found: then that the rest is far is worth a word.
    assert 'half beyond 2.' in explain_emptiness(DepthImage(BACKGROUND, 0.001), 0.15, 1.5)
