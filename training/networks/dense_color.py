"""Dense hand pose from one color image: the parameters of a hand model, so that there is a mesh.

Baek, Kim, Kim: "Pushing the Envelope for RGB-based Dense 3D Hand Pose Estimation via Neural Rendering", CVPR 2019. The
2D evidence estimator gives 21 heat maps of 32 x 32 and, by a ResNet-50, 2048 features. The mesh estimator is one linear
layer, 2153 x 63 (2048 features, 42 coordinates of joints in the image, 63 parameters so far), whose output is added to
the parameters, three times. The 2D refiner, 2216 x 42, sees what the last of these saw and the 63 parameters that came
of it, and corrects the joints in the image; it is trained by back-projection. A linear skeleton regressor makes joints
of the mesh. :mod:`training.hand_layer` says what the parameters mean.

What differs: the 2D estimator shares the backbone instead of being a network of its own, with a soft maximum instead of
a hard one; the projection has a perspective term; the silhouette is by :mod:`training.silhouette`.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Annotated

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hand_pose_ros.hand_model.loading import load_hand_models
from hand_pose_ros.regions.cube import CUBE_PER_HAND
from training.hand_layer import PARAMETERS, PARTS, HandLayer, Hands, into_crop, skeleton_regressor, split
from training.networks.color_regression import COUNT, OUTPUTS, heads_loss, pixel_grid
from training.networks.heads import CertaintyHead, ChiralityHead
from training.networks.losses import known_only, mirror_some
from training.networks.resnet import ResNet
from training.silhouette import Silhouette

#: Weights of the losses; 0 leaves a loss out, and what it needs is then not computed.
WEIGHTS = {
    'joints': 1.0,
    'points': 1.0,
    'articulation': 0.1,
    'laplacian': 0.1,
    'features': 0.1,
    'shape': 0.5,
    'proportions': 1e-3,
    'heads': 0.02,
}
#: Changes to ``WEIGHTS``.
LossWeights = Annotated[dict[str, float], lambda: WEIGHTS]


class HeatMaps(nn.Module):
    """The first three layers' features joined at a quarter of the image's size: one heat map a joint."""

    def __init__(self, channels: tuple[int, ...], size: int, width: int = 64) -> None:
        super().__init__()
        self.lateral = nn.ModuleList(nn.Conv2d(c, width, 1) for c in channels[:3])
        self.heat = nn.Sequential(
            nn.BatchNorm2d(width),
            nn.ReLU(inplace=True),
            nn.Conv2d(width, width, 3, padding=1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(inplace=True),
            nn.Conv2d(width, COUNT, 1),
        )
        self.register_buffer('grid', pixel_grid(size // 4).flatten(1), persistent=False)

    def forward(self, features: list[Tensor]) -> tuple[Tensor, Tensor]:
        """Points (B, 21, 2) in crop coordinates and heat maps (B, 21, S / 4, S / 4) that sum to one."""
        first, second, third = (layer(x) for layer, x in zip(self.lateral, features))
        joined = (
            first
            + F.interpolate(second, scale_factor=2.0, mode='nearest')
            + F.interpolate(third, scale_factor=4.0, mode='nearest')
        )
        heat = self.heat(joined).float()
        weights = heat.flatten(2).softmax(2)
        return weights @ self.grid.T, weights.view_as(heat)


@dataclass(frozen=True)
class Estimate:
    """What the network makes of a batch of images.

    Attributes:
        points: (B, 21, 2) of the heat maps, in crop coordinates.
        heat: (B, 21, S / 4, S / 4) heat maps.
        parameters: (B, 63), see :mod:`training.hand_layer`.
        refined: (B, 21, 2) the 2D refiner's points.
        features: (B, C) of the image.

    """

    points: Tensor
    heat: Tensor
    parameters: Tensor
    refined: Tensor
    features: Tensor


class DenseHand(nn.Module):
    """Color crop (B, 3, S, S) in [-1, 1] of a right hand (a left one mirrored) to a mesh.

    Args:
        hand_model: hand model's file or MANO's folder, see ``hand_model.loading``; empty for the shipped one.
        depth: of the residual network; 50 in the paper.
        width: channels of its first layer; 64 in the paper.
        iterations: how often the mesh estimator corrects its parameters; 3 in the paper.
        input_size: pixels along a side of the image, a multiple of 32.
        widest: channels of its widest layer, see :class:`training.networks.resnet.ResNet`.
        mask_size: pixels along a side of the silhouettes that the losses see.

    """

    input_channels = 3
    outputs = (*OUTPUTS, 'parameters')

    def __init__(
        self,
        hand_model: str = '',
        depth: int = 50,
        width: int = 64,
        iterations: int = 3,
        input_size: int = 128,
        mask_size: int = 64,
        widest: int = 0,
    ) -> None:
        super().__init__()
        self.input_size = input_size
        self.iterations = iterations
        model = load_hand_models(hand_model)[0]
        model = model if model.side == 'right' else model.mirrored()
        self.hand = HandLayer(model)
        self.register_buffer('skeleton', skeleton_regressor(self.hand), persistent=False)
        self.silhouette = Silhouette(model.faces, mask_size)
        self.backbone = ResNet(depth, width, widest=widest)
        channels = self.backbone.channels
        self.evidence = HeatMaps(channels, input_size)
        seen = channels[-1] + 2 * COUNT + PARAMETERS
        self.mesh_estimator = nn.Linear(seen, PARAMETERS)
        self.refiner = nn.Linear(seen + PARAMETERS, 2 * COUNT)
        for layer in (self.mesh_estimator, self.refiner):
            nn.init.normal_(layer.weight, std=1e-3)
            nn.init.zeros_(layer.bias)
        start = {name: torch.zeros(length) for name, length in PARTS.items()}
        start['quaternion'][3] = 1
        start['scale'][:] = 1 / CUBE_PER_HAND
        start['translation'][2] = 0.15
        self.start = nn.Parameter(torch.cat(list(start.values())))
        self.certainty = CertaintyHead(channels[-1], COUNT)
        self.chirality = ChiralityHead(channels[-1], COUNT)

    def pooled(self, image: Tensor) -> tuple[list[Tensor], Tensor]:
        """Features of the four layers, and (B, C) of the last one's pooled."""
        features = self.backbone(image)
        return features, features[-1].float().mean((2, 3))

    def estimate(self, image: Tensor) -> Estimate:
        """Points, parameters and refined points of images."""
        maps, features = self.pooled(image)
        points, heat = self.evidence(maps)
        parameters = self.start.expand(image.shape[0], -1)
        for _ in range(self.iterations):
            seen = torch.cat([features, points.flatten(1), parameters], 1)
            parameters = parameters + self.mesh_estimator(seen).float()
        correction = self.refiner(torch.cat([seen, parameters], 1)).float()
        return Estimate(points, heat, parameters, points + correction.unflatten(1, (COUNT, 2)), features)

    def joints(self, hands: Hands) -> Tensor:
        """Joints (B, 21, 3) of meshes by the skeleton regressor, in hand sizes from the wrist."""
        joints = self.skeleton @ hands.vertices
        return joints - joints[:, :1]

    def project(self, hands: Hands, parameters: Tensor) -> Tensor:
        """Points (B, 21, 2) of the mesh's joints in crop coordinates."""
        part = split(parameters)
        return into_crop(self.skeleton @ hands.vertices, part['scale'], part['translation'])

    def mask(self, hands: Hands) -> Tensor:
        """Silhouettes (B, M, M) of meshes."""
        return self.silhouette(hands.seen)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """Joints (B, 21, 3), points (B, 21, 2), sigma (B, 21), handedness logits (B,), parameters (B, 63)."""
        estimate = self.estimate(image)
        joints = self.joints(self.hand(estimate.parameters))
        sigma = self.certainty(estimate.features, joints)
        return joints, estimate.refined, sigma, self.chirality(estimate.features, joints, sigma), estimate.parameters

    def loss(
        self,
        image: Tensor,
        joints: Tensor,
        points: Tensor,
        mask: Tensor,
        *,
        weights: LossWeights | None = None,
        shape_within: float = 15.0,
        mirrored: float = 0.1,
    ) -> Tensor:
        """Weighted sum of :func:`loss_parts`; ``weights`` changes some of ``WEIGHTS``.

        Raises:
            ValueError: there is no loss of a name in ``weights``.

        """
        if unknown := set(weights or {}) - set(WEIGHTS):
            raise ValueError(f'losses {", ".join(sorted(unknown))} are none of {", ".join(WEIGHTS)}')
        weights = WEIGHTS | (weights or {})
        parts = loss_parts(self, image, joints, points, mask, weights, shape_within, mirrored)
        return sum(weights[name] * value for name, value in parts.items())


def _resized(mask: Tensor, size: int) -> Tensor:
    return F.interpolate(mask[:, None].float(), (size, size), mode='area' if mask.shape[-1] > size else 'bilinear')


@contextmanager
def _statistics_kept(module: nn.Module) -> Iterator[None]:
    """Normalize by a batch without remembering it: images that are cut out are none that the network will see."""
    layers = [layer for layer in module.modules() if isinstance(layer, nn.BatchNorm2d)]
    momenta = [layer.momentum for layer in layers]
    try:
        for layer in layers:
            layer.momentum = 0.0
        yield
    finally:
        for layer, momentum in zip(layers, momenta):
            layer.momentum = momentum


def features_loss(network: DenseHand, image: Tensor, features: Tensor, mask: Tensor) -> Tensor:
    """Difference (B,) between the features of whole images and of what silhouettes (B, M, M) leave of them.

    Where the silhouette cuts a part of the hand away, features of it are missing (section 4, the feature loss).
    """
    with _statistics_kept(network.backbone):
        left = network.pooled(image * _resized(mask, image.shape[-1]).to(image.dtype))[1]
    return (left - features).square().mean(1)


def points_error(points: Tensor, truth: Tensor, size: int) -> Tensor:
    """Mean distance (B,) in pixels between points (B, 21, 2) in crop coordinates, over those known (not NaN)."""
    known = truth.isfinite().all(2)
    distance = (known_only(points, known) - known_only(truth, known)).norm(dim=2) * size / 2
    return distance.sum(1) / known.sum(1).clamp_min(1)


def loss_parts(
    network: DenseHand,
    image: Tensor,
    joints: Tensor,
    points: Tensor,
    mask: Tensor,
    weights: dict[str, float],
    shape_within: float = 15.0,
    mirrored: float = 0.1,
) -> dict[str, Tensor]:
    """The losses by name, each a mean over the batch, not weighted; those of weight 0 are left out.

    Args:
        network: the network.
        image: (B, 3, S, S).
        joints: (B, 21, 3) true joints in hand sizes from the wrist; NaN where one is not known.
        points: (B, 21, 2) true points in crop coordinates; NaN where one is not known.
        mask: (B, H, H) true silhouettes, 0 to 1; NaN or negative throughout where there is none.
        weights: see ``WEIGHTS``.
        shape_within: the shape loss is on for hands whose mesh's joints are on average nearer than this to the true
            points, in pixels of the image: before, a silhouette pulls at the wrong finger. 15 in the paper.
        mirrored: share of images that are mirrored for the chirality head to learn from, and for nothing else.

    """
    image, right = mirror_some(image, mirrored)
    estimate = network.estimate(image)
    known_joints, known_points = (truth[right].isfinite().all(2) for truth in (joints, points))
    true_joints, true_points = known_only(joints[right], known_joints), known_only(points[right], known_points)
    parameters = estimate.parameters[right]
    parts: dict[str, Tensor] = {}
    # The mesh needs all its digits.
    with torch.autocast(image.device.type, enabled=False):
        hands = network.hand(parameters)
        found = network.joints(hands)
        projected = network.project(hands, parameters)
        part = split(parameters)
        parts['joints'] = F.l1_loss(known_only(found, known_joints), true_joints)
        # Back-projection: where a point is not known, the refiner learns the mesh's.
        wanted = torch.where(known_points[..., None], true_points, projected.detach())
        parts['points'] = (
            F.l1_loss(known_only(estimate.points[right], known_points), true_points)
            + F.l1_loss(known_only(projected, known_points), true_points)
            + F.l1_loss(estimate.refined[right], wanted)
        )
        parts['articulation'] = network.hand.articulation_loss(part['pose']).mean()
        parts['laplacian'] = network.hand.laplacian_loss(hands.vertices, hands.rest).mean()
        parts['proportions'] = part['shape'].square().mean()
        close = points_error(projected.detach(), points[right], image.shape[-1]) < shape_within
        close &= known_points.any(1) & (mask[right].flatten(1) >= 0).all(1)
        silhouettes = network.mask(hands) if weights['features'] else None
        if weights['shape']:
            drawn = network.silhouette(hands.seen[close]) if silhouettes is None else silhouettes[close]
            true_mask = _resized(mask[right][close], network.silhouette.size)[:, 0] if close.any() else drawn
            # Over the whole batch, so that the loss grows with how many hands are near enough.
            parts['shape'] = (drawn - true_mask).square().mean((1, 2)).sum() / len(close)
    if silhouettes is not None:
        parts['features'] = features_loss(network, image[right], estimate.features[right].detach(), silhouettes).mean()
    if weights['heads']:
        parts['heads'] = _heads_loss(network, estimate, joints, right, found.detach())
    return {name: value for name, value in parts.items() if weights[name]}


def _heads_loss(network: DenseHand, estimate: Estimate, joints: Tensor, right: Tensor, found: Tensor) -> Tensor:
    """The loss of the heads for sigma and handedness.

    Args:
        network: the network.
        estimate: of all images.
        joints: (B, 21, 3) true joints; NaN where one is not known.
        right: (B,) which images are not mirrored.
        found: (R, 21, 3) joints found in these.

    """
    all_found = torch.zeros_like(joints)
    all_found[right] = found
    if not right.all():
        with torch.no_grad(), torch.autocast(joints.device.type, enabled=False):
            all_found[~right] = network.joints(network.hand(estimate.parameters[~right]))
    sigma = network.certainty(estimate.features.detach(), all_found)
    errors = torch.where(right[:, None], (all_found - joints).norm(dim=2), torch.nan)
    odds = network.chirality(estimate.features, all_found, sigma.detach())
    return sum(heads_loss(sigma, errors, odds, right.float(), ~joints.isfinite().any(2).any(1)))


@dataclass(frozen=True)
class Refinement:
    """Parameters that fit an image better.

    Attributes:
        parameters: (B, 63).
        before: (B,) mean distance in pixels of the mesh's joints from the image's points, before.
        after: (B,) and after.
        steps: how many steps the time allowed.

    """

    parameters: Tensor
    before: Tensor
    after: Tensor
    steps: int


def _prior(network: DenseHand, hands: Hands, parameters: Tensor, laplacian: float, articulation: float) -> Tensor:
    """What meshes (B,) cost by themselves: their Laplacian, and angles beyond their limits."""
    bent = network.hand.articulation_loss(split(parameters)['pose'])
    return laplacian * network.hand.laplacian_loss(hands.vertices, hands.rest) + articulation * bent


def refine(
    network: DenseHand,
    image: Tensor,
    steps: int = 50,
    seconds: float = math.inf,
    rate: float = 0.01,
    points: Tensor | None = None,
    features: float = 0.1,
    laplacian: float = 0.1,
    articulation: float = 0.1,
) -> Refinement:
    """Fit estimated parameters to the image by gradient steps (section 5, testing refinement; up to 50 steps there).

    What is made less: the distance between the mesh's joints and the points in the image, the difference between the
    features of the image and of what the silhouette leaves of it, the Laplacian and angles beyond their limits.

    Args:
        network: the network; it is not changed.
        image: (B, 3, S, S).
        steps: at most this many.
        seconds: no step begins after this time; the one under way is finished.
        rate: step size of Adam, in the parameters' units.
        points: (B, 21, 2) points to fit to in crop coordinates, NaN where not known; the refiner's own by default.
        features: weight of the features; 0 makes a step many times cheaper.
        laplacian: weight of the Laplacian.
        articulation: weight of angles beyond their limits.

    """
    begun, training = time.monotonic(), network.training
    network.eval()
    with torch.no_grad():
        estimate = network.estimate(image)
    target = estimate.refined if points is None else points
    known = target.isfinite().all(2)
    parameters = estimate.parameters.clone().requires_grad_()
    optimizer = torch.optim.Adam([parameters], rate)
    best, least = estimate.parameters, torch.full((len(image),), torch.inf, device=image.device)
    before = None
    for done in range(steps + 1):
        hands = network.hand(parameters)
        projected = network.project(hands, parameters)
        # Crop coordinates, as the loss in training.
        value = (known_only(projected, known) - known_only(target, known)).abs().mean((1, 2))
        value = value + _prior(network, hands, parameters, laplacian, articulation)
        if features:
            value = value + features * features_loss(network, image, estimate.features, network.mask(hands))
        with torch.no_grad():
            error = points_error(projected, target, image.shape[-1])
            before = error.clone() if before is None else before
            better = value < least
            best = torch.where(better[:, None], parameters, best)
            least = torch.where(better, value, least)
        if done == steps or time.monotonic() - begun >= seconds:
            break
        (parameters.grad,) = torch.autograd.grad(value.sum(), parameters)  # and none for the network's weights
        optimizer.step()
    network.train(training)
    with torch.no_grad():
        after = points_error(network.project(network.hand(best), best), target, image.shape[-1])
    return Refinement(best.detach(), before, after, done)
