"""A robot hand drawn as it would stand beside a person's, for videos and reports."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress

import cv2
import numpy as np

from hand_pose_ros.geometry.hand_frame import palm_pose
from hand_pose_ros.robots.description import RobotDescription, RobotError, read_description
from hand_pose_ros.robots.retargeting import (
    TO_ROBOT,
    ObservedHand,
    Retargeting,
    find_config,
    load_config,
    make_retargeting,
)

#: BGR, and meters that the picture's smaller side is high.
_BACKGROUND, _BONE, _JOINT = (40, 36, 32), (200, 196, 188), (205, 130, 60)
_FIELD_M, _BONE_M, _JOINT_M = 0.32, 0.013, 0.009


def draw_robot(
    description: RobotDescription, positions: dict[str, float], rotation: np.ndarray, size: tuple[int, int]
) -> np.ndarray:
    """Draw a robot's links as seen from afar.

    Args:
        description: of the robot.
        positions: of its actuated joints, by name.
        rotation: (3, 3) from its root's frame to the camera's optical axes; one that mirrors is as good.
        size: height and width of the picture, pixels.

    Returns:
        (height, width, 3) uint8, BGR.

    """
    picture = np.full((*size, 3), _BACKGROUND, np.uint8)
    poses = description.link_poses(positions)
    points = {link: rotation @ pose[:3, 3] for link, pose in poses.items()}
    middle = np.mean(list(points.values()), axis=0)
    scale = min(size) / _FIELD_M

    def pixel(link: str) -> tuple[int, int]:
        x, y = (points[link] - middle)[:2] * scale
        return round(size[1] / 2 + float(x)), round(size[0] / 2 + float(y))

    # The nearest last.
    for joint in sorted(description.joints.values(), key=lambda joint: -points[joint.child][2]):
        start, end = pixel(joint.parent), pixel(joint.child)
        cv2.line(picture, start, end, _BONE, max(round(_BONE_M * scale), 1), cv2.LINE_AA)
        cv2.circle(picture, start, max(round(_JOINT_M * scale), 1), _JOINT, cv2.FILLED, cv2.LINE_AA)
        if joint.kind == 'fixed':
            cv2.circle(picture, end, max(round(_JOINT_M * scale), 1), _BONE, cv2.FILLED, cv2.LINE_AA)
    return picture


class RobotPanel:
    """The robot hand of the demo as it follows a person's, frame after frame; it stays as it was where none is seen."""

    def __init__(self, side: str = 'right') -> None:
        """Follow the hand of a side: by its fingertips, or where dexi-rs is missing by its angles."""
        self.side = side
        try:
            self.robot, self.method = RobotPicture('dexpilot'), 'dexpilot'
        except ModuleNotFoundError:
            self.robot, self.method = RobotPicture('angles'), 'angles'
        self._picture: np.ndarray | None = None

    def draw(self, joints: np.ndarray | None, angles: Mapping[str, float], size: tuple[int, int]) -> np.ndarray:
        """Return the picture (height, width, 3), BGR, of a frame.

        Args:
            joints: (21, 3) of the hand, camera optical frame; None where it is not seen.
            angles: of its joints by name, radians.
            size: height and width of the picture, pixels.

        """
        if joints is not None:
            with suppress(RobotError):  # A hand that cannot be followed moves nothing.
                self._picture = self.robot.draw(ObservedHand(self.side, joints, angles), size)
        if self._picture is None:
            self._picture = np.full((*size, 3), _BACKGROUND, np.uint8)
        return self._picture


class RobotPicture:
    """Pictures of the robot hand of a configuration, turned as the person's hand that it follows."""

    def __init__(self, config: str = 'angles') -> None:
        """Load a configuration that names its robot description.

        Raises:
            RobotError: it names none, or cannot be used.
            ModuleNotFoundError: its method needs dexi-rs, which is not installed.

        """
        self._config = load_config(find_config(config))
        urdf = self._config.find_urdf()
        self._description = read_description(urdf)
        self._retargeting: Retargeting = make_retargeting(self._config, self._description, urdf)

    def draw(self, hand: ObservedHand, size: tuple[int, int]) -> np.ndarray:
        """Return the picture (height, width, 3), BGR, of a hand with joints. Raises RobotError where it is none."""
        positions = self._retargeting.retarget(hand)
        try:
            turn = palm_pose(hand.joints, hand.side)[:3, :3] if hand.joints is not None else TO_ROBOT
        except ValueError as error:
            raise RobotError(str(error)) from error
        mirror = (1.0, 1.0 if hand.side == self._config.side else -1.0, 1.0)
        return draw_robot(self._description, positions, turn @ TO_ROBOT.T * mirror, size)
