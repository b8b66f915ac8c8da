"""Crops of photographs for pose networks, cut with a tracker's errors and changed at random; and mixed with renders.

Photographs teach where joints are in the image, which side a hand is of, and what is no hand. They know nothing of
depth: joints are NaN, and renders teach those.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from hand_pose_ros.detection.color import detect
from hand_pose_ros.geometry.joints import JOINTS, KNUCKLES, WRIST
from hand_pose_ros.inference.engines import open_engine
from hand_pose_ros.inference.models import DETECTOR, find_model
from hand_pose_ros.regions.cube import CUBE_PER_HAND
from hand_pose_ros.regions.perspective import CLOSER
from training.datasets.color_crops import occlude
from training.datasets.drawn_crops import PARTS, read_crops
from training.datasets.frames import DatasetError
from training.datasets.photographs import LabeledHand, Photograph, free_square, read_photographs, warp
from training.synthesis.color_crops import ANY_WAY_UP, FARTHER_OFF, FOLLOWED_OFF, OFF, ROUGH_OFF
from training.synthesis.photography import augment, restyle

#: Half a crop's side in hand sizes.
HALF_PER_HAND = CUBE_PER_HAND / CLOSER


@dataclass(frozen=True)
class PhotographShares:
    """How crops of photographs are drawn; shares of all crops unless it is said otherwise."""

    #: As far off as a detector's first guesses, and, of the others, as near as where a hand is followed.
    rough: float = 0.2
    followed: float = 0.6
    #: Cut off by an image's edge that is drawn anew.
    edges: float = 0.15
    #: Shown in another style, and in uneven light.
    styles: float = 0.08
    light: float = 0.5
    #: With something drawn in front.
    occluders: float = 0.12
    #: Standard deviation of the logarithm of the stretch across the hand.
    stretch_log: float = 0.08
    #: Standard deviation of the logarithm of the tone curve's exponent.
    gamma_log: float = 0.35
    #: Of crops without a hand, those where the detector says that there is one.
    proposed: float = 0.6
    #: Of them, those beside hands in photographs that show some.
    beside: float = 0.25


SHARES = PhotographShares()
#: Score from which on what the detector finds in a photograph without hands is taken, and how many of one.
PROPOSED_SCORE, PROPOSED_MOST = 0.05, 6


@dataclass(frozen=True)
class Square:
    """Where a crop of no hand is cut: center (2,), half side, pixels; and where it points, (2,)."""

    center: np.ndarray
    half: float
    direction: np.ndarray


def find_proposals(photographs: Sequence[Photograph]) -> list[tuple[Photograph, Square]]:
    """Where the detector that ships sees hands in photographs without any."""
    network = open_engine(find_model('color_detector', DETECTOR), 'auto', threads=1)
    found = []
    for photograph in photographs:
        for one in detect(photograph.read(), network, PROPOSED_SCORE)[:PROPOSED_MOST]:
            found.append((photograph, Square(one.center, one.half / CLOSER, one.direction)))
    return found


def relight(image: np.ndarray, rng: np.random.Generator, shares: PhotographShares = SHARES) -> np.ndarray:
    """Show an image (S, S, 3) uint8 in other light: another tone curve, brighter on one side than on the other."""
    light = (image.astype(np.float32) / 255) ** np.float32(np.exp(rng.normal(0, shares.gamma_log)))
    if rng.uniform() < shares.light:
        line = np.linspace(-1, 1, len(image), dtype=np.float32)
        slope = rng.normal(0, 0.35, 2)
        ramp = np.exp(slope[0] * line[None, :] + slope[1] * line[:, None] + rng.normal(-0.1, 0.3))
        light *= ramp[..., None].astype(np.float32) * np.exp(rng.normal(0, 0.08, 3)).astype(np.float32)
    return (255 * np.clip(light, 0, 1)).astype(np.uint8)


def draw_edges(shape: tuple[int, ...], low: np.ndarray, high: np.ndarray, rng: np.random.Generator, share: float):
    """Draw where an image (H, W, ...) ends about what lies between pixels ``low`` and ``high`` (2,)."""
    most = np.array(shape[1::-1])
    if rng.uniform() >= share:
        return np.zeros(2, int), most
    room = (high - low).max() * rng.uniform(-0.2, 1.0, (2, 2))
    first = np.clip(low - room[0], 0, np.maximum(most - 33, 0)).astype(int)
    return first, np.clip(high + room[1], first + 32, most).astype(int)


def draw_hand(
    image: np.ndarray,
    hand: LabeledHand,
    size: int,
    rng: np.random.Generator | None = None,
    shares: PhotographShares = SHARES,
) -> tuple[np.ndarray, np.ndarray]:
    """Cut a hand out of a photograph, a left one mirrored.

    Args:
        image: (H, W, 3) uint8, red green blue.
        hand: in it.
        size: pixels along a side of the crop.
        rng: draws the errors of localization, and how the image is changed; without it there are none.
        shares: what is drawn how often.

    Returns:
        The crop (size, size, 3) uint8, and where the joints are in it, (21, 2) crop coordinates.

    """
    center, half, stretch = hand.center, HALF_PER_HAND * hand.size, 0.0
    direction = hand.direction / max(float(np.linalg.norm(hand.direction)), 1e-6)
    if not direction.any():
        direction = np.array([0.0, -1.0])
    edges = np.zeros(2, int), np.array(image.shape[1::-1])
    if rng is not None:
        first = rng.uniform() < shares.rough
        known = not first and rng.uniform() < shares.followed
        off = ROUGH_OFF if first else FOLLOWED_OFF if known else OFF
        place = off.center_hand_sizes * (2 if not first and rng.uniform() < FARTHER_OFF else 1)
        center = center + rng.normal(0, place, 2) * hand.size
        half *= np.exp(np.clip(rng.normal(0, off.size_log), off.size_log_least, off.size_log_most))
        turn = rng.normal(0, np.radians(off.up_degrees)) if known or rng.uniform() > ANY_WAY_UP else rng.uniform(-4, 4)
        cos, sin = np.cos(turn), np.sin(turn)
        direction = np.array([[cos, -sin], [sin, cos]]) @ direction
        stretch = rng.normal(0, shares.stretch_log)
        edges = draw_edges(image.shape, hand.points.min(0), hand.points.max(0), rng, shares.edges)
    down = -direction
    across = np.array([down[1], -down[0]]) * (-1 if hand.side == 'left' else 1)
    axes = half * np.stack([across * np.exp(stretch), down * np.exp(-stretch)], 1)
    crop = warp(image, center, axes, size, edges)
    points = (hand.points - center) @ np.linalg.inv(axes).T
    return crop, points


def photographed(
    crop: np.ndarray, points: np.ndarray, rng: np.random.Generator, shares: PhotographShares = SHARES
) -> np.ndarray:
    """Change a crop's image as other cameras, light and things in front would."""
    if rng.uniform() < shares.occluders and np.isfinite(points).any():
        occlude(crop, points, rng)
    if rng.uniform() < shares.styles:
        crop = restyle(crop, rng)
    return augment(relight(crop, rng, shares), rng)


def draw_square(image: np.ndarray, square: Square, size: int, rng: np.random.Generator) -> np.ndarray:
    """Cut a crop of no hand, with a detector's errors, mirrored or not."""
    half = square.half * np.exp(np.clip(rng.normal(0, 0.25), -0.5, 0.5))
    center = square.center + rng.normal(0, 0.15, 2) * half
    turn = np.arctan2(square.direction[1], square.direction[0]) + rng.normal(0, 0.4) + np.pi / 2
    down = np.array([-np.sin(turn), np.cos(turn)])
    across = np.array([down[1], -down[0]]) * rng.choice([-1, 1])
    every = np.zeros(2, int), np.array(image.shape[1::-1])
    return warp(image, center, half * np.stack([across, down], 1), size, every)


def shows_back(hand: LabeledHand) -> bool:
    """Whether a photograph shows a hand's back rather than its palm.

    People show their palms: without as many backs, a back is taken for the other hand's palm.
    """
    index, pinky = hand.points[KNUCKLES[0]] - hand.points[WRIST], hand.points[KNUCKLES[-1]] - hand.points[WRIST]
    turn = index[0] * pinky[1] - index[1] * pinky[0]
    return bool((turn > 0) == (hand.side == 'right'))


def hand_groups(photographs: Sequence[Photograph]) -> tuple[list[list[tuple[Photograph, LabeledHand]]], np.ndarray]:
    """Hands in groups, of each set those that show their back and those that do not, and how often to draw from each.

    Raises:
        DatasetError: there is no sure hand in these photographs.

    """
    groups: dict[tuple[str, bool], list[tuple[Photograph, LabeledHand]]] = {}
    for photograph in photographs:
        for hand in photograph.hands:
            groups.setdefault((photograph.name, shows_back(hand)), []).append((photograph, hand))
    if not groups:
        raise DatasetError('there is no sure hand in these photographs')
    weights = np.sqrt([len(each) for each in groups.values()])  # a large set of one person says less a photograph
    backs = np.array([back for _, back in groups])
    for same in backs, ~backs:
        weights[same] /= max(float(weights[same].sum()), 1e-9)
    return list(groups.values()), weights / weights.sum()


class PhotographCrops:
    """Draws crops out of photographs, as many of backs of hands as of palms.

    Args:
        photographs: which.
        size: pixels along a side of a crop.
        negatives: share of the crops that show no hand.
        shares: how crops are drawn.

    Raises:
        DatasetError: there is no sure hand in them.

    """

    def __init__(
        self, photographs: Sequence[Photograph], size: int, negatives: float, shares: PhotographShares = SHARES
    ) -> None:
        self.size, self.shares, self.negatives = size, shares, negatives
        self.groups, self.weights = hand_groups(photographs)
        self.empty = [photograph for photograph in photographs if photograph.empty]
        self.beside = [photograph for photograph in photographs if photograph.complete and not photograph.empty]
        self.proposals = find_proposals(self.empty) if self.empty else []

    def draw(self, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Draw a crop (S, S, 3) uint8, and where a right hand's joints are in it, (21, 2); NaN where there is none."""
        if self.empty and rng.uniform() < self.negatives:
            nothing = np.full((len(JOINTS), 2), np.nan)
            return photographed(self.draw_nothing(rng), nothing, rng, self.shares), nothing
        hands = self.groups[rng.choice(len(self.groups), p=self.weights)]
        photograph, hand = hands[rng.integers(len(hands))]
        crop, points = draw_hand(photograph.read(), hand, self.size, rng, self.shares)
        return photographed(crop, points, rng, self.shares), points

    def draw_nothing(self, rng: np.random.Generator) -> np.ndarray:
        """Draw a crop (S, S, 3) uint8 of no hand, its image as it is."""
        if self.proposals and rng.uniform() < self.shares.proposed:
            photograph, square = self.proposals[rng.integers(len(self.proposals))]
            return draw_square(photograph.read(), square, self.size, rng)
        beside = self.beside and rng.uniform() < self.shares.beside
        every = self.beside if beside else self.empty
        while True:
            photograph = every[rng.integers(len(every))]
            image = photograph.read()
            try:
                center, half = free_square(photograph, image.shape, rng)
            except DatasetError:
                continue
            return draw_square(image, Square(center, half, rng.normal(0, 1, 2)), self.size, rng)


def validation_crops(
    photographs: Sequence[Photograph], size: int, empty: int, seed: int = 20_000_023
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Cut all hands as a tracker that follows them does, and ``empty`` crops without one, none of them changed.

    Returns:
        Crops (N, S, S, 3) of hands, their joints (N, 21, 2) in crop coordinates, and crops (M, S, S, 3) without hands.

    """
    rng = np.random.default_rng(seed)
    followed = PhotographShares(rough=0, followed=1, edges=0, stretch_log=0)
    source = PhotographCrops(photographs, size, 1.0)
    rows = [draw_hand(one.read(), hand, size, rng, followed) for one in photographs for hand in one.hands]
    images, points = (np.stack(part) for part in zip(*rows))
    nothing = [source.draw_nothing(rng) for _ in range(empty if source.empty else 0)]
    return images, points.astype(np.float32), np.stack(nothing)


def mixed_batches(
    folder: Path,
    drawn: Path,
    seed: int,
    batch: int,
    size: int,
    real: float,
    negatives: float,
    held_out: Collection[str],
) -> Iterator[tuple[np.ndarray, ...]]:
    """Yield endless batches of renders and photographs, as ``training.tasks.color_pose`` describes them.

    Args:
        folder: of photographs, see :mod:`training.datasets.photographs`.
        drawn: of renders, see :mod:`training.datasets.drawn_crops`.
        seed: the same one gives the same batches.
        batch: crops in a batch.
        size: pixels along a side of a crop.
        real: share of photographs in every batch.
        negatives: share of them that show no hand.
        held_out: sets that are not learnt from.

    Raises:
        DatasetError: something cannot be read, or the renders are of another size.

    """
    cv2.setNumThreads(1)
    rng = np.random.default_rng(seed)
    renders = read_crops(drawn)
    if renders['images'].shape[1] != size:
        raise DatasetError(f'{drawn} holds crops of {renders["images"].shape[1]} pixels, not {size}; draw them again')
    photographs = PhotographCrops(read_photographs(folder, held_out), size, negatives)
    count = round(batch * real)
    order = rng.permutation(len(renders['images']))
    at = 0
    while True:
        if at + batch - count > len(order):
            order, at = rng.permutation(len(order)), 0
        chosen = np.sort(order[at : at + batch - count])
        at += batch - count
        found = {name: renders[name][chosen] for name in PARTS}
        images, points = zip(*(photographs.draw(rng) for _ in range(count)))
        masks = np.full((batch, size, size), -1, np.float32)
        unknown = np.full((count, len(JOINTS), 3), np.nan, np.float32)
        surfaces = np.zeros((count, *found['surfaces'].shape[1:]), np.uint8)
        yield (
            np.concatenate([found['images'], np.stack(images)]),
            np.concatenate([found['joints'], unknown]),
            np.concatenate([found['points'], np.stack(points).astype(np.float32)]),
            masks,
            np.concatenate([found['sizes'], np.full(count, np.nan, np.float32)]),
            np.concatenate([found['surfaces'], surfaces]),
        )
