"""Name what a recipe can name: tasks with their data sources, networks, datasets, optimizers, schedules, recipes."""

from __future__ import annotations

import argparse

HELP = 'name the tasks, networks, datasets and recipes'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""


def run(arguments: argparse.Namespace) -> None:
    """Print the names."""
    from training.datasets import COLOR_DATASETS, DATASETS
    from training.engine.optimizers import OPTIMIZERS
    from training.engine.schedules import SCHEDULES
    from training.networks import NETWORKS
    from training.recipe import RECIPES
    from training.tasks import TASKS

    for name in TASKS:
        print(f'task {name}: data {", ".join(TASKS.load(name).SOURCES)}')
    for kind, names in (
        ('networks', NETWORKS),
        ('depth datasets', DATASETS),
        ('color datasets', COLOR_DATASETS),
        ('optimizers', OPTIMIZERS),
        ('schedules', SCHEDULES),
        ('recipes', sorted(path.stem for path in RECIPES.glob('*.yaml'))),
    ):
        print(f'{kind}: {", ".join(names)}')
