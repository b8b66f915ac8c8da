"""Make trainable weights of a shipped model: ``python -m training.from_onnx NAME OUT.pt``.

What it writes is a ``best.pt`` as a training leaves it: a recipe's ``start`` takes it to train on, with data of one's own
as well, and so do ``training.heads_task`` and ``training.export``.

An exported model has its batch normalizations folded into the convolutions before them. They are laid open again with
the statistics of what reaches them on the recipe's own data: in evaluation the network computes what the model does, and
in training it starts from there; the command validates both. What serves in training only, as the heads of estimates
before the last, is in no exported model and begins from chance; the command says what that is. Where a run's own
``best.pt`` is at hand, begin there.
"""

from __future__ import annotations

import argparse
import ast
import copy
import importlib
from pathlib import Path
from typing import Iterable

import torch
from torch import Tensor, nn

from hand_pose_ros.estimation.engines.half import read_whole
from hand_pose_ros.estimation.models import find_model, read_manifest
from training.export import SCOPES
from training.train import build, load_recipe, make_batches, to_tensors

#: What the exporter adds to the name of a convolution's weight for the bias that it folded a normalization into.
FOLDED = '_bias'

#: Batches of the recipe's data that the normalizations' statistics are taken of.
BATCHES = 8


def folded_pairs(network: nn.Module) -> dict[str, tuple[str, nn.Module]]:
    """Name of each convolution's weight -> name and module of the batch normalization that follows it at once."""
    modules = [(name, module) for name, module in network.named_modules() if not list(module.children())]
    return {f'{name}.weight': (after_name, after)
            for (name, module), (after_name, after) in zip(modules, modules[1:])
            if isinstance(module, nn.Conv2d) and isinstance(after, nn.BatchNorm2d)
            and module.out_channels == after.num_features}


def read_onnx(path: Path) -> tuple[dict[str, Tensor], set[str]]:
    """Read an exported model's parameters by their names, and the names of the modules that it runs."""
    from onnx import numpy_helper
    graph = read_whole(path).graph
    stored = {i.name: torch.from_numpy(numpy_helper.to_array(i).copy()) for i in graph.initializer}
    ran = set()
    for node in graph.node:
        scopes = {p.key: p.value for p in node.metadata_props}.get(SCOPES, '[]')
        scopes = ast.literal_eval(scopes)
        ran.update(scopes)
        # A linear layer without a bias becomes a product with a nameless, transposed matrix.
        if node.op_type == 'MatMul' and len(scopes) > 1 and node.input[1] in stored:
            stored.setdefault(f'{scopes[-2]}.weight', stored[node.input[1]].T.contiguous())
    return stored, ran


def load_onnx(network: nn.Module, path: Path) -> tuple[list[tuple[nn.BatchNorm2d, Tensor]], list[str]]:
    """Give a network the weights of its exported model; what serves only in training keeps those it has.

    Returns:
        The batch normalizations that were folded, now passing everything on but for the bias given here: what
        :func:`unfold` takes; and the names of what serves only in training.

    Raises:
        ValueError: the model is of another network, or changed too far to be read back (a quantized one, say).

    """
    stored, ran = read_onnx(path)
    folded = []
    for weight, (name, module) in folded_pairs(network).items():
        bias = stored.get(weight + FOLDED)
        if bias is not None and f'{name}.running_mean' not in stored:
            stored |= {f'{name}.weight': torch.full_like(bias, (1 + module.eps) ** 0.5), f'{name}.bias': bias,
                       f'{name}.running_mean': torch.zeros_like(bias), f'{name}.running_var': torch.ones_like(bias)}
            folded.append((module, bias))
    state = network.state_dict()
    given = {key: stored[key] for key, value in state.items() if key in stored and stored[key].shape == value.shape}
    # The exporter leaves out the first stages' heads, and counters of batches.
    missing = [key for key in state if key not in given and key.rpartition('.')[0] in ran
               and not key.endswith('num_batches_tracked')]
    if missing or not given:
        raise ValueError(f'{path} is not an export of this network: it lacks {", ".join(missing) or "every weight"}')
    network.load_state_dict(given, strict=False)
    return folded, sorted({key.rpartition('.')[0] for key in state if key not in given
                           and not key.endswith('num_batches_tracked')})


@torch.no_grad()
def unfold(network: nn.Module, folded: list[tuple[nn.BatchNorm2d, Tensor]], batches: Iterable[Tensor]) -> None:
    """Give folded normalizations the mean and variance of what reaches them in training, and what undoes these.

    In training, that is with every normalization before them going by its own batch: what is rare is large in
    evaluation, but not where a batch's own deviation divides it, and all that follows is of another size.

    Args:
        network: in evaluation it stays what it is.
        folded: of :func:`load_onnx`.
        batches: images (B, C, S, S), all of one shape, as large as those that the network was trained in.

    """
    images = list(batches)
    biases = dict(folded)

    def normalize(module: nn.BatchNorm2d, seen: tuple[Tensor, ...], _: Tensor) -> Tensor:
        values = seen[0].unflatten(0, (len(images), -1))
        variance, mean = torch.var_mean(values, (1, 3, 4), correction=0, keepdim=True)
        if module in biases:
            module.running_mean.copy_(mean.mean(0).flatten())
            count = values[0].numel() // module.num_features
            module.running_var.copy_(variance.mean(0).flatten() * count / (count - 1))  # as training keeps it
            module.weight.copy_((module.running_var + module.eps).sqrt())
            module.bias.copy_(biases[module] + module.running_mean)
        weight, bias = (part[:, None, None] for part in (module.weight, module.bias))
        return ((values - mean) * (variance + module.eps).rsqrt() * weight + bias).flatten(0, 1)

    hooks = [module.register_forward_hook(normalize) for module in network.modules()
             if isinstance(module, nn.BatchNorm2d)]
    network.eval()(torch.cat(images))
    for hook in hooks:
        hook.remove()


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('name', help='a model of models/manifest.yaml')
    parser.add_argument('out', type=Path, help='where to write the weights')
    arguments = parser.parse_args()
    entry = read_manifest().get(arguments.name)
    if entry is None:
        parser.error(f'models/manifest.yaml has no {arguments.name}; it has {", ".join(read_manifest())}')
    path = find_model(arguments.name, entry['task']).path
    recipe = load_recipe(entry['training']['command'].split()[-1])
    network, _ = build(recipe)
    folded, absent = load_onnx(network, path)
    task = importlib.import_module(recipe['task'])
    batches = make_batches(recipe['data'], recipe.get('data_options', {}), recipe['seed'], recipe['batch'])
    unfold(network, folded, (task.network_input(to_tensors(next(batches)))[0] for _ in range(BATCHES)))
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    torch.save({'network': network.state_dict(), 'recipe': recipe, 'chance': absent,
                'figures': {'seen': entry['training']['images'], **entry['validation']}}, arguments.out)
    print(f'{arguments.out}: {arguments.name} after {entry["training"]["images"]} images, {len(folded)} normalizations unfolded')
    data = task.validation_data(recipe)
    print(f'in evaluation {task.validate(network, data)}; in training {task.validate(copy.deepcopy(network).train(), data)}')
    if absent:
        print(f'not in the model, as it serves in training only, and left to chance: {", ".join(absent)}')


if __name__ == '__main__':
    main()
