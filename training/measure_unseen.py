"""What a network learnt by heart: ``python -m training.measure_unseen RUN``.

Prints the training loss at a run's last checkpoint beside the same loss on crops that it never saw, of the training's
people and of others. Where the training cuts few views often, or shows few people, the first is lower than the others.
"""

from __future__ import annotations

import argparse
import importlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml

from training.train import build, make_batches, to_tensors

#: No training draws its pictures or its people from these.
SEED, PEOPLE_SEED = 40_000_003, 40_000_009
#: Data options that have a view cut more than once.
ONCE = {'crops_per_view': 1, 'views': 1}


def unseen_losses(weights: dict[str, torch.Tensor], recipe: dict[str, Any], crops: int, batch: int = 32,
                  **options: Any) -> np.ndarray:
    """Losses of new batches, in training mode: normalizations go by the batch, as they do in the training loss.

    Args:
        weights: of the recipe's network, not their average.
        recipe: of the run.
        crops: how many, about.
        batch: of how many; as many as each of the training's processes has, or figures are not alike.
        options: change the recipe's data options.

    """
    network, loss = build(recipe)
    network.load_state_dict(weights)
    network.train()
    task, told = importlib.import_module(recipe['task']), recipe.get('data_options', {})
    options = told | {name: value for name, value in ONCE.items() if name in told} | options
    batches, losses = make_batches(recipe['data'], options, SEED, batch), []
    for _ in range(max(crops // batch, 1)):
        data = task.network_input(to_tensors(next(batches)))
        with torch.no_grad(), torch.autocast('cpu', torch.bfloat16, enabled=recipe.get('bf16', False)):
            losses.append(float(loss(network, *data, **recipe.get('loss', {}))))
    return np.array(losses)


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('run', type=Path, help='folder of a run on synthetic data: its recipe, checkpoint and validations')
    parser.add_argument('--crops', type=int, default=2048, help='of each kind')
    parser.add_argument('--batch', type=int, default=32, help='crops in a batch of each of the training\'s processes')
    arguments = parser.parse_args()
    missing = [name for name in ('recipe.yaml', 'checkpoint.pt', 'validation.jsonl') if not (arguments.run / name).is_file()]
    if missing:
        parser.error(f'{arguments.run} lacks {", ".join(missing)}: give the output folder of a training that has validated')
    recipe = yaml.safe_load((arguments.run / 'recipe.yaml').read_text())
    if 'people_seed' not in recipe.get('data_options', {}):
        parser.error(f'{arguments.run} was not trained on synthetic people: its recipe has no people_seed')
    state = torch.load(arguments.run / 'checkpoint.pt', map_location='cpu', weights_only=True)
    validated = [json.loads(line) for line in (arguments.run / 'validation.jsonl').read_text().splitlines()]
    print(f'training, up to {validated[-1]["seen"]} images: {validated[-1]["loss"]:.4f}')
    for name, options in (('new crops', {}), ('new crops of new people', {'people_seed': PEOPLE_SEED})):
        losses = unseen_losses(state['network'], recipe, arguments.crops, arguments.batch, **options)
        print(f'{name}: {losses.mean():.4f}, give or take {losses.std() / max(len(losses) - 1, 1) ** 0.5:.4f}', flush=True)


if __name__ == '__main__':
    main()
