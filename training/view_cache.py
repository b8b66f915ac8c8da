"""Views of hands that are cached where a network is trained, and cut anew for every batch.

A GPU learns from more crops than processors draw. With ``cached_views: N`` in its recipe, a training caches the last N
views in the memory of its device (95 kB each in depth, 460 kB in color) and cuts every crop there:
``training.cut_depth``, ``training.cut_color``.
"""

from __future__ import annotations

import torch
from torch import Tensor

from training.engine.feeder import Feeder
from training.recipe import Options
from training.tasks.protocol import DataSource

#: Views that a process sends at once; how many such batches may wait, 3 MB each in depth and 15 in color, as while a
#: network is compiled; and how many are taken before a batch of crops, at most.
SENT, WAITING, TAKEN = 32, 2048, 64


class ViewCache:
    """Batches of crops from cached views; takes the place of :class:`training.engine.feeder.Feeder`.

    Args:
        source: draws views, and cuts batches out of some of them.
        options: of the source.
        capacity: views that are cached.
        seed: of what the workers draw.
        workers: processes that draw views.
        batch: crops in a batch.
        device: where views are cached and cut.

    """

    def __init__(
        self, source: DataSource, options: Options, capacity: int, seed: int, workers: int, batch: int, device: str
    ) -> None:
        self.batch = batch
        self.capacity = capacity
        self.device = device
        self.count = 0
        self.views: list[Tensor] = []
        self._cut, self._options = source.cut, options
        self.feeder = Feeder(source.views, options, seed, workers, SENT, WAITING)

    def _take(self) -> None:
        """Put the workers' next views in the place of the oldest."""
        parts = self.feeder.next()
        if not self.count:
            self.views = [part.new_zeros(self.capacity, *part.shape[1:], device=self.device) for part in parts]
        slots = (self.count + torch.arange(len(parts[0]))).remainder(self.capacity).to(self.device)
        for cached, part in zip(self.views, parts):
            cached[slots] = part.to(self.device)
        self.count += len(slots)

    def next(self) -> list[Tensor]:
        """A batch as the source draws them, on the device."""
        while self.count < min(self.batch, self.capacity):
            self._take()
        for _ in range(TAKEN):
            if not self.feeder.ready():
                break
            self._take()
        filled = min(self.count, self.capacity)
        # The newest are drawn the more often, as all others were drawn before.
        age = (1 - torch.rand(self.batch, device=self.device).sqrt()) * filled
        slots = (self.count - 1 - age.long().clamp(max=filled - 1)).remainder(self.capacity)
        return self._cut([part[:filled] for part in self.views], slots, **self._options)

    def close(self) -> None:
        """End the workers."""
        self.feeder.close()
