"""Gestures as data: forms, pairs and movements from YAML files (``config/gestures.yaml``, and people's own)."""

from __future__ import annotations

import difflib
import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, fields
from functools import lru_cache
from pathlib import Path
from typing import Any

from hand_pose_ros.files import read_yaml, reading
from hand_pose_ros.geometry.joints import FINGERS
from hand_pose_ros.gestures.shape import ANGLE_NAMES
from hand_pose_ros.resources import resource_path, user_folder

#: The name of whatever is no gesture.
NONE = 'none'
STRAIGHT, BENT, CURLED = FINGER_STATES = ('straight', 'bent', 'curled')
OUT, AT_SIDE, OVER = THUMB_STATES = ('out', 'beside', 'over')
APART, TOGETHER = SPREADS = ('apart', 'together')
UP, DOWN = POINTS = ('up', 'down')
#: What of a hand may touch the other one: the tips of its fingers, and its palm.
TOUCHING = (*FINGERS, 'palm')
#: What a movement follows: the palm's center, the middle of the fingertips, or the index finger's tip; how far the
#: fingertips are from the palm's center; how far the palms of both hands are apart.
PALM, FINGERTIPS, INDEX_TIP, CLOSING, GAP = FOLLOWED = ('palm', 'fingertips', 'index_tip', 'closing', 'gap')
#: Axes of movements that turn back, and ways of those that do not; left and right are the person's own.
AXES = ('sideways', 'vertical')
WAYS = ('left', 'right', 'up', 'down')


class GestureError(ValueError):
    """A file of gestures, or a recording of one, that cannot be used; the message says what is wrong with it."""


@dataclass(frozen=True)
class Form:
    """A form of one hand.

    Attributes:
        name: of the gesture.
        fingers: states that each finger may be in, of the index to the little one; any where it is not named.
        thumb: states that the thumb may be in; any where it is empty.
        spread: ``apart`` or ``together``: of the four fingers; empty for any.
        touch: finger whose tip the thumb's touches; empty where it touches none.
        thumb_points: ``up`` or ``down``; empty for any way.
        hollow: whether thumb and fingers are as about a ball.
        unless: forms that this one is not, where they fit too.
        ray: finger that points somewhere; empty where none does.

    """

    name: str
    fingers: Mapping[str, tuple[str, ...]]
    thumb: tuple[str, ...] = ()
    spread: str = ''
    touch: str = ''
    thumb_points: str = ''
    hollow: bool = False
    unless: tuple[str, ...] = ()
    ray: str = ''


@dataclass(frozen=True)
class RecordedForm:
    """A form that was recorded.

    Attributes:
        name: of the gesture.
        angles_deg: by ``ANGLE_NAMES``.
        tolerance_deg: root mean square difference of the angles from which on it is another form.

    """

    name: str
    angles_deg: Mapping[str, float]
    tolerance_deg: float


@dataclass(frozen=True)
class Pair:
    """A form of both hands.

    Attributes:
        name: of the gesture.
        touch: points of the left and of the right hand that touch, see ``TOUCHING``.
        within: so far apart they touch, palm lengths.
        angle: smallest and greatest angle between the hands' directions, degrees.
        forms: that one of the hands shows; any where it is empty.

    """

    name: str
    touch: tuple[tuple[str, str], ...]
    within: float
    angle: tuple[float, float] = (0.0, 180.0)
    forms: tuple[str, ...] = ()


@dataclass(frozen=True)
class Movement:
    """A movement.

    Attributes:
        name: of the gesture.
        follow: what is followed, see ``FOLLOWED``.
        axis: one of ``AXES`` or ``WAYS``; empty for ``closing`` and ``gap``, which are distances.
        reversals: how often it turns back; 0 where it goes one way.
        within: so many seconds it lasts at most.
        amplitude: how far it goes between two reversals, or in all, palm lengths.
        forms: that the hand shows meanwhile; any where it is empty.
        closest: so near the palms come, palm lengths; for ``gap``.

    """

    name: str
    follow: str
    within: float
    amplitude: float
    axis: str = ''
    reversals: int = 0
    forms: tuple[str, ...] = ()
    closest: float = math.inf

    @property
    def hands(self) -> int:
        """How many hands make it."""
        return 2 if self.follow == GAP else 1


@dataclass(frozen=True)
class GestureLibrary:
    """All gestures, by name.

    Attributes:
        forms: of one hand.
        recorded: of one hand, as they were recorded.
        pairs: of both hands.
        movements: of one hand or both.

    """

    forms: Mapping[str, Form]
    recorded: Mapping[str, RecordedForm]
    pairs: Mapping[str, Pair]
    movements: Mapping[str, Movement]

    @property
    def names(self) -> tuple[str, ...]:
        """Names of forms of one hand, ``none`` first."""
        return (NONE, *self.forms, *self.recorded)

    def merged(self, own: GestureLibrary) -> GestureLibrary:
        """The gestures of both libraries; those of ``own`` replace those of the same name."""
        added = own.forms.keys() | own.recorded.keys()
        return GestureLibrary(
            {**{name: one for name, one in self.forms.items() if name not in added}, **own.forms},
            {**{name: one for name, one in self.recorded.items() if name not in added}, **own.recorded},
            {**self.pairs, **own.pairs},
            {**self.movements, **own.movements},
        )


@lru_cache(maxsize=1)
def shipped_library() -> GestureLibrary:
    """The gestures that come with the package. Raises GestureError where its file was damaged."""
    library = read_library(resource_path('config', 'gestures.yaml'))
    _check_references(library, 'config/gestures.yaml')
    return library


def own_gestures_file(named: str = '') -> Path | None:
    """Where people's own gestures are kept: in the file named, by default in the configuration folder of the user.

    None where the user has no such folder, and no file is named.

    Raises:
        GestureError: the file is named by a home, and there is none.

    """
    if named:
        try:
            return Path(named).expanduser()
        except RuntimeError as error:
            raise GestureError(f'{named}: there is no home folder here; give the whole path') from error
    folder = user_folder('XDG_CONFIG_HOME', '.config')
    return folder and folder / 'hand_pose_ros' / 'gestures.yaml'


def load_library(gestures_file: str = '') -> GestureLibrary:
    """The shipped gestures with people's own.

    Args:
        gestures_file: of their own; empty for :func:`own_gestures_file`, which need not exist.

    Raises:
        GestureError: the file is missing where it was named, or something in it is wrong; the message names it.

    """
    path = own_gestures_file(gestures_file)
    if path is None or not (gestures_file or path.is_file()):
        return shipped_library()
    library = shipped_library().merged(read_library(path))
    _check_references(library, str(path))
    return library


def read_library(path: Path) -> GestureLibrary:
    """Read a file of gestures.

    Raises:
        GestureError: it cannot be read, or something in it is wrong; the message names the file and the entry.

    """
    with reading(path, GestureError, 'a file of gestures'):
        return _read_library(read_document(path), path)


def _read_library(document: dict[str, Any], path: Path) -> GestureLibrary:
    readers = {'forms': _form, 'recorded': _recorded, 'pairs': _pair, 'movements': _movement}
    _known(document, readers, str(path), 'section')
    tables: dict[str, dict[str, Any]] = {section: {} for section in readers}
    for section, entries in document.items():
        for name, entry in _mapping(entries or {}, f'{path}: {section}').items():
            where = f'{path}: {section}: {name}'
            check_name(name, where)
            tables[section][name] = readers[section](name, _mapping(entry, where), where)
    if twice := tables['forms'].keys() & tables['recorded'].keys():
        raise GestureError(f'{path}: {min(twice)} is both among forms and recorded')
    return GestureLibrary(**tables)


def read_document(path: Path) -> dict[str, Any]:
    """Read a YAML file that holds a mapping; an empty one holds none. Raises GestureError where it is not such."""
    with reading(path, GestureError, 'a file of gestures'):
        document = read_yaml(path)
    return _mapping({} if document is None else document, str(path))


def check_name(name: object, where: str) -> None:
    """Raise GestureError where a name is not lower case letters, digits and underscores, or is ``none``."""
    if not isinstance(name, str) or not name.isidentifier() or name != name.lower() or name == NONE:
        raise GestureError(f'{where}: {name!r} is no name: lower case letters, digits and _, not {NONE}')


def _check_references(library: GestureLibrary, where: str) -> None:
    """Forms that others name must be there."""
    named = {one.name: one.unless for one in library.forms.values()}
    named |= {one.name: one.forms for one in library.pairs.values()}
    named |= {one.name: one.forms for one in library.movements.values()}
    for name, others in named.items():
        for other in others:
            _one_of(other, library.names, f'{where}: {name}', 'form')


def _form(name: str, entry: dict[str, Any], where: str) -> Form:
    fingers = FINGERS[1:]
    _known(entry, (*fingers, 'thumb', 'fingers', 'touch', 'thumb_points', 'hollow', 'unless', 'ray'), where, 'field')
    if not entry.keys() - {'unless', 'ray'}:
        raise GestureError(f'{where}: says nothing of the hand')
    return Form(
        name,
        {
            finger: tuple(
                _one_of(state, FINGER_STATES, f'{where}: {finger}', 'state') for state in _list(entry[finger])
            )
            for finger in fingers
            if finger in entry
        },
        thumb=tuple(_one_of(one, THUMB_STATES, f'{where}: thumb', 'state') for one in _list(entry.get('thumb', []))),
        spread=_optional(entry, 'fingers', SPREADS, where),
        touch=_optional(entry, 'touch', fingers, where),
        thumb_points=_optional(entry, 'thumb_points', POINTS, where),
        hollow=_truth(entry.get('hollow', False), f'{where}: hollow'),
        unless=tuple(map(str, _list(entry.get('unless', [])))),
        ray=_optional(entry, 'ray', fingers, where),
    )


def _recorded(name: str, entry: dict[str, Any], where: str) -> RecordedForm:
    _known(entry, ('angles_deg', 'tolerance_deg'), where, 'field')
    angles = _mapping(entry.get('angles_deg'), f'{where}: angles_deg')
    _known(angles, ANGLE_NAMES, f'{where}: angles_deg', 'angle')
    if missing := [angle for angle in ANGLE_NAMES if angle not in angles]:
        raise GestureError(f'{where}: angles_deg lacks {missing[0]}')
    return RecordedForm(
        name,
        {angle: _number(angles[angle], -180, 180, f'{where}: {angle}') for angle in ANGLE_NAMES},
        _number(entry.get('tolerance_deg'), 1, 60, f'{where}: tolerance_deg'),
    )


def _pair(name: str, entry: dict[str, Any], where: str) -> Pair:
    _known(entry, {field.name for field in fields(Pair)} - {'name'}, where, 'field')
    touch = _list(entry.get('touch', []))
    if not touch or not all(isinstance(points, list) and len(points) == 2 for points in touch):
        raise GestureError(f'{where}: touch is not a list of pairs [left, right] of {", ".join(TOUCHING)}')
    angle = [_number(one, 0, 180, f'{where}: angle') for one in _list(entry.get('angle', [0, 180]))]
    if len(angle) != 2 or angle[0] >= angle[1]:
        raise GestureError(f'{where}: angle is not [smallest, greatest], in degrees')
    return Pair(
        name,
        tuple(
            (_one_of(a, TOUCHING, f'{where}: touch', 'point'), _one_of(b, TOUCHING, f'{where}: touch', 'point'))
            for a, b in touch
        ),
        _number(entry.get('within'), 0, 3, f'{where}: within'),
        (angle[0], angle[1]),
        tuple(map(str, _list(entry.get('forms', [])))),
    )


def _movement(name: str, entry: dict[str, Any], where: str) -> Movement:
    _known(entry, {field.name for field in fields(Movement)} - {'name'}, where, 'field')
    follow = _one_of(entry.get('follow'), FOLLOWED, f'{where}: follow', 'part')
    reversals = int(_number(entry.get('reversals', 0), 0, 20, f'{where}: reversals'))
    axis = ''
    if follow not in (CLOSING, GAP):
        axis = _one_of(entry.get('axis'), AXES if reversals else WAYS, f'{where}: axis', 'axis')
    elif not reversals:
        raise GestureError(f'{where}: {follow} needs reversals')
    return Movement(
        name,
        follow,
        within=_number(entry.get('within'), 0.1, 10, f'{where}: within'),
        amplitude=_number(entry.get('amplitude'), 0.05, 20, f'{where}: amplitude'),
        axis=axis,
        reversals=reversals,
        forms=tuple(map(str, _list(entry.get('forms', [])))),
        closest=_number(entry['closest'], 0, 20, f'{where}: closest') if 'closest' in entry else math.inf,
    )


# What entries are checked by; each raises GestureError


def _known(entry: Mapping[str, object], known: Collection[str], where: str, what: str) -> None:
    for name in entry:
        _one_of(name, known, where, what)


def _one_of(value: object, known: Collection[str], where: str, what: str) -> str:
    if isinstance(value, str) and value in known:
        return value
    near = difflib.get_close_matches(str(value), known, 1, 0.5)
    hint = f'did you mean {near[0]}?' if near else f'there are: {", ".join(known)}'
    raise GestureError(f'{where}: there is no {what} {value!r}; {hint}')


def _optional(entry: Mapping[str, object], field: str, known: Collection[str], where: str) -> str:
    return _one_of(entry[field], known, f'{where}: {field}', 'value') if field in entry else ''


def _number(value: object, low: float, high: float, where: str) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not low <= value <= high:
        raise GestureError(f'{where}: {value!r} is not a number from {low:g} to {high:g}')
    return float(value)


def _truth(value: object, where: str) -> bool:
    if not isinstance(value, bool):
        raise GestureError(f'{where}: {value!r} is neither true nor false')
    return value


def _mapping(value: object, where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise GestureError(f'{where}: is not a mapping of names')
    return value


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
