"""Hands to standard ROS messages: pure functions.

Every message carries the header of the image that it comes from: its stamp and its camera frame. Positions are
meters in that frame, orientations quaternions, angles radians.
"""

from __future__ import annotations

from array import array
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from builtin_interfaces.msg import Duration
from geometry_msgs.msg import Point, Pose, PoseArray, PoseStamped, Quaternion, Transform, TransformStamped, Vector3
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, JointState, PointCloud2, PointField
from std_msgs.msg import ColorRGBA, Header

# tf2_ros would add a subscription machinery and a dependency that pip does not have; its broadcaster does no more
# than publish this message.
from tf2_msgs.msg import TFMessage
from visualization_msgs.msg import Marker, MarkerArray

from hand_pose_ros.core.hand import Hand
from hand_pose_ros.geometry.camera import Camera
from hand_pose_ros.geometry.hand_frame import palm_pose
from hand_pose_ros.geometry.joints import BONES, FINGER_JOINTS, JOINTS, PARENTS, SIDES, WRIST
from hand_pose_ros.geometry.rotations import matrices_to_quaternions
from hand_pose_ros.imaging.compressed import JPEG_FORMAT, encode_depth, encode_jpeg
from hand_pose_ros.io.outputs import KEYPOINT
from hand_pose_ros.topics import joint_frame, palm_frame
from hand_pose_ros.visualization.drawing import FINGER_COLORS, SIDE_COLORS, WRIST_COLOR

_FIELD_TYPES = {'f4': PointField.FLOAT32, 'u1': PointField.UINT8}
_FIELDS = [
    PointField(name=name, offset=field[1], datatype=_FIELD_TYPES[field[0].str[1:]], count=1)
    for name, field in (KEYPOINT.fields or {}).items()
]

_BONES = np.array(BONES)
_PARENTS = np.array(PARENTS)


def _color(bgr: Sequence[int], alpha: float = 1.0) -> ColorRGBA:
    blue, green, red = (channel / 255 for channel in bgr)
    return ColorRGBA(r=red, g=green, b=blue, a=alpha)


_BONE_WIDTH = 0.004
_JOINT_DIAMETER = 0.008
# Nobody deletes the markers of a camera that stopped.
_LIFETIME = Duration(sec=1)
_JOINT_COLORS = [_color(WRIST_COLOR), *(_color(FINGER_COLORS[finger]) for finger in FINGER_JOINTS for _ in range(4))]
_BONE_COLORS = [_JOINT_COLORS[child] for _, child in BONES for _ in range(2)]
_MESH_COLORS = {side: _color(SIDE_COLORS[side], 0.6) for side in SIDES}


def primary_hands(hands: Sequence[Hand]) -> dict[str, Hand]:
    """Return the hand of each side that is tracked longest: topics, frames and markers are named by side.

    So a second person's hand does not take over for a frame in which it is scored better.
    """
    return {hand.side: hand for hand in sorted(hands, key=lambda hand: (-hand.track_id, hand.score))}


def joint_poses(hand: Hand) -> np.ndarray:
    """Position and orientation x y z w (21, 7) of the joints; the identity where no hand model was fitted."""
    turns = matrices_to_quaternions(hand.fit.rotations) if hand.fit else np.tile([0.0, 0, 0, 1], (len(JOINTS), 1))
    return np.concatenate([hand.joints, turns], axis=1)


def poses_message(header: Header, poses: np.ndarray) -> PoseArray:
    """The message of :func:`joint_poses`."""
    return PoseArray(
        header=header,
        poses=[Pose(position=Point(x=x, y=y, z=z), orientation=_quaternion(turn)) for x, y, z, *turn in poses.tolist()],
    )


def joints_message(header: Header, hand: Hand) -> PoseArray:
    """21 poses in the order of ``JOINTS``; the orientation is the identity where no hand model was fitted."""
    return poses_message(header, joint_poses(hand))


def palm_message(header: Header, hand: Hand) -> PoseStamped:
    """Pose of the palm, in the hand frame. Raises ValueError where the joints have none."""
    pose = palm_pose(hand.joints, hand.side)
    x, y, z = pose[:3, 3].tolist()
    turn = _quaternion(matrices_to_quaternions(pose[:3, :3]).tolist())
    return PoseStamped(header=header, pose=Pose(position=Point(x=x, y=y, z=z), orientation=turn))


def joint_states_message(header: Header, hand: Hand) -> JointState:
    """Joint angles named with their side, e.g. ``right_index_mcp_flexion``; none where no hand model was fitted."""
    angles = hand.fit.angles if hand.fit else {}
    return JointState(
        header=header,
        name=[f'{hand.side}_{name}' for name in angles],
        position=[float(angle) for angle in angles.values()],
    )


def keypoints_message(header: Header, hands: Sequence[Hand]) -> PointCloud2:
    """All joints of all hands as one cloud of ``KEYPOINT``; empty for no hands."""
    points = np.zeros((len(hands), len(JOINTS)), KEYPOINT)
    for row, hand in zip(points, hands):
        row['x'], row['y'], row['z'] = hand.joints.T
        row['confidence'] = hand.confidence
        row['hand'] = hand.track_id % 256
        row['side'] = SIDES.index(hand.side)
        row['joint'] = np.arange(len(JOINTS))
    return PointCloud2(
        header=header,
        height=1,
        width=points.size,
        fields=_FIELDS,
        point_step=KEYPOINT.itemsize,
        row_step=points.nbytes,
        data=_byte_array(points.tobytes()),
        is_dense=True,
    )


def hand_transforms(hand: Hand) -> np.ndarray:
    """Translation and rotation x y z w (22, 7) of the joints, each in the frame of the one before it, and of the palm,
    in the camera's. Raises ValueError where the joints have no palm.
    """
    rotations = hand.fit.rotations if hand.fit else np.broadcast_to(np.eye(3), (len(JOINTS), 3, 3))
    parent_rotations = rotations[_PARENTS]
    parent_positions = hand.joints[_PARENTS]
    parent_rotations[WRIST], parent_positions[WRIST] = np.eye(3), 0
    palm = palm_pose(hand.joints, hand.side)
    turns = np.concatenate([parent_rotations.transpose(0, 2, 1) @ rotations, palm[None, :3, :3]])
    shifts = np.einsum('jba,jb->ja', parent_rotations, hand.joints - parent_positions)
    return np.concatenate([np.concatenate([shifts, palm[None, :3, 3]]), matrices_to_quaternions(turns)], axis=1)


def tf_message(header: Header, transforms: Mapping[str, np.ndarray], prefix: str = '') -> TFMessage:
    """The message of the :func:`hand_transforms` of hands, by side: wrist and palm under the camera, and so on; the
    hands' frames have names that begin with ``prefix``.
    """
    found = []
    for side, values in transforms.items():
        frames = [prefix + name for name in (*(joint_frame(side, joint) for joint in JOINTS), palm_frame(side))]
        parents = [frames[parent] if parent >= 0 else header.frame_id for parent in (*PARENTS, -1)]
        found += [
            TransformStamped(
                header=Header(stamp=header.stamp, frame_id=parent),
                child_frame_id=frame,
                transform=Transform(translation=Vector3(x=x, y=y, z=z), rotation=_quaternion(turn)),
            )
            for parent, frame, (x, y, z, *turn) in zip(parents, frames, values.tolist())
        ]
    return TFMessage(transforms=found)


def transforms_message(header: Header, hands: Sequence[Hand]) -> TFMessage:
    """Wrist and palm under the camera frame, every joint under the one before it; at most one hand of a side."""
    return tf_message(header, {hand.side: hand_transforms(hand) for hand in hands})


def markers_message(header: Header, hands: Sequence[Hand]) -> MarkerArray:
    """Skeletons, and meshes where the hands have one.

    Every message states all markers of both sides, present (add) or not (delete), so that none goes stale, whatever
    message a subscriber saw last.
    """
    seen = primary_hands(hands)
    return MarkerArray(markers=[marker for side in SIDES for marker in _markers(header, side, seen.get(side))])


def image_message(header: Header, image: np.ndarray, encoding: str) -> Image:
    """Wrap an (H, W) or (H, W, channels) array."""
    image = np.ascontiguousarray(image, image.dtype.newbyteorder('<'))
    return Image(
        header=header,
        height=image.shape[0],
        width=image.shape[1],
        encoding=encoding,
        step=image.strides[0],
        data=_byte_array(image.data.cast('B')),
    )


def compressed_depth_message(header: Header, image: np.ndarray) -> CompressedImage:
    """Pack an (H, W) depth image as ``compressed_depth_image_transport`` does."""
    form, data = encode_depth(image)
    return CompressedImage(header=header, format=form, data=_byte_array(data))


def compressed_color_message(header: Header, image: np.ndarray) -> CompressedImage:
    """Pack an (H, W, 3) bgr8 image as a JPEG, as ``compressed_image_transport`` does."""
    return CompressedImage(header=header, format=JPEG_FORMAT, data=_byte_array(encode_jpeg(image)))


def camera_info_message(header: Header, camera: Camera) -> CameraInfo:
    """Describe a camera, whose image is not rectified further."""
    projection = np.zeros((3, 4))
    projection[:, :3] = camera.matrix
    return CameraInfo(
        header=header,
        height=camera.height,
        width=camera.width,
        distortion_model=camera.distortion_model,
        d=camera.distortion or [0.0] * 5,
        k=camera.matrix.ravel(),
        r=np.eye(3).ravel(),
        p=projection.ravel(),
    )


def _byte_array(data: Any) -> array:
    # An array of bytes is taken as a whole; bytes would be copied one by one on some distributions
    # (ros2/rosidl_python#156).
    values = array('B')
    values.frombytes(data)
    return values


def _markers(header: Header, side: str, hand: Hand | None) -> list[Marker]:
    lines, spheres, triangles = (
        Marker(header=header, ns=f'{side}_{name}', action=Marker.DELETE) for name in ('skeleton', 'joints', 'mesh')
    )
    if hand is not None:
        _show(lines, Marker.LINE_LIST, hand.joints[_BONES])
        lines.scale.x, lines.colors = _BONE_WIDTH, _BONE_COLORS
        _show(spheres, Marker.SPHERE_LIST, hand.joints)
        spheres.scale.x = spheres.scale.y = spheres.scale.z = _JOINT_DIAMETER
        spheres.colors = _JOINT_COLORS
    if hand is not None and hand.fit is not None and hand.fit.vertices is not None:
        _show(triangles, Marker.TRIANGLE_LIST, hand.fit.vertices[hand.fit.faces])
        triangles.scale.x = triangles.scale.y = triangles.scale.z = 1.0
        triangles.color = _MESH_COLORS[side]
    return [lines, spheres, triangles]


def _show(marker: Marker, kind: int, points: np.ndarray) -> None:
    marker.type, marker.action = kind, Marker.ADD
    marker.pose.orientation.w = marker.color.a = 1.0
    marker.lifetime = _LIFETIME
    marker.points = [Point(x=x, y=y, z=z) for x, y, z in points.reshape(-1, 3).tolist()]


def _quaternion(xyzw: Sequence[float]) -> Quaternion:
    x, y, z, w = xyzw
    return Quaternion(x=x, y=y, z=z, w=w)
