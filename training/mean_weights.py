"""Take the mean of several trainings' weights: ``python -m training.mean_weights A.pt B.pt ... OUT.pt``.

Trainings that part from the same weights end in the same valley of the loss, and their mean lies lower in it than any
of them (Wortsman et al., "Model soups", ICML 2022).

Between weights that have gone far from one another, the mean's activations are of other sizes than its normalizations
know, and it errs more than each of them. ``--renew BATCHES`` takes the normalizations' statistics anew, of that many
batches of the recipe's data (Izmailov et al., "Averaging Weights Leads to Wider Optima and Better Generalization", UAI
2018, section 3.2).
"""

from __future__ import annotations

import argparse
import importlib
from itertools import islice
from pathlib import Path
from typing import Any, Callable, Iterable, Sequence

import torch
from torch import Tensor, nn

from training.train import build, load_weights, make_batches, to_tensors


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


@torch.no_grad()
def renew_statistics(network: nn.Module, batches: Iterable[Any], run: Callable[[Any], Any]) -> None:
    """Give a network's normalizations the mean statistics of what reaches them in training; others stay as they are.

    Args:
        network: comes back in evaluation.
        batches: of data.
        run: runs the network on one of them, as a training does.

    """
    modules = [module for module in network.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
    before = [(module.momentum, {key: value.clone() for key, value in module.state_dict().items()}) for module in modules]
    for module in modules:
        module.reset_running_stats()
        module.momentum = None  # the mean of all batches, each as much as another
    network.train()
    for batch in batches:
        run(batch)
    network.eval()
    for module, (momentum, state) in zip(modules, before):
        module.momentum = momentum
        if not module.num_batches_tracked:  # of a head that is trained on its own
            module.load_state_dict(state)


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('weights', type=Path, nargs='+', help='best.pt of two or more trainings')
    parser.add_argument('out', type=Path, help='where to write the mean, with the first one\'s recipe')
    parser.add_argument('--shares', type=float, nargs='+', help='how much each counts; all the same by default')
    parser.add_argument('--renew', type=int, default=0, metavar='BATCHES',
                        help='take the normalizations\' statistics anew, of so many batches; 0 keeps their mean')
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
    network, loss = build(recipe)
    load_weights(network, weights)
    task = importlib.import_module(recipe['task'])
    if arguments.renew:
        torch.manual_seed(recipe['seed'])
        batches = make_batches(recipe['data'], recipe.get('data_options', {}), recipe['seed'], recipe['batch'])
        with torch.autocast('cpu', torch.bfloat16, enabled=recipe.get('bf16', False)):
            renew_statistics(network, islice(batches, arguments.renew), lambda batch: loss(
                network, *task.network_input(to_tensors(batch)), **recipe.get('loss', {})))
    figures = stored[0]['figures'] | task.validate(network.eval(), task.validation_data(recipe))
    torch.save({'network': network.state_dict(), 'recipe': recipe, 'figures': figures}, arguments.out)
    print(f'{arguments.out}: {figures}')


if __name__ == '__main__':
    main()
