"""Weights of a narrower network for a wider one of its kind, which then computes what the narrower one does.

New channels are initialized at random, and nothing that was there before reads them yet (Chen, Goodfellow, Shlens:
"Net2Net", ICLR 2016, whose new channels are copies; these differ from one another from the start). Blocks that are new
begin as nothing (``training.networks.resnet``), and stacks that are new as the last one that was there. A recipe's
``start`` takes such weights.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from training.registry import TrainingError


def grow(network: nn.Module, weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Widen weights to a network's own shapes, where these have more channels.

    Args:
        network: what is to take them; what is new is as it has it.
        weights: by their names.

    Returns:
        The same names and those of stacks that are new, each of the network's shape; weights that the network does not
        have are as they were.

    Raises:
        TrainingError: a weight has another number of dimensions than the network's, or more channels.

    """
    state = network.state_dict()
    # Of modules with inputs besides the features, which come after these.
    extra = {name: module.extra_inputs for name, module in network.named_modules() if hasattr(module, 'extra_inputs')}
    weights = weights | _stacked(network, weights)
    grown = dict(weights)
    for key, old in weights.items():
        new = state.get(key, old)
        if new.shape != old.shape:
            if new.ndim != old.ndim or any(n < o for n, o in zip(new.shape, old.shape)):
                raise TrainingError(
                    f'weights do not fit the network: {key} {tuple(old.shape)} cannot grow to {tuple(new.shape)}'
                )
            last = next((count for name, count in extra.items() if key.startswith(f'{name}.')), 0)
            grown[key] = _placed(old, new.clone(), last)
    return grown


def _stacked(network: nn.Module, weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Weights of stacks that only the network has: those of the last stack that ``weights`` has."""
    new: dict[str, Tensor] = {}
    for name, module in network.named_modules():
        for part in getattr(module, 'stacked', ()):
            start = f'{name}.{part}.'
            had = {key: value for key, value in weights.items() if key.startswith(start)}
            numbers = {int(key[len(start) :].split('.')[0]) for key in had}
            if numbers:
                last = f'{start}{max(numbers)}.'
                new |= {
                    f'{start}{number}.{key[len(last) :]}': value.clone()
                    for key, value in had.items()
                    if key.startswith(last)
                    for number in range(max(numbers) + 1, len(getattr(module, part)))
                }
    return new


def _placed(old: Tensor, new: Tensor, last: int) -> Tensor:
    """Write a narrower weight into a wider one; its last ``last`` inputs stay the last ones."""
    inputs = min(1, old.ndim - 1)
    count = old.shape[inputs]
    places = torch.cat([torch.arange(count - last), torch.arange(new.shape[inputs] - last, new.shape[inputs])])
    if old.ndim == 1:
        new[places] = old.to(new.dtype)
    else:
        new[: len(old)] = 0
        new[: len(old), places] = old.to(new.dtype)
    return new
