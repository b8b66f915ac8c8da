"""The kinds of poses that a recipe may ask for, checked before any is drawn."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from typing import Annotated

from training.recipe import Options
from training.registry import TrainingError


def pose_kinds() -> Collection[str]:
    """Names of the kinds of poses that can be drawn, see :func:`training.synthesis.poses.draw_poses`."""
    from training.synthesis.poses import KINDS

    return (*KINDS, 'wide')


#: Kind of pose -> share of the poses that are drawn; all shares together are 1.
PoseShares = Annotated[dict[str, float], pose_kinds]


def check_pose_shares(options: Options) -> None:
    """Refuse shares of poses that are not 1 together; raises TrainingError."""
    for name in ('poses', 'kinds'):
        shares = options.get(name)
        if isinstance(shares, Mapping) and not math.isclose(total := sum(shares.values()), 1, abs_tol=1e-6):
            raise TrainingError(f'data_options.{name}: the shares are {total:g} together, and have to be 1')
