"""Make trainable weights of a shipped model: ``python -m training from-onnx NAME OUT.pt``.

What it writes is a ``best.pt`` as a training leaves it: a recipe's ``start`` takes it to train on, with data of one's
own as well, and so do ``train-heads`` and ``export``.

An exported model has its batch normalizations folded into the convolutions before them. They are unfolded again with
the statistics of what reaches them on the recipe's own data: in evaluation the network computes what the model does,
and in training it starts from there; the command validates both. What serves in training only, as the heads of
estimates before the last, is in no exported model and stays at its random initialization; the command says what that
is. Where a run's own ``best.pt`` is at hand, begin there.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import TensorProto, numpy_helper
from torch import Tensor, nn
from tqdm import trange

from training.engine.feeder import to_tensors
from training.engine.plan import Plan, plan
from training.engine.weights import Trained
from training.export.to_onnx import SCOPES
from training.recipe import Recipe
from training.registry import TrainingError

#: What the exporter adds to the name of a convolution's weight for the bias that it folded a normalization into.
FOLDED = '_bias'

#: Batches of the recipe's data that the normalizations' statistics are taken of.
BATCHES = 8


def folded_pairs(network: nn.Module) -> dict[str, tuple[str, nn.Module]]:
    """Name of each convolution's weight -> name and module of the batch normalization that follows it at once."""
    modules = [(name, module) for name, module in network.named_modules() if not list(module.children())]
    return {
        f'{name}.weight': (after_name, after)
        for (name, module), (after_name, after) in zip(modules, modules[1:])
        if isinstance(module, nn.Conv2d)
        and isinstance(after, nn.BatchNorm2d)
        and module.out_channels == after.num_features
    }


def read_whole(path: Path) -> onnx.ModelProto:
    """Read an ONNX model, its weights in float32 where it holds them in fewer bits and widens them itself."""
    model = onnx.load(path)
    graph = model.graph
    stored = {tensor.name: tensor for tensor in graph.initializer}
    widened: set[str] = set()
    names: dict[str, str] = {}
    left: list[onnx.NodeProto] = []
    for node in graph.node:
        read = [names.get(name, name) for name in node.input]
        if (
            node.op_type == 'Cast'
            and read[0] in stored
            and stored[read[0]].data_type in (TensorProto.FLOAT16, TensorProto.INT8)
            and node.attribute[0].i == TensorProto.FLOAT
        ):
            values = numpy_helper.to_array(stored[read[0]]).astype(np.float32)
        elif node.op_type == 'Mul' and read[0] in widened and read[1] in stored:
            values = numpy_helper.to_array(stored[read[0]]) * numpy_helper.to_array(stored.pop(read[1]))
        else:
            left.append(node)
            continue
        stored[read[0]] = numpy_helper.from_array(values, read[0])
        widened.add(read[0])
        names[node.output[0]] = read[0]
    for node in left:
        node.input[:] = [names.get(name, name) for name in node.input]
    for field, content in (graph.node, left), (graph.initializer, list(stored.values())):
        del field[:]
        field.extend(content)
    return model


def read_onnx(path: Path) -> tuple[dict[str, Tensor], set[str]]:
    """Read an exported model's parameters by their names, and the names of the modules that it runs."""
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
        TrainingError: the model is of another network, or changed too far to be read back (a quantized one, say).

    """
    stored, ran = read_onnx(path)
    folded = []
    for weight, (name, module) in folded_pairs(network).items():
        bias = stored.get(weight + FOLDED)
        if bias is not None and f'{name}.running_mean' not in stored:
            stored |= {
                f'{name}.weight': torch.full_like(bias, (1 + module.eps) ** 0.5),
                f'{name}.bias': bias,
                f'{name}.running_mean': torch.zeros_like(bias),
                f'{name}.running_var': torch.ones_like(bias),
            }
            folded.append((module, bias))
    state = network.state_dict()
    given = {key: stored[key] for key, value in state.items() if key in stored and stored[key].shape == value.shape}
    # The exporter leaves out the first stages' heads, and counters of batches.
    missing = [
        key
        for key in state
        if key not in given and key.rpartition('.')[0] in ran and not key.endswith('num_batches_tracked')
    ]
    if missing or not given:
        raise TrainingError(f'{path} is not an export of this network: it lacks {", ".join(missing) or "every weight"}')
    network.load_state_dict(given, strict=False)
    return folded, sorted(
        {key.rpartition('.')[0] for key in state if key not in given and not key.endswith('num_batches_tracked')}
    )


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

    hooks = [
        module.register_forward_hook(normalize) for module in network.modules() if isinstance(module, nn.BatchNorm2d)
    ]
    network.eval()(torch.cat(images))
    for hook in hooks:
        hook.remove()


def restore(path: Path, recipe: Recipe, figures: dict[str, float]) -> tuple[Trained, Plan, nn.Module]:
    """Make trainable weights of an exported network.

    Args:
        path: of the ONNX file.
        recipe: of the network and of the data that normalizations are unfolded by.
        figures: of its validation, and ``seen`` samples.

    Raises:
        TrainingError: the file is of another network.

    """
    parts = plan(recipe.without_start())
    network = parts.build()
    folded, absent = load_onnx(network, path)
    batches = parts.source.draw(seed=recipe.seed, batch=recipe.batch, **recipe.data_options)
    drawn = (next(batches) for _ in trange(BATCHES, unit='batch', desc='normalizations'))
    unfold(network, folded, (parts.task.network_input(to_tensors(batch))[0] for batch in drawn))
    return Trained(network.state_dict(), recipe, figures, tuple(absent)), parts, network
