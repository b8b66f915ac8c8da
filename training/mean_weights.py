"""Take the mean of several trainings' weights: ``python -m training.mean_weights A.pt B.pt ... OUT.pt``.

Trainings that part from the same weights end in the same valley of the loss, and their mean lies lower in it than any of
them (Wortsman et al., "Model soups", ICML 2022).
"""

from __future__ import annotations

import argparse
import importlib
from pathlib import Path
from typing import Sequence

import torch
from torch import Tensor

from training.train import build, load_weights


def mean_weights(trained: Sequence[dict[str, Tensor]], shares: Sequence[float]) -> dict[str, Tensor]:
    """Average weights by name, each network's as its share of all says.

    Raises:
        ValueError: they are not of networks of one shape.

    """
    first, total = trained[0], sum(shares)
    for other in trained[1:]:
        if {key: value.shape for key, value in first.items()} != {key: value.shape for key, value in other.items()}:
            raise ValueError('the weights are of networks of different shapes')
    return {key: sum(share / total * weights[key] for share, weights in zip(shares, trained))
            if value.is_floating_point() else value.clone() for key, value in first.items()}


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('weights', type=Path, nargs='+', help='best.pt of two or more trainings')
    parser.add_argument('out', type=Path, help='where to write the mean, with the first one\'s recipe')
    parser.add_argument('--shares', type=float, nargs='+', help='how much each counts; all the same by default')
    parser.add_argument('--threads', type=int, default=0, help='threads for validation; 0 leaves it to PyTorch')
    arguments = parser.parse_args()
    shares = arguments.shares or [1.0] * len(arguments.weights)
    if len(shares) != len(arguments.weights):
        parser.error(f'{len(arguments.weights)} weights and {len(shares)} shares: there must be one for each')
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    stored = [torch.load(path, map_location='cpu', weights_only=True) for path in arguments.weights]
    recipe = stored[0]['recipe']
    weights = mean_weights([one['network'] for one in stored], shares)
    network, _ = build(recipe)
    load_weights(network, weights)
    task = importlib.import_module(recipe['task'])
    figures = stored[0]['figures'] | task.validate(network.eval(), task.validation_data(recipe))
    torch.save({'network': weights, 'recipe': recipe, 'figures': figures}, arguments.out)
    print(f'{arguments.out}: {figures}')


if __name__ == '__main__':
    main()
