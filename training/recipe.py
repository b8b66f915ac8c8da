"""Recipes: what a training is, typed. Files are in ``training/recipes/``; an unknown key is an error."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import get_type_hints

import yaml

from training.options import Value, check_options
from training.registry import TrainingError, nearest

RECIPES = Path(__file__).parent / 'recipes'
#: Tables of a recipe that are options of one of its parts.
OPTIONS_OF = {'network': ('network_options', 'loss_options'), 'data': ('data_options',)}
#: Options of one part, by name.
Options = Mapping[str, Value]


@dataclass(frozen=True)
class Recipe:
    """A training.

    Attributes:
        name: of the file that it was read from; a file need not say it.
        task: a name of ``training.tasks.TASKS``, or a module of one's own.
        data: which of the task's data sources it learns from.
        network: a name of ``training.networks.NETWORKS``, or a class of one's own as ``package.module:Class``.
        network_options: what the network takes.
        data_options: what the data source takes.
        loss_options: what the network's loss takes, or the task's where the network has none of its own.
        seed: of weights and data.
        samples: examples that are learnt from, over all epochs.
        minutes: of training, where these are spent before the samples are.
        batch: examples in a step, shared out among all processes.
        optimizer: ``adam``, ``adamw``, ``sgd`` or ``muon``, see :mod:`training.engine.optimizers`.
        learning_rate: at its greatest.
        weight_decay: as the optimizer defines it.
        clip_norm: greatest norm of all gradients together.
        schedule: of the learning rate, see :mod:`training.engine.schedules`.
        epoch: samples in an epoch, for schedules by epochs; 0 stands for all samples.
        step_epochs: of the schedule ``steps``: epochs between two steps, or at which they are.
        ema_decay: of the exponential moving average of weights that is validated and shipped; 0 for none.
        bf16: run the network in bfloat16 where PyTorch's autocast does and the device computes in it.
        compile: compile what the loss runs of the network.
        start: weights to begin from, a ``best.pt``; the network may be larger, see :mod:`training.engine.grow`.
        backbone: weights whose backbone the network's is to begin as.
        freeze: parameters whose names begin so stay as they begin.
        freeze_started_samples: for so many samples only what ``start`` has nothing for learns.
        cached_views: views that are cached on the device and cut anew for every batch; 0 draws every batch.
        validate_every: samples between two validations.
        best_by: the validation's figure by which the best weights are chosen, less is better; the task's by default.

    """

    name: str = ''
    task: str = ''
    data: str = ''
    network: str = ''
    network_options: Options = field(default_factory=dict)
    data_options: Options = field(default_factory=dict)
    loss_options: Options = field(default_factory=dict)
    seed: int = 1
    samples: int = 0
    minutes: float = math.inf
    batch: int = 32
    optimizer: str = 'adamw'
    learning_rate: float = 1e-3
    weight_decay: float = 0.0
    clip_norm: float = 5.0
    schedule: str = 'cosine'
    epoch: int = 0
    step_epochs: int | list[int] = 0
    ema_decay: float = 0.999
    bf16: bool = False
    compile: bool = False
    start: str = ''
    backbone: str = ''
    freeze: list[str] = field(default_factory=list)
    freeze_started_samples: int = 0
    cached_views: int = 0
    validate_every: int = 50_000
    best_by: str = ''

    @property
    def epoch_samples(self) -> int:
        """Samples in an epoch."""
        return self.epoch or self.samples

    def without_start(self) -> Recipe:
        """Return the recipe of the same network that begins at random: its weights are at hand, or come from
        elsewhere.
        """
        return replace(self, start='', backbone='')

    def content(self) -> dict[str, Value]:
        """Return what it says, as a file could: what is as by default is left out."""
        default = Recipe()
        return {key: value for key, value in asdict(self).items() if value != getattr(default, key)}

    def digest(self) -> str:
        """Return the sha256 of what it says, whatever its name and the order of its keys."""
        content = replace(self, name='').content()
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()

    def changes(self) -> dict[str, Value]:
        """Return what it says otherwise than the file of its name does today, and all where there is no such file."""
        try:
            base = load_recipe(self.name).content()
        except TrainingError:
            base = {}
        own = self.content()
        return {key: own.get(key) for key in sorted({*own, *base}) if own.get(key) != base.get(key)}


def make_recipe(content: Mapping[str, Value], where: str = 'recipe') -> Recipe:
    """Make a recipe of what a file says.

    Raises:
        TrainingError: a key is not known, with the nearest that is, or a value is of another type.

    """
    check_options(content, get_type_hints(Recipe), where)
    return Recipe(**content)


def load_recipe(name: str, changes: Iterable[str] = ()) -> Recipe:
    """Read a recipe by its name in ``training/recipes/`` or by its path.

    A recipe's ``base`` names another one that it changes: what both say is as this one has it, table by table. Where it
    names another ``network`` or ``data``, the base's options of that part are not taken over.

    Args:
        name: of the recipe, or a path that ends in ``.yaml``.
        changes: each ``KEY=VALUE``, or ``TABLE.KEY=VALUE`` for an entry of a table.

    Raises:
        TrainingError: there is no such recipe, it is no table, or something in it or in the changes is not known.

    """
    content = _read(name)
    for text in changes:
        content = _merge(content, _parse_change(text))
    return replace(make_recipe(content, f'recipe {name}'), name=Path(name).stem)


def _read(name: str) -> dict[str, Value]:
    path = Path(name) if name.endswith('.yaml') else RECIPES / f'{name}.yaml'
    if not path.is_file():
        known = [recipe.stem for recipe in RECIPES.glob('*.yaml')]
        raise TrainingError(f'there is no recipe {path}{nearest(Path(name).stem, known)}')
    try:
        content = yaml.safe_load(path.read_text())
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise TrainingError(f'{path} is no YAML: {error}') from error
    if not isinstance(content, dict):
        raise TrainingError(f'{path} is no table of a recipe')
    # Each file by itself, so that the message names the file that has the mistake.
    make_recipe({key: value for key, value in content.items() if key != 'base'}, f'recipe {path}')
    if 'base' not in content:
        return content
    base = _read(str(content.pop('base')))
    foreign = {
        options
        for part, tables in OPTIONS_OF.items()
        if base.get(part, content.get(part)) != content.get(part, base.get(part))
        for options in tables
    }
    return _merge({key: value for key, value in base.items() if key not in foreign}, content)


def _parse_change(text: str) -> dict[str, Value]:
    name, equals, value = text.partition('=')
    if not equals:
        raise TrainingError(f'--set {text!r} is not KEY=VALUE')
    try:
        change: Value = yaml.safe_load(value)
    except yaml.YAMLError as error:
        raise TrainingError(f'--set {text!r}: {value!r} is no YAML') from error
    if isinstance(change, str):
        with suppress(ValueError):
            change = float(change)  # YAML 1.1 takes 1e-4, which has no point, for a text
    for key in reversed(name.split('.')):
        change = {key: change}
    return change


def _merge(base: Mapping[str, Value], change: Mapping[str, Value]) -> dict[str, Value]:
    both = {
        key: _merge(base[key], value) if isinstance(value, dict) and isinstance(base.get(key), dict) else value
        for key, value in change.items()
    }
    return {**base, **both}
