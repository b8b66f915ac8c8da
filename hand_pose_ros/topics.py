"""Names of the topics and frames, declared once; relative names, so that namespaces and remapping apply."""

from __future__ import annotations

DEPTH_IMAGE = 'depth/image'
DEPTH_CAMERA_INFO = 'depth/camera_info'

KEYPOINTS = 'hands/keypoints'
MARKERS = 'hands/markers'
OVERLAY = 'hands/overlay'
DIAGNOSTICS = '/diagnostics'
TF = '/tf'


def joints_topic(side: str) -> str:
    """Topic of the 21 poses of the hand of ``side``."""
    return f'hands/{side}/joints'


def joint_states_topic(side: str) -> str:
    """Topic of the joint angles of the hand of ``side``."""
    return f'hands/{side}/joint_states'


def compressed_depth_topic(topic: str) -> str:
    """Topic of the compressed form of the depth images of ``topic``, as image transport names it."""
    return f'{topic}/compressedDepth'


def joint_frame(side: str, joint: str) -> str:
    """TF frame of a joint."""
    return f'{side}_hand_{joint}'
