"""Color pictures of people's hands and what is about them, drawn without end from a seed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from hand_pose_ros.geometry.camera import Camera
from hand_pose_ros.geometry.joints import WRIST, hand_center, hand_size
from hand_pose_ros.geometry.rotations import rotation_vector_to_matrix
from hand_pose_ros.regions.cube import CUBE_PER_HAND
from training.rasterizer import ZBuffer
from training.synthesis.appearance import (
    Appearance,
    draw_appearance,
    draw_lighting,
    draw_material,
    draw_skin_material,
)
from training.synthesis.backgrounds import draw_background
from training.synthesis.crops import draw_clutter
from training.synthesis.people import Person
from training.synthesis.photography import restyle, tone_map
from training.synthesis.poses import draw_poses
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
#: Labels of a second hand and of who has it.
OTHER_HAND, OTHER_PERSON = 4, 5
#: From the body's axes (z up, face to -y) to those of a camera that looks at the face.
_FACING = np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])


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


def draw_views(
    people: Sequence[Person], rng: np.random.Generator, poses: Mapping[str, float], empty: float
) -> Iterator[ColorView]:
    """Draw endless views, an ``empty`` share of them of no hand, with poses by their kinds' shares."""
    artist = Artist(people)
    angles = PoseSource(people[0], rng, poses)
    while True:
        shows = str(rng.choice(list(NO_HAND), p=list(NO_HAND.values()))) if rng.uniform() < empty else 'hand'
        yield draw_color_view(artist, angles.next(), rng, shows)
