"""Batches of training data, drawn by processes of their own."""

from __future__ import annotations

import multiprocessing
import queue
from collections.abc import Callable, Iterable, Iterator

import numpy as np
import torch

from training.recipe import Options
from training.registry import TrainingError

#: What yields batches: ``draw(seed, batch, **options)``.
Draw = Callable[..., Iterator[tuple[np.ndarray, ...]]]

#: Between the seeds of two workers; a prime, so that no two of a few processes meet.
WORKER_STRIDE = 7919
#: Seconds between two looks at whether the workers live.
LOOK_SECONDS = 10


def to_tensors(batch: Iterable[np.ndarray]) -> list[torch.Tensor]:
    """A batch of a data source as a task's ``network_input`` takes it."""
    return [torch.from_numpy(np.ascontiguousarray(part)) for part in batch]


def _produce(out: multiprocessing.Queue, draw: Draw, options: Options, seed: int, batch: int) -> None:
    torch.set_num_threads(1)
    try:
        for item in draw(seed=seed, batch=batch, **options):
            out.put(item)
    except TrainingError as error:  # a damaged file, say
        out.put(error)


class Feeder:
    """Batches from worker processes, each with a seed of its own.

    Args:
        draw: of a data source; a function of a module, as processes import it.
        options: that it takes.
        seed: of the first worker.
        workers: how many.
        batch: examples in a batch.
        waiting: batches that wait at most.

    """

    def __init__(self, draw: Draw, options: Options, seed: int, workers: int, batch: int, waiting: int = 12) -> None:
        context = multiprocessing.get_context('spawn')
        self.queue = context.Queue(maxsize=waiting)
        self.workers = [
            context.Process(
                target=_produce, daemon=True, args=(self.queue, draw, dict(options), seed + WORKER_STRIDE * w, batch)
            )
            for w in range(workers)
        ]
        for worker in self.workers:
            worker.start()

    def next(self) -> list[torch.Tensor]:
        """The next batch.

        Raises:
            TrainingError: a worker died, or raised it.

        """
        while True:
            try:
                item = self.queue.get(timeout=LOOK_SECONDS)
            except queue.Empty:
                dead = [worker for worker in self.workers if not worker.is_alive()]
                if dead:
                    raise TrainingError(f'{len(dead)} data workers died; their error is above') from None
                continue
            if isinstance(item, TrainingError):
                raise item
            return to_tensors(item)

    def ready(self) -> bool:
        """Whether the next batch is there already."""
        return not self.queue.empty()

    def close(self) -> None:
        """End the workers."""
        for worker in self.workers:
            worker.terminate()
