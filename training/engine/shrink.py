"""A smaller network of a trained larger one, which begins by doing nearly the same.

Stacks are left out and bottlenecks made narrower. Of a bottleneck's channels those stay that are worth most: a
channel's scale after its normalization times the norm of the weights that read it (Liu, Li, Shen, Huang, Yan, Zhang:
"Learning Efficient Convolutional Networks through Network Slimming", ICCV 2017, has the scale alone). What reads them
is fitted, layer by layer, to give what it gave in the larger network (He, Zhang, Sun: "Channel Pruning for Accelerating
Very Deep Neural Networks", ICCV 2017), and the head, of which an exported network has only the last stack's, is fitted
to the joints.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from tqdm import trange

from training.engine.precision import autocast
from training.networks.jgr_p2o import JGRP2O, Residual
from training.networks.losses import joint_loss

#: In ``Residual.body``: convolution, the normalization after it, and the convolution that reads its channels.
BOTTLENECKS = ((2, 3, 5), (5, 6, 8))
#: Places that a layer is fitted on at most, and what its weights' change costs, as a share of its inputs' variance.
PLACES, RIDGE = 24_000, 1e-2
#: Of the head's training: crops in a batch, how often all are seen, and the highest learning rate.
BATCH, EPOCHS, RATE = 64, 14, 4e-3
#: Crops that the head begins by, and the log odds that a pixel's word loses with each half side that its joint is away.
FIRST_CROPS, ODDS_PER_DISTANCE = 400, 8.0


def cut(network: nn.Module, weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Those of a larger network's weights that a network has, its residual modules' bottlenecks as wide as its own."""
    state = network.state_dict()
    kept = {key: value for key, value in weights.items() if key in state}
    for name, module in _residuals(network):
        for bottleneck in BOTTLENECKS:
            written, normalized, read = (f'{name}.body.{i}' for i in bottleneck)
            places = _worthiest(weights, normalized, read, module.middle)
            kept[f'{written}.weight'] = kept[f'{written}.weight'][places]
            for statistic in ('weight', 'bias', 'running_mean', 'running_var'):
                kept[f'{normalized}.{statistic}'] = weights[f'{normalized}.{statistic}'][places]
            kept[f'{read}.weight'] = kept[f'{read}.weight'][:, places]
    return kept


def _worthiest(weights: dict[str, Tensor], normalized: str, read: str, count: int) -> Tensor:
    """The channels (count,) of a bottleneck that are worth most, in order."""
    worth = weights[f'{normalized}.weight'].abs() * weights[f'{read}.weight'].flatten(2).norm(dim=(0, 2))
    return worth.topk(count).indices.sort().values


def _residuals(network: nn.Module) -> Iterator[tuple[str, Residual]]:
    return ((name, module) for name, module in network.named_modules() if isinstance(module, Residual))


@torch.no_grad()
def refit_bottlenecks(network: JGRP2O, larger: JGRP2O, crops: Tensor) -> None:
    """Fit what reads a network's narrowed bottlenecks to give what the larger network gives of crops (B, 1, S, S).

    Both in evaluation; from the first layer to the last, each on what those before it give once they are fitted.
    """
    wanted: dict[str, Tensor] = {}
    weights, modules = larger.state_dict(), dict(_residuals(network))
    hooks = []
    for name, module in _residuals(larger):
        if name in modules:
            for _, _, read in BOTTLENECKS:
                key = f'{name}.body.{read}'
                hooks.append(module.body[read].register_forward_hook(_keep(wanted, key)))
    for name, module in modules.items():
        hooks.append(module.register_forward_pre_hook(_refit_before(name, weights, wanted)))
    try:
        larger.features(crops)
        network.features(crops)
    finally:
        for hook in hooks:
            hook.remove()


def _keep(wanted: dict[str, Tensor], key: str):
    def hook(_: nn.Module, __: tuple[Tensor, ...], output: Tensor) -> None:
        wanted[key] = output

    return hook


def _refit_before(name: str, weights: dict[str, Tensor], wanted: dict[str, Tensor]):
    def hook(module: Residual, inputs: tuple[Tensor]) -> None:
        body, x = module.body, inputs[0]
        (_, _, read), (_, normalized, last) = BOTTLENECKS
        kept = _worthiest(weights, f'{name}.body.{normalized}', f'{name}.body.{last}', module.middle)
        x = body[:read](x)
        _fit(body[read], x, wanted.pop(f'{name}.body.{read}')[:, kept])
        _fit(body[last], body[read:last](x), wanted.pop(f'{name}.body.{last}'))

    return hook


def _fit(layer: nn.Conv2d, inputs: Tensor, wanted: Tensor) -> None:
    """Change a convolution's weights so that it gives what is wanted of inputs, in the least squares."""
    padding = layer.padding[0] if isinstance(layer.padding, tuple) else 0
    rows = F.unfold(inputs, layer.kernel_size, padding=padding).transpose(1, 2).flatten(0, 1)
    off = (wanted - layer(inputs)).flatten(2).transpose(1, 2).flatten(0, 1)
    places = torch.randperm(len(rows))[:PLACES]
    rows, off = rows[places].double(), off[places].double()
    normal = rows.T @ rows
    normal.diagonal().add_(RIDGE * float(normal.diagonal().mean()))
    change = torch.linalg.solve(normal, rows.T @ off)
    layer.weight += change.T.reshape(layer.weight.shape).to(layer.weight.dtype)


def fit_head(network: JGRP2O, crops: Tensor, truth: Tensor) -> float:
    """Train a network's last head alone, on crops (N, 1, S, S) and their joints (N, J, 3) in cube coordinates.

    It begins as what is best for all pixels alike, in the least squares. Returns the loss of the last epoch.
    """
    features, pixels = _run(network, crops)
    head = network.heads[-1]
    with torch.no_grad():
        rows = features[:FIRST_CROPS].float().transpose(1, 2).flatten(0, 1)
        rows = torch.cat([rows, torch.ones(len(rows), 1)], 1)
        offsets = (truth[:FIRST_CROPS, :, :, None] - pixels[:FIRST_CROPS, None]).permute(0, 3, 1, 2).flatten(0, 1)
        wanted = torch.cat([offsets.flatten(1), -ODDS_PER_DISTANCE * offsets.norm(dim=2)], 1)
        normal = rows.T @ rows
        normal.diagonal().add_(1e-3 * float(normal.diagonal().mean()))
        solved = torch.linalg.solve(normal, rows.T @ wanted)
        split = [3 * head.joints, head.joints]
        for layer, part in zip((head.offsets, head.weights), solved.split(split, 1)):
            layer.weight.copy_(part[:-1].T[..., None, None])
            layer.bias.copy_(part[-1])
    optimizer = torch.optim.AdamW(head.parameters(), weight_decay=1e-4)
    steps = len(crops) // BATCH
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=EPOCHS * steps, pct_start=0.1)
    mean = 0.0
    for _ in trange(EPOCHS, desc='head', unit='epoch'):
        mean = 0.0
        for chosen in torch.randperm(len(crops))[: steps * BATCH].split(BATCH):
            with autocast('cpu'):
                joints, _, _ = head(features[chosen][..., None], pixels[chosen])
            value = joint_loss(joints, truth[chosen])
            optimizer.zero_grad()
            value.backward()
            optimizer.step()
            schedule.step()
            mean += value.item() / steps
    return mean


@torch.no_grad()
def _run(network: JGRP2O, crops: Tensor) -> tuple[Tensor, Tensor]:
    """Features (N, C, P) in bfloat16 that the last head sees, and pixels' cube coordinates (N, 3, P)."""
    features, pixels = [], []
    for some in crops.split(2 * BATCH):
        with autocast('cpu'):
            features.append(network.features(some)[-1].to(torch.bfloat16).flatten(2))
        pixels.append(network.pixels(some.float()))
    return torch.cat(features), torch.cat(pixels)
