"""Parts by name, imported when they are asked for; other packages add theirs by entry points."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from importlib.metadata import entry_points
from typing import Generic, TypeVar

T = TypeVar('T')


class Registry(Generic[T]):
    """The parts of one kind.

    Args:
        group: entry point group in which other packages name theirs, e.g. ``hand_pose_ros.detectors``.
        builtin: name -> ``module:attribute`` of the parts that come with this package.

    """

    def __init__(self, group: str, builtin: Mapping[str, str]) -> None:
        self.group = group
        self._builtin = dict(builtin)

    def names(self) -> tuple[str, ...]:
        """All names: those of this package first."""
        others = sorted(point.name for point in entry_points(group=self.group))
        return tuple(dict.fromkeys((*self._builtin, *others)))

    def load(self, name: str) -> T:
        """Import a part.

        Raises:
            ValueError: there is none of that name; the message lists those that there are.

        """
        if name in self._builtin:
            module, attribute = self._builtin[name].split(':')
            part: T = getattr(import_module(module), attribute)
            return part
        for point in entry_points(group=self.group):
            if point.name == name:
                other: T = point.load()
                return other
        raise ValueError(f'{name!r} is not one of {", ".join(self.names())} (entry points: {self.group})')
