"""From MediaPipe's 21 points to our joints: one fixed offset a joint, fitted on renders whose true joints are known.

MediaPipe's points lie where its annotators saw them: its tips on the skin, its wrist and the base of its thumb
elsewhere. An offset is in hand sizes, in the frame of the bone that ends in the joint (the hand's own frame for wrist
and knuckles), so that it bends with the finger. ``python -m training fit-mediapipe`` fits and prints the tables.
"""

from __future__ import annotations

import numpy as np

from hand_pose_ros.geometry.joints import FINGER_JOINTS, KNUCKLES, PARENTS, WRIST, hand_size
from hand_pose_ros.geometry.rotations import cross

#: (21, 3) hand sizes, of a right hand.
OFFSETS = np.array(
    [
        [-0.0791, 0.003, -0.0104],  # wrist
        [-0.0197, -0.1129, 0.1599],  # thumb_cmc
        [-0.0672, 0.0172, 0.0171],  # thumb_mcp
        [0.0371, 0.0362, -0.0075],  # thumb_ip
        [0.0371, -0.0163, -0.0016],  # thumb_tip
        [-0.002, -0.0098, 0.0252],  # index_mcp
        [0.0108, 0.0122, 0.048],  # index_pip
        [0.0015, 0.0028, 0.0336],  # index_dip
        [0.0428, -0.0071, -0.0094],  # index_tip
        [-0.0246, -0.0179, 0.0331],  # middle_mcp
        [0.0192, 0.0005, 0.0486],  # middle_pip
        [0.0267, 0.0012, 0.0441],  # middle_dip
        [0.0386, 0.0093, 0.0045],  # middle_tip
        [-0.0073, -0.0275, 0.0292],  # ring_mcp
        [0.0117, -0.0078, 0.0383],  # ring_pip
        [0.0082, 0.0016, 0.0398],  # ring_dip
        [0.0476, -0.0141, 0.0082],  # ring_tip
        [0.0084, -0.0103, 0.0378],  # pinky_mcp
        [0.018, 0.0074, 0.0363],  # pinky_pip
        [-0.0084, 0.0104, 0.0184],  # pinky_dip
        [0.028, 0.0027, -0.0138],  # pinky_tip
    ]
)
#: How depth is mixed: of the points' and of the world landmarks'. The network tells it twice, and errs otherwise each
#: time.
DEPTH_MIX = (1.683, 0.457)
#: Expected error of a joint, in hand sizes, where points and world landmarks agree, and how much it grows with their
#: disagreement.
SIGMA_FLOOR = np.array(
    [
        0.2388,  # wrist
        0.1996,  # thumb_cmc
        0.2016,  # thumb_mcp
        0.2896,  # thumb_ip
        0.381,  # thumb_tip
        0.1237,  # index_mcp
        0.1526,  # index_pip
        0.1982,  # index_dip
        0.2821,  # index_tip
        0.1098,  # middle_mcp
        0.1496,  # middle_pip
        0.2031,  # middle_dip
        0.2774,  # middle_tip
        0.116,  # ring_mcp
        0.1576,  # ring_pip
        0.2166,  # ring_dip
        0.3032,  # ring_tip
        0.1363,  # pinky_mcp
        0.1552,  # pinky_pip
        0.1894,  # pinky_dip
        0.2558,  # pinky_tip
    ]
)
SIGMA_GAIN = 0.048
#: Intercept and slope that turn the logarithm of a joint's sigma in mm into the log odds of an error below 10 mm.
CONFIDENCE = (4.19, 1.83)
#: Joints whose offset is in the hand's frame.
_PALM = (WRIST, FINGER_JOINTS['thumb'][0], *KNUCKLES)
#: (21,) the thumb's joints beyond its base.
_OF_THUMB = np.isin(np.arange(len(PARENTS)), FINGER_JOINTS['thumb'][1:])


def bone_frames(points: np.ndarray) -> np.ndarray:
    """Frames that offsets are in, built from the points themselves.

    Args:
        points: (21, 3) of a right hand, any unit.

    Returns:
        (21, 3, 3), the axes in columns: x along the bone that ends in the joint, or for wrist, knuckles and thumb base
        towards the knuckles; y towards the thumb's side, about the flexion axis; z out of the back of the hand.

    """
    ahead = points[list(KNUCKLES)].mean(0) - points[WRIST]
    across = points[KNUCKLES[0]] - points[KNUCKLES[-1]]
    across = across - (across @ ahead) / max(float(ahead @ ahead), 1e-12) * ahead
    along = points - points[list(PARENTS)]
    along[list(_PALM)] = ahead
    along = _unit(along)
    back = cross(ahead, across)
    # The thumb bends beside the palm, about an axis out of it; the fingers about one across it.
    fixed = np.where(_OF_THUMB[:, None], back, across)
    fixed = _unit(fixed - (fixed * along).sum(1, keepdims=True) * along)
    crossed = cross(along, fixed)
    aside = np.where(_OF_THUMB[:, None], -crossed, fixed)
    out = np.where(_OF_THUMB[:, None], fixed, crossed)
    return np.stack([along, aside, out], 2)


def joint_offsets(points: np.ndarray, right: bool, offsets: np.ndarray | None = None) -> np.ndarray:
    """From MediaPipe's points to our joints.

    Args:
        points: (21, 3) MediaPipe's, in any unit and any frame that is not a mirror image of the world.
        right: whether they are of a right hand.
        offsets: (21, 3) of a right hand, in hand sizes; :data:`OFFSETS` by default.

    Returns:
        (21, 3) what to add to the points, in their unit and frame.

    """
    flip = np.array([1.0 if right else -1.0, 1, 1])
    frames = bone_frames(points * flip)
    table = OFFSETS if offsets is None else offsets
    return hand_size(points) * (frames @ table[..., None])[..., 0] * flip


def _unit(vector: np.ndarray) -> np.ndarray:
    return vector / np.maximum(np.linalg.norm(vector, axis=-1, keepdims=True), 1e-9)
