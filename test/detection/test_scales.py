"""A photograph searched at several scales."""

from __future__ import annotations

import struct

import cv2
import numpy as np

from hand_pose_ros.cli.main import main
from hand_pose_ros.core.frame import CameraFrame, Channel
from hand_pose_ros.detection.base import Detection
from hand_pose_ros.detection.scales import ScalesDetector, views_of
from hand_pose_ros.geometry.camera import Camera
from hand_pose_ros.imaging.compressed import decode_color
from hand_pose_ros.regions.base import distinct
from hand_pose_ros.regions.perspective import PerspectiveRegion

CAMERA = Camera(640, 480, 600.0, 600.0, 319.5, 239.5)


class DiscDetector:
    """Takes white discs for hands, if they are neither too small nor too large for what it is shown."""

    needs = frozenset({Channel.COLOR})
    description = 'discs'

    def __init__(self, smallest: float, largest: float) -> None:
        self.smallest, self.largest = smallest, largest

    def detect(self, frame: CameraFrame, tracked: list[PerspectiveRegion]) -> list[Detection]:
        _, _, boxes, centers = cv2.connectedComponentsWithStats((frame.color[..., 0] > 128).astype(np.uint8))
        found = []
        for (_, _, width, _, area), center in zip(boxes[1:], centers[1:]):
            if self.smallest < width / frame.camera.width < self.largest and area > 0.7 * width * width:
                region = PerspectiveRegion.of_square(frame.camera, center, width)
                if distinct(region, tracked, 0.5):
                    found.append(Detection(region, 0.9))
        return found


def photograph(*discs: tuple[int, int, int]) -> CameraFrame:
    image = np.zeros((480, 640, 3), np.uint8)
    for u, v, radius in discs:
        cv2.circle(image, (u, v), radius, (255, 255, 255), -1)
    return CameraFrame(CAMERA, None, image)


def places(found: list[Detection]) -> list[list[int]]:
    return [np.rint(CAMERA.project(one.region.rotation[2])).astype(int).tolist() for one in found]


def test_parts_of_a_frame_show_directions_where_the_whole_shows_them():
    point = np.array([0.1, -0.05, 0.6])
    u, v = np.rint(CAMERA.project(point)).astype(int).tolist()
    shown = list(views_of(photograph((u, v, 5))))
    assert len(shown) == 1 + 1 + 4 + 9 and shown[1].camera.width == 640 + 640
    seen = 0
    for each in shown:
        u, v = each.camera.project(point)
        if 0 < u < each.camera.width - 1 and 0 < v < each.camera.height - 1:
            assert each.color[round(v), round(u)].all()
            seen += 1
    assert seen >= 4


def test_small_hands_are_found_in_parts_once_and_large_ones_in_a_border():
    small, large = (330, 250, 14), (320, 240, 180)
    assert DiscDetector(0.06, 0.5).detect(photograph(small), []) == []
    detector = ScalesDetector(DiscDetector(0.06, 0.5))
    assert places(detector.detect(photograph(small), [])) == [[330, 250]]
    assert places(detector.detect(photograph(large), [])) == [[320, 240]]
    assert places(detector.detect(photograph((100, 100, 40), (500, 350, 13)), [])) == [[100, 100], [500, 350]]


def test_neither_tracked_hands_nor_what_lies_within_a_found_one_is_found():
    detector = ScalesDetector(DiscDetector(0.06, 0.5))
    (found,) = detector.detect(photograph((330, 250, 14)), [])
    assert detector.detect(photograph((330, 250, 14)), [found.region]) == []
    assert places(detector.detect(photograph((300, 250, 30), (350, 250, 13)), [])) == [[300, 250]]


def test_photographs_are_turned_as_their_cameras_were():
    image = np.zeros((20, 40, 3), np.uint8)
    data = cv2.imencode('.jpg', image)[1].tobytes()
    tiff = b'II*\x00' + struct.pack('<IH', 8, 1) + struct.pack('<HHIHH', 0x0112, 3, 1, 6, 0) + struct.pack('<I', 0)
    exif = b'Exif\x00\x00' + tiff
    turned = data[:2] + b'\xff\xe1' + struct.pack('>H', len(exif) + 2) + exif + data[2:]
    assert decode_color(data).shape == (20, 40, 3) and decode_color(turned).shape == (40, 20, 3)


def test_depth_images_are_no_photographs(tmp_path, capsys):
    cv2.imwrite(str(tmp_path / '0.png'), np.full((48, 64), 500, np.uint16))
    (tmp_path / 'camera_info.yaml').write_text(
        'image_width: 64\nimage_height: 48\ncamera_matrix: {data: [60, 0, 32, 0, 60, 24, 0, 0, 1]}\n'
    )
    assert main(['track', str(tmp_path), '--independent', '--out', str(tmp_path / 'out')]) == 2
    assert '--independent is for color images' in capsys.readouterr().err
