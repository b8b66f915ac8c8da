"""What a manifest and an ONNX file say of a network: what it takes and gives, and the recipe really used."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import onnx
import yaml
from torch import nn

from hand_pose_ros.inference.models import MANIFEST, file_digest
from training.engine.plan import Plan
from training.engine.weights import Trained
from training.export.to_onnx import input_channels
from training.recipe import Recipe, load_recipe, make_recipe
from training.registry import TrainingError

#: Keys of the recipe in an ONNX file's metadata: as JSON, and its sha256.
RECIPE, RECIPE_SHA256 = 'training.recipe', 'training.recipe_sha256'
HEADER = '# What the models are; python -m training export writes it.\n'


def provenance(recipe: Recipe) -> dict[str, str]:
    """Metadata of an ONNX file: the recipe that its weights were trained by, with whatever ``--set`` changed."""
    return {RECIPE: json.dumps(recipe.content(), sort_keys=True), RECIPE_SHA256: recipe.digest()}


def describe(trained: Trained, parts: Plan, network: nn.Module, path: Path) -> dict[str, object]:
    """The manifest's entry of an exported network."""
    task, recipe, size = parts.task, trained.recipe, network.input_size
    changes = recipe.changes()
    return {
        'task': task.KIND,
        'file': path.name,
        'sha256': file_digest(path),
        'input': f'crop: float32 (batch, {input_channels(network)}, {size}, {size}), {task.INPUT}',
        'output': dict(task.OUTPUTS),
        'parameters': sum(weight.numel() for weight in network.parameters()),
        'training': {
            'data': parts.source.data or task.DATA,
            'recipe': recipe.name,
            'recipe_sha256': recipe.digest(),
            **({'changes': changes} if changes else {}),
            'command': f'python -m training train {recipe.name}',
            'images': trained.figures['seen'],
        },
        'validation': {k: v for k, v in trained.figures.items() if k not in ('seen', 'seconds', 'loss')},
        'license': 'Apache-2.0',
        **task.calibrate(network, recipe),
    }


def recipe_of(path: Path, entry: Mapping[str, object]) -> Recipe:
    """Find the recipe of an exported network: in the file's metadata, else by the name in its manifest entry.

    Raises:
        TrainingError: neither says.

    """
    stored = {prop.key: prop.value for prop in onnx.load(path, load_external_data=False).metadata_props}
    if RECIPE in stored:
        return make_recipe(json.loads(stored[RECIPE]), f'{path}: {RECIPE}')
    name = entry.get('training', {}).get('recipe')
    if not name:
        raise TrainingError(f'{path} names no recipe, and no manifest beside it does: give --recipe')
    return load_recipe(name)


def update_manifest(folder: Path, name: str, entry: Mapping[str, object]) -> None:
    """Write an entry of a folder's manifest; the first model of a task becomes its default."""
    path = folder / MANIFEST
    manifest = yaml.safe_load(path.read_text()) if path.is_file() else {}
    same = [key for key, other in manifest.items() if other.get('task') == entry['task'] and other.get('default')]
    manifest[name] = {'default': True, **entry} if not same or same == [name] else dict(entry)
    path.write_text(HEADER + yaml.safe_dump(manifest, sort_keys=False, width=120))
