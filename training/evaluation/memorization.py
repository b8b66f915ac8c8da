"""What a network learnt by heart: its training loss beside the same loss on crops that it never saw.

Where the training cuts few views often, or shows few people, the first is lower than the others.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from tqdm import trange

from training.engine.feeder import to_tensors
from training.engine.plan import plan
from training.engine.trainer import BatchLoss
from training.engine.weights import State
from training.evaluation.figures import Measurement
from training.recipe import Recipe, load_recipe
from training.registry import TrainingError

#: No training draws its pictures or its people from these.
SEED, PEOPLE_SEED = 40_000_003, 40_000_009
#: Data options that have a view cut more than once.
ONCE = {'crops_per_view': 1, 'views': 1}
#: What a run's folder has to hold.
FILES = ('recipe.yaml', 'checkpoint.pt', 'validation.jsonl')


def unseen_losses(weights: State, recipe: Recipe, crops: int, batch: int = 32, **options: object) -> np.ndarray:
    """Losses of new batches, in training mode: normalizations go by the batch, as they do in the training loss.

    Args:
        weights: of the recipe's network, not their average.
        recipe: of the run.
        crops: how many, about.
        batch: of how many; as many as each of the training's processes has, or figures are not alike.
        options: change the recipe's data options.

    """
    parts = plan(recipe.without_start())
    network = parts.build()
    network.load_state_dict(weights)
    network.train()
    given = dict(recipe.data_options)
    options = given | {name: value for name, value in ONCE.items() if name in given} | options
    batches, loss = parts.source.draw(seed=SEED, batch=batch, **options), BatchLoss(parts, network)
    losses = []
    for _ in trange(max(crops // batch, 1), unit='batch', desc='unseen crops'):
        with torch.no_grad():
            losses.append(float(loss(to_tensors(next(batches)))))
    return np.array(losses)


def evaluate_run(run: Path, crops: int, batch: int) -> Iterator[Measurement]:
    """Measure a run's last checkpoint.

    Args:
        run: its folder.
        crops: of each kind.
        batch: crops in a batch of each of the training's processes.

    Raises:
        TrainingError: the folder lacks a file, or the run was not trained on synthetic people.

    """
    missing = [name for name in FILES if not (run / name).is_file()]
    if missing:
        raise TrainingError(f'{run} lacks {", ".join(missing)}: give the folder of a training that has validated')
    recipe = load_recipe(str(run / 'recipe.yaml'))
    if 'people_seed' not in recipe.data_options:
        raise TrainingError(f'{run} was not trained on synthetic people: its recipe has no people_seed')
    state = torch.load(run / 'checkpoint.pt', map_location='cpu', weights_only=True)
    validated = [json.loads(line) for line in (run / 'validation.jsonl').read_text().splitlines()]
    yield Measurement('training_loss', validated[-1]['loss'], '', validated[-1]['seen'])
    for name, options in (('unseen_crops', {}), ('unseen_people', {'people_seed': PEOPLE_SEED})):
        losses = unseen_losses(state['network'], recipe, crops, batch, **options)
        yield Measurement(f'{name}_loss', float(losses.mean()), '', crops)
        yield Measurement(f'{name}_loss_error', float(losses.std() / max(len(losses) - 1, 1) ** 0.5), '', crops)
