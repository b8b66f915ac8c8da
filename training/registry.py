"""Parts by name: what a recipe names is imported when it is asked for, and not before."""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Collection, Iterator, Mapping
from types import ModuleType
from typing import Generic, TypeVar

Part = TypeVar('Part')


class TrainingError(ValueError):
    """A recipe, a part or a file that training cannot use; the message says what is wrong and what to do."""


def nearest(name: str, known: Collection[str]) -> str:
    """Name what is meant by a word that is not known: ``; did you mean 'batch'?``, or all that there is."""
    found = difflib.get_close_matches(name, known, 1, 0.6)
    return f'; did you mean {found[0]!r}?' if found else f'; there are: {", ".join(sorted(known)) or "none"}'


class Registry(Mapping[str, str], Generic[Part]):
    """Names of parts, and where they are: ``package.module`` or ``package.module:attribute``.

    Args:
        kind: what the parts are, for messages.
        places: name -> place.

    """

    def __init__(self, kind: str, places: Mapping[str, str]) -> None:
        self.kind = kind
        self._places = dict(places)

    def __getitem__(self, name: str) -> str:
        return self._places[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)

    def load(self, name: str) -> Part:
        """Import the part called ``name``, or the one at a place of one's own, ``package.module:attribute``.

        Raises:
            TrainingError: there is no such part, or its module has no such attribute.

        """
        place = self._places.get(name, name if ':' in name else '')
        if not place:
            raise TrainingError(f'there is no {self.kind} {name!r}{nearest(name, self._places)}')
        module_name, _, attribute = place.partition(':')
        try:
            module = importlib.import_module(module_name)
        except ModuleNotFoundError as error:
            if error.name is None or not module_name.startswith(error.name):
                raise
            raise TrainingError(f'{self.kind} {name!r}: there is no module {module_name}') from error
        return _attribute(module, attribute, f'{self.kind} {name!r}') if attribute else module


def _attribute(module: ModuleType, name: str, what: str) -> Part:
    if not hasattr(module, name):
        known = [key for key in vars(module) if not key.startswith('_')]
        raise TrainingError(f'{what}: module {module.__name__} has no {name}{nearest(name, known)}')
    return getattr(module, name)


def check_members(part: object, protocol: type, what: str) -> None:
    """Refuse a part that lacks something that its protocol asks for.

    Raises:
        TrainingError: it does; the message names what is missing and where the protocol is written.

    """
    members = [*protocol.__annotations__, *(key for key, value in vars(protocol).items() if _is_method(key, value))]
    missing = [member for member in members if not hasattr(part, member)]
    if missing:
        raise TrainingError(f'{what} lacks {", ".join(missing)}: see {protocol.__module__}.{protocol.__name__}')


def _is_method(name: str, value: object) -> bool:
    return callable(value) and not name.startswith('_')
