"""Weights: where a network's come from, and which of them learn."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from training.engine.grow import grow
from training.engine.plan import Plan, plan
from training.networks.heads import HEADS
from training.recipe import Options, Recipe, make_recipe
from training.registry import TrainingError

#: Weights by their names.
State = dict[str, Tensor]


@dataclass(frozen=True)
class Trained:
    """What a training leaves in ``best.pt``.

    Attributes:
        network: the weights.
        recipe: that they were trained by.
        figures: of the last validation, with ``seen`` samples.
        random: modules that serve in training only and that no file had weights for, see ``training.export.from_onnx``.

    """

    network: State
    recipe: Recipe
    figures: dict[str, float]
    random: tuple[str, ...] = ()

    def save(self, path: Path) -> None:
        """Write it so that a crash in the middle leaves the file before."""
        content = {'network': self.network, 'recipe': self.recipe.content(), 'figures': self.figures}
        save_atomically(path, {**content, 'random': list(self.random)})

    def build(self) -> tuple[Plan, nn.Module]:
        """Make the recipe's network with these weights, in evaluation."""
        parts = plan(self.recipe.without_start())
        network = parts.build()
        load_weights(network, self.network)
        return parts, network.eval()


def save_atomically(path: Path, content: Options) -> None:
    """Write a file of PyTorch so that a crash in the middle leaves the one before."""
    temporary = path.with_suffix('.tmp')
    torch.save(dict(content), temporary)
    temporary.replace(path)


def read_trained(path: Path) -> Trained:
    """Read a ``best.pt``.

    Raises:
        TrainingError: it is missing, or none.

    """
    try:
        stored = torch.load(path, map_location='cpu', weights_only=True)
        return Trained(
            stored['network'], make_recipe(stored['recipe'], str(path)), stored['figures'], tuple(stored['random'])
        )
    except OSError as error:
        raise TrainingError(f'{path} cannot be read: {error}') from error
    except (KeyError, TypeError, RuntimeError) as error:
        raise TrainingError(f'{path} is no best.pt of a training ({error})') from error


def load_weights(network: nn.Module, weights: State, grown: bool = False) -> list[str]:
    """Give a network weights, which may be of before its heads were trained and then lack them.

    Args:
        network: what is given them.
        weights: by their names.
        grown: the network may be one that has more parts, as ``head: graph`` has more than ``head: pixels``, or more
            channels, see :func:`training.engine.grow.grow`.

    Returns:
        Names of the weights that were not given and stay as they were, at random.

    Raises:
        TrainingError: they are another network's.

    """
    try:
        missing, unexpected = network.load_state_dict(grow(network, weights) if grown else weights, strict=False)
    except RuntimeError as error:
        raise TrainingError(f'weights do not fit the network: {error}') from error
    lacking = [key for key in missing if not key.startswith(HEADS)]
    if unexpected or (lacking and not grown) or len(missing) == len(network.state_dict()):
        raise TrainingError(f'weights do not fit the network: missing {lacking}, unexpected {unexpected}')
    return missing


def load_backbone(network: nn.Module, weights: State) -> None:
    """Give a network's backbone that of another network's weights, of several the first.

    Raises:
        TrainingError: they have none, or one of another form.

    """
    first = next((key.split('backbone.')[0] + 'backbone.' for key in weights if 'backbone.' in key), 'backbone.')
    found = {key[len(first) :]: value for key, value in weights.items() if key.startswith(first)}
    try:
        network.backbone.load_state_dict(found)
    except (RuntimeError, AttributeError) as error:
        raise TrainingError(f"the weights' backbone is not the network's: {str(error).splitlines()[0]}") from error


def load_start(network: nn.Module, path: Path) -> list[str]:
    """Give a network the weights that a training starts from; returns names of those that stay random."""
    trained = read_trained(path)
    random = load_weights(network, trained.network, grown=True)
    modules = tuple(f'{module}.' for module in trained.random)
    return random + [key for key in network.state_dict() if key.startswith(modules) and key not in random]


def freeze(network: nn.Module, names: Collection[str]) -> list[nn.Parameter]:
    """Keep parameters of these names from learning; returns those of them that learnt before."""
    frozen = [weight for name, weight in network.named_parameters() if weight.requires_grad and name in names]
    for parameter in frozen:
        parameter.requires_grad_(False)
    return frozen


def named(network: nn.Module, beginnings: Iterable[str]) -> list[str]:
    """Names of the parameters that begin so."""
    return [name for name, _ in network.named_parameters() if name.startswith(tuple(beginnings))]
