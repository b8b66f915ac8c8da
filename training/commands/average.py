"""Take the mean of several trainings' weights, each as its share says.

Between weights that are far from one another, --renew takes the normalizations' statistics anew, of so many batches.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from itertools import islice
from pathlib import Path

HELP = "take the mean of several trainings' weights"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument('weights', type=Path, nargs='+', help='best.pt of two or more trainings')
    parser.add_argument('out', type=Path, help="where to write the mean, with the first one's recipe")
    parser.add_argument('--shares', type=float, nargs='+', help='how much each counts; all the same by default')
    parser.add_argument('--renew', type=int, default=0, metavar='BATCHES', help='0 (default) keeps the mean statistics')
    parser.add_argument('--threads', type=int, default=0, help='of PyTorch; 0 leaves it to PyTorch')


def run(arguments: argparse.Namespace) -> None:
    """Average, validate and write."""
    import torch
    from tqdm import tqdm

    from training.engine.averaging import mean_weights, renew_statistics
    from training.engine.feeder import to_tensors
    from training.engine.trainer import BatchLoss
    from training.engine.weights import read_trained
    from training.registry import TrainingError

    shares = arguments.shares or [1.0] * len(arguments.weights)
    if len(shares) != len(arguments.weights):
        raise TrainingError(f'{len(arguments.weights)} weights and {len(shares)} shares: there must be one for each')
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    trained = [read_trained(path) for path in arguments.weights]
    mean = replace(trained[0], network=mean_weights([one.network for one in trained], shares))
    parts, network = mean.build()
    recipe = mean.recipe
    if arguments.renew:
        torch.manual_seed(recipe.seed)
        drawn = parts.source.draw(seed=recipe.seed, batch=recipe.batch, **recipe.data_options)
        batches = tqdm(islice(drawn, arguments.renew), total=arguments.renew, unit='batch', desc='normalizations')
        renew_statistics(network, map(to_tensors, batches), BatchLoss(parts, network))
    figures = mean.figures | parts.task.validate(network.eval(), parts.task.validation_data(recipe))
    replace(mean, network=network.state_dict(), figures=figures).save(arguments.out)
    print(f'{arguments.out}: {figures}')
