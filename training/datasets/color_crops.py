"""Color crops that feed networks: what a camera sees that looks at the hand, changed at random while training."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from hand_pose_ros.geometry.joints import KNUCKLES, WRIST, hand_size
from hand_pose_ros.imaging.images import ImageError
from hand_pose_ros.regions.cube import CUBE_PER_HAND
from hand_pose_ros.regions.perspective import PerspectiveRegion
from training.datasets.color_frames import ColorDataset, ColorFrame, decode_image
from training.datasets.frames import DatasetError


@dataclass(frozen=True)
class Example:
    """A crop of a right hand (a left one mirrored) and what is true of it.

    Attributes:
        image: (S, S, 3) uint8, red green blue.
        joints: (21, 3) hand sizes from the wrist, in the frame of the camera that looks at the crop; NaN where unknown.
        points: (21, 2) crop coordinates; NaN where unknown.
        mask: (S, S) float32, the hand's share of a pixel; -1 throughout where unknown.
        size: hand size in meters.
        surface: what renders know of the hand's surface, see :class:`training.synthesis.color_scenes.ColorView`, at
            an eighth of the image's size; None where unknown.

    """

    image: np.ndarray
    joints: np.ndarray
    points: np.ndarray
    mask: np.ndarray
    size: float
    surface: np.ndarray | None = None

    def row(self) -> tuple[np.ndarray, ...]:
        """What a batch stacks: the surface last, where it is known."""
        row = (
            self.image,
            self.joints.astype(np.float32),
            self.points.astype(np.float32),
            self.mask,
            np.float32(self.size),
        )
        return row if self.surface is None else (*row, self.surface)


@dataclass(frozen=True)
class ColorAugmentation:
    """Random changes to a crop; what is 0 is left as it is.

    Attributes:
        rotation: degrees either way about the line of sight.
        scale: change of the hand's size in the crop; 0.2 stands for 0.8 to 1.2.
        translation: shift either way, in half sides of the crop.
        background: share of crops whose background is replaced; where the hand's mask is not known it stays.
        occluders: share of crops with something drawn in front.
        flip: share of crops that are mirrored with their labels, into left hands.
        light: change of brightness, contrast and of each color, as a share.
        backgrounds: folder of pictures that replace backgrounds; without one, clouds of color do.

    """

    rotation: float = 0.0
    scale: float = 0.0
    translation: float = 0.0
    background: float = 0.0
    occluders: float = 0.0
    flip: float = 0.0
    light: float = 0.0
    backgrounds: str = ''


def clouds(size: int, rng: np.random.Generator) -> np.ndarray:
    """Draw an image (size, size, 3) uint8 of colored noise, coarse to fine."""
    image = np.full((size, size, 3), rng.uniform(30, 220, 3))
    for cells in (2, 5, 13, 40):
        noise = rng.normal(0, rng.uniform(5, 45), (cells, cells, 3 if rng.uniform() < 0.5 else 1))
        # Squeezed one way or the other, so that there are streaks too.
        shape = (size, max(8, int(size * rng.uniform(0.1, 1)))) if rng.uniform() < 0.3 else (size, size)
        fine = cv2.resize(noise, shape, interpolation=cv2.INTER_LINEAR if rng.uniform() < 0.7 else cv2.INTER_NEAREST)
        image += cv2.resize(fine, (size, size)).reshape(size, size, -1)
    return np.clip(image, 0, 255).astype(np.uint8)


class Backgrounds:
    """Pictures of a folder, or clouds.

    Raises:
        DatasetError: the folder holds no PNG or JPEG.

    """

    def __init__(self, folder: str) -> None:
        self.files = (
            sorted(path for path in Path(folder).rglob('*') if path.suffix.lower() in ('.png', '.jpg', '.jpeg'))
            if folder
            else []
        )
        if folder and not self.files:
            raise DatasetError(f'{folder} holds no PNG or JPEG to put behind hands')

    def draw(self, size: int, rng: np.random.Generator) -> np.ndarray:
        """Draw a background (size, size, 3) uint8; raises DatasetError where a picture is damaged."""
        if not self.files:
            return clouds(size, rng)
        path = self.files[rng.integers(len(self.files))]
        try:
            picture = decode_image(path.read_bytes())
        except (OSError, ImageError) as error:
            raise DatasetError(f'{path}: {error}') from error
        side = int(min(picture.shape[:2]) * rng.uniform(0.5, 1))
        top, left = (rng.integers(length - side + 1) for length in picture.shape[:2])
        window = picture[top : top + side, left : left + side]
        return cv2.resize(window, (size, size), interpolation=cv2.INTER_AREA)


def occlude(image: np.ndarray, points: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Draw a stick or a blob over a part of the hand; returns what is covered (S, S), bool."""
    size = len(image)
    known = points[np.isfinite(points).all(1)]
    at = (known[rng.integers(len(known))] + 1) / 2 * size + rng.normal(0, size / 12, 2)
    axes = size * np.array([rng.uniform(0.05, 0.16), rng.uniform(0.08, 0.5)])
    shape = np.zeros((size, size), np.uint8)
    turn = rng.uniform(0, 180)
    if rng.uniform() < 0.5:
        cv2.ellipse(shape, tuple(at.astype(int).tolist()), tuple(axes.astype(int).tolist()), turn, 0, 360, 1, -1)
    else:
        corners = cv2.boxPoints((tuple(at.tolist()), tuple((2 * axes).tolist()), turn))
        cv2.fillConvexPoly(shape, corners.astype(np.int32), 1)
    covered = shape > 0
    image[covered] = clouds(size, rng)[covered]
    return covered


def frame_crop(
    frame: ColorFrame, joints: np.ndarray, augmentation: ColorAugmentation, rng: np.random.Generator
) -> PerspectiveRegion:
    """Place the crop of a frame's hand with ``joints`` (21, 3), ours, by the random changes of its place."""
    known = joints[np.isfinite(joints).all(1)]
    half = CUBE_PER_HAND * hand_size(joints) / (1 + augmentation.scale * rng.uniform(-1, 1))
    shift = augmentation.translation * half * np.array([*rng.uniform(-1, 1, 2), 0])
    turn = np.radians(augmentation.rotation * rng.uniform(-1, 1))
    return PerspectiveRegion.looking_at(known.mean(0) + shift, half, turn, mirror=frame.side == 'left')


def cut_example(
    frame: ColorFrame,
    ours: tuple[int | None, ...],
    size: int,
    augmentation: ColorAugmentation = ColorAugmentation(),
    rng: np.random.Generator | None = None,
    backgrounds: Backgrounds | None = None,
) -> Example:
    """Cut a hand out of a frame.

    Args:
        frame: the frame.
        ours: our index of each of its joints, see ``Benchmark.ours``.
        size: pixels along a side of the crop.
        augmentation: random changes.
        rng: draws them.
        backgrounds: what replaces backgrounds.

    Raises:
        DatasetError: the frame lacks the wrist or a knuckle, and so the hand's size.

    """
    rng = rng or np.random.default_rng(0)
    joints, pixels = frame.our_joints(ours)
    if not np.isfinite(joints[[WRIST, *KNUCKLES]]).all():
        raise DatasetError(
            f'{frame.name}: a crop needs the wrist and the four knuckles, which this dataset or frame does not have'
        )
    crop = frame_crop(frame, joints, augmentation, rng)
    image = crop.cut(frame.image, frame.camera, size)
    mask = np.full((size, size), -1, np.float32)
    if frame.mask is not None:
        mask = (
            crop.cut(frame.mask.astype(np.uint8) * 255, frame.camera, size, black_beyond=True).astype(np.float32) / 255
        )
        if rng.uniform() < augmentation.background:
            behind = backgrounds.draw(size, rng)
            image = (image * mask[..., None] + behind * (1 - mask[..., None])).astype(np.uint8)
    points = crop.from_pixels(pixels, frame.camera)
    scale = hand_size(joints)
    joints = crop.from_camera(joints - joints[WRIST]) / scale
    if rng.uniform() < augmentation.occluders:
        covered = occlude(image, points, rng)
        mask = np.where(covered & (mask >= 0), 0, mask).astype(np.float32)
    if augmentation.light:
        gain = 1 + augmentation.light * rng.uniform(-1, 1, 3) + augmentation.light * rng.uniform(-1, 1)
        offset = 128 * augmentation.light * rng.uniform(-1, 1)
        image = np.clip(image * gain + offset, 0, 255).astype(np.uint8)
    if rng.uniform() < augmentation.flip:
        image, mask = np.ascontiguousarray(image[:, ::-1]), np.ascontiguousarray(mask[:, ::-1])
        joints, points = joints * (-1, 1, 1), points * (-1, 1)
    return Example(image, joints, points, mask, scale)


def draw_batches(
    dataset: ColorDataset, seed: int, batch: int, size: int, augmentation: ColorAugmentation = ColorAugmentation()
) -> Iterator[tuple[np.ndarray, ...]]:
    """Draw batches without end: every frame once, in random order, then again in another.

    Yields:
        Images (batch, size, size, 3) uint8, joints (batch, 21, 3), points (batch, 21, 2), masks (batch, size, size)
        and hand sizes (batch,), float32; see :class:`Example`.

    """
    rng = np.random.default_rng(seed)
    backgrounds = Backgrounds(augmentation.backgrounds)
    ours = dataset.benchmark.ours
    rows = []
    while True:
        for index in rng.permutation(len(dataset)):
            rows.append(cut_example(dataset[index], ours, size, augmentation, rng, backgrounds).row())
            if len(rows) == batch:
                yield tuple(np.stack(parts) for parts in zip(*rows))
                rows = []
