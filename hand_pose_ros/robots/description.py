"""What a robot description (URDF) says of a robot's joints, and where its links are for given joint positions."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from math import inf
from pathlib import Path
from xml.etree import ElementTree

import numpy as np

from hand_pose_ros.files import read_bytes, reading
from hand_pose_ros.geometry.rotations import axis_angle_to_matrix

_TURNING = ('revolute', 'continuous')
_MOVABLE = (*_TURNING, 'prismatic')


@dataclass(frozen=True)
class DescriptionLimits:
    """What a robot description may hold at most: humanoids have a hundred joints."""

    letters: int = 10_000_000
    #: Of its file: names in other writings take up to three a letter.
    bytes: int = 30_000_000
    joints: int = 1000


LIMITS = DescriptionLimits()


class RobotError(ValueError):
    """A robot's description or configuration that cannot be used; the message says what is wrong with it."""


@dataclass(frozen=True)
class RobotJoint:
    """A joint of a URDF.

    Attributes:
        name: of the joint.
        kind: ``revolute``, ``continuous``, ``prismatic`` or ``fixed``.
        parent: link that it hangs on.
        child: link that it carries.
        origin: (4, 4) the child's frame in the parent's at position 0.
        axis: (3,) unit vector in the child's frame.
        lower: limit, radians (meters where it is prismatic).
        upper: limit.
        velocity: limit, radians (meters) a second; infinite where the description has none.
        mimics: joint that it follows, empty for a joint of its own.
        multiplier: its position is this times that of the joint followed, plus the offset.
        offset: see ``multiplier``.

    """

    name: str
    kind: str
    parent: str
    child: str
    origin: np.ndarray
    axis: np.ndarray
    lower: float
    upper: float
    velocity: float
    mimics: str
    multiplier: float
    offset: float


@dataclass(frozen=True)
class RobotDescription:
    """A robot's links and joints, parents before their children.

    Attributes:
        name: of the robot.
        root: the link that everything hangs on.
        joints: all of them by name, fixed ones included.

    """

    name: str
    root: str
    joints: dict[str, RobotJoint]

    @property
    def links(self) -> tuple[str, ...]:
        """Every link, the root first."""
        return (self.root, *(joint.child for joint in self.joints.values()))

    @property
    def actuated(self) -> dict[str, RobotJoint]:
        """The joints that take commands: movable ones that follow no other."""
        return {name: joint for name, joint in self.joints.items() if joint.kind in _MOVABLE and not joint.mimics}

    def position_of(self, joint: RobotJoint, positions: dict[str, float]) -> float:
        """Position of a joint, given those of the actuated ones; one that is not named is at 0."""
        if joint.mimics:
            return joint.multiplier * positions.get(joint.mimics, 0.0) + joint.offset
        return positions.get(joint.name, 0.0)

    def link_poses(self, positions: dict[str, float]) -> dict[str, np.ndarray]:
        """Pose (4, 4) of every link in the root's frame, given the positions of the actuated joints."""
        poses = {self.root: np.eye(4)}
        for joint in self.joints.values():
            motion = np.eye(4)
            position = self.position_of(joint, positions)
            if joint.kind in _TURNING:
                motion[:3, :3] = axis_angle_to_matrix(joint.axis, np.asarray(position))
            elif joint.kind == 'prismatic':
                motion[:3, 3] = position * joint.axis
            poses[joint.child] = poses[joint.parent] @ joint.origin @ motion
        return poses


def parse_description(text: str, source: str = 'robot_description') -> RobotDescription:
    """Read a URDF.

    Args:
        text: the XML.
        source: what messages call it, such as its file.

    Raises:
        RobotError: it is not a URDF, or its joints are no tree; the message names the source and the joint.

    """
    with reading(source, RobotError, 'a robot description (URDF)'):
        if len(text) > LIMITS.letters:
            raise RobotError(f'{source}: it has more than {LIMITS.letters // 10**6} million letters')
        return _parse(ElementTree.fromstring(text), source)


def read_description(path: Path) -> RobotDescription:
    """Read a URDF file, see :func:`parse_description`."""
    with reading(path, RobotError, 'a robot description (URDF)'):
        return parse_description(read_bytes(path, LIMITS.bytes).decode('utf-8'), str(path))


def _parse(robot: ElementTree.Element, source: str) -> RobotDescription:
    if robot.tag != 'robot':
        raise RobotError(f'{source}: not a URDF, its root element is <{robot.tag}>')
    links = [link.get('name', '') for link in robot.findall('link')]
    elements = robot.findall('joint')
    if len(elements) > LIMITS.joints:
        raise RobotError(f'{source}: it has {len(elements)} joints; at most {LIMITS.joints} are read')
    try:
        joints = [_joint(element) for element in elements]
    except ValueError as error:
        raise RobotError(f'{source}: a joint cannot be read ({error})') from error
    for what, names in (('joint', [joint.name for joint in joints]), ('child link', [joint.child for joint in joints])):
        if repeated := [name for name, count in Counter(names).items() if count > 1]:
            raise RobotError(f'{source}: more than one {what} is {repeated[0]}')
    children = {joint.child for joint in joints}
    roots = [link for link in links if link not in children]
    if len(roots) != 1:
        raise RobotError(f'{source}: its links hang on {", ".join(roots) or "no link"}; a URDF has one root')
    return RobotDescription(robot.get('name', ''), roots[0], _ordered(joints, roots[0], source))


def _ordered(joints: list[RobotJoint], root: str, source: str) -> dict[str, RobotJoint]:
    placed, order, rest = {root}, {}, list(joints)
    while rest:
        for joint in rest:  # in the document's order as far as that has parents first
            if joint.parent in placed:
                order[joint.name] = joint
                placed.add(joint.child)
        left = [joint for joint in rest if joint.name not in order]
        if len(left) == len(rest):
            raise RobotError(f'{source}: joint {left[0].name} hangs on a link {left[0].parent} that is not in the tree')
        rest = left
    for joint in joints:
        if joint.mimics and joint.mimics not in order:
            raise RobotError(f'{source}: joint {joint.name} follows a joint {joint.mimics} that is not there')
    return order


def _joint(element: ElementTree.Element) -> RobotJoint:
    def attribute(tag: str, name: str, default: str | None = None) -> str:
        found = element.find(tag)
        text = default if found is None else found.get(name, default)
        if text is None:
            raise ValueError(f'{element.get("name")} has no {name} of <{tag}>')
        return text

    def vector(tag: str, name: str, default: str) -> np.ndarray:
        values = np.array(attribute(tag, name, default).split(), float)
        if values.shape != (len(default.split()),) or not np.isfinite(values).all():
            raise ValueError(f'{element.get("name")}: {name} of <{tag}> is not {len(default.split())} finite numbers')
        return values

    def number(tag: str, name: str, default: float) -> float:
        return float(vector(tag, name, str(default))[0])

    kind = element.get('type', '')
    if kind not in (*_MOVABLE, 'fixed'):
        raise ValueError(f'{element.get("name")}: type {kind!r} is not one of {", ".join((*_MOVABLE, "fixed"))}')
    origin = np.eye(4)
    origin[:3, :3] = rpy_to_matrix(vector('origin', 'rpy', '0 0 0'))
    origin[:3, 3] = vector('origin', 'xyz', '0 0 0')
    axis = vector('axis', 'xyz', '1 0 0')
    bounded = kind != 'continuous' and element.find('limit') is not None
    return RobotJoint(
        name=element.get('name', ''),
        kind=kind,
        parent=attribute('parent', 'link'),
        child=attribute('child', 'link'),
        origin=origin,
        axis=axis / max(float(np.linalg.norm(axis)), 1e-12),
        lower=number('limit', 'lower', 0.0) if bounded else -inf,
        upper=number('limit', 'upper', 0.0) if bounded else inf,
        velocity=number('limit', 'velocity', 0.0) or inf,
        mimics=attribute('mimic', 'joint') if element.find('mimic') is not None else '',
        multiplier=number('mimic', 'multiplier', 1.0),
        offset=number('mimic', 'offset', 0.0),
    )


def rpy_to_matrix(rpy: np.ndarray) -> np.ndarray:
    """Rotation (3, 3) of a URDF's roll, pitch and yaw (3,) in radians: about the fixed x, then y, then z."""
    x, y, z = (axis_angle_to_matrix(axis, np.asarray(angle)) for axis, angle in zip(np.eye(3), rpy))
    return z @ y @ x


def matrix_to_rpy(matrix: np.ndarray) -> np.ndarray:
    """Roll, pitch and yaw (3,) in radians of a rotation (3, 3), as a URDF has them."""
    across = np.hypot(matrix[0, 0], matrix[1, 0])
    pitch = np.arctan2(-matrix[2, 0], across)
    if across < 1e-9:  # Looking straight up or down: roll and yaw turn about the same line.
        return np.array([np.arctan2(-matrix[1, 2], matrix[1, 1]), pitch, 0.0])
    return np.array([np.arctan2(matrix[2, 1], matrix[2, 2]), pitch, np.arctan2(matrix[1, 0], matrix[0, 0])])
