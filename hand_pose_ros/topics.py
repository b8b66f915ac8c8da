"""Names of the topics and frames, declared once; relative names, so that namespaces and remapping apply."""

from __future__ import annotations

DEPTH_IMAGE = 'depth/image'
DEPTH_CAMERA_INFO = 'depth/camera_info'
COLOR_IMAGE = 'color/image'
COLOR_CAMERA_INFO = 'color/camera_info'
#: All that a camera may send.
CAMERA_TOPICS = (DEPTH_IMAGE, DEPTH_CAMERA_INFO, COLOR_IMAGE, COLOR_CAMERA_INFO)

KEYPOINTS = 'hands/keypoints'
MARKERS = 'hands/markers'
OVERLAY = 'hands/overlay'
DIAGNOSTICS = '/diagnostics'
TF = '/tf'

EVENTS = 'hands/events'
ENGAGE = 'teleop/engage'
STOP = 'teleop/stop'


def inputs(modality: str) -> tuple[str, str]:
    """Topics of the images that set the pace of a tracker of a modality, and of their CameraInfo; color's for rgbd."""
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


def palm_topic(side: str) -> str:
    """Topic of the pose of the palm of the hand of ``side``."""
    return f'hands/{side}/palm'


def present_topic(side: str) -> str:
    """Topic of whether the hand of ``side`` is seen."""
    return f'hands/{side}/present'


def transported_topic(topic: str, transport: str) -> str:
    """Topic of the form ``transport`` (``raw``, ``compressedDepth``, ``compressed``) of the images of ``topic``."""
    return topic if transport == 'raw' else f'{topic}/{transport}'


def registered_depth_transport(transport: str) -> str:
    """Form of the depth images that go with color images of the form ``transport``."""
    return 'raw' if transport == 'raw' else 'compressedDepth'


def palm_frame(side: str) -> str:
    """TF frame of a palm."""
    return f'{side}_hand_palm'


def joint_frame(side: str, joint: str) -> str:
    """TF frame of a joint."""
    return f'{side}_hand_{joint}'
