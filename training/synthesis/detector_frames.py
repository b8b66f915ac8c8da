"""Whole color images with none, one or two hands for the detector, drawn without end from a seed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from hand_pose_ros.detection.color import DETECTOR_INPUT, GRID
from hand_pose_ros.geometry.camera import Camera
from hand_pose_ros.geometry.joints import hand_center, hand_size
from hand_pose_ros.regions.perspective import PerspectiveRegion, pointing
from training.synthesis.appearance import draw_lighting
from training.synthesis.color_scenes import (
    OTHER_HAND,
    Artist,
    PoseSource,
    before_background,
    draw_camera,
    draw_people_shown,
    draw_surface,
    draw_things,
    hidden_share,
    styled,
    surface_of,
)
from training.synthesis.people import Person
from training.synthesis.photography import augment, tone_map
from training.synthesis.poses import KINDS
from training.synthesis.scene import HAND
from training.synthesis.shading import Surface, render

#: Pixels along a side of the images, and of the renders that these are cut from; cells along a side of the maps of
#: surfaces in them, and how finely the renders are sampled for a cell.
FRAME, FRAME_ROOM = DETECTOR_INPUT, 320
CELLS, FINER = GRID, 4
#: A hand counts as seen from this share of its own picture on, and is no concern of the detector's below the second.
SEEN, HIDDEN = 0.5, 0.2
#: Nor is one whose square's half side is below this many half sides of the image: 40 pixels of 640 for the square.
SMALL = 0.0625
#: Share of the images in which the camera is upright and before a person.
FACING = 0.75
#: Hands in one image, at most.
HANDS = 2


def _hand_label(
    surfaces: list[Surface], labels: np.ndarray, label: int, camera: Camera, joints: np.ndarray, right: bool
) -> np.ndarray:
    """The detector's label (7,): see :func:`frame_batches`."""
    inside = np.all(
        (joints[:, 2:] > 0) & (np.abs(camera.project(joints) - camera.cx) < camera.width / 2), axis=1
    ).mean()
    seen = 0.0 if inside == 0 else inside * (1 - hidden_share(surfaces, labels, label, camera))
    crop = PerspectiveRegion.of_hand(joints)
    center = camera.project(hand_center(joints)[None])[0]
    half = crop.reach * camera.fx
    weight = 1.0 if seen >= SEEN else 0.0 if seen >= HIDDEN else -1.0
    direction = pointing(camera.project(joints))
    return np.array(
        [
            *((center + 0.5) / camera.width * 2 - 1),
            half / camera.width * 2,
            *direction / max(np.linalg.norm(direction), 1e-6),
            float(right),
            weight,
        ],
        np.float32,
    )


@dataclass(frozen=True)
class Frame:
    """A rendered image before its background.

    Attributes:
        image: (FRAME_ROOM, FRAME_ROOM, 3) float32, 0 to 255, black where nothing is.
        shown: (FRAME_ROOM, FRAME_ROOM) float32, share of a pixel where something is.
        labels: (HANDS, 7), see :func:`frame_batches`.
        surfaces: (FRAME_ROOM, FRAME_ROOM, 9) uint8, the hands' :func:`draw_surface` and :func:`draw_people_shown`.

    """

    image: np.ndarray
    shown: np.ndarray
    labels: np.ndarray
    surfaces: np.ndarray


def draw_frame(artist: Artist, angles: list[np.ndarray], rng: np.random.Generator, elsewhere: float = 0.0) -> Frame:
    """Draw a whole image with none, one or two hands; ``elsewhere`` is the share of those that look at another part of
    a person: faces, ears and feet are what is most often taken for a hand.
    """
    pixels = FRAME_ROOM
    middle = (pixels - 1) / 2
    focal = pixels / 2 / np.tan(np.radians(rng.uniform(20, 42)))
    camera = Camera(pixels, pixels, focal, focal, middle, middle)

    def position() -> np.ndarray:
        z = np.exp(rng.uniform(np.log(0.22), np.log(1.8)))
        # Letterboxed images have their upper and lower part empty; what they hold is drawn further in.
        return (
            np.array([rng.uniform(-0.9, 0.9), rng.uniform(-0.75, 0.75), focal / (pixels / 2)])
            * z
            / (focal / (pixels / 2))
        )

    at = position()
    if rng.uniform() < 0.12:
        at[:2] *= 3  # out of view; some of the body may be in it
    aside = bool(elsewhere) and rng.uniform() < elsewhere
    surfaces, posed, joints, forearm, away = artist.person(angles[0], rng, aside or bool(rng.uniform() < 0.75))
    center = posed[away[rng.integers(len(away))]].astype(float) if aside else hand_center(joints)
    joints = artist.place(surfaces, posed, joints, draw_camera(rng, forearm, FACING), center, at)
    found = [(HAND, joints, True)]
    if rng.uniform() < 0.35:
        other = position() * [1, 1, 0] + [0, 0, at[2] * np.exp(rng.normal(0, 0.15))]
        if np.linalg.norm(other - at) > 0.8 * hand_size(joints):
            mirror = bool(rng.uniform() < 0.85)
            others, other_joints = artist.other_hand(angles[1], rng, other, mirror)
            surfaces += others
            found.append((OTHER_HAND, other_joints, not mirror))
    surfaces += draw_things(rng, joints, hand_size(joints))
    picture = render(surfaces, draw_lighting(rng), camera, at, extent=0.6)
    shown = (picture.labels > 0).astype(np.float32)
    image = tone_map(picture.color, shown, rng) * shown[..., None]
    labels = np.full((HANDS, 7), -1, np.float32)
    hands = []
    for row, (label, points, right) in enumerate(found):
        labels[row] = _hand_label(surfaces, picture.labels, label, camera, points, right)
        hands.append(draw_surface(surface_of(label, surfaces), picture, camera, hand_center(points), hand_size(points)))
    return Frame(image, shown, labels, np.dstack([np.maximum.reduce(hands), draw_people_shown(surfaces, picture)]))


def doubt_unseen(labels: np.ndarray) -> None:
    """Give hands of labels (N, 7) that lie beyond the image or are too small in it the weight 0, in place."""
    outside = (np.abs(labels[:, :2]) > 1).any(1)
    labels[(labels[:, 6] > 0) & (outside | (labels[:, 2] < SMALL)), 6] = 0


def mirror_labels(labels: np.ndarray) -> None:
    """Make labels (N, 7) those of the mirror image, in place."""
    labels[:, [0, 3]] *= -1
    labels[:, 5] = 1 - labels[:, 5]


def _draw_cutout(labels: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Draw what part of a frame an image shows, turned a little: move (2, 3) in half sides from the middle; labels."""
    closer = np.exp(rng.uniform(0, np.log(1.7))) if rng.uniform() < 0.7 else 1.0
    turn = np.radians(rng.normal(0, 6))
    linear = closer * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    shift = rng.uniform(-1, 1, 2) * (closer - 1)
    labels = labels.copy()
    labels[:, :2] = labels[:, :2] @ linear.T + shift
    labels[:, 2] *= closer
    labels[:, 3:5] = labels[:, 3:5] @ linear.T / closer
    doubt_unseen(labels)
    return np.column_stack([linear, shift]), labels


def _between_pixels(move: np.ndarray, pixels: int, to_pixels: int) -> np.ndarray:
    """Express a move (2, 3) of half sides from the middle in pixels: from a square's to another's."""
    between = np.column_stack([move[:, :2] * to_pixels / pixels, np.zeros(2)])
    between[:, 2] = (to_pixels * (1 + move[:, 2]) - 1) / 2 - between[:, :2] @ np.full(2, (pixels - 1) / 2)
    return between


def draw_image(
    frame: Frame, rng: np.random.Generator, styles: float = 0.0
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Put a background behind a part of a frame, as a camera takes it.

    Args:
        frame: the render.
        rng: source of randomness.
        styles: share of images in another style, see :func:`training.photography.restyled`.

    Returns:
        Image (FRAME, FRAME, 3) uint8, its labels (HANDS, 7), and its surfaces (CELLS, CELLS, 9) uint8.

    """
    move, labels = _draw_cutout(frame.labels, rng)
    image, shown, surfaces = (
        cv2.warpAffine(layers, _between_pixels(move, FRAME_ROOM, pixels), (pixels, pixels))
        for layers, pixels in ((frame.image, FRAME), (frame.shown, FRAME), (frame.surfaces, CELLS * FINER))
    )
    image = before_background(image, shown[..., None], rng)
    image = augment(styled(image, rng, styles), rng)
    surfaces = cv2.resize(surfaces, (CELLS, CELLS), interpolation=cv2.INTER_AREA)
    # The camera's own format: bars above and below, or at the sides.
    bar = int(FRAME / 2 * (1 - rng.choice([1, 3 / 4, 9 / 16], p=[0.2, 0.45, 0.35])))
    if bar:
        across = rng.uniform() < 0.15
        cut = image.transpose(1, 0, 2) if across else image
        cut[:bar] = cut[FRAME - bar :] = 0
        rows, bars = surfaces.transpose(1, 0, 2) if across else surfaces, bar * CELLS // FRAME
        rows[:bars] = rows[CELLS - bars :] = 0
        beyond = np.abs(labels[:, 0 if across else 1]) > 1 - 2 * bar / FRAME
        labels[beyond & (labels[:, 6] > 0), 6] = 0
    if rng.uniform() < 0.5:
        image = np.ascontiguousarray(image[:, ::-1])
        mirror_labels(labels)
        surfaces = np.ascontiguousarray(surfaces[:, ::-1])
    return image, labels, surfaces


def frame_batches(
    people: Sequence[Person],
    seed: int,
    batch: int,
    poses: Mapping[str, float] = KINDS,
    pictures_per_frame: int = 4,
    elsewhere: float = 0.0,
    styles: float = 0.0,
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Yield endless batches for the detector.

    Args:
        people: who may be seen.
        seed: the same one gives the same batches.
        batch: images in a batch.
        poses: kind of pose -> share, see ``training.synthesis.poses``.
        pictures_per_frame: pictures of one rendered scene; more than one is cheaper and less varied.
        elsewhere: see :func:`draw_frame`.
        styles: see :func:`draw_image`.

    Yields:
        Images (batch, FRAME, FRAME, 3) uint8 and labels (batch, HANDS, 7): center u, v in -1 to 1 over the image, half
        side of the hand's square in half sides of the image, where the hand points u, v, 1 for a right hand, and 1
        where it is to be found, 0 where nothing is to be learnt of it, being half hidden, beyond the picture or too
        small, and -1 where there is none. Then surfaces (batch, CELLS, CELLS, 9) uint8, means over the cells of
        :func:`draw_surface` of all hands and :func:`draw_people_shown`.

    """
    artist, rng = Artist(people), np.random.default_rng(seed)
    angles = PoseSource(people[0], rng, poses)
    rows = []
    while True:
        frame = draw_frame(artist, [angles.next(), angles.next()], rng, elsewhere)
        for _ in range(pictures_per_frame):
            rows.append(draw_image(frame, rng, styles))
            if len(rows) == batch:
                yield tuple(np.stack(parts) for parts in zip(*rows))
                rows = []
