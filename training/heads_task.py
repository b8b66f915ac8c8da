"""Train what a pose network says beside the joints: ``python -m training.heads_task WEIGHTS OUT.pt``.

Everything but the heads (``training.networks.heads``) stays as it is, so that it need see each crop and its mirror
image only once. The chirality head learns which of the two is the right hand; a certainty head, where the network has
one, learns how far off the joints are.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from training.export import load_trained
from training.networks.heads import HEADS
from training.pose_task import validation_set
from training.train import Feeder

#: Crops in a batch, each with its mirror image; how often the heads see all of them.
BATCH, EPOCHS = 64, 12


class Looks(NamedTuple):
    """What the fixed part of a network makes of crops, first of all as they are and then of their mirror images."""

    features: Tensor  #: (2, N, C) or (2, N, J, C), half precision
    joints: Tensor    #: (2, N, J, 3)
    spread: Tensor    #: (2, N, J)


@torch.no_grad()
def look(network: nn.Module, crops: Tensor) -> Looks:
    """Look at crops (N, S, S) and at their mirror images."""
    seen = []
    for image in (crops, crops.flip(2)):
        parts = []
        for some in image[:, None].split(2 * BATCH):
            with torch.autocast('cpu', torch.bfloat16):
                joints, spread, features = network.look(some.contiguous(memory_format=torch.channels_last))
            parts.append(Looks(features.half(), joints.float(), spread.float()))
        seen.append([torch.cat(column) for column in zip(*parts)])
    return Looks(*(torch.stack(both) for both in zip(*seen)))


def side_odds(network: nn.Module, looks: Looks) -> Tensor:
    """Log odds (2, N) of a right hand, from what was seen of crops and of their mirror images."""
    return network.chirality(looks.features.flatten(0, 1).float(), looks.joints.flatten(0, 1),
                             looks.spread.flatten(0, 1)).unflatten(0, looks.joints.shape[:2])


def judged(network: nn.Module, looks: Looks) -> Looks:
    """The looks with the joints' errors as a certainty head expects them, where the network has one."""
    if not hasattr(network, 'certainty'):
        return looks
    return looks._replace(spread=torch.stack([network.certainty(features.float(), joints)
                                              for features, joints in zip(looks.features, looks.joints)]))


def heads_loss(network: nn.Module, looks: Looks, truth: Tensor) -> Tensor:
    """Cross entropy of the side, plus the Laplace log likelihood of the joints' errors under a certainty head.

    Args:
        network: the network.
        looks: at N crops and their mirror images.
        truth: (N, J, 3) the crops' joints. A mirror image's are nobody's, and its errors say nothing.

    """
    looks = judged(network, looks)
    odds = side_odds(network, looks._replace(spread=looks.spread.detach()))
    value = F.softplus(torch.cat([-odds[0], odds[1]])).mean()
    if hasattr(network, 'certainty'):
        value = value + (looks.spread[0].log() + (looks.joints[0] - truth).norm(dim=2) / looks.spread[0]).mean()
    return value


@torch.no_grad()
def wrong_share(network: nn.Module, looks: Looks) -> tuple[float, float, float]:
    """How the side is told: share wrong by one look and by a look at the mirror image too; cross entropy of one look."""
    own, mirrored = side_odds(network, judged(network, looks))
    odds = torch.cat([own, -mirrored])
    return float((odds < 0).float().mean()), float((own < mirrored).float().mean()), float(F.softplus(-odds).mean())


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('weights', type=Path, help='best.pt of a pose network')
    parser.add_argument('out', type=Path, help='where to write the weights with the trained heads')
    parser.add_argument('--samples', type=int, default=48_000, help='crops that are drawn; a thousand take 11 MB')
    parser.add_argument('--threads', type=int, default=1)
    parser.add_argument('--seed', type=int, default=77)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(arguments.seed)
    network = load_trained(arguments.weights).to(memory_format=torch.channels_last)
    stored = torch.load(arguments.weights, map_location='cpu', weights_only=True)
    begun, seen, truths = time.monotonic(), [], []
    feeder = Feeder(stored['recipe'], arguments.seed, 1, 4 * BATCH)
    while sum(map(len, truths)) < arguments.samples:
        crops, truth, *_ = feeder.next()
        seen.append(look(network, crops))
        truths.append(truth)
        if len(truths) % 20 == 0:
            print(f'{sum(map(len, truths))} crops looked at, {time.monotonic() - begun:.0f} s', flush=True)
    feeder.close()
    looks, truth = Looks(*(torch.cat(column, 1) for column in zip(*seen))), torch.cat(truths)
    del seen
    heads = [head for name, head in network.named_children() if f'{name}.' in HEADS]
    optimizer = torch.optim.AdamW([p for head in heads for p in head.parameters()], weight_decay=0.02)
    steps = EPOCHS * (len(truth) // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, total_steps=steps)
    for head in heads:
        head.train()
    losses = []
    for step in range(steps):
        chosen = torch.randint(len(truth), (BATCH,))
        value = heads_loss(network, Looks(*(part[:, chosen] for part in looks)), truth[chosen])
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        schedule.step()
        losses.append(float(value.detach()))
        if step % 1000 == 999:
            print(f'step {step + 1} of {steps}, loss {np.mean(losses[-1000:]):.4f}, {time.monotonic() - begun:.0f} s',
                  flush=True)
    network.eval()
    crops = torch.from_numpy(validation_set(network.input_size)[0])
    once, twice, entropy = wrong_share(network, look(network, crops))
    print(f'side wrong on validation: {100 * once:.2f} % by one look (cross entropy {entropy:.3f}), '
          f'{100 * twice:.2f} % with the mirror image')
    stored['network'] = network.state_dict()
    stored['figures'] |= {'side_wrong_percent': round(100 * once, 2), 'side_wrong_twice_percent': round(100 * twice, 2)}
    torch.save(stored, arguments.out)


if __name__ == '__main__':
    main()
