"""What a task has to have: its data, its loss, its validation, and what an exported network's files say."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from torch import Tensor, nn

from training.options import parameters_of
from training.recipe import Options, Recipe

#: A batch as a data source draws it: arrays that each begin with the batch's dimension.
Batch = tuple[np.ndarray, ...]
#: Parameters of what draws that the training gives and no recipe.
GIVEN = ('seed', 'batch')


@dataclass(frozen=True)
class DataSource:
    """Where a training's batches come from.

    Attributes:
        draw: ``draw(seed, batch, **options)`` yields batches without end; the same seed gives the same ones. It runs in
            processes of its own, so it is a function of a module.
        takes: what else takes its options, where ``draw`` passes them on.
        views: ``views(seed, batch, **options)``, of what can be cached: yields views that batches are cut from.
        cut: ``cut(views, slots, **options)`` cuts a batch out of cached views (tensors on the device) at slots (B,).
        check: raises TrainingError for options that do not go together.
        data: what it is, in words, for the manifest, where that is not the task's ``DATA``.

    """

    draw: Callable[..., Iterator[Batch]]
    takes: tuple[Callable[..., object], ...] = ()
    views: Callable[..., Iterator[Batch]] | None = None
    cut: Callable[..., list[Tensor]] | None = None
    check: Callable[[Options], None] | None = None
    data: str = ''

    def parameters(self) -> dict[str, object]:
        """Names and types of the options that a recipe may give."""
        found = parameters_of([self.draw, *self.takes])
        return {name: annotation for name, annotation in found.items() if name not in GIVEN}


class Task(Protocol):
    """What a network is trained for: a module, or any object, with these members.

    A task may have ``loss(network, *inputs, *, option=default, ...)`` too, which trains networks that have no loss of
    their own; its keyword-only parameters are the recipe's ``loss_options``.

    Attributes:
        KIND: the manifest's ``task``, by which the run time finds its models (``hand_pose_ros.inference.models``).
        INPUT: what the network takes, in words, for the manifest.
        OUTPUTS: name and meaning of each of its outputs, for the manifest.
        DATA: what it learnt from, in words, for the manifest.
        BEST_BY: the validation's figure by which the best weights are chosen; less is better.
        SOURCES: data sources by the name that a recipe's ``data`` gives.

    """

    KIND: str
    INPUT: str
    OUTPUTS: Mapping[str, str]
    DATA: str
    BEST_BY: str
    SOURCES: Mapping[str, DataSource]

    def network_input(self, data: list[Tensor]) -> tuple[Tensor, ...]:
        """What the loss takes, of a batch of data: the network's input first."""
        ...

    def validation_data(self, recipe: Recipe) -> object:
        """A fixed set that no training draws, for :meth:`validate`; the same in every call."""
        ...

    def validate(self, network: nn.Module, data: object) -> dict[str, float]:
        """Figures of a network in evaluation on :meth:`validation_data`, ``BEST_BY`` among them."""
        ...

    def calibrate(self, network: nn.Module, recipe: Recipe) -> dict[str, list[float]]:
        """What the manifest says of how sure the network is, as ``confidence``; empty where there is nothing to fit."""
        ...
