"""Small folders in FreiHAND's format, and the drawn hands that stand in for photographs in them."""

import json
from pathlib import Path

import cv2
import numpy as np

RIGHT, LEFT = (1, 1, 1), (-1, 1, 1)


def hand(frame: int = 0, side: tuple = RIGHT) -> np.ndarray:
    """Joints (21, 3) in our order, meters, camera optical frame: fingers up, palm to the camera, off the axis."""
    joints = np.zeros((21, 3))
    for finger in range(5):
        for level in range(4):
            along = 0.022 * level + (0.08 if finger else 0.03)
            joints[4 * finger + level + 1] = (0.02 * (finger - 2), -along, -0.004 * level)
    return joints * side + (0.02 + 0.005 * frame, 0.07, 0.5 + 0.02 * frame)


def picture(pixels: np.ndarray, width: int, height: int) -> np.ndarray:
    """Image (H, W, 3), blue green red: gray, with the thumb's tip red, the little finger's blue, the wrist green."""
    image = np.full((height, width, 3), 90, np.uint8)
    for joint, color in ((4, (0, 0, 255)), (20, (255, 0, 0)), (0, (0, 255, 0))):
        cv2.circle(image, tuple(int(round(x)) for x in pixels[joint]), 4, color, -1)
    return image


def silhouette(pixels: np.ndarray, width: int, height: int) -> np.ndarray:
    mask = np.zeros((height, width), np.uint8)
    cv2.fillConvexPoly(mask, cv2.convexHull(pixels.astype(np.int32)), 1)
    return cv2.dilate(mask, np.ones((11, 11), np.uint8))


def project(joints: np.ndarray, camera: tuple) -> np.ndarray:
    fx, fy, cx, cy = camera
    return joints[:, :2] / joints[:, 2:] * (fx, fy) + (cx, cy)


def write_freihand(folder: Path, frames: int = 2) -> None:
    """Every hand four times, one kind of background after the other; JPEG even for masks; vertices and MANO's
    numbers.
    """
    camera = (480.0, 485.0, 90.0, 110.0)
    matrix = [[camera[0], 0, camera[2]], [0, camera[1], camera[3]], [0, 0, 1]]
    for name in ('training', 'evaluation'):
        for part in ('rgb', 'mask') if name == 'training' else ('rgb',):
            (folder / name / part).mkdir(parents=True)
        hands = [hand(i) for i in range(frames)]
        for copy in range(4 if name == 'training' else 1):
            for i, joints in enumerate(hands):
                image = picture(project(joints, camera), 224, 224)
                image[:8, :8] = 60 * copy
                cv2.imwrite(str(folder / f'{name}/rgb/{copy * frames + i:08d}.jpg'), image)
                if name == 'training' and not copy:
                    mask = 255 * silhouette(project(joints, camera), 224, 224)
                    cv2.imwrite(str(folder / f'{name}/mask/{i:08d}.jpg'), mask)
        vertices = [np.repeat(joints, 38, 0)[:778].tolist() for joints in hands]
        for what, values in (
            ('K', [matrix] * frames),
            ('xyz', [joints.tolist() for joints in hands]),
            ('verts', vertices),
            ('scale', [0.03] * frames),
        ):
            (folder / f'{name}_{what}.json').write_text(json.dumps(values))
