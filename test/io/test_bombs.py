"""Small files that would take large memory are refused before it is given to them."""

import struct
import tracemalloc
import zipfile
import zlib

import cv2
import numpy as np
import pytest

from hand_pose_ros.hand_model.arrays import LABELS, read_npy, read_npz
from hand_pose_ros.imaging.compressed import decode_color, decode_compressed, decode_depth_png
from hand_pose_ros.imaging.images import ImageError
from hand_pose_ros.imaging.rvl import decode_rvl
from hand_pose_ros.imaging.sizes import MAX_PIXELS, check_size
from hand_pose_ros.io.labels import LabelError, read_labels, read_mask

SMALL = np.zeros((48, 64, 3), np.uint8)


def png(width: int, height: int, depth: int = 16, color: int = 0, chunk: int | None = None) -> bytes:
    """A PNG of zeros; ``chunk`` is the length that its data claim to have."""

    def part(kind: bytes, data: bytes, length: int | None = None) -> bytes:
        size = struct.pack('>I', len(data) if length is None else length)
        return size + kind + data + struct.pack('>I', zlib.crc32(kind + data))

    header = struct.pack('>IIBBBBB', width, height, depth, color, 0, 0, 0)
    data = zlib.compress(bytes(1000))
    return b'\x89PNG\r\n\x1a\n' + part(b'IHDR', header) + part(b'IDAT', data, chunk) + part(b'IEND', b'')


def patched(suffix: str, at: bytes, size: bytes) -> bytes:
    """A small image whose header says another size, in the place of 48 and 64."""
    data = cv2.imencode(suffix, SMALL)[1].tobytes()
    assert data.count(at) >= 1
    return data.replace(at, size, 1)


BOMBS = {
    'png': png(20_000, 20_000),
    'png, wide': png(2**31 - 1, 1),
    'png, a chunk of 2 GB': png(64, 48, chunk=2**31 - 1),
    'jpeg': patched('.jpg', struct.pack('>HH', 48, 64), struct.pack('>HH', 65_000, 65_000)),
    'tiff': patched('.tiff', struct.pack('<HHIH', 256, 3, 1, 64), struct.pack('<HHIH', 256, 3, 1, 65_535)).replace(
        struct.pack('<HHIH', 257, 3, 1, 48), struct.pack('<HHIH', 257, 3, 1, 65_535)
    ),
    'webp': patched('.webp', b'WEBPVP8L', b'WEBPVP8X')[:24] + b'\xff\xff\x00\xff\xff\x00' + bytes(40),
    'bmp': patched('.bmp', struct.pack('<ii', 64, 48), struct.pack('<ii', 30_000, 30_000)),
    'gif': b'GIF89a' + struct.pack('<HH', 65_000, 65_000) + bytes(100),
}


@pytest.mark.parametrize('name', BOMBS)
def test_images_are_measured_before_they_are_decoded(name, tmp_path):
    data = BOMBS[name]
    (tmp_path / 'mask.png').write_bytes(data)
    tracemalloc.start()
    try:
        for decode in (
            decode_color,
            decode_depth_png,
            lambda data: decode_compressed('rgb8; jpeg compressed bgr8', data),
            lambda data: decode_compressed('16UC1; compressedDepth png', bytes(12) + data),
        ):
            with pytest.raises(ImageError):
                decode(data)
        with pytest.raises(LabelError, match='mask.png'):
            read_mask(tmp_path / 'mask.png')
        assert tracemalloc.get_traced_memory()[1] < 20e6
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize('suffix', ['.png', '.jpg', '.tiff', '.webp', '.bmp'])
@pytest.mark.parametrize('shape', [(48, 64), (1, 1), (37, 301)])
def test_the_sizes_of_real_images_are_right(suffix, shape):
    image = np.random.default_rng(0).integers(0, 255, (*shape, 3)).astype(np.uint8)
    assert check_size(cv2.imencode(suffix, image)[1].tobytes()) == shape[::-1]


def test_a_progressive_jpeg_may_not_go_over_its_image_for_ever():
    data = cv2.imencode('.jpg', SMALL, [cv2.IMWRITE_JPEG_PROGRESSIVE, 1])[1].tobytes()
    assert check_size(data) == (64, 48)
    scan = data.index(b'\xff\xda')
    with pytest.raises(ImageError, match='more than 100 times'):
        check_size(data[:-2] + data[scan:-2] * 200 + data[-2:])


def webp_animation() -> bytes:
    """A WebP of many small frames on a large canvas."""
    still = cv2.imencode('.webp', SMALL)[1].tobytes()[12:]
    side = (7935).to_bytes(3, 'little')
    canvas = b'VP8X' + struct.pack('<I', 10) + b'\x02\0\0\0' + side + side
    frame = b'ANMF' + struct.pack('<I', 16 + len(still)) + bytes(6) + b'\x3f\0\0\x2f\0\0' + bytes(4) + still
    body = b'WEBP' + canvas + b'ANIM' + struct.pack('<I', 6) + bytes(6) + 20 * frame
    return b'RIFF' + struct.pack('<I', len(body)) + body


def png_animation() -> bytes:
    still = png(64, 48)
    control = b'acTL' + struct.pack('>II', 2, 0)
    return still[:33] + struct.pack('>I', 8) + control + struct.pack('>I', zlib.crc32(control)) + still[33:]


@pytest.mark.parametrize('data', [webp_animation(), png_animation()], ids=['webp', 'png'])
def test_animations_are_not_decoded(data):
    with pytest.raises(ImageError, match='is an animation'):
        decode_color(data)


@pytest.mark.parametrize(
    ('size', 'words', 'count', 'message'),
    [
        ((1, 1), 0x01010101, 1_000_000, 'too many for 1x1'),
        ((700, 700), 0, 1_000_000, 'damaged or cut short'),
        ((8000, 8000), 0xFFFFFFFF, 1_000_000, 'too many bits'),
    ],
    ids=['beyond the image', 'empty runs', 'a number without an end'],
)
def test_rvl_is_decoded_no_further_than_its_image_goes(size, words, count, message):
    data = struct.pack('<ii', *size) + struct.pack('<I', words) * count
    tracemalloc.start()
    try:
        with pytest.raises(ImageError, match=message):
            decode_rvl(data)
        assert tracemalloc.get_traced_memory()[1] < 20e6 + 2 * size[0] * size[1]
    finally:
        tracemalloc.stop()


def test_phones_photographs_are_within_the_limit():
    assert 8160 * 6144 < MAX_PIXELS and 3840 * 2160 < MAX_PIXELS


def test_arrays_are_measured_before_they_are_unpacked(tmp_path):
    header = np.lib.format.header_data_from_array_1_0(np.zeros(1))
    with open(tmp_path / 'a.npy', 'wb') as stream:
        np.lib.format.write_array_header_1_0(stream, header | {'shape': (10**12, 21, 3)})
    with pytest.raises(ValueError, match='promises'):
        read_npy(tmp_path / 'a.npy')
    with (
        zipfile.ZipFile(tmp_path / 'a.npz', 'w', zipfile.ZIP_DEFLATED) as archive,
        archive.open('joints.npy', 'w') as out,
    ):
        # What is a byte here becomes eight.
        np.lib.format.write_array_header_1_0(out, header | {'descr': '|b1', 'shape': (1_100_000, 20, 3)})
        for _ in range(66):
            out.write(bytes(1_000_000))
    assert (tmp_path / 'a.npz').stat().st_size < 1e6
    with pytest.raises(ValueError, match='no side may be longer than 100000'):
        read_npz(tmp_path / 'a.npz')
    with pytest.raises(ValueError, match='in double precision its arrays take more than 512 MB'):
        read_npz(tmp_path / 'a.npz', LABELS)
    for name in ('a.npy', 'a.npz'):
        with pytest.raises(LabelError, match=name):
            read_labels(tmp_path / name)


@pytest.mark.parametrize(
    ('start', 'words'),
    [
        (b'\x93NUMPY\2\0' + struct.pack('<I', 50_000_000), 'EOF'),
        (b"\x93NUMPY\1\0\x80\0{'descr': '|S0', 'fortran_order': False, 'shape': (10**12,)}".ljust(138), 'npy'),
        (b"\x93NUMPY\1\0\x80\0{'descr': '|S0', 'fortran_order': False, 'shape': (9999999, 21, 3)}".ljust(138), 'MB'),
        (b"\x93NUMPY\1\0\x80\0{'descr': '|V0', 'fortran_order': False, 'shape': (9, 21, 3)}".ljust(138), 'neither'),
    ],
    ids=['header', 'no shape', 'elements without bytes', 'nothing'],
)
def test_headers_of_arrays_are_measured_too(start, words, tmp_path):
    with zipfile.ZipFile(tmp_path / 'a.npz', 'w', zipfile.ZIP_DEFLATED) as archive:
        archive.writestr('joints.npy', start + bytes(50_000_000))
    (tmp_path / 'a.npy').write_bytes(start)
    tracemalloc.start()
    try:
        for path in (tmp_path / 'a.npy', tmp_path / 'a.npz'):
            with pytest.raises(LabelError, match=words):
                read_labels(path)
        assert tracemalloc.get_traced_memory()[1] < 20e6
    finally:
        tracemalloc.stop()


def test_an_archive_has_few_arrays(tmp_path):
    np.savez(tmp_path / 'a.npz', **{f'a{n}': np.zeros(1) for n in range(1001)})
    with pytest.raises(ValueError, match='more than 1000 arrays'):
        read_npz(tmp_path / 'a.npz')


def test_a_directory_beyond_all_addresses_is_damage():
    data = b'II+\0' + struct.pack('<HHQ', 8, 0, 2**63 + 1) + bytes(40)
    with pytest.raises(ImageError, match='cut short or damaged'):
        check_size(data)
