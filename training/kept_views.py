"""Views of hands that are kept where a network is trained, and cut anew for every batch.

A GPU learns from more crops than processors draw. With ``keep: N`` in its recipe, a training keeps the last N views in
the memory of its device (95 kB each in depth, 460 kB in colour) and cuts every crop there: ``training.cut_depth``,
``training.cut_color``.
"""

from __future__ import annotations

import importlib
from typing import Any

import torch
from torch import Tensor

from training.train import Feeder

#: Views that a process sends at once; how many such batches may wait, 3 MB each in depth and 15 in colour, as while a
#: network is compiled; and how many are taken before a batch of crops, at most.
SENT, WAITING, TAKEN = 32, 2048, 64


class KeptViews:
    """Batches of crops from views that are kept; takes the place of :class:`training.train.Feeder`.

    Args:
        recipe: of the training; ``data`` names a function beside which there are ``views``, which draws views, and
            ``cut``, which cuts batches out of some of them.
        seed: of what the workers draw.
        workers: processes that draw views.
        batch: crops in a batch.
        device: where views are kept and cut.

    Raises:
        ValueError: there are no such functions.

    """

    def __init__(self, recipe: dict[str, Any], seed: int, workers: int, batch: int, device: str) -> None:
        name = recipe['data'].split(':')[0]
        module = importlib.import_module(name)
        if not hasattr(module, 'views') or not hasattr(module, 'cut'):
            raise ValueError(f'{name} draws no views: this recipe cannot keep any')
        self.batch = batch
        self.capacity = recipe['keep']
        self.device = device
        self.count = 0
        self.views: list[Tensor] = []
        self._cut, self._options = module.cut, recipe['data_options']
        self.feeder = Feeder(recipe | {'data': f'{name}:views'}, seed, workers, SENT, WAITING)

    def _take(self) -> None:
        """Put the workers' next views in the place of the oldest."""
        parts = self.feeder.next()
        if not self.count:
            self.views = [part.new_zeros(self.capacity, *part.shape[1:], device=self.device) for part in parts]
        slots = (self.count + torch.arange(len(parts[0]))).remainder(self.capacity).to(self.device)
        for kept, part in zip(self.views, parts):
            kept[slots] = part.to(self.device)
        self.count += len(slots)

    def next(self) -> list[Tensor]:
        """A batch as the recipe's ``data`` yields them, on the device."""
        while self.count < min(self.batch, self.capacity):
            self._take()
        for _ in range(TAKEN):
            if not self.feeder.ready():
                break
            self._take()
        kept = min(self.count, self.capacity)
        # The newest are drawn the more often, as all others were drawn before.
        age = (1 - torch.rand(self.batch, device=self.device).sqrt()) * kept
        slots = (self.count - 1 - age.long().clamp(max=kept - 1)).remainder(self.capacity)
        return self._cut([part[:kept] for part in self.views], slots, **self._options)

    def close(self) -> None:
        """End the workers."""
        self.feeder.close()
