"""Direct regression of 21 joints from one color image by residual networks, alone or one after the other.

The plain form (``head: linear``) is what a ResNet-34, -50 or -101 at 128 x 128 with an L1 loss makes of FreiHAND: the
pooled features, one linear layer, 21 x 3 root-relative joints. The pipelined form (``depths: [50, 50, 34]``) has
several networks under one loss. How one hands its estimate to the next is this module's own choice: as maps beside the
image's features at a quarter of its size, a Gaussian for every joint and the same times the joint's depth, and the next
network's output is an offset to it.

``head: pixels`` is the light form for a CPU. Every joint has a heat map over the pixels, and is the mean under it of
what the pixels estimate of its place, as in VNect's location maps (Mehta et al. 2017) made differentiable (Sun et al.,
"Integral Human Pose Regression", ECCV 2018): pooling to one vector throws away where things are, which a small network
then cannot get back. ``head: graph`` goes on from there as JGR-P2O does for depth (``jgr_p2o``): hourglasses, each
followed by reasoning over the skeleton and an estimate of its own, and pixels that say how far off a joint's point is;
and in the end attention among the joints may correct it (``joint_attention``).

Units: joints in hand sizes (``geometry.joints.hand_size``) from the wrist, in the directions of the camera that looks
at the crop's middle; points in crop coordinates, -1 to 1.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hand_pose_ros.geometry.joints import JOINTS
from training.networks.heads import CertaintyHead, ChiralityHead, JointChiralityHead
from training.networks.jgr_p2o import Hourglass, JointGraphReasoning, skeleton_adjacency
from training.networks.joint_attention import JointAttention
from training.networks.losses import (
    aligned_loss,
    image_loss,
    joint_loss,
    known_only,
    mirror_some,
    sigma_loss,
    surface_loss,
)
from training.networks.resnet import ResNet
from training.networks.skeletons import OURS, skeleton
from training.options import check_options, parameters_of
from training.recipe import Options
from training.registry import TrainingError

COUNT = len(JOINTS)

#: What a network for color images gives, in this order; ``training.tasks.color_pose`` says what it means.
OUTPUTS = ('joints', 'points', 'spread', 'right')

#: What the certainty head learns to expect of a crop without a hand, hand sizes.
ABSENT_ERROR = 1.0

#: A network's estimate of joints (B, 21, 3) and points (B, 21, 2).
Estimate = tuple[Tensor, Tensor]

#: What a head finds: estimates, later ones better; the map (B, width, S / 8, S / 8) that pixels are read from; and what
#: it shows where each joint was found, (B, 21, seen).
Found = tuple[list[Estimate], Tensor | None, Tensor | None]
#: The same of a whole network; second its pooled features (B, C).
StageFound = tuple[list[Estimate], Tensor, Tensor | None, Tensor | None]

#: Radius in crop coordinates of the Gaussians that show an estimate to the next network.
SHOWN = 0.1


def pixel_grid(size: int) -> Tensor:
    """Crop coordinates (2, size, size), u and v, of the middles of an image's pixels."""
    line = (torch.arange(size) + 0.5) / size * 2 - 1
    return torch.stack(torch.meshgrid(line, line, indexing='xy'))


class LinearHead(nn.Module):
    """Pooled features to joints and points by one linear layer."""

    #: Estimates, the last ones, whose mean is the head's.
    averaged = 1
    #: Channels of what it shows where each joint was found; 0 for nothing.
    seen = 0

    def __init__(self, channels: tuple[int, ...], size: int) -> None:
        super().__init__()
        self.linear = nn.Linear(channels[-1], 5 * COUNT)
        nn.init.normal_(self.linear.weight, std=1e-3)
        nn.init.zeros_(self.linear.bias)

    def forward(self, features: list[Tensor], pooled: Tensor) -> Found:
        """One estimate, and no map."""
        found = self.linear(pooled)
        joints, points = found[:, : 3 * COUNT].unflatten(1, (COUNT, 3)), found[:, 3 * COUNT :].unflatten(1, (COUNT, 2))
        return [(joints, points)], None, None


class PixelHead(nn.Module):
    """Heat maps over an eighth of the image's size; what the pixels say of a joint's place; their mean.

    Args:
        channels: of the features of the four layers.
        size: pixels along a side of the image.
        width: channels of the maps that the last three layers' features are joined in.

    """

    averaged = 1
    seen = 0

    def __init__(self, channels: tuple[int, ...], size: int, width: int = 128) -> None:
        super().__init__()
        self.width = width
        self.lateral = nn.ModuleList(nn.Conv2d(c, width, 1) for c in channels[1:])
        self.joined = nn.Sequential(
            nn.BatchNorm2d(width),
            nn.ReLU(inplace=True),
            nn.Conv2d(width, width, 3, padding=1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(inplace=True),
        )
        self.heat = nn.Conv2d(width, COUNT, 1)
        self.place = nn.Conv2d(width, 3 * COUNT, 1)
        self.pose = nn.Linear(channels[-1], 3 * COUNT)
        self.register_buffer('grid', pixel_grid(size // 8).flatten(1), persistent=False)

    def forward(self, features: list[Tensor], pooled: Tensor) -> Found:
        """One estimate, and the map that it was read from."""
        joined = self.join(features)
        return [self.estimate(joined, pooled)], joined, None

    def join(self, features: list[Tensor]) -> Tensor:
        """The last three layers' features in one map (B, width, S / 8, S / 8)."""
        first, second, third = (layer(x) for layer, x in zip(self.lateral, features[1:]))
        return self.joined(
            first
            + F.interpolate(second, scale_factor=2.0, mode='nearest')
            + F.interpolate(third, scale_factor=4.0, mode='nearest')
        )

    def estimate(self, joined: Tensor, pooled: Tensor) -> Estimate:
        """The joints and points that the pixels of the joined map estimate."""
        weights = self.heat(joined).float().flatten(2).softmax(2)
        points = weights @ self.grid.T
        places = self.place(joined).float().flatten(2).unflatten(1, (COUNT, 3))
        joints = (places * weights[:, :, None]).sum(3) + self.pose(pooled).unflatten(1, (COUNT, 3))
        return joints, points


class GraphHead(PixelHead):
    """A pixel head, then hourglasses that each see the joined map and give an estimate.

    Args:
        channels: of the features of the four layers.
        size: pixels along a side of the image.
        width: channels of the joined map.
        stacks: hourglasses.
        depth: halvings in an hourglass.
        attention: layers of attention among the joints, which correct the last hourglass's estimate.

    """

    #: Lists that a further stack makes one longer, see :func:`training.engine.grow.grow`.
    stacked = ('hourglasses', 'after', 'reasoning', 'says')

    def __init__(
        self,
        channels: tuple[int, ...],
        size: int,
        width: int = 128,
        stacks: int = 1,
        depth: int = 3,
        attention: int = 0,
    ) -> None:
        super().__init__(channels, size, width)
        adjacency = skeleton_adjacency(*skeleton(OURS))
        self.averaged = 1 if attention else stacks  # hourglasses err differently
        self.hourglasses = nn.ModuleList(Hourglass(width, depth) for _ in range(stacks))
        self.after = nn.ModuleList(
            nn.Sequential(nn.Conv2d(width, width, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU(inplace=True))
            for _ in range(stacks)
        )
        self.reasoning = nn.ModuleList(JointGraphReasoning(width, adjacency) for _ in range(stacks))
        self.says = nn.ModuleList(nn.Conv2d(width, 6 * COUNT, 1) for _ in range(stacks))
        self.back = nn.ModuleList(nn.Conv2d(width, width, 1) for _ in range(stacks - 1))
        for (
            layer
        ) in self.back:  # a stack sees the image only, as the first does, until it learns to use that one's features
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)
        self.seen = 2 * width if attention else 0
        self.attention = JointAttention(COUNT, channels[-1], self.seen, attention) if attention else None

    def forward(self, features: list[Tensor], pooled: Tensor) -> Found:
        """Estimates of the pixel head, of every hourglass, and the last corrected; the map; with attention what was
        seen of the joints.
        """
        x = joined = self.join(features)
        there = None
        found = [self.estimate(x, pooled)]
        for i, hourglass in enumerate(self.hourglasses):
            seen = self.reasoning[i](self.after[i](hourglass(x)))
            values = self.says[i](seen).float().flatten(2).unflatten(1, (6, COUNT))
            weights = values[:, 0].softmax(2)
            joints = (values[:, 1:4] * weights[:, None]).sum(3).transpose(1, 2)
            # As in JGR-P2O a pixel says how far from it the point lies (eq. 8).
            points = ((values[:, 4:] + self.grid[:, None]) * weights[:, None]).sum(3).transpose(1, 2)
            found.append((joints, points))
            if i < len(self.back):
                x = x + self.back[i](seen)
        if self.attention is not None:
            there = torch.cat([weights @ cells.flatten(2).transpose(1, 2) for cells in (joined, seen)], 2)
            found.append(self.attention(there, joints, points, pooled))
        return found, joined, there


HEADS = {'linear': LinearHead, 'pixels': PixelHead, 'graph': GraphHead}


class Stage(nn.Module):
    """One network: the image, and the estimate before where there is one, to an estimate."""

    def __init__(
        self,
        depth: int,
        width: int,
        head: str,
        size: int,
        first: bool,
        widest: int = 0,
        head_options: Mapping[str, int] = MappingProxyType({}),
    ) -> None:
        super().__init__()
        self.backbone = ResNet(depth, width, added=0 if first else 2 * COUNT, widest=widest)
        self.head = HEADS[head](self.backbone.channels, size, **head_options)
        self.register_buffer('grid', pixel_grid(size // 4), persistent=False)

    def show(self, joints: Tensor, points: Tensor) -> Tensor:
        """Maps (B, 42, S / 4, S / 4) of an estimate: Gaussians about the points, and the same times their depth."""
        far = (points[..., None, None] - self.grid).square().sum(2)
        maps = torch.exp(-far / (2 * SHOWN**2))
        return torch.cat([maps, maps * joints[..., 2, None, None]], 1)

    def forward(self, image: Tensor, before: Estimate | None) -> StageFound:
        """What the head finds, and pooled features."""
        features = self.backbone(image, None if before is None else self.show(*before))
        pooled = features[-1].float().mean((2, 3))
        found, joined, there = self.head(features, pooled)
        found = [(joints.float(), points.float()) for joints, points in found]
        if before is not None:
            found = [(before[0] + joints, before[1] + points) for joints, points in found]
        return found, pooled, joined, there


class ColorRegression(nn.Module):
    """Color crop (B, 3, S, S) in [-1, 1] of a right hand (a left one mirrored) to joints and points.

    Args:
        depths: of the residual networks, one after the other; one of them is the plain form.
        width: channels of a network's first layer; 64 in the paper.
        head: ``linear``, ``pixels`` or ``graph``; a pipeline's later networks correct by a linear head.
        input_size: pixels along a side of the image, a multiple of 32.
        widest: channels of a network's widest layer, see :class:`training.networks.resnet.ResNet`.
        head_options: what the head takes, see :class:`PixelHead` (``width``) and :class:`GraphHead` (``stacks``,
            ``depth``, ``attention``).

    Raises:
        TrainingError: the head is none of these, or does not take one of its options.

    """

    input_channels = 3
    outputs = OUTPUTS

    def __init__(
        self,
        depths: tuple[int, ...] = (50,),
        width: int = 64,
        head: str = 'linear',
        input_size: int = 128,
        widest: int = 0,
        head_options: Mapping[str, int] = MappingProxyType({}),
    ) -> None:
        super().__init__()
        self.check_options({'head': head, 'head_options': head_options})
        self.input_size = input_size
        self.stages = nn.ModuleList(
            Stage(depth, width, 'linear', input_size, False, widest)
            if i
            else Stage(depth, width, head, input_size, True, widest, head_options)
            for i, depth in enumerate(depths)
        )
        channels = self.stages[-1].backbone.channels[-1]
        self.certainty = CertaintyHead(channels, COUNT)
        self.chirality = ChiralityHead(channels, COUNT)
        # Pooling loses where things are, which tells a back from the other hand's palm.
        seen = self.stages[-1].head.seen
        self.joint_chirality = JointChiralityHead(seen, COUNT) if seen else None
        if self.joint_chirality is not None:
            nn.init.zeros_(self.joint_chirality.layers[-1].weight)
            nn.init.zeros_(self.joint_chirality.layers[-1].bias)
        # In training only: it makes the features tell hands from none, which the certainty head then reads there.
        self.presence = nn.Linear(channels, 1)
        # Likewise: what of the hand a pixel shows, and how far away, which says more of an image than 21 joints do.
        self.surface = None if head == 'linear' else nn.Conv2d(self.stages[0].head.width, 5, 1)

    @classmethod
    def check_options(cls, options: Options) -> None:
        """Refuse a head that there is not, and options that it does not take; raises TrainingError."""
        head = options.get('head', 'linear')
        if head not in HEADS:
            raise TrainingError(f'head {head!r} is not one of {", ".join(HEADS)}')
        known = parameters_of([HEADS[head]])
        known = {name: kind for name, kind in known.items() if name not in ('channels', 'size')}
        check_options(options.get('head_options', {}), known, 'network_options.head_options')

    def forward_stages(self, image: Tensor) -> StageFound:
        """The estimates of all networks, in their order, and the first one's map; the last one's pooled features, and
        what it shows where each joint was found.
        """
        estimates: list[Estimate] = []
        maps = []
        for stage in self.stages:
            more, pooled, joined, there = stage(image, estimates[-1] if estimates else None)
            maps.append(joined)
            estimates += more
        return estimates, pooled, maps[0], there

    def conclude(self, found: list[Estimate]) -> Estimate:
        """The network's final estimate, of the estimates of :meth:`forward_stages`."""
        last = found[-self.stages[-1].head.averaged :]
        if len(last) == 1:  # its mean would be operators for nothing in the exported graph
            return last[0]
        joints, points = (torch.stack(parts).mean(0) for parts in zip(*last))
        return joints, points

    def odds_of_right(self, joints: Tensor, sigma: Tensor, pooled: Tensor, there: Tensor | None) -> Tensor:
        """Handedness logits (B,) of estimates of joints (B, 21, 3) and sigma (B, 21), by what was seen."""
        odds = self.chirality(pooled, joints, sigma)
        return odds if self.joint_chirality is None else odds + self.joint_chirality(there, joints, sigma)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Joints (B, 21, 3), points (B, 21, 2), sigma (B, 21) in hand sizes and handedness logits (B,)."""
        estimates, pooled, _, there = self.forward_stages(image)
        joints, points = self.conclude(estimates)
        sigma = self.certainty(pooled, joints)
        return joints, points, sigma, self.odds_of_right(joints, sigma, pooled, there)

    def loss(
        self,
        image: Tensor,
        joints: Tensor,
        points: Tensor,
        surface: Tensor | None = None,
        *,
        kind: str = 'l1',
        points_weight: float = 1.0,
        heads_weight: float = 0.04,
        mirrored: float = 0.1,
        surface_weight: float = 0.0,
        aligned_weight: float = 0.0,
        image_weight: float = 0.0,
    ) -> Tensor:
        """Sum over the estimates of the losses of joints and points, and that of the heads.

        Args:
            image: (B, 3, S, S).
            joints: (B, 21, 3) true joints in hand sizes; NaN where one is not known.
            points: (B, 21, 2) true points in crop coordinates; NaN where one is not known.
            surface: (B, S / 8, S / 8, 5) what is known of the hand's surface, see :func:`surface_loss`.
            kind: ``l1`` (as the report), ``smooth_l1`` or ``l2``.
            points_weight: of the points' loss; 0 is the report's network, whose points then mean nothing.
            heads_weight: of the heads' losses. Certainty looks at detached features and costs the pose nothing.
            mirrored: share of images that are mirrored for the chirality head to learn from, and for nothing else.
            surface_weight: of what the first head's map tells of the surface, where there is one.
            aligned_weight: of the joints' loss after alignment, besides the one before it: where a hand's direction is
                uncertain, the latter is of little but that.
            image_weight: of how far the joints, as a distant camera sees them, are from the true points, in hands of
                which nothing else is known, as in photographs.

        Raises:
            ValueError: there is no loss of that kind.

        """
        image, right = mirror_some(image, mirrored)
        found, pooled, joined, there = self.forward_stages(image)
        value = image.new_zeros((), dtype=torch.float32)
        for estimate in found:
            shown = [part[right] for part in (estimate[0], estimate[1], joints, points)]
            value = value + estimate_loss(*shown, kind, points_weight, aligned_weight, image_weight)
        final, final_points = (part.detach() for part in self.conclude(found))
        sigma = self.certainty(pooled.detach(), final)
        errors = torch.where(right[:, None], expected_errors(final, joints, final_points, points), torch.nan)
        absent = ~(joints.isfinite().any(2) | points.isfinite().any(2)).any(1)
        odds = self.odds_of_right(final, sigma.detach(), pooled, there)
        likelihood, handedness = heads_loss(sigma, errors, odds, right.to(final.dtype), absent)
        presence = F.binary_cross_entropy_with_logits(self.presence(pooled)[:, 0], 1 - absent.to(pooled.dtype))
        if surface_weight and surface is not None and joined is not None:
            value = value + surface_weight * surface_loss(
                self.surface(joined).float(), surface, right & joints.isfinite().any(2).any(1)
            )
        return value + heads_weight * (likelihood + handedness + presence)


def estimate_loss(
    joints: Tensor,
    points: Tensor,
    true_joints: Tensor,
    true_points: Tensor,
    kind: str,
    points_weight: float,
    aligned_weight: float,
    image_weight: float,
) -> Tensor:
    """Loss of one estimate of joints (B, 21, 3) and points (B, 21, 2); what is not known of the truth is NaN and does
    not count. The weights are those of :meth:`ColorRegression.loss`.
    """
    known = [truth.isfinite().all(2) for truth in (true_joints, true_points)]
    value = joint_loss(known_only(joints, known[0]), known_only(true_joints, known[0]), kind)
    value = value + points_weight * joint_loss(known_only(points, known[1]), known_only(true_points, known[1]), kind)
    if aligned_weight:
        value = value + aligned_weight * aligned_loss(joints, true_joints)
    if image_weight:
        value = value + image_weight * image_loss(joints, true_points, known[1] & ~known[0])
    return value


def expected_errors(joints: Tensor, true_joints: Tensor, points: Tensor, true_points: Tensor) -> Tensor:
    """Errors (B, 21) of joints in hand sizes that the certainty head learns to expect.

    Where only points are known, as in photographs, their error stands for the joint's: as much larger as it is where
    both are known. Otherwise hands in photographs would teach nothing, and what is none in them, that photographs show
    none.
    """
    space, image = (joints - true_joints).norm(dim=2), (points - true_points).norm(dim=2)
    both = space.isfinite() & image.isfinite()
    ratio = space[both].sum() / image[both].sum().clamp_min(1e-6) if both.any() else image.new_tensor(2.0)
    return torch.where(space.isfinite(), space, ratio * image)


def heads_loss(sigma: Tensor, errors: Tensor, logits: Tensor, right: Tensor, absent: Tensor) -> tuple[Tensor, Tensor]:
    """Laplace log likelihood of the joints' errors, and cross entropy of the handedness.

    Args:
        sigma: (B, 21) expected errors.
        errors: (B, 21) errors; what is not known is NaN.
        logits: (B,) of a right hand.
        right: (B,) 1 where it is one.
        absent: (B,) bool, there is no hand: errors are then ``ABSENT_ERROR``, and there is no handedness.

    """
    likelihood = sigma_loss(sigma, torch.where(absent[:, None], ABSENT_ERROR, errors))
    handedness = F.binary_cross_entropy_with_logits(logits, right, reduction='none')
    return likelihood, torch.where(absent, torch.zeros_like(handedness), handedness).mean()
