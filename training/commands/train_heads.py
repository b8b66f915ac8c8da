"""Train the handedness of a depth pose network, and its sigma where it has a head for it; the rest stays as it is."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

HELP = "train a depth pose network's handedness, after its joints"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument('weights', type=Path, help='best.pt of a pose network')
    parser.add_argument('out', type=Path, help='where to write the weights with the trained heads')
    parser.add_argument(
        '--samples', type=int, default=48_000, help='crops that are drawn; a thousand take 11 MB (48000)'
    )
    parser.add_argument('--threads', type=int, default=1, help='of PyTorch (1)')
    parser.add_argument('--seed', type=int, default=77, help='of crops and batches (77)')


def run(arguments: argparse.Namespace) -> None:
    """Train the heads and write the weights."""
    import torch

    from training.engine.heads import draw_features, extract_features, train_heads, wrong_share
    from training.engine.weights import read_trained
    from training.tasks.depth_pose import validation_set

    torch.set_num_threads(arguments.threads)
    torch.manual_seed(arguments.seed)
    trained = read_trained(arguments.weights)
    parts, network = trained.build()
    network = network.to(memory_format=torch.channels_last)
    seen, truth = draw_features(parts, network, arguments.samples, arguments.seed)
    train_heads(network, seen, truth)
    crops = torch.from_numpy(validation_set(network.input_size)[0])
    once, twice, entropy = wrong_share(network, extract_features(network, crops))
    print(
        f'handedness wrong on validation: {100 * once:.2f} % by one view (cross entropy {entropy:.3f}), '
        f'{100 * twice:.2f} % with the mirror image'
    )
    figures = trained.figures | {
        'side_wrong_percent': round(100 * once, 2),
        'side_wrong_twice_percent': round(100 * twice, 2),
    }
    replace(trained, network=network.state_dict(), figures=figures).save(arguments.out)
