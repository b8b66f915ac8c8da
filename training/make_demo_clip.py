"""Render the bundled clip: ``python -m training.make_demo_clip [OUT]`` writes ``demo/clip``.

Two people, an adult with the right hand and a child with the left, play with their hands before a short-range
structured-light camera: open, spread, count, pinch, fist, point, turn. The ground truth is in the bag.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from hand_pose_ros.geometry.camera import Camera
from hand_pose_ros.geometry.rotations import rotation_vector_to_matrix
from hand_pose_ros.hand_model.kinematics import DOF_INDEX, DOF_NAMES, LOWER, UPPER
from hand_pose_ros.io.bag import write_depth_bag
from hand_pose_ros.localization.crop import hand_centre
from training.synthesis.anatomy import make_body
from training.synthesis.people import Person, make_person
from training.synthesis.scene import ArmPose, Poser, Scene, look
from training.synthesis.sensors import SENSORS, Weaknesses, sense

RATE, SECONDS = 30, 7.5
CAMERA = Camera(640, 480, SENSORS['sr305'].focal, SENSORS['sr305'].focal, 319.5, 239.5)
#: A good unit on a good day; a noisier one would not fit into the repository.
WEAKNESSES = Weaknesses(white_noise=0.0002, noise_growth=0.0005, smooth_noise=0.0006, edge_wander_pixels=0.5, flying=0.03,
                        edge_holes=0.15, speckle_holes=0.0, slant_holes=0.3, shadow=1.0, shadow_side=1.0, quantum=0.001,
                        disparity_quantum=0.0, fatten=0.0, erode=0.0, blind_patches=0.0)
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


PINCH = key_pose(thumb='side', thumb_cmc_flexion=23, thumb_cmc_abduction=10, thumb_cmc_roll=21, thumb_mcp_flexion=30,
                 thumb_ip_flexion=18, index_mcp_flexion=64, index_pip_flexion=54, index_dip_flexion=18,
                 index_mcp_abduction=0)
ADULT = [key_pose(), key_pose(spread=1.2), key_pose(LONG[1:], thumb='over'), key_pose(LONG[2:], spread=0.8, thumb='over'),
         key_pose(LONG[3:], thumb='over'), key_pose(thumb='over'), key_pose(), PINCH, key_pose(),
         key_pose(LONG, thumb='over'), key_pose(LONG, thumb='out'), key_pose(spread=0.9)]
CHILD = [key_pose(spread=0.9), key_pose(), key_pose(LONG, thumb='over'), key_pose(spread=1.1), key_pose(LONG[1:], thumb='side'),
         key_pose(), PINCH, key_pose(LONG[2:], thumb='over'), key_pose(spread=1.0)]


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


def arm_at(poser: Poser, person: Person, keys: list[np.ndarray], share: float, place: np.ndarray,
           turn: np.ndarray) -> tuple[list, np.ndarray]:
    """Meshes and joints of a right arm at one moment."""
    angles = between(keys, share)
    wave = 0.25 * np.sin(2 * np.pi * 2.3 * share)
    arm = ArmPose(np.eye(3), 0.3, 0.0, np.array([-0.15 + 0.2 * np.sin(5 * share), 0.1 + 0.5 * wave, 0.0]))
    neutral = poser.pose(person, between(keys, 0.0), ArmPose(np.eye(3), 0.3, 0.0, np.zeros(3)), False)[1]
    posed, joints = poser.pose(person, angles, arm, False, sleeve=(0.07, 0.006))
    posed, joints = look(posed, joints, rotation_vector_to_matrix(turn) @ facing(person, neutral), hand_centre(joints), place)
    return poser.meshes(posed, False), joints


def render_clip(seed: int = 7):
    """Yield (stamp in seconds, (480, 640) uint16 millimetres, side -> (21, 3) joints in metres)."""
    grown = dict(gender=0.6, age=0.6, muscle=0.5, weight=0.5, height=0.5, proportions=0.5)
    people = [make_person(make_body(grown)), make_person(make_body(grown | {'age': 0.24, 'weight': 0.55}))]
    poser = Poser(people)
    mirror = np.array([-1, 1, 1], np.float32)
    frames = round(RATE * SECONDS)
    for frame in range(frames):
        share = frame / frames
        phase = 2 * np.pi * share
        right, right_joints = arm_at(
            poser, people[0], ADULT, share,
            np.array([0.13 + 0.03 * np.sin(2 * phase), 0.085 + 0.02 * np.sin(3 * phase), 0.48 + 0.05 * np.sin(phase)]),
            np.array([0.25 * np.sin(2 * phase), 0.75 * np.sin(phase + 0.4), 0.3 * np.sin(1.5 * phase)]))
        # A left hand is a right hand in the mirror.
        left, left_joints = arm_at(
            poser, people[1], CHILD, share,
            np.array([0.14 + 0.03 * np.sin(phase + 1), 0.10 + 0.02 * np.sin(2 * phase), 0.45 + 0.04 * np.sin(2 * phase)]),
            np.array([0.2 * np.sin(phase), 0.6 * np.sin(2 * phase + 2), 0.35 * np.sin(phase)]))
        left = [(np.ascontiguousarray(points * mirror), faces, ids, label) for points, faces, ids, label in left]
        scene = Scene(right_joints, right + left)
        ideal, _ = scene.render(CAMERA.width, CAMERA.height, CAMERA.fx, CAMERA.fy, CAMERA.cx, CAMERA.cy)
        depth = sense(ideal, SENSORS['sr305'], CAMERA.fx, WEAKNESSES, seed + frame)
        yield frame / RATE, np.round(depth * 1000).astype(np.uint16), {'right': right_joints, 'left': left_joints * mirror}


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('out', type=Path, nargs='?', default=Path('demo/clip'), help='folder to make')
    arguments = parser.parse_args()
    frames = list(render_clip())
    write_depth_bag(arguments.out, [(t, image) for t, image, _ in frames], CAMERA,
                    joints={side: [(t, truth[side]) for t, _, truth in frames] for side in ('left', 'right')})
    size = sum(f.stat().st_size for f in arguments.out.rglob('*') if f.is_file())
    print(f'{arguments.out}: {len(frames)} frames, {size / 1e6:.2f} MB')


if __name__ == '__main__':
    main()
