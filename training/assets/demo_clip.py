"""Render the bundled clips: ``python -m training make-clip`` writes ``demo/clip``, with ``--color`` ``demo/color``.

Two people, an adult with the right hand and a child with the left, play with their hands: open, spread, count, pinch,
fist, point, turn. One clip is of a short-range structured-light camera, the other, of half as many images, of a color
camera that sees the same. The ground truth is in the bags.
"""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from hand_pose_ros.geometry.camera import Camera
from hand_pose_ros.geometry.joints import SIDES, hand_center
from hand_pose_ros.geometry.rotations import rotation_vector_to_matrix
from hand_pose_ros.hand_model.kinematics import DOF_INDEX, DOF_NAMES, LOWER, UPPER
from hand_pose_ros.io.recording import write_bag
from training.synthesis.anatomy import make_body
from training.synthesis.appearance import draw_appearance
from training.synthesis.people import Person, make_person
from training.synthesis.scene import HAND, ArmPose, Poser, Scene, before_camera
from training.synthesis.sensors import SENSORS, Weaknesses, sense
from training.synthesis.shading import Lighting, Material, Surface, render

RATE, SECONDS = 30, 7.5
CAMERA = Camera(640, 480, SENSORS['sr305'].focal, SENSORS['sr305'].focal, 319.5, 239.5)
#: A good unit on a good day; a noisier one would not fit into the repository.
WEAKNESSES = Weaknesses(
    white_noise=0.0002,
    noise_growth=0.0005,
    smooth_noise=0.0006,
    edge_wander_pixels=0.5,
    flying=0.03,
    edge_holes=0.15,
    speckle_holes=0.0,
    slant_holes=0.3,
    shadow=1.0,
    shadow_side=1.0,
    quantum=0.001,
    disparity_quantum=0.0,
    fatten=0.0,
    erode=0.0,
    blind_patches=0.0,
)
#: Where the sleeves begin, meters from the wrist; and the seeds of the people's appearances.
SLEEVE = 0.07
APPEARANCE_SEEDS = (2, 5)
LONG = ('index', 'middle', 'ring', 'pinky')


def key_pose(curled: tuple[str, ...] = (), spread: float = 0.4, thumb: str = 'out', **angles: float) -> np.ndarray:
    """A pose by which fingers are curled (degrees; others straight), how far they spread and where the thumb is."""
    pose = np.zeros(len(DOF_NAMES))
    aside = {'index': 16, 'middle': 0, 'ring': 14, 'pinky': 28}
    for finger in LONG:
        bent = finger in curled
        for joint, straight, curl in (('mcp', 4, 70), ('pip', 6, 95), ('dip', 4, 55)):
            pose[DOF_INDEX[f'{finger}_{joint}_flexion']] = curl if bent else straight
        pose[DOF_INDEX[f'{finger}_mcp_abduction']] = 0 if bent else aside[finger] * spread
    thumbs = {'out': (-8, 0, 0, 5, 5), 'over': (30, 8, 8, 38, 35), 'side': (8, 5, 0, 15, 10)}
    for name, value in zip(('cmc_flexion', 'cmc_abduction', 'cmc_roll', 'mcp_flexion', 'ip_flexion'), thumbs[thumb]):
        pose[DOF_INDEX[f'thumb_{name}']] = value
    for name, value in angles.items():
        pose[DOF_INDEX[name]] = value
    return np.clip(np.radians(pose), LOWER, UPPER)


PINCH = key_pose(
    thumb='side',
    thumb_cmc_flexion=23,
    thumb_cmc_abduction=10,
    thumb_cmc_roll=21,
    thumb_mcp_flexion=30,
    thumb_ip_flexion=18,
    index_mcp_flexion=64,
    index_pip_flexion=54,
    index_dip_flexion=18,
    index_mcp_abduction=0,
)
ADULT = [
    key_pose(),
    key_pose(spread=1.2),
    key_pose(LONG[1:], thumb='over'),
    key_pose(LONG[2:], spread=0.8, thumb='over'),
    key_pose(LONG[3:], thumb='over'),
    key_pose(thumb='over'),
    key_pose(),
    PINCH,
    key_pose(),
    key_pose(LONG, thumb='over'),
    key_pose(LONG, thumb='out'),
    key_pose(spread=0.9),
]
CHILD = [
    key_pose(spread=0.9),
    key_pose(),
    key_pose(LONG, thumb='over'),
    key_pose(spread=1.1),
    key_pose(LONG[1:], thumb='side'),
    key_pose(),
    PINCH,
    key_pose(LONG[2:], thumb='over'),
    key_pose(spread=1.0),
]


def between(keys: list[np.ndarray], share: float) -> np.ndarray:
    """The pose after ``share`` (0 to 1) of a sequence, with an easy start and stop at each key."""
    at = min(share, 0.999999) * (len(keys) - 1)
    step = int(at)
    ease = np.clip((at - step) * 1.35 - 0.1, 0, 1)
    ease = ease * ease * (3 - 2 * ease)
    return keys[step] * (1 - ease) + keys[step + 1] * ease


def facing(person: Person, joints: np.ndarray) -> np.ndarray:
    """Rotation that turns a posed hand upright with its palm to the camera."""
    up = joints[9] - joints[0]
    up = up / np.linalg.norm(up)
    across = joints[5] - joints[17]
    across = across - up * (across @ up)
    across = across / np.linalg.norm(across)
    return np.stack([across, -up, -np.cross(across, up)])


def arm_at(
    poser: Poser, person: Person, keys: list[np.ndarray], share: float, place: np.ndarray, turn: np.ndarray
) -> tuple[list, np.ndarray]:
    """Meshes and joints of a right arm at one moment."""
    angles = between(keys, share)
    wave = 0.25 * np.sin(2 * np.pi * 2.3 * share)
    arm = ArmPose(np.eye(3), 0.3, 0.0, np.array([-0.15 + 0.2 * np.sin(5 * share), 0.1 + 0.5 * wave, 0.0]))
    neutral = poser.pose(person, between(keys, 0.0), ArmPose(np.eye(3), 0.3, 0.0, np.zeros(3)), False)[1]
    posed, joints = poser.pose(person, angles, arm, False, sleeve=(SLEEVE, 0.006))
    posed, joints = before_camera(
        posed, joints, rotation_vector_to_matrix(turn) @ facing(person, neutral), hand_center(joints), place
    )
    return poser.meshes(posed, False), joints


def cast() -> list[Person]:
    """The adult and the child."""
    grown = {'gender': 0.6, 'age': 0.6, 'muscle': 0.5, 'weight': 0.5, 'height': 0.5, 'proportions': 0.5}
    return [make_person(make_body(grown)), make_person(make_body(grown | {'age': 0.24, 'weight': 0.55}))]


def play(people: list[Person]):
    """Yield (stamp in seconds, meshes of the adult's right arm and the child's left, side -> joints (21, 3))."""
    poser = Poser(people)
    mirror = np.array([-1, 1, 1], np.float32)
    frames = round(RATE * SECONDS)
    for frame in range(frames):
        share = frame / frames
        phase = 2 * np.pi * share
        right, right_joints = arm_at(
            poser,
            people[0],
            ADULT,
            share,
            np.array([0.13 + 0.03 * np.sin(2 * phase), 0.085 + 0.02 * np.sin(3 * phase), 0.48 + 0.05 * np.sin(phase)]),
            np.array([0.25 * np.sin(2 * phase), 0.75 * np.sin(phase + 0.4), 0.3 * np.sin(1.5 * phase)]),
        )
        # A left hand is a right hand in the mirror.
        left, left_joints = arm_at(
            poser,
            people[1],
            CHILD,
            share,
            np.array(
                [0.14 + 0.03 * np.sin(phase + 1), 0.10 + 0.02 * np.sin(2 * phase), 0.45 + 0.04 * np.sin(2 * phase)]
            ),
            np.array([0.2 * np.sin(phase), 0.6 * np.sin(2 * phase + 2), 0.35 * np.sin(phase)]),
        )
        left = [(np.ascontiguousarray(points * mirror), faces, ids, label) for points, faces, ids, label in left]
        yield frame / RATE, right, left, {'right': right_joints, 'left': left_joints * mirror}


def depth_clip(seed: int = 7):
    """Yield (stamp, (480, 640) uint16 millimeters, side -> joints)."""
    for number, (stamp, right, left, joints) in enumerate(play(cast())):
        ideal, _ = Scene(joints['right'], right + left).render(
            CAMERA.width, CAMERA.height, CAMERA.fx, CAMERA.fy, CAMERA.cx, CAMERA.cy
        )
        depth = sense(ideal, SENSORS['sr305'], CAMERA.fx, WEAKNESSES, seed + number)
        yield stamp, np.round(depth * 1000).astype(np.uint16), joints


def color_clip(seed: int = 7):
    """Yield (stamp, (480, 640, 3) uint8 bgr, side -> joints) of every other moment, before a wall with a window."""
    people, rng = cast(), np.random.default_rng(seed)
    appearances = [
        draw_appearance(person, np.random.default_rng(number)) for person, number in zip(people, APPEARANCE_SEEDS)
    ]
    skin = Material(mottle=0.1, mottle_size=0.006, bump=0.12, bump_size=0.0025, shine=0.02, sharpness=10, soft=0.25)
    sleeves = [Material(color=color, mottle=0.15, bump=0.2) for color in ((0.05, 0.12, 0.3), (0.55, 0.12, 0.06))]
    lighting = Lighting(
        np.full(3, 0.45),
        np.full(3, 0.25),
        np.array([0, -1.0, 0]),
        np.array([[-0.45, -0.6, -0.66], [0.8, -0.2, -0.56]]),
        np.array([[0.62, 0.6, 0.55], [0.2, 0.22, 0.26]]),
        0.6,
    )
    wall = _wall()
    scale = 2  # averaged at the end, so that edges are smooth
    cx, cy = ((value + 0.5) * scale - 0.5 for value in (CAMERA.cx, CAMERA.cy))
    finer = Camera(CAMERA.width * scale, CAMERA.height * scale, CAMERA.fx * scale, CAMERA.fy * scale, cx, cy)
    for stamp, right, left, joints in islice(play(people), 0, None, 2):
        surfaces = [
            Surface(
                points,
                np.ascontiguousarray(faces[:, ::-1]) if arm else faces,
                ids,
                label,
                person.vertices,
                skin,
                appearance.colors,
                None if label == HAND else appearance.up_the_sleeves - np.float32(SLEEVE),
                sleeve,
            )
            for arm, (meshes, person, appearance, sleeve) in enumerate(zip((right, left), people, appearances, sleeves))
            for points, faces, ids, label in meshes
        ]
        picture = render(surfaces, lighting, finer, np.array([0, 0, 0.48]))
        light = np.clip(picture.color * 1.25, 0, 1) ** (1 / 2.2) * 255
        shown = cv2.resize((picture.labels > 0).astype(np.float32), wall.shape[1::-1], interpolation=cv2.INTER_AREA)
        hands = cv2.resize(light * (picture.labels > 0)[..., None], wall.shape[1::-1], interpolation=cv2.INTER_AREA)
        image = hands + (1 - shown[..., None]) * wall + rng.normal(0, 1.5, wall.shape)
        yield stamp, np.clip(image[..., ::-1], 0, 255).astype(np.uint8), joints


def _wall() -> np.ndarray:
    """A room out of focus: (480, 640, 3) red, green, blue."""
    wall = np.empty((CAMERA.height, CAMERA.width, 3), np.float32)
    wall[:] = np.linspace((196, 190, 178), (150, 146, 140), CAMERA.height)[:, None]
    cv2.rectangle(wall, (40, 30), (210, 230), (222, 232, 240), -1)
    cv2.rectangle(wall, (430, 90), (610, 110), (120, 88, 60), -1)
    for at, color in zip(range(440, 600, 22), ((140, 40, 36), (50, 80, 120), (180, 160, 60), (60, 110, 70)) * 2):
        cv2.rectangle(wall, (at, 38), (at + 16, 90), color, -1)
    cv2.rectangle(wall, (0, 400), (640, 480), (128, 100, 76), -1)
    return cv2.GaussianBlur(wall, (0, 0), 4)


def write_clip(out: Path, color: bool) -> int:
    """Render a clip into a bag, the ground truth with it; returns its number of frames."""
    total = round(RATE * SECONDS) // (2 if color else 1)
    clip = color_clip() if color else depth_clip()
    frames = list(tqdm(clip, total=total, unit='frame', desc=str(out)))
    write_bag(
        out,
        [(t, image) for t, image, _ in frames],
        CAMERA,
        color=color,
        joints={side: [(t, truth[side]) for t, _, truth in frames] for side in SIDES},
    )
    return len(frames)
