"""Fit meshes to training images and keep those that lie on them: seeds for the data source self_augmentation."""

from __future__ import annotations

import argparse
from pathlib import Path

HELP = 'fit meshes to images, for self-supervised augmentation'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument('weights', type=Path, help='best.pt of a dense network')
    parser.add_argument('out', type=Path, help='file of seeds to write')
    parser.add_argument('--samples', type=int, default=5000, help='training images to fit to (5000)')
    parser.add_argument('--within', type=float, default=3.0, help='greatest mean distance from its points, pixels (3)')
    parser.add_argument('--steps', type=int, default=50, help='of refinement (50)')


def run(arguments: argparse.Namespace) -> None:
    """Fit and write seeds."""
    import numpy as np

    from training.engine.weights import read_trained
    from training.tasks.self_augmentation import fit_seeds

    trained = read_trained(arguments.weights)
    recipe = trained.recipe
    parts, network = trained.build()
    batches = parts.source.draw(seed=recipe.seed + 1, batch=recipe.batch, **recipe.data_options)
    found = fit_seeds(network, batches, arguments.samples, arguments.within, arguments.steps)
    hand_model = recipe.network_options.get('hand_model', '')
    np.savez_compressed(arguments.out, **dict(zip(('images', 'parameters', 'sizes'), found)), hand_model=hand_model)
    print(f'{arguments.out}: {len(found[0])} seeds of {arguments.samples} images')
