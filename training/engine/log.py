"""What a training writes as it goes: a progress bar, TensorBoard's scalars and ``validation.jsonl``."""

from __future__ import annotations

import json
from pathlib import Path

from torch import Tensor
from torch.utils.tensorboard import SummaryWriter
from tqdm import tqdm

#: Steps between two losses that are written: a GPU would wait for what it is to do next.
EVERY_STEPS = 10
#: Weight of a step in the running mean of the loss.
SMOOTHING = 0.01


class RunLog:
    """A training's records.

    Args:
        out: the run's folder.
        samples: of the whole training.
        seen: samples before.
        silent: write nothing, in processes other than the first.

    """

    def __init__(self, out: Path, samples: int, seen: int, silent: bool) -> None:
        self.loss: Tensor | None = None
        self._steps = 0
        self._path = out / 'validation.jsonl'
        self._writer = None if silent else SummaryWriter(out / 'tensorboard')
        self._bar = tqdm(
            total=samples, initial=seen, unit='img', smoothing=0.02, mininterval=5, disable=silent, desc=out.name
        )

    def step(self, loss: Tensor, batch: int, seen: int) -> None:
        """Record a step."""
        loss = loss.detach()
        self.loss = loss if self.loss is None else self.loss.lerp(loss, SMOOTHING)
        self._bar.update(batch)
        self._steps += 1
        if self._writer is not None and self._steps % EVERY_STEPS == 0:
            self._writer.add_scalar('loss', float(loss), seen)

    def validated(self, figures: dict[str, float]) -> None:
        """Record a validation's figures."""
        with self._path.open('a') as log:
            log.write(json.dumps(figures) + '\n')
        for name, figure in figures.items():
            self._writer.add_scalar(f'validation/{name}', figure, figures['seen'])
        self._bar.write(json.dumps(figures))

    def close(self) -> None:
        """Close the files, and leave the bar as it is."""
        self._bar.close()
        if self._writer is not None:
            self._writer.close()
