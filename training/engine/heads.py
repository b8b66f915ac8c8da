"""Train the heads of a pose network (``training.networks.heads``): handedness, and sigma where it has a head for it.

Everything else stays as it is, so that it need see each crop and its mirror image only once. The chirality head learns
which of the two is the right hand; a certainty head, where the network has one, learns how far off the joints are.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from tqdm import tqdm, trange

from training.engine.feeder import Feeder
from training.engine.plan import Plan
from training.engine.precision import autocast
from training.networks.heads import HEADS


@dataclass(frozen=True)
class HeadTraining:
    """Numbers of the heads' training."""

    #: Crops in a batch, each with its mirror image.
    batch: int = 64
    #: How often the heads see all crops.
    epochs: int = 12
    learning_rate: float = 2e-3
    weight_decay: float = 0.02
    #: Workers draw so many batches at once.
    batches_at_once: int = 4


DEFAULTS = HeadTraining()


class Features(NamedTuple):
    """What the fixed part of a network makes of crops, first of all as they are and then of their mirror images."""

    features: Tensor  #: (2, N, C) or (2, N, J, C), half precision
    joints: Tensor  #: (2, N, J, 3)
    sigma: Tensor  #: (2, N, J)


@torch.no_grad()
def extract_features(network: nn.Module, crops: Tensor) -> Features:
    """Run the fixed part of a network on crops (N, S, S) and on their mirror images."""
    both = []
    for image in (crops, crops.flip(2)):
        parts = []
        for some in image[:, None].split(2 * DEFAULTS.batch):
            with autocast('cpu'):
                found = network.estimate_with_features(some.contiguous(memory_format=torch.channels_last))
            joints, sigma, features = found
            parts.append(Features(features.half(), joints.float(), sigma.float()))
        both.append([torch.cat(column) for column in zip(*parts)])
    return Features(*(torch.stack(pair) for pair in zip(*both)))


def handedness_logit(network: nn.Module, seen: Features) -> Tensor:
    """Logits (2, N) of a right hand, of crops and of their mirror images."""
    return network.chirality(
        seen.features.flatten(0, 1).float(), seen.joints.flatten(0, 1), seen.sigma.flatten(0, 1)
    ).unflatten(0, seen.joints.shape[:2])


def with_sigma(network: nn.Module, seen: Features) -> Features:
    """The features with sigma as a certainty head estimates it, where the network has one."""
    if not hasattr(network, 'certainty'):
        return seen
    pairs = zip(seen.features, seen.joints)
    return seen._replace(sigma=torch.stack([network.certainty(part.float(), joints) for part, joints in pairs]))


def heads_loss(network: nn.Module, seen: Features, truth: Tensor) -> Tensor:
    """Cross entropy of the handedness, plus the Laplace log likelihood of the joints' errors under a certainty head.

    Args:
        network: the network.
        seen: of N crops and their mirror images.
        truth: (N, J, 3) the crops' joints. A mirror image's are nobody's, and its errors count for nothing.

    """
    seen = with_sigma(network, seen)
    logits = handedness_logit(network, seen._replace(sigma=seen.sigma.detach()))
    value = F.softplus(torch.cat([-logits[0], logits[1]])).mean()
    if hasattr(network, 'certainty'):
        value = value + (seen.sigma[0].log() + (seen.joints[0] - truth).norm(dim=2) / seen.sigma[0]).mean()
    return value


@torch.no_grad()
def wrong_share(network: nn.Module, seen: Features) -> tuple[float, float, float]:
    """How good the handedness is: share wrong by one view and with the mirror image too; cross entropy of one view."""
    own, mirrored = handedness_logit(network, with_sigma(network, seen))
    logits = torch.cat([own, -mirrored])
    return float((logits < 0).float().mean()), float((own < mirrored).float().mean()), float(F.softplus(-logits).mean())


def draw_features(parts: Plan, network: nn.Module, samples: int, seed: int) -> tuple[Features, Tensor]:
    """Draw crops of the recipe's data and keep what the fixed part makes of them; and their true joints (N, J, 3)."""
    batch = DEFAULTS.batches_at_once * DEFAULTS.batch
    feeder = Feeder(parts.source.draw, parts.recipe.data_options, seed, 1, batch)
    seen, truths = [], []
    with tqdm(total=samples, unit='crop', desc='features') as bar:
        while sum(map(len, truths)) < samples:
            crops, truth, *_ = feeder.next()
            seen.append(extract_features(network, crops))
            truths.append(truth)
            bar.update(len(crops))
    feeder.close()
    return Features(*(torch.cat(column, 1) for column in zip(*seen))), torch.cat(truths)


def train_heads(network: nn.Module, seen: Features, truth: Tensor) -> None:
    """Train the heads of a network on features, in place; it comes back in evaluation."""
    heads = [head for name, head in network.named_children() if f'{name}.' in HEADS]
    weights = [weight for head in heads for weight in head.parameters()]
    optimizer = torch.optim.AdamW(weights, weight_decay=DEFAULTS.weight_decay)
    steps = DEFAULTS.epochs * (len(truth) // DEFAULTS.batch)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, DEFAULTS.learning_rate, total_steps=steps)
    for head in heads:
        head.train()
    for _ in trange(steps, unit='step', desc='heads'):
        chosen = torch.randint(len(truth), (DEFAULTS.batch,))
        value = heads_loss(network, Features(*(part[:, chosen] for part in seen)), truth[chosen])
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        schedule.step()
    network.eval()
