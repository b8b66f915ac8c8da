"""Train a network by a recipe: a name in training/recipes/ or a YAML file. A training that was interrupted resumes.

On several GPUs, or several cores (two processes of one thread train a small network faster than one of two):
torchrun --nproc-per-node 2 -m training train RECIPE. The recipe's batch is shared out among the processes.
"""

from __future__ import annotations

import argparse
from pathlib import Path

HELP = 'train a network by a recipe'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument('recipe', help='a name in training/recipes/ or the path of a YAML file')
    parser.add_argument('--out', type=Path, metavar='DIR', help='folder of the run; default runs/RECIPE')
    parser.add_argument('--threads', type=int, default=0, help='of the network; 0 (default) leaves it to PyTorch')
    parser.add_argument('--workers', type=int, default=1, help='processes that draw data (1)')
    parser.add_argument('--device', default='cpu', choices=('cpu', 'cuda'), help='cpu (default) or cuda')
    parser.add_argument(
        '--set',
        nargs='+',
        default=[],
        metavar='KEY=VALUE',
        help='change the recipe; data_options.size=128 is an entry of a table',
    )
    parser.add_argument('--check', action='store_true', help='print the whole recipe, checked, and train nothing')


def run(arguments: argparse.Namespace) -> None:
    """Train."""
    import yaml

    from training.engine.plan import plan
    from training.recipe import load_recipe

    recipe = load_recipe(arguments.recipe, arguments.set)
    if arguments.check:
        network = plan(recipe).build()
        print(yaml.safe_dump(recipe.content(), sort_keys=False), end='')
        print(f'# {sum(weight.numel() for weight in network.parameters()):,} parameters, sha256 {recipe.digest()}')
        return
    from training.engine.trainer import Resources, train

    out = arguments.out or Path('runs') / recipe.name
    resources = Resources(arguments.device, arguments.threads, arguments.workers)
    figures = train(recipe, out, resources)
    if figures:
        print(f'{out / "best.pt"}: {figures}')
