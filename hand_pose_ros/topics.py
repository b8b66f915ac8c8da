"""Names of the topics and frames, declared once; relative names, so that namespaces and remapping apply."""

from __future__ import annotations

DEPTH_IMAGE = 'depth/image'
DEPTH_CAMERA_INFO = 'depth/camera_info'
COLOR_IMAGE = 'color/image'
COLOR_CAMERA_INFO = 'color/camera_info'

KEYPOINTS = 'hands/keypoints'
MARKERS = 'hands/markers'
OVERLAY = 'hands/overlay'
DIAGNOSTICS = '/diagnostics'
TF = '/tf'


def inputs(modality: str) -> tuple[str, str]:
    """Topics of the images and of the CameraInfo that a tracker of ``depth`` or ``rgb`` reads."""
    return (DEPTH_IMAGE, DEPTH_CAMERA_INFO) if modality == 'depth' else (COLOR_IMAGE, COLOR_CAMERA_INFO)


def joints_topic(side: str) -> str:
    """Topic of the 21 poses of the hand of ``side``."""
    return f'hands/{side}/joints'


def joint_states_topic(side: str) -> str:
    """Topic of the joint angles of the hand of ``side``."""
    return f'hands/{side}/joint_states'


def gesture_topic(side: str) -> str:
    """Topic of the name of the gesture of the hand of ``side``."""
    return f'hands/{side}/gesture'


def transported_topic(topic: str, transport: str) -> str:
    """Topic of the form ``transport`` (``raw``, ``compressedDepth``, ``compressed``) of the images of ``topic``."""
    return topic if transport == 'raw' else f'{topic}/{transport}'


def aligned_depth_transport(transport: str) -> str:
    """Form of the depth images that go with colour images of the form ``transport``."""
    return 'raw' if transport == 'raw' else 'compressedDepth'


def joint_frame(side: str, joint: str) -> str:
    """TF frame of a joint."""
    return f'{side}_hand_{joint}'
