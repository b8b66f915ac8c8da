"""What a perfect color detector says of known hands."""

import numpy as np

from hand_pose_ros.detection.color import CELL, DETECTOR_INPUT, GRID
from hand_pose_ros.geometry.camera import Camera
from hand_pose_ros.geometry.joints import hand_center
from hand_pose_ros.regions.perspective import PerspectiveRegion, pointing

CAMERA = Camera(640, 480, 500, 500, 319.5, 239.5)


def cells_of(hands, image_shape=(480, 640), camera=CAMERA):
    """What a perfect detector says of hands: (joints, side, score)."""
    out = np.full((7, GRID, GRID), -8, np.float32)
    height, width = image_shape
    scale = max(height, width) / DETECTOR_INPUT
    start = (DETECTOR_INPUT - np.array([round(width / scale), round(height / scale)])) // 2
    for joints, side, score in hands:
        crop = PerspectiveRegion.of_hand(joints)
        at = ((camera.project(hand_center(joints)[None])[0] + 0.5) / scale + start) / CELL
        column, row = np.floor(at).astype(int)
        out[:2, row, column] = np.log(score / (1 - score)), 4 if side == 'right' else -4
        out[2:4, row, column] = at - (column, row)
        out[4, row, column] = np.log(crop.reach * camera.fx / scale / (DETECTOR_INPUT / 2))
        out[5:7, row, column] = pointing(camera.project(joints))
    return out
