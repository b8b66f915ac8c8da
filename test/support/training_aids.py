"""What tests of training share."""

from dataclasses import replace

import pytest
import torch

from training.engine.plan import plan
from training.recipe import load_recipe


@pytest.fixture(scope='module')
def one_thread():
    """Many small operations: threads would only wait for one another."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def recipe_of(name, **changes):
    """A shipped recipe with other values."""
    return replace(load_recipe(name), **changes)


def build(recipe):
    """A recipe's network, at random."""
    return plan(recipe.without_start()).build()


class InlineFeeder:
    """Batches of this process, where ``training.engine.feeder.Feeder`` has processes of its own."""

    def __init__(self, draw, options, seed, workers, batch):
        self.batches = draw(seed=seed, batch=batch, **options)

    def next(self):
        return [torch.from_numpy(part) for part in next(self.batches)]

    def close(self):
        self.batches.close()
