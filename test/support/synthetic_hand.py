"""A simple hand for tests: joints in a plausible pose, and a depth image of capsules around its bones."""

import numpy as np

from hand_pose_ros.core.hand import Hand, HandFit
from hand_pose_ros.geometry.camera import Camera
from hand_pose_ros.geometry.joints import BONES, FINGERS

CAMERA = Camera(320, 240, 290.0, 290.0, 159.5, 119.5)


def open_hand(side: str = 'right', center=(0.0, 0.0, 0.5), spread: float = 1.0) -> np.ndarray:
    """Joints (21, 3) of an open hand, palm to the camera, fingers up in the image."""
    # Seen by the camera, the thumb of a right hand that shows its palm points to the image's left... of the
    # person, which is the image's right only for a mirrored image.
    towards_thumb = -1.0 if side == 'right' else 1.0
    joints = [np.zeros(3)]
    bases = ((0.035, -0.025), (0.028, -0.085), (0.008, -0.09), (-0.012, -0.085), (-0.03, -0.075))
    lengths = (
        (0.035, 0.03, 0.026),
        (0.042, 0.025, 0.02),
        (0.046, 0.03, 0.021),
        (0.042, 0.028, 0.021),
        (0.033, 0.02, 0.019),
    )
    angles = (0.9, 0.22, 0.02, -0.15, -0.38)
    for base, bones, angle in zip(bases, lengths, angles):
        direction = np.array([np.sin(angle * spread), -np.cos(angle * spread), 0.12])
        point = np.array([*base, 0.0])
        joints.append(point)
        for length in bones:
            point = point + length * direction
            joints.append(point)
    points = np.array(joints)
    points[:, 0] *= towards_thumb
    return points + np.asarray(center) + (0, 0.05, 0)


def depth_of(joints: np.ndarray, camera: Camera = CAMERA, background: float = 0.0) -> np.ndarray:
    """Render (H, W) float32 meters of spheres strung along the bones and the forearm."""
    depth = np.full((camera.height, camera.width), np.inf)
    rows, columns = np.mgrid[: camera.height, : camera.width]
    elbow = joints[0] + (joints[0] - joints[9]) * 2
    balls = [(joints[0] + (elbow - joints[0]) * t, 0.025) for t in np.linspace(0, 1, 25)]
    for parent, child in BONES:
        radius = 0.014 if parent == 0 else 0.009
        balls += [(joints[parent] + (joints[child] - joints[parent]) * t, radius) for t in np.linspace(0, 1, 9)]
    for center, radius in balls:
        u, v = camera.project(center)
        size = radius * camera.fx / center[2]
        part = (
            slice(max(int(v - size), 0), max(int(v + size) + 2, 0)),
            slice(max(int(u - size), 0), max(int(u + size) + 2, 0)),
        )
        distance = ((columns[part] - u) ** 2 + (rows[part] - v) ** 2) / size**2
        surface = np.where(distance < 1, center[2] - radius * np.sqrt(np.maximum(1 - distance, 0)), np.inf)
        depth[part] = np.minimum(depth[part], surface)
    depth[np.isinf(depth)] = background
    return depth.astype(np.float32)


def make_hand(side: str = 'right', joints: np.ndarray | None = None, score: float = 0.97, fit: bool = False) -> Hand:
    """Return what a tracker would for an open hand; ``fit`` adds angles and a mesh of two triangles."""
    joints = open_hand(side) if joints is None else joints
    model = None
    if fit:
        angles = {f'{finger}_mcp_flexion': 0.1 * i for i, finger in enumerate(FINGERS)}
        vertices = joints[[0, 5, 17, 1]]
        model = HandFit(
            angles, np.tile(np.eye(3), (21, 1, 1)), joints, vertices, np.array([[0, 1, 2], [0, 3, 1], [2, 1, 0]]), 0.001
        )
    return Hand(side, score, joints, np.full(21, 0.9), model)
