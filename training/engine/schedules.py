"""Schedules of the learning rate: the factor on it after a share (0 to 1) of the training.

They go by a share instead of by steps, as a training may end by the clock (``minutes``) as well as by its samples.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from training.recipe import Recipe
from training.registry import TrainingError, nearest

#: Share of a training over which the rate rises to its greatest.
WARM_UP = 0.01
#: Factor that a rate begins at, so that the first step does something.
FIRST = 1e-3
#: Share of the training over which ``trapezoid`` falls, and after which ``late_cosine`` does.
FALL, LATE = 1 / 3, 0.5
#: Factor of each epoch in ``exponential``, as JGR-P2O's authors have it, and of each step in ``steps``, as SRN's have
#: it.
DECAY, STEP = 0.96, 0.1


def cosine(share: float, recipe: Recipe) -> float:
    """Warm up, then fall to zero by half a cosine."""
    return min(1.0, share / WARM_UP + FIRST) * 0.5 * (1 + math.cos(math.pi * share))


def linear(share: float, recipe: Recipe) -> float:
    """Warm up, then fall to zero in a line."""
    return min(share / WARM_UP + FIRST, 1 - share)


def trapezoid(share: float, recipe: Recipe) -> float:
    """Warm up, stay, and fall in a line over the last third: a run can be made longer while it stays."""
    return min(1.0, share / WARM_UP + FIRST, (1 - share) / FALL)


def late_cosine(share: float, recipe: Recipe) -> float:
    """Stay for the first half, then fall to zero by half a cosine."""
    return 0.5 * (1 + math.cos(math.pi * max(share - LATE, 0.0) / (1 - LATE)))


def exponential(share: float, recipe: Recipe) -> float:
    """Fall by the same factor every epoch."""
    return DECAY ** _epochs(share, recipe)


def steps(share: float, recipe: Recipe) -> float:
    """Divide by ten every ``step_epochs`` epochs, or at each of a list of epochs."""
    epochs, at = _epochs(share, recipe), recipe.step_epochs
    return STEP ** (sum(epochs >= epoch for epoch in at) if isinstance(at, list) else epochs // at)


def constant(share: float, recipe: Recipe) -> float:
    """Stay."""
    return 1.0


SCHEDULES: dict[str, Callable[[float, Recipe], float]] = {
    schedule.__name__: schedule for schedule in (cosine, linear, trapezoid, late_cosine, exponential, steps, constant)
}


def learning_rate_factor(share: float, recipe: Recipe) -> float:
    """Factor on the learning rate after ``share`` of a training; more than 1 counts as 1 but for epochs.

    Raises:
        TrainingError: there is no schedule of the recipe's name.

    """
    if recipe.schedule not in SCHEDULES:
        raise TrainingError(f'there is no schedule {recipe.schedule!r}{nearest(recipe.schedule, SCHEDULES)}')
    return SCHEDULES[recipe.schedule](min(share, 1.0), recipe)


def _epochs(share: float, recipe: Recipe) -> int:
    return int(share * recipe.samples // recipe.epoch_samples)
