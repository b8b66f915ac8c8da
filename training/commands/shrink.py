"""Make a smaller network of a trained larger one, which a recipe's start takes: see training/engine/shrink.py."""

from __future__ import annotations

import argparse
from pathlib import Path

HELP = 'make a smaller network of a trained larger one'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument('weights', type=Path, help='best.pt of a JGR-P2O')
    parser.add_argument('recipe', help='of the smaller network, an offset_hourglass')
    parser.add_argument('out', type=Path, help='where to write its weights')
    parser.add_argument('--crops', type=int, default=6000, help='that its head is fitted on (6000)')
    parser.add_argument('--set', nargs='+', default=[], metavar='KEY=VALUE', help='changes to the recipe')


def run(arguments: argparse.Namespace) -> None:
    """Cut, fit, validate and write."""
    import torch

    from training.engine.feeder import Feeder
    from training.engine.plan import plan
    from training.engine.shrink import cut, fit_head, refit_bottlenecks
    from training.engine.weights import Trained, load_weights, read_trained
    from training.networks.offset_hourglass import OffsetHourglass
    from training.recipe import load_recipe
    from training.registry import TrainingError

    recipe = load_recipe(arguments.recipe, arguments.set).without_start()
    parts = plan(recipe)
    network = parts.build().eval()
    _, larger = read_trained(arguments.weights).build()
    if not isinstance(network, OffsetHourglass):
        raise TrainingError(f'{arguments.recipe} is of the network {recipe.network}, not of offset_hourglass')
    torch.manual_seed(recipe.seed)
    load_weights(network, cut(network, larger.state_dict()))
    feeder = Feeder(parts.source.draw, recipe.data_options, recipe.seed, 1, 64)
    crops, truth = [], []
    while 64 * len(crops) < arguments.crops:
        crop, joints = parts.task.network_input(feeder.next())
        crops.append(crop)
        truth.append(joints)
    feeder.close()
    refit_bottlenecks(network, larger, torch.cat(crops[:4]))
    fit_head(network, torch.cat(crops), torch.cat(truth))
    figures = {'seen': 64 * len(crops)} | parts.task.validate(network, parts.task.validation_data(recipe))
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    Trained(network.state_dict(), recipe, figures).save(arguments.out)
    print(f'{arguments.out}: {figures}')
