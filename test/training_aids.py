"""What tests of training share."""

import pytest
import torch

from training.train import make_batches


@pytest.fixture(scope='module')
def one_thread():
    """Many small operations: threads would only wait for one another."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


class InlineFeeder:
    """Batches of this process, where ``training.train.Feeder`` has processes of its own."""

    def __init__(self, recipe, seed, workers, batch):
        self.batches = make_batches(recipe['data'], recipe['data_options'], seed, batch)

    def next(self):
        return [torch.from_numpy(part) for part in next(self.batches)]

    def close(self):
        self.batches.close()
