"""Train what a pose network says beside the joints: ``python -m training.heads_task WEIGHTS OUT.pt``.

Everything but the heads (``training.networks.heads``) stays as it is. Half of the crops are mirrored, and the
chirality head learns which; a certainty head, where the network has one, learns how far off the joints are.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from training.export import load_trained
from training.networks.heads import HEADS
from training.pose_task import validation_set
from training.train import Feeder


@torch.no_grad()
def look(network: nn.Module, crops: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """What the fixed part makes of (B, S, S) crops: joints, spread and features, see the networks' ``look``."""
    with torch.autocast('cpu', torch.bfloat16):
        seen = network.look(crops[:, None].contiguous(memory_format=torch.channels_last))
    return tuple(part.float() for part in seen)


def heads_loss(network: nn.Module, crops: torch.Tensor, truth: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
    """Cross entropy of the side (B,), plus the Laplace log likelihood of the joints' errors under a certainty head."""
    joints, spread, features = look(network, crops)
    value = torch.zeros(())
    if hasattr(network, 'certainty'):
        spread = network.certainty(features, joints)
        errors = (joints - truth).norm(dim=2)
        # A mirrored crop's joints are nobody's: its errors say nothing.
        value = (spread.log() + errors / spread)[right].mean()
    return value + F.binary_cross_entropy_with_logits(network.chirality(features, joints, spread.detach()), right.float())


@torch.no_grad()
def wrong_share(network: nn.Module, crops: np.ndarray) -> tuple[float, float]:
    """Share of validation crops whose side is told wrongly: by one look, and by a look at the crop and its mirror image."""
    found = []
    for flipped in (False, True):
        images = torch.from_numpy(np.ascontiguousarray(crops[:, :, ::-1]) if flipped else crops)
        parts = []
        for i in range(0, len(images), 128):
            joints, spread, features = look(network, images[i:i + 128])
            parts.append(network.chirality(features, joints, spread))
        found.append(torch.cat(parts))
    once = 0.5 * float((found[0] < 0).float().mean() + (found[1] > 0).float().mean())
    return once, float((found[0] < found[1]).float().mean())


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('weights', type=Path, help='best.pt of a pose network')
    parser.add_argument('out', type=Path, help='where to write the weights with the trained heads')
    parser.add_argument('--samples', type=int, default=60_000)
    parser.add_argument('--threads', type=int, default=1)
    parser.add_argument('--seed', type=int, default=77)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(arguments.seed)
    network = load_trained(arguments.weights).to(memory_format=torch.channels_last)
    stored = torch.load(arguments.weights, map_location='cpu', weights_only=True)
    recipe = stored['recipe']
    batch = 64
    feeder = Feeder(recipe, arguments.seed, 1, batch)
    heads = [head for name, head in network.named_children() if f'{name}.' in HEADS]
    optimizer = torch.optim.AdamW([p for head in heads for p in head.parameters()], 2e-3, weight_decay=0.02)
    steps = arguments.samples // batch
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    begun, losses = time.monotonic(), []
    for step in range(steps):
        crops, truth, *_ = feeder.next()
        right = torch.rand(len(crops)) < 0.5
        crops[~right] = crops[~right].flip(2)
        for head in heads:
            head.train()
        value = heads_loss(network, crops, truth, right)
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        schedule.step()
        network.eval()
        losses.append(float(value.detach()))
        if step % 100 == 99:
            print(f'{(step + 1) * batch} crops, loss {np.mean(losses[-100:]):.4f}, {time.monotonic() - begun:.0f} s', flush=True)
    feeder.close()
    once, twice = wrong_share(network, validation_set(network.input_size)[0])
    print(f'side wrong on validation: {100 * once:.2f} % by one look, {100 * twice:.2f} % with the mirror image')
    stored['network'] = network.state_dict()
    stored['figures'] |= {'side_wrong_percent': round(100 * once, 2), 'side_wrong_twice_percent': round(100 * twice, 2)}
    torch.save(stored, arguments.out)


if __name__ == '__main__':
    main()
