"""Averages of weights: a moving one during a training, one of several trainings, and their normalizations'
statistics.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, update_bn

from training.engine.weights import State
from training.registry import TrainingError

#: The average's decay after n steps is at most n / (n + WARM_UP_STEPS): it forgets the random beginning soon.
WARM_UP_STEPS = 10


def moving_average(network: nn.Module, decay: float) -> AveragedModel:
    """Make the exponential moving average of a network's weights and buffers: what is validated and shipped.

    Its ``module`` is a network in evaluation; ``update_parameters`` follows.
    """

    @torch.no_grad()
    def lerp(averages: list[Tensor], current: list[Tensor], _: Tensor | int) -> None:
        steps = int(average.n_averaged)  # on the CPU: a GPU need not be waited for
        share = 1 - min(decay, steps / (steps + WARM_UP_STEPS))
        if averages[0].is_floating_point():
            torch._foreach_lerp_(averages, current, share)
        else:
            torch._foreach_copy_(averages, current)

    average = AveragedModel(network, multi_avg_fn=lerp, use_buffers=True)
    average.module.eval().requires_grad_(False)
    return average


def mean_weights(trained: Sequence[State], shares: Sequence[float]) -> State:
    """Average weights by name, each network's as its share of all says (model soups, Wortsman et al., ICML 2022).

    Trainings that part from the same weights end in the same valley of the loss, and their mean lies lower in it than
    any of them. What only some have, as weights of an exported network lack what serves in training alone, is the mean
    of these.

    Raises:
        TrainingError: they are not of networks of one shape, or the first lacks something.

    """
    first = trained[0]
    for other in trained[1:]:
        if any(key not in first or first[key].shape != value.shape for key, value in other.items()):
            raise TrainingError('the weights are of networks of different shapes')

    def mean(key: str) -> Tensor:
        parts = [(share, weights[key]) for share, weights in zip(shares, trained) if key in weights]
        return sum(share * value for share, value in parts) / sum(share for share, _ in parts)

    return {key: mean(key) if value.is_floating_point() else value.clone() for key, value in first.items()}


@torch.no_grad()
def renew_statistics(network: nn.Module, batches: Iterable[list[Tensor]], run: nn.Module) -> None:
    """Give normalizations the mean statistics of what reaches them in training; others stay as they are.

    Between weights that are far from one another the mean's activations are of other sizes than its normalizations know
    (Izmailov et al., "Averaging Weights Leads to Wider Optima and Better Generalization", UAI 2018, section 3.2).

    Args:
        network: comes back in evaluation.
        batches: of data.
        run: holds the network, and runs it on a batch as a training does.

    """
    norms = [module for module in network.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
    before = [{key: value.clone() for key, value in norm.state_dict().items()} for norm in norms]
    update_bn(([batch] for batch in batches), run)
    for norm, state in zip(norms, before):
        if not norm.num_batches_tracked:  # of a head that is trained on its own
            norm.load_state_dict(state)
    network.eval()
