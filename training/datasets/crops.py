"""Crops that feed networks: a cube cut around the hand of a dataset's frame, changed at random while training."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from hand_pose_ros.geometry.camera import Camera
from hand_pose_ros.geometry.joints import JOINTS
from hand_pose_ros.regions.cube import camera_to_cube, cube_to_camera, cut_cube
from training.datasets import DATASETS, check_dataset_options, open_dataset
from training.datasets.frames import Dataset, DatasetError, Frame, check_known
from training.options import parameters_of
from training.recipe import Options
from training.registry import TrainingError

#: Ways to find a hand's center: the mean of its joints; the center of mass of what is seen around that; the center in a
#: published file.
CENTERS = ('joints', 'mass', 'published')

#: Split that a dataset is evaluated on where that is not ``test``: HANDS17 keeps the labels of its own.
EVALUATED = {'hands17': 'validation'}

#: Pixels along a side of the crop that a center of mass is taken of.
_MASS_PIXELS = 128


@dataclass(frozen=True)
class Cube:
    """A cube around a hand, turned about the line of sight.

    Attributes:
        center: (3,) meters, camera optical frame.
        half: half side, meters.
        turn: radians, see :func:`hand_pose_ros.regions.cube.cut_cube`.

    """

    center: np.ndarray
    half: float
    turn: float = 0.0

    def cut(self, depth: np.ndarray, camera: Camera, size: int) -> np.ndarray:
        """Cut the cube out of a depth image: (size, size) float32 in [-1, 1]."""
        return cut_cube(depth, camera, self.center, self.half, size, turn=self.turn)

    def from_camera(self, points: np.ndarray) -> np.ndarray:
        """Turn points (..., 3) in meters into cube coordinates."""
        return camera_to_cube(points, self.center, self.half) @ self._rotation()

    def to_camera(self, uvz: np.ndarray) -> np.ndarray:
        """Inverse of :meth:`from_camera`."""
        return cube_to_camera(uvz @ self._rotation().T, self.center, self.half)

    def _rotation(self) -> np.ndarray:
        cos, sin = np.cos(self.turn), np.sin(self.turn)
        return np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]])


@dataclass(frozen=True)
class Augmentation:
    """Random changes to a cube, drawn evenly; what is 0 is left as it is.

    They are changes in the world, not of the crop: the cube is turned, sized and moved in the frame, and what it then
    holds is cut out, so that a crop and its joints cannot come apart.

    Attributes:
        rotation: degrees either way about the line of sight through the center.
        scale: change of the hand's size in the cube; 0.1 stands for 0.9 to 1.1.
        translation_mm: along each axis, either way.
        translation_pixels: of the frame, along u and v, either way, and as many millimeters in depth.
        one: make one of the changes, or none, each with the same chance, as published code of JGR-P2O, SRN and
            DeepPrior++ does, instead of all at once.

    """

    rotation: float = 0.0
    scale: float = 0.0
    translation_mm: float = 0.0
    translation_pixels: float = 0.0
    one: bool = False

    def draw(self, cube: Cube, camera: Camera, rng: np.random.Generator) -> Cube:
        """Change a cube."""
        turn, scale = np.radians(self.rotation * rng.uniform(-1, 1)), self.scale * rng.uniform(-1, 1)
        shift = rng.uniform(-1, 1, 3)
        if self.one:
            chosen = np.eye(4)[rng.integers(4)]  # the fourth is none of them
            turn, scale, shift = turn * chosen[0], scale * chosen[1], shift * chosen[2]
        pixels = shift[:2] / (camera.fx, camera.fy) * cube.center[2]
        moved = self.translation_mm / 1000 * shift + self.translation_pixels * np.array([*pixels, shift[2] / 1000])
        return Cube(cube.center + moved, cube.half / (1 + scale), cube.turn + turn)


def _mass_of_box(frame: Frame) -> np.ndarray:
    """Center (3,) of what is seen in a frame's box, without what lies far from the box's middle depth."""
    left, top, right, bottom = np.round(frame.box).astype(int)
    top, left = max(top, 0), max(left, 0)
    window = frame.depth[top:bottom, left:right]
    if not window.any():
        raise DatasetError(f'{frame.name}: nothing is seen in the box {left} {top} {right} {bottom}')
    middle = np.quantile(window[window > 0], 0.5, method='nearest')
    near = (window > 0) & (np.abs(window - middle) < frame.half)
    v, u = np.nonzero(near)
    return frame.camera.unproject(np.array([u.mean() + left, v.mean() + top]), window[near].mean())


def hand_center(frame: Frame, method: str) -> np.ndarray:
    """Find the center (3,) of a frame's hand in one of the ways of ``CENTERS``, in meters.

    Raises:
        DatasetError: the frame lacks what the way needs, or there is no such way.

    """
    check_known('center', method, CENTERS)
    if method == 'published':
        if frame.center is None:
            raise DatasetError(f'{frame.name}: no published centers were read; open the dataset with centers')
        return frame.center
    if frame.joints is None:
        if method == 'joints':
            raise DatasetError(f'{frame.name} has no joints: its center can be mass or published')
        return _mass_of_box(frame)
    start = frame.joints.mean(0)
    if method == 'joints':
        return start
    around = Cube(start, frame.half)
    crop = around.cut(frame.depth, frame.camera, _MASS_PIXELS)
    v, u = np.nonzero(crop < 1)
    if not len(u):
        return start
    place = 2 * (np.array([u.mean(), v.mean()]) + 0.5) / _MASS_PIXELS - 1
    return around.to_camera(np.array([*place, crop[v, u].mean()]))


def open_frames(split: str, dataset: str, folder: str | None, center: str, options: Options | None) -> Dataset:
    """Open a split whose hands' centers are found in one of the ways of ``CENTERS``.

    Of published centers the authors leave some out; so are their frames.

    Args:
        split: ``train``, or another one for what networks are evaluated on.
        dataset: its name, see :func:`training.datasets.open_dataset`.
        folder: the dataset's own folder, where it is not in the usual place.
        center: one of ``CENTERS``.
        options: what the dataset's reader takes beside.

    Raises:
        DatasetError: the dataset cannot be read.

    """
    split = split if split == 'train' else EVALUATED.get(dataset, 'test')
    centers = {'centers': True} if center == 'published' else {}
    found = open_dataset(dataset, split, folder, **centers, **options or {})
    return found if found.centers is None else found.select(np.isfinite(found.centers).all(1))


def check_frames(options: Options) -> None:
    """Check the options of a source of frames: the dataset's reader, what it takes, and the way to a hand's center.

    Raises:
        TrainingError: there is no such reader or way, or the reader does not take an option.

    """
    dataset, center = options['dataset'], options.get('center', CENTERS[0])
    check_dataset_options(DATASETS, dataset, options.get('options') or {}, 'data_options.options')
    check_known('data_options.center', center, CENTERS)
    if center == 'published' and 'centers' not in parameters_of([DATASETS.load(dataset)]):
        raise TrainingError(
            f'data_options.center is published, and the reader of {dataset} takes no centers: set it to joints or mass'
        )


def with_our_joints(dataset: Dataset) -> Dataset:
    """Put a dataset's joints into our order.

    Raises:
        DatasetError: it lacks some of our joints.

    """
    names = dataset.benchmark.joints
    lacking = [joint for joint in JOINTS if joint not in names]
    if lacking:
        raise DatasetError(
            f'{dataset.benchmark.name} lacks {", ".join(lacking)}: the task depth_benchmark trains on its own joints'
        )
    order = [names.index(joint) for joint in JOINTS]
    return replace(dataset, joints=dataset.joints[:, order])


def cut_example(frame: Frame, cube: Cube, size: int, mirror_left: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """Cut a frame's hand out: (size, size) crop and its joints (J, 3) in cube coordinates, float32.

    Args:
        frame: labeled.
        cube: around the hand.
        size: pixels along a side of the crop.
        mirror_left: mirror left hands, so that all are right ones.

    """
    crop, joints = cube.cut(frame.depth, frame.camera, size), cube.from_camera(frame.joints)
    if mirror_left and frame.side == 'left':
        crop, joints = crop[:, ::-1], joints * (-1, 1, 1)
    return crop, joints.astype(np.float32)


def draw_batches(
    dataset: Dataset,
    seed: int,
    batch: int,
    size: int,
    center: str = 'joints',
    augmentation: Augmentation = Augmentation(),
    mirror_left: bool = False,
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Draw batches without end: every frame once, in random order, then again in another.

    Args:
        dataset: labeled frames.
        seed: the same one gives the same batches.
        batch: frames in a batch.
        size: pixels along a side of a crop.
        center: one of ``CENTERS``.
        augmentation: random changes.
        mirror_left: see :func:`cut_example`.

    Yields:
        (batch, size, size) crops, (batch, J, 3) cube coordinates and (batch,) half sides in meters, float32.

    """
    rng = np.random.default_rng(seed)
    crops, joints, halves = [], [], []
    while True:
        for index in rng.permutation(len(dataset)):
            frame = dataset[index]
            cube = augmentation.draw(Cube(hand_center(frame, center), frame.half), frame.camera, rng)
            crop, truth = cut_example(frame, cube, size, mirror_left)
            crops.append(crop)
            joints.append(truth)
            halves.append(cube.half)
            if len(crops) == batch:
                yield np.stack(crops), np.stack(joints), np.array(halves, np.float32)
                crops, joints, halves = [], [], []
