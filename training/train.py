"""Train a network by a recipe: ``python -m training.train RECIPE [--out DIR] [--threads N]``.

On several GPUs, or on several cores (two processes of one thread train a small network faster than one of two):
``torchrun --nproc-per-node 2 -m training.train RECIPE``. The recipe's batch is shared out among the processes.

A recipe is a YAML file in ``training/recipes/``. Training resumes from the newest checkpoint in the output folder,
validates on the fixed validation set, writes TensorBoard scalars and keeps the best weights by validation. A recipe's
``hold`` lists what the names of parameters begin with that are to stay as ``start`` has them.
"""

from __future__ import annotations

import argparse
import importlib
import json
import math
import multiprocessing
import os
import queue
import shutil
import time
from pathlib import Path
from typing import Any, Callable, Iterable, Iterator

import numpy as np
import torch
import yaml
from torch import nn

from training.grow import grow
from training.networks.heads import HEADS
from training.optimizers import make_optimizers

RECIPES = Path(__file__).parent / 'recipes'

#: Steps between two losses that TensorBoard is told.
LOG_EVERY = 10
#: Training poses that a network with a prior on them is initialised from.
PRIOR_POSES = 2048


def load_recipe(name: str) -> dict[str, Any]:
    """Read a recipe by its name in ``training/recipes/`` or by its path.

    A recipe's ``base`` names another one that it changes: what both say is as this one has it, table by table.

    Raises:
        FileNotFoundError: there is no such recipe; the message lists those that exist.

    """
    path = Path(name) if name.endswith('.yaml') else RECIPES / f'{name}.yaml'
    if not path.is_file():
        known = ', '.join(sorted(p.stem for p in RECIPES.glob('*.yaml')))
        raise FileNotFoundError(f'no recipe {path}; there are: {known}')
    recipe = yaml.safe_load(path.read_text())
    return _merge(load_recipe(recipe.pop('base')), recipe) if 'base' in recipe else recipe


def change(recipe: dict[str, Any], text: str) -> None:
    """Change an entry of a recipe by ``KEY=VALUE``; ``table.key=VALUE`` is one of a table."""
    name, _, value = text.partition('=')
    *tables, key = name.split('.')
    for table in tables:
        recipe = recipe.setdefault(table, {})
    recipe[key] = yaml.safe_load(value)


def _merge(base: dict[str, Any], change: dict[str, Any]) -> dict[str, Any]:
    both = {key: _merge(base[key], value) if isinstance(value, dict) and isinstance(base.get(key), dict) else value
            for key, value in change.items()}
    return base | both


def learning_rate(share: float, schedule: str, samples: int, epoch: int, step_epochs: int | list[int] = 0) -> float:
    """Factor on the learning rate after ``share`` (0 to 1) of the training.

    ``cosine`` warms up over the first hundredth and falls to zero, ``linear`` likewise in a line; ``trapezoid`` warms up
    likewise, stays, and falls in a line to zero over the last third, so that a run can be made longer while it stays;
    ``late_cosine`` stays for the first half and falls to zero by a cosine over the second; ``exponential`` falls by
    0.96 an epoch of ``epoch`` samples, as JGR-P2O's authors have it; ``steps`` divides by ten every ``step_epochs``
    of them, as SRN's have it, or after each of a list of epochs; ``constant`` stays.

    Raises:
        ValueError: there is no schedule of that name.

    """
    if schedule == 'cosine':
        return min(1.0, share / 0.01 + 1e-3) * 0.5 * (1 + math.cos(math.pi * min(share, 1.0)))
    if schedule == 'linear':
        return min(share / 0.01 + 1e-3, 1 - min(share, 1.0))
    if schedule == 'trapezoid':
        return min(1.0, share / 0.01 + 1e-3, 3 * (1 - min(share, 1.0)))
    if schedule == 'late_cosine':
        return 0.5 * (1 + math.cos(math.pi * min(max(2 * share - 1, 0.0), 1.0)))
    if schedule == 'exponential':
        return 0.96 ** (share * samples // epoch)
    if schedule == 'steps':
        epochs = share * samples // epoch
        return 0.1 ** (sum(epochs >= at for at in step_epochs) if isinstance(step_epochs, list) else
                       epochs // step_epochs)
    if schedule == 'constant':
        return 1.0
    raise ValueError(f'schedule {schedule!r} is not one of cosine, linear, trapezoid, late_cosine, exponential, '
                     'steps, constant')


def _produce(out: multiprocessing.Queue, source: str, options: dict[str, Any], seed: int, batch: int) -> None:
    torch.set_num_threads(1)
    for item in make_batches(source, options, seed, batch):
        out.put(item)


def make_batches(source: str, options: dict[str, Any], seed: int, batch: int) -> Iterator[tuple[np.ndarray, ...]]:
    """Batches of the data source called ``module:function`` in a recipe."""
    module, function = source.split(':')
    return getattr(importlib.import_module(module), function)(seed=seed, batch=batch, **options)


def to_tensors(batch: Iterable[np.ndarray]) -> list[torch.Tensor]:
    """A batch of :func:`make_batches` as a task's ``network_input`` takes it."""
    return [torch.from_numpy(np.ascontiguousarray(part)) for part in batch]


class Feeder:
    """Batches from worker processes, each with a seed of its own; at most ``waiting`` of them wait."""

    def __init__(self, recipe: dict[str, Any], seed: int, workers: int, batch: int, waiting: int = 12) -> None:
        context = multiprocessing.get_context('spawn')
        self.queue = context.Queue(maxsize=waiting)
        self.workers = [context.Process(target=_produce, daemon=True, args=(
            self.queue, recipe['data'], recipe.get('data_options', {}), seed + 7919 * w, batch))
            for w in range(workers)]
        for worker in self.workers:
            worker.start()

    def next(self) -> list[torch.Tensor]:
        while True:
            try:
                return to_tensors(self.queue.get(timeout=10))
            except queue.Empty:
                dead = [w for w in self.workers if not w.is_alive()]
                if dead:
                    raise RuntimeError(f'{len(dead)} data workers died; their error is above') from None

    def ready(self) -> bool:
        """Whether the next batch is there already."""
        return not self.queue.empty()

    def close(self) -> None:
        for worker in self.workers:
            worker.terminate()


def share_gradients(network: nn.Module, processes: int) -> None:
    """Replace each gradient by its mean over all processes, in one exchange."""
    import torch.distributed as distributed
    gradients = [p.grad for p in network.parameters() if p.grad is not None]
    flat = torch.cat([g.flatten() for g in gradients])
    distributed.all_reduce(flat)
    flat /= processes
    for gradient, part in zip(gradients, flat.split([g.numel() for g in gradients])):
        gradient.copy_(part.view_as(gradient))


class Average:
    """Exponential moving average of a network's weights: what is validated and shipped."""

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.decay = decay
        self.steps = 0
        self.weights = {k: v.detach().clone() for k, v in network.state_dict().items()}

    @torch.no_grad()
    def update(self, network: nn.Module) -> None:
        self.steps += 1
        decay = min(self.decay, self.steps / (self.steps + 10))
        state = network.state_dict()
        real = [key for key, value in state.items() if value.is_floating_point()]
        torch._foreach_lerp_([self.weights[key] for key in real], [state[key] for key in real], 1 - decay)
        for key in state.keys() - real:
            self.weights[key].copy_(state[key])


def build(recipe: dict[str, Any]) -> tuple[nn.Module, Callable[..., torch.Tensor]]:
    """The recipe's network, and the loss function of the module that holds it.

    Raises:
        ValueError: the recipe names no network, being a base of others.

    """
    if 'network' not in recipe:
        raise ValueError('this recipe names no network: it is what others have in common')
    module_name, class_name = recipe['network'].split(':')
    module = importlib.import_module(module_name)
    return getattr(module, class_name)(**recipe.get('network_options', {})), module.loss


def load_weights(network: nn.Module, weights: dict[str, torch.Tensor], grown: bool = False) -> list[str]:
    """Give a network weights, which may be of before its heads were trained and then lack them.

    Args:
        network: what is given them.
        weights: by their names.
        grown: the network may be one that has more parts, as ``head: graph`` has more than ``head: pixels``, or more
            channels, see :func:`training.grow.grow`.

    Returns:
        Names of the weights that were not given and that chance began, those of blocks that begin as nothing among them.

    Raises:
        ValueError: they are another network's.

    """
    missing, unexpected = network.load_state_dict(grow(network, weights) if grown else weights, strict=False)
    lacking = [key for key in missing if not key.startswith(HEADS)]
    if unexpected or (lacking and not grown) or len(missing) == len(network.state_dict()):
        raise ValueError(f'weights do not fit the network: missing {lacking}, unexpected {unexpected}')
    return missing


def compile_training(network: nn.Module) -> None:
    """Compile what a loss runs of a network, for batches of one size: half as fast again on two cores.

    Where there is no C++ compiler, the network stays as it is and a line says so.
    """
    if next(network.parameters()).device.type == 'cpu' and shutil.which('g++') is None:
        print('no g++: the network is not compiled, and its training takes longer')
        return
    name = 'forward_stages' if hasattr(network, 'forward_stages') else 'forward'
    setattr(network, name, torch.compile(getattr(network, name), dynamic=False))


def hold(network: nn.Module, free: list[str]) -> list[nn.Parameter]:
    """Keep all parameters from learning but those that are named; returns those that learnt before."""
    held = [parameter for name, parameter in network.named_parameters() if parameter.requires_grad and name not in free]
    for parameter in held:
        parameter.requires_grad_(False)
    return held


def load_backbone(network: nn.Module, weights: dict[str, torch.Tensor]) -> None:
    """Give a network's backbone that of another network's weights, of several the first.

    Raises:
        ValueError: they have none, or one of another form.

    """
    first = next((key.split('backbone.')[0] + 'backbone.' for key in weights if 'backbone.' in key), 'backbone.')
    found = {key[len(first):]: value for key, value in weights.items() if key.startswith(first)}
    try:
        network.backbone.load_state_dict(found)
    except (RuntimeError, AttributeError) as error:
        raise ValueError(f'the weights\' backbone is not the network\'s: {str(error).splitlines()[0]}') from error


def save(path: Path, content: dict[str, Any]) -> None:
    """Write a checkpoint so that a crash in the middle leaves the one before."""
    temporary = path.with_suffix('.tmp')
    torch.save(content, temporary)
    temporary.replace(path)


def train(recipe: dict[str, Any], out: Path, threads: int, workers: int, device: str) -> dict[str, Any]:
    """Train by ``recipe`` into folder ``out``; returns the last validation's figures."""
    from torch.utils.tensorboard import SummaryWriter
    from tqdm import tqdm
    if threads:
        torch.set_num_threads(threads)
    processes, rank = int(os.environ.get('WORLD_SIZE', 1)), int(os.environ.get('RANK', 0))
    if processes > 1:
        import torch.distributed as distributed
        distributed.init_process_group('nccl' if device == 'cuda' else 'gloo')
        if device == 'cuda':
            torch.cuda.set_device(int(os.environ['LOCAL_RANK']))
    torch.manual_seed(recipe['seed'])
    torch.backends.cudnn.benchmark = True
    out.mkdir(parents=True, exist_ok=True)
    (out / 'recipe.yaml').write_text(yaml.safe_dump(recipe, sort_keys=False))
    network, loss = build(recipe)
    task = importlib.import_module(recipe['task'])
    checkpoint = out / 'checkpoint.pt'
    lacking: list[str] = []
    if 'start' in recipe:
        stored = torch.load(recipe['start'], map_location='cpu', weights_only=True)
        lacking = load_weights(network, stored['network'], grown=True)
        chance = tuple(f'{module}.' for module in stored.get('chance', ()))  # see training.from_onnx
        lacking += [key for key in network.state_dict() if key.startswith(chance) and key not in lacking]
        if lacking and rank == 0:
            parts = sorted({'.'.join(key.split('.')[:4]) for key in lacking})
            print(f'{recipe["start"]} has nothing for {", ".join(parts)}: there the training begins from chance')
    elif 'backbone' in recipe:
        load_backbone(network, torch.load(recipe['backbone'], map_location='cpu', weights_only=True)['network'])
    elif not checkpoint.is_file() and hasattr(network, 'initialise'):
        # A prior on the pose; each process draws the same poses.
        poses = next(make_batches(recipe['data'], recipe.get('data_options', {}), recipe['seed'], PRIOR_POSES))[1]
        network.initialise(torch.from_numpy(poses))
    network = network.to(device, memory_format=torch.channels_last)
    # What lies before the first part that learns costs no backward pass.
    kept = tuple(recipe.get('hold', ()))
    hold(network, [name for name, _ in network.named_parameters() if not name.startswith(kept)])
    optimizers = make_optimizers(network, recipe['optimizer'], recipe['learning_rate'], recipe.get('weight_decay', 0.0))
    base_rates = [[g['lr'] for g in o.param_groups] for o in optimizers]
    average = Average(network, recipe.get('average', 0.999))
    if recipe.get('compile', False):
        compile_training(network)
    seen, best, elapsed = 0, math.inf, 0.0
    if checkpoint.is_file():
        state = torch.load(checkpoint, map_location=device, weights_only=True)
        network.load_state_dict(state['network'])
        for optimizer, saved in zip(optimizers, state['optimizers']):
            optimizer.load_state_dict(saved)
        average.weights, average.steps = state['average'], state['average_steps']
        seen, best, elapsed = state['seen'], state['best'], state['elapsed']
        print(f'resuming {out} at {seen} samples')
    validation = task.validation_data(recipe) if rank == 0 else None
    bfloat16 = recipe.get('bf16', False)
    batch, samples = recipe['batch'], recipe['samples']
    loss_options = recipe.get('loss', {})
    seed = recipe['seed'] + seen + 104_729 * rank
    if 'keep' in recipe:
        from training.kept_views import KeptViews
        feeder = KeptViews(recipe, seed, workers, batch // processes, device)
    else:
        feeder = Feeder(recipe, seed, workers, batch // processes)
    writer = SummaryWriter(out / 'tensorboard')
    evaluator, _ = build(recipe)
    evaluator = evaluator.to(device, memory_format=torch.channels_last).eval()
    started, running, steps, figures = time.monotonic() - elapsed, None, 0, {}
    # The schedule runs over samples or, where the recipe gives minutes, over whichever of the two is spent first.
    budget = 60 * recipe.get('minutes', math.inf)
    done = seen >= samples or elapsed >= budget
    # What begins from chance first learns from the rest, which would else be led astray.
    settle = recipe.get('settle', 0) if lacking else 0
    settling = hold(network, lacking) if seen < settle else []
    bar = tqdm(total=samples, initial=seen, unit='img', smoothing=0.02, mininterval=5, disable=rank > 0)

    def checkpoint_now() -> None:
        save(checkpoint, {'network': network.state_dict(), 'optimizers': [o.state_dict() for o in optimizers],
                          'average': average.weights, 'average_steps': average.steps, 'seen': seen, 'best': best,
                          'elapsed': time.monotonic() - started})

    try:
        while not done:
            share = max(seen / samples, (time.monotonic() - started) / budget)
            factor = learning_rate(share, recipe['schedule'], samples, recipe.get('epoch', samples),
                                   recipe.get('step_epochs', 0))
            for optimizer, rates in zip(optimizers, base_rates):
                for group, rate in zip(optimizer.param_groups, rates):
                    group['lr'] = rate * factor
            data = [t.to(device) for t in feeder.next()]
            with torch.autocast(device, torch.bfloat16, enabled=bfloat16):
                value = loss(network, *task.network_input(data), **loss_options)
            for optimizer in optimizers:
                optimizer.zero_grad(set_to_none=True)
            value.backward()
            if processes > 1:
                share_gradients(network, processes)
            nn.utils.clip_grad_norm_(network.parameters(), recipe.get('clip', 5.0))
            for optimizer in optimizers:
                optimizer.step()
            average.update(network)
            before, seen = seen, seen + batch
            if before < settle <= seen:
                for parameter in settling:
                    parameter.requires_grad_(True)
            done = seen >= samples or time.monotonic() - started >= budget
            if processes > 1:
                # The clocks differ: all stop when the first process does.
                stop = torch.tensor(float(done), device=device)
                distributed.all_reduce(stop)
                done = bool(stop > 0)
            steps += 1
            running = value.detach() if running is None else running.lerp(value.detach(), 0.01)
            bar.update(batch)
            if steps % LOG_EVERY == 0:
                # Not at each step: a GPU would wait for what it is to do next.
                writer.add_scalar('loss', float(value.detach()), seen)
            every = recipe.get('validate_every', 50_000)
            if rank == 0 and (seen // every != before // every or done):
                evaluator.load_state_dict(average.weights)
                figures = {'seen': seen, 'seconds': round(time.monotonic() - started), 'loss': round(float(running), 4),
                           **task.validate(evaluator, validation)}
                with (out / 'validation.jsonl').open('a') as log:
                    log.write(json.dumps(figures) + '\n')
                for name, figure in figures.items():
                    writer.add_scalar(f'validation/{name}', figure, seen)
                bar.write(json.dumps(figures))
                if figures[task.CHOOSE_BY] < best:
                    best = figures[task.CHOOSE_BY]
                    save(out / 'best.pt', {'network': average.weights, 'recipe': recipe, 'figures': figures})
                checkpoint_now()
    finally:
        if rank == 0:
            checkpoint_now()
        feeder.close()
        writer.close()
        bar.close()
    return figures


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('recipe', help='a name in training/recipes/ or the path of a YAML file')
    parser.add_argument('--out', type=Path, help='output folder; default runs/RECIPE')
    parser.add_argument('--threads', type=int, default=0, help='threads for the network; 0 leaves it to PyTorch')
    parser.add_argument('--workers', type=int, default=1, help='processes that draw data')
    parser.add_argument('--device', default='cpu', help='cpu or cuda')
    parser.add_argument('--set', nargs='*', default=[], metavar='KEY=VALUE', help='change entries of the recipe; data_options.size=128 changes one of a table')
    arguments = parser.parse_args()
    recipe = load_recipe(arguments.recipe)
    for text in arguments.set:
        change(recipe, text)
    out = arguments.out or Path('runs') / Path(arguments.recipe).stem
    train(recipe, out, arguments.threads, arguments.workers, arguments.device)


if __name__ == '__main__':
    main()
