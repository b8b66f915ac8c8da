"""Retargeting: from a person's hand to the joints of a robot's, by one of three methods.

``angles`` adds up our joint angles by gains from a YAML file, which fits hands of five or six motors. ``vector`` and
``dexpilot`` place the robot's fingertips as the person's (Qin et al., AnyTeleop, 2023; Handa et al., DexPilot, 2020),
computed by dexi-rs from the YAML fields of dex-retargeting. All of them see a hand of one size: joints are scaled by
the palm that the tracker knows, so that a child's open hand opens the robot's too.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from math import inf, isfinite
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from hand_pose_ros.files import read_yaml, reading, reason
from hand_pose_ros.geometry.hand_frame import in_hand_frame
from hand_pose_ros.geometry.joints import JOINTS, SIDES, TIPS, WRIST, hand_size
from hand_pose_ros.hand_model.kinematics import DOF_NAMES
from hand_pose_ros.resources import resource_path
from hand_pose_ros.robots.description import RobotDescription, RobotError

#: Palm length that every hand is scaled to, meters: a grown person's, which robot hands are made after.
PALM = 0.0955
#: From the hand frame to that of dex-retargeting, whose z points to the fingers and x out of the palm; both sides.
TO_ROBOT = np.array([[0.0, 0, -1], [0, 1, 0], [1, 0, 0]])
METHODS = ('angles', 'vector', 'dexpilot')

_OFFSET = 'offset'
#: So far beyond its limits a joint that stands at one may read, radians.
_BEYOND = 0.05
_OWN_FIELDS = frozenset({'type', 'urdf_path', 'side', 'joints', 'target_joint_names'})
#: dex-retargeting's low pass lags by 100 ms; the nodes limit speeds instead, so its field is read and not used.
_IGNORED_FIELDS = frozenset({'low_pass_alpha'})
_DEX_FIELDS = frozenset(
    {
        'wrist_link_name',
        'finger_tip_link_names',
        'target_origin_link_names',
        'target_task_link_names',
        'target_link_human_indices',
        'scaling_factor',
        'normal_delta',
        'huber_delta',
        'project_dist',
        'escape_dist',
        'has_joint_limits',
        'ignore_mimic_joint',
    }
)


@dataclass(frozen=True)
class ObservedHand:
    """A person's hand as the topics have it; a method takes what it needs.

    Attributes:
        side: ``left`` or ``right``.
        joints: (21, 3) meters, in any frame; None where only angles came.
        angles: radians by name without the side; empty where only joints came.

    """

    side: str
    joints: np.ndarray | None = None
    angles: Mapping[str, float] | None = None


class Retargeting(Protocol):
    """Makes positions of a robot's actuated joints, by name, of a hand."""

    #: The joints that it commands, in the order of commands.
    names: tuple[str, ...]

    def retarget(self, hand: ObservedHand) -> dict[str, float]:
        """Positions within the limits of the description. Raises RobotError where the hand cannot be used."""

    def reset(self) -> None:
        """Forget the hand before."""


@dataclass(frozen=True)
class RetargetingConfig:
    """A YAML file of retargeting.

    Attributes:
        method: one of ``METHODS`` (field ``type``).
        urdf: robot description that it was written for, as the file names it; empty where it names none.
        side: of the robot's hand. A person's other hand is mirrored.
        joints: for ``angles``: robot joint -> gain of each of our angles, and ``offset`` in radians.
        names: joints to command, in this order; empty for all that are actuated (field ``target_joint_names``).
        dex: the other fields, as dex-retargeting has them.
        source: its path.

    """

    method: str
    urdf: str
    side: str
    joints: Mapping[str, Mapping[str, float]]
    names: tuple[str, ...]
    dex: Mapping[str, Any]
    source: Path

    def find_urdf(self) -> Path:
        """Return the file of ``urdf``: beside the YAML file, or among those of this package.

        Raises:
            RobotError: there is none, or the file names none.

        """
        if not self.urdf:
            raise RobotError(f'{self.source} names no urdf_path; give the parameter urdf')
        places = [self.source.parent / self.urdf, resource_path('config').parent / self.urdf]
        found = next((place for place in places if place.is_file()), None)
        if found is None:
            raise RobotError(f'{self.source}: urdf_path {self.urdf} is neither at {places[0]} nor at {places[1]}')
        return found


def find_config(name: str) -> Path:
    """Return the file that ``name`` names: a path, or a file of ``config/robots`` without its suffix.

    Raises:
        RobotError: there is neither.

    """
    path = Path(name).expanduser()
    if path.is_file():
        return path
    folder = resource_path('config', 'robots')
    if (shipped := folder / f'{name}.yaml').is_file():
        return shipped
    known = ', '.join(sorted(file.stem for file in folder.glob('*.yaml')))
    raise RobotError(f'{name}: no such file, nor one of the configurations that are shipped ({known})')


def load_config(path: Path) -> RetargetingConfig:
    """Read a YAML file of retargeting, ours or one of dex-retargeting.

    Raises:
        RobotError: it cannot be read, or a field of it is unknown or of a wrong type; the message names it.

    """
    with reading(path, RobotError, 'a configuration of retargeting'):
        return _read_config(read_yaml(path), path)


def _read_config(document: Any, path: Path) -> RetargetingConfig:
    fields = document.get('retargeting') if isinstance(document, dict) else None
    if not isinstance(fields, dict):
        raise RobotError(f'{path}: has no mapping "retargeting" with the fields')
    method = str(fields.get('type', '')).lower()
    if method not in METHODS:
        raise RobotError(f'{path}: type {fields.get("type")!r} is not one of {", ".join(METHODS)}')
    known = _OWN_FIELDS | (_DEX_FIELDS | _IGNORED_FIELDS if method != 'angles' else frozenset())
    if unknown := sorted(fields.keys() - known):
        raise RobotError(f'{path}: {unknown[0]} is no field of method {method}')
    side = fields.get('side', 'right')
    if side not in SIDES:
        raise RobotError(f'{path}: side {side!r} is not one of {", ".join(SIDES)}')
    return RetargetingConfig(
        method=method,
        urdf=str(fields.get('urdf_path') or ''),
        side=side,
        joints=_gains(fields.get('joints'), path) if method == 'angles' else {},
        names=tuple(fields.get('target_joint_names') or ()),
        dex={name: value for name, value in fields.items() if name in _DEX_FIELDS},
        source=path,
    )


def _gains(table: object, path: Path) -> dict[str, dict[str, float]]:
    if not isinstance(table, dict) or not table:
        raise RobotError(f'{path}: method angles needs a mapping "joints" of gains')
    for joint, gains in table.items():
        if not isinstance(gains, dict):
            raise RobotError(f'{path}: joint {joint}: {gains!r} is not a mapping of angles to gains')
        for angle, gain in gains.items():
            if angle not in (*DOF_NAMES, _OFFSET):
                raise RobotError(f'{path}: joint {joint}: there is no angle {angle}; there are {", ".join(DOF_NAMES)}')
            if isinstance(gain, bool) or not isinstance(gain, (int, float)) or not isfinite(gain):
                raise RobotError(f'{path}: joint {joint}: the gain of {angle}, {gain!r}, is not a number')
    return {joint: {angle: float(gain) for angle, gain in gains.items()} for joint, gains in table.items()}


def make_retargeting(config: RetargetingConfig, description: RobotDescription, urdf: Path) -> Retargeting:
    """Make the method that a configuration names.

    Args:
        config: the configuration.
        description: of the robot.
        urdf: a file with the same description, which dexi-rs reads.

    Raises:
        RobotError: the description lacks a joint or a link that the configuration names, or dexi-rs refuses it.
        ModuleNotFoundError: dexi-rs is not installed.

    """
    wanted = [*config.joints, *config.names]
    if unknown := [name for name in wanted if name not in description.actuated]:
        raise RobotError(
            f'{config.source}: {description.name} has no actuated joint {unknown[0]}; '
            f'it has {", ".join(description.actuated)}'
        )
    if config.method == 'angles':
        return AnglesRetargeting(config, description)
    return FingertipRetargeting(config, description, urdf)


class _WithinLimits:
    """The joints that are commanded, and their limits."""

    def __init__(self, description: RobotDescription, names: tuple[str, ...]) -> None:
        self.names = names
        self._limits = [(description.actuated[name].lower, description.actuated[name].upper) for name in names]

    def _limited(self, positions: Mapping[str, float]) -> dict[str, float]:
        return {name: min(max(positions[name], low), high) for name, (low, high) in zip(self.names, self._limits)}


class AnglesRetargeting(_WithinLimits):
    """Joint positions as weighted sums of the hand's angles: ``offset`` plus each angle times its gain."""

    def __init__(self, config: RetargetingConfig, description: RobotDescription) -> None:
        super().__init__(description, config.names or tuple(config.joints))
        if missing := [name for name in self.names if name not in config.joints]:
            raise RobotError(f'{config.source}: target_joint_names names {missing[0]}, for which joints has no gains')
        self._gains = {name: dict(config.joints[name]) for name in self.names}
        self._offsets = {name: gains.pop(_OFFSET, 0.0) for name, gains in self._gains.items()}

    def retarget(self, hand: ObservedHand) -> dict[str, float]:
        angles = hand.angles or {}
        try:
            positions = {
                name: self._offsets[name] + sum(gain * angles[angle] for angle, gain in gains.items())
                for name, gains in self._gains.items()
            }
        except KeyError as error:
            raise RobotError(f'the {hand.side} hand came without the angle {error.args[0]}') from error
        if not all(map(isfinite, positions.values())):
            raise RobotError(f'the {hand.side} hand came with an angle that is not a number')
        return self._limited(positions)

    def reset(self) -> None:
        """Nothing is remembered."""


class FingertipRetargeting(_WithinLimits):
    """The robot's fingertips where the person's are, relative to the wrist and (``dexpilot``) to one another."""

    def __init__(self, config: RetargetingConfig, description: RobotDescription, urdf: Path) -> None:
        super().__init__(description, config.names or tuple(description.actuated))
        self._mirror = config.side
        fields = dict(config.dex)
        origins, targets = _references(config.method, fields, config.source)
        self._origins, self._targets = list(origins), list(targets)
        _check_links(fields, description, config.source)
        dexi_rs = importlib.import_module('dexi_rs')
        try:
            self._solver = dexi_rs.RetargetingConfig(
                config.method,
                str(urdf),
                low_pass_alpha=1.0,
                target_joint_names=list(self.names),  # without it, joints that follow others are free too
                **fields,
            ).build()
        except BaseException as error:
            raise _refusal(error, f'{config.source}: dexi-rs cannot use it') from error
        self._places = [self._solver.joint_names.index(name) for name in self.names]
        # Joints that are not commanded are taken for at 0.
        self._fixed = [0.0] * self._solver.fixed_dof or None
        self._start = self._solver.get_qpos(self._fixed)

    def retarget(self, hand: ObservedHand) -> dict[str, float]:
        if hand.joints is None:
            raise RobotError(f'the {hand.side} hand came without joints')
        try:
            points = in_hand_frame(hand.joints, hand.side) * (PALM / hand_size(hand.joints))
        except ValueError as error:
            raise RobotError(str(error)) from error
        if hand.side != self._mirror:
            points = points * (1.0, -1.0, 1.0)
        points = points @ TO_ROBOT.T
        vectors = (points[self._targets] - points[self._origins]).ravel().tolist()
        try:
            solution = self._solver.retarget(vectors, self._fixed)
        except BaseException as error:
            raise _refusal(error, 'dexi-rs cannot follow this hand') from error
        positions = {name: solution[place] for name, place in zip(self.names, self._places)}
        if not all(map(isfinite, positions.values())):
            raise RobotError('the solver found no joint positions for this hand')
        return self._limited(positions)

    def reset(self) -> None:
        self._solver.reset()
        self._solver.set_qpos(self._start)


def _refusal(error: BaseException, what: str) -> BaseException:
    """What to raise for an error of dexi-rs: its panics are no Exceptions, and interruptions stay what they are."""
    return error if isinstance(error, (KeyboardInterrupt, SystemExit)) else RobotError(f'{what} ({reason(error)})')


def _references(method: str, fields: Mapping[str, Any], source: Path) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The person's joints (from, to) of each vector, in the order that the solver takes."""
    given = fields.get('target_link_human_indices')
    if given is None and method == 'dexpilot':
        # Fingertips to one another, then the wrist to each of them: the order of dex-retargeting.
        names = fields.get('finger_tip_link_names') or []
        if not isinstance(names, list) or len(names) > len(TIPS):
            raise RobotError(f'{source}: finger_tip_link_names must be a list of at most {len(TIPS)} names')
        count = len(names)
        pairs = [(j, i) for i in range(1, count) for j in range(i + 1, count + 1)]
        pairs += [(0, i) for i in range(1, count + 1)]
        points = (WRIST, *TIPS)
        given = [[points[origin] for origin, _ in pairs], [points[target] for _, target in pairs]]
    try:
        origins, targets = ([int(index) for index in row] for row in given or ())
        fits = len(origins) == len(targets) > 0
        if not (fits and all(0 <= index < len(JOINTS) for index in [*origins, *targets])):
            raise ValueError
    except (TypeError, ValueError, OverflowError) as error:
        raise RobotError(
            f'{source}: target_link_human_indices must be two rows, of the joints (0 to 20) that vectors go from and to'
        ) from error
    return tuple(origins), tuple(targets)


def _check_links(fields: Mapping[str, Any], description: RobotDescription, source: Path) -> None:
    for name, value in fields.items():
        if name.endswith(('link_name', 'link_names')):
            for link in value if isinstance(value, list) else [value] if value else ():
                if not isinstance(link, str) or link not in description.links:
                    raise RobotError(f'{source}: {name}: {description.name} has no link {link}')


class SpeedLimiter:
    """Moves joint positions towards what is wanted, each no faster than its joint may go.

    Attributes:
        positions: the last command by joint; empty before the first.

    """

    def __init__(self, description: RobotDescription, names: tuple[str, ...], max_speed: float = inf) -> None:
        self._joints = {name: description.actuated[name] for name in names}
        self._speeds = {name: min(joint.velocity, max_speed) for name, joint in self._joints.items()}
        self.positions: dict[str, float] = {}

    def start(self, present: Mapping[str, float]) -> None:
        """Take where the joints are; one that is not named is taken for at 0, or the limit next to it.

        Raises:
            RobotError: a joint is beyond its limits, by more than an encoder's noise.

        """
        for name, joint in self._joints.items():
            position = present.get(name, min(max(0.0, joint.lower), joint.upper))
            if not joint.lower - _BEYOND <= position <= joint.upper + _BEYOND:
                raise RobotError(
                    f'joint {name} is at {position:.3f}, beyond its limits, {joint.lower:.3f} to {joint.upper:.3f}'
                )
            self.positions[name] = min(max(position, joint.lower), joint.upper)

    def step(self, wanted: Mapping[str, float], seconds: float, share: float = 1.0) -> dict[str, float]:
        """Return and keep the command: towards ``wanted``, with this share of the speed limits, for ``seconds``."""
        for name, position in self.positions.items():
            most = self._speeds[name] * seconds * share
            self.positions[name] = position + min(max(wanted[name] - position, -most), most)
        return dict(self.positions)
