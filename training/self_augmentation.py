"""Train the dense network on its own fits, seen from other sides: first fit, then draw.

``python -m training.self_augmentation WEIGHTS OUT.npz`` fits meshes to the training images of the weights' recipe and
keeps those that lie on their images, the seeds. :func:`crops` is a source of data that varies shape and view of the
seeds, draws them on new backgrounds, and mixes them with the recipe's own images: Baek, Kim, Kim, CVPR 2019, section 4,
self-supervised augmentation, three for each seed from epoch 20 on. A vertex has the colour of the pixel that showed it.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Iterator

import numpy as np
import torch
from torch import Tensor

from training.datasets.color_crops import Backgrounds
from training.datasets.frames import DatasetError
from training.export import load_trained
from training.hand_layer import PARTS, HandLayer, split
from training.networks.dense_rgb import DenseHand, points_error, refine
from training.rasterizer import pixels_of
from training.rgb_task import to_input
from training.train import make_batches

#: Standard deviation of what is added to a seed's shape parameters.
SHAPE_NOISE = 0.7
#: Greatest turn of a seed, radians, about any axis; about the line of sight it may be any.
GREATEST_TURN = 1.0
#: Pixels drawn for one of the image's, along each side.
OVERSAMPLING = 2


@dataclass(frozen=True)
class Drawing:
    """What a camera sees of meshes: ``faces`` (S, S), -1 where there is none, and ``weights`` (S, S, 3) of its vertices."""

    faces: Tensor
    weights: Tensor


def draw(seen: Tensor, depth: Tensor, faces: Tensor, size: int) -> Drawing:
    """Find the nearest triangle in each pixel.

    Args:
        seen: (V, 2) vertices in crop coordinates.
        depth: (V,) their depth, in any unit, growing with the distance.
        faces: (F, 3).
        size: pixels along a side of the image.

    """
    corners = ((seen + 1) * (size / 2) - 0.5)[faces]
    box, u, v = pixels_of(corners.amin(1), corners.amax(1), size)
    a, b, c = corners[box].unbind(1)
    point = torch.stack([u, v], 1).to(corners.dtype)

    def area(p: Tensor, q: Tensor, r: Tensor) -> Tensor:
        return (q[:, 0] - p[:, 0]) * (r[:, 1] - p[:, 1]) - (q[:, 1] - p[:, 1]) * (r[:, 0] - p[:, 0])

    whole = area(a, b, c)
    weights = torch.stack([area(b, c, point), area(c, a, point), area(a, b, point)], 1) / whole[:, None]
    inside = (weights >= 0).all(1) & (whole != 0)
    box, u, v, weights = box[inside], u[inside], v[inside], weights[inside]
    distance = (weights * depth[faces][box]).sum(1)
    # The last of several that are written to one pixel stays: the nearest.
    order = distance.argsort(descending=True, stable=True)
    nearest = torch.full((size, size), -1, dtype=torch.long)
    shares = torch.zeros(size, size, 3)
    place = (v * size + u)[order]
    last = torch.full((size * size,), -1, dtype=torch.long)
    last.scatter_reduce_(0, place, torch.arange(len(order)), 'amax')
    won = last[last >= 0]
    chosen = order[won]
    nearest[v[chosen], u[chosen]] = box[chosen]
    shares[v[chosen], u[chosen]] = weights[chosen].to(shares.dtype)
    return Drawing(nearest, shares)


def vertex_colours(layer: HandLayer, image: np.ndarray, seen: Tensor, depth: Tensor) -> Tensor:
    """Colour (V, 3), 0 to 255, of each vertex by the image (S, S, 3); what is hidden has that of what is around it."""
    size = len(image)
    drawing = draw(seen, depth, layer.faces, size)
    shown = drawing.faces >= 0
    total, weight = torch.zeros(len(seen), 3), torch.zeros(len(seen), 1)
    pixels = torch.from_numpy(image)[shown].float()
    corners, shares = layer.faces[drawing.faces[shown]], drawing.weights[shown]
    for i in range(3):
        total.index_add_(0, corners[:, i], shares[:, i, None] * pixels)
        weight.index_add_(0, corners[:, i], shares[:, i, None])
    known = weight[:, 0] > 0.05
    if not known.any():
        return torch.full((len(seen), 3), 127.0)
    colours = torch.where(known[:, None], total / weight.clamp_min(1e-6), total.sum(0) / weight.sum())
    for _ in range(40):
        colours = torch.where(known[:, None], colours, layer.neighbours.mean(colours[None])[0])
    return colours


def paint(layer: HandLayer, seen: Tensor, depth: Tensor, colours: Tensor, behind: np.ndarray
          ) -> tuple[np.ndarray, np.ndarray]:
    """Draw a coloured mesh on a background: image (S, S, 3) uint8 and mask (S, S) float32, the hand's share of a pixel."""
    size = len(behind)
    drawing = draw(seen, depth, layer.faces, OVERSAMPLING * size)
    shown = drawing.faces >= 0
    colour = (colours[layer.faces[drawing.faces.clamp_min(0)]] * drawing.weights[..., None]).sum(2) * shown[..., None]

    def shrunk(values: Tensor) -> np.ndarray:
        return values.unflatten(0, (size, -1)).unflatten(2, (size, -1)).mean((1, 3)).numpy()

    mask = shrunk(shown.float()[..., None])
    return np.clip(shrunk(colour) + (1 - mask) * behind, 0, 255).astype(np.uint8), mask[..., 0].astype(np.float32)


def _turned(quaternion: Tensor, rng: np.random.Generator) -> Tensor:
    """A quaternion (4,), x y z w, turned at random: anyhow about the line of sight, a little about anything."""
    axis = rng.normal(size=3)
    angle = GREATEST_TURN * rng.uniform(-1, 1)
    spin = rng.uniform(-np.pi, np.pi)
    tilt = np.array([*(axis / np.linalg.norm(axis) * np.sin(angle / 2)), np.cos(angle / 2)])
    roll = np.array([0, 0, np.sin(spin / 2), np.cos(spin / 2)])

    def product(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return np.array([*(a[3] * b[:3] + b[3] * a[:3] + np.cross(a[:3], b[:3])), a[3] * b[3] - a[:3] @ b[:3]])

    return torch.from_numpy(product(roll, product(tilt, quaternion.double().numpy()))).float()


class Seeds:
    """Fitted meshes and the images that they were fitted to, as :func:`main` writes them.

    Raises:
        DatasetError: the file is missing or none of these.

    """

    def __init__(self, path: str) -> None:
        try:
            with np.load(path, allow_pickle=False) as stored:
                self.images, self.parameters, self.sizes = (stored[name] for name in ('images', 'parameters', 'sizes'))
                hand_model = str(stored['hand_model'])
        except (OSError, ValueError, KeyError) as error:
            raise DatasetError(f'{path}: no seeds ({error}); python -m training.self_augmentation WEIGHTS {path} makes '
                               'them') from error
        self.network = DenseHand(hand_model=hand_model, depth=18, width=4)  # for its hand alone

    @torch.no_grad()
    def colours(self, index: int) -> Tensor:
        """Colours (V, 3) of a seed's vertices."""
        hands = self.network.hand(torch.from_numpy(self.parameters[index])[None])
        return vertex_colours(self.network.hand, self.images[index], hands.seen[0], hands.vertices[0, :, 2])

    @torch.no_grad()
    def vary(self, index: int, colours: Tensor, rng: np.random.Generator, backgrounds: Backgrounds
             ) -> tuple[np.ndarray, ...]:
        """Draw a seed with another shape, from another side; what a batch stacks, see :mod:`training.rgb_task`."""
        layer = self.network.hand
        part = {name: value.clone() for name, value in split(torch.from_numpy(self.parameters[index])[None]).items()}
        part['shape'] += SHAPE_NOISE * torch.from_numpy(rng.normal(size=(1, PARTS['shape']))).float()
        part['quaternion'][0] = _turned(part['quaternion'][0], rng)
        varied = torch.cat(list(part.values()), 1)
        hands = layer(varied)
        joints = self.network.joints(hands)
        # The crop's middle is the mean of the joints, wherever the turn has taken them.
        middle = self.network.project(hands, varied).mean(1)
        part['translation'][:, :2] += torch.from_numpy(rng.uniform(-0.1, 0.1, 2)).float() - middle
        varied = torch.cat(list(part.values()), 1)
        hands = layer(varied)
        behind = backgrounds.draw(self.images.shape[1], rng)
        drawn, mask = paint(layer, hands.seen[0], hands.vertices[0, :, 2], colours, behind)
        points = self.network.project(hands, varied)
        return drawn, joints[0].numpy(), points[0].numpy(), mask, self.sizes[index]


def crops(seed: int, batch: int, seeds: str, source: str, source_options: dict[str, Any], per_seed: int = 3,
          share: float = 0.5, backgrounds: str = '') -> Iterator[tuple[np.ndarray, ...]]:
    """Endless training batches: a source's own, with a share of them replaced by seeds of other shape and view.

    Args:
        seed: the same one gives the same batches.
        batch: hands in a batch.
        seeds: file of seeds.
        source: the data source that is mixed with, called ``module:function``.
        source_options: its options.
        per_seed: how many are drawn of a seed before the next.
        share: of a batch that are drawn seeds.
        backgrounds: folder of pictures to draw them on; clouds of colour without one.

    """
    found, behind = Seeds(seeds), Backgrounds(backgrounds)
    rng = np.random.default_rng(seed)
    count = round(share * batch)

    def varied() -> Iterator[tuple[np.ndarray, ...]]:
        while True:
            for index in rng.permutation(len(found.images)):
                colours = found.colours(index)
                for _ in range(per_seed):
                    yield found.vary(index, colours, rng, behind)

    drawn = varied()
    for own in make_batches(source, source_options, seed, batch):
        rows = [np.stack(parts) for parts in zip(*(next(drawn) for _ in range(count)))] if count else []
        yield tuple(np.concatenate([new.astype(old.dtype), old[count:]]) for new, old in zip(rows, own)) if rows else own


def fit_seeds(network: DenseHand, batches: Iterator[tuple[np.ndarray, ...]], samples: int, within: float, steps: int
              ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Fit meshes to ``samples`` images; of those that lie on their images the images, parameters and hand sizes.

    Args:
        network: the network.
        batches: batches of its data source.
        samples: images to try.
        within: mean distance in pixels from the true points within which a fit is a seed.
        steps: of refinement, by the true points.

    """
    kept: list[tuple[np.ndarray, ...]] = []
    tried = 0
    while tried < samples:
        images, _, points, _, sizes, *_ = next(batches)
        truth = torch.from_numpy(points)
        found = refine(network, to_input(torch.from_numpy(images)), steps, points=truth, features=0).parameters
        with torch.no_grad():
            errors = points_error(network.project(network.hand(found), found), truth, images.shape[1])
        good = (errors < within).numpy() & np.isfinite(points).all((1, 2))
        kept.append((images[good], found.numpy()[good], sizes[good]))
        tried += len(images)
    return tuple(np.concatenate(parts) for parts in zip(*kept))


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('weights', type=Path, help='best.pt of a dense network')
    parser.add_argument('out', type=Path, help='file of seeds to write')
    parser.add_argument('--samples', type=int, default=5000, help='training images to fit to')
    parser.add_argument('--within', type=float, default=3.0, help='greatest mean distance of a seed from its points, px')
    parser.add_argument('--steps', type=int, default=50, help='steps of refinement')
    arguments = parser.parse_args()
    recipe = torch.load(arguments.weights, map_location='cpu', weights_only=True)['recipe']
    network = load_trained(arguments.weights)
    batches = make_batches(recipe['data'], recipe['data_options'], recipe['seed'] + 1, recipe['batch'])
    images, parameters, sizes = fit_seeds(network, batches, arguments.samples, arguments.within, arguments.steps)
    hand_model = recipe['network_options'].get('hand_model', '')
    np.savez_compressed(arguments.out, images=images, parameters=parameters, sizes=sizes, hand_model=hand_model)
    print(f'{arguments.out}: {len(images)} seeds of {arguments.samples} images')


if __name__ == '__main__':
    main()
