"""A hand as a depth image shows it: its points, its silhouette and what is behind it."""

from __future__ import annotations

import cv2
import numpy as np

from hand_pose_ros.geometry.camera import Camera
from hand_pose_ros.geometry.joints import BONES, hand_size


class HandObservation:
    """What a depth image shows of a hand whose joints are known roughly.

    Args:
        joints: (21, 3) meters, camera optical frame.
        depth: (H, W) meters, 0 for holes.
        camera: pinhole of ``depth``.
        bone_radius: pixels within this of a bone may be the hand's, as a share of the hand's size.
        max_points: at most so many points are kept, evenly over the image.

    Attributes:
        points: (N, 3) meters on the hand.

    """

    def __init__(
        self, joints: np.ndarray, depth: np.ndarray, camera: Camera, bone_radius: float, max_points: int
    ) -> None:
        self._depth, self._camera = depth, camera
        radius = bone_radius * hand_size(joints)
        v, u = np.nonzero((depth > joints[:, 2].min() - radius) & (depth < joints[:, 2].max() + radius))
        points = camera.unproject(np.stack([u, v], 1), depth[v, u])
        on_hand = distance_to_bones(points, joints) < radius
        self.points = points[on_hand]
        if len(self.points) > max_points:
            self.points = self.points[np.linspace(0, len(self.points) - 1, max_points).astype(int)]
        self._mask = np.zeros(depth.shape, np.uint8)
        self._mask[v[on_hand], u[on_hand]] = 1
        _, self._labels = cv2.distanceTransformWithLabels(
            1 - self._mask, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
        )
        rows, columns = np.nonzero(self._mask)
        self._nearest = np.zeros((self._labels.max() + 1, 2))
        self._nearest[self._labels[rows, columns]] = np.stack([columns, rows], 1)

    def depth_in_front(self, vertices: np.ndarray) -> np.ndarray:
        """How far (V,) vertices (V, 3) stand in front of what is measured there, meters; 0 in holes."""
        _, u, v = self._pixels(vertices)
        depth = self._depth[v, u]
        return np.where(depth > 0, depth - vertices[:, 2], 0)

    def silhouette_residuals(
        self, vertices: np.ndarray, margin: float, low: float, high: float
    ) -> tuple[np.ndarray, np.ndarray]:
        """Vertices that lie outside the hand's silhouette though the camera sees past them.

        Args:
            vertices: (V, 3) meters.
            margin: what is measured there lies farther behind than this, meters.
            low: they are farther from the silhouette than this, meters.
            high: but no farther than this, meters.

        Returns:
            Their indices (K,), and the way (K, 2) to the nearest pixel of the hand, meters along x and y.

        """
        pixels, u, v = self._pixels(vertices)
        index = np.flatnonzero((self._mask[v, u] == 0) & (self._depth[v, u] > vertices[:, 2] + margin))
        offsets = self._nearest[self._labels[v[index], u[index]]] - pixels[index]
        offsets *= vertices[index, 2:] / (self._camera.fx, self._camera.fy)
        distances = np.linalg.norm(offsets, axis=1)
        counted = (distances > low) & (distances < high)
        return index[counted], offsets[counted]

    def _pixels(self, vertices: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Where vertices (V, 3) are, (V, 2), and the column and row (V,) of the nearest pixel in the image."""
        height, width = self._depth.shape
        pixels = self._camera.project(vertices)
        u, v = np.clip(np.rint(pixels).astype(int), 0, (width - 1, height - 1)).T
        return pixels, u, v


def distance_to_bones(points: np.ndarray, joints: np.ndarray) -> np.ndarray:
    """Distances (N,) of points (N, 3) from the nearest bone of joints (21, 3), in their unit."""
    least = np.full(len(points), np.inf)
    for start, end in BONES:
        bone = joints[end] - joints[start]
        arm = points - joints[start]
        share = np.clip(arm @ bone / max(bone @ bone, 1e-12), 0, 1)
        least = np.minimum(least, np.square(arm - share[:, None] * bone).sum(1))
    return np.sqrt(least)


def nearest_neighbors(points: np.ndarray, targets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For each of points (N, 3) the index (N,) of the nearest target (M, 3), and its distance (N,)."""
    center = targets.mean(0)
    a, b = (points - center).astype(np.float32), (targets - center).astype(np.float32)
    index = (np.square(b).sum(1) - 2 * (a @ b.T)).argmin(1)
    return index, np.linalg.norm(points - targets[index], axis=1)
