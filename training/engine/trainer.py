"""Train a network by a plan: data, steps, averages, validations and checkpoints, one after the other.

Training resumes from the checkpoint in the run's folder, validates on the task's fixed set, and keeps the best weights
by validation. A run's folder holds ``recipe.yaml``, ``checkpoint.pt``, ``best.pt``, ``validation.jsonl`` and
``tensorboard/``.
"""

from __future__ import annotations

import math
import shutil
import time
from dataclasses import dataclass, field
from pathlib import Path

import torch
import yaml
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR

from training.engine.averaging import moving_average
from training.engine.distributed import Processes
from training.engine.feeder import Feeder, to_tensors
from training.engine.log import RunLog
from training.engine.optimizers import make_optimizers
from training.engine.plan import Plan, plan
from training.engine.precision import autocast
from training.engine.schedules import learning_rate_factor
from training.engine.weights import (
    Trained,
    freeze,
    load_backbone,
    load_start,
    named,
    read_trained,
    save_atomically,
)
from training.recipe import Recipe
from training.registry import TrainingError, nearest
from training.view_cache import ViewCache

#: Training poses that a network with a prior on them is initialized from.
PRIOR_POSES = 2048
#: Between the data seeds of two processes; a prime larger than any number of samples between two workers' seeds.
RANK_STRIDE = 104_729


@dataclass(frozen=True)
class Resources:
    """What a training may use.

    Attributes:
        device: ``cpu`` or ``cuda``.
        threads: of PyTorch; 0 leaves it to PyTorch.
        workers: processes that draw data.

    """

    device: str = 'cpu'
    threads: int = 0
    workers: int = 1


@dataclass
class Progress:
    """How far a training is: samples seen, the best validation figure, and seconds since it began, pauses left out."""

    seen: int = 0
    best: float = math.inf
    elapsed: float = 0.0
    _begun: float = field(default_factory=time.monotonic)

    def start_clock(self) -> None:
        """Count time from now on."""
        self._begun = time.monotonic()

    def seconds(self) -> float:
        """Seconds of training so far."""
        return self.elapsed + time.monotonic() - self._begun

    def share(self, recipe: Recipe) -> float:
        """Share of the training that is done, by samples or by the clock, whichever is further."""
        return max(self.seen / recipe.samples, self.seconds() / (60 * recipe.minutes))


class BatchLoss(nn.Module):
    """A network's loss of a batch of data, as a module: what processes share and normalizations are renewed by."""

    def __init__(self, parts: Plan, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self._parts = parts

    def forward(self, data: list[Tensor]) -> Tensor:
        """The loss, of tensors as the data source gives them."""
        device = next(self.network.parameters()).device.type
        with autocast(device, self._parts.recipe.bf16):
            return self._parts.loss(self.network, self._parts.task.network_input(data))


class Training:
    """One training of one recipe in one folder.

    Args:
        recipe: what is trained.
        out: the run's folder.
        resources: what may be used.

    Raises:
        TrainingError: something of the recipe is not as it has to be; nothing is drawn then.

    """

    def __init__(self, recipe: Recipe, out: Path, resources: Resources = Resources()) -> None:
        self.parts, self.recipe, self.out, self.resources = plan(recipe), recipe, out, resources
        self.processes = Processes.join(resources.device)
        if recipe.batch % self.processes.count:
            raise TrainingError(f'a batch of {recipe.batch} cannot be shared by {self.processes.count} processes')
        if resources.threads:
            torch.set_num_threads(resources.threads)
        torch.backends.cudnn.benchmark = True
        torch.manual_seed(recipe.seed)
        self.validation = self.parts.task.validation_data(recipe) if self.processes.first else None
        self.out.mkdir(parents=True, exist_ok=True)
        if self.processes.first:
            (out / 'recipe.yaml').write_text(yaml.safe_dump(recipe.content(), sort_keys=False))
        self.progress = Progress()
        self.network, random = self._make_network()
        self._freeze_by_recipe()
        self.optimizers = make_optimizers(self.network, recipe.optimizer, recipe.learning_rate, recipe.weight_decay)
        self.schedules = [LambdaLR(optimizer, self._rate_factor) for optimizer in self.optimizers]
        self.average = moving_average(self.network, recipe.ema_decay)
        if recipe.compile:
            compile_network(self.network)
        self._resume()
        self.frozen_at_first = self._freeze_started(random)
        self.loss = self.processes.share(BatchLoss(self.parts, self.network))

    # ---- beginning ----

    def _make_network(self) -> tuple[nn.Module, list[str]]:
        """The network on its device, and names of weights that stay random where it starts from others."""
        network, recipe, random = self.parts.build(), self.recipe, []
        if recipe.start:
            random = load_start(network, Path(recipe.start))
            if random and self.processes.first:
                modules = sorted({'.'.join(key.split('.')[:4]) for key in random})
                print(f'{recipe.start} has nothing for {", ".join(modules)}: random initialization')
        elif recipe.backbone:
            load_backbone(network, read_trained(Path(recipe.backbone)).network)
        elif not self.checkpoint.is_file() and hasattr(network, 'initialize'):
            # A prior on the pose; each process draws the same poses.
            draw = self.parts.source.draw(seed=recipe.seed, batch=PRIOR_POSES, **recipe.data_options)
            network.initialize(to_tensors(next(draw))[1])
        return network.to(self.resources.device, memory_format=torch.channels_last), random

    def _freeze_by_recipe(self) -> None:
        """What lies before the first part that learns costs no backward pass."""
        if self.recipe.freeze:
            freeze(self.network, named(self.network, self.recipe.freeze))

    def _freeze_started(self, random: list[str]) -> list[nn.Parameter]:
        """Freeze what ``start`` gave, where the recipe lets the rest learn alone first: it would be led astray."""
        if not random or self.progress.seen >= self.recipe.freeze_started_samples:
            return []
        return freeze(self.network, [name for name, _ in self.network.named_parameters() if name not in random])

    def _rate_factor(self, _: int) -> float:
        return learning_rate_factor(self.progress.share(self.recipe), self.recipe)

    # ---- checkpoints ----

    @property
    def checkpoint(self) -> Path:
        """The file that a training resumes from."""
        return self.out / 'checkpoint.pt'

    def _resume(self) -> None:
        if not self.checkpoint.is_file():
            return
        state = torch.load(self.checkpoint, map_location=self.resources.device, weights_only=True)
        self.network.load_state_dict(state['network'])
        self.average.load_state_dict(state['average'])
        for optimizer, saved in zip(self.optimizers, state['optimizers']):
            optimizer.load_state_dict(saved)
        self.progress = Progress(state['seen'], state['best'], state['elapsed'])
        if self.processes.first:
            print(f'resuming {self.out} at {self.progress.seen} samples')

    def _save_checkpoint(self) -> None:
        content = {
            'network': self.network.state_dict(),
            'average': self.average.state_dict(),
            'optimizers': [optimizer.state_dict() for optimizer in self.optimizers],
            'seen': self.progress.seen,
            'best': self.progress.best,
            'elapsed': self.progress.seconds(),
        }
        save_atomically(self.checkpoint, content)

    # ---- data ----

    def _make_feeder(self) -> Feeder | ViewCache:
        recipe, source = self.recipe, self.parts.source
        seed = recipe.seed + self.progress.seen + RANK_STRIDE * self.processes.rank
        batch, workers = recipe.batch // self.processes.count, self.resources.workers
        if recipe.cached_views:
            return ViewCache(
                source, recipe.data_options, recipe.cached_views, seed, workers, batch, self.resources.device
            )
        return Feeder(source.draw, recipe.data_options, seed, workers, batch)

    # ---- steps ----

    def _step(self, data: list[Tensor]) -> Tensor:
        """Learn from a batch; returns its loss."""
        loss = self.loss([part.to(self.resources.device) for part in data])
        for optimizer in self.optimizers:
            optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self.network.parameters(), self.recipe.clip_norm)
        for optimizer in self.optimizers:
            optimizer.step()
        self.average.update_parameters(self.network)
        self._count_samples()
        for schedule in self.schedules:
            schedule.step()
        return loss

    def _count_samples(self) -> None:
        """Count a batch; what was frozen at first learns from then on."""
        self.progress.seen += self.recipe.batch
        if self.frozen_at_first and self.progress.seen >= self.recipe.freeze_started_samples:
            for parameter in self.frozen_at_first:
                parameter.requires_grad_(True)
            self.frozen_at_first = []
            # Processes share the gradients of what learnt when they were told of it.
            self.loss = self.processes.share(BatchLoss(self.parts, self.network))

    def _done(self) -> bool:
        """Whether the samples or the minutes are spent, in any process: their clocks differ."""
        return self.processes.any(self.progress.share(self.recipe) >= 1)

    # ---- validation ----

    def _validate(self, log: RunLog) -> dict[str, float]:
        """Validate the averaged weights, and keep them where they are the best so far."""
        figures = {
            'seen': self.progress.seen,
            'seconds': round(self.progress.seconds()),
            'loss': round(float(log.loss), 4),
            **self.parts.task.validate(self.average.module, self.validation),
        }
        log.validated(figures)
        best_by = self.recipe.best_by or self.parts.task.BEST_BY
        if best_by not in figures:
            raise TrainingError(f'best_by: validation has no figure {best_by!r}{nearest(best_by, figures)}')
        if figures[best_by] < self.progress.best:
            self.progress.best = figures[best_by]
            Trained(self.average.module.state_dict(), self.recipe, figures).save(self.out / 'best.pt')
        return figures

    def run(self) -> dict[str, float]:
        """Train to the end; returns the last validation's figures (of the first process)."""
        feeder, figures = self._make_feeder(), {}
        log = RunLog(self.out, self.recipe.samples, self.progress.seen, silent=not self.processes.first)
        try:
            done = self._done()
            data = None if done else feeder.next()
            self.progress.start_clock()  # not while workers draw people, which takes minutes
            while not done:
                before = self.progress.seen
                log.step(self._step(data or feeder.next()), self.recipe.batch, self.progress.seen)
                data = None
                done = self._done()
                every = self.recipe.validate_every
                if self.processes.first and (done or self.progress.seen // every != before // every):
                    figures = self._validate(log)
                    self._save_checkpoint()
        finally:
            if self.processes.first:
                self._save_checkpoint()
            feeder.close()
            log.close()
            self.processes.leave()
        return figures


def compile_network(network: nn.Module) -> None:
    """Compile what a loss runs of a network, for batches of one size: half as fast again on two cores.

    Where there is no C++ compiler, the network stays as it is and a line says so.
    """
    if next(network.parameters()).device.type == 'cpu' and shutil.which('g++') is None:
        print('no g++: the network is not compiled, and its training takes longer')
        return
    name = 'forward_stages' if hasattr(network, 'forward_stages') else 'forward'
    setattr(network, name, torch.compile(getattr(network, name), dynamic=False))


def train(recipe: Recipe, out: Path, resources: Resources = Resources()) -> dict[str, float]:
    """Train by ``recipe`` into folder ``out``; returns the last validation's figures."""
    return Training(recipe, out, resources).run()
