"""Folders of images: their order, and what they hold by their bytes."""

import struct
import zlib

import cv2
import numpy as np
import pytest

from hand_pose_ros.io.folder import folder_images, kind_of_images
from hand_pose_ros.io.frame import RecordingError

DEPTH = np.random.default_rng(0).integers(200, 1500, (24, 32)).astype(np.uint16)
COLOR = np.random.default_rng(0).integers(0, 255, (24, 32, 3)).astype(np.uint8)
HEIC = b'\0\0\0\x18ftypheic' + bytes(100)


def coded(suffix, image):
    return cv2.imencode(suffix, image)[1].tobytes()


def palette_png():
    """An 8x4 PNG of one of 16 colors a pixel, which OpenCV does not write."""

    def chunk(kind, data):
        return struct.pack('>I', len(data)) + kind + data + struct.pack('>I', zlib.crc32(kind + data))

    header = struct.pack('>IIBBBBB', 8, 4, 4, 3, 0, 0, 0)
    rows = zlib.compress((b'\0' + b'\x01\x23\x45\x67') * 4)
    parts = chunk(b'IHDR', header), chunk(b'PLTE', bytes(range(48))), chunk(b'IDAT', rows), chunk(b'IEND', b'')
    return b'\x89PNG\r\n\x1a\n' + b''.join(parts)


@pytest.fixture
def folder(tmp_path):
    def fill(**files):
        for name, data in files.items():
            (tmp_path / name.replace('_', '.')).write_bytes(data)
        return tmp_path

    return fill


@pytest.mark.parametrize(
    'names',
    [
        ['1623.25', '1623.375', '1623.5'],
        ['9.0', '9.5', '10.0', '10.125'],
        ['9', '10', '010.5', '100'],
        ['img1', 'img2', 'img10'],
        ['frame_2.9', 'frame_2.10'],
        ['1.9', '1.10', '1.11'],
        ['1.2.3', '1.2.10', '1.10.1'],
        ['1623.250000', '1623.375000', '1623.500000'],
    ],
)
def test_images_are_in_the_order_of_their_numbers(tmp_path, names):
    for name in sorted(names, reverse=True):
        (tmp_path / f'{name}.png').touch()
    (tmp_path / '._1.png').touch()
    (tmp_path / 'camera_info.yaml').touch()
    assert [file.stem for file in folder_images(tmp_path)] == names


@pytest.mark.parametrize(
    ('suffix', 'data', 'kind'),
    [
        ('.png', coded('.png', DEPTH), 'depth'),
        ('.png', coded('.png', COLOR), 'color'),
        ('.png', coded('.png', COLOR.astype(np.uint16) * 257), 'color'),
        ('.png', coded('.png', COLOR[..., 0]), 'color'),
        ('.png', palette_png(), 'color'),
        ('.png', coded('.jpg', COLOR), 'color'),
        ('.jpg', coded('.png', DEPTH), 'depth'),
        ('.jpg', coded('.jpg', COLOR), 'color'),
        ('.tif', coded('.tiff', DEPTH), 'depth'),
        ('.tiff', coded('.tiff', DEPTH.astype(np.float32)), 'depth'),
        ('.TIFF', coded('.tiff', COLOR), 'color'),
        ('.webp', coded('.webp', COLOR), 'color'),
        ('.bmp', coded('.bmp', COLOR), 'color'),
        ('.png', b'', 'depth'),
        ('.jpg', b'damaged', 'color'),
    ],
)
def test_what_images_are_of_their_bytes_tell(tmp_path, suffix, data, kind):
    for n in range(2):
        (tmp_path / f'{n}{suffix}').write_bytes(data)
    assert kind_of_images(tmp_path, folder_images(tmp_path)) == kind
    (tmp_path / '2.png').write_bytes(b'damaged')
    assert kind_of_images(tmp_path, folder_images(tmp_path)) == kind, 'damage is reported where it is read'


@pytest.mark.parametrize(('image', 'kind'), [(DEPTH, 'depth'), (COLOR, 'color')])
def test_infrared_of_16_bits_is_color_where_that_is_asked_for(tmp_path, image, kind):
    (tmp_path / '1.png').write_bytes(coded('.png', image))
    files = folder_images(tmp_path)
    kinds = [kind_of_images(tmp_path, files, modality) for modality in (None, 'depth', 'rgbd', 'color')]
    assert kinds == [kind, kind, kind, 'color']


@pytest.mark.parametrize(
    ('files', 'words'),
    [
        ({'1_png': coded('.png', DEPTH), '2_png': coded('.png', COLOR)}, r'color \(2.png.* depth \(1.png'),
        ({'1_png': coded('.png', DEPTH), '2_tiff': coded('.tiff', DEPTH)}, r'depth \(1.png.* depth in TIFF \(2.tiff'),
        ({'1_jpg': coded('.jpg', COLOR), '2_webp': coded('.webp', COLOR)}, r'color in WebP \(2.webp and 0 others\)'),
        ({'1_jpg': coded('.jpg', COLOR), '2_bmp': coded('.bmp', COLOR)}, r'color in BMP \(2.bmp'),
        ({'1_jpg': coded('.jpg', COLOR), '2_heic': HEIC}, r'HEIC images \(2.heic and 0 others\).*convert them to JPEG'),
        ({'1_jpg': HEIC}, r'HEIC images \(1.jpg'),
        ({'1_heic': b'damaged'}, 'convert them to JPEG'),
        ({'1_gif': b'GIF89a'}, 'GIF images'),
    ],
)
def test_images_of_several_kinds_are_refused_by_name(folder, files, words):
    path = folder(**files)
    with pytest.raises(RecordingError, match=words):
        kind_of_images(path, folder_images(path))


def test_a_folder_that_is_named_like_an_image_is_refused(tmp_path):
    (tmp_path / '1.png').mkdir()
    with pytest.raises(RecordingError, match='1.png: Is a directory'):
        kind_of_images(tmp_path, folder_images(tmp_path))
