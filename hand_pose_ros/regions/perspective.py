"""The square around a hand in a color image, as a camera sees it that is turned to look at the hand's middle.

A hand at the image's edge seems turned against the same hand in the middle. Networks see crops and cannot know where
they were cut, so a crop is what a turned camera would see, and joints are in that camera's frame (x right, y down, z
forward, as always). The camera is held so that the fingers point up, which is far less to learn than hands every way up
(as MediaPipe Hands does: Zhang et al., "MediaPipe Hands: On-device Real-time Hand Tracking", 2020). Nothing here needs
the hand's distance: only its direction, and its size over its distance.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from hand_pose_ros.geometry.camera import Camera
from hand_pose_ros.geometry.joints import KNUCKLES, WRIST, hand_center, hand_size, is_degenerate
from hand_pose_ros.geometry.rotations import cross
from hand_pose_ros.regions.base import RegionOffset, View
from hand_pose_ros.regions.cube import CUBE_PER_HAND

#: How much closer than the square in which a hand is followed networks look at it: fingers are larger then, and few of
#: them end beyond the crop.
CLOSER = 1.15


def pointing(points: np.ndarray) -> np.ndarray:
    """Where a hand points: from the wrist to the middle of the four fingers' knuckles, of joints' places (21, 2)."""
    return points[list(KNUCKLES)].mean(0) - points[WRIST]


@dataclass(frozen=True)
class PerspectiveRegion:
    """A camera that is turned to a hand.

    Attributes:
        rotation: (3, 3) turns points from the image's camera optical frame into the crop's; a mirrored crop's first
            row points to the left.
        reach: half the crop's side over its distance: the tangent of half its field of view.

    """

    rotation: np.ndarray
    reach: float

    @classmethod
    def looking_at(cls, center: np.ndarray, half: float, turn: float = 0.0, mirror: bool = False) -> PerspectiveRegion:
        """Look at a point.

        Args:
            center: (3,) camera optical frame, in front of the camera, in any unit.
            half: half side of the square in the same unit, at the center's distance.
            turn: radians about the line of sight; the hand turns clockwise in the crop.
            mirror: show a mirror image, so that a left hand resembles a right one.

        """
        distance = float(np.linalg.norm(center))
        forward = np.asarray(center, dtype=float) / distance
        right = np.array([1.0, 0, 0]) - forward[0] * forward
        right = right / np.linalg.norm(right)
        down = cross(forward, right)
        cos, sin = np.cos(turn), np.sin(turn)
        right, down = cos * right - sin * down, sin * right + cos * down
        return cls(np.stack([-right if mirror else right, down, forward]), half / distance)

    @classmethod
    def of_hand(cls, joints: np.ndarray, mirror: bool = False) -> PerspectiveRegion:
        """Look at a hand's joints (21, 3), camera optical frame, its fingers up, with the room that a cube has too."""
        crop = cls.looking_at(hand_center(joints), CUBE_PER_HAND * hand_size(joints), mirror=mirror)
        return crop.turned_up(pointing(crop.project(joints)))

    @classmethod
    def of_square(
        cls,
        camera: Camera,
        center: np.ndarray,
        half: float,
        direction: tuple[float, float] | np.ndarray = (0, -1),
        mirror: bool = False,
    ) -> PerspectiveRegion:
        """Look at the square about pixel ``center`` (2,) that reaches ``half`` pixels either way.

        Args:
            camera: the camera.
            center: (2,) pixels.
            half: pixels.
            direction: (2,) where the hand points in the image, of any length; it is up in the crop.
            mirror: show a mirror image.

        """
        corners = camera.unproject(np.asarray(center) + [[0, 0], [half, 0], [-half, 0]], np.ones(3))
        crop = cls.looking_at(corners[0], float(np.linalg.norm(corners[1] - corners[2])) / 2, mirror=mirror)
        return crop.turned_up(np.asarray(direction) * ((-1, 1) if mirror else (1, 1)))

    def turned_up(self, direction: np.ndarray) -> PerspectiveRegion:
        """Turn about the line of sight, so that ``direction`` (2,), in this crop's coordinates, points up."""
        length = np.linalg.norm(direction)
        if not length > 1e-6:
            return self
        down = -np.asarray(direction) / length
        turn = np.array([[down[1], -down[0], 0], [down[0], down[1], 0], [0, 0, 1]])
        return PerspectiveRegion(turn @ self.rotation, self.reach)

    @property
    def side(self) -> str:
        """The side whose hands are shown as right ones: ``left`` for a mirrored crop."""
        return 'right' if np.linalg.det(self.rotation) > 0 else 'left'

    def about(self, joints: np.ndarray) -> PerspectiveRegion:
        """See ``HandRegion.about``."""
        return self if is_degenerate(joints) else PerspectiveRegion.of_hand(joints, mirror=self.side == 'left')

    def view(self, view: View) -> PerspectiveRegion:
        """Another crop of the same hand, turned in it clockwise and enlarged."""
        if view == View():
            return self
        up = np.array([-np.sin(view.turn_rad), -np.cos(view.turn_rad)])
        return PerspectiveRegion(self.turned_up(up).rotation, self.reach / view.zoom)

    def mirrored(self) -> PerspectiveRegion:
        """The mirror image of this crop."""
        return PerspectiveRegion(self.rotation * np.array([[-1.0], [1], [1]]), self.reach)

    def offset(self, other: PerspectiveRegion) -> RegionOffset:
        """How another crop of the same side lies against this one."""
        ahead, down = self.rotation @ other.rotation[2], self.rotation @ other.rotation[1]
        shift = float(np.hypot(ahead[0], ahead[1]) / (max(ahead[2], 1e-6) * self.reach))
        return RegionOffset(shift, float(np.log(other.reach / self.reach)), float(abs(np.arctan2(down[0], down[1]))))

    def following(self, found: PerspectiveRegion, memory: float) -> PerspectiveRegion:
        """See ``HandRegion.following``; the place and the turn are those of ``found``."""
        return PerspectiveRegion(found.rotation, self.reach**memory * found.reach ** (1 - memory))

    def cut(self, image: np.ndarray, camera: Camera, size: int, black_beyond: bool = False) -> np.ndarray:
        """Cut the crop (size, size) or (size, size, C) out of an image.

        Args:
            image: (H, W) or (H, W, C) uint8 of ``camera``, distorted as its distortion says.
            camera: the camera.
            size: pixels along a side of the crop.
            black_beyond: make what lies beyond the image black, which is nothing that networks have seen in training,
                instead of going on with the pixels at its edge.

        """
        border = cv2.BORDER_CONSTANT if black_beyond else cv2.BORDER_REPLICATE
        edge, side = self.reach * (1 / size - 1), 2 * self.reach / size
        rays = self.rotation.T @ np.array([[side, 0, edge], [0, side, edge], [0, 0, 1]])
        corners = rays @ np.array([[0, size - 1, 0, size - 1], [0, 0, size - 1, size - 1], [1, 1, 1, 1]])
        places = None
        if camera.distortion or (corners[2] < 1e-3).any():
            pixels = np.stack([*np.meshgrid(np.arange(size), np.arange(size)), np.ones((size, size))], -1) @ rays.T
            ahead = pixels[..., 2] > 1e-3
            places = np.full((size, size, 2), -1e6)
            places[ahead] = camera.project(pixels[ahead])
            corners = places[places[..., 0] > -1e5].reshape(-1, 2)
        else:
            corners = camera.project(corners.T)
        # Shrink first what has several pixels for one of the crop's: interpolation would skip some of them.
        steps, low = int(2 * self.reach * camera.fx / size), np.zeros(2, int)
        if steps >= 2 and len(corners):
            height, width = image.shape[:2]
            low = np.floor(np.clip(corners.min(0) - 2 * steps, 0, (width, height))).astype(int)
            high = np.ceil(np.clip(corners.max(0) + 2 * steps, 0, (width, height))).astype(int)
            count = (high - low) // steps
            if (count < 1).any():
                return np.zeros((size, size, *image.shape[2:]), image.dtype)
            part = image[low[1] : low[1] + count[1] * steps, low[0] : low[0] + count[0] * steps]
            image = cv2.resize(part, (int(count[0]), int(count[1])), interpolation=cv2.INTER_AREA)
        else:
            steps = 1
        if places is not None:
            return cv2.remap(
                image,
                ((places - low + 0.5) / steps - 0.5).astype(np.float32),
                None,
                cv2.INTER_LINEAR,
                borderMode=border,
            )
        # Without distortion what is straight in the crop is straight in the image.
        shrink = np.array([[1, 0, 0.5 - low[0]], [0, 1, 0.5 - low[1]], [0, 0, steps]]) / steps
        shrink[:2, 2] -= 0.5
        return cv2.warpPerspective(
            image,
            shrink @ camera.matrix @ rays,
            (size, size),
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
            borderMode=border,
        )

    def from_camera(self, points: np.ndarray) -> np.ndarray:
        """Points (..., 3) of the image's camera optical frame in the crop's."""
        return points @ self.rotation.T

    def to_camera(self, points: np.ndarray) -> np.ndarray:
        """Inverse of :meth:`from_camera`."""
        return points @ self.rotation

    def project(self, points: np.ndarray) -> np.ndarray:
        """Crop coordinates (..., 2), -1 to 1 over the crop, of points (..., 3) of the image's camera optical frame."""
        points = self.from_camera(points)
        return points[..., :2] / (self.reach * points[..., 2:])

    def from_pixels(self, pixels: np.ndarray, camera: Camera) -> np.ndarray:
        """Crop coordinates (..., 2) of pixels (..., 2) of the image."""
        return self.project(camera.unproject(pixels, np.ones(np.shape(pixels)[:-1])))

    def to_pixels(self, points: np.ndarray, camera: Camera) -> np.ndarray:
        """Pixels (..., 2) of the image at crop coordinates (..., 2)."""
        return camera.project(self.lines_of_sight(points))

    def lines_of_sight(self, points: np.ndarray) -> np.ndarray:
        """Rays (..., 3) from the camera through crop coordinates (..., 2), in the image's camera optical frame."""
        return self.to_camera(np.concatenate([points * self.reach, np.ones((*np.shape(points)[:-1], 1))], -1))

    def place(self, joints: np.ndarray, points: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
        """Find where a hand of known size is, by where its joints are seen.

        The linear least squares of how far the joints lie beside their lines of sight: 42 equations, 3 unknowns.

        Args:
            joints: (21, 3) meters from the wrist, in the crop's frame, as a network for crops tells them.
            points: (21, 2) crop coordinates.
            weights: (21,) how much a joint counts; all alike by default.

        Returns:
            (3,) the wrist in the image's camera optical frame, meters.

        """
        weights = np.ones(len(joints)) if weights is None else weights
        slopes = np.asarray(points, dtype=float) * self.reach
        rows = np.zeros((len(joints), 2, 3))
        rows[:, 0, 0] = rows[:, 1, 1] = 1
        rows[:, :, 2] = -slopes
        wanted = slopes * joints[:, 2:] - joints[:, :2]
        root = np.sqrt(weights)[:, None]
        weighted = (rows * root[..., None]).reshape(-1, 3)
        # Their normal equations, since so few unknowns are found sooner by them.
        wrist, *_ = np.linalg.lstsq(weighted.T @ weighted, weighted.T @ (wanted * root).ravel(), rcond=None)
        return self.to_camera(wrist)

    def draw_to_points(self, joints: np.ndarray, points: np.ndarray, share: float = 0.5) -> np.ndarray:
        """Move joints towards the lines of sight that their points lie on; how far away they are stays.

        A network tells a joint's place across the line of sight twice, by the hand's form and by what a pixel shows,
        and is off by about as much in both.

        Args:
            joints: (21, 3) meters, the image's camera optical frame.
            points: (21, 2) crop coordinates.
            share: of the way.

        Returns:
            (21, 3) as ``joints``.

        """
        joints = self.from_camera(joints)
        joints[:, :2] += share * (points * self.reach * joints[:, 2:] - joints[:, :2])
        return self.to_camera(joints)
