"""Make trainable weights of an exported model: a best.pt that a recipe's start takes, and train-heads and export
too.
"""

from __future__ import annotations

import argparse
from pathlib import Path

HELP = 'make trainable weights of an exported model'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument('name', help='a model of models/manifest.yaml, or an .onnx file')
    parser.add_argument('out', type=Path, help='where to write the weights')
    parser.add_argument('--recipe', help="by default the one that the file's metadata or the manifest names")


def run(arguments: argparse.Namespace) -> None:
    """Read the weights back, write them, and validate both ways of using them."""
    import copy

    from hand_pose_ros.inference.models import read_manifest
    from training.evaluation.subjects import open_subject
    from training.export.from_onnx import restore
    from training.export.manifest import recipe_of
    from training.recipe import load_recipe

    model = open_subject(arguments.name)
    entry = read_manifest().get(arguments.name, {})
    recipe = load_recipe(arguments.recipe) if arguments.recipe else recipe_of(model.path, entry)
    figures = {'seen': entry.get('training', {}).get('images', 0), **entry.get('validation', {})}
    trained, parts, network = restore(model.path, recipe, figures)
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    trained.save(arguments.out)
    print(f'{arguments.out}: {arguments.name} after {figures["seen"]} images')
    if trained.random:
        print(f'not in the model, as it serves in training only, and random: {", ".join(trained.random)}')
    data = parts.task.validation_data(recipe)
    print(f'in evaluation {parts.task.validate(network, data)}', flush=True)
    print(f'in training {parts.task.validate(copy.deepcopy(network).train(), data)}')
