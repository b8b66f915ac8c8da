"""Color pictures of people's hands, and crops of them for pose networks, drawn without end from a seed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from itertools import islice
from typing import NamedTuple

import cv2
import numpy as np

from hand_pose_ros.geometry.camera import Camera
from hand_pose_ros.geometry.joints import JOINTS, WRIST, hand_center, hand_size
from hand_pose_ros.geometry.rotations import rotation_vector_to_matrix
from hand_pose_ros.regions.base import View
from hand_pose_ros.regions.cube import CUBE_PER_HAND
from hand_pose_ros.regions.perspective import CLOSER, PerspectiveRegion, pointing
from training.datasets.color_crops import Example
from training.rasterizer import ZBuffer
from training.synthesis.appearance import (
    Appearance,
    draw_appearance,
    draw_lighting,
    draw_material,
    draw_skin_material,
)
from training.synthesis.backgrounds import BackgroundCache, draw_background
from training.synthesis.crops import draw_clutter
from training.synthesis.people import Person
from training.synthesis.photography import augment, restyle, tone_map
from training.synthesis.poses import KINDS, draw_poses
from training.synthesis.scene import CLUTTER, HAND, PERSON, Poser, before_camera, draw_arm, draw_view
from training.synthesis.shading import Picture, Surface, render

#: Distances of the hand from the camera, meters.
NEAREST, FARTHEST = 0.2, 1.5
#: How much more than a crop is pictured, so that crops may be shifted, and pixels along its side.
ROOM, PIXELS = 1.4, 256
#: What a crop without a hand may show, and how often: another part of a person, a part of a hand that is not looked at
#: as a whole, and what is behind everything.
NO_HAND = {'elsewhere': 0.45, 'part': 0.3, 'nothing': 0.25}
#: Half the range of places on the hand's surface, in root mean square distances of its vertices from their mean.
SURFACE_SPREAD = 1.8
#: Share of all crops but first guesses whose middle is twice as far off.
FARTHER_OFF = 0.2
#: Pixels along a side of a view's surfaces and of its background where it is cut on a GPU.
SURFACES, BACKGROUND = 64, 192
#: Share of crops that show the hand any way up, its joints not known; in the others it points up, more or less.
ANY_WAY_UP = 0.08
#: Labels of a second hand and of who has it.
OTHER_HAND, OTHER_PERSON = 4, 5
#: From the body's axes (z up, face to -y) to those of a camera that looks at the face.
_FACING = np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])


class CropErrors(NamedTuple):
    """Errors of crops as localization makes them, standard deviations and limits."""

    center_hand_sizes: float
    size_log: float
    size_log_least: float
    size_log_most: float
    up_degrees: float


#: Of most crops, of a detector's first guesses, and of crops about joints that were found.
OFF = CropErrors(0.1, 0.12, -0.28, 0.28, 20)
ROUGH_OFF = CropErrors(0.3, 0.25, -0.28, 0.6, 20)
FOLLOWED_OFF = CropErrors(0.035, 0.08, -0.28, 0.28, 6)


@dataclass(frozen=True)
class CropShares:
    """Shares of crops that are cut, or whose image is changed, otherwise than most.

    Attributes:
        rough: as far off and as wrong in size as a detector's first guesses.
        followed: of the others than those, cut about a hand whose joints were found, as the tracker does when it looks
            again or follows a hand.
        edges: go on beyond the image's edges, as the run time cuts them: with the pixels there.
        styles: in another style, see :func:`restyle`.

    """

    rough: float = 0.0
    followed: float = 0.0
    edges: float = 0.0
    styles: float = 0.0


#: Crops that are all cut as most are, and that keep their colors.
PLAIN = CropShares()


@dataclass(frozen=True)
class ColorView:
    """A picture of the surroundings of a hand, without what is behind everything.

    Attributes:
        layers: (H, W, 5) uint8: red, green, blue, black where nothing is; 255 where something is; 255 on the hand.
        surface: (H, W, 5) uint8, see :func:`draw_surface`.
        camera: pinhole of the picture.
        joints: (21, 3) meters, camera optical frame; None where there is no hand.
        center: (3,) meters, what a crop looks at, and ``size``, the hand's size in meters.

    """

    layers: np.ndarray
    surface: np.ndarray
    camera: Camera
    joints: np.ndarray | None
    center: np.ndarray
    size: float


def draw_camera(rng: np.random.Generator, forearm: np.ndarray, facing: float = 0.4) -> np.ndarray:
    """Draw the rotation (3, 3) from the body's axes to a camera's: any view of the hand, or one that faces a person."""
    if rng.uniform() < 1 - facing:
        return draw_view(rng, forearm)
    turn = rotation_vector_to_matrix(np.radians([rng.normal(0, 18), rng.normal(0, 45), rng.normal(0, 12)]))
    return turn @ _FACING


class Wardrobe:
    """Appearances of people: each person's are drawn a few times and cached, since drawing one takes a while."""

    def __init__(self, people: Sequence[Person], appearances: int = 3) -> None:
        self.people = people
        self.appearances = appearances
        self._cached: dict[tuple[int, int], Appearance] = {}

    def draw(self, number: int, rng: np.random.Generator) -> Appearance:
        """Draw one of a person's appearances."""
        key = number, int(rng.integers(self.appearances))
        if key not in self._cached:
            # Not of ``rng``: an appearance is the same whenever it is first drawn.
            self._cached[key] = draw_appearance(self.people[number], np.random.default_rng([*key, 77]))
        return self._cached[key]


class Artist:
    """Draws colored scenes; holds what that takes."""

    def __init__(self, people: Sequence[Person]) -> None:
        self.poser = Poser(people, other_hand=False)
        self.wardrobe = Wardrobe(people)
        arm = self.poser.arm_vertices
        self.elbow = arm[people[0].body.weight_bones[arm, 0] == self.poser.bone['lowerarm01.R']]

    def person(
        self, angles: np.ndarray, rng: np.random.Generator, whole: bool
    ) -> tuple[list[Surface], np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Draw a person in the axes of their rest pose.

        Returns:
            Surfaces of hand, arm and, if ``whole``, body; the posed vertices (V, 3) that they share; the hand's joints;
            the unit vector from the hand to the elbow; and indices of the posed vertices that no hand is near.

        """
        poser = self.poser
        number = int(rng.integers(len(poser.people)))
        person = poser.people[number]
        start = rng.uniform(-0.01, 0.2) if rng.uniform() < 0.45 else rng.uniform(0.25, 0.5)
        sleeve = (start, rng.uniform(0.002, 0.016))
        posed, joints = poser.pose(person, angles, draw_arm(rng), whole, tuple(rng.normal(0.05, 0.10, 2)), sleeve)
        elbow = posed[self.elbow].mean(0)
        forearm = (elbow - joints[WRIST]) / np.linalg.norm(elbow - joints[WRIST])
        worn = self.wardrobe.draw(number, rng)
        cover = np.maximum(worn.up_the_sleeves - np.float32(start), worn.clothed)
        skin, cloth = draw_skin_material(rng), draw_material(rng, cloth=True)
        texture = person.vertices
        surfaces = []
        for points, faces, ids, label in poser.meshes(posed, whole):
            surfaces.append(
                Surface(points, faces, ids, label, texture, skin, worn.colors, None if label == HAND else cover, cloth)
            )
        used = poser.all_vertices if whole else poser.arm_vertices
        away = used[np.linalg.norm(posed[used] - hand_center(joints), axis=1) > 2.2 * hand_size(joints)]
        return surfaces, posed, joints, forearm, away

    @staticmethod
    def place(
        surfaces: list[Surface],
        posed: np.ndarray,
        joints: np.ndarray,
        rotation: np.ndarray,
        center: np.ndarray,
        position: np.ndarray,
        mirror: bool = False,
        labels: Mapping[int, int] | None = None,
    ) -> np.ndarray:
        """Move a person before the camera, in place, see :func:`scene.before_camera`; ``mirror`` makes the hand a left
        one, and ``labels`` renames surfaces.
        """
        flip = np.array([-1.0, 1, 1]) if mirror else np.ones(3)
        points, joints = before_camera(
            posed * flip.astype(np.float32), joints * flip, rotation, center * flip, position
        )
        for surface in surfaces:
            surface.points = points
            if mirror:
                surface.faces = np.ascontiguousarray(surface.faces[:, ::-1])
            surface.label = (labels or {}).get(surface.label, surface.label)
        return joints

    def other_hand(
        self, angles: np.ndarray, rng: np.random.Generator, position: np.ndarray, mirror: bool = True
    ) -> tuple[list[Surface], np.ndarray]:
        """Draw another arm before the camera: its surfaces and joints."""
        surfaces, posed, joints, forearm, _ = self.person(angles, rng, whole=False)
        flip = np.array([-1.0, 1, 1]) if mirror else np.ones(3)
        rotation = draw_camera(rng, forearm * flip)
        return surfaces, self.place(
            surfaces,
            posed,
            joints,
            rotation,
            hand_center(joints),
            position,
            mirror,
            {HAND: OTHER_HAND, PERSON: OTHER_PERSON},
        )


def draw_things(rng: np.random.Generator, joints: np.ndarray, size: float) -> list[Surface]:
    """Draw things about a hand, see :func:`training.synthesis.crops.draw_clutter`."""
    return [
        Surface(points, faces, ids, CLUTTER, points, draw_material(rng))
        for points, faces, ids, _ in draw_clutter(rng, joints, size)
    ]


def hidden_share(surfaces: list[Surface], labels: np.ndarray, label: int, camera: Camera) -> float:
    """Share of a hand's own picture that something else covers."""
    alone = ZBuffer.empty(*labels.shape)
    for surface in surfaces:
        if surface.label == label:
            pinhole = (camera.fx, camera.fy, camera.cx, camera.cy)
            alone.draw(surface.points, surface.faces, surface.face_ids, pinhole)
    count = np.count_nonzero(alone.labels >= 0)
    return 1 - np.count_nonzero(labels == label) / count if count else 1.0


def draw_surface(hand: Surface, picture: Picture, camera: Camera, center: np.ndarray, size: float) -> np.ndarray:
    """What the pixels of a hand show of its surface.

    Args:
        hand: the hand's surface, whose texture is its vertices at rest.
        picture: the hand and what is about it.
        camera: of the picture.
        center: (3,) of the hand, camera optical frame.
        size: of the hand, meters.

    Returns:
        (H, W, 5) uint8, 0 off the hand and 255 for 1 on it: 1; the place x, y, z on the hand at rest, which tells
        what of the hand it is, ``SURFACE_SPREAD`` of the vertices' deviations from their mean for -1 to 1; and how much
        further from the camera than the center it is, ``CUBE_PER_HAND`` hand sizes for the same. -1 to 1 are 0 to 1.

    """
    rest = hand.texture[hand.faces[hand.face_ids].ravel()]
    middle = rest.mean(0)
    unit = SURFACE_SPREAD * np.sqrt(np.square(rest - middle).sum(1).mean())
    v, u = np.nonzero(picture.labels == hand.label)
    rays = np.sqrt(1 + ((u - camera.cx) / camera.fx) ** 2 + ((v - camera.cy) / camera.fy) ** 2)
    further = (picture.depth[v, u] * rays - np.linalg.norm(center)) / (CUBE_PER_HAND * size)
    surface = np.zeros((*picture.labels.shape, 5), np.uint8)
    _write_surface(surface, v, u, np.column_stack([(picture.texture[v, u] - middle) / unit, further]))
    return surface


def draw_people_shown(surfaces: list[Surface], picture: Picture) -> np.ndarray:
    """What the pixels of people, hands among them, show.

    Returns:
        (H, W, 4) uint8, 0 off people and 255 for 1 on them: 1; and the place on the body at rest from its middle, half
        its height for 1: away from the plane that parts left and right, back, and up. -1 to 1 are 0 to 1.

    """
    shown = np.zeros((*picture.labels.shape, 4), np.uint8)
    for labels in (HAND, PERSON), (OTHER_HAND, OTHER_PERSON):
        hand = surface_of(labels[0], surfaces)
        if hand is None:
            continue
        low, high = hand.texture.min(0), hand.texture.max(0)
        v, u = np.nonzero(np.isin(picture.labels, labels))
        places = (2 * picture.texture[v, u] - low - high) / (high[2] - low[2])
        places[:, 0] = np.abs(places[:, 0])
        _write_surface(shown, v, u, places)
    return shown


def _write_surface(surface: np.ndarray, v: np.ndarray, u: np.ndarray, numbers: np.ndarray) -> None:
    """Write into pixels (N,) of ``surface`` (H, W, 1 + C): 255, and numbers (N, C), -1 to 1, as 0 to 255."""
    surface[v, u, 0] = 255
    surface[v, u, 1:] = np.clip(127.5 * (1 + numbers), 0, 255)


def surface_of(label: int, surfaces: list[Surface]) -> Surface | None:
    """The surface that is called so, of several the first."""
    return next((surface for surface in surfaces if surface.label == label), None)


def draw_color_view(artist: Artist, angles: np.ndarray, rng: np.random.Generator, shows: str = 'hand') -> ColorView:
    """Draw what a crop may show: a ``hand`` and its surroundings, or one of ``NO_HAND``."""
    while True:
        elsewhere = shows == 'elsewhere'
        whole = rng.uniform() < (0.85 if elsewhere else 0.45)
        surfaces, posed, joints, forearm, away = artist.person(angles, rng, whole)
        size = hand_size(joints)
        center = hand_center(joints)
        if elsewhere:
            center = posed[away[rng.integers(len(away))]].astype(float)
            size = size * np.exp(rng.normal(0, 0.3))
        elif shows == 'part':
            center = joints[rng.integers(len(joints))] + rng.normal(0, 0.08, 3) * size
            size = size * rng.uniform(0.12, 0.4)
        distance = np.exp(rng.uniform(np.log(NEAREST), np.log(FARTHEST)))
        position = np.array([0, 0, distance])
        joints = artist.place(surfaces, posed, joints, draw_camera(rng, forearm), center, position)
        surfaces += draw_things(rng, joints - hand_center(joints) + position if elsewhere else joints, size)
        if rng.uniform() < 0.12:
            towards = rng.normal(0, 1, 3) * [1, 1, 0.6]
            other = position + towards / np.linalg.norm(towards) * hand_size(joints) * rng.uniform(1.0, 2.4)
            if other[2] > 0.15:
                surfaces += artist.other_hand(angles, rng, other, mirror=bool(rng.uniform() < 0.7))[0]
        half = CUBE_PER_HAND * size * ROOM
        focal = PIXELS / 2 * distance / half
        middle = (PIXELS - 1) / 2
        camera = Camera(PIXELS, PIXELS, focal, focal, middle, middle)
        picture = render(surfaces, draw_lighting(rng), camera, position)
        if shows == 'hand' and hidden_share(surfaces, picture.labels, HAND, camera) > 0.45:
            continue
        if elsewhere and ((picture.labels == HAND) | (picture.labels == OTHER_HAND)).mean() > 0.02:
            continue
        shown = (picture.labels > 0).astype(np.float32)
        image = tone_map(picture.color, shown, rng) * shown[..., None]
        layers = np.dstack([image, 255 * shown, 255 * (picture.labels == HAND).astype(np.float32)])
        layers = np.clip(cv2.GaussianBlur(layers, (0, 0), 0.7), 0, 255).astype(np.uint8)
        surface = draw_surface(surface_of(HAND, surfaces), picture, camera, hand_center(joints), size)
        if shows == 'nothing':
            layers[:], surface[:] = 0, 0
        return ColorView(layers, surface, camera, joints if shows == 'hand' else None, position, size)


def before_background(
    color: np.ndarray, share: np.ndarray, rng: np.random.Generator, draw: Callable[..., np.ndarray] = draw_background
) -> np.ndarray:
    """Put a background behind colors (H, W, 3), 0 to 255, black where nothing is, that cover ``share`` (H, W, 1)."""
    height, width = color.shape[:2]
    return np.clip(color + (1 - share) * draw(width, height, rng), 0, 255).astype(np.uint8)


def styled(image: np.ndarray, rng: np.random.Generator, share: float) -> np.ndarray:
    """Change the style of a ``share`` of images, see :func:`restyle`."""
    return restyle(image, rng) if share and rng.uniform() < share else image


def _draw_edges(view: ColorView, rng: np.random.Generator) -> tuple[np.ndarray, Camera]:
    """Draw where an image ends about a hand: what is within, before a background, and its camera."""
    camera = view.camera
    points = (
        camera.project(view.joints)
        if view.joints is not None
        else np.array(
            [
                [camera.cx - camera.width / 4, camera.cy - camera.height / 4],
                [camera.cx + camera.width / 4, camera.cy + camera.height / 4],
            ]
        )
    )
    low, high = points.min(0), points.max(0)
    # From a fifth of the hand cut off to no edge in sight.
    room = (high - low).max() * rng.uniform(-0.2, 1.0, (2, 2))
    low = np.clip(low - room[0], 0, camera.width - 33).astype(int)
    high = np.clip(high + room[1], low + 32, camera.width).astype(int)
    layers = view.layers[low[1] : high[1], low[0] : high[0]]
    height, width = layers.shape[:2]
    image = before_background(layers[..., :3], layers[..., 3:4] / 255, rng)
    return image, Camera(width, height, camera.fx, camera.fy, camera.cx - low[0], camera.cy - low[1])


def draw_color_crop(
    view: ColorView,
    rng: np.random.Generator,
    size: int,
    shares: CropShares = PLAIN,
    background: Callable[..., np.ndarray] = draw_background,
    room: float = 1.0,
) -> Example:
    """Cut a crop out of a view with the errors in place and size that localization makes, before some background.

    Where the view shows no hand, joints, points and size are NaN and the mask is 0.

    Args:
        view: what is seen.
        rng: source of randomness.
        size: pixels along a side of the crop.
        shares: how likely it is to be one of those that are cut or changed otherwise.
        background: draws (height, width, 3) uint8 of width, height and a source of randomness.
        room: how much more than the crop image and mask show, and pixels that they have more, along a side; points and
            the surface are the crop's.

    """
    first = bool(shares.rough) and rng.uniform() < shares.rough
    known = bool(shares.followed) and not first and rng.uniform() < shares.followed
    place, extent, least, most, turn = ROUGH_OFF if first else FOLLOWED_OFF if known else OFF
    if not first and rng.uniform() >= 1 - FARTHER_OFF:  # not below the share: the validation set was drawn so
        place *= 2
    off = rng.normal(0, place, 3) * view.size
    half = CUBE_PER_HAND / CLOSER * view.size * np.exp(np.clip(rng.normal(0, extent), least, most))
    crop = PerspectiveRegion.looking_at(view.center + off * [1, 1, 0], half)
    up = rng.uniform(-np.pi, np.pi)
    if view.joints is not None and (known or rng.uniform() > ANY_WAY_UP):
        points = pointing(crop.project(view.joints))
        up = np.arctan2(points[1], points[0]) + np.radians(rng.normal(0, turn))
    crop = crop.turned_up(np.array([np.cos(up), np.sin(up)]))
    around, pixels = crop.view(View(zoom=1 / room)), round(size * room)
    layers = around.cut(view.layers, view.camera, pixels, black_beyond=True).astype(np.float32)
    if shares.edges and rng.uniform() < shares.edges:
        image = around.cut(*_draw_edges(view, rng), pixels)
    else:
        image = before_background(layers[..., :3], layers[..., 3:4] / 255, rng, background)
    image = augment(styled(image, rng, shares.styles), rng)
    mask = layers[..., 4] / 255
    surface = crop.cut(view.surface, view.camera, size // 8, black_beyond=True)
    if view.joints is None:
        nothing = np.full((len(JOINTS), 3), np.nan)
        return Example(image, nothing, nothing[:, :2], np.zeros_like(mask), np.nan, surface)
    scale = hand_size(view.joints)
    return Example(
        image,
        crop.from_camera(view.joints - view.joints[WRIST]) / scale,
        crop.project(view.joints),
        mask,
        scale,
        surface,
    )


class PoseSource:
    """Articulations of hands, drawn many at a time."""

    def __init__(self, person: Person, rng: np.random.Generator, kinds: Mapping[str, float]) -> None:
        self.person, self.rng, self.kinds = person, rng, kinds
        self._left: list[np.ndarray] = []

    def next(self) -> np.ndarray:
        """Angles (D,) of a pose, radians."""
        if not self._left:
            person = self.person
            self._left = list(
                draw_poses(512, self.rng, person.axes, person.rest_angles, person.body.joints, kinds=self.kinds)
            )
        return self._left.pop()


def crop_batches(
    people: Sequence[Person],
    seed: int,
    batch: int,
    size: int = 128,
    crops_per_view: int = 2,
    poses: Mapping[str, float] = KINDS,
    empty: float = 0.15,
    shares: CropShares = PLAIN,
    views: int = 1,
    backgrounds: int = 0,
    as_of: int = 0,
    room: float = 1.0,
) -> Iterator[tuple[np.ndarray, ...]]:
    """Yield endless batches of crops, as ``training.tasks.color_pose`` describes them.

    Args:
        people: who may be seen.
        seed: the same one gives the same batches.
        batch: crops in a batch.
        size: pixels along a side of a crop.
        crops_per_view: crops cut from one rendered view; more than one is cheaper and less varied.
        poses: kind of pose -> share, see ``training.synthesis.poses``.
        empty: share of views that show no hand.
        shares: of crops that are cut or changed otherwise than most.
        views: rendered views that are cached and that each crop is cut from one of, so that those of one are far apart.
        backgrounds: how many are cached, see :class:`BackgroundCache`; 0 draws one for each crop.
        as_of: show the same hands, cut alike, as crops of this size do; by default crops of another size show others.
        room: see :func:`draw_color_crop`.

    """
    rng = np.random.default_rng(seed)
    source = _views(people, rng, poses, empty)
    background = BackgroundCache(backgrounds, size).draw if backgrounds else draw_background
    drawn, rows = [next(source) for _ in range(views)], []
    while True:
        for _ in range(crops_per_view):
            view = drawn[rng.integers(views)]
            own = rng if as_of in (0, size) and room == 1 else deepcopy(rng)
            rows.append(draw_color_crop(view, own, size, shares, background, room).row())
            if own is not rng:  # which goes on as if those crops had been drawn
                draw_color_crop(view, rng, as_of or size, shares, background)
            if len(rows) == batch:
                yield tuple(np.stack(parts) for parts in zip(*rows))
                rows = []
        drawn[rng.integers(views)] = next(source)


def view_batches(
    people: Sequence[Person], seed: int, batch: int, poses: Mapping[str, float] = KINDS, empty: float = 0.15
) -> Iterator[tuple[np.ndarray, ...]]:
    """Yield endless batches of views for :func:`training.cut_color.cut`, each with a background for any of them.

    Args:
        people: who may be seen.
        seed: the same one gives the same batches.
        batch: views in a batch.
        poses: kind of pose -> share, see ``training.synthesis.poses``.
        empty: share of views that show no hand.

    Yields:
        Of N views: layers (N, PIXELS, PIXELS, 5) uint8, see :class:`ColorView`; surfaces (N, SURFACES, SURFACES, 5)
        uint8; pinholes (N, 3), focal length, cx and cy; joints (N, 21, 3), NaN where there is no hand; centers (N, 3)
        and sizes (N,) of what crops look at, all in meters and float32; backgrounds (N, BACKGROUND, BACKGROUND, 3)
        uint8.

    """
    rng = np.random.default_rng(seed)
    source = _views(people, rng, poses, empty)
    nothing = np.full((len(JOINTS), 3), np.nan)
    while True:
        rows = []
        for view in islice(source, batch):
            rows.append(
                (
                    view.layers,
                    cv2.resize(view.surface, (SURFACES, SURFACES), interpolation=cv2.INTER_AREA),
                    np.float32([view.camera.fx, view.camera.cx, view.camera.cy]),
                    np.float32(nothing if view.joints is None else view.joints),
                    np.float32(view.center),
                    np.float32(view.size),
                    draw_background(BACKGROUND, BACKGROUND, rng),
                )
            )
        yield tuple(np.stack(parts) for parts in zip(*rows))


def _views(
    people: Sequence[Person], rng: np.random.Generator, poses: Mapping[str, float], empty: float
) -> Iterator[ColorView]:
    """Draw endless views, an ``empty`` share of them of no hand."""
    artist = Artist(people)
    angles = PoseSource(people[0], rng, poses)
    while True:
        shows = str(rng.choice(list(NO_HAND), p=list(NO_HAND.values()))) if rng.uniform() < empty else 'hand'
        yield draw_color_view(artist, angles.next(), rng, shows)
