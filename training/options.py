"""Options checked by what takes them: names and types come from its signature, before anything of it runs."""

from __future__ import annotations

import dataclasses
import inspect
import types
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Annotated, Union, get_args, get_origin, get_type_hints

from training.registry import TrainingError, nearest

#: What a recipe can hold.
Value = object


def parameters_of(takers: Iterable[Callable[..., object]], keyword_only: bool = False) -> dict[str, object]:
    """Names and annotations of the parameters of what takes options.

    Args:
        takers: functions, or classes by what makes them.
        keyword_only: of a function, only those after a ``*``.

    """
    found: dict[str, object] = {}
    for taker in takers:
        function = taker.__init__ if inspect.isclass(taker) else taker
        # What it returns may be known to type checkers only.
        written = {name: hint for name, hint in function.__annotations__.items() if name != 'return'}
        hints = get_type_hints(
            types.SimpleNamespace(__annotations__=written), function.__globals__, include_extras=True
        )
        for parameter in inspect.signature(taker).parameters.values():
            named = parameter.kind == parameter.KEYWORD_ONLY or (
                parameter.kind == parameter.POSITIONAL_OR_KEYWORD and not keyword_only
            )
            if named:
                found[parameter.name] = hints.get(parameter.name, Value)
    return found


def check_keys(given: Iterable[str], known: Collection[str], where: str) -> None:
    """Refuse a key that is not known; raises TrainingError, which names the nearest one that is."""
    for key in given:
        if key not in known:
            raise TrainingError(f'{where}: unknown key {key!r}{nearest(str(key), known)}')


def check_options(options: Mapping[str, Value], known: Mapping[str, object], where: str) -> None:
    """Check options by name and type.

    Args:
        options: as a recipe has them.
        known: names and annotations, see :func:`parameters_of`. ``Annotated`` with a function that gives names says
            which keys a table may have, with a dataclass that they are its fields.
        where: in the recipe they stand, for messages.

    Raises:
        TrainingError: a key is not known, or a value is of another type.

    """
    check_keys(options, known, where)
    for key, value in options.items():
        check_value(value, known[key], f'{where}.{key}')


def check_required(takers: Iterable[Callable[..., object]], given: Collection[str], where: str) -> None:
    """Refuse options that lack one that has no default; raises TrainingError."""
    for taker in takers:
        for parameter in inspect.signature(taker).parameters.values():
            named = parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
            if named and parameter.default is parameter.empty and parameter.name not in given:
                raise TrainingError(f'{where} lacks {parameter.name!r}')


def check_value(value: Value, annotation: object, where: str) -> None:
    """Check one value by its annotation; raises TrainingError."""
    alternatives, names = _alternatives(annotation)
    if isinstance(value, Mapping) and dataclasses.is_dataclass(names):
        check_options(value, parameters_of([names]), where)
    elif isinstance(value, Mapping) and names is not None:
        check_keys(value, names(), where)
    if not any(_fits(value, part) for part in alternatives):
        raise TrainingError(f'{where}: {value!r} is not {" or ".join(map(_describe, alternatives))}')


def _alternatives(annotation: object) -> tuple[list[object], Callable[[], Collection[str]] | type | None]:
    """Types that a value may be of, and what names the keys of a table among them: a function or a dataclass."""
    union = get_origin(annotation) in (Union, types.UnionType)
    found, names = [], None
    for part in get_args(annotation) if union else (annotation,):
        if get_origin(part) is Annotated:
            part, *extras = get_args(part)
            names = next((extra for extra in extras if callable(extra)), names)
        found.append(part)
    return found, names


def _fits(value: Value, annotation: object) -> bool:
    origin = get_origin(annotation) or annotation
    if annotation is None or annotation is type(None):
        return value is None
    if not isinstance(origin, type) or origin is object:
        return True  # what cannot be known here
    if isinstance(value, bool):
        return origin is bool
    if origin is float:
        return isinstance(value, (int, float))
    if issubclass(origin, (list, tuple)):
        inner = [part for part in get_args(annotation) if part is not Ellipsis]
        return isinstance(value, (list, tuple)) and all(not inner or _fits(item, inner[0]) for item in value)
    if issubclass(origin, Mapping):
        inner = get_args(annotation)
        return isinstance(value, Mapping) and all(len(inner) < 2 or _fits(item, inner[1]) for item in value.values())
    return isinstance(value, origin)


def _describe(annotation: object) -> str:
    words = {int: 'a whole number', float: 'a number', bool: 'true or false', str: 'a text', type(None): 'null'}
    origin = get_origin(annotation) or annotation
    if isinstance(origin, type) and issubclass(origin, (list, tuple)):
        return 'a list'
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return 'a table'
    return words.get(origin, getattr(origin, '__name__', str(annotation)))
