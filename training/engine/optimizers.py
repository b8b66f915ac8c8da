"""Optimizers by name: Adam as the papers have it, AdamW, SGD, and Muon for convolutions."""

from __future__ import annotations

import torch
import torch.distributed as distributed
from torch import Tensor, nn

from training.registry import TrainingError, nearest

#: What :func:`make_optimizers` knows.
OPTIMIZERS = ('adam', 'adamw', 'sgd', 'muon')


def _orthogonalize(matrices: Tensor, steps: int = 5) -> Tensor:
    """Push the singular values of (N, R, C), R <= C, towards one by a quintic Newton-Schulz iteration (Jordan 2024).

    In bfloat16, where that is four times as fast, and no worse: the result is a direction. Processors without AVX-512
    only imitate it, ten times as slowly.
    """
    a, b, c = 3.4445, -4.7750, 2.0315
    quick = matrices.is_cuda or torch.backends.cpu.get_cpu_capability() == 'AVX512'
    x = (matrices / (matrices.norm(dim=(1, 2), keepdim=True) + 1e-7)).to(torch.bfloat16 if quick else torch.float32)
    for _ in range(steps):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x.to(matrices.dtype)


def _orthogonalize_together(stacks: list[Tensor]) -> list[Tensor]:
    """Orthogonalize stacks of matrices (N, R, C); of several processes each does its share of every stack.

    The iteration takes as long as a small batch's gradient, and every process would do the same one.
    """
    processes, rank = (distributed.get_world_size(), distributed.get_rank()) if distributed.is_initialized() else (1, 0)
    flat = torch.zeros(sum(stack.numel() for stack in stacks), device=stacks[0].device)
    done = [part.view_as(stack) for part, stack in zip(flat.split([stack.numel() for stack in stacks]), stacks)]
    turn = 0
    for stack, out in zip(stacks, done):
        # A stack's first matrix goes to another process than the last stack's last one, so that all have as many.
        mine = slice((rank - turn) % processes, None, processes)
        turn += len(stack)
        part = stack[mine]
        if len(part):
            tall = part.shape[1] > part.shape[2]
            out[mine] = _orthogonalize(part.mT).mT if tall else _orthogonalize(part)
    if processes > 1:
        distributed.all_reduce(flat)
    return done


class Muon(torch.optim.Optimizer):
    """Muon (Jordan et al. 2024): momentum made orthogonal, for weights of two or more dimensions.

    A convolution's weight is seen as a matrix of output channels by everything else, and weights of one shape go
    through the iteration together. ``torch.optim.Muon`` (2.13) takes matrices only, and goes through it in bfloat16
    always: with views of JGR-P2O's weights a step took 4.9 s on one core with AVX2, and 0.46 s here. Every process
    would repeat it too, which these share.
    """

    def __init__(self, params, lr: float, momentum: float = 0.95, weight_decay: float = 0.0) -> None:
        super().__init__(params, {'lr': lr, 'momentum': momentum, 'weight_decay': weight_decay})

    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            weights = [weight for weight in group['params'] if weight.grad is not None]
            if not weights:
                continue
            for weight in weights:
                if not self.state[weight]:
                    self.state[weight]['momentum'] = torch.zeros_like(weight)
            gradients = [weight.grad for weight in weights]
            momenta = [self.state[weight]['momentum'] for weight in weights]
            torch._foreach_lerp_(momenta, gradients, 1 - group['momentum'])
            by_shape: dict[torch.Size, list[tuple[Tensor, Tensor]]] = {}
            for weight, update in zip(weights, torch._foreach_lerp(gradients, momenta, group['momentum'])):
                by_shape.setdefault(weight.shape, []).append((weight, update.reshape(len(update), -1)))
            stacks = [torch.stack([update for _, update in pairs]) for pairs in by_shape.values()]
            torch._foreach_mul_(weights, 1 - group['lr'] * group['weight_decay'])
            for pairs, updates in zip(by_shape.values(), _orthogonalize_together(stacks)):
                scale = max(1.0, updates.shape[1] / updates.shape[2]) ** 0.5
                same = [weight for weight, _ in pairs]
                torch._foreach_add_(same, list(updates.view(-1, *same[0].shape)), alpha=-group['lr'] * scale)


def make_optimizers(
    network: nn.Module, name: str, rate: float, weight_decay: float = 0.0
) -> list[torch.optim.Optimizer]:
    """Make the optimizers of a recipe.

    Args:
        network: what is trained.
        name: ``adam``, ``adamw``, ``sgd`` (momentum 0.9) or ``muon``. With ``muon``, ``rate`` is Muon's for
            convolutions and matrices; the rest gets AdamW at a tenth of it.
        rate: learning rate.
        weight_decay: as the optimizer defines it.

    Raises:
        TrainingError: there is no optimizer of that name.

    """
    if name not in OPTIMIZERS:
        raise TrainingError(f'there is no optimizer {name!r}{nearest(name, OPTIMIZERS)}')
    params = [p for p in network.parameters() if p.requires_grad]
    if name == 'adam':
        return [torch.optim.Adam(params, rate, weight_decay=weight_decay)]
    if name == 'adamw':
        return [torch.optim.AdamW(params, rate, weight_decay=weight_decay)]
    if name == 'sgd':
        return [torch.optim.SGD(params, rate, momentum=0.9, weight_decay=weight_decay)]
    matrices = [p for p in params if p.ndim >= 2]
    return [
        Muon(matrices, rate, weight_decay=weight_decay),
        torch.optim.AdamW([p for p in params if p.ndim < 2], rate / 10, weight_decay=0.0),
    ]
