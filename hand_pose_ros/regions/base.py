"""What trackers ask of a region, whatever it is cut out of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import numpy as np


@dataclass(frozen=True)
class View:
    """One way of showing a region to a network.

    Attributes:
        turn_rad: by which the hand is turned clockwise about the line of sight.
        zoom: how much larger it is shown.

    """

    turn_rad: float = 0.0
    zoom: float = 1.0


@dataclass(frozen=True)
class RegionOffset:
    """How another region lies against a region.

    Attributes:
        shift: between their centers, in half sides of the region.
        log_scale: logarithm of the other's size in sizes of the region.
        turn_rad: about the line of sight.

    """

    shift: float
    log_scale: float
    turn_rad: float = 0.0


class HandRegion(Protocol):
    """Where a hand is looked for, and as a hand of which side: networks see right hands, a left one is mirrored.

    A tracker handles regions of one kind only, which its detector makes and its estimator understands.
    """

    @property
    def side(self) -> str:
        """``left`` or ``right``."""
        ...

    def about(self, joints: np.ndarray) -> Any:
        """The region of the same kind and side about a hand's joints (21, 3), meters; itself where they make none."""
        ...

    def mirrored(self) -> Any:
        """The same place, looked at as a hand of the other side."""
        ...

    def view(self, view: View) -> Any:
        """The same hand, shown another way."""
        ...

    def offset(self, other: Any) -> RegionOffset:
        """How another region of the same kind lies against this one."""
        ...

    def following(self, found: Any, memory: float) -> Any:
        """Where to look next, when the hand of this region was found in another.

        Args:
            found: region of the same kind about the joints that were found.
            memory: weight of this region's size against that of ``found``, 0 to 1: bones do not grow.

        """
        ...


#: Kind of region that a part takes.
RegionT = TypeVar('RegionT', bound=HandRegion, contravariant=True)


def separation(one: HandRegion, other: HandRegion) -> float:
    """Distance of two regions' centers in half sides of the larger one."""
    return min(one.offset(other).shift, other.offset(one).shift)


def distinct(region: HandRegion, others: Sequence[HandRegion], least: float) -> bool:
    """Whether a region is of another hand than ``others``: farther than ``least`` half sides from each."""
    return all(separation(region, other) >= least for other in others)
