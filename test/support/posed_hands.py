"""Hands of known angles, by the hand model."""

import numpy as np

from hand_pose_ros.hand_model.kinematics import DOF_NAMES
from hand_pose_ros.hand_model.model import load_hand_model

#: Everything at 0 is a stretched hand; these angles make a fist, and a thumb that touches the index finger.
OPEN = dict.fromkeys(DOF_NAMES, 0.0)
FIST = OPEN | {name: 1.4 for name in DOF_NAMES if name.endswith('flexion') and not name.startswith('thumb')}

_MODEL = load_hand_model()


def posed(angles=OPEN, side='right', size=1.0, center=(0.0, 0.0, 0.5)):
    """Joints (21, 3) of the hand model with these angles, ``size`` times as large, fingers up before a camera."""
    model = _MODEL if side == 'right' else _MODEL.mirrored()
    posed = model.pose(np.array([angles[name] for name in DOF_NAMES]))
    # The hand frame before a camera: fingers (x) up (-y), back (z) away from it.
    upright = np.array([[0.0, 1, 0], [-1, 0, 0], [0, 0, 1]])
    return (posed.joints - posed.joints[0]) @ posed.rotations[0] @ upright.T * size + np.asarray(center)
