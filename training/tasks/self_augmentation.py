"""Train the dense network on its own fits, seen from other sides: first fit, then draw.

``python -m training fit-seeds WEIGHTS OUT.npz`` fits meshes to the training images of the weights' recipe and
keeps those that lie on their images, the seeds. :func:`crops` is a source of data that varies shape and view of the
seeds, draws them on new backgrounds, and mixes them with the recipe's own images: Baek, Kim, Kim, CVPR 2019, section 4,
self-supervised augmentation, three for each seed from epoch 20 on. A vertex has the color of the pixel that showed it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from training.datasets.color_crops import Backgrounds
from training.datasets.frames import DatasetError
from training.hand_layer import PARTS, HandLayer, split
from training.networks.dense_color import DenseHand, points_error, refine
from training.options import check_options
from training.rasterizer import ZBuffer
from training.recipe import Options
from training.registry import TrainingError, nearest
from training.tasks import color_pose
from training.tasks.color_pose import to_input
from training.tasks.protocol import Batch

#: Standard deviation of what is added to a seed's shape parameters.
SHAPE_NOISE = 0.7
#: Greatest turn of a seed, radians, about any axis; about the line of sight it may be any.
GREATEST_TURN = 1.0
#: Pixels drawn for one of the image's, along each side.
OVERSAMPLING = 2


@dataclass(frozen=True)
class Drawing:
    """What is seen of a mesh: ``faces`` (S, S), -1 where there is none, and ``weights`` (S, S, 3) of their vertices."""

    faces: Tensor
    weights: Tensor


def draw(seen: Tensor, depth: Tensor, faces: Tensor, size: int) -> Drawing:
    """Find the nearest triangle in each pixel of a small image.

    Args:
        seen: (V, 2) vertices in crop coordinates.
        depth: (V,) their depth, in any unit, growing with the distance.
        faces: (F, 3).
        size: pixels along a side of the image.

    """
    buffer = ZBuffer.empty(size, size)
    points = torch.cat([seen, depth[:, None]], 1).numpy().astype(np.float32)
    # Crop coordinates are -1 to 1 over the image, whose pixels' centers are at whole numbers.
    pinhole = (size / 2, size / 2, size / 2 - 0.5, size / 2 - 0.5)
    buffer.draw(
        points, faces.numpy().astype(np.int32), np.arange(len(faces), dtype=np.int32), pinhole, perspective=False
    )
    shares = torch.from_numpy(buffer.shares)
    first = (1 - shares.sum(2, keepdim=True)) * torch.from_numpy(buffer.labels >= 0)[..., None]
    return Drawing(torch.from_numpy(buffer.faces).long(), torch.cat([first, shares], 2))


def vertex_colors(layer: HandLayer, image: np.ndarray, seen: Tensor, depth: Tensor) -> Tensor:
    """Color (V, 3), 0 to 255, of each vertex by the image (S, S, 3); what is hidden has that of what is around it."""
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
    colors = torch.where(known[:, None], total / weight.clamp_min(1e-6), total.sum(0) / weight.sum())
    for _ in range(40):
        colors = torch.where(known[:, None], colors, layer.neighbors.mean(colors[None])[0])
    return colors


def paint(
    layer: HandLayer, seen: Tensor, depth: Tensor, colors: Tensor, behind: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Draw a colored mesh on a background: image (S, S, 3) uint8, and mask (S, S) float32, its share of a pixel."""
    size = len(behind)
    drawing = draw(seen, depth, layer.faces, OVERSAMPLING * size)
    shown = drawing.faces >= 0
    color = (colors[layer.faces[drawing.faces.clamp_min(0)]] * drawing.weights[..., None]).sum(2) * shown[..., None]

    def shrunk(values: Tensor) -> np.ndarray:
        return values.unflatten(0, (size, -1)).unflatten(2, (size, -1)).mean((1, 3)).numpy()

    mask = shrunk(shown.float()[..., None])
    return np.clip(shrunk(color) + (1 - mask) * behind, 0, 255).astype(np.uint8), mask[..., 0].astype(np.float32)


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
    """Fitted meshes and the images that they were fitted to, as ``python -m training fit-seeds`` writes them.

    Raises:
        DatasetError: the file is missing or none of these.

    """

    def __init__(self, path: str) -> None:
        try:
            with np.load(path, allow_pickle=False) as stored:
                self.images, self.parameters, self.sizes = (stored[name] for name in ('images', 'parameters', 'sizes'))
                hand_model = str(stored['hand_model'])
        except (OSError, ValueError, KeyError) as error:
            raise DatasetError(
                f'{path}: no seeds ({error}); python -m training fit-seeds WEIGHTS {path} makes them'
            ) from error
        self.network = DenseHand(hand_model=hand_model, depth=18, width=4)  # for its hand alone

    @torch.no_grad()
    def colors(self, index: int) -> Tensor:
        """Colors (V, 3) of a seed's vertices."""
        hands = self.network.hand(torch.from_numpy(self.parameters[index])[None])
        return vertex_colors(self.network.hand, self.images[index], hands.seen[0], hands.vertices[0, :, 2])

    @torch.no_grad()
    def vary(
        self, index: int, colors: Tensor, rng: np.random.Generator, backgrounds: Backgrounds
    ) -> tuple[np.ndarray, ...]:
        """Draw a seed with another shape, from another side; what a batch stacks, see
        :mod:`training.tasks.color_pose`.
        """
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
        drawn, mask = paint(layer, hands.seen[0], hands.vertices[0, :, 2], colors, behind)
        points = self.network.project(hands, varied)
        return drawn, joints[0].numpy(), points[0].numpy(), mask, self.sizes[index]


def crops(
    seed: int,
    batch: int,
    seeds: str,
    source: str,
    source_options: dict,
    per_seed: int = 3,
    share: float = 0.5,
    backgrounds: str = '',
) -> Iterator[Batch]:
    """Endless training batches: a source's own, with a share of them replaced by seeds of other shape and view.

    Args:
        seed: the same one gives the same batches.
        batch: hands in a batch.
        seeds: file of seeds.
        source: the data source of color poses that is mixed with.
        source_options: its options.
        per_seed: how many are drawn of a seed before the next.
        share: of a batch that are drawn seeds.
        backgrounds: folder of pictures to draw them on; clouds of color without one.

    """
    found, behind = Seeds(seeds), Backgrounds(backgrounds)
    rng = np.random.default_rng(seed)
    count = round(share * batch)

    def varied() -> Iterator[tuple[np.ndarray, ...]]:
        while True:
            for index in rng.permutation(len(found.images)):
                colors = found.colors(index)
                for _ in range(per_seed):
                    yield found.vary(index, colors, rng, behind)

    drawn = varied()
    for own in color_pose.SOURCES[source].draw(seed=seed, batch=batch, **source_options):
        rows = [np.stack(parts) for parts in zip(*(next(drawn) for _ in range(count)))] if count else []
        yield (
            tuple(np.concatenate([new.astype(old.dtype), old[count:]]) for new, old in zip(rows, own)) if rows else own
        )


def check(options: Options) -> None:
    """Refuse a source that there is not, and options that it does not take; raises TrainingError."""
    source = color_pose.SOURCES.get(options['source'])
    if source is None:
        raise TrainingError(
            f'there is no data source {options["source"]!r}{nearest(options["source"], color_pose.SOURCES)}'
        )
    check_options(options['source_options'], source.parameters(), 'data_options.source_options')
    source.check(options['source_options'])


def fit_seeds(
    network: DenseHand, batches: Iterator[tuple[np.ndarray, ...]], samples: int, within: float, steps: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Fit meshes to ``samples`` images; of those that lie on their images the images, parameters and hand sizes.

    Args:
        network: the network.
        batches: batches of its data source.
        samples: images to try.
        within: mean distance in pixels from the true points within which a fit is a seed.
        steps: of refinement, by the true points.

    """
    seeds: list[tuple[np.ndarray, ...]] = []
    tried = 0
    while tried < samples:
        images, _, points, _, sizes, *_ = next(batches)
        truth = torch.from_numpy(points)
        found = refine(network, to_input(torch.from_numpy(images)), steps, points=truth, features=0).parameters
        with torch.no_grad():
            errors = points_error(network.project(network.hand(found), found), truth, images.shape[1])
        good = (errors < within).numpy() & np.isfinite(points).all((1, 2))
        seeds.append((images[good], found.numpy()[good], sizes[good]))
        tried += len(images)
    return tuple(np.concatenate(parts) for parts in zip(*seeds))
