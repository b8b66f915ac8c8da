"""Draw a recipe's color crops beforehand, for trainings that read them (``data: photographs``)."""

from __future__ import annotations

import argparse
from pathlib import Path

HELP = "draw a recipe's color crops beforehand"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument('recipe', help='of the task color_pose whose data are renders')
    parser.add_argument('out', type=Path, help='folder to write them into')
    parser.add_argument('--crops', type=int, default=24_000, help='how many; 80 kB each of 160 pixels (24000)')
    parser.add_argument('--seed', type=int, default=1, help='of what is drawn (1)')
    parser.add_argument('--set', nargs='+', default=[], metavar='KEY=VALUE', help='changes to the recipe')


def run(arguments: argparse.Namespace) -> None:
    """Draw and write."""
    from tqdm import tqdm

    from training.datasets.drawn_crops import write_crops
    from training.engine.plan import plan
    from training.recipe import load_recipe
    from training.registry import TrainingError
    from training.tasks import color_pose

    parts = plan(load_recipe(arguments.recipe, arguments.set))
    if parts.source is not color_pose.SOURCES['renders']:
        raise TrainingError(f"{arguments.recipe} is not of the task color_pose with 'data: renders'")
    batches = parts.source.draw(seed=arguments.seed, batch=64, **parts.recipe.data_options)
    with tqdm(total=arguments.crops, unit='crop') as bar:
        for done in write_crops(arguments.out, batches, arguments.crops):
            bar.update(done - bar.n)
