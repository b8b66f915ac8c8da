"""Labeled crops of right hands for the pose network, drawn without end from a seed."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from hand_pose_ros.geometry.camera import Camera
from hand_pose_ros.geometry.joints import JOINTS, hand_center, hand_size
from hand_pose_ros.geometry.rotations import random_rotations
from hand_pose_ros.regions.cube import CUBE_PER_HAND, camera_to_cube, cut_cube
from training.rasterizer import EMPTY
from training.synthesis.motion import draw_motion, expose
from training.synthesis.people import Person
from training.synthesis.poses import KINDS, draw_poses
from training.synthesis.scene import HAND, Poser, Scene, before_camera, draw_arm, draw_view, plane, primitive
from training.synthesis.sensors import SENSORS, TIME_OF_FLIGHT, Sensor, draw_weaknesses, sense

#: Distances of the hand from the camera, meters.
NEAREST, FARTHEST = 0.25, 1.2
#: The finest image that is rendered of a cube, pixels along a side; nearer hands are rendered at this.
FINEST = 170
#: A drawn scene is thrown away when less than this share of the hand's own image is left uncovered.
LEAST_VISIBLE = 0.6
#: Meters in one unit of packed depth, whose 16 bits reach to 1.64 m.
PACKED_UNIT = 25e-6
#: How much more than the hand's cube is pictured, so that crops may be shifted.
ROOM = 1.28
#: Standard deviations of the errors that localization makes: in center, in hand sizes, as a rule and when it is rough;
#: how often it is; in size, of its logarithm, and how far that goes at most.
CENTER_ERROR, ROUGH_CENTER_ERROR, ROUGH = 0.075, 0.14, 0.2
SIZE_ERROR, GREATEST_SIZE_ERROR = 0.09, 0.2


@dataclass(frozen=True)
class View:
    """A sensor's picture of the part of a scene around a right hand.

    Attributes:
        depth: (H, W) float32 meters, 0 for holes.
        camera: pinhole of ``depth``, a window of the sensor's whole image.
        joints: (21, 3) meters, camera optical frame.

    """

    depth: np.ndarray
    camera: Camera
    joints: np.ndarray


def draw_clutter(rng: np.random.Generator, joints: np.ndarray, size: float) -> list:
    """Things near a hand: a wall or table, objects about, something held."""
    center = hand_center(joints)
    things = []
    if rng.uniform() < 0.40:
        normal = random_rotations(rng, 1)[0][2]
        normal = normal * -np.sign(normal[2])
        normal = normal + np.array([0, 0, -rng.uniform(0, 1.5)])
        normal = normal / np.linalg.norm(normal)
        # Behind the hand's farthest joint along the normal, from touching to far.
        back = ((joints - center) @ normal).min()
        gap = rng.exponential(0.08) + 0.008
        things.append(plane(center + normal * (back - gap), normal, 0.9))
    for _ in range(rng.integers(1, 4) if rng.uniform() < 0.25 else 0):
        direction = random_rotations(rng, 1)[0][0]
        direction[2] = abs(direction[2]) * rng.choice([1, 1, 1, -0.3])
        scale = rng.uniform(0.015, 0.11, 3)
        place = center + direction * (size * rng.uniform(1.3, 2.2) + scale.max())
        things.append(primitive(rng.choice(['box', 'cylinder', 'ball']), random_rotations(rng, 1)[0], scale, place))
    if rng.uniform() < 0.07:
        # Something held: in the hollow of the hand, along the palm's width.
        across = joints[5] - joints[17]
        across = across / np.linalg.norm(across)
        along = joints[9] - joints[0]
        normal = np.cross(across, along)
        normal = normal / np.linalg.norm(normal)
        radius = size * rng.uniform(0.15, 0.36)
        axis_y = across + rng.normal(0, 0.2, 3)
        axis_y = axis_y / np.linalg.norm(axis_y)
        axis_x = np.cross(axis_y, normal)
        axis_x = axis_x / np.linalg.norm(axis_x)
        rotation = np.stack([axis_x, axis_y, np.cross(axis_x, axis_y)], 1)
        scale = np.array([radius, size * rng.uniform(0.5, 1.4), radius])
        place = joints[[5, 9, 13]].mean(0) + normal * (radius + size * 0.13)
        things.append(primitive(rng.choice(['cylinder', 'box', 'ball'], p=[0.6, 0.2, 0.2]), rotation, scale, place))
    return things


def draw_sleeve(rng: np.random.Generator) -> tuple[float, float] | None:
    """Draw where on the forearm a sleeve begins and how far it stands off, meters; None for a bare arm."""
    return (rng.uniform(-0.005, 0.16), rng.uniform(0.002, 0.016)) if rng.uniform() < 0.5 else None


def draw_scene(
    poser: Poser,
    person: Person,
    angles: np.ndarray,
    rng: np.random.Generator,
    position: np.ndarray,
    body_probability: float = 0.3,
) -> tuple[Scene, bool]:
    """Pose a person with the hand's center at ``position`` (3,) meters and put things around.

    Returns:
        The scene, and whether it holds anything but the arm.

    """
    whole = rng.uniform() < body_probability
    sleeve = draw_sleeve(rng)
    posed, joints = poser.pose(person, angles, draw_arm(rng), whole, tuple(rng.normal(0.05, 0.10, 2)), sleeve)
    bone = poser.bone['lowerarm01.R']
    elbow = posed[poser.arm_vertices][person.body.weight_bones[poser.arm_vertices, 0] == bone].mean(0)
    forearm = elbow - joints[0]
    rotation = draw_view(rng, forearm / np.linalg.norm(forearm))
    posed, joints = before_camera(posed, joints, rotation, hand_center(joints), position)
    things = draw_clutter(rng, joints, hand_size(joints))
    return Scene(joints, poser.meshes(posed, whole) + things), whole or bool(things)


def capture(
    scene: Scene,
    covered: bool,
    sensor: Sensor,
    focal: float,
    pixels: int,
    position: np.ndarray,
    rng: np.random.Generator,
    moving: float = 0.0,
) -> tuple[np.ndarray, Camera, np.ndarray] | None:
    """Picture a scene as a sensor sees it.

    Args:
        scene: what is there.
        covered: whether it holds anything but the arm, which may hide the hand.
        sensor: what sees it.
        focal: focal length of the picture, pixels.
        pixels: along a side of the picture.
        position: (3,) meters, the point in the picture's middle.
        rng: source of the sensor's weaknesses.
        moving: share of a time-of-flight sensor's pictures in which the hand moves.

    Returns:
        Depth (pixels, pixels) in meters with 0 for holes, its camera, and the labels of the ideal picture; None where
        too much of the hand is hidden.

    """
    middle, z = (pixels - 1) / 2, position[2]
    camera = Camera(pixels, pixels, focal, focal, middle - focal * position[0] / z, middle - focal * position[1] / z)
    window = (pixels, pixels, camera.fx, camera.fy, camera.cx, camera.cy)
    ideal, labels = scene.render(*window)
    if covered:
        alone = scene.render(*window, only=HAND)[1]
        if np.count_nonzero(labels == HAND) < LEAST_VISIBLE * np.count_nonzero(alone):
            return None
    weaknesses = draw_weaknesses(sensor, rng)
    if moving and sensor.kind == TIME_OF_FLIGHT and rng.uniform() < moving:
        arm, rest = (part.render(*window)[0] for part in scene.apart())
        if rng.uniform() < 0.6:
            # A far wall, too far to be in a crop, but its light mixes with the hand's.
            rest[rest == EMPTY] = z + np.float32(rng.uniform(0.5, 3))
        ideal = expose(arm, rest, focal, draw_motion(camera.project(scene.joints), rng))
        # The steep depth that motion makes at edges is there to be seen: fewer of them are holes.
        weaknesses = weaknesses._replace(edge_holes=weaknesses.edge_holes * rng.uniform(), slant_holes=0.0)
    noisy = sense(ideal, sensor, focal, weaknesses, int(rng.integers(2**31)))
    return noisy, camera, labels


def draw_view_of_hand(
    poser: Poser,
    angles: np.ndarray,
    rng: np.random.Generator,
    reach: float = 1.0,
    moving: float = 0.0,
    sensors: Sequence[str] = tuple(SENSORS),
) -> View:
    """Draw a picture of a posed hand.

    Args:
        poser: poses the people.
        angles: (D,) hand angles, radians.
        rng: source of randomness.
        reach: half side of what is pictured, in multiples of the hand's cube with room for a shifted crop.
        moving: share of a time-of-flight sensor's pictures in which the hand moves.
        sensors: which of them may be drawn.

    """
    while True:
        person = poser.people[rng.integers(len(poser.people))]
        sensor = SENSORS[rng.choice(sensors)]
        z = np.exp(rng.uniform(np.log(NEAREST), np.log(FARTHEST)))
        spread_u, spread_v = 0.36 * sensor.width / sensor.focal, 0.36 * sensor.height / sensor.focal
        position = np.array([rng.uniform(-spread_u, spread_u), rng.uniform(-spread_v, spread_v), 1]) * z
        scene, covered = draw_scene(poser, person, angles, rng, position)
        half = CUBE_PER_HAND * hand_size(scene.joints) * reach * ROOM
        focal = sensor.focal
        across = 2 * half / z * focal
        if across > FINEST * reach * ROOM:
            focal *= FINEST * reach * ROOM / across
            across = FINEST * reach * ROOM
        seen = capture(scene, covered, sensor, focal, int(np.ceil(across)), position, rng, moving)
        if seen is None:
            continue
        noisy, camera, _ = seen
        return View(noisy, camera, scene.joints)


def draw_cube(joints: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, float]:
    """Draw the center (3,) and half side of a hand's cube, meters, with the errors that localization makes."""
    true_size = hand_size(joints)
    off = rng.normal(0, CENTER_ERROR if rng.uniform() < 1 - ROUGH else ROUGH_CENTER_ERROR, 3) * true_size
    wrong = np.clip(rng.normal(0, SIZE_ERROR), -GREATEST_SIZE_ERROR, GREATEST_SIZE_ERROR)
    return hand_center(joints) + off, CUBE_PER_HAND * true_size * np.exp(wrong)


def draw_crop(view: View, rng: np.random.Generator, size: int) -> tuple[np.ndarray, np.ndarray, float]:
    """Cut a hand out of a view with the errors in center and size that localization makes.

    Returns:
        (size, size) float32 crop, (21, 3) joints in cube coordinates, and the cube's half side in meters.

    """
    center, half = draw_cube(view.joints, rng)
    return cut_cube(view.depth, view.camera, center, half, size), camera_to_cube(view.joints, center, half), half


def pack(depth: np.ndarray) -> np.ndarray:
    """Store depth (H, W) in meters as the bits of unsigned numbers of ``PACKED_UNIT``, 0 for holes and what is too far.

    Signed, as torch gathers int16 on any device.
    """
    units = np.round(depth / PACKED_UNIT)
    return np.where(units < 2**16, units, 0).astype(np.uint16).view(np.int16)


class CropSource:
    """Draws batches of crops or of views; the same people and seed give the same batches.

    Args:
        people: who may be seen.
        seed: of everything drawn.
        size: pixels along a side of a crop.
        crops_per_view: crops cut from one rendered view; more than one is cheaper and less varied.
        poses: kind of pose -> share, see ``training.synthesis.poses``.
        moving: share of a time-of-flight sensor's pictures in which the hand moves.

    """

    def __init__(
        self,
        people: Sequence[Person],
        seed: int,
        size: int = 96,
        crops_per_view: int = 1,
        poses: Mapping[str, float] = KINDS,
        moving: float = 0.0,
    ) -> None:
        self.poser = Poser(people)
        self.rng = np.random.default_rng(seed)
        self.size = size
        self.crops_per_view = crops_per_view
        self.kinds = poses
        self.moving = moving
        self._poses: list[np.ndarray] = []

    def next_pose(self) -> np.ndarray:
        """Angles (D,) of a pose, radians."""
        if not self._poses:
            person = self.poser.people[0]
            self._poses = list(
                draw_poses(512, self.rng, person.axes, person.rest_angles, person.body.joints, kinds=self.kinds)
            )
        return self._poses.pop()

    def view(self) -> View:
        """Draw a view of the next pose."""
        return draw_view_of_hand(self.poser, self.next_pose(), self.rng, moving=self.moving)

    def view_batches(self, batch: int) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """Yield views: depth (batch, S, S) int16, see :func:`pack`; pinholes (batch, 3), focal length, cx and cy; and
        joints (batch, 21, 3) meters, camera optical frame; both float32.
        """
        side = math.ceil(FINEST * ROOM)
        while True:
            depth = np.zeros((batch, side, side), np.int16)
            pinholes, joints = np.empty((batch, 3), np.float32), np.empty((batch, len(JOINTS), 3), np.float32)
            for n in range(batch):
                view = self.view()
                height, width = view.depth.shape
                depth[n, :height, :width] = pack(view.depth)
                pinholes[n] = view.camera.fx, view.camera.cx, view.camera.cy
                joints[n] = view.joints
            yield depth, pinholes, joints

    def batches(self, batch: int) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """Yield (batch, size, size) crops, (batch, 21, 3) cube coordinates and (batch,) half sides, float32."""
        crops, joints, halves = [], [], []
        while True:
            view = self.view()
            for _ in range(self.crops_per_view):
                crop, uvz, half = draw_crop(view, self.rng, self.size)
                crops.append(crop)
                joints.append(uvz)
                halves.append(half)
                if len(crops) == batch:
                    yield (np.stack(crops), np.stack(joints).astype(np.float32), np.array(halves, np.float32))
                    crops, joints, halves = [], [], []
