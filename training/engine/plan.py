"""A recipe's parts, found and checked before anything is drawn or allocated."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor, nn

from training.engine.optimizers import OPTIMIZERS
from training.engine.schedules import SCHEDULES
from training.networks import NETWORKS
from training.networks.protocol import Network
from training.options import check_options, check_required, parameters_of
from training.recipe import Recipe
from training.registry import TrainingError, check_members, nearest
from training.tasks import TASKS
from training.tasks.protocol import GIVEN, DataSource, Task


@dataclass(frozen=True)
class Plan:
    """What a recipe names.

    Attributes:
        recipe: the recipe.
        task: what the network is trained for.
        source: where its batches come from.
        network_class: what makes the network.

    """

    recipe: Recipe
    task: Task
    source: DataSource
    network_class: type[nn.Module]

    def build(self) -> nn.Module:
        """Make the network, with random weights.

        Raises:
            TrainingError: it cannot be made by these options, lacks a member, or takes images of another size than the
                data's.

        """
        try:
            network = self.network_class(**self.recipe.network_options)
        except (ValueError, RuntimeError) as error:
            raise TrainingError(f'network {self.recipe.network}: {error}') from error
        check_members(network, Network, f'network {self.recipe.network}')
        size = self.recipe.data_options.get('size', network.input_size)
        if size != network.input_size:
            raise TrainingError(
                f'network {self.recipe.network} takes images of {network.input_size} pixels along a side, and '
                f'data_options.size is {size}'
            )
        return network

    def loss(self, network: nn.Module, inputs: tuple[Tensor, ...]) -> Tensor:
        """Loss of a batch, of what the task's ``network_input`` gives."""
        if hasattr(self.network_class, 'loss'):
            return network.loss(*inputs, **self.recipe.loss_options)
        return self.task.loss(network, *inputs, **self.recipe.loss_options)


def plan(recipe: Recipe) -> Plan:
    """Find a recipe's parts, and check all that it says.

    Raises:
        TrainingError: a part is missing or not what it should be, or an option is not known or of another type.

    """
    for part in ('task', 'data', 'network'):
        if not getattr(recipe, part):
            raise TrainingError(f'this recipe names no {part}: it is what others have in common')
    task = TASKS.load(recipe.task)
    check_members(task, Task, f'task {recipe.task!r}')
    if recipe.data not in task.SOURCES:
        raise TrainingError(
            f'task {recipe.task!r} has no data source {recipe.data!r}{nearest(recipe.data, task.SOURCES)}'
        )
    source, network_class = task.SOURCES[recipe.data], NETWORKS.load(recipe.network)
    if not inspect.isclass(network_class) or not issubclass(network_class, nn.Module):
        raise TrainingError(f'network {recipe.network!r} is no class of torch.nn.Module')
    check_options(recipe.data_options, source.parameters(), 'data_options')
    check_required([source.draw, *source.takes], (*GIVEN, *recipe.data_options), 'data_options')
    check_options(recipe.network_options, parameters_of([network_class]), 'network_options')
    check_required([network_class], recipe.network_options, 'network_options')
    loss = getattr(network_class, 'loss', None) or getattr(task, 'loss', None)
    check_options(recipe.loss_options, parameters_of([_need_loss(loss, recipe)], keyword_only=True), 'loss_options')
    for check, options in (
        (source.check, recipe.data_options),
        (getattr(network_class, 'check_options', None), recipe.network_options),
    ):
        if check is not None:
            check(options)
    _check_numbers(recipe)
    _check_files(recipe)
    if recipe.cached_views and (source.views is None or source.cut is None):
        raise TrainingError(f'data source {recipe.data!r} of task {recipe.task!r} draws no views: none can be cached')
    return Plan(recipe, task, source, network_class)


def _need_loss(loss: Callable[..., Tensor] | None, recipe: Recipe) -> Callable[..., Tensor]:
    if loss is None:
        raise TrainingError(
            f'network {recipe.network!r} has no loss, and task {recipe.task!r} has none for networks without one: '
            'see training.networks.protocol'
        )
    return loss


def _check_numbers(recipe: Recipe) -> None:
    for name, known in (('optimizer', OPTIMIZERS), ('schedule', SCHEDULES)):
        value = getattr(recipe, name)
        if value not in known:
            raise TrainingError(f'there is no {name} {value!r}{nearest(value, known)}')
    for name in ('samples', 'batch', 'learning_rate', 'clip_norm', 'validate_every', 'minutes'):
        if getattr(recipe, name) <= 0:
            raise TrainingError(f'{name} is {getattr(recipe, name)}, and has to be more than 0')
    if not 0 <= recipe.ema_decay < 1:
        raise TrainingError(f'ema_decay is {recipe.ema_decay}, and has to be at least 0 and less than 1')
    if recipe.schedule == 'steps' and not recipe.step_epochs:
        raise TrainingError('schedule steps needs step_epochs')


def _check_files(recipe: Recipe) -> None:
    for name in ('start', 'backbone'):
        path = getattr(recipe, name)
        if path and not Path(path).is_file():
            raise TrainingError(f'{name}: there is no file {path}')
