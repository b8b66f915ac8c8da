"""What the readers of the color benchmarks share: frames that are read when asked for, with what is known of a hand."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, replace
from pathlib import Path

import numpy as np

from hand_pose_ros.geometry.camera import Camera
from hand_pose_ros.geometry.joints import JOINTS
from hand_pose_ros.imaging.compressed import decode_color
from hand_pose_ros.imaging.images import ImageError
from hand_pose_ros.io.benchmarks import Benchmark
from training.datasets.frames import DatasetError, read_image


def decode_image(data: bytes) -> np.ndarray:
    """Decode a PNG or JPEG to (H, W, 3) uint8, red green blue; raises ImageError where it is damaged or cut short."""
    # OpenCV makes half an image of half a JPEG and says nothing.
    if data[:2] == b'\xff\xd8' and not data.rstrip(b'\0').endswith(b'\xff\xd9'):
        raise ImageError('the JPEG is cut short')
    return np.ascontiguousarray(decode_color(data)[..., ::-1])


@dataclass(frozen=True)
class ColorFrame:
    """One hand in one image.

    Attributes:
        name: the image's file, relative to the dataset's folder.
        image: (H, W, 3) uint8, red green blue.
        camera: the camera that took it.
        side: ``left`` or ``right``.
        joints: (J, 3) meters, camera optical frame, in the dataset's own order; NaN where one is not known.
        points: (J, 2) pixels; NaN where one is not known.
        visible: (J,) whether a joint is seen, as far as the dataset tells; a hidden one may still be known.
        mask: (H, W) bool, the hand's pixels; None where the dataset has none.
        vertices: (V, 3) meters of the hand's mesh, camera optical frame; None where the dataset has none.

    """

    name: str
    image: np.ndarray
    camera: Camera
    side: str
    joints: np.ndarray
    points: np.ndarray
    visible: np.ndarray
    mask: np.ndarray | None
    vertices: np.ndarray | None

    def our_joints(self, joints: tuple[int | None, ...]) -> tuple[np.ndarray, np.ndarray]:
        """Joints (21, 3) and points (21, 2) in our order, NaN where the dataset has none; see ``Benchmark.ours``."""
        xyz, uv = np.full((len(JOINTS), 3), np.nan), np.full((len(JOINTS), 2), np.nan)
        for theirs, ours in enumerate(joints):
            if ours is not None:
                xyz[ours], uv[ours] = self.joints[theirs], self.points[theirs]
        return xyz, uv


@dataclass(frozen=True)
class ColorDataset:
    """Hands of a dataset; an image is read when its frame is asked for.

    Attributes:
        benchmark: joint order and other facts.
        folder: the dataset's folder.
        source: what the files are part of, and where to get that.
        width: pixels of every image.
        height: pixels of every image.
        names: (N,) image files, relative to the folder.
        sides: (N,) ``left`` or ``right``.
        cameras: (N, 4) fx, fy, cx, cy in pixels.
        joints: (N, J, 3), see :class:`ColorFrame`.
        points: (N, J, 2), or None: joints are projected.
        visible: (N, J), or None: all that are known.
        masks: (N,) mask files, relative to the folder, empty where there is none; or None.
        read_mask: reads a mask of the frame of a side: (H, W) bool.
        vertices: (N, V, 3), or None.

    """

    benchmark: Benchmark
    folder: Path
    source: str
    width: int
    height: int
    names: np.ndarray
    sides: np.ndarray
    cameras: np.ndarray
    joints: np.ndarray
    points: np.ndarray | None = None
    visible: np.ndarray | None = None
    masks: np.ndarray | None = None
    read_mask: Callable[[Path, str], np.ndarray] | None = None
    vertices: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.names)

    def _check_size(self, array: np.ndarray, path: Path) -> None:
        if array.shape[:2] != (self.height, self.width):
            raise DatasetError(
                f'{path} has {array.shape[1]}x{array.shape[0]} pixels; images of {self.benchmark.name} '
                f'have {self.width}x{self.height}'
            )

    def __getitem__(self, index: int) -> ColorFrame:
        """Read a frame; raises DatasetError where its image or mask is missing or damaged."""
        name, side = str(self.names[index]), str(self.sides[index])
        path = self.folder / name
        image = read_image(path, self.source, decode_image)
        self._check_size(image, path)
        camera = Camera(self.width, self.height, *map(float, self.cameras[index]))
        joints = self.joints[index]
        points = camera.project(joints) if self.points is None else self.points[index]
        visible = np.isfinite(joints).all(1) if self.visible is None else self.visible[index]
        mask = None
        if self.masks is not None and self.masks[index]:
            mask = self.read_mask(self.folder / str(self.masks[index]), side)
            self._check_size(mask, self.folder / str(self.masks[index]))
        vertices = None if self.vertices is None else self.vertices[index]
        return ColorFrame(name, image, camera, side, joints, points, visible, mask, vertices)

    def __iter__(self) -> Iterator[ColorFrame]:
        """Read one frame after the other."""
        return (self[index] for index in range(len(self)))

    def select(self, keep: np.ndarray) -> ColorDataset:
        """Return the frames that a mask (N,) or a list of indices keeps."""
        arrays = {field.name: getattr(self, field.name) for field in fields(self)}
        return replace(self, **{name: array[keep] for name, array in arrays.items() if isinstance(array, np.ndarray)})
